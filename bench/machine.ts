import { existsSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";

/** Where a bench ran, for its table. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  node: string;
  cgroups: "v1" | "v2";
  /** Over the last minute: others may have been at work. */
  load: number;
  /** ISO 8601. */
  at: string;
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    cgroups: existsSync("/sys/fs/cgroup/cgroup.controllers") ? "v2" : "v1",
    load: loadavg()[0] as number,
    at: new Date().toISOString(),
  };
}

/** In one line. */
export function described({ cpu, cores, memoryGiB, kernel, node, cgroups, load }: Machine): string {
  return `${cores} cores (${cpu}), ${memoryGiB} GiB, Linux ${kernel}, cgroup ${cgroups}, Node.js ${node}, load ${load.toFixed(1)} at the start`;
}

/** Version of this checkout. */
export function version(): string {
  return JSON.parse(readFileSync("package.json", "utf8")).version;
}
