import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const project = fileURLToPath(new URL("../..", import.meta.url));

/**
 * The sources as plain JavaScript, for processes that a test starts: Node 20 runs no TypeScript.
 * Compiled anew into dist/.<name>; returns that directory.
 */
export async function compiledSource(name: string): Promise<string> {
  const directory = join(project, "dist", `.${name}`);
  const compiler = join(project, "node_modules/.bin/tsc");
  const compiling = promisify(execFile)(compiler, [
    ...["-p", join(project, "tsconfig.build.json"), "--outDir", directory],
  ]);
  // Type errors are the type check's to report; what was written can be run.
  await compiling.catch((error) => {
    if (!existsSync(directory)) throw error;
  });
  return directory;
}
