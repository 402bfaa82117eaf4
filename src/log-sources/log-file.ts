/**
 * A log file that is rotated repeatedly, read as one stream: each byte once, in order.
 *
 * Bulk data (existing content at the start, and what rotation left unread) is read directly into one buffer; the live
 * end is followed by `tail`, from the same descriptor and offset. Files are identified by their first bytes, not by
 * their names: after every rotation and every restart the question is what comes after this position, and all existing
 * files are examined to answer it.
 *
 * Impossible to recover: lines written between the two steps of a `copytruncate` (to the old content after it was copied
 * and before it was truncated), and lines truncated without a copy.
 */
import { type FSWatcher, type Stats, statSync, watch } from "node:fs";
import { basename, dirname } from "node:path";
import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { LeastRecentMap } from "../collections/bounded-map.ts";
import { isSystemError } from "../sources/system-error.ts";
import { readCompressed } from "./compressed-log.ts";
import type { LogPosition } from "./log-identity.ts";
import { obstacleOf, obstacleText } from "./log-obstacle.ts";
import type { ReadState, SourceListener } from "./log-source.ts";
import { LogTail } from "./log-tail.ts";
import { type ContentGone, OpenLog } from "./open-log.ts";
import { type Compression, UnpackError, UnpackInterrupted } from "./packed-log.ts";
import {
  HeadUnknown,
  type PackedHeads,
  positionBefore,
  type UnreadParts,
  unreadParts,
} from "./rotated-logs.ts";

/** The events of a `LogFile`. All calls come in order, never re-entrantly. */
export interface LogFileListener extends SourceListener {
  /**
   * Bytes of the log in order, each exactly once, split anywhere. `chunk` is valid only during the call. `at` is the
   * position of its first byte.
   */
  bytes(chunk: Buffer, at: LogPosition): void;
  /** This file is finished (rotated away or truncated): an unterminated rest is a line, the next bytes belong to another file. */
  endOfFile(): void;
  /**
   * Called once after `start()`: everything in the log at that moment has been delivered, to the byte; later bytes were
   * written since. Waits while the file cannot be read; called at once if there is no file yet.
   */
  caughtUp(): void;
  rotated(kind: "rename" | "truncate"): void;
}

export interface LogFileOptions {
  path: string;
  /**
   * `start`: the beginning of the current file. A position: the rest of that file, wherever rotation has moved it, then
   * every newer one.
   */
  from: LogPosition | "start";
  listener: LogFileListener;
  /** False: no watches, `poll()` does everything (tests). Default true. */
  watch?: boolean;
  /** Monotonic milliseconds. */
  now: () => number;
  /** Maximum chunk size, default 128 KiB: it stays in the processor's cache. */
  maxChunkBytes?: number;
}

type RotationKind = "rename" | "truncate";

/** One unread file and what to do with it. */
interface Step {
  log: OpenLog;
  path: string;
  /** Absent if it is not compressed. */
  compression?: Compression;
  /** Read from here... */
  offset: number;
  /** ...up to here, its size when the steps were planned; more may have come since. */
  end: number;
  /** Already open and only checked for late lines. */
  isLeftBehind: boolean;
  /** Has bytes that are a reason to leave the file being followed. */
  hasUnread: boolean;
}

/** Each fourth beat polls: rotations are found within about a second. */
const beatsPerPoll = 4;
/** Bytes read before other work gets its turn: a few milliseconds. */
const turnBytes = 2 * 1024 * 1024;
/** How long a file that was left is still checked for lines from a writer that has not switched yet. */
const lateWriterMs = 30_000;
/** A rotation that creates the new file late is not a failure before this. */
const missingMs = 10_000;
const maxLeftBehind = 4;
/** More rotated files than a directory has; each rotation adds one. */
const rememberedFiles = 1000;
/** Beats without a decompressed byte, one minute: the program hangs. They do not go on while this process is suspended. */
const maxIdleBeats = 240;
/** Wait before the second attempt after an interrupted decompression; doubled for each further one. */
const firstRetryMs = 1000;
/** What is still interrupted after this time is a loss: newer lines are waiting for it. */
const giveUpAfterMs = 60_000;

