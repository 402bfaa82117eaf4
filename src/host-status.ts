import { type CgroupsCollector, workingSetBytes } from "./collectors/cgroups.ts";
import { NoData } from "./collectors/collector.ts";
import type { HostCollector, HostReading } from "./collectors/host.ts";
import type { LogSourceState } from "./collectors/log.ts";
import type { ProcessesCollector, ProcessesReading } from "./collectors/processes.ts";
import type { CgroupView, HostMemoryView, StatusView, VictimView } from "./http/status-page.ts";
import { memoryUse } from "./kernel/meminfo.ts";
import type { Kill } from "./model/kill.ts";
import type { OwnProcess } from "./own-process.ts";
import type { CgroupReading, CgroupTree } from "./sources/cgroup-tree.ts";
import { FileUnavailable, type HostFiles } from "./sources/host-files.ts";
import type { OwnerNames } from "./sources/owner-names.ts";
import type { ProcessReading, ProcessTable } from "./sources/process-table.ts";
import { type HostMoment, Victims } from "./victims.ts";

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
  readonly #victims: Victims;
  readonly #memory: () => HostReading | undefined;
  readonly #cgroups: () => readonly CgroupReading[];
  readonly #processes: () => ProcessesReading | undefined;

  constructor(options: HostStatusOptions) {
    this.#options = options;
    this.#victims = new Victims(options);
    const { host, cgroups, processes, nowMs } = options;
    this.#memory = shared(nowMs, () => host?.read(), undefined);
    this.#cgroups = shared(nowMs, () => cgroups?.read().readings ?? [], []);
    this.#processes = shared(nowMs, () => processes?.read(), undefined);
  }

  view(): StatusView {
    const { nowMs, kills, unaccounted, sources, troubles } = this.#options;
    const moment = this.#moment();
    const ranking = this.#victims.rank(moment);
    return {
      atMs: nowMs(),
      memory: this.#memoryView(),
      cgroups: this.#cgroupViews(),
      victims: ranking.candidates.map((process) => this.#victimView(process)),
      unkillable: this.#processes() && this.#victims.answer(ranking, moment, 0).unkillable,
      kills: kills(),
      unaccountedKills: unaccounted(),
      sources: sources().map(({ name, path, up, reason }) => ({ name, path, up, reason })),
      troubles: troubles(),
    };
  }

  /** Body of `/api/v1/victims`; `undefined` where there is no such cgroup. */
  victims({ cgroup, top }: { cgroup: string | undefined; top: number }): object | undefined {
    const moment = this.#moment();
    const reading = this.#cgroups().find(({ path }) => path === cgroup);
    // The true root has no reading of its own: it is the host.
    if (reading === undefined && cgroup !== undefined && cgroup !== "/") return undefined;
    const answer = this.#victims.answer(this.#victims.rank(moment, reading), moment, top);
    return this.#processes() === undefined ? { ...answer, unkillable: null } : answer;
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

  #moment(): HostMoment {
    const meminfo = this.#memory()?.meminfo;
    return {
      processes: this.#processes()?.processes ?? [],
      memTotalBytes: meminfo?.memTotalBytes ?? 0,
      swapTotalBytes: meminfo?.swapTotalBytes ?? 0,
    };
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
}
