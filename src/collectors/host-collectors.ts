import type { Host } from "../sources/host.ts";
import { CgroupsCollector } from "./cgroups.ts";
import type { Collector } from "./collector.ts";
import { HostCollector } from "./host.ts";
import { ProcessesCollector, type ProcessesCollectorOptions } from "./processes.ts";

/** The collectors that only read the host and keep no state; test/golden shows their output for each host. */
export function hostCollectors(host: Host, options: ProcessesCollectorOptions): Collector[] {
  return [
    new HostCollector(host),
    new CgroupsCollector(host),
    new ProcessesCollector(host, options),
  ];
}
