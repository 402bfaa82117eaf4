import type { LogSourceState, LogTally } from "../collectors/log.ts";
import type { LogClock } from "../kernel-log/local-time.ts";
import type { KernelLogEvent, OomKillReport } from "../kernel-log/oom-report.ts";
import type { KillLedger } from "../kills/kill-ledger.ts";
import type { KillIntake } from "../kills/kill-recorder.ts";
import type { HostFiles } from "../sources/host-files.ts";
import type { KmsgPosition, KmsgReader } from "./kmsg-device.ts";
import { chooseLogSource, type LogChoice, type LogSource, openError } from "./log-choice.ts";
import type { LogPosition } from "./log-identity.ts";
import {
  FileReader,
  KmsgDeviceReader,
  type LogReader,
  type ReaderListener,
} from "./log-readers.ts";

export interface KernelLogOptions {
  mode: "auto" | "file" | "kmsg" | "none";
  /** `--kernel-log.file`, absent where it was not given. */
  filePath?: string;
  kmsg: { path: string; open: () => KmsgReader };
  files: HostFiles;
  ledger: KillLedger;
  intake: KillIntake;
  clock: LogClock;
  monotonicMs: () => number;
  /** Boot id of the running kernel, 32 hex digits. */
  boot: string;
  bootTimeMs: () => number;
  log: Record<"info" | "warn", (fields: object, message: string) => void>;
  /** False: no timers and watches, `drain()` does everything (tests). Default true. */
  watch?: boolean;
  /** Called once: every source that was chosen at the start has been read to its end. */
  onCaughtUp: () => void;
}

/** Log files in which kills of a boot were missing, as the ledger keeps them. */
interface BlindFiles {
  boot: string;
  paths: string[];
}

/** A file that is gone longer than rotation takes. */
const blindAfterMs = 10_000;
/** syslogd may start after us; so long after our start its log is looked for once more. */
const secondChoiceMs = 60_000;
const failedOnce =
  "a line of the kernel log could not be taken in, which is a mistake of this program; please report it. Such lines count in oom_log_unparsed_kills_total and are not told again";
/** A stamp and a clock that was set meanwhile may disagree so far about when the boot was. */
const bootSlackMs = 120_000;

interface Source {
  reader: LogReader;
  state: { up: boolean; reason?: string; sinceMs: number };
  isReread: boolean;
  /** What the operator was last told. The first finding is for the start-up line, or the message of a switch. */
  isReportedUp?: boolean;
}

/**
 * Which sources of the kernel log are read, and from where on.
 *
 * With a saved position reading goes on there. On the first start what stands in the log is history.
 * A source that is taken up later brings lines that may be known already: the ledger knows them.
 */
export class KernelLog {
  /** Why the sources that come first in order are not read. */
  passedOver: LogChoice["passedOver"] = [];
  readonly #options: KernelLogOptions;
  readonly #sources: Source[] = [];
  readonly #closed: LogTally[] = [];
  readonly #startedMs: number;
  readonly #firstStart: boolean;
  #hasChosenAgain = false;
  #hasCaughtUp = false;
  #switchedForGap = false;
  #hasSaidFailed = false;

  constructor(options: KernelLogOptions) {
    this.#options = options;
    this.#startedMs = options.monotonicMs();
    this.#firstStart = !options.ledger.isContinued;
  }

