import { isUnkillable } from "../kernel/badness.ts";
import { isWithin } from "../kernel/cgroup-path.ts";
import type { Owner } from "../kills/owner.ts";
import type { CgroupReading } from "../sources/cgroup-reading.ts";
import type { OwnerNames } from "../sources/owner-names.ts";
import type { ProcessReading } from "../sources/process-table.ts";
import type { ProgramNames } from "../sources/program-names.ts";
import type { HostTotals } from "../sources/snapshot.ts";
import { KilledTogether } from "./killed-together.ts";
import { VictimRanking, type VictimRankingOptions } from "./victim-ranking.ts";

export interface ScopeVictimsOptions extends VictimRankingOptions {
  owners: OwnerNames;
  /** Absent where nobody wants to know what processes run. */
  programs?: Pick<ProgramNames, "programOf">;
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
  /** What an interpreter runs, or the whole name where comm is cut; `null` where it is not known. */
  program: string | null;
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
export class ScopeVictims {
  readonly #options: ScopeVictimsOptions;
  readonly #ranking: VictimRanking;

  constructor(options: ScopeVictimsOptions) {
    this.#options = options;
    this.#ranking = new VictimRanking(options);
  }

  /**
   * Who would die if the host ran out of memory or, given a cgroup, if that hit the limit on it.
   * @param processes all of the host, as just read
   */
  rank(processes: readonly ProcessReading[], totals: HostTotals, cgroup?: CgroupReading): Ranking {
    return {
      scope: cgroup?.path ?? "host",
      candidates: this.#ranking.rank(processes, totals, cgroup),
      unkillable: processes.filter(
        (process) =>
          isUnkillable(process.scoreAdj) &&
          (cgroup === undefined || isWithin(process.cgroup, cgroup.path)),
      ),
    };
  }

  /** The first `top` of a ranking, among the processes that it was made from. */
  answer(
    { scope, candidates, unkillable }: Ranking,
    processes: readonly ProcessReading[],
    top: number,
  ): VictimsAnswer {
    const together = new KilledTogether(this.#options, processes, scope);
    return {
      scope,
      victims: candidates.slice(0, top).map((process, index) => {
        const { others, freesBytes } = together.with(process);
        return {
          rank: index + 1,
          pid: process.pid,
          comm: process.comm,
          program: this.#options.programs?.programOf(process) || null,
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
