import { dirname, join } from "node:path";
import { VictimRanking } from "./collectors/victim-ranking.ts";
import { unkillableScoreAdj } from "./kernel/badness.ts";
import type { Owner } from "./model/kill.ts";
import { isWithin } from "./model/next-victim.ts";
import { isOneAddressSpace } from "./sources/address-space.ts";
import type { CgroupReading, CgroupTree } from "./sources/cgroup-tree.ts";
import type { HostFiles } from "./sources/host-files.ts";
import type { OwnerNames } from "./sources/owner-names.ts";
import {
  type ProcessReading,
  type ProcessTable,
  sizeBytes,
  taskPath,
} from "./sources/process-table.ts";

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
  /**
   * What it and those that die with it hold, an address space once. Other memory that they share is
   * counted for each.
   */
  freesBytes: number;
  /** Pids that memory.oom.group takes along, and those in one address space with it. */
  diesWith: number[];
}

/** Body of `/api/v1/victims`, and what `victims --json` prints. */
export interface VictimsAnswer {
  scope: string;
  victims: Victim[];
  unkillable: { count: number; residentBytes: number };
}

/** Ranks who dies next, for the API, the status page and the command alike. */
export class Victims {
  readonly #options: VictimsOptions;
  readonly #ranking: VictimRanking;

  constructor(options: VictimsOptions) {
    this.#options = options;
    this.#ranking = new VictimRanking(options);
  }

  /**
   * Who would die if the host ran out of memory or, given a cgroup, if that hit the limit on it.
   * @throws {FileUnavailable} where procfs cannot be read
   */
  rank(moment: HostMoment, cgroup?: CgroupReading): Ranking {
    const { processes, memTotalBytes, swapTotalBytes } = moment;
    const totals = { totalBytes: memTotalBytes + swapTotalBytes, swapTotalBytes };
    return {
      scope: cgroup?.path ?? "host",
      candidates: this.#ranking.rank(processes, totals, cgroup),
      unkillable: processes.filter(
        (process) =>
          process.scoreAdj === unkillableScoreAdj &&
          (cgroup === undefined || isWithin(process.cgroup, cgroup.path)),
      ),
    };
  }

  /** The first `top` of a ranking. `processes`: all of the moment it was made from. */
  answer(
    { scope, candidates, unkillable }: Ranking,
    { processes }: HostMoment,
    top: number,
  ): VictimsAnswer {
    const kills = new KillReach(this.#options, processes, scope);
    return {
      scope,
      victims: candidates.slice(0, top).map((process, index) => {
        const { others, freesBytes } = kills.reachOf(process);
        return {
          rank: index + 1,
          pid: process.pid,
          comm: process.comm,
          owner: this.#options.owners.ownerOf(process.cgroup ?? ""),
          cgroup: process.cgroup ?? null,
          score: process.score,
          scoreAdj: process.scoreAdj,
          ...process.memory,
          freesBytes,
          diesWith: others.map(({ pid }) => pid),
        };
      }),
      unkillable: {
        count: unkillable.length,
        residentBytes: unkillable.reduce((sum, { memory }) => sum + memory.residentBytes, 0),
      },
    };
  }
}

/** Two readings of one address space, a second apart, may differ by this share of its size. */
const alikeWithin = 1 / 16;
/** Of those that look alike so many are looked at closely. */
const alikeAtMost = 32;

/** Who dies with whom, in one scope at one moment. */
class KillReach {
  readonly #options: VictimsOptions;
  readonly #processes: readonly ProcessReading[];
  readonly #scope: string;
  /** By the victim's cgroup. */
  readonly #groups = new Map<string, string | undefined>();
  readonly #groupBytes = new Map<string, number>();
  readonly #closely = new Map<number, ProcessReading | undefined>();

  constructor(options: VictimsOptions, processes: readonly ProcessReading[], scope: string) {
    this.#options = options;
    this.#processes = processes;
    this.#scope = scope;
  }

  /** Those that a kill of `process` takes along, and what all of them hold. */
  reachOf(process: ProcessReading): { others: ProcessReading[]; freesBytes: number } {
    const group = this.#groupOf(process.cgroup);
    const members = group === undefined ? [] : this.#membersOf(group);
    const others = new Map<number, ProcessReading>();
    for (const other of [...this.#sharing(process, this.#processes), ...members]) {
      if (other.pid !== process.pid) others.set(other.pid, other);
    }
    return {
      others: [...others.values()],
      freesBytes: group === undefined ? sizeBytes(process.memory) : this.#bytesOf(group, members),
    };
  }

  #membersOf(group: string): ProcessReading[] {
    return this.#processes.filter(
      ({ scoreAdj, cgroup }) => scoreAdj !== unkillableScoreAdj && isWithin(cgroup, group),
    );
  }

  /** What a group holds, an address space once. */
  #bytesOf(group: string, members: readonly ProcessReading[]): number {
    let bytes = this.#groupBytes.get(group);
    if (bytes === undefined) {
      const counted = members.filter(
        (member, index) => this.#sharing(member, members.slice(0, index)).length === 0,
      );
      bytes = counted.reduce((sum, { memory }) => sum + sizeBytes(memory), 0);
      this.#groupBytes.set(group, bytes);
    }
    return bytes;
  }

  /** Those among `others` that run in the address space of `process`. */
  #sharing(process: ProcessReading, others: readonly ProcessReading[]): ProcessReading[] {
    const size = sizeBytes(process.memory);
    const alike = others.filter(
      ({ pid, scoreAdj, memory }) =>
        pid !== process.pid &&
        scoreAdj === process.scoreAdj &&
        Math.abs(sizeBytes(memory) - size) <= size * alikeWithin,
    );
    if (alike.length === 0) return [];
    const { files, pageBytes } = this.#options;
    const layout = this.#lookedAt(process)?.stat?.layout;
    return alike
      .slice(0, alikeAtMost)
      .filter(
        (other) =>
          layout !== undefined &&
          this.#lookedAt(other)?.stat?.layout === layout &&
          isOneAddressSpace(files, taskPath(process), taskPath(other), pageBytes),
      );
  }

  #lookedAt(process: ProcessReading): ProcessReading | undefined {
    if (process.stat !== undefined) return process;
    const { pid } = process;
    if (!this.#closely.has(pid)) {
      this.#closely.set(pid, this.#options.table.lookClosely([process])[0]);
    }
    return this.#closely.get(pid);
  }

  /** The cgroup that a kill in `cgroup` takes whole. */
  #groupOf(cgroup: string | undefined): string | undefined {
    if (cgroup === undefined) return undefined;
    if (!this.#groups.has(cgroup)) this.#groups.set(cgroup, this.#oomGroup(cgroup));
    return this.#groups.get(cgroup);
  }

  /** The highest one up to the scope that has memory.oom.group set (`mem_cgroup_get_oom_group()`). */
  #oomGroup(cgroup: string): string | undefined {
    const { files, tree } = this.#options;
    if (tree?.hierarchy.version !== "v2") return undefined;
    let group: string | undefined;
    for (let path = cgroup; ; path = dirname(path)) {
      const file = join(tree.hierarchy.directory, path, "memory.oom.group");
      if (files.textIfReadable(file)?.trim() === "1") group = path;
      if (path === this.#scope || path === "/") return group;
    }
  }
}
