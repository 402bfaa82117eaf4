import { protectionOf } from "../kernel/badness.ts";
import { type OwnerLabels, ownerLabels } from "../kills/owner.ts";
import { catalog } from "../metrics/catalog.ts";
import type { CgroupReading } from "../sources/cgroup-tree.ts";
import type { OwnerNames } from "../sources/owner-names.ts";
import type { ProcessPass, ProcessReading, ProcessTable } from "../sources/process-table.ts";
import type { HostTotals, VictimRanking } from "../victims/victim-ranking.ts";
import { unreclaimableBytes } from "./cgroups.ts";
import type { Collector, CollectorPass, SampleSink } from "./collector.ts";

export interface ProcessesCollectorOptions {
  table: ProcessTable;
  owners: OwnerNames;
  /** How many of the highest ranked get series; 0 for all. */
  top: number;
  ranking: VictimRanking;
  hostMemory: () => HostTotals;
  /** The cgroups as last read. */
  cgroups: () => readonly CgroupReading[];
}

/** A process that would die next in one scope. */
interface NextVictim {
  /** `host`, or the path of the cgroup whose limit would be hit. */
  scope: string;
  process: ProcessReading;
}

/** A cgroup at this share of its limit is near enough to ask who would die in it. */
const nearLimitRatio = 0.8;
const cgroupScopesAtMost = 20;

/** The kernel's ranking of processes, and who would die next. */
export class ProcessesCollector implements Collector {
  readonly name = "processes";
  readonly #options: ProcessesCollectorOptions;

  constructor(options: ProcessesCollectorOptions) {
    this.#options = options;
  }

  /** @throws {FileUnavailable} where procfs cannot be listed */
  read(): ProcessPass {
    return this.#options.table.read(this.#top);
  }

  collect({ sink }: CollectorPass): void {
    const { processes, denied } = this.read();
    for (const process of processes.slice(0, this.#top)) this.#add(sink, process);
    for (const { scope, process } of this.#nextVictims(processes)) {
      const labels = { scope, pid: `${process.pid}`, comm: process.comm, ...this.#owner(process) };
      sink.add("oom_next_victim_info", 1, labels);
    }
    const counts = { unkillable: 0, protected: 0, default: 0, sacrificial: 0 };
    let unkillableBytes = 0;
    for (const { scoreAdj, memory } of processes) {
      const protection = protectionOf(scoreAdj);
      counts[protection]++;
      if (protection === "unkillable") unkillableBytes += memory.residentBytes;
    }
    for (const protection of catalog.oom_processes.values.protection) {
      sink.add("oom_processes", counts[protection], { protection });
    }
    sink.add("oom_unkillable_resident_bytes", unkillableBytes, {});
    sink.add("oom_processes_unreadable", denied, {});
  }

  get #top(): number {
    return this.#options.top === 0 ? Number.POSITIVE_INFINITY : this.#options.top;
  }

  #add(sink: SampleSink, process: ProcessReading): void {
    const labels = { pid: `${process.pid}`, comm: process.comm, ...this.#owner(process) };
    sink.add("oom_process_score", process.score, labels);
    sink.add("oom_process_score_adj", process.scoreAdj, labels);
    sink.add("oom_process_resident_bytes", process.memory.residentBytes, labels);
    sink.add("oom_process_swap_bytes", process.memory.swapBytes, labels);
  }

  #owner({ cgroup }: ProcessReading): OwnerLabels {
    return ownerLabels(cgroup, this.#options.owners.ownerOf(cgroup ?? ""));
  }

  #nextVictims(processes: readonly ProcessReading[]): NextVictim[] {
    const { ranking, hostMemory, cgroups } = this.#options;
    const totals = hostMemory();
    const victims: NextVictim[] = [];
    const first = ranking.firstOfHost(processes, totals);
    if (first !== undefined) victims.push({ scope: "host", process: first });
    for (const cgroup of nearestTheirLimits(cgroups())) {
      const [process] = ranking.rank(processes, totals, cgroup);
      if (process !== undefined) victims.push({ scope: cgroup.path, process });
    }
    return victims;
  }
}

/**
 * The cgroups whose own limit is near. Those come first that can give back the least: many are full of
 * page cache and far from a kill.
 */
function nearestTheirLimits(cgroups: readonly CgroupReading[]): CgroupReading[] {
  const held = (cgroup: CgroupReading) =>
    (unreclaimableBytes(cgroup) ?? cgroup.currentBytes) / cgroup.effectiveMaxBytes;
  return cgroups
    .filter(
      ({ path, limitingCgroup, currentBytes, effectiveMaxBytes }) =>
        limitingCgroup === path && currentBytes >= effectiveMaxBytes * nearLimitRatio,
    )
    .sort((a, b) => held(b) - held(a))
    .slice(0, cgroupScopesAtMost);
}
