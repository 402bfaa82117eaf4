/**
 * Finds out-of-memory kills in the bytes of a log, in bulk or as they come in.
 *
 * A log is almost nothing but lines that do not matter, so none of them is parsed: the bytes are
 * searched for `Killed ` (`Buffer.indexOf` looks for a rare first letter at memory speed), and only
 * around a hit are lines read, from the header of its dump to the end of its line.
 *
 * Invariant: the events are the same however the bytes are cut into chunks.
 */

import { splitGlued, splitJoined } from "./envelope-start.ts";
import type { KernelMessage } from "./kernel-message.ts";
import { copyOfBytes } from "./kernel-text.ts";
import type { LogClock } from "./local-time.ts";
import type { ReaderOptions } from "./log-line.ts";
import { KernelMessageReader } from "./log-line.ts";
import { parseLoss } from "./log-loss.ts";
import { newline, newlinesIn, newlinesInText } from "./newlines.ts";
import { FragmentFinder, fragmentWords, isOomPanic, panicWords } from "./oom-fragment.ts";
import type { KernelLogEvent } from "./oom-report.ts";
import { foundNobody, OomReportAssembler } from "./oom-report.ts";
import { mayHoldNotice, noticeWords, parseUnitNotice } from "./unit-notice.ts";

const kilobyte = 1024;
/** How far before a kill its dump may begin. */
const lookBackBytes = 1024 * kilobyte;
/** A longer line is read as if it ended here: no kernel line is that long. */
const maxLineBytes = 64 * kilobyte;
/** How far after a kill its `memory.oom.group` line may be. */
const groupLineBytes = 8 * kilobyte;
/** How far back to look for the envelope of a line without one. */
const contextBytes = 4 * kilobyte;
/** Dumps are searched backwards in blocks of this size. */
const blockBytes = 32 * kilobyte;
const windowBytes = 4 * lookBackBytes;
/** Enough for most reports; grows to `windowBytes` for the others. */
const usualWindowBytes = 256 * kilobyte;
const keptBytes = lookBackBytes + 2 * maxLineBytes;
/** What is dropped of a full window. */
export const droppedBytes = windowBytes - keptBytes;

const killNeedle = Buffer.from("Killed ");
/** A mail may break the line after this word. */
const killNeedleOfCopies = Buffer.from("Killed");
const killInCopy = /^Killed(?: |\s{1,4}[>|\s]{0,8})process\s/;
/** OpenVZ. */
const vendorNeedle = Buffer.from("OOM");
const vendorKill = /^OOM killed process /;
const vendorKillInCopy = /^OOM(?: |\s{1,4}[>|\s]{0,8})killed\s{1,4}[>|\s]{0,8}process\s/;
const longestHeadBytes = 48;
const killHead = /^Killed process /;
/** `Ki` of a MESSAGE that journald wrote as an array of bytes. */
const arrayNeedle = Buffer.from("75,105,");
const arrayHead = /^75,105,108,108,101,100,32,112,114,111,99,101,115,115,32,/;
const arrayHeadBytes = "75,105,108,108,101,100,32,112,114,111,99,101,115,115,32,".length;
const noticeNeedles = [...noticeWords, panicWords].map((text) => Buffer.from(text));
const headerNeedles = [Buffer.from("oom-killer:")];
const headerNeedlesWithArrays = [
  ...headerNeedles,
  Buffer.from("111,111,109,45,107,105,108,108,101,114,58,32,"),
];
/** How a dump without its header may begin. */
const partNeedles = [
  ...["Mem-Info", "active_anon:", "Free swap", ": usage ", "Memory cgroup stats ", " total_vm "],
  ...["Task in ", "oom-kill:c", "ill process ", "llocation failure"],
].map((text) => Buffer.from(text));
/** A row of the task table, whatever stands before it: the pid, and at least seven numbers. */
const taskRowInCopy = /\[ *\d{1,7}\](?: +-?\d{1,12}){7,10} \S/;
const blobOfKernel = /\bkernel: \[\d+(?:\.\d+)?[BKM] blob data\]/g;
const groupNeedle = Buffer.from("Tasks i");
const asideNeedles = ["callbacks su", "messages dr", "Missed ", " lost ", "killable pr"].map(
  (text) => Buffer.from(text),
);

