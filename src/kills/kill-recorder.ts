import { BoundedMap } from "../collections/bounded-map.ts";
import type { KernelMessage } from "../kernel-log/kernel-message.ts";
import type { OomKillReport } from "../kernel-log/oom-report.ts";
import { type Attributed, Attribution, type SeenProcess } from "./attribution.ts";
import type { Kill, KillContext } from "./kill.ts";
import { incidentOf, type KillSighting, sightingOf } from "./kill-deduplicator.ts";
import type { KillEntry, KillLedger } from "./kill-ledger.ts";
import type { KillLineRead, KillLog } from "./kill-log.ts";
import type { KillReconciler } from "./kill-reconciler.ts";
import type { Owner } from "./owner.ts";

/** The host's processes and cgroups: the only information if the log names no cgroup. */
export interface VictimLookup {
  /** The current state of a process, if it still exists. */
  lookUp(pid: number): Partial<SeenProcess> | undefined;
  /** The last reading of a process. */
  remembered(pid: number): Partial<SeenProcess> | undefined;
  /** Reads new processes. */
  readYoung(): void;
  /** Kills counted by each cgroup itself. */
  killCounts(): Map<string, number>;
  /** `oom_kill` of /proc/vmstat. */
  kernelKills(): number | undefined;
}

/** Watches the host before and during a kill. */
export interface KillWitness {
  /** A kill has begun, and memory is short. */
  killBegan(): void;
  /** What the log does not say of a kill that has just been read. */
  factsOf(kill: Kill): Witnessed;
}

export interface Witnessed {
  facts: Partial<Pick<Kill, "program" | "ageSeconds" | "before">>;
  /** When it was killed, in seconds from boot; absent where its outcome is not to be watched. */
  killedSeconds?: number;
}

export interface KillRecorderOptions {
  ledger: KillLedger;
  reconciler: KillReconciler;
  log: Pick<KillLog, "positions" | "drain" | "failed">;
  lookup: VictimLookup;
  /** Asked only about kills whose line was written while the log was being followed. */
  witness?: KillWitness;
  /** Boot id of the running kernel. */
  boot: string;
  ownerOf: (cgroup: string | null | undefined) => Owner;
  /** Converts a report to a kill. */
  describe: (report: OomKillReport, context: KillContext) => Kill;
  nowMs: () => number;
  monotonicMs: () => number;
  logger: { warn(fields: object, message: string): void };
}

/** How often processes and counters are read during kills, and for how long after the last one. */
const lookEveryMs = 10;
const lookForMs = 10_000;
/** A slow reading, on a host with many cgroups, is followed by a pause of the same length, at most this. */
const longestRestMs = 50;
/** After this long without a kill, readings take at most a tenth of the time. */
const stormMs = 1000;
const quietRestShare = 9;
const longestQuietRestMs = 500;
const publishedLimit = 1024;
const lookupFailed =
  "failed to look up a victim (bug, please report). Kills are still counted, some without their cgroup or history; further failures are not logged";

interface Held {
  key: string;
  read: KillLineRead;
  isHistory: boolean;
  sighting: KillSighting;
  line: ReturnType<KillLedger["classify"]>;
  report: OomKillReport;
  isSettled: boolean;
}

/**
 * Records kill lines in the ledger, in the order of the log, each held back for at most 500 ms until the victim's
 * cgroup is known.
 *
 * Invariants:
 * - a saved position never lies after a line that is missing in the ledger, except a line reported to the log as failed;
 * - whatever the host answers or fails to answer, every kill is counted.
 */
export class KillRecorder {
  readonly #options: KillRecorderOptions;
  readonly #attribution = new Attribution();
  readonly #held: Held[] = [];
  /** Incidents of the last published kills, by key: more details may still arrive. */
  readonly #published = new BoundedMap<string, string>(publishedLimit);
  /** The same by their lines, as long as the log's reader has them. */
  readonly #publishedByLine = new WeakMap<KernelMessage, string>();
  readonly #counts = new Map<string, number>();
  #countsKnown = false;
  #lastKillMs = 0;
  /** When the last kill without a known cgroup was read. */
  #lastUnattributedMs = Number.NEGATIVE_INFINITY;
  #isQuiet = false;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #hasLoggedFailure = false;
  #serial = 0;

  constructor(options: KillRecorderOptions) {
    this.#options = options;
  }

