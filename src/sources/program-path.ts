import { accessSync, constants } from "node:fs";
import { delimiter } from "node:path";

/** Whether a program that may be run is in a directory of `path`, the value of PATH. Starts nothing. */
export function isOnPath(program: string, path = ""): boolean {
  return path.split(delimiter).some((directory) => {
    try {
      accessSync(`${directory}/${program}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
