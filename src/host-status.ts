import { dirname, join } from "node:path";
import { type CgroupsCollector, workingSetBytes } from "./collectors/cgroups.ts";
import { NoData } from "./collectors/collector.ts";
import type { HostCollector, HostReading } from "./collectors/host.ts";
import type { LogSourceState } from "./collectors/log.ts";
import type { ProcessesCollector, ProcessesReading } from "./collectors/processes.ts";
import type { CgroupView, HostMemoryView, StatusView, VictimView } from "./http/status-page.ts";
import { unkillableScoreAdj } from "./kernel/badness.ts";
import { memoryUse } from "./kernel/meminfo.ts";
import type { Kill } from "./model/kill.ts";
import { cgroupScope, rankVictims } from "./model/next-victim.ts";
import type { OwnProcess } from "./own-process.ts";
import type { CgroupReading, CgroupTree } from "./sources/cgroup-tree.ts";
import { FileUnavailable, type HostFiles } from "./sources/host-files.ts";
import type { OwnerNames } from "./sources/owner-names.ts";
import { type ProcessReading, type ProcessTable, sizeBytes } from "./sources/process-table.ts";

export interface HostStatusOptions {
  host?: HostCollector;
  cgroups?: CgroupsCollector;
  processes?: ProcessesCollector;
  files: HostFiles;
  table: ProcessTable;
  /** Absent where the machine has no memory controller. */
  tree?: CgroupTree;
  owners: OwnerNames;
  pageBytes: number;
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
  kills: () => readonly Kill[];
  unaccounted: () => number | undefined;
  sources: () => readonly LogSourceState[];
  /** Collectors that did not work when they last ran, with the reason. */
  troubles: () => readonly { collector: string; reason: string }[];
  own: Pick<OwnProcess, "version" | "revision" | "startedMs">;
}

/** A look at the host serves everybody who asks within this time. */
const freshForMs = 1000;

/** Remembers what `read` gave for a second; `otherwise` where it cannot be read. */
export function shared<Reading>(
  nowMs: () => number,
  read: () => Reading,
  otherwise: Reading,
): () => Reading {
  let last: { reading: Reading; atMs: number } | undefined;
  return () => {
    const now = nowMs();
    if (last === undefined || Math.abs(now - last.atMs) > freshForMs) {
      last = { reading: attempt(read) ?? otherwise, atMs: now };
    }
    return last.reading;
  };
}

function attempt<Reading>(read: () => Reading): Reading | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof NoData || error instanceof FileUnavailable) return undefined;
    throw error;
  }
}

/** How the host stands right now, for the status page and the API. */
export class HostStatus {
  readonly #options: HostStatusOptions;
  readonly #memory: () => HostReading | undefined;
  readonly #cgroups: () => readonly CgroupReading[];
  readonly #processes: () => ProcessesReading | undefined;

  constructor(options: HostStatusOptions) {
    this.#options = options;
    const { host, cgroups, processes, nowMs } = options;
    this.#memory = shared(nowMs, () => host?.read(), undefined);
    this.#cgroups = shared(nowMs, () => cgroups?.read().readings ?? [], []);
    this.#processes = shared(nowMs, () => processes?.read(), undefined);
  }

  view(): StatusView {
    const { nowMs, kills, unaccounted, sources, troubles } = this.#options;
    return {
      atMs: nowMs(),
      memory: this.#memoryView(),
      cgroups: this.#cgroupViews(),
      victims: this.#ranked().map((process) => this.#victimView(process)),
      unkillable: this.#unkillable(),
      kills: kills(),
      unaccountedKills: unaccounted(),
      sources: sources().map(({ name, path, up, reason }) => ({ name, path, up, reason })),
      troubles: troubles(),
    };
  }

