import { type Owner, ownerLabels } from "../kills/owner.ts";
import type { DaemonKill } from "./daemon-kill.ts";
import type { DaemonKillRead, DaemonLog, DaemonLogListener } from "./daemon-log.ts";
import type { FollowedKiller } from "./killer.ts";
import { incidentOf, sightingOf } from "./userspace-identity.ts";
import { killOfDaemon, type UserspaceKill } from "./userspace-kill.ts";
import {
  type RecentUserspaceKill,
  type SavedUserspaceLedger,
  type UserspaceKillLabels,
  UserspaceLedger,
  type UserspaceStore,
} from "./userspace-ledger.ts";

export interface SignalledProcess {
  comm?: string;
  uid?: number;
  cgroup?: string;
}

/** What the host knows of a process that a daemon has signalled: most daemons do not name its cgroup. */
export interface SignalledLookup {
  /** The process as it is now, if it is still there. */
  lookUp(pid: number): SignalledProcess | undefined;
  /** The process as it was last seen. */
  remembered(pid: number): SignalledProcess | undefined;
  /** What it was running; empty where that is not known. */
  programOf(process: { pid: number; comm: string }): string;
}

export interface UserspaceCountingOptions {
  log: DaemonLog;
  lookup: SignalledLookup;
  /** Absent without a state directory. */
  store?: UserspaceStore;
  /** What an earlier process kept; absent on the first start. */
  saved?: SavedUserspaceLedger;
  ownerOf: (cgroup: string | null | undefined) => Owner;
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
  logger: { warn(fields: object, message: string): void };
}

/** Positions alone are saved this seldom: what is read again is known to the ledger. */
const positionsEveryTicks = 5;
const failedOnce =
  "failed to process a kill that a daemon logged (bug, please report); further failures are not logged";

/**
 * Counts the kills of daemons: from the lines of their logs to what is shown of them.
 *
 * As with the kernel's kills (`KillCounting`): on the first start everything in the log is history, shown
 * but never counted; no count is shown before the log has been read to its end; then every kill counts,
 * once, and is saved before it is shown.
 */
export class UserspaceCounting {
  readonly #options: UserspaceCountingOptions;
  readonly #ledger: UserspaceLedger;
  #hasCaughtUp = false;
  #hasLoggedFailure = false;
  #ticks = 0;

  constructor(options: UserspaceCountingOptions) {
    this.#options = options;
    this.#ledger = new UserspaceLedger(options);
  }

  start(): void {
    this.#options.log.start(this.#listener, (key) => this.#ledger.position(key));
  }

  /** About once a second. */
  tick(): void {
    if (++this.#ticks % positionsEveryTicks === 0) this.#savePositions();
    this.#ledger.flush();
  }

  stop(): void {
    this.#options.log.stop();
    this.#savePositions();
    this.#ledger.flush();
  }

  /** By daemon that is watched; absent until its log has been read to its end once. */
  counts(): ReadonlyMap<FollowedKiller, number> | undefined {
    if (!this.#hasCaughtUp) return undefined;
    return new Map(
      this.#options.log.watched.map((killer) => [killer, this.#ledger.count(killer)] as const),
    );
  }

  /** Kills of the last hour; see `UserspaceLedger.recent`. */
  recent(): RecentUserspaceKill[] {
    return this.#ledger.recent(this.#options.nowMs());
  }

  /** All kills whose details are kept, newest first. */
  kills(): UserspaceKill[] {
    return this.#ledger.kills();
  }

  readonly #listener: DaemonLogListener = {
    kill: (read) => {
      try {
        this.#take(read);
      } catch (error) {
        this.#logFailure(error);
      }
    },
    caughtUp: () => {
      if (this.#ledger.beganMs === undefined) {
        this.#ledger.record({ atMs: this.#options.nowMs(), began: true });
      }
      this.#hasCaughtUp = true;
      this.#savePositions();
    },
  };

  #take(read: DaemonKillRead): void {
    const { kill, sourcePath, isLive, boot } = read;
    const { nowMs, ownerOf } = this.#options;
    const sighting = sightingOf(kill, boot);
    const atMs = nowMs();
    // Without the log's position: that may lie after further kills of the same bytes, which come next.
    if (this.#ledger.find(sighting) !== undefined) {
      this.#ledger.record({ atMs, extended: [sighting] });
      return;
    }
    const incident = incidentOf(sighting);
    const seen = isLive ? this.#seen(kill) : {};
    const shown = killOfDaemon(kill, { incident, sourceName: sourcePath, ownerOf, ...seen });
    this.#ledger.record({
      atMs,
      entries: [
        {
          identity: { ...sighting, incident },
          kill: shown,
          labels: labelsOf(shown),
          history: this.#isHistory(read),
        },
      ],
    });
  }

  /**
   * Logged before counting began: a source that is read for the first time may hold older kills. What stands after a
   * saved position counts whatever its stamp says: the clock may have been wrong, then or when counting began.
   */
  #isHistory({ kill: { timeMs }, isLive, isReread }: DaemonKillRead): boolean {
    const { beganMs } = this.#ledger;
    if (beganMs === undefined) return true;
    return !isLive && isReread && timeMs !== undefined && timeMs < beganMs;
  }

  /** Another process may have the pid by now: its name and, where the line has it, its user have to be the same. */
  #seen({ pid, comm, uid }: DaemonKill): { cgroup?: string; program?: string } {
    if (pid === undefined || comm === undefined) return {};
    const { lookup } = this.#options;
    const stillThere = lookup.lookUp(pid);
    // On v1 the kernel shows `/` for an exiting task: only an earlier reading says whether it really was there.
    const found = [
      stillThere?.cgroup === "/" ? undefined : stillThere,
      lookup.remembered(pid),
    ].find(
      (process) =>
        process?.comm === comm &&
        process.cgroup !== undefined &&
        (uid ?? process.uid) === (process.uid ?? uid),
    );
    return {
      cgroup: found?.cgroup?.replace(/ \(deleted\)$/, ""),
      program: lookup.programOf({ pid, comm }) || undefined,
    };
  }

  #savePositions(): void {
    const moved = Object.entries(this.#options.log.positions()).filter(
      ([key, position]) => JSON.stringify(position) !== JSON.stringify(this.#ledger.position(key)),
    );
    if (moved.length === 0) return;
    this.#ledger.record({ atMs: this.#options.nowMs(), positions: Object.fromEntries(moved) });
  }

  #logFailure(error: unknown): void {
    if (this.#hasLoggedFailure) return;
    this.#hasLoggedFailure = true;
    const reason = error instanceof Error ? error.stack : String(error);
    this.#options.logger.warn({ reason }, failedOnce);
  }
}

function labelsOf(kill: UserspaceKill): UserspaceKillLabels {
  return {
    incident: kill.incident,
    killer: kill.killer,
    pid: kill.pid === null ? "" : String(kill.pid),
    comm: kill.comm ?? "",
    program: kill.program ?? "",
    reason: kill.reason,
    ...ownerLabels(kill.cgroup, kill.owner),
  };
}
