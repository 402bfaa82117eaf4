import { hasOwner, type Owner, ownerLabels } from "../kills/owner.ts";
import { catalog, type LabelsOf, type MetricName } from "../metrics/catalog.ts";
import { type PrintedLabels, printLabels, withLabel } from "../metrics/exposition.ts";
import { type CgroupReading, workingSetBytes } from "../sources/cgroup-reading.ts";
import type { Host } from "../sources/host.ts";
import { CgroupBudget } from "./cgroup-budget.ts";
import { type Collector, type CollectorPass, NoData, type SampleSink } from "./collector.ts";

/** Memory, limits, events and pressure of every cgroup. */
export class CgroupsCollector implements Collector {
  readonly name = "cgroups";
  readonly reads = ["cgroups"] as const;
  readonly #host: Pick<Host, "tree" | "owners">;
  /**
   * Of the cgroups of the last passes, by the owner object, which `OwnerNames` keeps until it learns more. It keeps those
   * of thousands of cgroups that are gone: their labels would take more memory than they do.
   */
  #labels = new Map<Owner, CgroupLabels>();
  readonly #budget = new CgroupBudget();

  constructor(host: Pick<Host, "tree" | "owners">) {
    this.#host = host;
  }

  /** @throws {NoData} if there is no memory controller */
  collect({ sink, snapshot }: CollectorPass): void {
    const pass = snapshot.cgroups;
    if (pass === undefined) throw new NoData("no memory cgroup hierarchy under /sys/fs/cgroup");
    // No cgroup can have more than MemTotal.
    const { totalBytes, swapTotalBytes } = snapshot.totals;
    const hostTotalBytes =
      totalBytes === 0 ? Number.POSITIVE_INFINITY : totalBytes - swapTotalBytes;
    const hostHasSwap = totalBytes === 0 || swapTotalBytes > 0;
    const host: HostLimits = { hostTotalBytes, hostHasSwap };
    const leftOut = this.#leftOut(pass.readings, host);
    for (const reading of pass.readings) {
      if (leftOut?.has(reading.path) !== true) this.#add(sink, reading, host);
    }
    if (this.#labels.size > 2 * pass.readings.length) this.#forgetOthers(pass.readings);
    const { filtered, beyondLimit, unreadable } = pass;
    sink.add("oom_cgroups", pass.readings.length + filtered + beyondLimit + unreadable, {});
    sink.add("oom_cgroups_left_out", filtered, { reason: "filter" });
    sink.add("oom_cgroups_left_out", beyondLimit, { reason: "limit" });
    sink.add("oom_cgroups_left_out", leftOut?.size ?? 0, { reason: "bytes" });
    sink.add("oom_cgroups_left_out", unreadable, { reason: "unreadable" });
  }

  /** `undefined` if all fit, which the lengths of their labels show in nearly all cases. */
  #leftOut(readings: readonly CgroupReading[], host: HostLimits): ReadonlySet<string> | undefined {
    let bytesAtMost = 0;
    for (const { path } of readings) bytesAtMost += this.#labelsOf(path).bytesAtMost;
    if (this.#budget.isMet(bytesAtMost)) return undefined;
    return this.#budget.leaveOut(
      readings.map((reading) => ({
        path: reading.path,
        bytes: this.#bytesOf(reading, host),
        isWanted:
          (reading.events.oom_kill ?? 0) > 0 || hasOwner(this.#host.owners.ownerOf(reading.path)),
      })),
    );
  }

  #forgetOthers(readings: readonly CgroupReading[]): void {
    const { owners } = this.#host;
    this.#labels = new Map(
      readings.map(({ path }) => [owners.ownerOf(path), this.#labelsOf(path)] as const),
    );
  }

  #bytesOf(reading: CgroupReading, host: HostLimits): number {
    let bytes = 0;
    const addPrinted = (metric: MetricName, value: number, printed: PrintedLabels): void => {
      // A space before the value, a line feed after it.
      bytes += metric.length + Buffer.byteLength(printed) + `${value}`.length + 2;
    };
    this.#add({ addPrinted }, reading, host);
    return bytes;
  }

  #labelsOf(path: string): CgroupLabels {
    const owner = this.#host.owners.ownerOf(path);
    let labels = this.#labels.get(owner);
    if (labels === undefined) {
      labels = this.#print(path, owner);
      this.#labels.set(owner, labels);
    }
    return labels;
  }

  #add(
    sink: Pick<SampleSink, "addPrinted">,
    reading: CgroupReading,
    { hostTotalBytes, hostHasSwap }: HostLimits,
  ): void {
    const { info, base } = this.#labelsOf(reading.path);
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
    const base = printLabels(ownerLabels(path, owner));
    const info = this.#printInfo(path, owner);
    const bytesAtMost =
      seriesAtMost * (Buffer.byteLength(base) + lineBytesAtMost) + Buffer.byteLength(info ?? "");
    return { base, info, bytesAtMost };
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

/** A limit that is set; without a limit there is no series. */
function limit(bytes: number | undefined): number | undefined {
  return bytes === Number.POSITIVE_INFINITY ? undefined : bytes;
}

/** Without the limit that an event is about, the kernel never counts it: its series would stay 0. */
function canHappen(event: string, { maxBytes, highBytes }: CgroupReading): boolean {
  if (event === "max" || event === "oom") return limit(maxBytes) !== undefined;
  if (event === "high") return limit(highBytes) !== undefined;
  return true;
}

/** Averages for one cgroup, and for the part of a line besides the owner's labels. */
const seriesAtMost = 20;
const lineBytesAtMost = 70;

/** A maximum that no cgroup can exceed. */
interface HostLimits {
  hostTotalBytes: number;
  hostHasSwap: boolean;
}

/** The printed labels of one cgroup: for `oom_cgroup_info`, and for its other metrics. */
interface CgroupLabels {
  /** Absent if there is no container or pod to join on. */
  info?: PrintedLabels;
  base: PrintedLabels;
  /** Maximum size of its series. */
  bytesAtMost: number;
}
