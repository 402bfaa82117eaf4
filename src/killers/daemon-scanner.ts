/**
 * Finds the kills of daemons in the bytes of a log, in bulk or as they come in.
 *
 * As in `kernel-log/kill-scanner.ts` no line is parsed but those around a kill: the bytes are searched for
 * words that only a kill's line has, each beginning with a rare letter or long enough to be skipped
 * through. Around a hit the lines before it are read too, for the numbers by which the daemon decided.
 *
 * Invariant: the kills are the same however the bytes are cut into chunks.
 */
import type { LogClock } from "../kernel-log/local-time.ts";
import { newline, newlinesIn } from "../kernel-log/newlines.ts";
import { DaemonGrammars } from "./daemon-grammars.ts";
import type { DaemonKill } from "./daemon-kill.ts";
import { parseDaemonLine } from "./daemon-line.ts";
import type { UserspaceKiller } from "./killer.ts";

/** How far before a kill the lines that belong to it may begin: nohang prints a table of all processes on demand. */
const lookBackBytes = 64 * 1024;
/** How far behind a kill the line may stand that takes it back. */
const aftermathBytes = 4 * 1024;
const maxLineBytes = 64 * 1024;
const windowBytes = 1024 * 1024;
const keptBytes = lookBackBytes + maxLineBytes;

interface Needle {
  /** At most six bytes, the first of them rare: `indexOf` then runs at the speed of memory. */
  words: Buffer;
  /** What stands around the words in the line of a kill. */
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
  // kubelet: why it evicts, and that it has evicted
  { words: Buffer.from("(s) to"), before: "must evict pod", after: " reclaim" },
  { words: Buffer.from("Evicti"), after: "on manager: pod is evicted successfully" },
  { words: Buffer.from(") is e"), after: "victed successfully" },
  // Talos
  { words: Buffer.from("SIGKIL"), before: "Sending ", after: "L to cgroup" },
];

export interface DaemonScannerOptions {
  clock: LogClock;
  /** Daemons whose lines count; all where absent. */
  killers?: readonly UserspaceKiller[];
  /** The log may be a copy that people made. */
  copied?: boolean;
}

export class DaemonScanner {
  readonly #options: DaemonScannerOptions;
  readonly #tell: (kill: DaemonKill) => void;
  readonly #grammars = new DaemonGrammars();
  #window = Buffer.allocUnsafeSlow(windowBytes);
  #length = 0;
  /** Bytes of the stream before the window, and where the current file's offset 0 lies. */
  #base = 0;
  #origin = 0;
  /** Window positions: up to where hits have been searched, and lines been read. */
  #searched = 0;
  #read = 0;
  /** Lines up to here are read as they come: a kill stands close before. */
  #readUntil = 0;
  /** How many lines came before these window positions, the newest last; none where nobody counts. */
  #marks: { position: number; lines: number }[] = [];

  constructor(options: DaemonScannerOptions, tell: (kill: DaemonKill) => void) {
    this.#options = options;
    this.#tell = tell;
  }

  /**
   * Takes the next bytes of the log. They are copied; the caller may reuse the buffer. `linesBefore`: how
   * many lines have ended before them; then kills carry the number of their line.
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

  /** No more is at hand: reads what followed the last kill, and tells the one that waited for it. */
  settle(): void {
    if (this.#grammars.isOpen) this.#feed(this.#read, this.#wholeLines());
    for (const kill of this.#grammars.settle()) this.#tell(kill);
  }

  /** The log ends here. */
  endOfInput(): void {
    if (this.#length > 0 && this.#window[this.#length - 1] !== newline) this.push(lineEnd);
    this.settle();
  }

  /** The log goes on in another file, read from `offset`: offsets count there from now on. */
  nextFile(offset = 0): void {
    if (this.#length > 0 && this.#window[this.#length - 1] !== newline) this.push(lineEnd);
    this.#origin = this.#base + this.#length - offset;
  }

  /** Offset, in the current file, behind the last byte taken. */
  get offset(): number {
    return this.#base + this.#length - this.#origin;
  }

  /**
   * Offset in the current file from which reading on would lose nothing: some lines before the end, for
   * a daemon may be in the middle of what it has to say. What is read again is known to the ledger.
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
    // A line without end: nothing is searched in it, and what comes after it is.
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

  /** Reads the lines close behind the last kill, as far as they have come. */
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
      const line = parseDaemonLine(text, this.#options);
      if (line !== undefined && (killers?.includes(line.killer) ?? true)) {
        const kill = this.#grammars.read({ ...line, lineNumber });
        if (kill !== undefined) this.#tell(kill);
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
/** A kill and what belongs to it, as daemons print it without a table of all processes. */
const rereadBytes = 16 * 1024;
