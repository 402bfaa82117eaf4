import type { OomKillReport } from "../kernel-log/oom-report.ts";
import { type CommandCount, CommandKills } from "./command-kills.ts";
import { type Constraint, constraints, type Kill } from "./kill.ts";
import {
  type IdentityUpdate,
  type KillIdentity,
  type KillSighting,
  type Recognised,
  SameKill,
  type SavedIdentities,
} from "./kill-deduplicator.ts";
import { type OwnerLabels, ownerLabels } from "./owner.ts";
import { type SavedWorkload, type WorkloadCount, WorkloadSeries } from "./workload-series.ts";

/** So many kills keep their whole story; of older ones only each workload's newest. */
export const storyLimit = 1000;
/** Tasks kept with a story, the largest first as the diagnosis gives them. */
const taskLimit = 10;
/** Eviction goes by this many at a time: it has to look at every story. */
const evictionBatch = 100;
export const recentLimit = 100;
const recentMs = 3_600_000;
const minuteMs = 60_000;
const bootLimit = 16;

/** The labels of `oom_kill_timestamp_seconds`. */
export interface KillLabels extends OwnerLabels {
  incident: string;
  pid: string;
  comm: string;
  constraint: Constraint;
  cause: Kill["cause"];
  trigger: string;
  protection: "unkillable" | "protected" | "default" | "sacrificial" | "unknown";
  limit_cgroup: string;
}

/** One `Killed process` line, with the kill it tells of as far as that is known. */
export interface KillEntry {
  sighting: KillSighting;
  kill: Kill;
  /** Found in the log on the first start: shown on page and API, never counted. */
  history: boolean;
}

/** What is taken into the ledger at once, and saved at once. */
export interface LedgerBatch {
  atMs: number;
  /** In the order of the log. */
  entries?: readonly KillEntry[];
  /** How far each source has been read: behind the last of `entries` and before the next. */
  positions?: Readonly<Record<string, unknown>>;
  /** Further facts to keep, as JSON; `null` forgets one. */
  notes?: Readonly<Record<string, unknown>>;
  /** Stories about which more is known now. Their labels stay as they were shown. */
  amended?: readonly Kill[];
  /** On the first start: where in this boot following began. */
  began?: Began;
}

export interface Began {
  boot: string;
  printkMicros: number;
}

/** A batch as it was decided: taken again after a restart, it has the same effect. */
export interface LedgerChange {
  atMs: number;
  effects: Effect[];
  positions?: Readonly<Record<string, unknown>>;
  notes?: Readonly<Record<string, unknown>>;
  amended?: readonly Kill[];
  began?: Began;
}

/** Where it is lost with the machine, the log is read again from an older position: nothing else changes. */
export function isOnlyPositions({ effects, notes, amended, began }: LedgerChange): boolean {
  return effects.length === 0 && [notes, amended, began].every((part) => part === undefined);
}

type Effect = NewKill | FurtherLine;

interface NewKill {
  seen: KillIdentity;
  kill: Kill;
  labels: KillLabels;
  raw: boolean;
  /** Under which labels it counts; absent for history. */
  counted?: { workload: OwnerLabels; comm: string };
}

interface FurtherLine {
  learned: IdentityUpdate;
  boot?: string;
  raw: boolean;
}

interface Story {
  kill: Kill;
  labels: KillLabels;
  /** When it was first read. */
  atMs: number;
  timeMs?: number;
  history: boolean;
}

/** The whole ledger as JSON. */
export interface LedgerSnapshot {
  kills: Record<Constraint, number>;
  lastKillMs: Record<Constraint, number>;
  workloads: SavedWorkload[];
  commands: CommandCount[];
  stories: Story[];
  evictedByMinute: [minute: number, kills: number][];
  identities: SavedIdentities;
  rawLines: [boot: string, lines: number][];
  positions: Record<string, unknown>;
  notes: Record<string, unknown>;
  began?: Began;
}

export interface SavedLedger {
  snapshot?: LedgerSnapshot;
  /** The changes since, oldest first. */
  changes: readonly LedgerChange[];
}

export interface KillLedgerOptions {
  /** Keeps a change, durably and at once; called before `record` returns. Must not throw. */
  save: (change: LedgerChange) => void;
  /** What an earlier process saved; absent on the first start. */
  saved?: SavedLedger;
  nowMs: number;
}

export interface KillCounts {
  kills: ReadonlyMap<Constraint, number>;
  workloads: readonly WorkloadCount[];
  commands: readonly CommandCount[];
}

