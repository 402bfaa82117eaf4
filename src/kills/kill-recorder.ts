import type { KernelMessage } from "../kernel-log/kernel-message.ts";
import type { OomKillReport } from "../kernel-log/oom-report.ts";
import type { Attributed, Attribution, SeenProcess } from "./attribution.ts";
import type { Kill } from "./kill.ts";
import type { KillSighting } from "./kill-deduplicator.ts";
import { incidentOf, type KillEntry, type KillLedger, sightingOf } from "./kill-ledger.ts";
import type { KernelKillCount } from "./kill-reconciler.ts";
import type { Owner } from "./owner.ts";

/** One `Killed process` line as a source brings it. */
export interface Arrival {
  report: OomKillReport;
  /** Under which key the ledger keeps the position of its source. */
  source: string;
  sourcePath: string;
  /** Just written, as against found in the log. */
  isLive: boolean;
  /** The boot that the line is of, as far as the source can tell. */
  boot?: string;
  /** The source goes over lines again that it cannot prove to be new. */
  isReread: boolean;
  /** Older than the first start: shown, never counted. */
  isHistory: boolean;
  /** Where reading goes on right behind this line; absent where the source has no positions. */
  position?: unknown;
  /** Tells the source that this line could not be taken in after all. */
  fail: (error: unknown) => void;
}

/** The host's own knowledge of who is where: what is left when the log does not say. */
export interface HostWitness {
  /** The process as it stands now, if it is still there. */
  lookUp(pid: number): Partial<SeenProcess> | undefined;
  /** The process as it was last seen. */
  remembered(pid: number): Partial<SeenProcess> | undefined;
  /** Looks who the new processes are. */
  readYoung(): void;
  /** Kills counted at each cgroup itself. */
  killCounts(): Map<string, number>;
  /** `oom_kill` of /proc/vmstat. */
  kernelKills(): number | undefined;
}

export interface KillIntakeOptions {
  ledger: KillLedger;
  attribution: Attribution;
  kernelCount: KernelKillCount;
  witness: HostWitness;
  /** Boot id of the running kernel. */
  boot: string;
  ownerOf: (cgroup: string | null | undefined) => Owner;
  /** Makes a story of a report. */
  tell: (report: OomKillReport, context: { incident: string; sourceName: string }) => Kill;
  nowMs: () => number;
  monotonicMs: () => number;
  /** Where each source stands when no kill of it is held back. */
  positions: () => Record<string, unknown>;
  /** Reads what the sources have at this moment. */
  drainSources: () => Promise<void>;
  log: { warn(fields: object, message: string): void };
}

/** While kills come in, processes and counters are looked at this often, and for so long after the last. */
const closeLookEveryMs = 10;
const closeLookForMs = 10_000;
/** A look that takes long, on a host with many cgroups, is followed by as long a rest, at most this. */
const longestRestMs = 50;
/** So long after the last kill the looks go on, but take a tenth of the time at most. */
const stormMs = 1000;
const quietRestShare = 9;
const longestQuietRestMs = 500;
const givenOutLimit = 1024;
const witnessFailed =
  "the host could not be asked whose cgroup a kill was in, by a mistake of this program; please report it. Kills count all the same, some without their cgroup; this is not told again";

interface Held {
  key: string;
  arrival: Arrival;
  sighting: KillSighting;
  line: ReturnType<KillLedger["sight"]>;
  report: OomKillReport;
  isSettled: boolean;
}

/**
 * Takes kills from the sources into the ledger, in the order of their lines, each held back at most
 * 500 ms until it is known whose cgroup it was.
 *
 * Invariants:
 * - a position is never saved that lies behind a line which the ledger does not have, but for one
 *   whose source was told that it failed;
 * - nothing that the host answers, or fails to, keeps a kill from being counted.
 */
export class KillIntake {
  readonly #options: KillIntakeOptions;
  readonly #held: Held[] = [];
  /** The last kills given out, by key: more may yet be learnt of them. */
  readonly #givenOut = new Map<string, { killLine: KernelMessage; incident: string }>();
  readonly #counts = new Map<string, number>();
  #countsKnown = false;
  #lastKillMs = 0;
  #isQuiet = false;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #hasSaidFailed = false;
  #serial = 0;

  constructor(options: KillIntakeOptions) {
    this.#options = options;
  }

