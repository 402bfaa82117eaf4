import { execFile } from "node:child_process";
import { basename } from "node:path";

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
}

/**
 * Runs a program and returns what it printed.
 * @throws {Error} if it cannot be started or ends with a status other than 0: with the line of stderr that names an
 * error, or else with the last lines
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
        const lines = stderr.trim().split("\n");
        // Node.js prints the error above a trace that is longer than the last lines.
        const said = lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.slice(-5).join("\n");
        reject(new Error(`${basename(program)} ${args[0] ?? ""}: ${said || error.message}`));
      },
    );
  });
}
