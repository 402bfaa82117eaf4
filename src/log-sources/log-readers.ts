import type { LogSourceName, LogTally } from "../collectors/log.ts";
import { parseKmsgRecord } from "../kernel-log/kernel-message.ts";
import { KillScanner } from "../kernel-log/kill-scanner.ts";
import type { LogClock } from "../kernel-log/local-time.ts";
import { KernelMessageReader } from "../kernel-log/log-line.ts";
import { type KernelLogEvent, OomReportAssembler } from "../kernel-log/oom-report.ts";
import { KmsgDevice, type KmsgPosition, type KmsgReader, type KmsgRecord } from "./kmsg-device.ts";
import { LogFile } from "./log-file.ts";
import type { LogPosition } from "./log-identity.ts";

/** What a reader tells while it reads. */
export interface ReaderListener {
  /** `position`: where reading goes on right behind the event. */
  event(reader: LogReader, event: KernelLogEvent, position: unknown): void;
  /** All that was at hand has been told. */
  drained(reader: LogReader): void;
  caughtUp(reader: LogReader): void;
  stateChanged(reader: LogReader, state: { up: boolean; reason?: string }): void;
  /** One line for people. */
  lost(reader: LogReader, reason: string): void;
  /** A line could not be taken in, by a mistake of this program; reading goes on behind it. */
  failed(reader: LogReader, error: unknown): void;
}

export interface ReaderOptions {
  listener: ReaderListener;
  clock: LogClock;
  monotonicMs: () => number;
  /** False: no timers and watches, `drain()` does everything (tests). Default true. */
  watch?: boolean;
}

/**
 * One source of the kernel log, read from bytes to reports.
 *
 * Invariant: whatever a line holds, the lines behind it are read. One that makes this program throw
 * is counted as a kill that could not be understood.
 */
export abstract class LogReader {
  abstract readonly name: LogSourceName;
  readonly path: string;
  /** Under which the ledger keeps its position. */
  abstract readonly key: string;
  readonly tally: LogTally = {
    lines: 0,
    bytes: 0,
    rotations: 0,
    truncations: 0,
    lostRecords: 0,
    suppressedDumps: 0,
    unparsedKills: 0,
    readErrors: 0,
  };
  isCaughtUp = false;
  protected readonly options: ReaderOptions;

  constructor(path: string, options: ReaderOptions) {
    this.path = path;
    this.options = options;
  }

  abstract start(): void;
  abstract stop(): void;
  /** Reads what is there at this moment. */
  abstract drain(): Promise<void>;
  /** From where reading on loses nothing and repeats no kill; absent while nothing has been read. */
  abstract position(): unknown;

  /** A kill that was told could not be taken in after all. */
  fail(error: unknown): void {
    this.tally.unparsedKills++;
    this.options.listener.failed(this, error);
  }

  /** What every source tells of itself in the same words. */
  protected readonly ofSource = {
    caughtUp: (): void => {
      this.isCaughtUp = true;
      this.options.listener.caughtUp(this);
    },
    stateChanged: (state: { up: boolean; reason?: string }): void => {
      if (!state.up) this.tally.readErrors++;
      this.options.listener.stateChanged(this, state);
    },
  };

  protected lost(reason: string, records: number): void {
    this.tally.lostRecords += records;
    this.options.listener.lost(this, reason);
  }

  protected tell(event: KernelLogEvent, position: unknown): void {
    if (event.kind === "unparsed") this.tally.unparsedKills++;
    if (event.kind === "loss") {
      const { what, count } = event.loss;
      // A dump that was held back takes no record of the log away: the kill line stands there.
      if (what === "callbacks_suppressed") this.tally.suppressedDumps += count;
      else this.tally.lostRecords += count;
    }
    this.attempt(() => this.options.listener.event(this, event, position));
  }

  protected tellDrained(): void {
    this.attempt(() => this.options.listener.drained(this));
  }

  /** False where it threw. */
  protected attempt(read: () => void): boolean {
    try {
      read();
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }
}

/** A log file: kern.log, messages or syslog. */
export class FileReader extends LogReader {
  readonly name = "file";
  readonly key: string;
  readonly #file: LogFile;
  readonly #scanner: KillScanner;
  readonly #lastLine = new LastLine();
  #at: LogPosition | undefined;