export class LogFile {
  readonly #path: string;
  readonly #from: LogPosition | "start";
  readonly #listener: LogFileListener;
  readonly #watching: boolean;
  readonly #now: () => number;
  readonly #buffer: Buffer;

  /** The file being followed: the one at the path, or the previous one while its writer is still using it. */
  #current: OpenLog | undefined;
  #tail: LogTail | undefined;
  /** The file of the last delivered bytes, or the position to start from. */
  #position: OpenLog | LogPosition | undefined;
  /** Inside a file for which `endOfFile()` has not been called. */
  #insideFile = false;
  #leftBehind: { log: OpenLog; untilMs: number }[] = [];
  /** Compressed files read to their end, which later attempts find again until they are deleted. */
  readonly #readWhole = new LeastRecentMap<string, true>(rememberedFiles);
  /** Losses that later attempts find again. */
  readonly #reported = new LeastRecentMap<string, true>(rememberedFiles);
  #unpacking: { abort: AbortController; compression: Compression; idleBeats: number } | undefined;
  /** Decompression was interrupted and has not worked since: everything waits for the next attempt. */
  #interruption: { sinceMs: number; waitMs: number; untilMs: number } | undefined;

  #caughtUp = false;
  #stopped = false;
  #state: ReadState | undefined;
  #missingSinceMs: number | undefined;
  #beats = 0;
  #awaiting: FSWatcher | undefined;
  #awaitedAt: string | undefined;
  #turns: Promise<void> | undefined;
  #pending: { thorough: boolean } | undefined;

  constructor(options: LogFileOptions) {
    this.#path = options.path;
    this.#from = options.from;
    this.#listener = options.listener;
    this.#watching = options.watch ?? true;
    this.#now = options.now;
    this.#buffer = Buffer.allocUnsafeSlow(options.maxChunkBytes ?? 128 * 1024);
  }

  /** Resolves `start` before it returns, then reads. */
  start(): void {
    this.#position = this.#from === "start" ? positionBefore(this.#path) : this.#from;
    void this.poll();
  }

