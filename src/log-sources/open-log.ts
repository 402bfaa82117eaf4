import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  type Stats,
} from "node:fs";
import { constants as systemConstants } from "node:os";
import { isShortage } from "../sources/system-error.ts";
import { LogHead, type LogPosition, maxHeadBytes } from "./log-identity.ts";

/** Why a read returned nothing although the file is open: its content was replaced, or only its end truncated. */
export type ContentGone = "replaced" | "cut";

const headNow = Buffer.alloc(maxHeadBytes);

/**
 * One log file, held open, so that renaming and deleting do not remove it.
 *
 * Invariant: bytes are returned only while the file still begins as it did when it was opened, so content after a
 * truncation is never confused with earlier content. (A file that was empty then has no beginning: its reader opens it
 * again for its first bytes.)
 */
export class OpenLog {
  readonly fd: number;
  readonly dev: number;
  readonly inode: number;
  /** Bytes up to here have been read. */
  offset = 0;
  /** The size at the last check. */
  size: number;
  /** Size and time of the last write when the content was last verified to be the one being read. */
  knownSize: number;
  modifiedMs: number;
  /** Whether the data read so far ends with a complete line. */
  atLineStart = true;
  readonly #head = new LogHead();
  #closed = false;

  constructor(fd: number, stats: Stats) {
    this.fd = fd;
    this.dev = stats.dev;
    this.inode = stats.ino;
    this.size = stats.size;
    this.knownSize = stats.size;
    this.modifiedMs = stats.mtimeMs;
    this.#head.extend(headNow.subarray(0, readAt(fd, headNow, maxHeadBytes, 0)), 0);
  }

  /** Moves to `offset` without reading what is before it. */
  seek(offset: number): void {
    this.offset = offset;
    this.atLineStart =
      offset === 0 || (readAt(this.fd, headNow, 1, offset - 1) === 1 && headNow[0] === 0x0a);
  }

  /** Continues from the new end of a truncated file. */
  acceptCut(): void {
    const size = this.look();
    this.#head.shorten(size);
    this.seek(size);
  }

  /** The current size. */
  look(): number {
    this.size = fstatSync(this.fd).size;
    return this.size;
  }

  /**
   * Reads into `buffer`, not past `end`, without advancing; 0 at the end. The head is checked after the read, so content
   * replaced before or during it is detected.
   */
  read(buffer: Buffer, end: number): number | ContentGone {
    const wanted = Math.max(0, Math.min(buffer.length, end - this.offset));
    const length = readAt(this.fd, buffer, wanted, this.offset);
    const gone = this.contentGone();
    if (gone !== undefined) return gone;
    this.#head.extend(buffer.subarray(0, length), this.offset);
    return length;
  }

  contentGone(): ContentGone | undefined {
    const content = headNow.subarray(0, readAt(this.fd, headNow, this.#head.length, 0));
    if (!this.#head.begins(content)) {
      return content.length > 0 && this.#head.beginsWith(content) ? "cut" : "replaced";
    }
    const stats = fstatSync(this.fd);
    this.size = stats.size;
    if (stats.size < this.offset) return "cut";
    this.knownSize = stats.size;
    this.modifiedMs = stats.mtimeMs;
    return undefined;
  }

  /** Marks `chunk`, just read, as delivered. */
  advance(chunk: Buffer): void {
    this.offset += chunk.length;
    this.atLineStart = chunk[chunk.length - 1] === 0x0a;
  }

  position(): LogPosition {
    return {
      headHash: this.#head.hash,
      headLength: this.#head.length,
      offset: this.offset,
      inode: this.inode,
      modifiedMs: this.modifiedMs,
    };
  }

  /** Calling it twice must do no harm: the descriptor number may belong to another file by then. */
  close(): void {
    if (!this.#closed) closeSync(this.fd);
    this.#closed = true;
  }
}

/** Opens without ever blocking (a FIFO would). Throws the system's error, or EINVAL if it is not a regular file. */
export function openLog(path: string): OpenLog {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw notARegularFile();
    return new OpenLog(fd, stats);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Names in a directory; none if it is not there or cannot be read. Throws if descriptors or memory are short. */
export function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isShortage(error)) throw error;
    return [];
  }
}

function notARegularFile(): NodeJS.ErrnoException {
  const { EINVAL } = systemConstants.errno;
  return Object.assign(new Error("not a regular file"), { code: "EINVAL", errno: -EINVAL });
}

/** Reads until `length` bytes or the end of the file; returns the number read. */
export function readAt(fd: number, buffer: Buffer, length: number, position: number): number {
  let done = 0;
  while (done < length) {
    const read = readSync(fd, buffer, done, length - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}