  start(): void {
    const { mode, filePath, files, kmsg } = this.#options;
    if (mode === "file") {
      this.#open({ kind: "file", path: filePath ?? files.rootfs("var/log/kern.log") });
    } else if (mode === "kmsg") {
      this.#open({ kind: "kmsg", path: kmsg.path });
    } else if (mode === "auto") {
      const source = this.#choose();
      if (source !== undefined) this.#open(source);
      const isBlind = source?.kind === "file" && this.#isBlind(source.path);
      // A ring that cannot be read would never catch up, and no count be shown.
      const readsBoth = isBlind && openError(kmsg.open) === undefined;
      if (readsBoth) this.#open({ kind: "kmsg", path: kmsg.path });
    }
    for (const { reader } of this.#sources) reader.start();
    this.#reportCaughtUp();
  }

  stop(): void {
    for (const { reader } of this.#sources) reader.stop();
  }

  /** To be called about once a second. `unaccounted`: kills that the log has not shown for 10 s. */
  tick(unaccounted: number | undefined): void {
    if (this.#options.mode !== "auto") return;
    const nowMs = this.#options.monotonicMs();
    if ((unaccounted ?? 0) > 0) this.#readRingForGap(unaccounted as number);
    const isBlind = this.#sources.every(
      ({ state }) => !state.up && nowMs - state.sinceMs >= blindAfterMs,
    );
    const isSecondChoice = !this.#hasChosenAgain && nowMs - this.#startedMs >= secondChoiceMs;
    if (isSecondChoice) this.#hasChosenAgain = true;
    if (isBlind || isSecondChoice) this.#chooseAgain(isBlind);
  }

  /** Reads what the sources have at this moment, instead of when they next wake. */
  async drain(): Promise<void> {
    await Promise.all(this.#sources.map(({ reader }) => reader.drain()));
  }

  /** Every source that is read, or should be: where none can be, those that come first. */
  get states(): LogSourceState[] {
    if (this.#sources.length === 0) {
      return ["file", "kmsg"].flatMap((kind) => {
        const wanted = this.passedOver.find(({ source }) => source.kind === kind);
        if (wanted === undefined) return [];
        const { source, obstacle } = wanted;
        return [{ name: source.kind, path: source.path, up: false, reason: obstacle }];
      });
    }
    const isRingUp = this.#sources.some(({ reader, state }) => reader.name === "kmsg" && state.up);
    return this.#sources.map(({ reader, state }) => {
      // Where the ring cannot be read either, the file is all there is.
      const isBlind = isRingUp && this.#isBlind(reader.path);
      const reason = isBlind ? "the kernel counted kills that it does not show" : state.reason;
      return { name: reader.name, path: reader.path, up: state.up && !isBlind, reason };
    });
  }

  get tally(): LogTally {
    const tallies = [...this.#closed, ...this.#sources.map(({ reader }) => reader.tally)];
    const sum = (field: Exclude<keyof LogTally, "lastRecordMs">) =>
      tallies.reduce((total, tally) => total + tally[field], 0);
    const last = Math.max(0, ...tallies.map(({ lastRecordMs }) => lastRecordMs ?? 0));
    return {
      lines: sum("lines"),
      bytes: sum("bytes"),
      rotations: sum("rotations"),
      truncations: sum("truncations"),
      lostRecords: sum("lostRecords"),
      suppressedDumps: sum("suppressedDumps"),
      unparsedKills: sum("unparsedKills"),
      readErrors: sum("readErrors"),
      lastRecordMs: last === 0 ? undefined : last,
    };
  }

  /** Where each source stands, by its key in the ledger. */
  positions(): Record<string, unknown> {
    const positions = this.#sources.map(({ reader }) => [reader.key, reader.position()] as const);
    return Object.fromEntries(positions.filter(([, position]) => position !== undefined));
  }

  /**
   * True where a file is followed on from a saved position, so that no line since is missing. The ring
   * proves nothing of the kind: it may have dropped its first records.
   */
  get holdsBoot(): boolean {
    return this.#sources.some(({ reader, isReread }) => reader.name === "file" && !isReread);
  }

  #choose(): LogSource | undefined {
    const { files, kmsg, bootTimeMs } = this.#options;
    const choice = chooseLogSource({ files, kmsg, bootTimeMs: bootTimeMs() });
    this.passedOver = choice.passedOver;
    return choice.source;
  }

  #chooseAgain(isBlind: boolean): void {
    const source = this.#choose();
    if (source === undefined || this.#find(source) !== undefined) return;
    this.#options.log.info({ path: source.path }, "reading the kernel log from another source");
    const before = isBlind ? [] : [...this.#sources];
    this.#open(source).reader.start();
    // A better source takes over; one that went blind is kept, for it may come back.
    for (const old of before) this.#close(old);
  }

  #readRingForGap(unaccounted: number): void {
    if (this.#switchedForGap) return;
    const { kmsg, log, ledger, boot, clock } = this.#options;
    if (this.#find({ kind: "kmsg", path: kmsg.path }) !== undefined) return;
    this.#switchedForGap = true;
    const blind = this.#sources.map(({ reader }) => reader.path);
    const ring = this.#open({ kind: "kmsg", path: kmsg.path });
    ring.reader.start();
    ledger.record({ atMs: clock.nowMs(), notes: { blindFiles: { boot, paths: blind } } });
    const isUp = ring.state.up;
    const message = isUp
      ? "the kernel counted kills that the log does not show: reading /dev/kmsg as well from now on"
      : "the kernel counted kills that the log does not show, and /dev/kmsg cannot be read either";
    log.warn({ unaccounted, blind: blind[0] }, message);
  }

  /** Kills of this boot are missing in it, as this process or one before it found. */
  #isBlind(path: string): boolean {
    const { ledger, boot } = this.#options;
    const known = ledger.note("blindFiles") as BlindFiles | undefined;
    return known?.boot === boot && known.paths.includes(path);
  }

  #find({ kind, path }: LogSource): Source | undefined {
    return this.#sources.find(({ reader }) => reader.name === kind && reader.path === path);
  }

  #open(source: LogSource): Source {
    const { ledger, clock, monotonicMs, boot, bootTimeMs, kmsg, watch } = this.#options;
    const options = { listener: this.#listener, clock, monotonicMs, watch };
    const key = source.kind === "file" ? `file:${source.path}` : "kmsg";
    const saved = ledger.position(key);
    const reader =
      source.kind === "file"
        ? new FileReader(source.path, (saved as LogPosition | undefined) ?? "start", options)
        : new KmsgDeviceReader(
            source.path,
            {
              open: kmsg.open,
              bootId: boot,
              from: (saved as KmsgPosition | undefined) ?? "start",
              bootTimeMs,
            },
            options,
          );
    const opened: Source = {
      reader,
      state: { up: false, reason: "not read yet", sinceMs: monotonicMs() },
      isReread: saved === undefined,
    };
    this.#sources.push(opened);
    return opened;
  }

  #close(source: Source): void {
    source.reader.stop();
    this.#closed.push(source.reader.tally);
    this.#sources.splice(this.#sources.indexOf(source), 1);
  }