  /**
   * Takes one line; call `commit` when the source has no more available. `isHistory`: older than the first start, so
   * shown but never counted.
   */
  take(read: KillLineRead, isHistory: boolean): void {
    const { ledger, monotonicMs } = this.#options;
    const { report, isLive, boot, isReread } = read;
    const sighting = sightingOf(report, { boot, reread: isReread });
    const line = ledger.classify(sighting);
    const key = `${++this.#serial}`;
    const held = { key, read, isHistory, sighting, line, report, isSettled: true };
    this.#held.push(held);
    if (!isLive || isHistory || line === "copy") return;
    this.#ask(() => this.#options.witness?.killBegan());
    if (line === "further_line") {
      this.#attribution.takeFurtherLine({ within: scopeOf(report) });
      return;
    }
    const attributed = this.#attribution.take(held.key, this.#factsOf(report), monotonicMs());
    if (attributed !== undefined) this.#settle(held, attributed);
    else {
      held.isSettled = false;
      this.#lastUnattributedMs = monotonicMs();
    }
    this.#lookSoon();
  }

  /** The group line came after its first victim: adds the group to that kill. */
  amend(report: OomKillReport): void {
    const held = this.#held.find((candidate) => candidate.read.report === report);
    if (held !== undefined) held.report = { ...held.report, groupCgroup: report.groupCgroup };
    else {
      const incident = this.#publishedByLine.get(report.killLine);
      this.#amendPublished(incident, { group: report.groupCgroup ?? null });
    }
  }

  /**
   * Saves and publishes resolved kills, up to the first one that is still held back. `savePositions` saves positions
   * alone.
   */
  commit(): void {
    const firstHeld = this.#held.findIndex(({ isSettled }) => !isSettled);
    const ready = this.#held.splice(0, firstHeld < 0 ? this.#held.length : firstHeld);
    if (ready.length === 0) return;
    try {
      this.#record(ready);
    } catch (error) {
      for (const { read } of ready) this.#options.log.failed(read, error);
      return;
    }
    for (const { key, sighting, report } of ready) {
      const incident = incidentOf(sighting);
      this.#published.set(key, incident);
      this.#publishedByLine.set(report.killLine, incident);
    }
  }

  #record(ready: readonly Held[]): void {
    const positions = this.#options.log.positions();
    for (const source of new Set(this.#held.map(({ read }) => read.source))) {
      // The source has been read further than may be saved.
      const last = ready.findLast(({ read }) => read.source === source);
      if (last?.read.position === undefined) delete positions[source];
      else positions[source] = last.read.position;
    }
    const entries = ready.flatMap((held) => this.#entryOf(held));
    this.#options.ledger.record({ atMs: this.#options.nowMs(), entries, positions });
  }

  /** Saves how far the sources have been read; does nothing while a kill is held back. */
  savePositions(): void {
    if (this.#held.length > 0) return;
    const { ledger, nowMs } = this.#options;
    const positions = Object.entries(this.#options.log.positions()).filter(
      ([source, position]) => JSON.stringify(position) !== JSON.stringify(ledger.position(source)),
    );
    if (positions.length === 0) return;
    ledger.record({ atMs: nowMs(), positions: Object.fromEntries(positions) });
  }

  /** `Killed process` lines of this boot read so far, including those still held back. */
  get rawLines(): number {
    const { ledger, boot } = this.#options;
    const waiting = this.#held.filter(
      ({ sighting, isHistory, line }) => !isHistory && sighting.boot === boot && line !== "copy",
    );
    return ledger.rawLines(boot) + waiting.length;
  }

  /** Publishes held-back kills as they are, and saves everything. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    for (const held of this.#held) held.isSettled = true;
    this.commit();
    this.savePositions();
  }

  /** Reads the counters once, so that the first increase of a storm has a base. */
  readCounters(): void {
    const { lookup } = this.#options;
    const counts = this.#ask(() => lookup.killCounts());
    if (counts === undefined) return;
    for (const [cgroup, count] of counts) {
      // A cgroup missing in the last reading was created since then, with its counter at 0.
      const before = this.#counts.get(cgroup) ?? (this.#countsKnown ? 0 : count);
      this.#attribution.counterRead(cgroup, count - before);
    }
    for (const cgroup of this.#counts.keys()) {
      if (!counts.has(cgroup)) this.#attribution.counterGone(cgroup);
    }
    this.#counts.clear();
    for (const [cgroup, count] of counts) this.#counts.set(cgroup, count);
    this.#countsKnown = true;
  }

  #factsOf(report: OomKillReport) {
    const { lookup } = this.#options;
    const { pid, comm, uid, victimCgroup, prefix } = report;
    const isUnnamed = victimCgroup === undefined;
    return {
      pid,
      comm,
      uid,
      victimCgroup,
      within: scopeOf(report),
      isMemcgKill: prefix === "Memory cgroup out of memory" || report.constraint === "memcg",
      stillThere: isUnnamed ? this.#ask(() => seen(lookup.lookUp(pid))) : undefined,
      remembered: isUnnamed ? this.#ask(() => seen(lookup.remembered(pid))) : undefined,
    };
  }

