import { existsSync, statSync } from "node:fs";
import { connect } from "node:tls";
import { Connections } from "../http/connections.ts";
import { ListenError } from "../http/listen-error.ts";
import { type ListenAddress, listen } from "../http/listeners.ts";
import type { Meminfo } from "../kernel/meminfo.ts";
import { parseVmstat } from "../kernel/vmstat.ts";
import type { LogClock } from "../kernel-log/local-time.ts";
import type { DaemonLogMode } from "../log-sources/daemon-logs.ts";
import type { KmsgReader } from "../log-sources/kmsg-device.ts";
import { knownBootTimeMs } from "../sources/boot-time.ts";
import type { CgroupReadings } from "../sources/cgroup-tree.ts";
import { Host } from "../sources/host.ts";
import { FileUnavailable, type HostFiles } from "../sources/host-files.ts";
import { readHostView } from "../sources/host-view.ts";
import { readMeminfo } from "../sources/meminfo-file.ts";
import type { OwnScoreAdj } from "../sources/own-score-adj.ts";
import type { ProcessReadings } from "../sources/process-table.ts";
import type { Snapshot } from "../sources/snapshot.ts";
import { exposureOf } from "../sources/state-file.ts";
import { isHere } from "../status/other-killers.ts";
import { bytes, percent } from "../text/quantities.ts";
import { capitalised } from "../text/sentence.ts";
import { shellWord } from "../text/shell.ts";
import { type Check, dockerFlags, type Fix, ok, type Place, run } from "./check.ts";
import { checkOtherKillers } from "./killer-check.ts";
import {
  checkKernelLog,
  checkRing,
  type LogCheckOptions,
  logCheckName,
  lookAtRing,
} from "./log-checks.ts";
import { checkProtection } from "./protection-check.ts";
import type { Shipped } from "./service-fixes.ts";
import { statePlaceAt } from "./state-place.ts";

export interface DoctorOptions {
  files: HostFiles;
  kmsg: { path: string; open: () => KmsgReader };
  kernelLog: { mode: LogCheckOptions["mode"]; filePath?: string };
  daemonLog: DaemonLogMode;
  hasJournalctl: boolean;
  /** Where state would be kept. */
  stateDirectory: string;
  listenAddresses: readonly ListenAddress[];
  clock: LogClock;
  /** Name and id of the user that the exporter runs as. */
  user: string;
  userId: number;
  place: Place;
  shipped: Shipped;
  ownScoreAdj: OwnScoreAdj;
}

/** Checks everything that decides whether kills are seen, and how the kernel kills here. */
export async function examine(options: DoctorOptions): Promise<Check[]> {
  const { files, kernelLog, clock } = options;
  const logOptions = {
    ...options,
    ...kernelLog,
    bootTimeMs: knownBootTimeMs(files, clock.nowMs()),
  };
  const ring = lookAtRing(logOptions);
  const meminfo = memoryOf(files);
  return [
    checkKernelLog(ring, logOptions),
    checkRing(ring, logOptions),
    checkOtherKillers(logOptions),
    checkKillCounter(files),
    ...checkCgroupsAndView(options),
    checkPressure(files),
    checkSwap(meminfo, options),
    checkOvercommit(files, meminfo),
    checkPanic(files),
    checkAllocatingTask(files),
    checkProtection(options.ownScoreAdj, options.place),
    checkState(options),
    ...(await Promise.all(options.listenAddresses.map(checkAddress))),
  ];
}

const viewCheckName = "view of the host";

/**
 * The check that explains why kills would go unseen: no source of the kernel log is read, there is no procfs to identify
 * victims, or the exporter would not start.
 */
export function blindness(checks: readonly Check[]): Check | undefined {
  const decisive = [logCheckName, viewCheckName];
  return checks.find(
    ({ name, state }) =>
      state === "missing" && (decisive.includes(name) || name.startsWith("port ")),
  );
}

function textOf(files: HostFiles, name: string): string | undefined {
  return files.textIfReadable(files.procfs(name))?.trim();
}

function memoryOf(files: HostFiles): Meminfo | undefined {
  try {
    return readMeminfo(files);
  } catch (error) {
    if (!(error instanceof FileUnavailable)) throw error;
    return undefined;
  }
}

function kernel(files: HostFiles): string {
  return textOf(files, "sys/kernel/osrelease") ?? "of unknown version";
}

/** The command that adds a kernel parameter on this machine. It never reboots: people paste it. */
function bootWith(files: HostFiles, parameter: string): Fix {
  const command = existsSync(files.rootfs("usr/sbin/grubby"))
    ? `grubby --update-kernel=ALL --args=${parameter}`
    : `sed -i 's/^GRUB_CMDLINE_LINUX="/&${parameter} /' /etc/default/grub && update-grub`;
  return { text: "From the next boot on:", commands: [command] };
}

