import { isUnkillable } from "../kernel/badness.ts";
import { isWithin } from "../kernel/cgroup-path.ts";
import type { Owner } from "../kills/owner.ts";
import type { CgroupReading } from "../sources/cgroup-reading.ts";
import type { OwnerNames } from "../sources/owner-names.ts";
import type { ProcessReading } from "../sources/process-table.ts";
import type { ProgramNames } from "../sources/program-names.ts";
import type { HostTotals } from "../sources/snapshot.ts";
import { type Bypass, bypasses } from "./bypass.ts";
import { KilledTogether, type KilledTogetherOptions } from "./killed-together.ts";
import { VictimRanking } from "./victim-ranking.ts";

export interface ScopeVictimsOptions extends KilledTogetherOptions {
  owners: OwnerNames;
  /** Absent if program names are not needed. */
  programs?: Pick<ProgramNames, "programOf">;
}

/** The candidates in one scope, in the kernel's order. */
export interface Ranking {
  /** `host`, or the path of the cgroup. */
  scope: string;
  candidates: ProcessReading[];
  /** Processes in the scope with oom_score_adj -1000. */
  unkillable: ProcessReading[];
  /** By this setting the kernel would not kill the first of them. */
  bypass: Bypass | undefined;
}

/** One candidate of `/api/v1/victims` and `victims --json`; sizes in bytes. */
export interface Victim {
  rank: number;
  pid: number;
  comm: string;
  /** What an interpreter runs, or the full name if comm is truncated; `null` if unknown. */
  program: string | null;
  owner: Owner;
  cgroup: string | null;
  score: number;
  scoreAdj: number;
  residentBytes: number;
  swapBytes: number;
  pageTablesBytes: number;
  /**
   * Memory of it and of those that die with it, counting an address space once. Other shared memory counts for each
   * process.
   */
  freesBytes: number;
  /** Pids that die with it by memory.oom.group, or because they share its address space. */
  diesWith: number[];
}

/** Body of `/api/v1/victims`, and the output of `victims --json`. */
export interface VictimsAnswer {
  scope: string;
  victims: Victim[];
  unkillable: { count: number; residentBytes: number };
  /** As in `Ranking`; `null` where there is none. */
  bypass: Bypass | null;
}

/** Ranks the next victims, for the API, the status page and the command. */
export class ScopeVictims {
  readonly #options: ScopeVictimsOptions;
  readonly #ranking: VictimRanking;

  constructor(options: ScopeVictimsOptions) {
    this.#options = options;
    this.#ranking = new VictimRanking(options);
  }

  /**
   * The candidates if the host ran out of memory or, for a cgroup, if that reached its effective limit.
   * @param processes all processes of the host, just read
   */
  rank(processes: readonly ProcessReading[], totals: HostTotals, cgroup?: CgroupReading): Ranking {
    const { files, tree } = this.#options;
    return {
      scope: cgroup?.path ?? "host",
      candidates: this.#ranking.rank(processes, totals, cgroup),
      unkillable: processes.filter(
        (process) =>
          isUnkillable(process.scoreAdj) &&
          (cgroup === undefined || isWithin(process.cgroup, cgroup.path)),
      ),
      bypass: bypasses(files, tree)(cgroup),
    };
  }

  /** The first `top` of a ranking, and the processes it was made from. */
  answer(
    { scope, candidates, unkillable, bypass }: Ranking,
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
      bypass: bypass ?? null,
    };
  }
}
