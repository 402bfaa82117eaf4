/**
 * The files that rotation makes of one log, and which of them have not been read.
 *
 *   kern.log                    the one being written
 *   kern.log.1  kern.log.2.gz   logrotate; a higher number is older; also .xz, .zst, .bz2 and .lz4 (packed-log.ts)
 *   kern.log-20261121[-SSSS].gz logrotate with dateext, or dateformat
 *   kern-20261121.log           logrotate with extension
 *   archive/kern.log.1          logrotate with olddir, where its configuration says so
 *   kern.log.old                moved by hand: only looked at for the file of a saved position
 *
 * Renamed files keep their inode, copied and compressed ones do not; all keep their first bytes.
 */
import { realpathSync, type Stats, statSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { LeastRecentMap } from "../collections/bounded-map.ts";
import { isShortage, isSystemError } from "../sources/system-error.ts";
import { hashHead, type LogPosition, maxHeadBytes } from "./log-identity.ts";
import { oldDirectories } from "./logrotate-olddir.ts";
import { entriesOf, type OpenLog, openLog, readAt } from "./open-log.ts";
import {
  type Compression,
  canUnpack,
  compressionOfSuffix,
  headByNode,
  headByProgram,
  notInstalled,
  packedHeadBytes,
  UnpackInterrupted,
} from "./packed-log.ts";

/** One file of the log, open. */
export interface LogPart {
  path: string;
  log: OpenLog;
  /** Absent if it is not compressed. */
  compression?: Compression;
}

export interface UnreadParts {
  /** Oldest first, each with the offset (uncompressed) from which it is unread. */
  parts: { part: LogPart; offset: number }[];
  /** Whether the position's file still exists. */
  found: boolean;
  /** What should be read but cannot be: one line each. */
  unreadable: string[];
}

/** The first bytes of compressed files, by `HeadUnknown.file`; empty for a file that is to count as another log's. */
export type PackedHeads = Map<string, Buffer>;

/** Only a program can tell the first bytes of a compressed file. */
export class HeadUnknown extends Error {
  readonly file: string;
  readonly compression: Compression;
  readonly #path: string;
  readonly #packed: Buffer;

  constructor(file: string, path: string, compression: Compression, packed: Buffer) {
    super(`the first bytes of ${path} are not known yet`);
    this.file = file;
    this.compression = compression;
    this.#path = path;
    this.#packed = packed;
  }

  /**
   * Finds them out, and keeps them for later questions.
   * @throws {UnpackInterrupted}
   */
  async find(abort: AbortController): Promise<Buffer> {
    try {
      const head = await headByProgram(this.#packed, this.compression, maxHeadBytes, abort);
      knownHeads.set(this.file, head);
      return head;
    } catch (error) {
      if (!(error instanceof UnpackInterrupted)) throw error;
      throw new UnpackInterrupted(`${this.#path}: ${error.message}`);
    }
  }
}

interface Listing {
  /** Rotated files, oldest first. */
  rotated: LogPart[];
  /** Files with other names, which may be the one of a saved position. */
  others: LogPart[];
  current: LogPart | undefined;
  /** Files that cannot be read, with the time of the last write and the reason. */
  unreadable: { modifiedMs: number; reason: string }[];
}

interface RotatedName {
  /** The name without its compression suffix. */
  plainName: string;
  /** `.gz` or another one; empty if it has none. */
  suffix: string;
  /** `logrotate`'s number; undefined if the name has a date or neither. */
  count?: number;
  date?: string;
}

/**
 * The parts of the log at `path` after `position`, opened. The file at `path` is always the last part if it exists, even
 * if nothing in it is unread. The caller closes the parts.
 *
 * Nothing here waits for a program. If the first bytes of a compressed file decide and only a program can tell them, this
 * throws `HeadUnknown`: find them out, add them to `heads`, and ask again, with the position as of then.
 * @throws {HeadUnknown}, or the system's error if the file at `path` exists but cannot be opened, or if descriptors or
 *   memory are short for any other
 */
export function unreadParts(
  path: string,
  position: LogPosition,
  heads: PackedHeads = new Map(),
): UnreadParts {
  const listing = list(path);
  const used = new Set<LogPart>();
  try {
    return choose(listing, position, used, heads);
  } finally {
    for (const part of all(listing)) if (!used.has(part)) part.log.close();
  }
}

/** The position before the file at `path` and after everything that has been rotated away by now. */
export function positionBefore(path: string): LogPosition {
  const rotated = siblingPaths(path).map((sibling) => statsOf(sibling.path)?.mtimeMs ?? 0);
  return {
    headHash: hashHead(Buffer.alloc(0)),
    headLength: 0,
    offset: 0,
    modifiedMs: Math.max(0, ...rotated),
  };
}

function choose(
  listing: Listing,
  position: LogPosition,
  used: Set<LogPart>,
  heads: PackedHeads,
): UnreadParts {
  const { rotated, others, current } = listing;
  const inOrder = current === undefined ? rotated : [...rotated, current];
  const offsets = new Map<LogPart, number>();
  for (const known of [position, ...(position.besides ?? [])]) {
    const part = find(known, [...others, ...inOrder], heads);
    if (part !== undefined) offsets.set(part, known.offset);
  }
  const aside = others.find((part) => offsets.has(part));
  const newestKnown = inOrder.findLastIndex((part) => offsets.has(part));
  const found = newestKnown !== -1 || aside !== undefined;
  const since = aside?.log.modifiedMs ?? position.modifiedMs ?? Number.POSITIVE_INFINITY;
  // Everything between known files has been read: files are left in order only.
  const chosen = inOrder.filter(
    (part, index) =>
      offsets.has(part) ||
      (newestKnown !== -1 ? index > newestKnown : part.log.modifiedMs > since || part === current),
  );
  const newerThan = inOrder[newestKnown]?.log.modifiedMs ?? since;
  const parts = [...(aside === undefined ? [] : [aside]), ...chosen]
    .filter((part) => offsets.has(part) || !isCopyOf(part, current))
    .map((part) => {
      const offset = offsets.get(part) ?? 0;
      return {
        part,
        offset: part.compression !== undefined ? offset : Math.min(offset, part.log.size),
      };
    });
  for (const { part } of parts) used.add(part);
  return {
    parts,
    found,
    unreadable: listing.unreadable
      .filter(({ modifiedMs }) => modifiedMs > newerThan)
      .map(({ reason }) => reason),
  };
}

/**
 * The file of `position`: the one with the same first bytes. If there are several, one that is long enough; then the
 * same inode, else the newest. A shorter one is a copy that was made before the last lines were read.
 */
function find(position: LogPosition, parts: LogPart[], heads: PackedHeads): LogPart | undefined {
  const { headHash, headLength } = position;
  // Every file begins with an empty head.
  if (headLength === 0) return undefined;
  const alike = parts.filter((part) => {
    if (part.compression !== undefined && isOlder(part.log, position)) return false;
    const head = headOf(part, headLength, heads);
    return head.length === headLength && hashHead(head) === headHash;
  });
  const reaching = alike.filter(
    (part) => part.compression !== undefined || part.log.size >= position.offset,
  );
  const candidates = reaching.length > 0 ? reaching : alike;
  return candidates.find((part) => part.log.inode === position.inode) ?? candidates.at(-1);
}

/** Last written before the position: compression keeps the time, some programs only its whole seconds. */
function isOlder({ modifiedMs }: OpenLog, position: LogPosition): boolean {
  return modifiedMs < Math.floor((position.modifiedMs ?? 0) / 1000) * 1000;
}

/** The first bytes, uncompressed, at most `length`. @throws {HeadUnknown} */
function headOf(part: LogPart, length: number, heads: PackedHeads): Buffer {
  const { log, compression, path } = part;
  if (compression !== undefined) {
    return packedHeadOf(log, path, compression, heads).subarray(0, length);
  }
  const head = Buffer.alloc(length);
  return head.subarray(0, readAt(log.fd, head, length, 0));
}

/** Of compressed files, which never change: decompressing one may start a program. At most 1 KiB each. */
const knownHeads = new LeastRecentMap<string, Buffer>(500);

function packedHeadOf(
  log: OpenLog,
  path: string,
  compression: Compression,
  heads: PackedHeads,
): Buffer {
  const file = `${log.dev}:${log.inode} ${log.size} ${log.modifiedMs}`;
  const known = heads.get(file) ?? knownHeads.get(file);
  if (known !== undefined) return known;
  const packed = Buffer.alloc(Math.min(packedHeadBytes[compression], log.size));
  const read = packed.subarray(0, readAt(log.fd, packed, packed.length, 0));
  const head = headByNode(read, compression, maxHeadBytes);
  if (head === undefined) throw new HeadUnknown(file, path, compression, read);
  knownHeads.set(file, head);
  return head;
}

/** `copytruncate` between its two steps: all lines of the copy are still in the current file too. */
function isCopyOf(part: LogPart, current: LogPart | undefined): boolean {
  if (current === undefined || part === current || part.compression !== undefined) return false;
  const { size } = part.log;
  if (size === 0 || size > current.log.size) return false;
  const length = Math.min(size, maxHeadBytes);
  const none: PackedHeads = new Map();
  return headOf(part, length, none).equals(headOf(current, length, none));
}

/** Opens all files. Rotation may run at the same time: retries until no name has changed. */
function list(path: string): Listing {
  for (let attempt = 0; ; attempt++) {
    const before = inodesByName(path);
    const listing = openAll(path);
    if (attempt === 20 || inodesByName(path) === before) return listing;
    for (const part of all(listing)) part.log.close();
  }
}

function inodesByName(path: string): string {
  const names = [path, ...siblingPaths(path).map((sibling) => sibling.path)];
  return names.map((name) => `${name} ${statsOf(name)?.ino}`).join("\n");
}

/** Undefined if there is nothing, or nothing accessible. */
export function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function all(listing: Listing): LogPart[] {
  const { rotated, others, current } = listing;
  return [...rotated, ...others, ...(current === undefined ? [] : [current])];
}

function openAll(path: string): Listing {
  const siblings = siblingPaths(path);
  const listing: Listing = { rotated: [], others: [], current: undefined, unreadable: [] };
  const names = new Map<LogPart, RotatedName>();
  const inodes = new Set<string>();
  const add = (part: LogPart): boolean => {
    const inode = `${part.log.dev}:${part.log.inode}`;
    if (inodes.has(inode)) return false;
    inodes.add(inode);
    return true;
  };
  try {
    listing.current = { path, log: openLog(path) };
    add(listing.current);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const programs = new Map<Compression, boolean>();
  const isReadable = (compression: Compression): boolean => {
    const known = programs.get(compression) ?? canUnpack(compression);
    programs.set(compression, known);
    return known;
  };
  const plain = new Set(siblings.map(({ path }) => path));
  for (const { path: sibling, name } of siblings) {
    const isPacked = name.suffix !== "";
    const compression = compressionOfSuffix.get(name.suffix);
    // While it is being compressed both files exist, and only the uncompressed one is certainly complete.
    if (isPacked && plain.has(join(dirname(sibling), name.plainName))) continue;
    if (isPacked && (compression === undefined || !isReadable(compression))) {
      const why =
        compression === undefined
          ? `compressed in a way (${name.suffix}) that cannot be read`
          : notInstalled(compression).message;
      noteUnreadable(listing, sibling, `${sibling} is ${why}; let logrotate use gzip`);
      continue;
    }
    try {
      const part: LogPart = { path: sibling, log: openLog(sibling), compression };
      if (!add(part)) {
        part.log.close();
      } else if (name.count === undefined && name.date === undefined) {
        listing.others.push(part);
      } else {
        names.set(part, name);
        listing.rotated.push(part);
      }
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (error.code === "ENOENT") continue;
      if (isShortage(error)) {
        for (const part of all(listing)) part.log.close();
        throw error;
      }
      noteUnreadable(listing, sibling, `cannot read ${sibling}: ${error.message}`);
    }
  }
  listing.rotated.sort(olderFirst(names));
  return listing;
}

function noteUnreadable(listing: Listing, path: string, reason: string): void {
  const stats = statsOf(path);
  if (stats?.isFile()) listing.unreadable.push({ modifiedMs: stats.mtimeMs, reason });
}

/** By name if all names have the same form, else by the time of the last write, which copying and gzip preserve. */
function olderFirst(names: Map<LogPart, RotatedName>): (a: LogPart, b: LogPart) => number {
  const kinds = [...names.values()];
  const byCount = kinds.every((name) => name.count !== undefined);
  const byDate = kinds.every((name) => name.date?.length === kinds[0]?.date?.length);
  return (a, b) => {
    const one = names.get(a);
    const other = names.get(b);
    if (byCount) return (other?.count ?? 0) - (one?.count ?? 0);
    if (byDate && one?.date !== other?.date)
      return (one?.date ?? "") < (other?.date ?? "") ? -1 : 1;
    return a.log.modifiedMs - b.log.modifiedMs;
  };
}

/**
 * All files that may have been the log: next to it, next to the target of a symbolic link, and in logrotate's `olddir`.
 */
function siblingPaths(path: string): { path: string; name: RotatedName }[] {
  const places = new Set([path]);
  try {
    places.add(realpathSync(path));
  } catch {
    // Missing at this moment, but its siblings exist.
  }
  const siblings: { path: string; name: RotatedName }[] = [];
  for (const place of places) {
    for (const directory of [dirname(place), ...oldDirectories(place)]) {
      for (const file of entriesOf(directory)) {
        const name = rotatedName(file, basename(place));
        const sibling = join(directory, file);
        if (name !== undefined && !places.has(sibling)) siblings.push({ path: sibling, name });
      }
    }
  }
  return siblings;
}

function rotatedName(file: string, base: string): RotatedName | undefined {
  const packing = /\.(?:gz|xz|zst|bz2|lz4|lzma|Z)$/.exec(file)?.[0] ?? "";
  const plainName = file.slice(0, file.length - packing.length);
  const extension = extname(base);
  const stem = base.slice(0, base.length - extension.length);
  const suffix = plainName.startsWith(base)
    ? plainName.slice(base.length)
    : plainName.startsWith(stem) && plainName.endsWith(extension) && extension !== ""
      ? plainName.slice(stem.length, plainName.length - extension.length)
      : undefined;
  if (suffix === undefined || suffix === "" || !/^[._-]/.test(suffix)) return undefined;
  if (/^[._-]\d{1,5}$/.test(suffix)) {
    return { plainName, suffix: packing, count: Number(suffix.slice(1)) };
  }
  if (/^[._-]\d[\d._:T-]+$/.test(suffix)) return { plainName, suffix: packing, date: suffix };
  return plainName.startsWith(base) ? { plainName, suffix: packing } : undefined;
}
