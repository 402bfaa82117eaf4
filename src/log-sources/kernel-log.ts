import type { LogClock } from "../kernel-log/local-time.ts";
import type { KernelLogEvent, OomKillReport } from "../kernel-log/oom-report.ts";
import type { KillLineRead, KillLog, KillLogListener, SavedFollowing } from "../kills/kill-log.ts";
import type { HostFiles } from "../sources/host-files.ts";
import type { KmsgPosition, KmsgReader } from "./kmsg-device.ts";
import { chooseLogSource, type LogChoice, openError } from "./log-choice.ts";
import type { LogPosition } from "./log-identity.ts";
import { FileReader, KmsgDeviceReader, type LogReader } from "./log-readers.ts";
import {
  emptyTally,
  type LogSource,
  type LogSourceState,
  type LogTally,
  type ReadState,
  sumOfTallies,
} from "./log-source.ts";

export interface KernelLogOptions {
  mode: "auto" | "file" | "kmsg" | "none";
  /** `--kernel-log.file`, absent if not given. */
  filePath?: string;
  kmsg: { path: string; open: () => KmsgReader };
  files: HostFiles;
  clock: LogClock;
  monotonicMs: () => number;
  /** Boot id of the running kernel, 32 hex digits. */
  boot: string;
  bootTimeMs: () => number;
  /** For `auto`: the ring buffer shows the host's kills, not this container's. */
  isContainer: boolean;
  log: Record<"info" | "warn", (fields: object, message: string) => void>;
  /** False: no timers and watches, `drain()` does everything (tests). Default true. */
  watch?: boolean;
}

/** A file missing for longer than a rotation takes. */
const blindAfterMs = 10_000;
/** Losses closer together than this are reported as one. */
const lossEndsAfterMs = 10_000;
/** syslogd may start after the exporter: its log is looked for once more this long after the start. */
const secondChoiceMs = 60_000;
const failedOnce =
  "failed to process a kernel log line (bug, please report); oom_log_unparsed_kills_total counts these lines, further ones are not logged";
/** Tolerance when the clock was stepped between a line's timestamp and now. */
const clockStepMs = 120_000;

/** The consumer of the log, and what it already knows. */
interface Follower {
  listener: KillLogListener;
  saved: SavedFollowing;
}

interface Source {
  reader: LogReader;
  state: ReadState & { sinceMs: number };
  isReread: boolean;
  /** Absent without a recent loss. */
  loss?: { records: number; lastMs: number };
  /** The state last logged. The first one goes into the start-up line or the message about a switch. */
  isLoggedUp?: boolean;
}

/**
 * The sources of the kernel log: which ones to read, and from which position.
 *
 * Reading continues from a saved position. A source that is opened later may bring lines that are already known;
 * those are marked as read again.
 */
export class KernelLog implements KillLog {
  /** Why the preferred sources are not read. */
  passedOver: LogChoice["passedOver"] = [];
  readonly #options: KernelLogOptions;
  readonly #sources: Source[] = [];
  /** From sources that are no longer read. */
  readonly #closed: LogTally[] = [];
  readonly #startedMs: number;
  #follower: Follower | undefined;
  #hasChosenAgain = false;
  #hasCaughtUp = false;
  #switchedForGap = false;
  #hasLoggedFailure = false;
  #failedLines = 0;

  constructor(options: KernelLogOptions) {
    this.#options = options;
    this.#startedMs = options.monotonicMs();
  }

