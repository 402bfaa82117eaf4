import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { shellWord } from "../text/shell.ts";

/** More than any exporter saves: a larger file would take the memory that it is limited to. */
const largestBytes = 64 * 1024 * 1024;

/** Another user may have put the file there: it is neither read nor written to. */
export class ForeignFile extends Error {
  override readonly name = "ForeignFile";
}

/**
 * A whole file of the state directory; `undefined` if it does not exist.
 * @throws {ForeignFile}, or the system's error: ELOOP for a symbolic link, because its creator would decide where it leads
 */
export function readStateFile(path: string): Buffer | undefined {
  let file: number | undefined;
  try {
    // Opening a pipe would wait for its writer.
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    refuseForeign(file, path);
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** @throws {ForeignFile} if an open file is none that an exporter has written */
export function refuseForeign(file: number, path: string): void {
  const status = fstatSync(file);
  if (!status.isFile()) throw new ForeignFile("is not a regular file");
  // Backups make hard links too, but only another user links a file of another owner into the directory.
  if (isShared(file) && status.uid !== statSync(dirname(path)).uid)
    throw new ForeignFile("has another name elsewhere (hard link)");
  if (status.size > largestBytes) throw new ForeignFile("is larger than 64 MiB");
}

/** Whether an open file has another name, as a backup gives it: reading it does no harm, writing or cutting would. */
export function isShared(file: number): boolean {
  return fstatSync(file).nlink > 1;
}

/** How another user could change what is saved in a directory, and the command that ends it. */
export interface Exposure {
  found: string;
  command: string;
}

/** @param userId of the exporter; it and root may own the directory */
export function exposureOf(directory: string, userId: number): Exposure | undefined {
  const { mode, uid } = statSync(directory);
  const path = shellWord(directory);
  if ((mode & 0o002) !== 0) {
    return { found: "every user can write to it", command: `chmod o-w ${path}` };
  }
  if (uid === 0 || uid === userId) return undefined;
  return { found: `it belongs to user ${uid}`, command: `chown -R ${userId} ${path}` };
}