  #lookSoon(): void {
    this.#lastKillMs = this.#options.monotonicMs();
    if (this.#isQuiet) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#isQuiet = false;
    }
    this.#timer ??= setTimeout(() => void this.#look(), 0);
  }

  async #look(): Promise<void> {
    const startMs = this.#options.monotonicMs();
    this.#isQuiet = false;
    try {
      await this.#gatherEvidence(startMs);
    } catch (error) {
      this.#logFailure(error);
    }
    if (this.#isStopped) return;
    this.#settleAll(this.#attribution.due(startMs));
    this.commit();
    this.#planNextLook(startMs);
  }

  /**
   * Reads lines, then counters, then lines again, then the kernel's own count: the closer together, the fewer lines an
   * increase may belong to. The counters of all cgroups cost more than the rest together, so they are left out while the
   * log itself names each victim's cgroup; an increase read later belongs to those kills first.
   */
  async #gatherEvidence(nowMs: number): Promise<void> {
    const { lookup, log } = this.#options;
    lookup.readYoung();
    await log.drain();
    if (nowMs - this.#lastUnattributedMs <= lookForMs) {
      this.readCounters();
      await log.drain();
    }
    if (!this.#isStopped) this.#compareCounts(nowMs);
  }

  #planNextLook(startMs: number): void {
    const tookMs = this.#options.monotonicMs() - startMs;
    const sinceKillMs = startMs - this.#lastKillMs;
    const isBusy = this.#held.length > 0 || sinceKillMs <= stormMs;
    if (!isBusy && sinceKillMs > lookForMs) {
      this.#timer = undefined;
      return;
    }
    const [restMs, longestMs] = isBusy
      ? [tookMs, longestRestMs]
      : [tookMs * quietRestShare, longestQuietRestMs];
    this.#isQuiet = !isBusy;
    this.#timer = setTimeout(
      () => void this.#look(),
      Math.min(longestMs, Math.max(lookEveryMs, restMs)),
    );
  }

  #ask<Answer>(question: () => Answer): Answer | undefined {
    try {
      return question();
    } catch (error) {
      this.#logFailure(error);
      return undefined;
    }
  }

  #logFailure(error: unknown): void {
    if (this.#hasLoggedFailure) return;
    this.#hasLoggedFailure = true;
    const reason = error instanceof Error ? error.stack : String(error);
    this.#options.logger.warn({ reason }, lookupFailed);
  }

  #compareCounts(nowMs: number): void {
    const { lookup, reconciler, boot } = this.#options;
    const rawLines = this.rawLines;
    reconciler.read({ boot, rawLines, oomKill: lookup.kernelKills(), nowMs });
    if (reconciler.outstanding !== 0) return;
    this.#settleAll(this.#attribution.allLinesRead(reconciler.unaccounted ?? 0));
  }

  #settleAll(all: readonly Attributed[]): void {
    for (const attributed of all) {
      const held = this.#held.find(({ key }) => key === attributed.key);
      if (held !== undefined) this.#settle(held, attributed);
      else this.#settleLate(attributed);
    }
  }

  #settle(held: Held, { cgroup }: Attributed): void {
    held.isSettled = true;
    if (cgroup !== undefined) held.report = { ...held.report, victimCgroup: cgroup };
  }

  /** The labels are published, but page and API may still add the owner. */
  #settleLate({ key, cgroup }: Attributed): void {
    if (cgroup === undefined) return;
    const owner = this.#options.ownerOf(cgroup);
    this.#amendPublished(this.#published.get(key), { cgroup, owner });
  }

  #amendPublished(incident: string | undefined, changes: Partial<Kill>): void {
    const { ledger, nowMs } = this.#options;
    const kill = incident === undefined ? undefined : ledger.kill(incident);
    if (kill !== undefined) ledger.record({ atMs: nowMs(), amended: [{ ...kill, ...changes }] });
  }

  /** `undefined` if this program fails to describe the kill, so that the kills around it are not lost with it. */
  #entryOf({ report, sighting, read, isHistory }: Held): KillEntry[] {
    const { describe, ownerOf, log, witness } = this.#options;
    const context = { incident: incidentOf(sighting), sourceName: read.sourcePath, ownerOf };
    try {
      const kill = describe(report, context);
      const wasSeen = read.isLive && !isHistory;
      const seen = wasSeen ? this.#ask(() => witness?.factsOf(kill)) : undefined;
      return [
        {
          sighting,
          kill: { ...kill, ...seen?.facts },
          history: isHistory,
          killedSeconds: seen?.killedSeconds,
        },
      ];
    } catch (error) {
      log.failed(read, error);
      return [];
    }
  }
}

/** Whether the victim was in this cgroup or below it. */
function scopeOf({ groupCgroup, limitCgroup }: OomKillReport): string | undefined {
  return groupCgroup ?? limitCgroup;
}

function seen(process: Partial<SeenProcess> | undefined): SeenProcess | undefined {
  const { comm, uid, cgroup } = process ?? {};
  return comm === undefined || cgroup === undefined ? undefined : { comm, uid, cgroup };
}