export interface RecentKill {
  timestampMs: number;
  labels: KillLabels;
}

export interface KillQuery {
  /** Killed at this time or later. */
  sinceMs?: number;
  /** Only kills that the list shows after this incident. */
  after?: string;
  limit: number;
}

/**
 * Every kill once: counted, saved, then shown.
 *
 * Invariants, in the life of a state, across restarts and reboots:
 * - the sum of `oom_kills_total` is the number of distinct kills read since the first start;
 * - no count ever decreases;
 * - the labels of a kill never change once shown;
 * - whatever is cut off the end of what was saved, what is left is the ledger as it stood after
 *   some batch, with the positions of that batch.
 *
 * `record` changes the ledger and saves the change in one synchronous step: nothing can be shown
 * in between, and what was lost with the process is read again from the saved position.
 */
export class KillLedger {
  readonly #save: (change: LedgerChange) => void;
  readonly #sameKill = new SameKill();
  /** Of lines that have been sighted; those recorded since do no harm. */
  readonly #waiting = new SameKill();
  readonly #workloads = new WorkloadSeries();
  readonly #commands = new CommandKills();
  readonly #kills = zeroes();
  readonly #lastKillMs = zeroes();
  /** By incident, in the order of first reading. */
  readonly #stories = new Map<string, Story>();
  readonly #evictedByMinute = new Map<number, number>();
  readonly #rawLinesByBoot = new Map<string, number>();
  readonly #positions = new Map<string, unknown>();
  readonly #notes = new Map<string, unknown>();
  #began: Began | undefined;
  #caughtUp = false;
  /** An earlier process showed counts. One that died on the first start, before that, leaves the first start to this one. */
  readonly isContinued: boolean;

  constructor({ save, saved, nowMs }: KillLedgerOptions) {
    this.#save = save;
    if (saved?.snapshot !== undefined) this.#restore(saved.snapshot, nowMs);
    for (const change of saved?.changes ?? []) this.#apply(change);
    this.isContinued = this.#began !== undefined;
  }

