// Compiles the project (Node 20 runs no TypeScript) and runs one bench of this directory.
// usage: node bench/run.mjs live-log
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

process.chdir(new URL("..", import.meta.url).pathname);
const compiled = join(process.cwd(), "node_modules/.cache/bench");
mkdirSync(compiled, { recursive: true });
writeFileSync(join(compiled, "package.json"), '{"type":"module"}');
try {
  execFileSync("node_modules/.bin/tsc", ["--noEmit", "false", "--outDir", compiled]);
} catch {
  // Type errors are the type check's to report; what was written can be run.
}
// What is no TypeScript, and what it reads.
copyFileSync("scripts/documents.mjs", join(compiled, "scripts/documents.mjs"));
rmSync(join(compiled, "docs"), { force: true });
symlinkSync(join(process.cwd(), "docs"), join(compiled, "docs"));
await import(join(compiled, "bench", `${process.argv[2]}.js`));
