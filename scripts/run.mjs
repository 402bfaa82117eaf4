/*
 * Runs a program of scripts/ that is written in TypeScript, which Node.js 20 does not read by itself.
 *
 *   node scripts/run.mjs FILE.ts [ARGUMENTS]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const [entry, ...rest] = process.argv.slice(2);
// Below node_modules, so that packages are found from there.
const directory = mkdtempSync(join(root, "node_modules/.scripts-"));
process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
const outfile = join(directory, "script.mjs");
await build({
  absWorkingDir: root,
  entryPoints: [entry],
  outfile,
  bundle: true,
  packages: "external",
  platform: "node",
  target: "node20",
  format: "esm",
  logLevel: "warning",
});
process.argv = [process.argv[0], join(root, entry), ...rest];
await import(pathToFileURL(outfile).href);
