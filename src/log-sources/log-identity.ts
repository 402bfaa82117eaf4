import { createHash } from "node:crypto";

/**
 * How far a rotated log has been read.
 *
 * Invariant: everything before it, in this file and in the files before this one, has been delivered; nothing after it
 * has. Plain JSON: save it unchanged. For n bytes further in the same file, copy it with `offset` increased by n.
 */
export interface LogPosition {
  /** Hash of the file's first `headLength` bytes, uncompressed: identifies the file, whatever its inode. */
  headHash: string;
  /** Number of bytes covered by `headHash`; a file shorter than 1 KiB has a shorter head. */
  headLength: number;
  /** Offset in the uncompressed content. */
  offset: number;
  /** Distinguishes files with the same first bytes. */
  inode?: number;
  /** Time of the file's last write as of this position: shows which files are newer once it is gone. */
  modifiedMs?: number;
  /** Other files open at this moment and how far each has been read: after a rotation the writer may keep using the old file for a while. */
  besides?: LogPosition[];
}

/** A syslog line starts with its time, so 1 KiB contains several timestamps: no two logs share it. */
export const maxHeadBytes = 1024;

export function hashHead(head: Buffer): string {
  return createHash("sha256").update(head).digest("hex").slice(0, 32);
}

/** The first bytes of one file, as far as they have been read, at most 1 KiB. */
export class LogHead {
  readonly #bytes = Buffer.alloc(maxHeadBytes);
  #length = 0;
  #hash: string | undefined;

  get length(): number {
    return this.#length;
  }

  get hash(): string {
    this.#hash ??= hashHead(this.#bytes.subarray(0, this.#length));
    return this.#hash;
  }

  /** Adds the part of `chunk`, read at `offset`, that belongs to the head. */
  extend(chunk: Buffer, offset: number): void {
    const from = this.#length - offset;
    if (this.#length === maxHeadBytes || from < 0 || from >= chunk.length) return;
    this.#length += chunk.copy(this.#bytes, this.#length, from);
    this.#hash = undefined;
  }

  /** Forgets what a file truncated to `length` no longer has. */
  shorten(length: number): void {
    this.#length = Math.min(this.#length, length);
    this.#hash = undefined;
  }

  /** Whether this head begins with `content`. */
  beginsWith(content: Buffer): boolean {
    return (
      content.length <= this.#length && content.equals(this.#bytes.subarray(0, content.length))
    );
  }

  /** Whether `content` (the first bytes of a file, or more) begins with this head. */
  begins(content: Buffer): boolean {
    return (
      content.length >= this.#length &&
      this.#bytes.compare(content, 0, this.#length, 0, this.#length) === 0
    );
  }
}
