import { statSync } from "node:fs";
import { join } from "node:path";
import { type BadnessRules, badnessRules } from "../kernel/badness.ts";
import { isWithin } from "../kernel/cgroup-path.ts";
import type { CgroupReading } from "../sources/cgroup-reading.ts";
import type { CgroupTree } from "../sources/cgroup-tree.ts";
import type { HostFiles } from "../sources/host-files.ts";
import type { ProcessReading, ProcessTable } from "../sources/process-table.ts";
import type { HostTotals } from "../sources/snapshot.ts";
import { cgroupScope, isExempt, rankVictims, type VictimScope } from "./next-victim.ts";

export interface VictimRankingOptions {
  files: HostFiles;
  table: ProcessTable;
  /** Absent if the machine has no memory controller. */
  tree?: CgroupTree;
  pageBytes: number;
}

/** Number of first candidates that are read again, in detail: they may have changed since the pass. */
const refreshedAtMost = 32;

/** Ranks processes by the rules of the running kernel. */
export class VictimRanking {
  readonly #options: VictimRankingOptions;
  #kernel: { rules: BadnessRules; hostInit: boolean } | undefined;

  constructor(options: VictimRankingOptions) {
    this.#options = options;
  }

  /**
   * The candidates, next victim first, without exempt processes, if the host ran out of memory or, for a cgroup, if that
   * reached its effective limit.
   * @param processes all processes of the host, just read
   */
  rank(
    processes: readonly ProcessReading[],
    totals: HostTotals,
    cgroup?: CgroupReading,
  ): ProcessReading[] {
    const { table } = this.#options;
    const scope = this.#scope(totals, cgroup);
    const ranked = rankVictims(inside(processes, cgroup), scope);
    const head = table.refresh(ranked.slice(0, refreshedAtMost));
    return rankVictims([...head, ...ranked.slice(refreshedAtMost)], scope);
  }

  /**
   * The first of the host's ranking, at lower cost. The kernel's scores have a resolution of a thousandth of the host's
   * memory; only processes with equal scores are compared by the values behind the score.
   * @param processes all processes of the host, highest score first, just read
   */
  firstOfHost(
    processes: readonly ProcessReading[],
    totals: HostTotals,
  ): ProcessReading | undefined {
    const scope = this.#scope(totals);
    const highest = processes.find((process) => !isExempt(process, scope.hostInit))?.score;
    // A child that dies for its parent may have any score.
    const equals = scope.rules.childrenFirst
      ? processes
      : processes.filter(({ score }) => score === highest);
    const head = rankVictims(equals, scope).slice(0, refreshedAtMost);
    return rankVictims(this.#options.table.lookClosely(head), scope)[0];
  }

  #scope(totals: HostTotals, cgroup?: CgroupReading): VictimScope {
    const { files, table, pageBytes } = this.#options;
    this.#kernel ??= {
      rules: badnessRules(files.textIfReadable(files.procfs("sys/kernel/osrelease"))),
      hostInit: table.seesHostInit(),
    };
    const { totalBytes, swapTotalBytes } = totals;
    const host = { totalBytes, pageBytes, ...this.#kernel };
    // Without a limit a cgroup runs out only together with the host.
    if (cgroup === undefined || cgroup.effectiveMaxBytes === Number.POSITIVE_INFINITY) return host;
    const { effectiveMaxBytes: maxBytes, swapMaxBytes } = cgroup;
    const swappiness = swapTotalBytes === 0 ? undefined : this.#swappiness(cgroup.path);
    const scope = cgroupScope(host, { maxBytes, swapMaxBytes, swappiness }, swapTotalBytes);
    return { ...scope, cgroupOrder: this.#cgroupOrder() };
  }

  /**
   * The kernel visits a parent before its descendants, and siblings in order of creation (`css_next_descendant_pre()`):
   * inode numbers of cgroupfs increase, since 4.14.
   */
  #cgroupOrder(): VictimScope["cgroupOrder"] {
    const root = this.#options.tree?.hierarchy.directory;
    if (root === undefined) return undefined;
    const numbers = new Map<string, bigint>();
    const numberOf = (path: string): bigint => {
      const known = numbers.get(path);
      if (known !== undefined) return known;
      const found = inodeOf(join(root, path));
      numbers.set(path, found);
      return found;
    };
    return (a, b) => {
      const [inA, inB] = [a.split("/"), b.split("/")];
      const fork = inA.findIndex((name, depth) => name !== inB[depth]);
      if (fork < 0 || fork >= inB.length) return inA.length - inB.length;
      const [madeA, madeB] = [inA, inB].map((names) =>
        numberOf(names.slice(0, fork + 1).join("/")),
      );
      return madeA === madeB ? 0 : (madeA as bigint) < (madeB as bigint) ? -1 : 1;
    };
  }

  /** v1 has one per cgroup, v2 the host's for all. */
  #swappiness(path: string): number | undefined {
    const { files, tree } = this.#options;
    const file =
      tree?.hierarchy.version === "v1"
        ? join(tree.hierarchy.directory, path, "memory.swappiness")
        : files.procfs("sys/vm/swappiness");
    const value = Number.parseInt(files.textIfReadable(file) ?? "", 10);
    return Number.isNaN(value) ? undefined : value;
  }
}

function inside(
  processes: readonly ProcessReading[],
  cgroup: CgroupReading | undefined,
): readonly ProcessReading[] {
  if (cgroup === undefined) return processes;
  return processes.filter((process) => isWithin(process.cgroup, cgroup.path));
}

/** 0 if the cgroup is gone, or its path is too long for a system call. */
function inodeOf(path: string): bigint {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino ?? 0n;
  } catch {
    return 0n;
  }
}
