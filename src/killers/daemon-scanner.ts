/**
 * Finds the kills of daemons in the bytes of a log, in bulk or as they arrive.
 *
 * As in `kernel-log/kill-scanner.ts`, only lines around a kill are parsed: the bytes are searched for words that only the
 * line of a kill contains, each starting with a rare letter or long enough to search quickly. Around a hit the lines
 * before it are read too, for the numbers behind the daemon's decision.
 *
 * Invariant: the kills do not depend on how the bytes are cut into chunks.
 */

import { copyOfBytes } from "../kernel-log/kernel-text.ts";
import type { LogClock } from "../kernel-log/local-time.ts";
import { newline, newlinesIn } from "../kernel-log/newlines.ts";
import { DaemonGrammars } from "./daemon-grammars.ts";
import type { DaemonKill } from "./daemon-kill.ts";
import { parseDaemonLine } from "./daemon-line.ts";
import type { UserspaceKiller } from "./killer.ts";

/** How far before a kill its lines may begin: nohang prints a table of all processes on demand. */
const lookBackBytes = 64 * 1024;
/** How far after a kill a line that revokes it may be. */
const aftermathBytes = 4 * 1024;
const maxLineBytes = 64 * 1024;
const windowBytes = 1024 * 1024;
const keptBytes = lookBackBytes + maxLineBytes;

interface Needle {
  /** At most six bytes, the first of them rare: `indexOf` then runs at the speed of memory. */
  words: Buffer;
  /** Text around these words in the line of a kill. */
  before?: string;
  after: string;
  orAfter?: string;
}

const needles: Needle[] = [
  // earlyoom
  { words: Buffer.from("VmRSS "), before: ", ", after: "" },
  // systemd-oomd and lmkd: `Killed /` or `Kill '`
  { words: Buffer.from("Kill"), after: "ed /", orAfter: " '" },
  { words: Buffer.from("Marked"), after: " /" },
  { words: Buffer.from("Rule '"), after: "" },
  // nohang
  { words: Buffer.from("OK; to"), after: "tal response time: " },
  // kubelet: why it evicts, and the eviction itself
  { words: Buffer.from("(s) to"), before: "must evict pod", after: " reclaim" },
  { words: Buffer.from("Evicti"), after: "on manager: pod is evicted successfully" },
  { words: Buffer.from(") is e"), after: "victed successfully" },
  // Talos
  { words: Buffer.from("SIGKIL"), before: "Sending ", after: "L to cgroup" },
];

export interface DaemonScannerOptions {
  clock: LogClock;
  /** Daemons whose lines count; all if absent. */
  killers?: readonly UserspaceKiller[];
  /** The log may be a copy made by people. */
  copied?: boolean;
}

export class DaemonScanner {
  readonly #options: DaemonScannerOptions;
  readonly #tell: (kill: DaemonKill) => void;
  readonly #grammars = new DaemonGrammars();
  #window = Buffer.allocUnsafeSlow(windowBytes);
  #length = 0;
  /** Bytes of the stream before the window, and the position of the current file's offset 0. */
  #base = 0;
  #origin = 0;
  /** Window positions: up to where hits have been searched, and lines read. */
  #searched = 0;
  #read = 0;
  /** Up to here every line is read, because there is a kill shortly before. */
  #readUntil = 0;
  /** Number of lines before these window positions, newest last; empty if lines are not counted. */
  #marks: { position: number; lines: number }[] = [];

  constructor(options: DaemonScannerOptions, tell: (kill: DaemonKill) => void) {
    this.#options = options;
    this.#tell = tell;
  }