  readonly #listener: ReaderListener = {
    event: (reader, event, position) => this.#take(reader, event, position),
    drained: () => this.#options.intake.commit(),
    caughtUp: () => this.#reportCaughtUp(),
    stateChanged: (reader, { up, reason }) => {
      const source = this.#sources.find((candidate) => candidate.reader === reader);
      if (source === undefined) return;
      const sinceMs = up === source.state.up ? source.state.sinceMs : this.#options.monotonicMs();
      source.state = { up, reason, sinceMs };
      const { isReportedUp } = source;
      source.isReportedUp = up;
      if (isReportedUp === undefined || up === isReportedUp) return;
      const { log } = this.#options;
      if (up) log.info({ path: reader.path }, "the kernel log is being read");
      else log.warn({ path: reader.path, reason }, "the kernel log cannot be read");
    },
    lost: (reader, reason) => {
      this.#options.log.warn({ path: reader.path, reason }, "part of the kernel log is lost");
    },
    failed: (reader, error) => {
      if (this.#hasSaidFailed) return;
      this.#hasSaidFailed = true;
      const reason = error instanceof Error ? error.stack : String(error);
      this.#options.log.warn({ path: reader.path, reason }, failedOnce);
    },
  };

  #reportCaughtUp(): void {
    if (this.#hasCaughtUp || !this.#sources.every(({ reader }) => reader.isCaughtUp)) return;
    this.#hasCaughtUp = true;
    this.#options.onCaughtUp();
  }

  #take(reader: LogReader, event: KernelLogEvent, position: unknown): void {
    const { intake } = this.#options;
    if (event.kind === "group") intake.amend(event.report);
    if (event.kind !== "kill") return;
    const source = this.#sources.find((candidate) => candidate.reader === reader);
    const isBacklog = !reader.isCaughtUp;
    const isReread = isBacklog && (source?.isReread ?? true);
    intake.take({
      report: event.report,
      source: reader.key,
      sourcePath: reader.path,
      isLive: reader.isCaughtUp,
      boot: this.#bootOf(reader, event.report),
      isReread,
      isHistory: isBacklog && this.#isOlderThanFirstStart(event.report, isReread),
      position,
      fail: (error) => reader.fail(error),
    });
  }

  /** On the first start all that stands in the log; later, in a source new to us, what is older than that start. */
  #isOlderThanFirstStart({ killLine }: OomKillReport, isReread: boolean): boolean {
    if (this.#firstStart && !this.#hasCaughtUp) return true;
    if (!isReread) return false;
    const firstStartMs = this.#options.ledger.note("firstStartMs") as number | undefined;
    const { timeMs } = killLine;
    return firstStartMs !== undefined && timeMs !== undefined && timeMs < firstStartMs;
  }

  /**
   * The ring holds nothing but this boot. In a file a line is of this boot when it was just written,
   * or when its stamps put the start of its boot where this boot's is; an earlier boot's is earlier.
   */
  #bootOf(reader: LogReader, { killLine }: OomKillReport): string | undefined {
    const { boot, bootTimeMs } = this.#options;
    if (reader.name === "kmsg" || reader.isCaughtUp) return boot;
    const { timeMs, printkMicros } = killLine;
    if (timeMs === undefined) return undefined;
    const sinceBootMs = printkMicros === undefined ? 0 : printkMicros / 1000;
    const slackMs = printkMicros === undefined ? 0 : bootSlackMs;
    return timeMs - sinceBootMs >= bootTimeMs() - slackMs ? boot : undefined;
  }
}