function checkKillCounter(files: HostFiles): Check {
  const name = "kernel's kill count";
  let kills: number | undefined;
  try {
    const length = files.read(files.procfs("vmstat"));
    kills = parseVmstat(files.bytes, length).oomKills;
  } catch (error) {
    if (!(error instanceof FileUnavailable)) throw error;
  }
  if (kills !== undefined && readHostView(files).isContainer) {
    return {
      name,
      state: "partial",
      found: `oom_kill ${kills} in /proc/vmstat counts the whole host's kills, and this is a container`,
      impact: "kills missing from the log are not detected",
      fix: { text: "Run oom-exporter on the host." },
    };
  }
  if (kills !== undefined) return ok(name, `oom_kill ${kills} in /proc/vmstat since boot`);
  return {
    name,
    state: "missing",
    found: `no oom_kill in /proc/vmstat; this is Linux ${kernel(files)}`,
    impact: "kills missing from the log are not detected",
    fix: { text: "Boot Linux 4.13 or newer." },
  };
}

function checkCgroupsAndView(options: DoctorOptions): Check[] {
  const { files } = options;
  const host = new Host({ roots: files.roots, monotonicMs: () => 0, leaders: 0 });
  const snapshot = host.snapshot();
  return [checkCgroups(host, snapshot.cgroups), checkView(options, host, snapshot)];
}

function checkCgroups({ files, tree }: Host, pass: CgroupReadings | undefined): Check {
  const name = "memory cgroups";
  const unknown = "limits, usage and kills by unit, container or pod are unknown";
  if (tree === undefined || pass === undefined) {
    const isMounted = existsSync(files.sysfs("fs/cgroup/cgroup.controllers"));
    return {
      name,
      state: "missing",
      found: isMounted
        ? "cgroup v2 without the memory controller"
        : `no memory hierarchy below ${files.sysfs("fs/cgroup")}`,
      impact: unknown,
      fix: bootWith(files, "cgroup_enable=memory"),
    };
  }
  const { readings, unreadable } = pass;
  const { version, directory } = tree.hierarchy;
  if (readings.length === 0) {
    return {
      name,
      state: "partial",
      found: `cgroup ${version} at ${directory}, but no cgroup has memory accounting`,
      impact: unknown,
      fix: run(`echo +memory > ${directory}/cgroup.subtree_control`),
    };
  }
  const found = `cgroup ${version} at ${directory}: ${readings.length} account memory`;
  if (unreadable > 0) {
    return {
      name,
      state: "partial",
      found: `${found}, ${unreadable} not readable`,
      impact: "those cgroups are missing everywhere",
      fix: { text: "Run it as root." },
    };
  }
  if (version === "v2") return ok(name, found);
  return {
    name,
    state: "partial",
    found,
    impact: "v1 has no pressure and no group kills by cgroup",
    fix: bootWith(files, "systemd.unified_cgroup_hierarchy=1"),
  };
}

/** Whose processes are visible: the host's, or only a container's. */
function checkView(
  { files, place }: DoctorOptions,
  { table, tree, view }: Host,
  snapshot: Snapshot,
): Check {
  const name = viewCheckName;
  let pass: ProcessReadings;
  try {
    pass = snapshot.processes;
  } catch (error) {
    if (!(error instanceof FileUnavailable)) throw error;
    return {
      name,
      state: "missing",
      found: error.message,
      impact: "the owners of kills and the next victim are unknown",
      fix: { text: "Pass the mount point of procfs with --path.procfs." },
    };
  }
  const { processes, denied } = pass;
  const isInitHidden = view.hidesProcesses;
  if (isInitHidden || denied > 0) {
    return {
      name,
      state: "partial",
      found: isInitHidden ? "other users' processes are hidden" : `${denied} processes unreadable`,
      impact: "hidden processes are not ranked: the next victim may be one of them",
      fix: run(`mount -o remount,hidepid=0 ${files.roots.procfs}`),
    };
  }
  const ways = {
    host: { text: "Run oom-exporter on the host itself." },
    container: {
      text: "Add to docker run, and to the flags of oom-exporter:",
      commands: [
        "--pid=host --cgroupns=host -v /proc:/host/proc:ro -v /sys/fs/cgroup:/host/sys/fs/cgroup:ro",
        "--path.procfs=/host/proc --path.sysfs=/host/sys",
      ],
    },
    pod: {
      text: "Mount the host's /proc and /sys/fs/cgroup, pass them with --path.procfs and --path.sysfs, and set in the pod's spec:",
      commands: ["hostPID: true"],
    },
  } satisfies Record<Place, Fix>;
  if (!table.seesHostInit()) {
    return {
      name,
      state: "partial",
      found: `the container's own: ${processes.length} processes, without kthreadd`,
      impact: "the host's processes and owners are not visible: the next victim may be one of them",
      fix: ways[place],
    };
  }
  const adrift = processes.filter(({ cgroup }) => cgroup === undefined).length;
  if (tree !== undefined && adrift > 0) {
    return {
      name,
      state: "partial",
      found: `the host's ${processes.length} processes, ${adrift} of them in cgroups that are not visible`,
      impact: "their owners are unknown",
      fix: ways[place],
    };
  }
  return ok(name, `the host's own: ${processes.length} processes, including kthreadd`);
}

