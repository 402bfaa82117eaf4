import { type Meminfo, memoryUse, parseMeminfo } from "../kernel/meminfo.ts";
import { type Pressure, parsePressure } from "../kernel/pressure.ts";
import { parseVmstat, type Vmstat } from "../kernel/vmstat.ts";
import { catalog } from "../metrics/catalog.ts";
import type { HostFiles } from "../sources/host-files.ts";
import type { Collector, CollectorPass } from "./collector.ts";

/** The host's memory at one moment. */
export interface HostReading {
  meminfo: Meminfo;
  vmstat: Vmstat;
  pressure: Pressure;
  /** By name (`vm.swappiness`); one that this kernel does not have is absent. */
  sysctls: Map<SysctlName, number>;
}

type SysctlName = (typeof catalog.oom_host_sysctl.values.name)[number];

/** Memory, swap and pressure of the whole host. */
export class HostCollector implements Collector {
  readonly name = "host";
  readonly #files: HostFiles;
  readonly #pageBytes: number;
  readonly #onRead: (reading: HostReading) => void;

  /** @param onRead told of every reading */
  constructor(
    files: HostFiles,
    pageBytes: number,
    onRead: (reading: HostReading) => void = () => {},
  ) {
    this.#files = files;
    this.#pageBytes = pageBytes;
    this.#onRead = onRead;
  }

  /** @throws {FileUnavailable} where /proc/meminfo or /proc/vmstat cannot be read */
  read(): HostReading {
    const files = this.#files;
    const meminfo = parseMeminfo(files.text(files.procfs("meminfo")));
    const vmstatLength = files.read(files.procfs("vmstat"));
    const reading = {
      meminfo,
      vmstat: parseVmstat(files.bytes, vmstatLength),
      pressure: parsePressure(files.textIfReadable(files.procfs("pressure", "memory")) ?? ""),
      sysctls: this.#readSysctls(),
    };
    this.#onRead(reading);
    return reading;
  }

  collect({ sink }: CollectorPass): void {
    const { meminfo, vmstat, pressure, sysctls } = this.read();
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
      ["oom_kernel_kills_total", vmstat.oomKills],
    ] as const;
    for (const [metric, value] of gauges) if (value !== undefined) sink.add(metric, value, {});
    const use = memoryUse(meminfo);
    for (const kind of catalog.oom_host_memory_used_bytes.values.kind) {
      sink.add("oom_host_memory_used_bytes", use[kind], { kind });
    }
    const stalls = [
      ["some", pressure.someSeconds],
      ["full", pressure.fullSeconds],
    ] as const;
    for (const [kind, seconds] of stalls) {
      if (seconds !== undefined) sink.add("oom_host_memory_stall_seconds_total", seconds, { kind });
    }
    for (const [name, value] of sysctls) sink.add("oom_host_sysctl", value, { name });
  }

  #readSysctls(): Map<SysctlName, number> {
    const sysctls = new Map<SysctlName, number>();
    for (const name of catalog.oom_host_sysctl.values.name) {
      const text = this.#files.textIfReadable(this.#files.procfs("sys", name.replace(".", "/")));
      const value = Number.parseInt(text ?? "", 10);
      if (!Number.isNaN(value)) sysctls.set(name, value);
    }
    return sysctls;
  }

  #pages(count: number | undefined): number | undefined {
    return count === undefined ? undefined : count * this.#pageBytes;
  }
}