  /** Body of `/api/v1/victims`: who dies next if the host runs out, or in one cgroup. */
  victims({ cgroup, top }: { cgroup: string | undefined; top: number }): object | undefined {
    if (cgroup !== undefined && !this.#cgroups().some(({ path }) => path === cgroup))
      return undefined;
    const ranked = this.#ranked(cgroup).slice(0, top);
    return {
      scope: cgroup ?? "host",
      victims: ranked.map((process, index) => ({
        rank: index + 1,
        pid: process.pid,
        comm: process.comm,
        owner: this.#options.owners.ownerOf(process.cgroup ?? ""),
        cgroup: process.cgroup ?? null,
        score: process.score,
        scoreAdj: process.scoreAdj,
        residentBytes: process.memory.residentBytes,
        swapBytes: process.memory.swapBytes,
        pageTablesBytes: process.memory.pageTablesBytes,
        freesBytes: sizeBytes(process.memory),
        diesWith: this.#diesWith(process, cgroup ?? "/"),
      })),
      unkillable: this.#unkillable() ?? null,
    };
  }

  /** Body of `/api/v1/status`. */
  status(): object {
    const { own, nowMs, sources, unaccounted, troubles } = this.#options;
    return {
      version: own.version,
      revision: own.revision,
      uptimeSeconds: (nowMs() - own.startedMs) / 1000,
      sources: sources().map(({ name, path, up, reason }) => ({
        name,
        path,
        up,
        reason: reason ?? null,
      })),
      killsUnaccounted: unaccounted() ?? null,
      troubles: troubles(),
    };
  }

  #memoryView(): HostMemoryView | undefined {
    const reading = this.#memory();
    if (reading === undefined) return undefined;
    const { meminfo } = reading;
    return {
      totalBytes: meminfo.memTotalBytes,
      availableBytes: meminfo.memAvailableBytes ?? meminfo.memFreeBytes,
      freeBytes: meminfo.memFreeBytes,
      used: Object.entries(memoryUse(meminfo)).map(([kind, bytes]) => ({ kind, bytes })),
      swapTotalBytes: meminfo.swapTotalBytes ?? 0,
      swapFreeBytes: meminfo.swapFreeBytes ?? 0,
    };
  }

  #cgroupViews(): CgroupView[] {
    return this.#cgroups()
      .filter(({ effectiveMaxBytes }) => effectiveMaxBytes !== Number.POSITIVE_INFINITY)
      .map((reading) => ({
        cgroup: reading.path,
        owner: this.#options.owners.ownerOf(reading.path),
        usedBytes: workingSetBytes(reading) ?? reading.currentBytes,
        limitBytes: reading.effectiveMaxBytes,
        limitCgroup: reading.limitingCgroup === reading.path ? undefined : reading.limitingCgroup,
      }))
      .sort((a, b) => b.usedBytes / b.limitBytes - a.usedBytes / a.limitBytes);
  }

  #ranked(cgroup?: string): ProcessReading[] {
    const { table, tree, pageBytes } = this.#options;
    const processes = this.#processes()?.processes ?? [];
    const meminfo = this.#memory()?.meminfo;
    const swapTotalBytes = meminfo?.swapTotalBytes ?? 0;
    const hostBytes = (meminfo?.memTotalBytes ?? 0) + swapTotalBytes;
    const scope = { totalBytes: hostBytes, pageBytes, hostInit: table.seesHostInit() };
    const limited = this.#cgroups().find(({ path }) => path === cgroup);
    if (limited === undefined) return rankVictims(processes, scope);
    const pids = new Set(tree?.pidsUnder(limited.path));
    const maxBytes = Math.min(limited.effectiveMaxBytes, hostBytes - swapTotalBytes);
    return rankVictims(
      processes.filter(({ pid }) => pids.has(pid)),
      cgroupScope(scope, { maxBytes, swapMaxBytes: limited.swapMaxBytes }, swapTotalBytes),
    );
  }

  /**
   * Pids that die with a victim: everybody in the highest cgroup between it and the scope that has
   * memory.oom.group set, the unkillable spared (`mem_cgroup_get_oom_group()`).
   */
  #diesWith({ pid, cgroup }: ProcessReading, scope: string): number[] {
    const { files, tree } = this.#options;
    if (cgroup === undefined || tree?.hierarchy.version !== "v2") return [];
    let group: string | undefined;
    for (let path = cgroup; path !== "/" && path.startsWith(scope); path = dirname(path)) {
      const file = join(tree.hierarchy.directory, path, "memory.oom.group");
      if (files.textIfReadable(file)?.trim() === "1") group = path;
    }
    if (group === undefined) return [];
    const members = new Set(tree.pidsUnder(group));
    return (this.#processes()?.processes ?? [])
      .filter((task) => members.has(task.pid) && task.scoreAdj !== unkillableScoreAdj)
      .flatMap((task) => (task.pid === pid ? [] : [task.pid]));
  }

  #victimView(process: ProcessReading): VictimView {
    return {
      pid: process.pid,
      comm: process.comm,
      cgroup: process.cgroup ?? null,
      owner: this.#options.owners.ownerOf(process.cgroup ?? ""),
      score: process.score,
      scoreAdj: process.scoreAdj,
      residentBytes: process.memory.residentBytes,
      swapBytes: process.memory.swapBytes,
    };
  }

  #unkillable(): { count: number; residentBytes: number } | undefined {
    const reading = this.#processes();
    if (reading === undefined) return undefined;
    const tasks = reading.processes.filter(({ scoreAdj }) => scoreAdj === unkillableScoreAdj);
    const residentBytes = tasks.reduce((sum, { memory }) => sum + memory.residentBytes, 0);
    return { count: tasks.length, residentBytes };
  }
}
