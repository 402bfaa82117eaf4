import { BoundedMap } from "../collections/bounded-map.ts";
import { protectionOf } from "../kernel/badness.ts";
import { jsonCopy } from "../text/json-text.ts";
import { growerLabel } from "./before.ts";
import type { ChangeStore } from "./change-store.ts";
import { type CommandCount, CommandKills } from "./command-kills.ts";
import { type Constraint, constraints, type Kill } from "./kill.ts";
import {
  type Classified,
  type IdentityUpdate,
  KillDeduplicator,
  type KillIdentity,
  type KillSighting,
  type SavedIdentities,
} from "./kill-deduplicator.ts";
import {
  KillHistory,
  type KillLabels,
  type RecentKill,
  type SavedHistory,
  type WatchedKill,
} from "./kill-history.ts";
import { type OwnerLabels, ownerLabels } from "./owner.ts";
import { type SavedWorkload, type WorkloadCount, WorkloadSeries } from "./workload-series.ts";

const bootLimit = 16;

/** One `Killed process` line and what is known about its kill. */
export interface KillEntry {
  sighting: KillSighting;
  kill: Kill;
  /** In the log before the first start: shown on page and API, never counted. */
  history: boolean;
  /** When it was killed, in seconds from boot; absent where its outcome is not watched. */
  killedSeconds?: number;
}

/** A change that is applied and saved in one step. */
export interface LedgerBatch {
  atMs: number;
  /** In the order of the log. */
  entries?: readonly KillEntry[];
  /** Position of each source: after the last of `entries` and before the next. */
  positions?: Readonly<Record<string, unknown>>;
  /** Further facts to save, as JSON; `null` deletes one. */
  notes?: Readonly<Record<string, unknown>>;
  /** Kills with new details. Their labels stay as published. */
  amended?: readonly Kill[];
  /** On the first start: the position in this boot where following began. */
  began?: Began;
}

export interface Began {
  boot: string;
  printkMicros: number;
}

/** A batch with its decisions: applied again after a restart, it has the same effect. */
export interface LedgerChange {
  atMs: number;
  effects: Effect[];
  positions?: Readonly<Record<string, unknown>>;
  notes?: Readonly<Record<string, unknown>>;
  amended?: readonly Kill[];
  began?: Began;
}

/** Positions alone need no sync: if a crash loses them, the log is read again from older ones. */
function isOnlyPositions({ effects, notes, amended, began }: LedgerChange): boolean {
  return effects.length === 0 && [notes, amended, began].every((part) => part === undefined);
}

type Effect = NewKill | FurtherLine;

interface NewKill {
  seen: KillIdentity;
  kill: Kill;
  labels: KillLabels;
  raw: boolean;
  /** Labels under which it counts; absent for history. */
  counted?: { workload: OwnerLabels; comm: string };
  killedSeconds?: number;
}

interface FurtherLine {
  learned: IdentityUpdate;
  boot?: string;
  raw: boolean;
}

/** The whole ledger as JSON. */
export interface LedgerSnapshot extends SavedHistory {
  kills: Record<Constraint, number>;
  lastKillMs: Record<Constraint, number>;
  workloads: SavedWorkload[];
  commands: CommandCount[];
  identities: SavedIdentities;
  rawLines: [boot: string, lines: number][];
  positions: Record<string, unknown>;
  notes: Record<string, unknown>;
  began?: Began;
}

export interface SavedLedger {
  snapshot?: LedgerSnapshot;
  /** The changes since the snapshot, oldest first. */
  changes: readonly LedgerChange[];
}

export type LedgerStore = ChangeStore<LedgerChange, LedgerSnapshot>;

export interface KillLedgerOptions {
  /** Absent if nothing is saved. */
  store?: LedgerStore;
  /** State of an earlier process; absent on the first start. */
  saved?: SavedLedger;
  nowMs: number;
}

export interface KillCounts {
  kills: ReadonlyMap<Constraint, number>;
  workloads: readonly WorkloadCount[];
  commands: readonly CommandCount[];
}

/**
 * Counts, saves and then publishes every kill exactly once.
 *
 * Invariants, over the lifetime of a state, across restarts and reboots:
 * - the sum of `oom_kills_total` is the number of distinct kills read since the first start;
 * - no count ever decreases;
 * - the labels of a kill never change once published;
 * - if the end of the saved state is lost, the rest is the ledger after some batch, with the positions of that batch.
 *
 * `record` changes the ledger and saves the change in one synchronous step: nothing is published in between, and what
 * a crash of the process loses is read again from the saved position.
 */
