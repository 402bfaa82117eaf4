import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

/**
 * The sources as plain JavaScript, for processes that a test starts: Node 20 runs no TypeScript.
 * Compiled anew into a cache under node_modules; returns its directory.
 */
export async function compiledSource(name: string): Promise<string> {
  const directory = resolve("node_modules/.cache/compiled-source", name);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "package.json"), '{"type":"module"}');
  const options = ["-p", "tsconfig.build.json", "--outDir", directory];
  // Type errors are the type check's to report; what was written can be run.
  await promisify(execFile)("node_modules/.bin/tsc", options).catch(() => {});
  return directory;
}
