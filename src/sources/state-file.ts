import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";

/** More than any exporter saves: a larger file would take the memory that it is limited to. */
const largestBytes = 64 * 1024 * 1024;

/** Somebody else may have put the file there: it is neither read nor written to. */
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
    refuseForeign(file);
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** @throws {ForeignFile} if an open file is none that an exporter has written */
export function refuseForeign(file: number): void {
  const status = fstatSync(file);
  if (!status.isFile()) throw new ForeignFile("is not a regular file");
  // Cutting it would cut the file of another name.
  if (status.nlink > 1) throw new ForeignFile("has another name elsewhere (hard link)");
  if (status.size > largestBytes) throw new ForeignFile("is larger than 64 MiB");
}
