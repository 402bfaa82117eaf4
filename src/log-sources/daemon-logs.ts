import type { LogClock } from "../kernel-log/local-time.ts";
import { DaemonGrammars } from "../killers/daemon-grammars.ts";
import type { DaemonKill } from "../killers/daemon-kill.ts";
import { journalEntry } from "../killers/daemon-line.ts";
import type { DaemonLog, DaemonLogListener, DaemonLogState } from "../killers/daemon-log.ts";
import { DaemonScanner } from "../killers/daemon-scanner.ts";
import { daemonNames, type FollowedKiller, followedKillers, placesOf } from "../killers/killer.ts";
import type { HostFiles } from "../sources/host-files.ts";
import { installedKillers } from "../sources/installed-killers.ts";
import { Journal, type JournalOptions, journalObstacle } from "./journal.ts";
import { bootTimeSlackMs, openError } from "./log-choice.ts";
import { LogFile } from "./log-file.ts";
import type { LogPosition } from "./log-identity.ts";
import type { ReadState } from "./log-source.ts";
import { openLog } from "./open-log.ts";
import { statsOf } from "./rotated-logs.ts";

export type DaemonLogMode = "auto" | "file" | "journal" | "none";

export interface DaemonLogsOptions {
  mode: DaemonLogMode;
  files: HostFiles;
  rootfs: string;
  clock: LogClock;
  monotonicMs: () => number;
  /** Boot id of the running kernel, 32 hex digits. */
  boot: string;
  bootTimeMs: () => number;
  log: Record<"info" | "warn", (fields: object, message: string) => void>;
  /** False: no timers and watches on files (tests). Default true. */
  watch?: boolean;
  /** Whether journalctl is on PATH. */
  hasJournalctl: () => boolean;
  /** For tests: how journalctl is started. */
  journal?: Pick<JournalOptions, "program" | "backOffMs">;
}

/** Logs with the lines of all daemons: the first one that is readable and was written to since boot may be used. */
const logFiles = ["var/log/syslog", "var/log/messages", "var/log/daemon.log"];
const journalKey = "journal";
/** Daemons may be installed later, and syslogd may start later than the exporter. */
const lookAgainMs = 60_000;
/** For this long a daemon's next line may revoke its last kill. */
const settleAfterMs = 500;
/** A message that never ends must not hold the position forever. */
const longestActionEntries = 2000;

/** The log from which daemons' kills are read. */
interface Source {
  readonly name: "file" | "journal";
  readonly path: string;
  readonly key: string;
  start(): void;
  stop(): void;
  /** Called four times a second. */
  beat?(): void;
  watch(killers: readonly FollowedKiller[]): void;
  /** Delivers kills that have waited long enough for another line. */
  settle(): void;
  position(): unknown;
}

/** What a source reports. */
interface SourceListener {
  kill(kill: DaemonKill, boot: string | undefined): void;
  stateChanged(state: ReadState): void;
  caughtUp(): void;
  /** Something was read; a kill may be waiting for the next line. */
  active(): void;
  /** Part of the log will not be delivered. `reason`: what and where, one line. */
  lost(reason: string): void;
  /** The same, and what comes next is read as if there had been no saved position. */
  positionLost(reason: string): void;
}

/** The daemons that `auto` follows; the kubelet logs a lot and is followed only on request. */
export function wantedKillers(mode: DaemonLogMode): readonly FollowedKiller[] {
  return mode === "auto" ? followedKillers.filter((name) => name !== "kubelet") : followedKillers;
}

/**
 * Where kills are read: `undefined` is the journal. `auto` prefers it, because its unit field cannot be forged: any user may
 * write into the file under a daemon's name.
 */
export function chooseDaemonFile(
  { mode, files, hasJournalctl }: Pick<DaemonLogsOptions, "mode" | "files" | "hasJournalctl">,
  bootTimeMs: number,
): string | undefined {
  if (mode === "journal") return undefined;
  if (mode === "auto" && hasJournalctl() && journalObstacle(files) === undefined) return undefined;
  return readableDaemonFile(files, bootTimeMs);
}

/** Those of them on this host. */
export function killersHere(files: HostFiles, mode: DaemonLogMode): FollowedKiller[] {
  return installedKillers(files, placesOf(wantedKillers(mode)));
}

function readableDaemonFile(files: HostFiles, bootTimeMs: number): string | undefined {
  return logFiles
    .map((path) => files.rootfs(path))
    .find((path) => {
      const writtenMs = statsOf(path)?.mtimeMs;
      const isStale = writtenMs === undefined || writtenMs < bootTimeMs - bootTimeSlackMs;
      return !isStale && openError(() => openLog(path)) === undefined;
    });
}

/**
 * The logs of daemons that kill for memory: which one is read, for which daemons, and from which position. Without such
 * a daemon on the host, nothing is read.
 */