export class KillLedger {
  readonly #store: LedgerStore | undefined;
  readonly #recorded = new KillDeduplicator();
  /** Deduplicates classified lines; lines recorded since do no harm. */
  readonly #pending = new KillDeduplicator();
  readonly #workloads = new WorkloadSeries();
  readonly #commands = new CommandKills();
  readonly #kills = zeroes();
  readonly #lastKillMs = zeroes();
  /** Kills that this process has read, history included. */
  killsRead = 0;
  readonly #history = new KillHistory();
  readonly #rawLinesByBoot = new BoundedMap<string, number>(bootLimit);
  readonly #positions = new Map<string, unknown>();
  readonly #notes = new Map<string, unknown>();
  #began: Began | undefined;
  #caughtUp = false;
  /** An earlier process published counters. If it died on the first start before that, this is the first start. */
  readonly isContinued: boolean;

  constructor({ store, saved, nowMs }: KillLedgerOptions) {
    this.#store = store;
    if (saved?.snapshot !== undefined) this.#restore(saved.snapshot, nowMs);
    for (const change of saved?.changes ?? []) this.#apply(change);
    this.isContinued = this.#began !== undefined;
  }

  /**
   * Classifies a line as if every line classified before it were recorded: while kills wait for their attribution, the
   * group's repetition or the other source's copy may arrive. Call it once per line, in the order of reading.
   */
  classify(sighting: KillSighting): Classified["as"] {
    if (this.#recorded.isBelowWatermark(sighting)) return "copy";
    const recorded = this.#recorded.classify(sighting);
    if (recorded.as === "copy") return "copy";
    const pending = this.#pending.classify(sighting);
    const update = this.#pending.updateFor(pending, sighting);
    if (pending.as === "new") this.#pending.add(this.#pending.identify(sighting));
    else if (update !== undefined) this.#pending.update(update);
    return pending.as === "new" ? recorded.as : pending.as;
  }

  /**
   * Applies and saves a batch. Known lines create no kill; additional lines of a known kill are counted for the comparison
   * with the kernel's own count.
   */
  record(batch: LedgerBatch): void {
    const { atMs, entries = [], ...rest } = batch;
    const change: LedgerChange = { atMs, effects: [], ...rest };
    if (rest.amended !== undefined) change.amended = jsonCopy(rest.amended);
    for (const entry of entries) {
      const found = this.#effectOf(entry, atMs);
      if (found === undefined) continue;
      // What is kept for weeks must not hold the text of the log that it was cut from.
      const effect = jsonCopy(found);
      this.#applyEffect(effect, atMs);
      change.effects.push(effect);
    }
    this.#applyRest(change);
    if (change.effects.length === 0 && Object.keys(rest).length === 0) return;
    this.#store?.append(change, () => this.snapshot(), { sync: !isOnlyPositions(change) });
  }

  /** Saves what could not be saved before, and starts a sync. Called about once a second. */
  flush(): void {
    if (this.#store?.isSaving === false) this.#store.compact(() => this.snapshot());
    this.#store?.flush();
  }

  /** Publishes counters from now on: everything after the saved position has been read. */
  showCounts(): void {
    this.#caughtUp = true;
  }

  /** The three counter families; absent until everything after the saved position is counted. */
  counts(nowMs: number): KillCounts | undefined {
    if (!this.#caughtUp) return undefined;
    return {
      kills: new Map(constraints.map((constraint) => [constraint, this.#kills[constraint]])),
      workloads: this.#workloads.list(nowMs),
      commands: this.#commands.list(),
    };
  }

  /** Unix milliseconds of the newest kill by constraint, history included; 0 if none is known. */
  lastKills(): ReadonlyMap<Constraint, number> {
    return new Map(constraints.map((constraint) => [constraint, this.#lastKillMs[constraint]]));
  }

  /** Kills of the last hour; see `KillHistory.recent`. */
  recent(nowMs: number): { kills: RecentKill[]; leftOut: number } {
    return this.#history.recent(nowMs);
  }

  /** All kills whose details are kept, newest first. */
  kills(): Kill[] {
    return this.#history.kills();
  }

  /** Kills whose outcome is not known yet; see `KillHistory.watched`. */
  watched(): WatchedKill[] {
    return this.#history.watched();
  }

  /** The outcome of a kill will not be known. Nothing is saved: after a restart that is found out again. */
  unwatch(incident: string): void {
    this.#history.unwatch(incident);
  }

  kill(incident: string): Kill | undefined {
    return this.#history.kill(incident);
  }

  /** Live cgroups with an owner: each has a series, starting at 0. `isWhole`: the list is complete. */
  noteWorkloads(
    live: readonly OwnerLabels[],
    { isWhole, nowMs }: { isWhole: boolean; nowMs: number },
  ): void {
    for (const labels of live) this.#workloads.note(labels, nowMs);
    if (isWhole) this.#workloads.goneBut(live, nowMs);
  }

  /** `Killed process` lines of a boot since following began, including repetitions in a group, excluding re-reads. */
  rawLines(boot: string): number {
    return this.#rawLinesByBoot.get(boot) ?? 0;
  }

  position(source: string): unknown {
    return this.#positions.get(source);
  }

  note(key: string): unknown {
    return this.#notes.get(key);
  }

  snapshot(): LedgerSnapshot {
    return {
      kills: { ...this.#kills },
      lastKillMs: { ...this.#lastKillMs },
      workloads: this.#workloads.save(),
      commands: this.#commands.list(),
      ...this.#history.save(),
      identities: this.#recorded.save(),
      rawLines: [...this.#rawLinesByBoot],
      positions: Object.fromEntries(this.#positions),
      notes: Object.fromEntries(this.#notes),
      began: this.#began,
    };
  }

  #restore(snapshot: LedgerSnapshot, nowMs: number): void {
    Object.assign(this.#kills, snapshot.kills);
    Object.assign(this.#lastKillMs, snapshot.lastKillMs);
    this.#workloads.restore(snapshot.workloads, nowMs);
    this.#commands.restore(snapshot.commands);
    this.#history.restore(snapshot);
    this.#recorded.restore(snapshot.identities);
    for (const [boot, lines] of snapshot.rawLines) this.#rawLinesByBoot.set(boot, lines);
    for (const [source, position] of Object.entries(snapshot.positions)) {
      this.#positions.set(source, position);
    }
    for (const [key, value] of Object.entries(snapshot.notes)) this.#notes.set(key, value);
    this.#began = snapshot.began;
  }

  #apply(change: LedgerChange): void {
    for (const effect of change.effects) this.#applyEffect(effect, change.atMs);
    this.#applyRest(change);
  }

  #applyRest({ positions = {}, notes = {}, amended = [], began }: LedgerChange): void {
    for (const [source, position] of Object.entries(positions)) {
      this.#positions.set(source, position);
    }
    for (const [key, value] of Object.entries(notes)) {
      if (value === null) this.#notes.delete(key);
      else this.#notes.set(key, value);
    }
    for (const kill of amended) this.#history.amend(kill);
    this.#began ??= began;
  }

  #effectOf(entry: KillEntry, atMs: number): Effect | undefined {
    const { sighting, history, killedSeconds } = entry;
    const { boot } = sighting;
    const before = history || this.#isBeforeBeginning(sighting);
    const raw = !before && boot !== undefined;
    const classified = this.#recorded.classify(sighting);
    if (classified.as !== "new") {
      const learned = this.#recorded.updateFor(classified, sighting);
      if (learned === undefined) return undefined;
      return { learned, boot, raw: raw && learned.lines > classified.identity.lines };
    }
    if (this.#recorded.isBelowWatermark(sighting)) return undefined;
    const loop = before ? null : this.#history.loopOf(entry.kill, sighting.timeMs ?? atMs);
    const kill = { ...entry.kill, loop };
    const labels = labelsOf(kill);
    const counted = before
      ? undefined
      : {
          workload: this.#workloads.labelsFor(ownerLabels(kill.cgroup, kill.owner), atMs),
          comm: this.#commands.nameFor(kill.comm, atMs),
        };
    const seen = this.#recorded.identify(sighting);
    return { seen, kill, labels, raw, counted, killedSeconds };
  }

  /** Read again from another source, and older than the first start: history, as it was then. */
  #isBeforeBeginning({ reread, boot, printkMicros }: KillSighting): boolean {
    if (!reread || boot === undefined || printkMicros === undefined) return false;
    return this.#began?.boot === boot && printkMicros < this.#began.printkMicros;
  }

  #applyEffect(effect: Effect, atMs: number): void {
    const boot = "learned" in effect ? effect.boot : effect.seen.boot;
    if (effect.raw && boot !== undefined) this.#addRawLine(boot);
    if ("learned" in effect) {
      this.#recorded.update(effect.learned);
      return;
    }
    const { seen, kill, labels, counted, killedSeconds } = effect;
    this.#recorded.add(seen);
    this.killsRead++;
    const { timeMs } = seen;
    const { constraint } = labels;
    this.#lastKillMs[constraint] = Math.max(this.#lastKillMs[constraint], timeMs ?? 0);
    const history = counted === undefined;
    this.#history.add({ kill, labels, atMs, timeMs, history, killedSeconds });
    if (counted !== undefined) {
      this.#kills[constraint]++;
      this.#workloads.count(counted.workload, atMs);
      this.#commands.count(counted.comm, atMs);
    }
  }

  #addRawLine(boot: string): void {
    this.#rawLinesByBoot.set(boot, this.rawLines(boot) + 1);
  }
}

function labelsOf(kill: Kill): KillLabels {
  const { incident, pid, comm, program, constraint, cause, trigger, limitCgroup } = kill;
  return {
    incident,
    pid: String(pid),
    comm,
    program: program ?? "",
    grower: growerLabel(kill.before),
    constraint,
    cause,
    trigger: trigger?.comm ?? "",
    protection: kill.oomScoreAdj === null ? "unknown" : protectionOf(kill.oomScoreAdj),
    ...ownerLabels(kill.cgroup, kill.owner),
    limit_cgroup: limitCgroup ?? "",
  };
}

function zeroes(): Record<Constraint, number> {
  return { none: 0, memcg: 0, cpuset: 0, memory_policy: 0, unknown: 0 };
}
