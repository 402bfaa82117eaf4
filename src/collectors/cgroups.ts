import { ownerLabels } from "../kills/owner.ts";
import { catalog } from "../metrics/catalog.ts";
import type { CgroupPass, CgroupReading, CgroupTree } from "../sources/cgroup-tree.ts";
import type { OwnerNames } from "../sources/owner-names.ts";
import { type Collector, type CollectorPass, NoData, type SampleSink } from "./collector.ts";

export interface CgroupsCollectorOptions {
  /** Absent where the machine has no memory controller. */
  tree?: CgroupTree;
  owners: OwnerNames;
  /** MemTotal in bytes: no cgroup can have more. */
  hostTotalBytes: () => number;
  /** Told of every cgroup that was read; `isWhole` where none was left out for want of time or room. */
  onRead?: (readings: readonly CgroupReading[], isWhole: boolean) => void;
}

/** Memory, limits, events and pressure of every cgroup. */
export class CgroupsCollector implements Collector {
  readonly name = "cgroups";
  readonly #options: CgroupsCollectorOptions;

  constructor(options: CgroupsCollectorOptions) {
    this.#options = options;
  }

  /** @throws {NoData} where there is no memory controller */
  read(outOfTime?: () => boolean): CgroupPass {
    const { tree, onRead } = this.#options;
    if (tree === undefined) throw new NoData("no memory cgroup hierarchy under /sys/fs/cgroup");
    const pass = tree.read(outOfTime);
    onRead?.(pass.readings, pass.beyondLimit === 0);
    return pass;
  }

  collect({ sink, deadlineMs, now }: CollectorPass): void {
    const pass = this.read(() => now() > deadlineMs);
    const hostTotalBytes = this.#options.hostTotalBytes();
    for (const reading of pass.readings) this.#add(sink, reading, hostTotalBytes);
    const { filtered, beyondLimit, unreadable } = pass;
    sink.add("oom_cgroups", pass.readings.length + filtered + beyondLimit + unreadable, {});
    sink.add("oom_cgroups_left_out", filtered, { reason: "filter" });
    sink.add("oom_cgroups_left_out", beyondLimit, { reason: "limit" });
    sink.add("oom_cgroups_left_out", unreadable, { reason: "unreadable" });
  }

  #add(sink: SampleSink, reading: CgroupReading, hostTotalBytes: number): void {
    const owner = this.#options.owners.ownerOf(reading.path);
    const labels = ownerLabels(reading.path, owner);
    sink.add("oom_cgroup_info", 1, {
      cgroup: reading.path,
      container_id: owner.containerId ?? "",
      pod_uid: owner.podUid ?? "",
      runtime: owner.runtime ?? "",
      version: this.#options.tree?.hierarchy.version === "v1" ? "1" : "2",
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

/** Charged memory less the page cache that goes first; what the kubelet calls the working set. */
export function workingSetBytes(reading: CgroupReading): number | undefined {
  if (reading.inactiveFileBytes === undefined) return undefined;
  return Math.max(0, reading.currentBytes - reading.inactiveFileBytes);
}

/**
 * What only a kill or swap takes back: charged memory less the page cache, of which shared memory is
 * no part though it is counted there. As `cgroup:oom_memory_unreclaimable:ratio`, in bytes.
 */
export function unreclaimableBytes(reading: CgroupReading): number | undefined {
  const { currentBytes, fileBytes, shmemBytes } = reading;
  if (fileBytes === undefined || shmemBytes === undefined) return undefined;
  return Math.max(0, currentBytes - fileBytes + shmemBytes);
}