export class DaemonLogs implements DaemonLog {
  readonly #options: DaemonLogsOptions;
  #watched: FollowedKiller[] = [];
  #source: Source | undefined;
  #state: ReadState = { up: false, reason: "not read yet" };
  #isLoggedUp: boolean | undefined;
  #downSinceMs: number;
  #follower: { listener: DaemonLogListener; position: (key: string) => unknown } | undefined;
  #hasCaughtUp = false;
  #isSourceCaughtUp = false;
  /** The source was opened without a position. */
  #isReread = false;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #activeMs: number | undefined;
  #losses = 0;

  constructor(options: DaemonLogsOptions) {
    this.#options = options;
    this.#downSinceMs = options.monotonicMs();
  }

  start(listener: DaemonLogListener, position: (key: string) => unknown): void {
    this.#follower = { listener, position };
    this.#look();
  }

  stop(): void {
    this.#source?.settle();
    this.#source?.stop();
  }

  beat(): void {
    this.#source?.beat?.();
    const nowMs = this.#options.monotonicMs();
    if (nowMs - this.#lookedMs >= lookAgainMs) this.#look();
    if (this.#activeMs !== undefined && nowMs - this.#activeMs >= settleAfterMs) {
      this.#activeMs = undefined;
      this.#source?.settle();
    }
  }

  positions(): Record<string, unknown> {
    const position = this.#source?.position();
    return this.#source === undefined || position === undefined
      ? {}
      : { [this.#source.key]: position };
  }

  get watched(): readonly FollowedKiller[] {
    return this.#watched;
  }

  get states(): readonly DaemonLogState[] {
    if (this.#source === undefined) return [];
    const { name, path } = this.#source;
    return [{ name, path, ...this.#state }];
  }

  get losses(): number {
    return this.#losses;
  }

  /** Looks for daemons, and opens a source once there is one. */
  #look(): void {
    const { mode, files, monotonicMs } = this.#options;
    this.#lookedMs = monotonicMs();
    if (mode === "none") return;
    this.#chooseAgain();
    const here = killersHere(files, mode);
    // The kills of a removed daemon stay.
    const added = here.filter((killer) => !this.#watched.includes(killer));
    if (added.length === 0) return;
    this.#watched = followedKillers.filter(
      (killer) => this.#watched.includes(killer) || added.includes(killer),
    );
    if (this.#source === undefined) this.#open();
    else this.#source.watch(this.#watched);
  }

  /** `auto` chose the journal, and has not been able to read it for a minute: syslogd may have started since. */
  #chooseAgain(): void {
    const { mode, files, bootTimeMs, monotonicMs } = this.#options;
    if (mode !== "auto" || this.#source?.name !== "journal" || this.#state.up) return;
    if (monotonicMs() - this.#downSinceMs < lookAgainMs) return;
    const file = readableDaemonFile(files, bootTimeMs());
    if (file === undefined) return;
    this.#source.stop();
    this.#open(file);
  }

  #open(file = chooseDaemonFile(this.#options, this.#options.bootTimeMs())): void {
    const { mode, files } = this.#options;
    this.#isSourceCaughtUp = false;
    const path = file ?? files.rootfs(logFiles[0] as string);
    const isFile = mode === "file" || file !== undefined;
    const key = isFile ? `file:${path}` : journalKey;
    const saved = this.#follower?.position(key) ?? undefined;
    this.#isReread = saved === undefined;
    const listener = this.#listenerOf(isFile ? path : journalKey);
    this.#source = isFile
      ? new FileSource(
          path,
          saved as LogPosition | undefined,
          this.#watched,
          this.#options,
          listener,
        )
      : new JournalSource(saved as string | undefined, this.#watched, this.#options, listener);
    this.#source.start();
  }

  #listenerOf(sourcePath: string): SourceListener {
    return {
      kill: (kill, boot) => {
        const [isLive, isReread] = [this.#isSourceCaughtUp, this.#isReread];
        this.#follower?.listener.kill({ kill, sourcePath, isLive, isReread, boot });
      },
      stateChanged: (state) => this.#noteState(sourcePath, state),
      caughtUp: () => {
        this.#source?.settle();
        this.#isSourceCaughtUp = true;
        if (this.#hasCaughtUp) return;
        this.#hasCaughtUp = true;
        this.#follower?.listener.caughtUp();
      },
      active: () => {
        this.#activeMs = this.#options.monotonicMs();
      },
      lost: (reason) => this.#noteLoss(sourcePath, reason),
      positionLost: (reason) => {
        this.#isReread = true;
        this.#isSourceCaughtUp = false;
        this.#noteLoss(sourcePath, reason);
      },
    };
  }

  #noteLoss(path: string, reason: string): void {
    this.#losses++;
    const message = "kills by daemons may be missing: part of their log is lost";
    this.#options.log.warn({ path, reason }, message);
  }

  #noteState(path: string, state: ReadState): void {
    const { log, monotonicMs } = this.#options;
    if (this.#state.up && !state.up) this.#downSinceMs = monotonicMs();
    this.#state = state;
    const wasUp = this.#isLoggedUp;
    this.#isLoggedUp = state.up;
    if (state.up === wasUp || (state.up && wasUp === undefined)) return;
    if (state.up) log.info({ path }, "the log of daemons that kill for memory is being read");
    else {
      const { reason } = state;
      log.warn({ path, reason }, "the log of daemons that kill for memory cannot be read");
    }
  }
}

/** syslog, messages or daemon.log. */
class FileSource implements Source {
  readonly name = "file";
  readonly path: string;
  readonly key: string;
  readonly #file: LogFile;
  readonly #options: DaemonLogsOptions;
  readonly #listener: SourceListener;
  readonly #killers: FollowedKiller[];
  readonly #scanner: DaemonScanner;
  #at: LogPosition | undefined;
  #isCaughtUp = false;

  constructor(
    path: string,
    from: LogPosition | undefined,
    killers: readonly FollowedKiller[],
    options: DaemonLogsOptions,
    listener: SourceListener,
  ) {
    this.path = path;
    this.key = `file:${path}`;
    this.#options = options;
    this.#listener = listener;
    this.#killers = [...killers];
    const { clock, monotonicMs, watch } = options;
    this.#scanner = new DaemonScanner({ clock, killers: this.#killers }, (kill) =>
      listener.kill(kill, this.#bootOf(kill)),
    );
    this.#file = new LogFile({
      path,
      from: from ?? "start",
      now: monotonicMs,
      watch,
      listener: {
        bytes: (chunk, at) => this.#take(chunk, at),
        endOfFile: () => this.#scanner.endOfInput(),
        rotated: () => {},
        lost: (reason) => listener.lost(reason),
        stateChanged: (state) => listener.stateChanged(state),
        caughtUp: () => {
          listener.caughtUp();
          this.#isCaughtUp = true;
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

  beat(): void {
    this.#file.beat();
  }

  watch(killers: readonly FollowedKiller[]): void {
    this.#killers.splice(0, this.#killers.length, ...killers);
  }

  settle(): void {
    this.#scanner.settle();
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
    this.#scanner.push(chunk);
    this.#listener.active();
  }

  /** A line just written is of this boot; an older one only if its stamp says so. */
  #bootOf({ timeMs }: DaemonKill): string | undefined {
    const { boot, bootTimeMs } = this.#options;
    if (this.#isCaughtUp) return boot;
    return timeMs !== undefined && timeMs >= bootTimeMs() ? boot : undefined;
  }
}

/** The journal, by journalctl. */
class JournalSource implements Source {
  readonly name = "journal";
  readonly path = "journal";
  readonly key = journalKey;
  readonly #journal: Journal;
  readonly #listener: SourceListener;
  readonly #grammars = new DaemonGrammars();
  #killers: readonly FollowedKiller[];
  /** Cursor of the last entry after which no daemon's message was incomplete; `null` if there is none to continue from. */
  #cursor: string | null | undefined;
  #latest: string | null | undefined;
  #entriesSince = 0;

  constructor(
    cursor: string | undefined,
    killers: readonly FollowedKiller[],
    { files, rootfs, journal }: DaemonLogsOptions,
    listener: SourceListener,
  ) {
    this.#killers = killers;
    this.#listener = listener;
    this.#cursor = cursor;
    this.#latest = cursor;
    this.#journal = new Journal({
      files,
      rootfs,
      matches: matchesOf(killers),
      cursor,
      ...journal,
      listener: {
        entry: (entry) => this.#take(entry),
        caughtUp: () => listener.caughtUp(),
        stateChanged: (state) => listener.stateChanged(state),
        cursorRejected: (reason) => {
          this.#cursor = null;
          this.#latest = null;
          listener.positionLost(reason);
        },
      },
    });
  }

  start(): void {
    this.#journal.start();
  }

  stop(): void {
    this.#journal.stop();
  }

  watch(killers: readonly FollowedKiller[]): void {
    this.#killers = killers;
    this.#journal.match(matchesOf(killers));
  }

  settle(): void {
    for (const kill of this.#grammars.settle()) this.#listener.kill(kill, undefined);
    this.#advance();
  }

  position(): string | null | undefined {
    return this.#cursor;
  }

  #take(record: Record<string, unknown>): void {
    const { line, cursor } = journalEntry(record) ?? {};
    const names = this.#killers.find((killer) => killer === line?.killer);
    // The unit is journald's own field; any program can use the daemon's name.
    const isGenuine = names !== undefined && daemonNames[names].units.includes(line?.unit ?? "");
    const kills = isGenuine && line !== undefined ? this.#grammars.read(line) : [];
    this.#latest = cursor ?? this.#latest;
    this.#entriesSince++;
    this.#advance();
    for (const kill of kills) this.#listener.kill(kill, undefined);
    this.#listener.active();
  }

  #advance(): void {
    if (this.#grammars.isOpen && this.#entriesSince <= longestActionEntries) return;
    this.#cursor = this.#latest;
    this.#entriesSince = 0;
  }
}

/** Entries that a daemon's unit wrote under the daemon's name. */
function matchesOf(killers: readonly FollowedKiller[]): string[][] {
  return killers.map((killer) => {
    const { identifiers, units } = daemonNames[killer];
    return [
      ...identifiers.map((name) => `SYSLOG_IDENTIFIER=${name}`),
      ...units.map((unit) => `_SYSTEMD_UNIT=${unit}`),
    ];
  });
}
