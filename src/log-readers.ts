import type { LogSourceName, LogTally } from "./collectors/log.ts";
import { parseKmsgRecord } from "./kernel/kernel-message.ts";
import { KillScanner } from "./kernel/kill-scanner.ts";
import type { LogClock } from "./kernel/local-time.ts";
import { type KernelLogEvent, OomReportAssembler } from "./kernel/oom-report.ts";
import { KmsgDevice, type KmsgPosition, type KmsgReader } from "./sources/kmsg-device.ts";
import { LogFile } from "./sources/log-file.ts";
import type { LogPosition } from "./sources/log-identity.ts";

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
}

/** One source of the kernel log, read from bytes to reports. */
export interface LogReader {
  readonly name: LogSourceName;
  readonly path: string;
  /** Under which the ledger keeps its position. */
  readonly key: string;
  readonly isCaughtUp: boolean;
  start(): void;
  stop(): void;
  /** Reads what is there at this moment. */
  drain(): Promise<void>;
  /** From where reading on loses nothing and repeats no kill; absent while nothing has been read. */
  position(): unknown;
  readonly tally: LogTally;
}

export interface ReaderOptions {
  listener: ReaderListener;
  clock: LogClock;
  monotonicMs: () => number;
  /** False: no timers and watches, `drain()` does everything (tests). Default true. */
  watch?: boolean;
}

abstract class Reader {
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

  protected count(event: KernelLogEvent): void {
    if (event.kind === "unparsed") this.tally.unparsedKills++;
    if (event.kind !== "loss") return;
    const { what, count } = event.loss;
    // A dump that was held back takes no record of the log away: the kill line stands there.
    if (what === "callbacks_suppressed") this.tally.suppressedDumps += count;
    else this.tally.lostRecords += count;
  }
}

/** A log file: kern.log, messages or syslog. */
export class FileReader extends Reader implements LogReader {
  readonly name = "file";
  readonly path: string;
  readonly key: string;
  readonly #options: ReaderOptions;
  readonly #file: LogFile;
  readonly #scanner: KillScanner;
  #at: LogPosition | undefined;

  constructor(path: string, from: LogPosition | "start" | "end", options: ReaderOptions) {
    super();
    this.path = path;
    this.key = `file:${path}`;
    this.#options = options;
    const { clock, monotonicMs, listener, watch } = options;
    this.#scanner = new KillScanner({ clock, losses: true }, (event) => this.#told(event));
    this.#file = new LogFile({
      path,
      from,
      now: monotonicMs,
      watch,
      listener: {
        bytes: (chunk, at) => this.#take(chunk, at),
        endOfFile: () => this.#scanner.endOfInput(),
        caughtUp: () => {
          this.isCaughtUp = true;
          listener.caughtUp(this);
        },
        stateChanged: (state) => {
          if (!state.up) this.tally.readErrors++;
          listener.stateChanged(this, state);
        },
        rotated: (kind) => {
          if (kind === "rename") this.tally.rotations++;
          else this.tally.truncations++;
        },
        lost: ({ reason }) => {
          this.tally.lostRecords++;
          listener.lost(this, reason);
        },
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
      this.#scanner.nextFile(at.offset);
    }
    this.#at = at;
    this.tally.bytes += chunk.length;
    this.tally.lines += linesIn(chunk);
    this.tally.lastRecordMs = this.#options.clock.nowMs();
    this.#scanner.push(chunk);
    this.#options.listener.drained(this);
  }

  #told(event: KernelLogEvent): void {
    this.count(event);
    const offset = event.kind === "kill" ? event.report.endOffset : undefined;
    const isHere = this.#at !== undefined && offset !== undefined;
    const position = isHere ? { ...this.#at, offset } : undefined;
    this.#options.listener.event(this, event, position);
  }
}

/** `/dev/kmsg`. */
export class KmsgDeviceReader extends Reader implements LogReader {
  readonly name = "kmsg";
  readonly path: string;
  readonly key = "kmsg";
  readonly #options: ReaderOptions;
  readonly #device: KmsgDevice;
  readonly #assembler: OomReportAssembler;
  readonly #bootId: string;
  /** Sequence of the record that opened a dump whose victim is still to come. */
  #openSince: number | undefined;
  #sequence = 0;

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
    super();
    this.path = path;
    this.#options = options;
    this.#bootId = device.bootId;
    const { clock, listener, watch } = options;
    this.#assembler = new OomReportAssembler((event) => this.#told(event));
    let drain = false;
    this.#device = new KmsgDevice({
      ...device,
      watch,
      listener: {
        record: ({ sequence, raw, backlog }) => {
          this.#sequence = sequence;
          this.tally.lines++;
          this.tally.bytes += raw.length;
          this.tally.lastRecordMs = clock.nowMs();
          const message = parseKmsgRecord(raw.toString("latin1"));
          if (message === undefined) return;
          const sinceBootMs = (message.printkMicros ?? 0) / 1000;
          message.timeMs = backlog ? device.bootTimeMs() + sinceBootMs : clock.nowMs();
          this.#assembler.push(message, sequence);
          this.#openSince = this.#assembler.isOpen ? (this.#openSince ?? sequence) : undefined;
          if (drain) return;
          drain = true;
          // One poll delivers all that is at hand before anything else runs.
          queueMicrotask(() => {
            drain = false;
            listener.drained(this);
          });
        },
        caughtUp: () => {
          this.isCaughtUp = true;
          listener.caughtUp(this);
        },
        stateChanged: (state) => {
          if (!state.up) this.tally.readErrors++;
          listener.stateChanged(this, state);
        },
        lost: ({ reason, records }) => {
          this.tally.lostRecords += records;
          listener.lost(this, reason);
        },
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

  #told(event: KernelLogEvent): void {
    this.count(event);
    const position = { bootId: this.#bootId, sequence: this.#sequence };
    this.#options.listener.event(this, event, position);
  }
}

/** A task table has a record for each task. */
const longestDumpRecords = 20_000;

function linesIn(chunk: Buffer): number {
  let lines = 0;
  for (let at = 0; at < chunk.length; at++) if (chunk[at] === newline) lines++;
  return lines;
}

const newline = 0x0a;