  /** Takes one line; `commit` is to be called when the source has no more at hand. */
  take(arrival: Arrival): void {
    const { ledger, attribution, monotonicMs } = this.#options;
    const { report, isLive, boot, isReread } = arrival;
    const sighting = sightingOf(report, { boot, reread: isReread });
    const line = ledger.sight(sighting);
    const held = { key: `${++this.#serial}`, arrival, sighting, line, report, isSettled: true };
    this.#held.push(held);
    if (!isLive || arrival.isHistory || line === "copy") return;
    if (line === "further_line") {
      attribution.takeFurtherLine({ within: scopeOf(report) });
      return;
    }
    const attributed = attribution.take(held.key, this.#factsOf(report), monotonicMs());
    if (attributed === undefined) held.isSettled = false;
    else this.#settle(held, attributed);
    this.#lookClosely();
  }

  /** The group line came after its first victim: the story learns of it. */
  amend(report: OomKillReport): void {
    const held = this.#held.find((candidate) => candidate.arrival.report === report);
    if (held !== undefined) held.report = { ...held.report, groupCgroup: report.groupCgroup };
    else this.#amendGivenOut(report.killLine, { group: report.groupCgroup ?? null });
  }

  /**
   * Saves and shows what is settled, up to the first kill that is still held back. Positions alone
   * are saved by `savePositions`.
   */
  commit(): void {
    const firstHeld = this.#held.findIndex(({ isSettled }) => !isSettled);
    const ready = this.#held.splice(0, firstHeld < 0 ? this.#held.length : firstHeld);
    if (ready.length === 0) return;
    try {
      this.#record(ready);
    } catch (error) {
      for (const { arrival } of ready) arrival.fail(error);
      return;
    }
    for (const { key, sighting, report } of ready) {
      this.#givenOut.set(key, { killLine: report.killLine, incident: incidentOf(sighting) });
    }
    for (const key of this.#givenOut.keys()) {
      if (this.#givenOut.size <= givenOutLimit) break;
      this.#givenOut.delete(key);
    }
  }

  #record(ready: readonly Held[]): void {
    const positions = this.#options.positions();
    for (const source of new Set(this.#held.map(({ arrival }) => arrival.source))) {
      // It has been read further than may be saved.
      const last = ready.findLast(({ arrival }) => arrival.source === source);
      if (last?.arrival.position === undefined) delete positions[source];
      else positions[source] = last.arrival.position;
    }
    const entries = ready.flatMap((held) => this.#entryOf(held));
    this.#options.ledger.record({ atMs: this.#options.nowMs(), entries, positions });
  }

  /** Saves how far the sources have been read; nothing while a kill is held back. */
  savePositions(): void {
    if (this.#held.length > 0) return;
    const { ledger, nowMs } = this.#options;
    const positions = Object.entries(this.#options.positions()).filter(
      ([source, position]) => JSON.stringify(position) !== JSON.stringify(ledger.position(source)),
    );
    if (positions.length === 0) return;
    ledger.record({ atMs: nowMs(), positions: Object.fromEntries(positions) });
  }

  /** `Killed process` lines of this boot read so far, those still held back included. */
  get rawLines(): number {
    const { ledger, boot } = this.#options;
    const waiting = this.#held.filter(
      ({ sighting, arrival, line }) =>
        !arrival.isHistory && sighting.boot === boot && line !== "copy",
    );
    return ledger.rawLines(boot) + waiting.length;
  }

  /** Gives out what is held back, as it is, and saves everything. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    for (const held of this.#held) held.isSettled = true;
    this.commit();
    this.savePositions();
  }

  /** Reads the counters once, so that the first rise of a storm has something to rise from. */
  readCounters(): void {
    const { witness, attribution } = this.#options;
    const counts = this.#ask(() => witness.killCounts());
    if (counts === undefined) return;
    for (const [cgroup, count] of counts) {
      // A cgroup that was not there at the last look was made since, with its counter at 0.
      const before = this.#counts.get(cgroup) ?? (this.#countsKnown ? 0 : count);
      attribution.counterRead(cgroup, count - before);
    }
    for (const cgroup of this.#counts.keys()) {
      if (!counts.has(cgroup)) attribution.counterGone(cgroup);
    }
    this.#counts.clear();
    for (const [cgroup, count] of counts) this.#counts.set(cgroup, count);
    this.#countsKnown = true;
  }

  #factsOf(report: OomKillReport) {
    const { witness } = this.#options;
    const { pid, comm, uid, victimCgroup, prefix } = report;
    const needsWitness = victimCgroup === undefined;
    return {
      pid,
      comm,
      uid,
      victimCgroup,
      within: scopeOf(report),
      isMemcgKill: prefix === "Memory cgroup out of memory" || report.constraint === "memcg",
      stillThere: needsWitness ? this.#ask(() => seen(witness.lookUp(pid))) : undefined,
      remembered: needsWitness ? this.#ask(() => seen(witness.remembered(pid))) : undefined,
    };
  }

  #lookClosely(): void {
    this.#lastKillMs = this.#options.monotonicMs();
    if (this.#isQuiet) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#isQuiet = false;
    }
    this.#timer ??= setTimeout(() => void this.#closeLook(), 0);
  }

  async #closeLook(): Promise<void> {
    const { attribution, monotonicMs } = this.#options;
    const startMs = monotonicMs();
    this.#isQuiet = false;
    try {
      await this.#gatherEvidence(startMs);
    } catch (error) {
      this.#sayFailed(error);
    }
    if (this.#isStopped) return;
    this.#settleAll(attribution.due(startMs));
    this.commit();
    this.#planNextLook(startMs);
  }

  /**
   * Lines, then counters, then lines again, then the kernel's own count: the closer together, the
   * fewer lines a rise may belong to.
   */
  async #gatherEvidence(nowMs: number): Promise<void> {
    const { witness, drainSources } = this.#options;
    witness.readYoung();
    await drainSources();
    this.readCounters();
    await drainSources();
    if (!this.#isStopped) this.#compareCounts(nowMs);
  }

  #planNextLook(startMs: number): void {
    const tookMs = this.#options.monotonicMs() - startMs;
    const sinceKillMs = startMs - this.#lastKillMs;
    const isBusy = this.#held.length > 0 || sinceKillMs <= stormMs;
    if (!isBusy && sinceKillMs > closeLookForMs) {
      this.#timer = undefined;
      return;
    }
    const [restMs, longestMs] = isBusy
      ? [tookMs, longestRestMs]
      : [tookMs * quietRestShare, longestQuietRestMs];
    this.#isQuiet = !isBusy;
    this.#timer = setTimeout(
      () => void this.#closeLook(),
      Math.min(longestMs, Math.max(closeLookEveryMs, restMs)),
    );
  }

  #ask<Answer>(question: () => Answer): Answer | undefined {
    try {
      return question();
    } catch (error) {
      this.#sayFailed(error);
      return undefined;
    }
  }

  #sayFailed(error: unknown): void {
    if (this.#hasSaidFailed) return;
    this.#hasSaidFailed = true;
    const reason = error instanceof Error ? error.stack : String(error);
    this.#options.log.warn({ reason }, witnessFailed);
  }

  #compareCounts(nowMs: number): void {
    const { witness, attribution, kernelCount, boot } = this.#options;
    const rawLines = this.rawLines;
    kernelCount.read({ boot, rawLines, oomKill: witness.kernelKills(), nowMs });
    if (kernelCount.outstanding !== 0) return;
    this.#settleAll(attribution.allLinesRead(kernelCount.unaccounted ?? 0));
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

  /** The labels are out; page and API may still learn whose it was. */
  #settleLate({ key, cgroup }: Attributed): void {
    const given = this.#givenOut.get(key);
    if (given === undefined || cgroup === undefined) return;
    this.#amendGivenOut(given.killLine, { cgroup, owner: this.#options.ownerOf(cgroup) });
  }

  #amendGivenOut(killLine: KernelMessage, changes: Partial<Kill>): void {
    const { ledger, nowMs } = this.#options;
    const given = [...this.#givenOut.values()].find((known) => known.killLine === killLine);
    const kill = given === undefined ? undefined : ledger.kill(given.incident);
    if (kill !== undefined) ledger.record({ atMs: nowMs(), amended: [{ ...kill, ...changes }] });
  }

  /** None where its story cannot be told: the kills around it are not to be lost with it. */
  #entryOf({ report, sighting, arrival }: Held): KillEntry[] {
    const context = { incident: incidentOf(sighting), sourceName: arrival.sourcePath };
    try {
      const kill = this.#options.tell(report, context);
      return [{ sighting, kill, history: arrival.isHistory }];
    } catch (error) {
      arrival.fail(error);
      return [];
    }
  }
}

/** The victim was in this cgroup or below it. */
function scopeOf({ groupCgroup, limitCgroup }: OomKillReport): string | undefined {
  return groupCgroup ?? limitCgroup;
}

function seen(process: Partial<SeenProcess> | undefined): SeenProcess | undefined {
  const { comm, uid, cgroup } = process ?? {};
  return comm === undefined || cgroup === undefined ? undefined : { comm, uid, cgroup };
}
