import { type Kill, killOfReport } from "./kill.ts";
import type { RecentKill, WatchedKill } from "./kill-history.ts";
import { type KillCounts, KillLedger, type LedgerStore, type SavedLedger } from "./kill-ledger.ts";
import type { KillLineRead, KillLog, KillLogListener, SavedFollowing } from "./kill-log.ts";
import { type KillCountBaseline, KillReconciler } from "./kill-reconciler.ts";
import { KillRecorder, type KillWitness, type VictimLookup } from "./kill-recorder.ts";
import type { Settled } from "./outcome.ts";
import { hasOwner, type Owner, ownerLabels } from "./owner.ts";

export interface KillCountingOptions {
  log: KillLog;
  lookup: VictimLookup;
  /** Absent if nothing watches the host. */
  witness?: KillWitness;
  /** Absent if nothing is kept across restarts. */
  store?: LedgerStore;
  /** State of an earlier process; absent on the first start. */
  saved?: SavedLedger;
  /** Boot id of the running kernel, 32 hex digits. */
  boot: string;
  ownerOf: (cgroup: string | null | undefined) => Owner;
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
  /** A monotonic clock, milliseconds. */
  monotonicMs: () => number;
  /** The clock of the kernel's timestamps, milliseconds since boot. */
  printkMs: () => number;
  logger: { warn(fields: object, message: string): void };
  /** Converts a report to a kill; default `killOfReport`. */
  describe?: typeof killOfReport;
}

/** The cgroups found in one reading. */
export interface CgroupsSeen {
  readings: readonly { readonly path: string }[];
  /** Number left out for lack of time or room; a cgroup that was not seen may still exist. */
  beyondLimit: number;
}

/** Log files that lacked kills of a boot. */
interface BlindFiles {
  boot: string;
  paths: readonly string[];
}

/** Facts that the ledger stores in addition to kills, by key. */
const noteKeys = {
  baseline: "kernelCount",
  firstStartMs: "firstStartMs",
  blindFiles: "blindFiles",
} as const;

/** Interval for saving positions alone: reading again from an older one finds no uncounted kill. */
const positionsEveryTicks = 5;

/**
 * Counts kills: from the lines of the kernel log to the published counters.
 *
 * How counting begins:
 * 1. The log is read from the saved positions, or from its beginning if there are none. On the first start
 *    everything in it is history: shown, never counted.
 * 2. Counters are published only after every source has been read to its end.
 * 3. Then, on the first start, the moment from which kills count is saved. If the process dies before that, the next
 *    start is the first start again.
 * 4. The log is reconciled with the kernel's own count from this moment on, or from the baseline saved earlier in
 *    this boot.
 *
 * For the invariants see `KillLedger`, `KillRecorder` and `KillReconciler`.
 */
export class KillCounting {
  readonly #options: KillCountingOptions;
  readonly #ledger: KillLedger;
  readonly #reconciler: KillReconciler;
  readonly #recorder: KillRecorder;
  #hasCaughtUp = false;
  #noVictims = 0;
  #ticks = 0;

