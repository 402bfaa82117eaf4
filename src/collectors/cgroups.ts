import { type Owner, ownerLabels } from "../kills/owner.ts";
import { catalog, type LabelsOf, type MetricName } from "../metrics/catalog.ts";
import { type PrintedLabels, printLabels, withLabel } from "../metrics/exposition.ts";
import { type CgroupReading, workingSetBytes } from "../sources/cgroup-reading.ts";
import type { Host } from "../sources/host.ts";
import { type Collector, type CollectorPass, NoData, type SampleSink } from "./collector.ts";

/** Memory, limits, events and pressure of every cgroup. */
export class CgroupsCollector implements Collector {
  readonly name = "cgroups";
  readonly #host: Pick<Host, "tree" | "owners">;
  /** Of each cgroup's owner, which `OwnerNames` keeps while it knows no more of it. */
  readonly #labels = new WeakMap<Owner, CgroupLabels>();

  constructor(host: Pick<Host, "tree" | "owners">) {
    this.#host = host;
  }

  /** @throws {NoData} where there is no memory controller */
  collect({ sink, snapshot }: CollectorPass): void {
    const pass = snapshot.cgroups;
    if (pass === undefined) throw new NoData("no memory cgroup hierarchy under /sys/fs/cgroup");
    // No cgroup can have more than MemTotal.
    const { totalBytes, swapTotalBytes } = snapshot.totals;
    const hostTotalBytes =
      totalBytes === 0 ? Number.POSITIVE_INFINITY : totalBytes - swapTotalBytes;
    for (const reading of pass.readings) this.#add(sink, reading, hostTotalBytes);
    const { filtered, beyondLimit, unreadable } = pass;
    sink.add("oom_cgroups", pass.readings.length + filtered + beyondLimit + unreadable, {});
    sink.add("oom_cgroups_left_out", filtered, { reason: "filter" });
    sink.add("oom_cgroups_left_out", beyondLimit, { reason: "limit" });
    sink.add("oom_cgroups_left_out", unreadable, { reason: "unreadable" });
  }

  #add(sink: SampleSink, reading: CgroupReading, hostTotalBytes: number): void {
    const owner = this.#host.owners.ownerOf(reading.path);
    let labels = this.#labels.get(owner);
    if (labels === undefined) {
      labels = this.#print(reading.path, owner);
      this.#labels.set(owner, labels);
    }
    const { info, base } = labels;
    const add = (metric: MetricName, value: number | undefined, printed: PrintedLabels): void => {
      if (value !== undefined) sink.addPrinted(metric, value, printed);
    };
    add("oom_cgroup_info", 1, info);
    add("oom_cgroup_memory_current_bytes", reading.currentBytes, base);
    add("oom_cgroup_memory_max_bytes", reading.maxBytes, base);
    add("oom_cgroup_memory_high_bytes", reading.highBytes, base);
    const effectiveMaxBytes = Math.min(reading.effectiveMaxBytes, hostTotalBytes);
    add("oom_cgroup_memory_effective_max_bytes", effectiveMaxBytes, base);
    add("oom_cgroup_memory_working_set_bytes", workingSetBytes(reading), base);
    add("oom_cgroup_memory_anon_bytes", reading.anonBytes, base);
    add("oom_cgroup_memory_file_bytes", reading.fileBytes, base);
    add("oom_cgroup_memory_shmem_bytes", reading.shmemBytes, base);
    add("oom_cgroup_memory_peak_bytes", reading.peakBytes, base);
    add("oom_cgroup_swap_current_bytes", reading.swapCurrentBytes, base);
    add("oom_cgroup_swap_max_bytes", reading.swapMaxBytes, base);
    for (const event of catalog.oom_cgroup_memory_events_total.values.event) {
      const value = reading.events[event];
      if (value === undefined) continue;
      add("oom_cgroup_memory_events_total", value, withLabel(base, "event", event));
    }
    const { someSeconds, fullSeconds } = reading.pressure;
    if (someSeconds !== undefined) {
      const stalls = "oom_cgroup_memory_stall_seconds_total";
      add(stalls, someSeconds, withLabel(base, "kind", "some"));
      add(stalls, fullSeconds, withLabel(base, "kind", "full"));
    }
  }

  #print(path: string, owner: Owner): CgroupLabels {
    return {
      base: printLabels(ownerLabels(path, owner)),
      info: printLabels({
        cgroup: path,
        container_id: owner.containerId ?? "",
        pod_uid: owner.podUid ?? "",
        runtime: owner.runtime ?? "",
        version: this.#host.tree?.hierarchy.version === "v1" ? "1" : "2",
      } satisfies LabelsOf<"oom_cgroup_info">),
    };
  }
}

/** The printed labels of one cgroup: of `oom_cgroup_info`, and of its other metrics. */
interface CgroupLabels {
  info: PrintedLabels;
  base: PrintedLabels;
}
