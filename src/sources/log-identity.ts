/**
 * Where a reader of a rotated log stands.
 *
 * Invariant: everything before it, in this file and in the files before this one, has been
 * delivered; nothing after it has. Plain JSON: save it as it is. To stand n bytes further on in the
 * same file, copy it with `offset` raised by n.
 */
export interface LogPosition {
  /** Hash of the file's first `headLength` bytes, uncompressed: who the file is, whatever its inode. */
  headHash: string;
  /** How many bytes `headHash` covers; a file younger than 1 KiB has a shorter head. */
  headLength: number;
  /** Bytes into the uncompressed content. */
  offset: number;
  /** Decides between files with the same first bytes. */
  inode?: number;
  /** When the file was last written to, as of this position: finds what is newer should it be gone. */
  modifiedMs?: number;
  /** Other files that are open at this moment and how far each has been read: after a rotation the
   * writer may hold on to the old file for a while. */
  besides?: LogPosition[];
}
