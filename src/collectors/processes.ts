import { protectionOf } from "../kernel/badness.ts";
import { type OwnerLabels, ownerLabels } from "../kills/owner.ts";
import { catalog, type LabelsOf } from "../metrics/catalog.ts";
import { printLabels } from "../metrics/exposition.ts";
import { fullestLimits } from "../sources/cgroup-reading.ts";
import type { Host } from "../sources/host.ts";
import type { HostView } from "../sources/host-view.ts";
import type { OwnerNames } from "../sources/owner-names.ts";
import type { ProcessReading } from "../sources/process-table.ts";
import type { LongPart, Snapshot } from "../sources/snapshot.ts";
import { bypasses } from "../victims/bypass.ts";
import type { ScopeVictimsOptions } from "../victims/scope-victims.ts";
import { VictimRanking } from "../victims/victim-ranking.ts";
import type { Collector, CollectorPass, SampleSink } from "./collector.ts";

export interface ProcessesCollectorOptions {
  /** Number of highest-ranked processes with series; 0 for all. */
  top: number;
  /** False if the cgroups collector is disabled: then only the host's next victim is exported. */
  looksAtCgroups: boolean;
}

/** The next victim in one scope. */
interface NextVictim {
  /** `host`, or the path of the cgroup whose limit would be hit. */
  scope: string;
  process: ProcessReading;
}

const cgroupScopesAtMost = 20;

/** The kernel's ranking of processes, and the next victims. */
export class ProcessesCollector implements Collector {
  readonly name = "processes";
  readonly reads: readonly LongPart[];
  readonly #options: ProcessesCollectorOptions;
  readonly #host: Pick<ScopeVictimsOptions, "files" | "tree">;
  readonly #owners: OwnerNames;
  readonly #programs: ScopeVictimsOptions["programs"];
  readonly #view: HostView;
  readonly #ranking: VictimRanking;

  constructor(host: ScopeVictimsOptions & Pick<Host, "view">, options: ProcessesCollectorOptions) {
    this.#options = options;
    this.#host = host;
    this.#programs = host.programs;
    this.reads = options.looksAtCgroups ? ["processes", "cgroups"] : ["processes"];
    this.#owners = host.owners;
    this.#view = host.view;
    this.#ranking = new VictimRanking(host);
  }

  /** @throws {FileUnavailable} if procfs cannot be listed */
  collect({ sink, snapshot }: CollectorPass): void {
    const { processes, denied } = snapshot.processes;
    const { top } = this.#options;
    const shown = top === 0 ? processes : processes.slice(0, top);
    for (const process of shown) this.#add(sink, process);
    for (const { scope, process } of this.#nextVictims(snapshot)) {
      sink.add("oom_next_victim_info", 1, {
        scope,
        pid: `${process.pid}`,
        comm: process.comm,
        program: this.#programs?.programOf(process) ?? "",
        ...this.#owner(process),
      });
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
    // The number of hidden processes is unknown.
    if (!this.#view.hidesProcesses || denied > 0) sink.add("oom_processes_unreadable", denied, {});
  }

  #add(sink: SampleSink, process: ProcessReading): void {
    const labels = printLabels({
      pid: `${process.pid}`,
      comm: process.comm,
      ...this.#owner(process),
    } satisfies LabelsOf<"oom_process_score">);
    sink.addPrinted("oom_process_score", process.score, labels);
    sink.addPrinted("oom_process_score_adj", process.scoreAdj, labels);
    sink.addPrinted("oom_process_resident_bytes", process.memory.residentBytes, labels);
    sink.addPrinted("oom_process_swap_bytes", process.memory.swapBytes, labels);
  }

  #owner({ cgroup }: ProcessReading): OwnerLabels {
    return ownerLabels(cgroup, this.#owners.ownerOf(cgroup ?? ""));
  }

  #nextVictims(snapshot: Snapshot): NextVictim[] {
    const { looksAtCgroups } = this.#options;
    const { hidesProcesses, isContainer } = this.#view;
    if (hidesProcesses) return [];
    const { totals } = snapshot;
    const { processes } = snapshot.processes;
    const cgroups = (looksAtCgroups && snapshot.cgroups?.readings) || [];
    const victims: NextVictim[] = [];
    // Where the kernel would not kill by its ranking, nobody is next.
    const bypassOf = bypasses(this.#host.files, this.#host.tree);
    const hasNext = !isContainer && bypassOf() === undefined;
    const first = hasNext ? this.#ranking.firstOfHost(processes, totals) : undefined;
    if (first !== undefined) victims.push({ scope: "host", process: first });
    for (const { reading: cgroup, isNear } of fullestLimits(cgroups).slice(0, cgroupScopesAtMost)) {
      if (!isNear || bypassOf(cgroup) !== undefined) continue;
      const [process] = this.#ranking.rank(processes, totals, cgroup);
      if (process !== undefined) victims.push({ scope: cgroup.path, process });
    }
    return victims;
  }
}
