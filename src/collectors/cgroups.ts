import { ownerLabels } from "../kills/owner.ts";
import { catalog } from "../metrics/catalog.ts";
import { type CgroupReading, workingSetBytes } from "../sources/cgroup-reading.ts";
import type { Host } from "../sources/host.ts";
import { type Collector, type CollectorPass, NoData, type SampleSink } from "./collector.ts";

/** Memory, limits, events and pressure of every cgroup. */
export class CgroupsCollector implements Collector {
  readonly name = "cgroups";
  readonly #host: Pick<Host, "tree" | "owners">;

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
    const labels = ownerLabels(reading.path, owner);
    sink.add("oom_cgroup_info", 1, {
      cgroup: reading.path,
      container_id: owner.containerId ?? "",
      pod_uid: owner.podUid ?? "",
      runtime: owner.runtime ?? "",
      version: this.#host.tree?.hierarchy.version === "v1" ? "1" : "2",
    });
    const gauges = [
      ["oom_cgroup_memory_current_bytes", reading.currentBytes],
      ["oom_cgroup_memory_max_bytes", reading.maxBytes],
      ["oom_cgroup_memory_high_bytes", reading.highBytes],
      [
        "oom_cgroup_memory_effective_max_bytes",
        Math.min(reading.effectiveMaxBytes, hostTotalBytes),
      ],
      ["oom_cgroup_memory_working_set_bytes", workingSetBytes(reading)],
      ["oom_cgroup_memory_anon_bytes", reading.anonBytes],
      ["oom_cgroup_memory_file_bytes", reading.fileBytes],
      ["oom_cgroup_memory_shmem_bytes", reading.shmemBytes],
      ["oom_cgroup_memory_peak_bytes", reading.peakBytes],
      ["oom_cgroup_swap_current_bytes", reading.swapCurrentBytes],
      ["oom_cgroup_swap_max_bytes", reading.swapMaxBytes],
    ] as const;
    for (const [metric, value] of gauges) if (value !== undefined) sink.add(metric, value, labels);
    for (const event of catalog.oom_cgroup_memory_events_total.values.event) {
      const value = reading.events[event];
      if (value !== undefined)
        sink.add("oom_cgroup_memory_events_total", value, { ...labels, event });
    }
    const stalls = [
      ["some", reading.pressure.someSeconds],
      ["full", reading.pressure.fullSeconds],
    ] as const;
    for (const [kind, seconds] of stalls) {
      if (seconds === undefined) continue;
      sink.add("oom_cgroup_memory_stall_seconds_total", seconds, { ...labels, kind });
    }
  }
}
