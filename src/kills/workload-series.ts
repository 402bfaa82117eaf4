import type { OwnerLabels } from "./owner.ts";

/** Maximum number of workloads with their own series. */
export const workloadLimit = 2000;
/** A series with a kill stays this long after its last kill, and as long as its cgroup exists. */
export const killedStaysMs = 24 * 3_600_000;
/** Any series stays this long after its cgroup is gone, so that the last scrapes see it. */
export const goneStaysMs = 600_000;

/** Where kills with an unknown cgroup count. */
export const unattributed: OwnerLabels = Object.freeze(labelled(""));
/** Where kills count if there is no room for another series. Every cgroup path contains `/`, so this name is free. */
export const overflow: OwnerLabels = Object.freeze(labelled("other"));

export interface WorkloadCount {
  labels: OwnerLabels;
  kills: number;
}

/** A series as saved in the state; series without a kill start at 0 again and are not saved. */
export interface SavedWorkload extends WorkloadCount {
  lastKillMs: number;
}

interface Series extends WorkloadCount {
  lastKillMs: number;
  /** When its cgroup was found to be gone; absent while it exists. */
  goneMs?: number;
}

/**
 * The series of `oom_workload_kills_total`, one per cgroup.
 *
 * Invariants:
 * - the sum of all series, including `other` and the unattributed one, grows by one per kill and falls only when a
 *   series expires;
 * - the labels of a series with a kill never change: another kill in the same cgroup counts under the labels first
 *   published. Only a series that is still 0 may get names later.
 */
export class WorkloadSeries {
  /** By cgroup; a kill with an unknown cgroup may still have an owner, and is keyed by that. */
  readonly #byKey = new Map<string, Series>();
  readonly #unattributed: Series = { labels: unattributed, kills: 0, lastKillMs: 0 };
  readonly #overflow: Series = { labels: overflow, kills: 0, lastKillMs: 0 };

  /** Notes a live cgroup with an owner: from now on it has a series, starting at 0 if there is room. */
  note(labels: OwnerLabels, nowMs: number): void {
    const known = this.#byKey.get(keyOf(labels));
    if (known !== undefined) {
      known.goneMs = undefined;
      if (known.kills === 0) known.labels = labels;
      return;
    }
    if (this.#makeRoom(nowMs, false)) this.#add(labels);
  }

  /** Notes that these are all live workloads: the cgroups of the others are gone. */
  goneBut(live: readonly OwnerLabels[], nowMs: number): void {
    const keys = new Set(live.map(keyOf));
    for (const [key, series] of this.#byKey) if (!keys.has(key)) series.goneMs ??= nowMs;
  }

  /** The labels under which a kill of this workload is counted. */
  labelsFor(labels: OwnerLabels, nowMs: number): OwnerLabels {
    if (keyOf(labels) === keyOf(unattributed)) return unattributed;
    const known = this.#byKey.get(keyOf(labels));
    if (known !== undefined) return known.kills === 0 ? labels : known.labels;
    return this.#makeRoom(nowMs, true) ? labels : overflow;
  }

  /** Counts a kill under labels returned by `labelsFor`, now or before a restart. */
  count(labels: OwnerLabels, atMs: number): void {
    const series = this.#seriesOf(labels, atMs);
    if (series.kills === 0) series.labels = labels;
    series.kills++;
    series.lastKillMs = Math.max(series.lastKillMs, atMs);
  }

  /** All series. Removes expired ones. */
  list(nowMs: number): WorkloadCount[] {
    this.#expire(nowMs);
    return [this.#unattributed, this.#overflow, ...this.#byKey.values()];
  }

  save(): SavedWorkload[] {
    return [this.#unattributed, this.#overflow, ...this.#byKey.values()]
      .filter((series) => series.kills > 0)
      .map(({ labels, kills, lastKillMs }) => ({ labels, kills, lastKillMs }));
  }

  /** Whether the cgroups of restored series still exist is unknown: they count as gone from now. */
  restore(saved: readonly SavedWorkload[], nowMs: number): void {
    for (const { labels, kills, lastKillMs } of saved) {
      const series = this.#seriesOf(labels, nowMs);
      series.kills = kills;
      series.lastKillMs = lastKillMs;
    }
  }

  /** A cgroup first seen in a kill counts as gone until it is noted as live. */
  #seriesOf(labels: OwnerLabels, nowMs: number): Series {
    const key = keyOf(labels);
    if (key === keyOf(unattributed)) return this.#unattributed;
    if (key === keyOf(overflow)) return this.#overflow;
    return this.#byKey.get(key) ?? this.#add(labels, nowMs);
  }

  #add(labels: OwnerLabels, goneMs?: number): Series {
    const series: Series = { labels, kills: 0, lastKillMs: 0, goneMs };
    this.#byKey.set(keyOf(labels), series);
    return series;
  }

  #makeRoom(nowMs: number, forKill: boolean): boolean {
    if (this.#byKey.size < workloadLimit) return true;
    this.#expire(nowMs);
    if (this.#byKey.size < workloadLimit) return true;
    // A kill is worth more than the 0 of a cgroup that is gone; a live cgroup's 0 is kept.
    const [longestGone] = [...this.#byKey.values()]
      .filter(({ kills, goneMs }) => kills === 0 && goneMs !== undefined)
      .sort((a, b) => (a.goneMs as number) - (b.goneMs as number));
    if (!forKill || longestGone === undefined) return false;
    return this.#byKey.delete(keyOf(longestGone.labels));
  }

  #expire(nowMs: number): void {
    for (const [key, { kills, lastKillMs, goneMs }] of this.#byKey) {
      if (goneMs === undefined || nowMs - goneMs < goneStaysMs) continue;
      if (kills > 0 && nowMs - lastKillMs < killedStaysMs) continue;
      this.#byKey.delete(key);
    }
  }
}

function keyOf({ cgroup, unit, container, pod, namespace }: OwnerLabels): string {
  return cgroup || ["", unit, container, pod, namespace].join("\n");
}

function labelled(cgroup: string): OwnerLabels {
  return { cgroup, unit: "", container: "", pod: "", namespace: "" };
}
