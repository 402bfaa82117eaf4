import { existsSync } from "node:fs";

/** Whether a program is in a directory of `path`, the value of PATH. */
export function isOnPath(program: string, path = ""): boolean {
  return path.split(":").some((directory) => existsSync(`${directory}/${program}`));
}
