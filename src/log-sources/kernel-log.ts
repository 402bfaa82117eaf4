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
  /** `--kernel-log.file`, absent where it was not given. */
  filePath?: string;
  kmsg: { path: string; open: () => KmsgReader };
  files: HostFiles;
  clock: LogClock;
  monotonicMs: () => number;
  /** Boot id of the running kernel, 32 hex digits. */
  boot: string;
  bootTimeMs: () => number;
  /** Of `auto`: the log ring shows the host's kills, not this container's. */
  isContainer: boolean;
  log: Record<"info" | "warn", (fields: object, message: string) => void>;
  /** False: no timers and watches, `drain()` does everything (tests). Default true. */
  watch?: boolean;
}

/** A file that is gone longer than rotation takes. */
const blindAfterMs = 10_000;
/** Losses with less time between them are one. */
const lossEndsAfterMs = 10_000;
/** syslogd may start after the exporter: its log is looked for once more this long after the start. */
const secondChoiceMs = 60_000;
const failedOnce =
  "failed to process a kernel log line (bug, please report); such lines count in oom_log_unparsed_kills_total, further ones are not logged";
/** Tolerance when the clock was stepped between the stamp of a line and now. */
const clockStepMs = 120_000;

/** Who follows the log, and what it knows from before. */
interface Follower {
  listener: KillLogListener;
  saved: SavedFollowing;
}

interface Source {
  reader: LogReader;
  state: ReadState & { sinceMs: number };
  isReread: boolean;
  /** Absent where nothing was lost lately. */
  loss?: { records: number; lastMs: number };
  /** As last logged. The first finding is for the start-up line, or the message of a switch. */
  isLoggedUp?: boolean;
}

/**
 * The sources of the kernel log: which are read, and from where on.
 *
 * With a saved position reading goes on there. A source that is taken up later brings lines that may
 * be known already: they are marked as read again.
 */
export class KernelLog implements KillLog {
  /** Why the sources that come first in order are not read. */
  passedOver: LogChoice["passedOver"] = [];
  readonly #options: KernelLogOptions;
  readonly #sources: Source[] = [];
  /** Of sources that are no longer read. */
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
      // A ring that cannot be read would never catch up, and no count be shown.
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

  /** A few times a second: `/dev/kmsg` does not tell when it has more. */
  beat(): void {
    for (const { reader } of this.#sources) reader.beat();
  }

  /** The kernel has killed: its report is read at once, from sources that do not tell when they have more. */
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

  /** Only a file proves that no line is missing: the ring may have dropped its first records. */
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
    this.#options.log.info({ path: source.path }, "reading the kernel log from another source");
    const before = isBlind ? [] : [...this.#sources];
    this.#start(this.#open(source));
    // A better source takes over; one that went blind is kept, for it may come back.
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
      ? "the kernel counted kills that the log does not show: reading /dev/kmsg as well from now on"
      : "the kernel counted kills that the log does not show, and /dev/kmsg cannot be read either";
    log.warn({ unaccounted, blind: blind[0] }, message);
  }

  /** Kills of this boot are missing in it, as this process or one before it found. */
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

  /** A flood overruns the ring many times a second: its beginning is logged, and its end. */
  #noteLoss(source: Source, reason: string, records: number): void {
    const { log, monotonicMs } = this.#options;
    const before = source.loss?.records;
    if (before === undefined) {
      log.warn({ path: source.reader.path, reason }, "part of the kernel log is lost");
    }
    source.loss = { records: (before ?? 0) + records, lastMs: monotonicMs() };
  }

  #endLoss(source: Source): void {
    const { loss, reader } = source;
    if (loss === undefined) return;
    source.loss = undefined;
    const { records } = loss;
    this.#options.log.info({ path: reader.path, records }, "no more of the kernel log is lost");
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

  /** Of several sources read side by side, one brings what has no identity: the one opened last. */
  #isMain(source: Source): boolean {
    return source === this.#sources.findLast(({ reader }) => reader.isCaughtUp);
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
    const toleranceMs = printkMicros === undefined ? 0 : clockStepMs;
    return timeMs - sinceBootMs >= bootTimeMs() - toleranceMs ? boot : undefined;
  }
}