function checkPressure(files: HostFiles): Check {
  const name = "memory pressure";
  let cause: unknown;
  try {
    files.read(files.procfs("pressure", "memory"));
    return ok(name, "/proc/pressure/memory");
  } catch (error) {
    if (!(error instanceof FileUnavailable)) throw error;
    cause = (error.cause as NodeJS.ErrnoException | undefined)?.code;
  }
  const [major = 0, minor = 0] = kernel(files).split(".").map(Number);
  const isOld = major < 4 || (major === 4 && minor < 20);
  return {
    name,
    state: "missing",
    found: cause === "EOPNOTSUPP" ? "disabled at boot (psi=0)" : "no /proc/pressure/memory",
    impact: "no warning from memory stalls before a kill",
    fix: isOld
      ? { text: `Boot Linux 4.20 or newer; this is ${kernel(files)}.` }
      : bootWith(files, "psi=1"),
  };
}

const fullSwapRatio = 0.05;

/** What only a Kubernetes node has. */
const nodePaths = ["var/lib/kubelet", "var/lib/rancher/k3s", "var/lib/rancher/rke2"];

/** By default a kubelet does not start where there is swap. */
function swapFix({ files, place }: DoctorOptions): Fix {
  const isNode =
    place === "pod" ||
    nodePaths.some((path) => existsSync(files.rootfs(path))) ||
    isHere(files, "kubelet");
  if (isNode) {
    return {
      text: "This is a Kubernetes node: ask who runs the cluster first. The kubelet has to allow swap (failSwapOn: false, memorySwap.swapBehavior: LimitedSwap), or it does not start again. Requests and limits on pods help without it.",
    };
  }
  return {
    text: "If the disk has room (Btrfs and ZFS need extra steps):",
    commands: [
      "fallocate -l 2G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile",
    ],
  };
}

function sysctlFix(name: string): Fix {
  return {
    text: "Now, and in /etc/sysctl.d, which sets it again at boot:",
    commands: [`sysctl -w ${name}=0`, `grep -rl ${name} /etc/sysctl.conf /etc/sysctl.d`],
  };
}

function checkSwap(meminfo: Meminfo | undefined, options: DoctorOptions): Check {
  const name = "swap";
  const { swapTotalBytes = 0, swapFreeBytes = 0 } = meminfo ?? {};
  if (swapTotalBytes === 0) {
    return {
      name,
      state: "partial",
      found: "none",
      impact: "no room to swap at a peak: kills come early and without warning",
      fix: swapFix(options),
    };
  }
  const free = `${percent(swapFreeBytes, swapTotalBytes)} free`;
  if (swapFreeBytes >= swapTotalBytes * fullSwapRatio) {
    return ok(name, `${bytes(swapTotalBytes)}, ${free}`);
  }
  return {
    name,
    state: "partial",
    found: `${bytes(swapTotalBytes)}, ${free}`,
    impact: "no swap is left for the next peak, which may cause a kill",
    fix: { text: "See which processes use it:", commands: ["oom-exporter victims"] },
  };
}

function checkOvercommit(files: HostFiles, meminfo: Meminfo | undefined): Check {
  const name = "vm.overcommit_memory";
  const mode = textOf(files, "sys/vm/overcommit_memory");
  if (mode === "1") {
    return {
      name,
      state: "partial",
      found: "1: always overcommit",
      impact: "allocations that are too large do not fail; a process is killed later instead",
      fix: {
        text: "Unless a program such as Redis asks for 1:",
        commands: ["sysctl -w vm.overcommit_memory=0"],
      },
    };
  }
  if (mode !== "2") return ok(name, mode === "0" ? "0: heuristic overcommit" : "unknown");
  const { committedAsBytes = 0, commitLimitBytes = 0 } = meminfo ?? {};
  return ok(name, `2: strict, ${percent(committedAsBytes, commitLimitBytes)} committed`);
}

