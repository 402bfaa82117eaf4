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
    const hostHasSwap = totalBytes === 0 || swapTotalBytes > 0;
    for (const reading of pass.readings) this.#add(sink, reading, hostTotalBytes, hostHasSwap);
    const { filtered, beyondLimit, unreadable } = pass;
    sink.add("oom_cgroups", pass.readings.length + filtered + beyondLimit + unreadable, {});
    sink.add("oom_cgroups_left_out", filtered, { reason: "filter" });
    sink.add("oom_cgroups_left_out", beyondLimit, { reason: "limit" });
    sink.add("oom_cgroups_left_out", unreadable, { reason: "unreadable" });
  }

  #add(
    sink: SampleSink,
    reading: CgroupReading,
    hostTotalBytes: number,
    hostHasSwap: boolean,
  ): void {
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
    add("oom_cgroup_info", info && 1, info ?? base);
    add("oom_cgroup_memory_current_bytes", reading.currentBytes, base);
    const { maxBytes, highBytes, swapCurrentBytes } = reading;
    add("oom_cgroup_memory_max_bytes", limit(maxBytes), base);
    add("oom_cgroup_memory_high_bytes", limit(highBytes), base);
    const effectiveMaxBytes = Math.min(reading.effectiveMaxBytes, hostTotalBytes);
    add("oom_cgroup_memory_effective_max_bytes", effectiveMaxBytes, base);
    add("oom_cgroup_memory_working_set_bytes", workingSetBytes(reading), base);
    add("oom_cgroup_memory_anon_bytes", reading.anonBytes, base);
    add("oom_cgroup_memory_file_bytes", reading.fileBytes, base);
    add("oom_cgroup_memory_shmem_bytes", reading.shmemBytes, base);
    add("oom_cgroup_memory_peak_bytes", reading.peakBytes, base);
    if (hostHasSwap || swapCurrentBytes !== 0) {
      add("oom_cgroup_swap_current_bytes", swapCurrentBytes, base);
    }
    add("oom_cgroup_swap_max_bytes", limit(reading.swapMaxBytes), base);
    for (const event of catalog.oom_cgroup_memory_events_total.values.event) {
      const value = reading.events[event];
      if (value === undefined || (value === 0 && !canHappen(event, reading))) continue;
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
      info: this.#printInfo(path, owner),
    };
  }

  #printInfo(path: string, { containerId, podUid, runtime }: Owner): PrintedLabels | undefined {
    if ((runtime ?? containerId ?? podUid) === null) return undefined;
    return printLabels({
      cgroup: path,
      container_id: containerId ?? "",
      pod_uid: podUid ?? "",
      runtime: runtime ?? "",
      version: this.#host.tree?.hierarchy.version === "v1" ? "1" : "2",
    } satisfies LabelsOf<"oom_cgroup_info">);
  }
}

/** A limit that is set; of those that are not there is no series. */
function limit(bytes: number | undefined): number | undefined {
  return bytes === Number.POSITIVE_INFINITY ? undefined : bytes;
}

/** Without the limit that an event is about, the kernel never counts it: a series of it would stay 0. */
function canHappen(event: string, { maxBytes, highBytes }: CgroupReading): boolean {
  if (event === "max" || event === "oom") return limit(maxBytes) !== undefined;
  if (event === "high") return limit(highBytes) !== undefined;
  return true;
}

/** The printed labels of one cgroup: of `oom_cgroup_info`, and of its other metrics. */
interface CgroupLabels {
  /** Absent where there is no container or pod to join on. */
  info?: PrintedLabels;
  base: PrintedLabels;
}
