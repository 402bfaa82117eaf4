import { execFile } from "node:child_process";
import { basename } from "node:path";

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
}

/**
 * Runs a program and returns what it printed.
 * @throws {Error} with the last lines of stderr if it cannot be started or ends with a status other than 0
 */
export function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  return new Promise((settle, reject) => {
    execFile(
      program,
      args,
      { ...options, maxBuffer: 64 << 20, encoding: "utf8" },
      (error, stdout, stderr) => {
        if (error === null) return settle(stdout);
        const said = stderr.trim().split("\n").slice(-5).join("\n");
        reject(new Error(`${basename(program)} ${args[0] ?? ""}: ${said || error.message}`));
      },
    );
  });
}
