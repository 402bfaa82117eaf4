import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { type ExporterProcess, startExporter } from "../setup/exporter-process.ts";
import { copyOfHost, fixtureHost, type HostName } from "../setup/fixture-host.ts";

/** What a Prometheus of the tests scrapes. */
export interface ScrapeTargets {
  /** `host:port`, each serving /metrics. */
  readonly addresses: readonly string[];
  /** One more second of a bad day: less memory on the hosts, more in the workloads. */
  tick(): void;
  /** Kills a process in a container of each host. */
  kill(): void;
  end(): Promise<void>;
}

/** The containers that kills happen in: one of Docker's, one of a pod. */
const killed = {
  "v2-systemd":
    "/system.slice/docker-c41d8e02b7f6a5930e1f2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978.scope",
  "kubernetes-node":
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1d9a4f2e_63c7_4b1a_9f0e_5f2f6f0c8a11.slice/cri-containerd-22d6e4f8a0b2c4d6e8f0a2b4c6d8eafcae02b4c6d8eafcae02b4c6d8eafcae02.scope",
} satisfies Partial<Record<HostName, string>>;

/** The built exporter on copies of two fixture hosts, which then run out of memory. */
export async function failingHosts(): Promise<ScrapeTargets> {
  const hosts = await Promise.all(
    Object.entries(killed).map(([name, cgroup]) => startHost(name as HostName, cgroup)),
  );
  return {
    addresses: hosts.map(({ exporter }) => new URL(exporter.url).host),
    tick: () => {
      for (const { tick } of hosts) tick();
    },
    kill: () => {
      for (const { kill } of hosts) kill();
    },
    end: async () => {
      await Promise.all(hosts.map(({ end }) => end()));
    },
  };
}

async function startHost(name: HostName, cgroup: string) {
  const roots = await copyOfHost(name);
  const log = join(roots.rootfs, "var/log/kern.log");
  mkdirSync(dirname(log), { recursive: true });
  // The fixture's own kills are of a day that depends on when the test runs.
  writeFileSync(log, "");
  const exporter: ExporterProcess = await startExporter([
    `--path.procfs=${roots.procfs}`,
    `--path.sysfs=${roots.sysfs}`,
    `--path.rootfs=${roots.rootfs}`,
    `--kernel-log.file=${log}`,
    `--state.directory=${join(roots.rootfs, "state")}`,
  ]);
  const meminfo = join(roots.procfs, "meminfo");
  const current = join(roots.sysfs, "fs/cgroup", cgroup, "memory.current");
  const limitBytes = Number(
    readFileSync(join(roots.sysfs, "fs/cgroup", cgroup, "memory.max"), "latin1"),
  );
  const free = (by: (bytes: number) => number) => {
    for (const field of ["MemFree", "MemAvailable"]) {
      change(meminfo, new RegExp(`^${field}: +(\\d+)`, "m"), by);
    }
  };
  free((kibibytes) => kibibytes * 0.3);
  change(current, /^(\d+)/, () => limitBytes * 0.85);
  let pid = 5000;
  return {
    exporter,
    tick: () => {
      free((kibibytes) => kibibytes - 1000);
      change(current, /^(\d+)/, (bytes) => bytes + 16_384);
    },
    kill: () => appendFileSync(log, killReport(cgroup, pid++)),
    end: async () => {
      await exporter.end();
      await roots.dispose();
    },
  };
}

/** Replaces a number atomically, so that readers never see half a file. */
function change(path: string, pattern: RegExp, by: (number: number) => number): void {
  const text = readFileSync(path, "latin1");
  const match = pattern.exec(text);
  const digits = match?.[1];
  if (match === null || digits === undefined) throw new Error(`no ${pattern} in ${path}`);
  const changed = Math.round(by(Number(digits)))
    .toFixed(0)
    .padStart(digits.length);
  const file = openSync(path, "r+");
  writeSync(file, changed, match.index + match[0].length - digits.length, "latin1");
  closeSync(file);
}

/** The fixture's last kill, as if it happened now to another process in another container. */
function killReport(cgroup: string, pid: number): string {
  const captured = readFileSync(
    join(fixtureHost("v2-systemd").rootfs, "var/log/kern.log"),
    "latin1",
  );
  const lines = captured.trimEnd().split("\n");
  const start = lines.findLastIndex((line) => line.includes("invoked oom-killer"));
  return lines
    .slice(start)
    .map((line) => {
      const [, microseconds = "", message = ""] = /\[ *\d+\.(\d{6})\] ?(.*)$/.exec(line) ?? [];
      const text = message.replaceAll("3343", String(pid)).replaceAll(killed["v2-systemd"], cgroup);
      return `${new Date().toISOString()} host kernel: [${pid}.${microseconds}] ${text}\n`;
    })
    .join("");
}
