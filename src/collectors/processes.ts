import { protectionOf, unkillableScoreAdj } from "../kernel/badness.ts";
import { catalog } from "../metrics/catalog.ts";
import { rankVictims, type VictimScope } from "../model/next-victim.ts";
import { type OwnerLabels, ownerLabels } from "../model/owner.ts";
import type { CgroupReading, CgroupTree } from "../sources/cgroup-tree.ts";
import type { OwnerNames } from "../sources/owner-names.ts";
import type { ProcessPass, ProcessReading, ProcessTable } from "../sources/process-table.ts";
import type { Collector, CollectorPass, SampleSink } from "./collector.ts";

export interface ProcessesCollectorOptions {
  table: ProcessTable;
  /** Absent where the machine has no memory controller. */
  tree?: CgroupTree;
  owners: OwnerNames;
  /** How many of the highest ranked get series; 0 for all. */
  top: number;
  pageBytes: number;
  /** MemTotal plus SwapTotal in bytes, and SwapTotal alone. */
  hostMemory: () => { totalBytes: number; swapTotalBytes: number };
  /** The cgroups as last read. */
  cgroups: () => readonly CgroupReading[];
}

/** A process that would die next in one scope. */
export interface NextVictim {
  /** `host`, or the path of the cgroup whose limit would be hit. */
  scope: string;
  process: ProcessReading;
}

export interface ProcessesReading extends ProcessPass {
  nextVictims: NextVictim[];
}

/** A cgroup at this share of its limit is near enough to ask who would die in it. */
const nearLimitRatio = 0.8;
/** Asking means reading every process of the cgroup: the fullest ones only. */
const cgroupScopesAtMost = 20;

/** The kernel's ranking of processes, and who would die next. */
export class ProcessesCollector implements Collector {
  readonly name = "processes";
  private readonly options: ProcessesCollectorOptions;

  constructor(options: ProcessesCollectorOptions) {
    this.options = options;
  }

  /** @throws {FileUnavailable} where procfs cannot be listed */
  read(): ProcessesReading {
    const pass = this.options.table.read(this.top);
    return { ...pass, nextVictims: this.nextVictims(pass.processes) };
  }

  collect({ sink }: CollectorPass): void {
    const { processes, denied, nextVictims } = this.read();
    for (const process of processes.slice(0, this.top)) this.add(sink, process);
    for (const { scope, process } of nextVictims) {
      const labels = { scope, pid: `${process.pid}`, comm: process.comm, ...this.owner(process) };
      sink.add("oom_next_victim_info", 1, labels);
    }
    for (const protection of catalog.oom_processes.values.protection) {
      const count = processes.filter(
        ({ scoreAdj }) => protectionOf(scoreAdj) === protection,
      ).length;
      sink.add("oom_processes", count, { protection });
    }
    const unkillable = processes.filter(({ scoreAdj }) => scoreAdj === unkillableScoreAdj);
    const residentBytes = unkillable.reduce((sum, { memory }) => sum + memory.residentBytes, 0);
    sink.add("oom_unkillable_resident_bytes", residentBytes, {});
    sink.add("oom_processes_unreadable", denied, {});
  }

  private get top(): number {
    return this.options.top === 0 ? Number.POSITIVE_INFINITY : this.options.top;
  }

  private add(sink: SampleSink, process: ProcessReading): void {
    const labels = { pid: `${process.pid}`, comm: process.comm, ...this.owner(process) };
    sink.add("oom_process_score", process.score, labels);
    sink.add("oom_process_score_adj", process.scoreAdj, labels);
    sink.add("oom_process_resident_bytes", process.memory.residentBytes, labels);
    sink.add("oom_process_swap_bytes", process.memory.swapBytes, labels);
  }

  private owner({ cgroup }: ProcessReading): OwnerLabels {
    return ownerLabels(cgroup, this.options.owners.ownerOf(cgroup ?? ""));
  }

  private nextVictims(processes: readonly ProcessReading[]): NextVictim[] {
    const { table, pageBytes, hostMemory } = this.options;
    const { totalBytes } = hostMemory();
    const host: VictimScope = { totalBytes, pageBytes, hostInit: table.seesHostInit() };
    // The kernel's scores are whole thousandths: the true first is among those with the highest two.
    const highest = processes.find(({ scoreAdj }) => scoreAdj !== unkillableScoreAdj)?.score ?? 0;
    const leaders = processes.filter(({ score }) => score >= highest - 1);
    const [first] = rankVictims(leaders, host);
    const victims = first === undefined ? [] : [{ scope: "host", process: first }];
    return [...victims, ...this.cgroupVictims(processes, host)];
  }

  private cgroupVictims(processes: readonly ProcessReading[], host: VictimScope): NextVictim[] {
    const { tree, cgroups, hostMemory } = this.options;
    if (tree === undefined) return [];
    const { swapTotalBytes } = hostMemory();
    const victims: NextVictim[] = [];
    for (const limiting of nearestTheirLimits(cgroups())) {
      const pids = new Set(tree.pidsUnder(limiting.path));
      const swapBytes = Math.min(limiting.swapMaxBytes ?? 0, swapTotalBytes);
      const [first] = rankVictims(
        processes.filter(({ pid }) => pids.has(pid)),
        { ...host, totalBytes: limiting.effectiveMaxBytes + swapBytes },
      );
      if (first !== undefined) victims.push({ scope: limiting.path, process: first });
    }
    return victims;
  }
}

/** The cgroups whose own limit is near, fullest first. */
function nearestTheirLimits(cgroups: readonly CgroupReading[]): CgroupReading[] {
  const ratio = (cgroup: CgroupReading) => cgroup.currentBytes / cgroup.effectiveMaxBytes;
  return cgroups
    .filter((cgroup) => cgroup.limitingCgroup === cgroup.path && ratio(cgroup) >= nearLimitRatio)
    .sort((a, b) => ratio(b) - ratio(a))
    .slice(0, cgroupScopesAtMost);
}
