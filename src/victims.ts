import { dirname, join } from "node:path";
import { isWithin } from "./collectors/processes.ts";
import { unkillableScoreAdj } from "./kernel/badness.ts";
import type { Owner } from "./model/kill.ts";
import { cgroupScope, rankVictims, type VictimScope } from "./model/next-victim.ts";
import type { CgroupReading, CgroupTree } from "./sources/cgroup-tree.ts";
import type { HostFiles } from "./sources/host-files.ts";
import type { OwnerNames } from "./sources/owner-names.ts";
import { type ProcessReading, type ProcessTable, sizeBytes } from "./sources/process-table.ts";

export interface VictimsOptions {
  files: HostFiles;
  table: ProcessTable;
  /** Absent where the machine has no memory controller. */
  tree?: CgroupTree;
  owners: OwnerNames;
  pageBytes: number;
}

/** What is ranked: all processes as just read, and what they are measured against. */
export interface HostMoment {
  processes: readonly ProcessReading[];
  memTotalBytes: number;
  swapTotalBytes: number;
}

/** Who would die in one scope, in the kernel's order. */
export interface Ranking {
  /** `host`, or the path of the cgroup. */
  scope: string;
  candidates: ProcessReading[];
  /** Those with oom_score_adj -1000 in the scope. */
  unkillable: ProcessReading[];
}

/** One candidate of `/api/v1/victims` and `victims --json`; sizes in bytes. */
export interface Victim {
  rank: number;
  pid: number;
  comm: string;
  owner: Owner;
  cgroup: string | null;
  score: number;
  scoreAdj: number;
  residentBytes: number;
  swapBytes: number;
  pageTablesBytes: number;
  /** What it and those that die with it hold. Memory that they share is counted for each. */
  freesBytes: number;
  /** Pids that memory.oom.group takes along. */
  diesWith: number[];
}

/** Body of `/api/v1/victims`, and what `victims --json` prints. */
export interface VictimsAnswer {
  scope: string;
  victims: Victim[];
  unkillable: { count: number; residentBytes: number };
}

/** Details of so many at the head are read anew: they may have grown since the pass that ranked them. */
const refreshedAtMost = 32;

/** Ranks who dies next, for the API, the status page and the command alike. */
export class Victims {
  readonly #options: VictimsOptions;

  constructor(options: VictimsOptions) {
    this.#options = options;
  }

  /**
   * Who would die if the host ran out of memory or, given a cgroup, if that hit the limit on it.
   * @throws {FileUnavailable} where procfs cannot be read
   */
  rank(moment: HostMoment, cgroup?: CgroupReading): Ranking {
    const { table } = this.#options;
    const scope = this.#scope(moment, cgroup);
    const processes =
      cgroup === undefined
        ? moment.processes
        : moment.processes.filter((process) => isWithin(process.cgroup, cgroup.path));
    const ranked = rankVictims(processes, scope);
    const head = table.refresh(ranked.slice(0, refreshedAtMost));
    return {
      scope: cgroup?.path ?? "host",
      candidates: rankVictims([...head, ...ranked.slice(refreshedAtMost)], scope),
      unkillable: processes.filter(({ scoreAdj }) => scoreAdj === unkillableScoreAdj),
    };
  }

  /** The first `top` of a ranking. `processes`: all of the moment it was made from. */
  answer(
    { scope, candidates, unkillable }: Ranking,
    { processes }: HostMoment,
    top: number,
  ): VictimsAnswer {
    const groups = new Map<string, string | undefined>();
    return {
      scope,
      victims: candidates.slice(0, top).map((process, index) => {
        const others = this.#diesWith(process, processes, scope, groups);
        return {
          rank: index + 1,
          pid: process.pid,
          comm: process.comm,
          owner: this.#options.owners.ownerOf(process.cgroup ?? ""),
          cgroup: process.cgroup ?? null,
          score: process.score,
          scoreAdj: process.scoreAdj,
          ...process.memory,
          freesBytes: [process, ...others].reduce((sum, { memory }) => sum + sizeBytes(memory), 0),
          diesWith: others.map(({ pid }) => pid),
        };
      }),
      unkillable: {
        count: unkillable.length,
        residentBytes: unkillable.reduce((sum, { memory }) => sum + memory.residentBytes, 0),
      },
    };
  }

  #scope({ memTotalBytes, swapTotalBytes }: HostMoment, cgroup?: CgroupReading): VictimScope {
    const { table, pageBytes } = this.#options;
    const totalBytes = memTotalBytes + swapTotalBytes;
    const host = { totalBytes, pageBytes, hostInit: table.seesHostInit() };
    // Without a limit a cgroup runs out only together with the host.
    if (cgroup === undefined || cgroup.effectiveMaxBytes === Number.POSITIVE_INFINITY) return host;
    const { effectiveMaxBytes: maxBytes, swapMaxBytes } = cgroup;
    return cgroupScope(host, { maxBytes, swapMaxBytes }, swapTotalBytes);
  }

  #diesWith(
    { pid, cgroup }: ProcessReading,
    processes: readonly ProcessReading[],
    scope: string,
    groups: Map<string, string | undefined>,
  ): ProcessReading[] {
    if (cgroup === undefined) return [];
    if (!groups.has(cgroup)) groups.set(cgroup, this.#oomGroup(cgroup, scope));
    const group = groups.get(cgroup);
    if (group === undefined) return [];
    return processes.filter(
      (other) =>
        other.pid !== pid && other.scoreAdj !== unkillableScoreAdj && isWithin(other.cgroup, group),
    );
  }

  /**
   * The cgroup that a kill in `cgroup` takes whole: the highest one up to the scope that has
   * memory.oom.group set (`mem_cgroup_get_oom_group()`).
   */
  #oomGroup(cgroup: string, scope: string): string | undefined {
    const { files, tree } = this.#options;
    if (tree?.hierarchy.version !== "v2") return undefined;
    let group: string | undefined;
    for (let path = cgroup; ; path = dirname(path)) {
      const file = join(tree.hierarchy.directory, path, "memory.oom.group");
      if (files.textIfReadable(file)?.trim() === "1") group = path;
      if (path === scope || path === "/") return group;
    }
  }
}
