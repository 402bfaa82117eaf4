import { BoundedMap } from "../collections/bounded-map.ts";
import { type Use, UseRing } from "../collections/use-ring.ts";
import { ancestorsOf, isWithin } from "../kernel/cgroup-path.ts";
import { isHostNear, type Meminfo, memoryInUse } from "../kernel/meminfo.ts";
import type { Before, Grower } from "../kills/before.ts";
import { type Kill, type KillTask, residentBytes, taskBytes } from "../kills/kill.ts";
import { type Owner, unknownOwner } from "../kills/owner.ts";
import { fullestLimits, heldBytes } from "../sources/cgroup-reading.ts";
import type { CgroupReadings } from "../sources/cgroup-tree.ts";
import type { CgroupUse } from "../sources/cgroup-use.ts";
import { type ProcessReadings, sizeBytes } from "../sources/process-table.ts";
import type { SnapshotKeeper } from "../sources/snapshot.ts";

export interface FlightRecorderOptions {
  ownerOf: (cgroup: string) => Owner;
  /** The cgroup of a process that is running or ended within the last minute. */
  cgroupOf: (pid: number) => string | undefined;
  /** Current usage of a cgroup. */
  useOf: (cgroup: string) => CgroupUse | undefined;
  readMeminfo: () => Meminfo | undefined;
  /** Takes a snapshot of the processes and passes it to all keepers. */
  readProcesses: () => void;
  /** A clock that never goes back, milliseconds. */
  monotonicMs: () => number;
}

/** Fifteen minutes. Scrapes come every 15 s, and every second one is kept. */
const coarse = { slots: 31, apartMs: 29_000 };
/** Two minutes of what is near its limit. */
const fine = { slots: 60, apartMs: 2000 };
const cgroupsAtMost = 4000;
const limitsAtMost = 1000;
const processesAtMost = 1000;
const processesPerLook = 32;
const nearAtMost = 10;
const readProcessesAfterMs = 31_000;
/** Minimum growth, as a share of the limit or of the host's memory. */
const growthRatio = 0.05;
const growersAtMost = 5;
const beforeBytesAtMost = 4096;
/** Maximum number of cgroups read again after a kill, largest first; in a storm one reading serves many kills. */
const readAgainAtMost = 300;
const readAgainAfterMs = 2000;
const host = "host";

interface ProcessKept {
  pid: number;
  comm: string;
  cgroup: string | undefined;
}

interface Limit {
  /** The cgroup with the smallest limit among this one and its ancestors. */
  cgroup: string | undefined;
  bytes: number;
}

/** What ran out, and what counts towards it. */
interface Scope {
  /** Absent for the host. */
  cgroup: string | undefined;
  /** Growth is a share of this. */
  bytes: number;
}

interface Growth {
  from: Use;
  toBytes: number;
}

/**
 * Records memory usage of the last fifteen minutes: of each leaf cgroup, of the largest processes, of limits and of the
 * host; at shorter intervals for what is near its limit. After a kill, `before` returns the part that belongs to it.
 *
 * Memory: 124 bytes per cgroup, limit and process, besides its name; 0.75 MiB at most.
 */
