import { parseKmsgRecord } from "../kernel-log/kernel-message.ts";
import { KillScanner } from "../kernel-log/kill-scanner.ts";
import type { LogClock } from "../kernel-log/local-time.ts";
import { KernelMessageReader } from "../kernel-log/log-line.ts";
import { newline, newlinesIn } from "../kernel-log/newlines.ts";
import { type KernelLogEvent, OomReportAssembler } from "../kernel-log/oom-report.ts";
import { KmsgDevice, type KmsgPosition, type KmsgReader, type KmsgRecord } from "./kmsg-device.ts";
import { LogFile } from "./log-file.ts";
import type { LogPosition } from "./log-identity.ts";
import {
  emptyTally,
  type LogSourceName,
  type LogTally,
  type ReadState,
  type SourceListener,
} from "./log-source.ts";

export interface ReaderListener extends SourceListener {
  /** `position`: where reading continues right after the event. */
  event(event: KernelLogEvent, position: unknown): void;
  /** Everything available has been delivered. */
  batchEnd(): void;
  /** This program failed to process a line; reading continues after it. */
  failed(error: unknown): void;
}

export interface LogReaderOptions {
  clock: LogClock;
  monotonicMs: () => number;
  /** False: no timers and watches, `drain()` does everything (tests). Default true. */
  watch?: boolean;
}

/**
 * One source of the kernel log, from bytes to reports.
 *
 * Invariant: whatever a line contains, the lines after it are read. A line that makes this program throw counts as a
 * kill that could not be parsed.
 */
export abstract class LogReader {
  abstract readonly name: LogSourceName;
  readonly path: string;
  /** Key of its position in the ledger. */
  abstract readonly key: string;
  readonly tally: LogTally = emptyTally();
  isCaughtUp = false;
  protected readonly options: LogReaderOptions;
  #listener: ReaderListener | undefined;

  constructor(path: string, options: LogReaderOptions) {
    this.path = path;
    this.options = options;
  }

  start(listener: ReaderListener): void {
    this.#listener = listener;
    this.begin();
  }

  protected abstract begin(): void;
  abstract stop(): void;
  /** Called four times a second, for what a source does not announce: new records, or a rotation. */
  beat(): void {}
  /** The kernel has killed: the report exists, or is about to appear. */
  expectKill(): void {}
  /** Reads everything currently available. */
  abstract drain(): Promise<void>;
  /** Where reading can continue without losing anything or repeating a kill; absent before the first read. */
  abstract position(): unknown;

  /** Of the followed file or device, the same for both. */
  protected readonly ofSource: SourceListener = {
    caughtUp: () => {
      this.isCaughtUp = true;
      this.#listener?.caughtUp();
    },
    stateChanged: (state: ReadState) => {
      if (!state.up) this.tally.readErrors++;
      this.#listener?.stateChanged(state);
    },
    lost: (reason, records) => {
      this.tally.lostRecords += records;
      this.#listener?.lost(reason, records);
    },
  };

  protected deliver(event: KernelLogEvent, position: unknown): void {
    if (event.kind === "unparsed") this.tally.unparsedKills++;
    if (event.kind === "loss") {
      const { what, count } = event.loss;
      // A suppressed dump is not a lost record: the kill line is there.
      if (what === "callbacks_suppressed") this.tally.suppressedDumps += count;
      else this.tally.lostRecords += count;
    }
    this.attempt(() => this.#listener?.event(event, position));
  }

  protected endBatch(): void {
    this.attempt(() => this.#listener?.batchEnd());
  }

  /** False if it threw. */
  protected attempt(read: () => void): boolean {
    try {
      read();
      return true;
    } catch (error) {
      this.tally.unparsedKills++;
      this.#listener?.failed(error);
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

  constructor(path: string, from: LogPosition | "start", options: LogReaderOptions) {
    super(path, options);
    this.key = `file:${path}`;
    const { clock, monotonicMs, watch } = options;
    this.#scanner = new KillScanner({ clock, losses: true }, (event) => this.#deliver(event));
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
      },
    });
  }

  protected begin(): void {
    this.#file.start();
  }

  stop(): void {
    this.#file.stop();
  }

  override beat(): void {
    this.#file.beat();
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
    this.tally.lines += newlinesIn(chunk);
    this.#scan(() => this.#scanner.push(chunk.subarray(this.#scanner.offset - at.offset)));
    this.attempt(() => this.#noteLastRecord(chunk));
    this.endBatch();
  }

  /** If the scanner throws, it is past the line in question, and continues from there. */
  #scan(step: () => void): void {
    while (!this.attempt(step)) {}
  }

  #noteLastRecord(chunk: Buffer): void {
    const { clock } = this.options;
    const line = this.#lastLine.take(chunk);
    if (line === undefined) return;
    this.tally.lastRecordMs = new KernelMessageReader(clock).read(line)?.timeMs ?? clock.nowMs();
  }