export interface KillScannerOptions extends ReaderOptions {
  clock: LogClock;
  /** Number of the first line; without it lines are not counted, and reports carry none. */
  firstLine?: number;
  /** Also report messages that the log says it lost, and events without a victim. */
  losses?: boolean;
}

interface ReadRecord {
  message: KernelMessage;
  /** Start and end of its line in the text. */
  start: number;
  end: number;
}

export class KillScanner {
  readonly #clock: LogClock;
  readonly #copied: boolean;
  readonly #tagged: boolean;
  readonly #losses: boolean;
  readonly #emit: (event: KernelLogEvent) => void;
  readonly #assembler: OomReportAssembler;
  #window = Buffer.allocUnsafeSlow(usualWindowBytes);
  #length = 0;
  /** Number of bytes of the stream before the window. */
  #base = 0;
  /** Position in the stream of the current file's offset 0. */
  #origin = 0;
  /** Positions in the window up to which kills, group lines and no-victim lines were searched and lines read. */
  #searched = 0;
  #asideSearched = 0;
  #read = 0;
  #groupUntil = 0;
  #groupSearched = 0;
  #headerSearched = 0;
  /** Position in the window up to which notices of the service manager, and panics, were read. */
  #noticesRead = 0;
  /** The reader of the latest notice, and the position in the window up to which it has read. */
  #noticeReader: { reader: KernelMessageReader; end: number } | undefined;
  readonly #fragments = new FragmentFinder();
  #openHeader: number | undefined;
  #line: number | undefined;
  readonly #firstLine: number | undefined;
  #counted = 0;
  #mayHaveArrays: boolean | undefined;
  #hasKill = false;
  #isReading = false;
  #tornStart = 0;
  #reader: KernelMessageReader;
  /** Position in the window up to which the reader has read; `undefined` where it is not in the window any more. */
  #readerEnd: number | undefined;