  /**
   * What a line is, were everything recorded that has been sighted: kills wait for their attribution,
   * and meanwhile the group's second naming comes, or the other source's copy. To be called once per
   * line, in the order of reading.
   */
  sight(sighting: KillSighting): Recognised["as"] {
    if (this.#sameKill.isBelowWatermark(sighting)) return "copy";
    const recorded = this.#sameKill.recognise(sighting);
    if (recorded.as === "copy") return "copy";
    const waiting = this.#waiting.recognise(sighting);
    const lesson = this.#waiting.lesson(waiting, sighting);
    if (waiting.as === "new") this.#waiting.add(this.#waiting.identify(sighting));
    else if (lesson !== undefined) this.#waiting.learn(lesson);
    return waiting.as === "new" ? recorded.as : waiting.as;
  }

  /**
   * Takes a batch in, saves it and returns the kills that are new. Lines already known make no
   * kill; further lines of a known kill are noted for the check against the kernel's own count.
   */
  record(batch: LedgerBatch): KillEntry[] {
    const { atMs, entries = [], ...rest } = batch;
    const change: LedgerChange = { atMs, effects: [], ...rest };
    const fresh: KillEntry[] = [];
    for (const entry of entries) {
      const effect = this.#effectOf(entry, atMs);
      if (effect === undefined) continue;
      this.#applyEffect(effect, atMs);
      change.effects.push(effect);
      if ("kill" in effect) fresh.push({ ...entry, history: effect.counted === undefined });
    }
    this.#applyRest(change);
    if (change.effects.length > 0 || Object.keys(rest).length > 0) this.#save(change);
    return fresh;
  }

  /** From here on counts are shown: everything behind the saved position has been read. */
  showCounts(): void {
    this.#caughtUp = true;
  }

  /** The three counter families; absent until everything behind the saved position is counted. */
  counts(nowMs: number): KillCounts | undefined {
    if (!this.#caughtUp) return undefined;
    return {
      kills: new Map(constraints.map((constraint) => [constraint, this.#kills[constraint]])),
      workloads: this.#workloads.list(nowMs),
      commands: this.#commands.list(),
    };
  }

  /** Unix milliseconds of the newest kill by constraint, history included; 0 where none is known. */
  lastKills(): ReadonlyMap<Constraint, number> {
    return new Map(constraints.map((constraint) => [constraint, this.#lastKillMs[constraint]]));
  }

  /**
   * Kills of the last hour, and those first read in it after down time: at most 100, each
   * workload's newest before any other, newest first. `leftOut` is how many more there were.
   */
  recent(nowMs: number): { kills: RecentKill[]; leftOut: number } {
    const all = this.#newestFirst().filter((story) => nowMs - recentUntilMs(story) <= recentMs);
    const workloads = new Set<string>();
    const newest: Story[] = [];
    const others: Story[] = [];
    for (const story of all) {
      (workloads.has(story.labels.cgroup) ? others : newest).push(story);
      workloads.add(story.labels.cgroup);
    }
    const kept = [...newest, ...others].slice(0, recentLimit);
    let evicted = 0;
    for (const [minute, kills] of this.#evictedByMinute) {
      if (nowMs - minute * minuteMs <= recentMs) evicted += kills;
    }
    return {
      kills: kept.map((story) => ({ timestampMs: happenedMs(story), labels: story.labels })),
      leftOut: all.length - kept.length + evicted,
    };
  }

  /** Stories, newest first; `next` is the `after` of the next page, absent on the last. */
  list({ sinceMs = 0, after, limit }: KillQuery): { kills: Kill[]; next?: string } {
    let stories = this.#newestFirst().filter((story) => happenedMs(story) >= sinceMs);
    if (after !== undefined) {
      const at = stories.findIndex(({ kill }) => kill.incident === after);
      stories = at < 0 ? [] : stories.slice(at + 1);
    }
    const kills = stories.slice(0, limit).map((story) => story.kill);
    return { kills, next: stories.length > limit ? kills.at(-1)?.incident : undefined };
  }

  kill(incident: string): Kill | undefined {
    return this.#stories.get(incident)?.kill;
  }

  /** A live cgroup that has an owner: its series is born at 0. */
  noteWorkload(labels: OwnerLabels, nowMs: number): void {
    this.#workloads.note(labels, nowMs);
  }

  workloadGone(cgroup: string, nowMs: number): void {
    this.#workloads.gone(cgroup, nowMs);
  }

  /** `Killed process` lines of a boot since following began, repeats in a group included, re-reads not. */
  rawLines(boot: string): number {
    return this.#rawLinesByBoot.get(boot) ?? 0;
  }

  position(source: string): unknown {
    return this.#positions.get(source);
  }

  note(key: string): unknown {
    return this.#notes.get(key);
  }

  /** The notes whose key begins so. */
  notesUnder(prefix: string): ReadonlyMap<string, unknown> {
    return new Map([...this.#notes].filter(([key]) => key.startsWith(prefix)));
  }

  snapshot(): LedgerSnapshot {
    return {
      kills: { ...this.#kills },
      lastKillMs: { ...this.#lastKillMs },
      workloads: this.#workloads.save(),
      commands: this.#commands.list(),
      stories: [...this.#stories.values()],
      evictedByMinute: [...this.#evictedByMinute],
      identities: this.#sameKill.save(),
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
    for (const story of snapshot.stories) this.#stories.set(story.kill.incident, story);
    for (const [minute, kills] of snapshot.evictedByMinute)
      this.#evictedByMinute.set(minute, kills);
    this.#sameKill.restore(snapshot.identities);
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
    for (const kill of amended) {
      const story = this.#stories.get(kill.incident);
      if (story !== undefined) story.kill = trimmed(kill);
    }
    this.#began ??= began;
  }

  #effectOf({ sighting, kill, history }: KillEntry, atMs: number): Effect | undefined {
    const { boot } = sighting;
    const before = history || this.#isBeforeBeginning(sighting);
    const raw = !before && boot !== undefined;
    const recognised = this.#sameKill.recognise(sighting);
    if (recognised.as !== "new") {
      const learned = this.#sameKill.lesson(recognised, sighting);
      if (learned === undefined) return undefined;
      return { learned, boot, raw: raw && learned.lines > recognised.identity.lines };
    }
    if (this.#sameKill.isBelowWatermark(sighting)) return undefined;
    const labels = labelsOf(kill);
    const counted = before
      ? undefined
      : {
          workload: this.#workloads.labelsFor(ownerLabels(kill.cgroup, kill.owner), atMs),
          comm: this.#commands.nameFor(kill.comm, atMs),
        };
    return { seen: this.#sameKill.identify(sighting), kill: trimmed(kill), labels, raw, counted };
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
      this.#sameKill.learn(effect.learned);
      return;
    }
    const { seen, kill, labels, counted } = effect;
    this.#sameKill.add(seen);
    const { timeMs } = seen;
    const { constraint } = labels;
    this.#lastKillMs[constraint] = Math.max(this.#lastKillMs[constraint], timeMs ?? 0);
    const story = { kill, labels, atMs, timeMs, history: counted === undefined };
    // Where the log tells no boot or no printk time, two kills can come to the same incident.
    if (!this.#stories.has(kill.incident)) this.#stories.set(kill.incident, story);
    if (counted !== undefined) {
      this.#kills[constraint]++;
      this.#workloads.count(counted.workload, atMs);
      this.#commands.count(counted.comm, atMs);
    }
    if (this.#stories.size >= storyLimit + evictionBatch) this.#evictStories();
  }

  #addRawLine(boot: string): void {
    const lines = this.rawLines(boot) + 1;
    this.#rawLinesByBoot.delete(boot);
    this.#rawLinesByBoot.set(boot, lines);
    const [oldest] = this.#rawLinesByBoot.keys();
    if (this.#rawLinesByBoot.size > bootLimit) this.#rawLinesByBoot.delete(oldest as string);
  }

  /** Drops the oldest, but not what `recent` shows first and pages link to. */
  #evictStories(): void {
    const newest = new Map<string, Story>();
    for (const story of this.#newestFirst()) {
      if (newest.size < recentLimit && !newest.has(story.labels.cgroup)) {
        newest.set(story.labels.cgroup, story);
      }
    }
    for (const [incident, story] of this.#stories) {
      if (this.#stories.size <= storyLimit) break;
      if (newest.get(story.labels.cgroup) === story) continue;
      this.#stories.delete(incident);
      const minute = Math.floor(recentUntilMs(story) / minuteMs);
      if (!story.history) {
        this.#evictedByMinute.set(minute, (this.#evictedByMinute.get(minute) ?? 0) + 1);
      }
    }
    const oldestMinute = Math.max(...this.#evictedByMinute.keys()) - recentMs / minuteMs;
    for (const minute of this.#evictedByMinute.keys()) {
      if (minute < oldestMinute) this.#evictedByMinute.delete(minute);
    }
  }

  #newestFirst(): Story[] {
    return [...this.#stories.values()].reverse().sort((a, b) => happenedMs(b) - happenedMs(a));
  }
}

/** What a report's kill line tells of its identity. */
export function sightingOf(
  report: OomKillReport,
  { boot, reread }: { boot?: string; reread: boolean },
): KillSighting {
  const { killLine, pid, comm, repeatsVictim, groupCgroup } = report;
  return {
    boot: killLine.bootId ?? boot,
    pid,
    comm,
    printkMicros: killLine.printkMicros,
    timeMs: killLine.timeMs,
    text: killLine.text,
    repeatsVictim,
    inGroup: groupCgroup !== undefined,
    reread,
  };
}

/** `<boot id, 8 hex, or 0>-<printk µs or epoch s>-<pid>` */
export function incidentOf({ boot, printkMicros, timeMs, pid }: KillSighting): string {
  const time = printkMicros ?? Math.floor((timeMs ?? 0) / 1000);
  return `${boot?.slice(0, 8) ?? "0"}-${time}-${pid}`;
}

function labelsOf(kill: Kill): KillLabels {
  const { incident, pid, comm, constraint, cause, trigger, limitCgroup } = kill;
  return {
    incident,
    pid: String(pid),
    comm,
    constraint,
    cause,
    trigger: trigger?.comm ?? "",
    protection: protectionOf(kill.oomScoreAdj),
    ...ownerLabels(kill.cgroup, kill.owner),
    limit_cgroup: limitCgroup ?? "",
  };
}

function protectionOf(oomScoreAdj: number | null): KillLabels["protection"] {
  if (oomScoreAdj === null) return "unknown";
  if (oomScoreAdj === 0) return "default";
  if (oomScoreAdj > 0) return "sacrificial";
  return oomScoreAdj <= -1000 ? "unkillable" : "protected";
}

function trimmed(kill: Kill): Kill {
  return kill.tasks.length <= taskLimit ? kill : { ...kill, tasks: kill.tasks.slice(0, taskLimit) };
}

function happenedMs({ timeMs, atMs }: Story): number {
  return timeMs ?? atMs;
}

/** The moment from which the hour of `recent` runs. */
function recentUntilMs({ timeMs, atMs, history }: Story): number {
  if (history) return timeMs ?? 0;
  return Math.max(timeMs ?? 0, atMs);
}

function zeroes(): Record<Constraint, number> {
  return { none: 0, memcg: 0, cpuset: 0, memory_policy: 0, unknown: 0 };
}
