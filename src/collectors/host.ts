import { memoryUse } from "../kernel/meminfo.ts";
import { parsePressure } from "../kernel/pressure.ts";
import { parseVmstat } from "../kernel/vmstat.ts";
import { catalog } from "../metrics/catalog.ts";
import type { Host } from "../sources/host.ts";
import type { Collector, CollectorPass } from "./collector.ts";

type SysctlName = (typeof catalog.oom_host_sysctl.values.name)[number];

/** Memory, swap and pressure of the whole host. */
export class HostCollector implements Collector {
  readonly name = "host";
  readonly #host: Pick<Host, "files" | "pageBytes" | "view">;

  constructor(host: Pick<Host, "files" | "pageBytes" | "view">) {
    this.#host = host;
  }

  /** @throws {FileUnavailable} if /proc/meminfo or /proc/vmstat cannot be read */
  collect({ sink, snapshot }: CollectorPass): void {
    const { files } = this.#host;
    const { meminfo } = snapshot;
    const length = files.read(files.procfs("vmstat"));
    const vmstat = parseVmstat(files.bytes, length);
    const pressure = parsePressure(
      Buffer.from(files.textIfReadable(files.procfs("pressure", "memory")) ?? ""),
    );
    const gauges = [
      ["oom_host_memory_total_bytes", meminfo.memTotalBytes],
      ["oom_host_memory_available_bytes", meminfo.memAvailableBytes],
      ["oom_host_memory_free_bytes", meminfo.memFreeBytes],
      ["oom_host_swap_total_bytes", meminfo.swapTotalBytes],
      ["oom_host_swap_free_bytes", meminfo.swapFreeBytes],
      ["oom_host_commit_limit_bytes", meminfo.commitLimitBytes],
      ["oom_host_committed_bytes", meminfo.committedAsBytes],
      ["oom_host_swap_in_bytes_total", this.#pages(vmstat.swapInPages)],
      ["oom_host_swap_out_bytes_total", this.#pages(vmstat.swapOutPages)],
      ["oom_host_major_faults_total", vmstat.majorFaults],
      ["oom_host_direct_reclaim_stalls_total", vmstat.directReclaimStalls],
      ["oom_kernel_kills_total", this.#host.view.isContainer ? undefined : vmstat.oomKills],
    ] as const;
    for (const [metric, value] of gauges) if (value !== undefined) sink.add(metric, value, {});
    const use = memoryUse(meminfo, this.#pages(vmstat.zspages));
    // A kind that this kernel does not report is part of `other`.
    const unreported = {
      percpu: meminfo.percpuBytes === undefined,
      vmalloc: meminfo.vmallocUsedBytes === undefined,
      zspages: vmstat.zspages === undefined,
      balloon: meminfo.balloonBytes === undefined,
    };
    for (const kind of catalog.oom_host_memory_used_bytes.values.kind) {
      if (kind in unreported && unreported[kind as keyof typeof unreported]) continue;
      sink.add("oom_host_memory_used_bytes", use[kind], { kind });
    }
    const stalls = [
      ["some", pressure.someSeconds],
      ["full", pressure.fullSeconds],
    ] as const;
    for (const [kind, seconds] of stalls) {
      if (seconds !== undefined) sink.add("oom_host_memory_stall_seconds_total", seconds, { kind });
    }
    for (const [name, value] of this.#sysctls()) sink.add("oom_host_sysctl", value, { name });
  }

  /** By name (`vm.swappiness`); a setting that this kernel does not have is absent. */
  #sysctls(): Map<SysctlName, number> {
    const { files } = this.#host;
    const sysctls = new Map<SysctlName, number>();
    for (const name of catalog.oom_host_sysctl.values.name) {
      const value = files.sysctl(name);
      if (value !== undefined) sysctls.set(name, value);
    }
    return sysctls;
  }

  #pages(count: number | undefined): number | undefined {
    return count === undefined ? undefined : count * this.#host.pageBytes;
  }
}