  /**
   * Takes the next bytes of the log. They are copied, so the caller may reuse the buffer. `linesBefore`: number of lines
   * before them; then kills carry their line number.
   */
  push(chunk: Uint8Array, linesBefore?: number): void {
    if (linesBefore !== undefined) this.#marks.push({ position: this.#length, lines: linesBefore });
    let taken = 0;
    while (taken < chunk.length) {
      if (this.#length === this.#window.length) this.#makeRoom();
      const size = Math.min(chunk.length - taken, this.#window.length - this.#length);
      this.#window.set(chunk.subarray(taken, taken + size), this.#length);
      this.#length += size;
      taken += size;
      this.#scan();
    }
  }

  /** Whether a kill waits for the lines after it. */
  get isOpen(): boolean {
    return this.#grammars.isOpen;
  }

  /** Nothing more is available: reads what followed the last kill, and reports the kill that waited for it. */
  settle(): void {
    if (this.#grammars.isOpen) this.#feed(this.#read, this.#wholeLines());
    for (const kill of this.#grammars.settle()) this.#tell(kill);
  }

  /** End of the log. */
  endOfInput(): void {
    if (this.#length > 0 && this.#window[this.#length - 1] !== newline) this.push(lineEnd);
    this.settle();
  }

  /** The log continues in another file, read from `offset`: offsets refer to it from now on. */
  nextFile(offset = 0): void {
    if (this.#length > 0 && this.#window[this.#length - 1] !== newline) this.push(lineEnd);
    this.#origin = this.#base + this.#length - offset;
  }

  /** Offset in the current file after the last byte taken. */
  get offset(): number {
    return this.#base + this.#length - this.#origin;
  }

  /**
   * Offset in the current file from which reading can continue without loss: some lines before the end, because a daemon's
   * message may be incomplete. The ledger recognises kills that are read again.
   */
  get resumeOffset(): number {
    const end = this.#wholeLines();
    const from = Math.max(0, end - rereadBytes);
    const start = from === 0 ? 0 : this.#window.indexOf(newline, from) + 1;
    return Math.max(0, this.#base + Math.min(start, end) - this.#origin);
  }

  #wholeLines(): number {
    return this.#window.subarray(0, this.#length).lastIndexOf(newline) + 1;
  }

  #makeRoom(): void {
    const dropped = this.#length - keptBytes;
    this.#window.copyWithin(0, dropped, this.#length);
    this.#base += dropped;
    this.#length -= dropped;
    const move = (position: number): number => Math.max(0, position - dropped);
    this.#searched = move(this.#searched);
    this.#read = move(this.#read);
    this.#readUntil = move(this.#readUntil);
    const moved = this.#marks.map(({ position, lines }) => ({
      position: position - dropped,
      lines,
    }));
    const oldest = moved.findLastIndex(({ position }) => position <= 0);
    this.#marks = moved.slice(Math.max(0, oldest));
  }

  #scan(): void {
    let end = this.#wholeLines();
    // An endless line: nothing in it is searched, but what follows it is.
    if (end <= this.#searched && this.#length - this.#searched > maxLineBytes) end = this.#length;
    if (end <= this.#searched) return;
    for (const hit of this.#hitsUntil(end)) {
      if (hit < this.#read) continue;
      const lineStart = this.#window.subarray(0, hit).lastIndexOf(newline) + 1;
      const next = this.#window.subarray(0, end).indexOf(newline, hit);
      const lineStop = next < 0 ? end : next + 1;
      this.#feedAftermath(lineStart);
      this.#feed(Math.max(this.#read, this.#contextStart(lineStart)), lineStop);
      this.#readUntil = lineStop + aftermathBytes;
    }
    this.#feedAftermath(end);
    this.#searched = end;
  }

  /** Reads the lines shortly after the last kill, as far as they have arrived. */
  #feedAftermath(end: number): void {
    if (this.#read >= this.#readUntil) return;
    const stop = Math.min(end, this.#readUntil);
    const whole = this.#window.subarray(0, stop).lastIndexOf(newline) + 1;
    this.#feed(this.#read, whole);
    if (end >= this.#readUntil) {
      this.#readUntil = 0;
      for (const kill of this.#grammars.settle()) this.#tell(kill);
    }
  }

  #contextStart(lineStart: number): number {
    if (lineStart <= lookBackBytes) return 0;
    return this.#window.indexOf(newline, lineStart - lookBackBytes) + 1;
  }

  #hitsUntil(end: number): number[] {
    const searched = this.#window.subarray(0, end);
    const hits: number[] = [];
    const isAt = (text: string, at: number): boolean =>
      searched.toString("latin1", Math.max(0, at), at + text.length) === text;
    for (const { words, before = "", after, orAfter = after } of needles) {
      let at = searched.indexOf(words, this.#searched);
      while (at >= 0) {
        const end = at + words.length;
        const isFollowed = isAt(after, end) || isAt(orAfter, end);
        if (isFollowed && isAt(before, at - before.length)) hits.push(at);
        at = searched.indexOf(words, at + words.length);
      }
    }
    return hits.sort((a, b) => a - b);
  }

  #feed(from: number, until: number): void {
    if (until <= from) return;
    const { killers } = this.#options;
    let lineNumber = this.#lineAt(from);
    for (const text of this.#window.toString("latin1", from, until).split("\n")) {
      const line = parseDaemonLine(copyOfBytes(text), this.#options);
      if (line !== undefined && (killers?.includes(line.killer) ?? true)) {
        for (const kill of this.#grammars.read({ ...line, lineNumber })) this.#tell(kill);
      }
      if (lineNumber !== undefined) lineNumber += 1;
    }
    this.#read = until;
  }

  #lineAt(position: number): number | undefined {
    const mark = this.#marks.findLast((candidate) => candidate.position <= position);
    if (mark === undefined) return undefined;
    return mark.lines + 1 + newlinesIn(this.#window, Math.max(0, mark.position), position);
  }
}

const lineEnd = Buffer.from("\n");
/** Size of a kill and its lines as daemons print them without a table of all processes. */
const rereadBytes = 16 * 1024;