  constructor(options: KillScannerOptions, emit: (event: KernelLogEvent) => void) {
    this.#clock = options.clock;
    this.#copied = options.copied ?? false;
    this.#tagged = options.tagged ?? false;
    this.#reader = this.#newReader();
    this.#losses = options.losses ?? false;
    this.#line = options.firstLine;
    this.#firstLine = options.firstLine;
    this.#emit = emit;
    this.#assembler = new OomReportAssembler((event) => {
      // Events without a kill are searched for everywhere, not only around a kill.
      const isAside = event.kind === "loss" || event.kind === "no_victim";
      if (isAside && this.#isReading) return;
      if (event.kind === "kill" || event.kind === "unparsed") this.#hasKill = true;
      emit(event);
    });
  }

  /**
   * Takes the next bytes of the log. They are copied, so the caller may reuse the buffer. If `emit` throws, so does this:
   * `offset` then shows how much was taken, and pushing the rest, even if it is empty, continues after the record that
   * failed.
   */
  push(chunk: Uint8Array): void {
    let taken = 0;
    do {
      if (this.#length === this.#window.length) this.#makeRoom();
      const size = Math.min(chunk.length - taken, this.#window.length - this.#length);
      this.#window.set(chunk.subarray(taken, taken + size), this.#length);
      this.#length += size;
      taken += size;
      this.#scan(false);
      // While the bytes are in the processor's cache; later it would cost as much as reading them again.
      this.#countLines(this.#length);
    } while (taken < chunk.length);
  }

  /**
   * Takes a message that another source has already parsed (/dev/kmsg). `lineNumber` is the place that the report will
   * show.
   */
  pushMessage(message: KernelMessage, lineNumber?: number): void {
    this.#assembler.push(message, lineNumber);
  }

  /** End of the log: reads a last line without newline, and whatever was waiting for more. */
  endOfInput(): void {
    this.#scan(true);
    this.#assembler.end();
    if (!this.#copied) return;
    // Whether a kill explains a notice is not decided here.
    if (this.#hasKill) this.#readNotices(this.#length);
    else this.#readFragments();
    for (const fragment of this.#fragments.end()) this.#emit({ kind: "fragment", fragment });
    if (this.#fragments.isCut) this.#emit({ kind: "fragments_cut" });
    this.#tellHidden();
  }

  /** `kernel: [95B blob data]`: what journalctl prints for a message with bytes that are no text. */
  #tellHidden(): void {
    if (!this.#bytes().includes("B blob data]")) return;
    const hidden = this.#bytes().toString("latin1").match(blobOfKernel) ?? [];
    if (hidden.length > 0) this.#emit({ kind: "hidden", count: hidden.length });
  }

  /**
   * Reads what the kernel left of kills, and notices. A text without kill lines is filtered, so it is short: of the
   * kernel's lines only those at hand are read, which are all of it, or its end.
   */
  #readFragments(): void {
    const window = this.#bytes();
    if (![...fragmentWords, ...noticeWords].some((words) => window.includes(words))) return;
    const reader = this.#newReader();
    let line = this.#lineAt(0);
    let end = 0;
    for (const text of window.toString("latin1").split("\n")) {
      end += text.length + 1;
      for (const part of splitJoined(text.slice(0, maxLineBytes))) {
        const message = reader.read(part);
        if (message === undefined) continue;
        const isRead = end <= this.#noticesRead && isNotice(message);
        if (!isRead) this.#fragments.push(message, line);
      }
      if (line !== undefined) line += 1;
    }
  }

  /** Reads what the service manager says of units, and panics, in lines that start before `until`. */
  #readNotices(until: number): void {
    if (this.#fragments.isCut) return;
    const window = this.#bytes();
    const hits = noticeNeedles.map((needle) => window.indexOf(needle, this.#noticesRead));
    let counted = this.#noticesRead;
    let line = this.#lineAt(counted);
    for (;;) {
      const at = Math.min(...hits.filter((hit) => hit >= 0));
      if (at === Number.POSITIVE_INFINITY || this.#lineStart(at) >= until) break;
      const start = Math.max(this.#lineStart(at), this.#noticesRead);
      const end = this.#lineEnd(at, true);
      const text = window.toString("latin1", start, end).replace(/\n$/, "");
      if (mayHoldNotice(text) || text.includes(panicWords)) {
        if (line !== undefined) line += newlinesIn(window, counted, start);
        counted = start;
        const message = this.#readNotice(text, start, end);
        if (message !== undefined && isNotice(message)) {
          this.#fragments.push(message, line);
          if (this.#fragments.isCut) return;
        }
      }
      this.#noticesRead = end;
      for (const [index, hit] of hits.entries()) {
        if (hit >= 0 && hit < end)
          hits[index] = window.indexOf(noticeNeedles[index] ?? newline, end);
      }
    }
    this.#noticesRead = Math.max(this.#noticesRead, until);
  }

  /** Reads a line from `start` to `end`; each line before it at most once, however many notices follow each other. */
  #readNotice(text: string, start: number, end: number): KernelMessage | undefined {
    const last = this.#noticeReader;
    let reader: KernelMessageReader;
    if (!this.#needsContext(start, end)) {
      reader = this.#newReader();
    } else if (last !== undefined && start - last.end <= contextBytes) {
      reader = last.reader;
      const between = this.#window.toString("latin1", last.end, start);
      for (const line of between.split("\n").slice(0, -1)) reader.read(line);
    } else {
      reader = this.#readerAfterContext(start);
    }
    this.#noticeReader = { reader, end };
    return reader.read(text);
  }

  /**
   * The log continues in another file, read from `offset`: offsets refer to it from now on. The end of the old file stays
   * available for a dump that the rotation split.
   */
  nextFile(offset = 0): void {
    if (this.#length > 0 && this.#window[this.#length - 1] !== newline)
      this.push(Buffer.from("\n"));
    this.#origin = this.#base + this.#length - offset;
  }

  /** Number of complete lines taken; 0 if lines are not counted. */
  get linesTaken(): number {
    return (this.#line ?? 0) - (this.#firstLine ?? 0);
  }

  /** Offset in the current file after the last byte taken. */
  get offset(): number {
    return this.#base + this.#length - this.#origin;
  }

  /** Memory that holds the end of the log, in which a report may be incomplete. */
  get heldBytes(): number {
    return this.#window.length;
  }

  /**
   * Offset in the current file from which reading can continue without losing anything or repeating a reported kill: the
   * start of a dump whose victim is still to come, the start of an incomplete line, or the end.
   */
  get resumeOffset(): number {
    return Math.max(0, this.#base + this.#resumePosition() - this.#origin);
  }

  /** The same as a position in the window. */
  #resumePosition(): number {
    const window = this.#bytes();
    const lineStart = window.lastIndexOf(newline) + 1;
    const from = Math.max(this.#headerSearched, this.#read);
    if (this.#openHeader !== undefined && this.#openHeader < this.#read)
      this.#openHeader = undefined;
    if (this.#openHeader === undefined) {
      const header = firstOf(window, headerNeedles, from, this.#length);
      if (header >= 0) this.#openHeader = this.#previousLine(this.#lineStart(header));
    }
    this.#headerSearched = Math.max(from, this.#length - 16);
    const torn = this.#assembler.isTorn ? this.#tornStart : undefined;
    return Math.min(lineStart, this.#openHeader ?? lineStart, torn ?? lineStart);
  }

  #bytes(): Buffer {
    return this.#window.subarray(0, this.#length);
  }

  /** The window is full: drops what no report can need any more, or grows, or drops what is too far back. */
  #makeRoom(): void {
    const settled = this.#settledBytes();
    if (settled >= this.#window.length / 2) this.#drop(settled);
    else if (this.#window.length === windowBytes) this.#drop(this.#length - keptBytes);
    if (this.#length === this.#window.length) this.#resize(windowBytes);
    else if (this.#length <= usualWindowBytes / 2) this.#resize(usualWindowBytes);
  }

  /**
   * Bytes at the start of the window that are searched and that nothing after them can need: a restart would not read
   * them again, and enough lines are left to give the next ones their envelope. None in a copy, whose dumps may lack their
   * header.
   */
  #settledBytes(): number {
    if (this.#copied) return 0;
    const settled = [this.#resumePosition(), this.#searched];
    if (this.#losses) settled.push(this.#asideSearched);
    const isGroupOpen = this.#groupUntil - this.#groupSearched >= groupNeedle.length;
    if (isGroupOpen) settled.push(this.#groupSearched);
    return Math.max(0, Math.min(...settled) - contextBytes);
  }

  #resize(bytes: number): void {
    if (this.#window.length === bytes) return;
    const resized = Buffer.allocUnsafeSlow(bytes);
    this.#window.copy(resized, 0, 0, this.#length);
    this.#window = resized;
  }

  #drop(dropped: number): void {
    if (this.#copied) this.#readNotices(dropped);
    this.#window.copyWithin(0, dropped, this.#length);
    this.#base += dropped;
    this.#length -= dropped;
    const move = (position: number): number => Math.max(0, position - dropped);
    this.#searched = move(this.#searched);
    this.#asideSearched = move(this.#asideSearched);
    this.#read = move(this.#read);
    this.#groupUntil = move(this.#groupUntil);
    this.#groupSearched = move(this.#groupSearched);
    this.#headerSearched = move(this.#headerSearched);
    this.#noticesRead = move(this.#noticesRead);
    if (this.#noticeReader !== undefined) {
      const end = this.#noticeReader.end - dropped;
      this.#noticeReader = end < 0 ? undefined : { ...this.#noticeReader, end };
    }
    if (this.#readerEnd !== undefined) {
      this.#readerEnd = this.#readerEnd < dropped ? undefined : this.#readerEnd - dropped;
    }
    this.#counted = move(this.#counted);
    this.#tornStart = move(this.#tornStart);
    if (this.#openHeader !== undefined) {
      this.#openHeader = this.#openHeader < dropped ? undefined : this.#openHeader - dropped;
    }
  }

  #scan(final: boolean): void {
    if (this.#mayHaveArrays === undefined) {
      const first = this.#bytes().find((byte) => byte !== 0x20 && byte !== newline);
      if (first !== undefined) this.#mayHaveArrays = first === 0x7b;
    }
    for (;;) {
      if (this.#assembler.isTorn && !this.#readRestOfTorn(final)) break;
      const hit = this.#nextKill(final);
      if (hit < 0) break;
      const end = this.#lineEnd(hit, final);
      if (end < 0) break;
      this.#searched = end;
      this.#readReport(hit, end);
    }
    if (!this.#assembler.isTorn) this.#readGroupLine(this.#searched, final);
    if (this.#losses) this.#readAside(final);
  }

  /** Position of the next kill line's words that was not examined; -1 if there is none yet. */
  #nextKill(final: boolean): number {
    const window = this.#bytes();
    const needle = this.#copied ? killNeedleOfCopies : killNeedle;
    let first = window.indexOf(needle, this.#searched);
    let vendor = window.indexOf(vendorNeedle, this.#searched);
    let array = this.#mayHaveArrays ? window.indexOf(arrayNeedle, this.#searched) : -1;
    for (;;) {
      const at = Math.min(...[first, vendor, array].filter((hit) => hit >= 0));
      if (at === Number.POSITIVE_INFINITY) {
        this.#searched = Math.max(this.#searched, this.#length - killNeedle.length + 1);
        return -1;
      }
      this.#searched = at;
      const needed = at === array ? arrayHeadBytes : longestHeadBytes;
      const head = window.toString("latin1", at, at + needed);
      if (this.#headAt(at === array, at === vendor).test(head)) return at;
      // A newline ends the words, except in a copy, where a mail may have inserted it.
      const mayGoOn = at + needed > this.#length && (this.#copied || !head.includes("\n"));
      if (mayGoOn && !final) return -1;
      if (at === first) first = window.indexOf(needle, at + 1);
      else if (at === vendor) vendor = window.indexOf(vendorNeedle, at + 1);
      else array = window.indexOf(arrayNeedle, at + 1);
    }
  }

  #headAt(isArray: boolean, isVendor: boolean): RegExp {
    if (isArray) return arrayHead;
    if (isVendor) return this.#copied ? vendorKillInCopy : vendorKill;
    return this.#copied ? killInCopy : killHead;
  }

  #lineStart(position: number): number {
    const from = Math.max(0, position - maxLineBytes);
    const before = this.#window.subarray(from, position).lastIndexOf(newline);
    return before < 0 ? from : from + before + 1;
  }

  #previousLine(lineStart: number): number {
    return lineStart === 0 ? 0 : this.#lineStart(lineStart - 1);
  }

  /** Position after the newline of the line at `position`; -1 if the newline has not arrived. */
  #lineEnd(position: number, final: boolean): number {
    const limit = Math.min(this.#length, position + maxLineBytes);
    const end = this.#window.subarray(position, limit).indexOf(newline);
    if (end >= 0) return position + end + 1;
    return final || limit - position === maxLineBytes ? limit : -1;
  }

  /** Reads the report whose kill is at `hit` and ends at `end`. */
  #readReport(hit: number, end: number): void {
    const killStart = this.#lineStart(hit);
    this.#readGroupLine(killStart, false);
    const from = Math.max(this.#read, killStart - lookBackBytes);
    const dump = this.#dumpStart(from, killStart);
    // The reader needs the previous line to decide whether a line without an envelope continues it.
    const start = this.#previousLine(dump === killStart ? killStart : this.#lineStart(dump));
    this.#feed(Math.max(from, start), end);
  }

  /** Where the dump before `killStart` begins: its header, or its first remaining part. */
  #dumpStart(from: number, killStart: number): number {
    const needles = this.#mayHaveArrays ? headerNeedlesWithArrays : headerNeedles;
    let found = -1;
    for (let end = killStart; end > from; end -= blockBytes) {
      const start = Math.max(from, end - blockBytes);
      const header = firstOf(this.#window, needles, start, Math.min(killStart, end + 48));
      if (header < 0 && found >= 0) break;
      if (header >= 0) found = header;
    }
    if (found >= 0) return found;
    const part = firstOf(
      this.#window,
      partNeedles,
      Math.max(from, killStart - blockBytes),
      killStart,
    );
    const start = part < 0 ? killStart : part;
    return this.#copied ? (this.#rowsBefore(this.#lineStart(start), from) ?? start) : start;
  }

  /** Where the rows of a task table begin whose head is missing; `undefined` where there are none. */
  #rowsBefore(position: number, from: number): number | undefined {
    let first: number | undefined;
    const until = Math.max(from, position - blockBytes);
    for (let at = position; at > until; ) {
      const start = this.#previousLine(at);
      if (!taskRowInCopy.test(this.#window.toString("latin1", start, at))) break;
      first = start;
      at = start;
    }
    return first;
  }

  #feed(start: number, end: number): void {
    const text = this.#window.toString("latin1", start, end);
    let line = this.#lineAt(start);
    let lineAt = 0;
    this.#isReading = true;
    try {
      if (start !== this.#readerEnd || start === 0) this.#reader = this.#readerAt(start, end);
      for (const record of recordsOf(text, this.#reader, this.#copied)) {
        if (line !== undefined) {
          line += newlinesInText(text, lineAt, record.start);
          lineAt = record.start;
        }
        const wasTorn = this.#assembler.isTorn;
        this.#assembler.push(record.message, line, this.#base + start + record.end - this.#origin);
        if (this.#assembler.isTorn && !wasTorn) this.#tornStart = start + record.start;
      }
    } finally {
      this.#isReading = false;
      this.#read = end;
      this.#readerEnd = end;
      this.#searched = Math.max(this.#searched, end);
      this.#groupUntil = end + groupLineBytes;
      this.#groupSearched = end;
    }
  }

  #newReader(): KernelMessageReader {
    return new KernelMessageReader(this.#clock, { copied: this.#copied, tagged: this.#tagged });
  }

  /** A reader that knows the envelope before `start`, if the line there has none. */
  #readerAt(start: number, end: number): KernelMessageReader {
    if (!this.#needsContext(start, end)) return this.#newReader();
    const from = this.#readerEnd;
    if (from === undefined || start < from || start - from > contextBytes)
      return this.#readerAfterContext(start);
    // In a log without envelopes each kill would need the same lines again.
    for (const line of this.#window.toString("latin1", from, start).split("\n").slice(0, -1))
      this.#reader.read(line);
    return this.#reader;
  }

  /** Whether the lines before `start` may change the meaning of the line there. */
  #needsContext(start: number, end: number): boolean {
    if (start === 0) return false;
    const first = this.#newReader();
    const firstEnd = Math.min(end, Math.max(start, this.#lineEnd(start, true) - 1));
    first.read(this.#window.toString("latin1", start, firstEnd));
    return first.needsContext;
  }

  #readerAfterContext(start: number): KernelMessageReader {
    const reader = this.#newReader();
    const before = this.#window.toString("latin1", Math.max(0, start - contextBytes), start);
    for (const line of before.split("\n").slice(1, -1)) reader.read(line);
    return reader;
  }

  /** A newline in a name splits the kill line. False while the next line has not arrived. */
  #readRestOfTorn(final: boolean): boolean {
    while (this.#assembler.isTorn) {
      if (this.#read >= this.#length) return false;
      const end = this.#lineEnd(this.#read, final);
      if (end < 0) return false;
      this.#feed(this.#read, end);
    }
    return true;
  }

  /** Reads the `Tasks in X are going to be killed` line, which comes after its first victim. */
  #readGroupLine(limit: number, final: boolean): void {
    const until = Math.min(limit, this.#groupUntil, this.#length);
    while (this.#groupSearched < until) {
      const hit = this.#window.subarray(0, until).indexOf(groupNeedle, this.#groupSearched);
      if (hit < 0) {
        this.#groupSearched = Math.max(this.#groupSearched, until - groupNeedle.length + 1);
        return;
      }
      const end = this.#lineEnd(hit, final);
      this.#groupSearched = hit;
      if (end < 0) return;
      const groupUntil = this.#groupUntil;
      this.#feed(Math.max(this.#read, this.#lineStart(hit)), end);
      this.#groupUntil = groupUntil;
    }
  }

  #readAside(final: boolean): void {
    const window = this.#bytes();
    for (;;) {
      const hit = firstOf(window, asideNeedles, this.#asideSearched, this.#length);
      if (hit < 0) {
        this.#asideSearched = Math.max(this.#asideSearched, this.#length - 16);
        return;
      }
      const end = this.#lineEnd(hit, final);
      if (end < 0) {
        this.#asideSearched = hit;
        return;
      }
      this.#asideSearched = end;
      const line = this.#window.toString("latin1", this.#lineStart(hit), end).replace(/\n$/, "");
      const message = this.#newReader().read(line);
      if (message === undefined) continue;
      if (foundNobody(message)) this.#emit({ kind: "no_victim" });
      const loss = parseLoss(message);
      if (loss !== undefined) this.#emit({ kind: "loss", loss });
    }
  }

  /** Number of the line at a window position; `undefined` if lines are not counted. */
  #lineAt(position: number): number | undefined {
    if (this.#line === undefined) return undefined;
    if (position >= this.#counted) {
      this.#countLines(position);
      return this.#line;
    }
    return this.#line - newlinesIn(this.#window, position, this.#counted);
  }

  #countLines(position: number): void {
    if (this.#line === undefined || position <= this.#counted) return;
    this.#line += newlinesIn(this.#window, this.#counted, position);
    this.#counted = position;
  }
}

/** Whether a message is read beside kills too: it is about a unit, or the whole machine. */
function isNotice(message: KernelMessage): boolean {
  return parseUnitNotice(message.text) !== undefined || isOomPanic(message);
}

/** The first position of any needle that lies completely in [from, until). */
function firstOf(bytes: Buffer, needles: readonly Buffer[], from: number, until: number): number {
  let end = until;
  let first = -1;
  for (const needle of needles) {
    const hit = bytes.subarray(0, end).indexOf(needle, from);
    if (hit >= 0) {
      first = hit;
      end = Math.min(until, hit + needle.length + 16);
    }
  }
  return first;
}

function* recordsOf(
  text: string,
  reader: KernelMessageReader,
  isCopied: boolean,
): Generator<ReadRecord> {
  for (let start = 0; start < text.length; ) {
    const newlineAt = text.indexOf("\n", start);
    const end = newlineAt < 0 ? text.length : newlineAt;
    for (const part of linesIn(copyOfBytes(text.slice(start, end)), isCopied)) {
      const message = reader.read(part);
      if (message !== undefined) yield { message, start, end: Math.min(end + 1, text.length) };
    }
    start = end + 1;
  }
}

const anyKill = /[Kk]illed process \d+/;

/** The records of a line. In a log that is followed only a line with a kill is looked at for a second one. */
function linesIn(line: string, isCopied: boolean): string[] {
  const mayHoldKill = line.includes("illed process ");
  if (!mayHoldKill || !anyKill.test(line)) return isCopied ? splitJoined(line) : [line];
  const parts = splitGlued(line);
  return isCopied ? parts.flatMap(splitJoined) : parts;
}