function checkPanic(files: HostFiles): Check {
  const name = "vm.panic_on_oom";
  const value = textOf(files, "sys/vm/panic_on_oom");
  if (value === undefined || value === "0") {
    return ok(name, value === undefined ? "unknown" : "0: OOM killer, no panic");
  }
  return {
    name,
    state: "partial",
    found: `${value}: panic instead of a kill`,
    impact: "the host goes down instead of one process, and nothing can report it",
    fix: sysctlFix("vm.panic_on_oom"),
  };
}

function checkAllocatingTask(files: HostFiles): Check {
  const name = "vm.oom_kill_allocating_task";
  const value = textOf(files, "sys/vm/oom_kill_allocating_task");
  if (value === undefined || value === "0") {
    return ok(name, value === undefined ? "unknown" : "0: the process with the highest score");
  }
  return {
    name,
    state: "partial",
    found: `${value}: the kernel kills the task that asks for memory at that moment`,
    impact:
      "the next victim of the host cannot be predicted; oom-exporter itself is killed if it is the task that asks, even at oom_score_adj -900",
    fix: sysctlFix("vm.oom_kill_allocating_task"),
  };
}

function checkState({ stateDirectory: path, user, userId, place }: DoctorOptions): Check {
  const name = "state directory";
  const ways = {
    host: run(`install -d -o ${shellWord(user)} -m 750 ${shellWord(path)}`),
    container: dockerFlags(`-v oom-exporter-state:${shellWord(path)}`),
    pod: { text: `Mount a hostPath volume at ${path}.` },
  } satisfies Record<Place, Fix>;
  const { directory, obstacle } = statePlaceAt(path, user);
  if (obstacle !== undefined) {
    return {
      name,
      state: "missing",
      found: `${path}: ${obstacle}`,
      impact: "counts restart from 0 at each start, and kills during downtime are not counted",
      fix: ways[place],
    };
  }
  if (place !== "host" && statSync(directory).dev === statSync("/").dev) {
    return {
      name,
      state: "partial",
      found: `${path}: in the container's writable layer`,
      impact: "counts restart from 0 in a new container",
      fix: ways[place],
    };
  }
  if (directory !== path) return ok(name, `${path}: can be created`);
  // Root may ask for an exporter that runs as another user: who owns the directory proves nothing then.
  const owner = userId === 0 ? statSync(path).uid : userId;
  const exposure = place === "host" ? exposureOf(path, owner) : undefined;
  if (exposure === undefined) return ok(name, `${path}: writable`);
  return {
    name,
    state: "partial",
    found: `${path}: ${exposure.found}`,
    impact: "other users can change the counts saved there",
    fix: run(exposure.command),
  };
}

/** Under memory pressure an exporter answers late. */
const askMs = 30_000;

/** Whether the address is free, or in use by another oom-exporter. */
async function checkAddress(address: ListenAddress): Promise<Check> {
  const name = `port ${address.port}`;
  try {
    const connections = new Connections({ monotonicMs: () => 0 });
    await (
      await listen([address], (_request, response) => response.end(), { connections, graceMs: 0 })
    ).close();
    return ok(name, "free");
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    const server = await serverAt(address);
    if (server?.kind === "exporter") return ok(name, `served by oom-exporter ${server.version}`);
    if (server?.kind === "guarded") {
      return {
        name,
        state: "partial",
        found: "in use by a server that asks for TLS or a password, perhaps this exporter",
        impact: "if it is another program, oom-exporter does not start",
        fix: run("oom-exporter --check --web.config.file=FILE"),
      };
    }
    const [found = "", fix = ""] = error.message.split("; ");
    const impact = "oom-exporter does not start: kills go unseen";
    return { name, state: "missing", found, impact, fix: { text: `${capitalised(fix)}.` } };
  }
}

type Server = { kind: "exporter"; version: string } | { kind: "guarded" };

/** What answers there; `undefined` if it is nothing that an exporter can be. */
async function serverAt({ host, port }: ListenAddress): Promise<Server | undefined> {
  const name = host === undefined || host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  try {
    const answer = await fetch(
      `http://${name.includes(":") ? `[${name}]` : name}:${port}/api/v1/status`,
      { signal: AbortSignal.timeout(askMs) },
    );
    if (answer.status === 401) return { kind: "guarded" };
    const status = (await answer.json()) as { version?: unknown; killsUnaccounted?: unknown };
    const isOurs = typeof status.version === "string" && "killsUnaccounted" in status;
    return isOurs ? { kind: "exporter", version: status.version as string } : undefined;
  } catch {
    return (await speaksTls(name, port)) ? { kind: "guarded" } : undefined;
  }
}

function speaksTls(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    // Nothing is sent: only whether it answers the handshake counts, not whose certificate that is.
    const socket = connect({ host, port, rejectUnauthorized: false, timeout: askMs });
    const end = (speaks: boolean) => {
      socket.destroy();
      resolve(speaks);
    };
    socket.once("secureConnect", () => end(true));
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
  });
}