  /** Called four times a second, by a timer that others use too. New lines do not wait for it. */
  beat(): void {
    const unpacking = this.#unpacking;
    if (unpacking !== undefined && ++unpacking.idleBeats === maxIdleBeats) {
      const { abort, compression } = unpacking;
      abort.abort(new UnpackInterrupted(`${compression} has written nothing for a minute`));
    }
    if (++this.#beats % beatsPerPoll === 0) void this.poll();
  }

  stop(): void {
    this.#stopped = true;
    this.#unpacking?.abort.abort(new UnpackInterrupted("stopped"));
    this.#awaitFile(undefined);
    this.#stopTail();
    this.#current?.close();
    this.#current = undefined;
    for (const { log } of this.#leftBehind) log.close();
    this.#leftBehind = [];
  }

  /** Where to continue after everything that has been delivered; undefined before `start()`. */
  position(): LogPosition | undefined {
    const main = this.#position instanceof OpenLog ? this.#position.position() : this.#position;
    if (main === undefined) return undefined;
    const besides = [this.#current, ...this.#leftBehind.map(({ log }) => log)]
      .filter((log) => log !== undefined)
      .filter((log) => log !== this.#position && log.offset > 0)
      .map((log) => log.position());
    return besides.length === 0 ? main : { ...main, besides };
  }

  /** Reads everything available and checks for rotations; settles when nothing is left to do. */
  poll(): Promise<void> {
    return this.#wake(true);
  }

  #wake(thorough: boolean): Promise<void> {
    this.#pending = { thorough: thorough || (this.#pending?.thorough ?? false) };
    this.#turns ??= this.#takeTurns().finally(() => {
      this.#turns = undefined;
    });
    return this.#turns;
  }

  async #takeTurns(): Promise<void> {
    while (this.#pending !== undefined && !this.#stopped) {
      const { thorough } = this.#pending;
      this.#pending = undefined;
      try {
        while (!this.#stopped && (await this.#takeTurn(thorough))) {}
      } catch (error) {
        this.#failed(error);
      }
      this.#follow();
    }
  }

  /** One check of everything; returns whether another one is needed. */
  async #takeTurn(thorough: boolean): Promise<boolean> {
    const held = this.#current;
    if (held !== undefined) {
      // The first bytes of a file: whole files may have come and gone while it was empty.
      if (held.offset === 0 && held.look() > 0) return this.#advance("rename");
      const gone = await this.#drain(held);
      if (this.#stopped) return false;
      if (gone === "replaced") return this.#advance("truncate");
      if (gone === "cut") return this.#acceptCut(held);
    }
    this.#readLateLines();
    const stats = statSync(this.#path, { throwIfNoEntry: false });
    if (stats !== undefined && held !== undefined && isSameFile(stats, held)) {
      this.#awaitFile(undefined);
      this.#missingSinceMs = undefined;
      this.#setState({ up: true });
      return false;
    }
    const target = stats === undefined ? dirname(this.#path) : this.#path;
    if (thorough || this.#awaitedAt !== target) this.#awaitFile(target);
    if (stats === undefined) this.#noteMissing(held !== undefined);
    if (!thorough && held !== undefined && (stats?.size ?? 0) === 0) return false;
    return this.#advance("rename");
  }

  /** Continues with what comes after the position; returns whether there was anything. */
  async #advance(kind: RotationKind): Promise<boolean> {
    if (this.#now() < (this.#interruption?.untilMs ?? 0)) return false;
    const found = await this.#unreadParts();
    if (found === undefined) return false;
    const { unread, position } = found;
    const opened = new Set(unread.parts.map(({ part }) => part.log));
    try {
      const steps = this.#steps(unread, kind);
      const atPath = steps.find(({ path }) => path === this.#path);
      if (atPath !== undefined) {
        this.#missingSinceMs = undefined;
        if (this.#interruption === undefined) this.#setState({ up: true });
      }
      const held = this.#current;
      if (this.#caughtUp && kind === "rename" && !steps.some(({ hasUnread }) => hasUnread)) {
        if (held !== undefined || atPath === undefined) return false;
      }
      if (held !== undefined) opened.add(held);
      this.#stopTail();
      this.#current = undefined;
      this.#reportLosses(unread, position, held, kind);
      const outcome = await this.#goThrough(steps, kind);
      if (outcome !== "done") return outcome === "replaced" && !this.#stopped;
      if (this.#interruption !== undefined && atPath !== undefined) this.#setState({ up: true });
      this.#interruption = undefined;
      this.#current = fileToFollow(steps, atPath, held, position)?.log;
      this.#leftBehind = this.#leftBehind.filter(({ log }) => log !== this.#current);
      if (!this.#caughtUp) {
        this.#caughtUp = true;
        this.#listener.caughtUp();
      }
      return true;
    } finally {
      const kept = [this.#current, ...this.#leftBehind.map(({ log }) => log)];
      for (const log of opened) if (!kept.includes(log)) log.close();
    }
  }

  /** With the position after which they are unread. Undefined if they cannot be found out at the moment. */
  async #unreadParts(): Promise<{ unread: UnreadParts; position: LogPosition } | undefined> {
    const heads: PackedHeads = new Map();
    for (;;) {
      // While a program ran, the file being followed may have been read further.
      const position = this.position();
      if (position === undefined) return undefined;
      let unknown: HeadUnknown;
      try {
        return { unread: unreadParts(this.#path, position, heads), position };
      } catch (error) {
        if (!(error instanceof HeadUnknown)) throw error;
        unknown = error;
      }
      try {
        heads.set(unknown.file, await this.#headOf(unknown));
      } catch (error) {
        if (!(error instanceof UnpackInterrupted)) throw error;
        if (this.#stopped || this.#triesAgain(error)) return undefined;
        heads.set(unknown.file, Buffer.alloc(0));
      }
      if (this.#stopped) return undefined;
    }
  }

  async #headOf(unknown: HeadUnknown): Promise<Buffer> {
    const { compression } = unknown;
    const unpacking = { abort: new AbortController(), compression, idleBeats: 0 };
    this.#unpacking = unpacking;
    try {
      return await unknown.find(unpacking.abort);
    } finally {
      this.#unpacking = undefined;
    }
  }

  /** Plans another attempt; false if there were enough. */
  #triesAgain({ message }: UnpackInterrupted): boolean {
    const nowMs = this.#now();
    const { sinceMs, waitMs } = this.#interruption ?? { sinceMs: nowMs, waitMs: firstRetryMs };
    if (nowMs - sinceMs >= giveUpAfterMs) return false;
    this.#interruption = { sinceMs, waitMs: 2 * waitMs, untilMs: nowMs + waitMs };
    this.#setState({ up: false, reason: `cannot decompress for now: ${message}; trying again` });
    return true;
  }

  /** The unread parts as steps; a file that is already open replaces its part. */
  #steps(unread: UnreadParts, kind: RotationKind): Step[] {
    const held = kind === "rename" ? this.#current : undefined;
    const steps = unread.parts
      .filter(({ part }) => this.#readWhole.get(fileKey(part.log)) === undefined)
      .map(({ part, offset }): Step => {
        const { path, compression } = part;
        const left = this.#leftBehind.find(({ log }) => isSameFile(part.log, log))?.log;
        if (left !== undefined) {
          const { offset, size } = left;
          return {
            log: left,
            path,
            compression,
            offset,
            end: size,
            isLeftBehind: true,
            hasUnread: false,
          };
        }
        // A file that was empty when opened is identified by the state when all the others were examined.
        const isHeld = held !== undefined && held.offset > 0 && isSameFile(part.log, held);
        if (isHeld) return stepOf(held, path);
        const { size } = part.log;
        if (compression === undefined) part.log.seek(offset);
        const hasUnread = compression !== undefined || size > offset;
        return {
          log: part.log,
          path,
          compression,
          offset,
          end: size,
          isLeftBehind: false,
          hasUnread,
        };
      });
    // Deleted, but it may still contain unread bytes.
    if (held !== undefined && !steps.some(({ log }) => isSameFile(log, held))) {
      steps.unshift(stepOf(held, `${this.#path} (deleted)`));
    }
    return steps;
  }

  /**
   * Delivers the steps. `replaced`: a file was replaced in the meantime, so the steps are no longer valid. `interrupted`:
   * stopped, or to be continued later.
   */
  async #goThrough(
    steps: Step[],
    kind: RotationKind,
  ): Promise<"done" | "replaced" | "interrupted"> {
    const toRead = steps.filter(
      (step) => !step.isLeftBehind && (step.compression !== undefined || step.end > 0),
    );
    // The first one may be the file being read or, after a truncation, its copy.
    const goesOn = this.#insideFile && (toRead[0]?.offset ?? 0) > 0;
    if (kind === "truncate" && !goesOn) this.#finishFile(kind);
    for (const [index, step] of toRead.entries()) {
      if (this.#insideFile && !(goesOn && index === 0)) this.#finishFile(kind);
      this.#insideFile = true;
      if (step.compression !== undefined) {
        if (!(await this.#deliverCompressed(step, step.compression))) return "interrupted";
      } else {
        // Before catching up ends, only what existed when it began.
        const end = this.#caughtUp ? Number.POSITIVE_INFINITY : step.end;
        if ((await this.#drain(step.log, end)) === "replaced") return "replaced";
        if (!this.#stopped) this.#leaveBehind(step.log);
      }
      if (this.#stopped) return "interrupted";
      if (kind === "truncate" && goesOn && index === 0) this.#finishFile(kind);
    }
    return "done";
  }

  #finishFile(kind: RotationKind): void {
    this.#insideFile = false;
    this.#listener.endOfFile();
    if (this.#caughtUp) this.#listener.rotated(kind);
  }

  /** The end was cut off: everything in it had been read, so continue from the new end. */
  #acceptCut(log: OpenLog): boolean {
    this.#listener.endOfFile();
    this.#listener.rotated("truncate");
    log.acceptCut();
    return true;
  }

  #leaveBehind(log: OpenLog): void {
    this.#leftBehind.push({ log, untilMs: this.#now() + lateWriterMs });
    if (this.#leftBehind.length > maxLeftBehind) this.#leftBehind.shift()?.log.close();
  }

  /** Complete lines added to files already left, inserted between two lines of the current one. */
  #readLateLines(): void {
    for (const left of [...this.#leftBehind]) {
      const expired = this.#now() >= left.untilMs;
      if (expired || (this.#current?.atLineStart ?? true)) this.#readLate(left, expired);
      if (!expired) continue;
      this.#leftBehind = this.#leftBehind.filter((other) => other !== left);
      left.log.close();
    }
  }

  #readLate(left: { log: OpenLog; untilMs: number }, all: boolean): void {
    for (;;) {
      const length = left.log.read(this.#buffer, Number.POSITIVE_INFINITY);
      if (typeof length !== "number" || length === 0) return;
      const read = this.#buffer.subarray(0, length);
      const lines = all || length === this.#buffer.length ? length : read.lastIndexOf(0x0a) + 1;
      if (lines === 0) return;
      left.untilMs = this.#now() + lateWriterMs;
      if (this.#insideFile) this.#listener.endOfFile();
      this.#deliver(left.log, read.subarray(0, lines));
      this.#listener.endOfFile();
    }
  }

  /** Delivers up to `end`, letting other work in between. */
  async #drain(log: OpenLog, end = Number.POSITIVE_INFINITY): Promise<ContentGone | undefined> {
    for (;;) {
      const outcome = this.#readOn(log, end);
      if (outcome !== "more") return outcome;
      await yieldToEventLoop();
      if (this.#stopped) return undefined;
    }
  }

  /** Delivers 2 MiB at most; undefined = everything up to `end`. */
  #readOn(log: OpenLog, end: number): ContentGone | "more" | undefined {
    for (let done = 0; done < turnBytes && !this.#stopped; ) {
      const length = log.read(this.#buffer, end);
      if (typeof length !== "number") return length;
      if (length === 0) return undefined;
      this.#deliver(log, this.#buffer.subarray(0, length));
      done += length;
    }
    return "more";
  }

  #deliver(log: OpenLog, chunk: Buffer): void {
    this.#position = log;
    const at = this.position() as LogPosition;
    log.advance(chunk);
    this.#listener.bytes(chunk, at);
  }

  /** False if the rest of the file is still to be read: by another attempt, or after the next start. */
  async #deliverCompressed(
    { log, offset, path }: Step,
    compression: Compression,
  ): Promise<boolean> {
    const unpacking = { abort: new AbortController(), compression, idleBeats: 0 };
    let isBegun = offset > 0;
    this.#unpacking = unpacking;
    try {
      await readCompressed(log, compression, offset, {
        signal: unpacking.abort.signal,
        progressed: () => {
          unpacking.idleBeats = 0;
        },
        deliver: (chunk, at) => {
          if (this.#stopped) return false;
          isBegun = true;
          this.#position = { ...at, offset: at.offset + chunk.length };
          this.#listener.bytes(chunk, at);
          return true;
        },
      });
    } catch (error) {
      if (this.#stopped) return false;
      const isKnown = error instanceof UnpackError || isSystemError(error);
      if (!isKnown) throw error;
      const reason = `${path}: ${error.message}`;
      if (error instanceof UnpackInterrupted && this.#triesAgain(new UnpackInterrupted(reason))) {
        this.#insideFile = isBegun;
        return false;
      }
      this.#lost(`cannot decompress the rest of ${reason}`);
    } finally {
      this.#unpacking = undefined;
    }
    if (this.#stopped) return false;
    this.#readWhole.set(fileKey(log), true);
    return true;
  }

  #reportLosses(
    unread: UnreadParts,
    position: LogPosition,
    held: OpenLog | undefined,
    kind: RotationKind,
  ): void {
    for (const reason of unread.unreadable) this.#lostOnce(reason);
    if (unread.found) return;
    if (!this.#caughtUp && position.headLength > 0) {
      this.#lostOnce(
        `the file read last is no longer next to ${this.#path}: lines added to it are missing`,
      );
    } else if (kind === "truncate" && held !== undefined && held.knownSize > held.offset) {
      const bytes = held.knownSize - held.offset;
      this.#lost(`${this.#path} was truncated before its last ${bytes} bytes were read`);
    }
  }

  #follow(): void {
    const log = this.#current;
    if (log === undefined || this.#tail !== undefined || this.#stopped) return;
    const owner = {
      readUpTo: () => {
        // The first bytes of a file are handled by the turn, which looks for what came before them.
        if (log.offset > 0) this.#readLive(log);
      },
      inspect: () => void this.#wake(false),
    };
    try {
      this.#tail = new LogTail(log, owner, this.#watching);
      this.#tail.begin();
    } catch (error) {
      this.#failed(error);
    }
  }

  #readLive(log: OpenLog): void {
    let outcome: ContentGone | "more" | undefined;
    try {
      outcome = this.#readOn(log, Number.POSITIVE_INFINITY);
    } catch (error) {
      this.#failed(error);
    }
    if (outcome === "replaced" || outcome === "cut") void this.#wake(false);
  }

  #stopTail(): void {
    this.#tail?.stop();
    this.#tail = undefined;
  }

  /**
   * Wakes for the file that will take over: for its creation, then for its first bytes. Never combined with watching the
   * followed file: events of a directory would come between those of a file in it and keep the kernel from merging them.
   */
  #awaitFile(target: string | undefined): void {
    this.#awaiting?.close();
    this.#awaiting = undefined;
    this.#awaitedAt = target;
    if (target === undefined || !this.#watching) return;
    try {
      this.#awaiting = watch(target, (_event, name) => {
        if (name === null || name === basename(this.#path)) void this.#wake(false);
      });
      this.#awaiting.on("error", () => this.#awaitFile(undefined));
    } catch {
      // Gone again, or no watch available: the poll finds the file.
    }
  }

  #noteMissing(holding: boolean): void {
    this.#missingSinceMs ??= this.#now();
    if (!holding) {
      this.#setState({ up: false, reason: `${this.#path} does not exist; waiting for it` });
    } else if (this.#now() - this.#missingSinceMs >= missingMs) {
      const reason = `${this.#path} is gone; still reading the file that was there`;
      this.#setState({ up: false, reason });
    }
  }

  #failed(error: unknown): void {
    // A bug in this program or in the listener is not the file's.
    if (!isSystemError(error)) throw error;
    const reason = `cannot read ${this.#path}: ${obstacleText(obstacleOf("file", error))}`;
    this.#setState({ up: false, reason });
  }

  /** For what the next attempt to read the same files finds again. */
  #lostOnce(reason: string): void {
    if (this.#reported.get(reason) === undefined) this.#lost(reason);
    this.#reported.set(reason, true);
  }

  #lost(reason: string): void {
    this.#listener.lost(reason, 1);
  }

  #setState(state: ReadState): void {
    if (this.#state?.up === state.up && this.#state.reason === state.reason) return;
    this.#state = state;
    this.#listener.stateChanged(state);
  }
}

function stepOf(log: OpenLog, path: string): Step {
  const { offset } = log;
  const end = log.look();
  const hasUnread = offset === 0 && end > 0;
  return { log, path, offset, end, isLeftBehind: false, hasUnread };
}

/**
 * The file at the path; or the previous one while the new one is empty or missing and the writer may still hold the old
 * one (it was renamed, not copied).
 */
function fileToFollow(
  steps: Step[],
  atPath: Step | undefined,
  held: OpenLog | undefined,
  position: LogPosition,
): Step | undefined {
  const last = steps.findLast(({ end, compression }) => compression !== undefined || end > 0);
  if (last === undefined || last.compression !== undefined) return atPath;
  const isCopy = last.log !== held && last.offset > 0 && last.log.inode !== position.inode;
  return isCopy ? atPath : last;
}

function isSameFile(file: Stats | OpenLog, log: OpenLog): boolean {
  return file.dev === log.dev && (file instanceof OpenLog ? file.inode : file.ino) === log.inode;
}

/** Inodes are reused, so the key includes attributes that do not change for a compressed file. */
function fileKey({ dev, inode, size, modifiedMs }: OpenLog): string {
  return `${dev}:${inode}:${size}:${modifiedMs}`;
}