  #deliver(event: KernelLogEvent): void {
    const offset = event.kind === "kill" ? event.report.endOffset : undefined;
    const isHere = this.#at !== undefined && offset !== undefined;
    this.deliver(event, isHere ? { ...this.#at, offset } : undefined);
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
  /** Of the records that are being read; found out once for all of them. */
  #bootMs: number | undefined;

  constructor(
    path: string,
    device: {
      open: () => KmsgReader;
      bootId: string;
      from: KmsgPosition | "start";
      bootTimeMs: () => number;
    },
    options: LogReaderOptions,
  ) {
    super(path, options);
    this.#bootId = device.bootId;
    this.#bootTimeMs = device.bootTimeMs;
    this.#assembler = new OomReportAssembler((event) => this.#deliver(event));
    this.#device = new KmsgDevice({
      ...device,
      watch: options.watch,
      listener: {
        ...this.ofSource,
        record: (record) => this.#take(record),
      },
    });
  }

  protected begin(): void {
    this.#device.start();
  }

  stop(): void {
    this.#device.stop();
  }

  override beat(): void {
    this.#device.beat();
  }

  override expectKill(): void {
    this.#device.expect();
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
    // One poll delivers everything available before anything else runs.
    queueMicrotask(() => {
      this.#isDraining = false;
      this.#bootMs = undefined;
      this.endBatch();
    });
  }

  #read(record: string, isBacklog: boolean): void {
    const message = parseKmsgRecord(record);
    if (message === undefined) return;
    const sinceBootMs = (message.printkMicros ?? 0) / 1000;
    if (isBacklog) {
      this.#bootMs ??= this.#bootTimeMs();
      message.timeMs = this.#bootMs + sinceBootMs;
    } else {
      message.timeMs = this.options.clock.nowMs();
    }
    this.tally.lastRecordMs = message.timeMs;
    this.#assembler.push(message, this.#sequence);
  }

  #deliver(event: KernelLogEvent): void {
    this.deliver(event, { bootId: this.#bootId, sequence: this.#sequence });
  }
}

/** The last complete line of bytes that arrive in chunks; of an endless one, its beginning. */
class LastLine {
  #begun = "";

  /** Absent if no line ends in `chunk`. */
  take(chunk: Buffer): string | undefined {
    const end = chunk.lastIndexOf(newline);
    const before = end < 1 ? -1 : chunk.lastIndexOf(newline, end - 1);
    const begun = before < 0 ? this.#begun : "";
    if (end >= 0) this.end();
    this.#begun = lineStart(this.#begun, chunk, end + 1, chunk.length);
    return end < 0 ? undefined : lineStart(begun, chunk, before + 1, end);
  }

  /** The next bytes start a new line. */
  end(): void {
    this.#begun = "";
  }
}

function lineStart(begun: string, chunk: Buffer, from: number, until: number): string {
  const wanted = longestLineBytes - begun.length;
  return begun + chunk.toString("latin1", from, Math.min(until, from + wanted));
}

/** No kernel line is longer. */
const longestLineBytes = 16 * 1024;

/** A task table has a record for each task. */
const longestDumpRecords = 20_000;