export class FlightRecorder implements SnapshotKeeper {
  readonly #options: FlightRecorderOptions;
  readonly #host = new UseRing({ ...coarse, namesAtMost: 1 });
  readonly #leaves = new UseRing({ ...coarse, namesAtMost: cgroupsAtMost });
  readonly #limits = new UseRing({ ...coarse, namesAtMost: limitsAtMost });
  readonly #processes = new UseRing({ ...coarse, namesAtMost: processesAtMost });
  readonly #near = new UseRing({ ...fine, namesAtMost: 4 * nearAtMost });
  readonly #processByName = new BoundedMap<string, ProcessKept>(processesAtMost);
  /** By cgroup, as of the last look. */
  #limitOf = new Map<string, Limit>();
  #nearLimits: string[] = [];
  /** When processes were last read: a slow or failed reading is not repeated at once. */
  #askedMs = Number.NEGATIVE_INFINITY;
  /** Whether the last look saw all cgroups: then a cgroup that is missing in it is new. */
  #sawAll = false;
  #memTotalBytes = 0;
  /** Memory and swap. */
  #hostBytes: number | null = null;
  readonly #readAgain = new BoundedMap<string, { use: CgroupUse | undefined; atMs: number }>(
    2 * readAgainAtMost,
  );

  constructor(options: FlightRecorderOptions) {
    this.#options = options;
  }

  noteMeminfo(meminfo: Meminfo): void {
    const { totalBytes, swapTotalBytes } = memoryInUse(meminfo);
    this.#memTotalBytes = totalBytes;
    this.#hostBytes = totalBytes + swapTotalBytes;
    this.#host.note(this.#options.monotonicMs(), [[host, hostUse(meminfo)]]);
    this.#setNear(host, isHostNear(meminfo));
  }

  noteCgroups({ readings, filtered, beyondLimit }: CgroupReadings): void {
    const now = this.#options.monotonicMs();
    const limits = fullestLimits(readings);
    this.#nearLimits = [
      ...this.#nearLimits.filter((name) => name === host),
      ...limits
        .slice(0, nearAtMost)
        .filter(({ isNear }) => isNear)
        .map(({ reading }) => reading.path),
    ];
    if (!this.#leaves.isDue(now)) return;
    this.#sawAll = filtered === 0 && beyondLimit === 0;
    this.#limits.note(
      now,
      limits.map(({ reading, heldBytes }) => [reading.path, heldBytes]),
    );
    const parents = new Set(readings.map(({ path }) => path.slice(0, path.lastIndexOf("/"))));
    const leaves = readings.filter(({ path }) => !parents.has(path) && path !== "/");
    this.#leaves.note(
      now,
      leaves.map((reading) => [reading.path, heldBytes(reading) + (reading.swapCurrentBytes ?? 0)]),
    );
    this.#limitOf = new Map(
      readings
        .filter(({ limitingCgroup }) => limitingCgroup !== undefined)
        .map(({ path, limitingCgroup, effectiveMaxBytes }) => [
          path,
          { cgroup: limitingCgroup, bytes: effectiveMaxBytes },
        ]),
    );
  }

  noteProcesses({ processes }: ProcessReadings): void {
    const now = this.#options.monotonicMs();
    if (!this.#processes.isDue(now)) return;
    const largest = processes
      .map((process) => ({ process, bytes: sizeBytes(process.memory) }))
      .sort((a, b) => b.bytes - a.bytes)
      .slice(0, processesPerLook);
    this.#processes.note(
      now,
      largest.map(({ process, bytes }) => [nameOf(process), bytes]),
    );
    for (const { process } of largest) {
      const { pid, comm, cgroup } = process;
      this.#processByName.set(nameOf(process), { pid, comm, cgroup });
    }
  }

  /** About once a second: reads what is near its limit, and the processes if nothing else has. */
  look(): void {
    const { monotonicMs, useOf, readMeminfo, readProcesses } = this.#options;
    const now = monotonicMs();
    if (this.#nearLimits.length > 0 && this.#near.isDue(now)) {
      const uses: [string, number][] = [];
      for (const name of this.#nearLimits) {
        const meminfo = name === host ? readMeminfo() : undefined;
        const bytes = name === host ? meminfo && hostUse(meminfo) : useOf(name)?.heldBytes;
        if (bytes !== undefined) uses.push([name, bytes]);
      }
      this.#near.note(now, uses);
    }
    const lookedMs = Math.max(this.#processes.lastMs, this.#askedMs);
    if (now - lookedMs < readProcessesAfterMs) return;
    this.#askedMs = now;
    readProcesses();
  }

  /**
   * What happened before a kill; `null` if nothing had been recorded by then.
   * @param agoMs time since the kill
   */
  before(kill: Kill, agoMs: number): Before | null {
    const killedMs = this.#options.monotonicMs() - agoMs;
    const scope = this.#scopeOf(kill);
    // Without the cgroup of the limit, nothing can be said about it.
    if (kill.constraint === "memcg" && scope.cgroup === undefined) return null;
    const ring = scope.cgroup === undefined ? this.#host : this.#leaves;
    const { firstMs } = ring;
    if (firstMs === undefined || firstMs > killedMs) return null;
    const before: Before = {
      seconds: Math.round((killedMs - firstMs) / 1000),
      limitBytes: scope.cgroup === undefined ? this.#hostBytes : scope.bytes,
      limitUse: this.#limitUse(kill, scope, { firstMs, killedMs }),
      growers: this.#growers(kill, scope, killedMs),
    };
    return shortened(before);
  }

  #setNear(name: string, isNear: boolean): void {
    const others = this.#nearLimits.filter((other) => other !== name);
    this.#nearLimits = isNear ? [name, ...others] : others;
  }

  /** If the log does not name the limit: the smallest one above the victim. */
  #scopeOf({ constraint, limitCgroup, limitBytes, cgroup }: Kill): Scope {
    if (constraint !== "memcg") return { cgroup: undefined, bytes: this.#memTotalBytes };
    const known = cgroup === null ? undefined : this.#limitAbove(cgroup);
    const path = limitCgroup ?? known?.cgroup;
    const own = path === undefined ? undefined : this.#limitOf.get(path);
    return { cgroup: path, bytes: limitBytes ?? own?.bytes ?? known?.bytes ?? this.#memTotalBytes };
  }

  #limitAbove(cgroup: string): Limit | undefined {
    for (const path of [cgroup, ...ancestorsOf(cgroup)]) {
      const limit = this.#limitOf.get(path);
      if (limit !== undefined) return limit;
    }
    return undefined;
  }

  /** Coarse points, and fine ones for the time in which it was near its limit. */
  #limitUse(
    kill: Kill,
    { cgroup }: Scope,
    { firstMs, killedMs }: { firstMs: number; killedMs: number },
  ): Before["limitUse"] {
    const coarseUses = cgroup === undefined ? this.#host.uses(host) : this.#limits.uses(cgroup);
    const fineUses = this.#near.uses(cgroup ?? host).filter(({ atMs }) => atMs >= firstMs);
    const isFine = ({ atMs }: Use) =>
      fineUses.some((use) => Math.abs(use.atMs - atMs) < fine.apartMs);
    const points = [...coarseUses.filter((use) => !isFine(use)), ...fineUses]
      .sort((a, b) => a.atMs - b.atMs)
      .filter(({ atMs }) => atMs < killedMs)
      .map(({ atMs, bytes }): [number, number] => [secondsBetween(atMs, killedMs), bytes]);
    const isOfLimit = cgroup !== undefined && cgroup === kill.limitCgroup;
    if (isOfLimit && kill.usageBytes !== null) points.push([0, kill.usageBytes]);
    return points;
  }

  #growers(kill: Kill, scope: Scope, killedMs: number): Grower[] {
    const within = (cgroup: string | undefined) =>
      scope.cgroup === undefined || isWithin(cgroup, scope.cgroup);
    const leaves = this.#leavesWithin(kill, within);
    const growers: Grower[] = [];
    for (const cgroup of leaves) {
      const uses = this.#leaves.uses(cgroup).filter(({ atMs }) => atMs < killedMs);
      const toBytes = this.#bytesAtKill(kill, cgroup, uses.at(-1)?.bytes);
      const growth = toBytes === undefined ? undefined : this.#growthOf(uses, toBytes, killedMs);
      if (growth === undefined || !isGrowth(growth, scope)) continue;
      const process = this.#processOf(kill, (of) => isWithin(of, cgroup), killedMs);
      growers.push(growerOf(growth, killedMs, cgroup, this.#options.ownerOf(cgroup), process));
    }
    // Processes outside of all leaves: in the root, in an inner cgroup of v1, or on a machine without cgroups.
    const loose = this.#processOf(
      kill,
      (of) => within(of) && !this.#isInLeaf(of, leaves),
      killedMs,
    );
    if (loose !== undefined && isGrowth(loose.growth, scope)) {
      const { cgroup } = loose;
      const owner = cgroup === undefined ? unknownOwner : this.#options.ownerOf(cgroup);
      growers.push(growerOf(loose.growth, killedMs, cgroup, owner, loose));
    }
    return growers
      .sort((a, b) => b.toBytes - b.fromBytes - (a.toBytes - a.fromBytes))
      .slice(0, growersAtMost);
  }

  /** Leaves seen so far, and those made since the last look if the report lists a process in them. */
  #leavesWithin(kill: Kill, within: (cgroup: string | undefined) => boolean): Set<string> {
    const known = [...this.#leaves.names].filter(within);
    const listed = kill.tasks.map((task) => this.#cgroupOfTask(kill, task));
    const unseen = this.#sawAll ? [...listed, kill.cgroup ?? undefined] : [];
    const fresh = unseen.filter(
      (cgroup): cgroup is string =>
        cgroup !== undefined &&
        cgroup !== "/" &&
        within(cgroup) &&
        !known.some((leaf) => isWithin(leaf, cgroup)),
    );
    if (known.length <= readAgainAtMost) return new Set([...fresh, ...known]);
    const largest = known
      .map((cgroup) => ({ cgroup, bytes: this.#leaves.last(cgroup) ?? 0 }))
      .sort((a, b) => b.bytes - a.bytes)
      .slice(0, readAgainAtMost)
      .map(({ cgroup }) => cgroup);
    const victims = known.filter((leaf) => kill.cgroup !== null && isWithin(kill.cgroup, leaf));
    return new Set([...fresh, ...victims, ...largest]);
  }

  #isInLeaf(cgroup: string | undefined, listed: ReadonlySet<string>): boolean {
    if (cgroup === undefined) return false;
    return [cgroup, ...ancestorsOf(cgroup)].some(
      (path) => listed.has(path) || this.#leaves.has(path),
    );
  }

  #cgroupOfTask(kill: Kill, { pid, cgroup }: KillTask): string | undefined {
    return pid === kill.pid ? (kill.cgroup ?? undefined) : (cgroup ?? this.#options.cgroupOf(pid));
  }

  /**
   * Usage of a cgroup at the time of the kill; `undefined` if it was removed before. The victim's cgroup may have been
   * emptied since, so its usage is that of the last look plus what the victim has grown by since then.
   */
  #bytesAtKill(kill: Kill, cgroup: string, lastBytes: number | undefined): number | undefined {
    const use = this.#useNow(cgroup);
    const nowBytes = use && use.heldBytes + use.swapBytes;
    if (kill.cgroup === null || !isWithin(kill.cgroup, cgroup)) return nowBytes;
    if (cgroup === kill.limitCgroup && kill.usageBytes !== null) {
      return Math.max(kill.usageBytes, lastBytes ?? 0);
    }
    const heldByVictim = heldAtKill(kill);
    const lastOfVictim = this.#processes.last(nameOf(kill));
    const grownSince =
      lastOfVictim === undefined || lastBytes === undefined
        ? heldByVictim
        : lastBytes + Math.max(0, heldByVictim - lastOfVictim);
    return Math.max(nowBytes ?? 0, lastBytes ?? 0, grownSince);
  }

  #useNow(cgroup: string): CgroupUse | undefined {
    const now = this.#options.monotonicMs();
    const known = this.#readAgain.get(cgroup);
    if (known !== undefined && now - known.atMs < readAgainAfterMs) return known.use;
    const use = this.#options.useOf(cgroup);
    this.#readAgain.set(cgroup, { use, atMs: now });
    return use;
  }

  /** A cgroup missing in an earlier look has grown from nothing. */
  #growthOf(uses: readonly Use[], toBytes: number, killedMs: number): Growth {
    const lastMs = Math.min(this.#leaves.lastMs, killedMs);
    const [first] = uses;
    if (first === undefined) return { from: { atMs: lastMs, bytes: 0 }, toBytes };
    const absentMs = this.#sawAll ? this.#leaves.lookBefore(first.atMs) : undefined;
    const sinceAbsent = absentMs === undefined ? uses : [{ atMs: absentMs, bytes: 0 }, ...uses];
    return growthBetween(sinceAbsent, toBytes);
  }

  /** The process that grew most in some cgroups. */
  #processOf(
    kill: Kill,
    isIn: (cgroup: string | undefined) => boolean,
    killedMs: number,
  ): (ProcessKept & { growth: Growth }) | undefined {
    const atKill = new Map(
      kill.tasks.map((task) => [
        nameOf(task),
        {
          pid: task.pid,
          comm: task.comm,
          cgroup: this.#cgroupOfTask(kill, task),
          bytes: taskBytes(task),
        },
      ]),
    );
    atKill.set(nameOf(kill), {
      pid: kill.pid,
      comm: kill.comm,
      cgroup: kill.cgroup ?? undefined,
      bytes: Math.max(heldAtKill(kill), atKill.get(nameOf(kill))?.bytes ?? 0),
    });
    const names = new Set([...atKill.keys(), ...this.#processes.names]);
    let most: (ProcessKept & { growth: Growth }) | undefined;
    for (const name of names) {
      const process = atKill.get(name) ?? this.#processByName.get(name);
      if (process === undefined || !isIn(process.cgroup)) continue;
      const uses = this.#processes.uses(name).filter(({ atMs }) => atMs < killedMs);
      const toBytes = atKill.get(name)?.bytes ?? uses.at(-1)?.bytes;
      const first = uses[0] ?? { atMs: Math.min(this.#processes.lastMs, killedMs), bytes: 0 };
      if (toBytes === undefined || !Number.isFinite(first.atMs)) continue;
      const growth = growthBetween(uses.length === 0 ? [first] : uses, toBytes);
      if (most === undefined || grownBytes(growth) > grownBytes(most.growth)) {
        const { pid, comm, cgroup } = process;
        most = { pid, comm, cgroup, growth };
      }
    }
    return most !== undefined && grownBytes(most.growth) > 0 ? most : undefined;
  }
}

/** Growth starts at the last point that is near the lowest one. */
function growthBetween(uses: readonly Use[], toBytes: number): Growth {
  const lowest = uses.reduce((low, use) => (use.bytes < low.bytes ? use : low));
  const nearLowest = lowest.bytes + (toBytes - lowest.bytes) * growthRatio;
  const from = uses.findLast(({ bytes }) => bytes <= nearLowest) ?? lowest;
  return { from: { atMs: from.atMs, bytes: lowest.bytes }, toBytes };
}

function grownBytes({ from, toBytes }: Growth): number {
  return toBytes - from.bytes;
}

function isGrowth(growth: Growth, { bytes }: Scope): boolean {
  return grownBytes(growth) >= bytes * growthRatio && grownBytes(growth) > 0;
}

function growerOf(
  { from, toBytes }: Growth,
  killedMs: number,
  cgroup: string | undefined,
  owner: Owner,
  process: ProcessKept | undefined,
): Grower {
  return {
    cgroup: cgroup ?? null,
    owner,
    pid: process?.pid ?? null,
    comm: process?.comm ?? null,
    fromBytes: from.bytes,
    toBytes,
    seconds: secondsBetween(from.atMs, killedMs),
  };
}

/** As in the kill line, which does not include swap. */
function heldAtKill({ memory }: Kill): number {
  return residentBytes(memory) ?? 0;
}

function nameOf({ pid, comm }: { pid: number; comm: string }): string {
  return `${pid} ${comm}`;
}

function hostUse(meminfo: Meminfo): number {
  const { usedBytes, swapUsedBytes } = memoryInUse(meminfo);
  return usedBytes + swapUsedBytes;
}

function secondsBetween(fromMs: number, toMs: number): number {
  const seconds = (toMs - fromMs) / 1000;
  return seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds);
}

/** At most 4 KiB: first every second point of the curve is dropped, then the smallest growers. */
function shortened(before: Before): Before {
  let { limitUse, growers } = before;
  const isTooLong = () =>
    Buffer.byteLength(JSON.stringify({ ...before, limitUse, growers })) > beforeBytesAtMost;
  while (isTooLong() && limitUse.length > 20) {
    const last = limitUse.length - 1;
    limitUse = limitUse.filter((_, index) => index % 2 === 0 || index === last);
  }
  while (isTooLong() && growers.length > 1) growers = growers.slice(0, -1);
  return isTooLong() ? { ...before, limitUse, growers: [] } : { ...before, limitUse, growers };
}
