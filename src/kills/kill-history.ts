import { beforeLimit } from "./before.ts";
import { completed, type Kill } from "./kill.ts";
import { type KillLoop, loopOf } from "./kill-loop.ts";
import type { Outcome } from "./outcome.ts";
import type { OwnerLabels } from "./owner.ts";

/** Number of kills with full details; of older ones only each workload's newest is kept. */
export const storyLimit = 1000;
/** Number of kills evicted at once, because each eviction scans all of them. */
const evictionBatch = 100;
/** Kills of the last hour have a series of their own, at most this many. */
export const recentLimit = 100;
export const recentMs = 3_600_000;
const minuteMs = 60_000;
/** Attribution holds kills back for at most half a second, so their order changes by no more than that. */
const clockStepMs = 1_000;

/** The labels of `oom_kill_timestamp_seconds`. */
export interface KillLabels extends OwnerLabels {
  incident: string;
  pid: string;
  comm: string;
  program: string;
  grower: string;
  constraint: Kill["constraint"];
  cause: Kill["cause"];
  trigger: string;
  protection: "unkillable" | "protected" | "default" | "sacrificial" | "unknown";
  limit_cgroup: string;
}

/** Those that an older version did not have. */
const labelsOfOldState: Pick<KillLabels, "program" | "grower"> = { program: "", grower: "" };

export interface Story {
  kill: Kill;
  /** As first published; never changed. */
  labels: KillLabels;
  /** Time of first reading. */
  atMs: number;
  timeMs?: number;
  /** Older than the first start: never counted. */
  history: boolean;
  /** When it was killed, in seconds from boot: its outcome is watched. */
  killedSeconds?: number;
}

export interface RecentKill {
  timestampMs: number;
  labels: KillLabels;
  outcome: Outcome | null;
}

/** A kill whose outcome is not known yet. */
export interface WatchedKill {
  kill: Kill;
  /** Seconds from boot. */
  killedSeconds: number;
}

export interface SavedHistory {
  stories: Story[];
  evictedByMinute: [minute: number, kills: number][];
}

/** Details of past kills, for page, API and `oom_kill_timestamp_seconds`. Bounded. */
export class KillHistory {
  /** By incident, in the order of first reading. */
  readonly #stories = new Map<string, Story>();
  readonly #watched = new Set<string>();
  readonly #withBefore = new Set<string>();
  readonly #evictedByMinute = new Map<number, number>();

  /** If the log has no boot or no printk time, two kills can share an incident: the first one stays. */
  add(story: Story): void {
    if (this.#stories.has(story.kill.incident)) return;
    this.#keep(story);
    if (this.#stories.size >= storyLimit + evictionBatch) this.#evict();
  }

  /** Whether a kill that is about to be added is one of a loop. */
  loopOf(kill: Kill, timeMs: number): KillLoop | null {
    const earlier = [...this.#stories.values()].map((story) => ({
      kill: story.kill,
      timeMs: happenedMs(story),
    }));
    return loopOf({ kill, timeMs }, earlier);
  }

  /** Replaces a story by one that knows more; the labels stay. */
  amend(kill: Kill): void {
    const story = this.#stories.get(kill.incident);
    if (story !== undefined) story.kill = completed(kill);
    if (kill.outcome !== null) this.unwatch(kill.incident);
  }

  /** Kills whose outcome is watched, the newest 100, in the order of first reading. */
  watched(): WatchedKill[] {
    const watched: WatchedKill[] = [];
    for (const incident of this.#watched) {
      const { kill, killedSeconds } = this.#stories.get(incident) ?? {};
      if (kill !== undefined && killedSeconds !== undefined) watched.push({ kill, killedSeconds });
    }
    return watched;
  }

  /** Its outcome will not be known. */
  unwatch(incident: string): void {
    this.#watched.delete(incident);
  }

  kill(incident: string): Kill | undefined {
    return this.#stories.get(incident)?.kill;
  }

  /** All details, newest first. */
  kills(): Kill[] {
    return this.#newestFirst().map(({ kill }) => kill);
  }

  /**
   * Kills of the last hour, and those first read in it after downtime: at most 100, each workload's newest before any
   * other, newest first. `leftOut` is the number of the rest.
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
      kills: kept.map((story) => ({
        timestampMs: happenedMs(story),
        labels: story.labels,
        outcome: story.kill.outcome,
      })),
      leftOut: all.length - kept.length + evicted,
    };
  }

  save(): SavedHistory {
    return {
      stories: [...this.#stories.values()],
      evictedByMinute: [...this.#evictedByMinute],
    };
  }

  restore({ stories, evictedByMinute }: SavedHistory): void {
    for (const story of stories) this.#keep(story);
    for (const [minute, kills] of evictedByMinute) this.#evictedByMinute.set(minute, kills);
  }

  /** A saved one may come from an older version. */
  #keep(story: Story): void {
    // The first copy keeps the order, in which the series is printed.
    const labels = { ...story.labels, ...labelsOfOldState, ...story.labels };
    const kill = completed(story.kill);
    this.#stories.set(kill.incident, { ...story, labels, kill });
    if (kill.before !== null) this.#keepBefore(kill.incident);
    if (story.killedSeconds === undefined || kill.outcome !== null) return;
    this.#watched.add(kill.incident);
    if (this.#watched.size > recentLimit) this.unwatch([...this.#watched][0] as string);
  }

  /** What came before a kill is kept of the newest only. */
  #keepBefore(incident: string): void {
    this.#withBefore.add(incident);
    if (this.#withBefore.size <= beforeLimit) return;
    const oldest = [...this.#withBefore][0] as string;
    this.#withBefore.delete(oldest);
    const story = this.#stories.get(oldest);
    if (story !== undefined) story.kill = { ...story.kill, before: null };
  }

  /** Drops the oldest, but not what `recent` shows first and pages link to. */
  #evict(): void {
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

  /**
   * By time, unless the clock was set back: a kill that was read when it happened came after all that had been read
   * before it.
   */
  #newestFirst(): Story[] {
    let laterMs = Number.POSITIVE_INFINITY;
    const ordered = [...this.#stories.values()].reverse().map((story) => {
      const stampMs = happenedMs(story);
      const orderMs = stampMs > laterMs + clockStepMs ? laterMs : stampMs;
      if (wasReadLive(story)) laterMs = orderMs;
      return { story, orderMs };
    });
    return ordered.sort((a, b) => b.orderMs - a.orderMs).map(({ story }) => story);
  }
}

function happenedMs({ timeMs, atMs }: Story): number {
  return timeMs ?? atMs;
}

function wasReadLive({ timeMs, atMs, history }: Story): boolean {
  return !history && Math.abs(atMs - (timeMs ?? atMs)) <= minuteMs;
}

/** The start of `recent`'s hour. */
function recentUntilMs({ timeMs, atMs, history }: Story): number {
  if (history) return timeMs ?? 0;
  return Math.max(timeMs ?? 0, atMs);
}