  start(listener: KillLogListener, saved: SavedFollowing): void {
    this.#follower = { listener, saved };
    const { mode, filePath, files, kmsg, isContainer } = this.#options;
    if (mode === "file") {
      this.#open({ kind: "file", path: filePath ?? files.rootfs("var/log/kern.log") });
    } else if (mode === "kmsg") {
      this.#open({ kind: "kmsg", path: kmsg.path });
    } else if (mode === "auto") {
      const source = this.#choose();
      if (source !== undefined) this.#open(source);
      const isBlind = source?.kind === "file" && this.#isBlind(source.path);
      // A ring buffer that cannot be read would never catch up, and no count would be exported.
      const readsBoth = isBlind && !isContainer && openError(kmsg.open) === undefined;
      if (readsBoth) this.#open({ kind: "kmsg", path: kmsg.path });
    }
    for (const source of this.#sources) this.#start(source);
    this.#reportCaughtUp();
  }

  stop(): void {
    for (const source of this.#sources) {
      source.reader.stop();
      this.#endLoss(source);
    }
  }

  /** Called a few times a second, because `/dev/kmsg` does not announce new records. */
  beat(): void {
    for (const { reader } of this.#sources) reader.beat();
  }

  /** A kill was announced: reads its report at once from sources that do not announce new records. */
  expectKill(): void {
    for (const { reader } of this.#sources) reader.expectKill();
  }

  tick(unaccounted: number | undefined): void {
    const nowMs = this.#options.monotonicMs();
    for (const source of this.#sources) {
      if (source.loss !== undefined && nowMs - source.loss.lastMs >= lossEndsAfterMs) {
        this.#endLoss(source);
      }
    }
    if (this.#options.mode !== "auto") return;
    if ((unaccounted ?? 0) > 0) this.#readRingForGap(unaccounted as number);
    const isBlind = this.#sources.every(
      ({ state }) => !state.up && nowMs - state.sinceMs >= blindAfterMs,
    );
    const isSecondChoice = !this.#hasChosenAgain && nowMs - this.#startedMs >= secondChoiceMs;
    if (isSecondChoice) this.#hasChosenAgain = true;
    if (isBlind || isSecondChoice) this.#chooseAgain(isBlind);
  }

  async drain(): Promise<void> {
    await Promise.all(this.#sources.map(({ reader }) => reader.drain()));
  }

  get isOn(): boolean {
    return this.#options.mode !== "none";
  }

  /** Every source that is read, or should be; if none can be read, the preferred ones. */
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
      // If the ring buffer cannot be read either, the file is all there is.
      const isBlind = isRingUp && this.#isBlind(reader.path);
      const reason = isBlind ? "the kernel counted kills that are not in it" : state.reason;
      return { name: reader.name, path: reader.path, up: state.up && !isBlind, reason };
    });
  }

  get tally(): LogTally {
    return sumOfTallies([
      ...this.#closed,
      ...this.#sources.map(({ reader }) => reader.tally),
      { ...emptyTally(), unparsedKills: this.#failedLines },
    ]);
  }

  positions(): Record<string, unknown> {
    const positions = this.#sources.map(({ reader }) => [reader.key, reader.position()] as const);
    return Object.fromEntries(positions.filter(([, position]) => position !== undefined));
  }

  /** Only a file proves that no line is missing: the ring buffer may have dropped its first records. */
  get holdsBoot(): boolean {
    return this.#sources.some(({ reader, isReread }) => reader.name === "file" && !isReread);
  }

  failed({ sourcePath }: Pick<KillLineRead, "sourcePath">, error: unknown): void {
    this.#failedLines++;
    this.#logFailure(sourcePath, error);
  }

  #choose(): LogSource | undefined {
    const { files, kmsg, bootTimeMs, isContainer } = this.#options;
    const choice = chooseLogSource({ files, kmsg, bootTimeMs: bootTimeMs(), isContainer });
    this.passedOver = choice.passedOver;
    return choice.source;
  }

  #chooseAgain(isBlind: boolean): void {
    const source = this.#choose();
    if (source === undefined || this.#find(source) !== undefined) return;
    this.#options.log.info({ path: source.path }, "switching to another source of the kernel log");
    const before = isBlind ? [] : [...this.#sources];
    this.#start(this.#open(source));
    // A better source takes over; a blind one is kept, because it may recover.
    for (const old of before) this.#close(old);
  }

  #readRingForGap(unaccounted: number): void {
    if (this.#switchedForGap) return;
    const { kmsg, log } = this.#options;
    if (this.#find({ kind: "kmsg", path: kmsg.path }) !== undefined) return;
    this.#switchedForGap = true;
    const blind = this.#sources.map(({ reader }) => reader.path);
    const ring = this.#open({ kind: "kmsg", path: kmsg.path });
    this.#start(ring);
    this.#follower?.listener.blindFiles(blind);
    const isUp = ring.state.up;
    const message = isUp
      ? "the kernel counted kills that are not in the log: now also reading /dev/kmsg"
      : "the kernel counted kills that are not in the log, and /dev/kmsg cannot be read either";
    log.warn({ unaccounted, blind: blind[0] }, message);
  }

  /** This or an earlier process found that kills of this boot are missing in it. */
  #isBlind(path: string): boolean {
    return this.#follower?.saved.blindFiles().includes(path) ?? false;
  }

  #find({ kind, path }: LogSource): Source | undefined {
    return this.#sources.find(({ reader }) => reader.name === kind && reader.path === path);
  }

  #open(source: LogSource): Source {
    const { clock, monotonicMs, boot, bootTimeMs, kmsg, watch } = this.#options;
    const options = { clock, monotonicMs, watch };
    const saved = this.#follower?.saved.position(
      source.kind === "file" ? `file:${source.path}` : "kmsg",
    );
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
    this.#endLoss(source);
    this.#closed.push(source.reader.tally);
    this.#sources.splice(this.#sources.indexOf(source), 1);
  }

  #start(source: Source): void {
    const { reader } = source;
    reader.start({
      event: (event, position) => this.#take(source, event, position),
      batchEnd: () => this.#follower?.listener.batchEnd(),
      caughtUp: () => this.#reportCaughtUp(),
      stateChanged: (state) => this.#noteState(source, state),
      lost: (reason, records) => this.#noteLoss(source, reason, records),
      failed: (error) => this.#logFailure(reader.path, error),
    });
  }

  #noteState(source: Source, { up, reason }: ReadState): void {
    const { log, monotonicMs } = this.#options;
    const sinceMs = up === source.state.up ? source.state.sinceMs : monotonicMs();
    source.state = { up, reason, sinceMs };
    const { isLoggedUp } = source;
    source.isLoggedUp = up;
    if (isLoggedUp === undefined || up === isLoggedUp) return;
    const { path } = source.reader;
    if (up) log.info({ path }, "the kernel log is being read");
    else log.warn({ path, reason }, "the kernel log cannot be read");
  }

  /** A flood overruns the ring buffer many times a second: only its start and end are logged. */
  #noteLoss(source: Source, reason: string, records: number): void {
    const { log, monotonicMs } = this.#options;
    const before = source.loss?.records;
    if (before === undefined) {
      log.warn({ path: source.reader.path, reason }, "kernel log records lost");
    }
    source.loss = { records: (before ?? 0) + records, lastMs: monotonicMs() };
  }

  #endLoss(source: Source): void {
    const { loss, reader } = source;
    if (loss === undefined) return;
    source.loss = undefined;
    const { records } = loss;
    this.#options.log.info({ path: reader.path, records }, "no more kernel log records are lost");
  }

  #logFailure(path: string, error: unknown): void {
    if (this.#hasLoggedFailure) return;
    this.#hasLoggedFailure = true;
    const reason = error instanceof Error ? error.stack : String(error);
    this.#options.log.warn({ path, reason }, failedOnce);
  }

  #reportCaughtUp(): void {
    if (this.#hasCaughtUp || !this.#sources.every(({ reader }) => reader.isCaughtUp)) return;
    this.#hasCaughtUp = true;
    this.#follower?.listener.caughtUp();
  }

  #take(source: Source, event: KernelLogEvent, position: unknown): void {
    const { reader } = source;
    const listener = this.#follower?.listener;
    if (event.kind === "group") listener?.groupLine(event.report);
    if (event.kind === "no_victim" && this.#isMain(source)) listener?.noVictim();
    if (event.kind !== "kill") return;
    listener?.killLine({
      report: event.report,
      source: reader.key,
      sourcePath: reader.path,
      isLive: reader.isCaughtUp,
      boot: this.#bootOf(reader, event.report),
      isReread: !reader.isCaughtUp && source.isReread,
      position,
    });
  }

  /** If several sources are read, one of them delivers lines without identity: the one opened last. */
  #isMain(source: Source): boolean {
    return source === this.#sources.findLast(({ reader }) => reader.isCaughtUp);
  }

  /**
   * The ring buffer holds only this boot. In a file, a line belongs to this boot if it was just written, or if its
   * timestamps put its boot's start where this boot started; an earlier boot started earlier.
   */
  #bootOf(reader: LogReader, { killLine }: OomKillReport): string | undefined {
    const { boot, bootTimeMs } = this.#options;
    if (reader.name === "kmsg" || reader.isCaughtUp) return boot;
    const { timeMs, printkMicros } = killLine;
    if (timeMs === undefined) return undefined;
    const sinceBootMs = printkMicros === undefined ? 0 : printkMicros / 1000;
    const toleranceMs = printkMicros === undefined ? 0 : clockStepMs;
    return timeMs - sinceBootMs >= bootTimeMs() - toleranceMs ? boot : undefined;
  }
}