  constructor(path: string, from: LogPosition | "start" | "end", options: ReaderOptions) {
    super(path, options);
    this.key = `file:${path}`;
    const { clock, monotonicMs, watch } = options;
    this.#scanner = new KillScanner({ clock, losses: true }, (event) => this.#told(event));
    this.#file = new LogFile({
      path,
      from,
      now: monotonicMs,
      watch,
      listener: {
        ...this.ofSource,
        bytes: (chunk, at) => this.#take(chunk, at),
        endOfFile: () => {
          this.#scan(() => this.#scanner.endOfInput());
          this.#lastLine.end();
        },
        rotated: (kind) => {
          if (kind === "rename") this.tally.rotations++;
          else this.tally.truncations++;
        },
        lost: (reason) => this.lost(reason, 1),
      },
    });
  }

  start(): void {
    this.#file.start();
  }

  stop(): void {
    this.#file.stop();
  }

  drain(): Promise<void> {
    return this.#file.poll();
  }

  position(): LogPosition | undefined {
    return this.#at === undefined
      ? this.#file.position()
      : { ...this.#at, offset: this.#scanner.resumeOffset };
  }

  #take(chunk: Buffer, at: LogPosition): void {
    if (this.#at === undefined || at.offset !== this.#scanner.offset) {
      this.#scan(() => this.#scanner.nextFile(at.offset));
    }
    this.#at = at;
    this.tally.bytes += chunk.length;
    this.tally.lines += linesIn(chunk);
    this.#scan(() => this.#scanner.push(chunk.subarray(this.#scanner.offset - at.offset)));
    this.attempt(() => this.#noteLastRecord(chunk));
    this.tellDrained();
  }

  /** Where the scanner throws it stands behind the line in question, and goes on from there. */
  #scan(step: () => void): void {
    while (!this.attempt(step)) {}
  }

  #noteLastRecord(chunk: Buffer): void {
    const { clock } = this.options;
    const line = this.#lastLine.take(chunk);
    if (line === undefined) return;
    this.tally.lastRecordMs = new KernelMessageReader(clock).read(line)?.timeMs ?? clock.nowMs();
  }

  #told(event: KernelLogEvent): void {
    const offset = event.kind === "kill" ? event.report.endOffset : undefined;
    const isHere = this.#at !== undefined && offset !== undefined;
    this.tell(event, isHere ? { ...this.#at, offset } : undefined);
  }
}

/** `/dev/kmsg`. */
export class KmsgDeviceReader extends LogReader {
  readonly name = "kmsg";
  readonly key = "kmsg";
  readonly #device: KmsgDevice;
  readonly #assembler: OomReportAssembler;
  readonly #bootId: string;
  readonly #bootTimeMs: () => number;
  /** Sequence of the record that opened a dump whose victim is still to come. */
  #openSince: number | undefined;
  #sequence = 0;
  #isDraining = false;

  constructor(
    path: string,
    device: {
      open: () => KmsgReader;
      bootId: string;
      from: KmsgPosition | "start";
      bootTimeMs: () => number;
    },
    options: ReaderOptions,
  ) {
    super(path, options);
    this.#bootId = device.bootId;
    this.#bootTimeMs = device.bootTimeMs;
    this.#assembler = new OomReportAssembler((event) => this.#told(event));
    this.#device = new KmsgDevice({
      ...device,
      watch: options.watch,
      listener: {
        ...this.ofSource,
        record: (record) => this.#take(record),
        lost: ({ reason, records }) => this.lost(reason, records),
      },
    });
  }

  start(): void {
    this.#device.start();
  }

  stop(): void {
    this.#device.stop();
  }

  async drain(): Promise<void> {
    this.#device.poll();
  }

  position(): KmsgPosition | undefined {
    const position = this.#device.position();
    if (position === undefined || this.#openSince === undefined) return position;
    const isStuck = position.sequence - this.#openSince > longestDumpRecords;
    return isStuck ? position : { ...position, sequence: this.#openSince - 1 };
  }

  #take({ sequence, raw, backlog }: KmsgRecord): void {
    this.#sequence = sequence;
    this.tally.lines++;
    this.tally.bytes += raw.length;
    this.attempt(() => this.#read(raw.toString("latin1"), backlog));
    this.#openSince = this.#assembler.isOpen ? (this.#openSince ?? sequence) : undefined;
    if (this.#isDraining) return;
    this.#isDraining = true;
    // One poll delivers all that is at hand before anything else runs.
    queueMicrotask(() => {
      this.#isDraining = false;
      this.tellDrained();
    });
  }

  #read(record: string, isBacklog: boolean): void {
    const message = parseKmsgRecord(record);
    if (message === undefined) return;
    const sinceBootMs = (message.printkMicros ?? 0) / 1000;
    message.timeMs = isBacklog ? this.#bootTimeMs() + sinceBootMs : this.options.clock.nowMs();
    this.tally.lastRecordMs = message.timeMs;
    this.#assembler.push(message, this.#sequence);
  }

  #told(event: KernelLogEvent): void {
    this.tell(event, { bootId: this.#bootId, sequence: this.#sequence });
  }
}

/** The last whole line of bytes that come in chunks; of an endless one, its beginning. */
class LastLine {
  #begun = "";

  /** Absent where no line ends in `chunk`. */
  take(chunk: Buffer): string | undefined {
    const end = chunk.lastIndexOf(newline);
    const before = end < 1 ? -1 : chunk.lastIndexOf(newline, end - 1);
    const begun = before < 0 ? this.#begun : "";
    if (end >= 0) this.end();
    this.#begun = lineStart(this.#begun, chunk, end + 1, chunk.length);
    return end < 0 ? undefined : lineStart(begun, chunk, before + 1, end);
  }

  /** What comes next is another line. */
  end(): void {
    this.#begun = "";
  }
}

function lineStart(begun: string, chunk: Buffer, from: number, until: number): string {
  const wanted = longestLineBytes - begun.length;
  return begun + chunk.toString("latin1", from, Math.min(until, from + wanted));
}

/** No line of the kernel is longer. */
const longestLineBytes = 16 * 1024;

/** A task table has a record for each task. */
const longestDumpRecords = 20_000;

function linesIn(chunk: Buffer): number {
  let lines = 0;
  for (let at = 0; at < chunk.length; at++) if (chunk[at] === newline) lines++;
  return lines;
}

const newline = 0x0a;
