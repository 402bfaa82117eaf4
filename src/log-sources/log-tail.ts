/**
 * The `tail` package, following the live end of one open file.
 *
 * How `tail` works: it watches the file (`watch`, `unwatch`, `watchEvent`), compares the size with its cursor on a
 * change, queues the block in between (`change`), and starts reading if the queue was empty.
 *
 * What is changed, and why:
 * - It gets `/proc/self/fd/N`, so it stays with one inode, and `rename()` only notifies the owner. As shipped it reopens
 *   the path a second later with the old file's cursor, and lines are lost.
 * - `change()` pauses for 25 ms after each check and then takes everything at once. Under a steady stream it drops the
 *   watch and polls: one wake-up per write costs more than the reading. A single line is read at once.
 * - `readBlock()` lets the owner read from the open descriptor, in the same turn. A stream per block costs twice the CPU
 *   even at this rate (3.8 % of a core instead of 1.7 % at 50,000 lines/s), and data still in flight when the file is
 *   truncated would arrive afterwards. The bytes are passed on as they are, complete lines or not: nothing accumulates
 *   before a newline (quadratic in `tail`).
 * - The owner handles a shrinking file; `tail` would skip to its new end unread.
 */
import type { EventEmitter } from "node:events";
import type { FSWatcher } from "node:fs";
import { Tail } from "tail";
import type { OpenLog } from "./open-log.ts";

export interface TailOwner {
  /** Reads and delivers up to `end`; afterwards `log.offset` shows how far it got. */
  readUpTo(end: number): void;
  /** Nothing new, or something other than new bytes: check what happened to the file. */
  inspect(): void;
}

/** Members of tail.js that @types/tail does not declare. */
interface TailMachinery extends EventEmitter {
  currentCursorPos: number;
  queue: { start: number; end: number }[];
  watcher: FSWatcher | undefined;
  change(): void;
  readBlock(): void;
  rename(filename: string): void;
  latestPosition(): number;
  watch(cursor: number, flush: boolean): void;
  unwatch(): void;
}
const TailClass = Tail as unknown as new (filename: string, options: object) => TailMachinery;

const restMs = 25;

export class LogTail extends TailClass {
  readonly #log: OpenLog;
  readonly #owner: TailOwner;
  readonly #watching: boolean;
  #restTimer: NodeJS.Timeout | undefined;
  #isThrottled = false;
  #stopped = false;

  /** Call `begin()` to start. `watching` false: checks only in `look()`. */
  constructor(log: OpenLog, owner: TailOwner, watching: boolean) {
    // `fromBeginning` makes `tail` skip asking for the size. `begin()` sets the cursor.
    super(`/proc/self/fd/${log.fd}`, { fromBeginning: true, separator: null });
    this.#log = log;
    this.#owner = owner;
    this.#watching = watching;
  }

  /** Starts from the offset of `log`. */
  begin(): void {
    this.watch(this.#log.offset, false);
    this.look();
  }

  override watch(cursor: number, flush: boolean): void {
    // The constructor of `tail` would start before everything is set up.
    if (!(#log in this)) return;
    this.currentCursorPos = cursor;
    if (!this.#watching) return;
    try {
      super.watch(cursor, flush);
      this.watcher?.on("error", () => this.#startPolling());
    } catch {
      // No inotify watch available (max_user_watches): poll instead.
      this.unwatch();
      this.#startPolling();
    }
  }

  override change(): void {
    if (this.#restTimer === undefined) {
      this.look();
    } else if (!this.#isThrottled) {
      this.#isThrottled = true;
      this.unwatch();
    }
  }

  override rename(): void {
    this.#owner.inspect();
  }

  override latestPosition(): number {
    try {
      return this.#log.look();
    } catch {
      return this.currentCursorPos; // not grown: `inspect()` meets the same error and reports it
    }
  }

  /** Checks the file now. */
  look(): void {
    const before = this.#log.offset;
    super.change();
    if (this.#stopped) return;
    if (this.#log.offset === before) this.#owner.inspect();
    else if (this.#watching) this.#rest();
  }

  override readBlock(): void {
    const block = this.queue[0];
    if (block === undefined) return;
    this.#owner.readUpTo(block.end);
    this.queue.shift();
    this.currentCursorPos = this.#log.offset;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#restTimer);
    this.unwatch();
  }

  #rest(): void {
    clearTimeout(this.#restTimer);
    this.#restTimer = setTimeout(() => {
      this.#restTimer = undefined;
      if (this.#isThrottled || this.#log.offset < this.#log.size) this.#poll();
    }, restMs);
  }

  #startPolling(): void {
    this.#isThrottled = true;
    this.#rest();
  }

  #poll(): void {
    const before = this.#log.offset;
    this.look();
    if (this.#stopped || this.#log.offset !== before) return;
    this.#isThrottled = false;
    this.begin();
  }
}
