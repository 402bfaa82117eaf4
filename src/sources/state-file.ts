import { closeSync, constants, openSync, readFileSync } from "node:fs";

/**
 * A whole file of the state directory; `undefined` if it does not exist. Throws the system's error: ELOOP for a symbolic
 * link, because its creator would decide where it leads.
 */
export function readStateFile(path: string): Buffer | undefined {
  let file: number | undefined;
  try {
    // Opening a pipe would wait for its writer.
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