  constructor(options: KillCountingOptions) {
    const { store, saved, nowMs, describe = killOfReport } = options;
    this.#options = options;
    this.#ledger = new KillLedger({ store, saved, nowMs: nowMs() });
    this.#reconciler = new KillReconciler(
      this.#ledger.note(noteKeys.baseline) as KillCountBaseline | undefined,
    );
    this.#recorder = new KillRecorder({
      ...options,
      ledger: this.#ledger,
      reconciler: this.#reconciler,
      describe,
    });
  }

  /** Starts following the log. Processes and cgroups should have been read once before. */
  start(): void {
    this.#options.log.start(this.#listener, this.#savedFollowing);
    this.#reconcile();
  }

  /** Called about once a second. */
  tick(): void {
    if (this.#hasCaughtUp) {
      this.#reconcile();
      this.#saveBaseline();
      this.#options.log.tick(this.unaccounted);
    }
    if (++this.#ticks % positionsEveryTicks === 0) this.#recorder.savePositions();
    this.#ledger.flush();
  }

  /** Stops following and saves everything. */
  stop(): void {
    this.#options.log.stop();
    this.#recorder.stop();
  }

  /** Whether counters are published: everything after the saved positions has been read. */
  get hasCaughtUp(): boolean {
    return this.#hasCaughtUp;
  }

  /** The three counter families; absent until `hasCaughtUp`. */
  counts(): KillCounts | undefined {
    return this.#ledger.counts(this.#options.nowMs());
  }

  /** Kills that the kernel counted but that are not in the log; absent if the two cannot be compared. */
  get unaccounted(): number | undefined {
    return this.#options.log.isOn ? this.#reconciler.unaccounted : undefined;
  }

  /** Times the kernel found no process to kill, since this process started. */
  get noVictims(): number {
    return this.#noVictims;
  }

  /** Kills that this process has read, history included. */
  get killsRead(): number {
    return this.#ledger.killsRead;
  }

  /** All kills whose details are kept, newest first. */
  kills(): Kill[] {
    return this.#ledger.kills();
  }

  /** Kills of the last hour; see `KillHistory.recent`. */
  recent(): { kills: RecentKill[]; leftOut: number } {
    return this.#ledger.recent(this.#options.nowMs());
  }

  /** Kills whose outcome is not known yet. */
  watched(): WatchedKill[] {
    return this.#ledger.watched();
  }

  /**
   * Saves and shows what became of the cgroup of a kill; `undefined` where that will not be known. An outcome
   * never changes.
   */
  settle(incident: string, settled: Settled | undefined): void {
    const kill = this.#ledger.kill(incident);
    if (settled === undefined) this.#ledger.unwatch(incident);
    else if (kill?.outcome === null) {
      this.#ledger.record({ atMs: this.#options.nowMs(), amended: [{ ...kill, ...settled }] });
    }
  }

  /** Unix milliseconds of the newest kill by constraint, history included; 0 where none is known. */
  lastKills(): ReturnType<KillLedger["lastKills"]> {
    return this.#ledger.lastKills();
  }

  /** Gives each live cgroup with an owner its series, starting at 0, before its first kill. */
  noteCgroups({ readings, beyondLimit }: CgroupsSeen): void {
    const { ownerOf, nowMs } = this.#options;
    const live = readings.flatMap(({ path }) => {
      const owner = ownerOf(path);
      return hasOwner(owner) ? [ownerLabels(path, owner)] : [];
    });
    this.#ledger.noteWorkloads(live, { isWhole: beyondLimit === 0, nowMs: nowMs() });
  }

  readonly #listener: KillLogListener = {
    killLine: (line) => this.#recorder.take(line, this.#isHistory(line)),
    groupLine: (report) => this.#recorder.amend(report),
    noVictim: () => {
      this.#noVictims++;
    },
    batchEnd: () => this.#recorder.commit(),
    caughtUp: () => this.#showCounts(),
    blindFiles: (paths) => {
      const blindFiles: BlindFiles = { boot: this.#options.boot, paths };
      this.#note({ [noteKeys.blindFiles]: blindFiles });
    },
  };

  readonly #savedFollowing: SavedFollowing = {
    position: (source) => this.#ledger.position(source),
    blindFiles: () => {
      const known = this.#ledger.note(noteKeys.blindFiles) as BlindFiles | undefined;
      return known?.boot === this.#options.boot ? known.paths : [];
    },
  };

  /**
   * Older than the first start: on the first start everything already in the log; later, in a source that is new to
   * this state, everything older than that start.
   */
  #isHistory({ report, isLive, isReread }: KillLineRead): boolean {
    if (isLive) return false;
    if (!this.#ledger.isContinued && !this.#hasCaughtUp) return true;
    if (!isReread) return false;
    const firstStartMs = this.#ledger.note(noteKeys.firstStartMs) as number | undefined;
    const { timeMs } = report.killLine;
    return firstStartMs !== undefined && timeMs !== undefined && timeMs < firstStartMs;
  }

  #showCounts(): void {
    const { boot, nowMs, printkMs, log } = this.#options;
    this.#recorder.commit();
    if (!this.#ledger.isContinued) {
      this.#ledger.record({
        atMs: nowMs(),
        began: { boot, printkMicros: Math.round(printkMs() * 1000) },
        notes: { [noteKeys.firstStartMs]: nowMs() },
      });
    }
    this.#hasCaughtUp = true;
    this.#ledger.showCounts();
    this.#reconciler.begin(this.#reading(), { logHoldsBoot: log.holdsBoot });
    this.#recorder.readCounters();
    this.#recorder.savePositions();
    this.#saveBaseline();
  }

  #reconcile(): void {
    this.#reconciler.read(this.#reading());
  }

  /** Lines are counted before the kernel's count is read: see `KillCountReading`. */
  #reading() {
    const { boot, lookup, monotonicMs } = this.#options;
    const { rawLines } = this.#recorder;
    return { boot, rawLines, oomKill: lookup.kernelKills(), nowMs: monotonicMs() };
  }

  #saveBaseline(): void {
    const { baseline } = this.#reconciler;
    if (JSON.stringify(baseline) === JSON.stringify(this.#ledger.note(noteKeys.baseline))) return;
    this.#note({ [noteKeys.baseline]: baseline ?? null });
  }

  #note(notes: Record<string, unknown>): void {
    this.#ledger.record({ atMs: this.#options.nowMs(), notes });
  }
}
