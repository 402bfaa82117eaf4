/** Advice on a kill: by cause, by the platform of the limit, and by program. */
import { isUnkillable } from "../kernel/badness.ts";
import type { OomTask } from "../kernel-log/oom-dump.ts";
import { bytes } from "../text/quantities.ts";
import { shellWord } from "../text/shell.ts";
import type { Cause } from "./cause.ts";
import { type Evidence, held, isOrderUnclear, largestOf } from "./evidence.ts";
import {
  type Advice,
  findOpenVzContainer,
  type LimitPlace,
  lookBelow,
  raiseLimit,
  raiseOpenVz,
  shrinkGuest,
} from "./platforms.ts";
import { type Software, softwareOf } from "./software.ts";

export type { Advice };

/**
 * One item of `advice` in the JSON: the text, and its command on a separate line.
 *
 * Invariant: `readAdvice(writeAdvice(advice))` is the same advice, its text on one line.
 */
export function writeAdvice({ text, command }: Advice): string {
  // A process may have a line feed in its name, and what follows must not become a command.
  const line = text.replaceAll("\n", "\\n");
  return command === undefined ? line : `${line}\n${command}`;
}

/** The text and the command of one item of `advice`. */
export function readAdvice(line: string): Advice {
  const end = line.indexOf("\n");
  return end < 0 ? { text: line } : { text: line.slice(0, end), command: line.slice(end + 1) };
}

/** The document below docs/ to which an item of advice leads, such as `runbooks/OomKill.md`, and the text before it. */
export function documentIn(line: string): { text: string; document: string } | undefined {
  const [, text, document] = /^((?:.* )?(?:Runbook|More):) docs\/(\S+\.md)$/.exec(line) ?? [];
  return text === undefined || document === undefined ? undefined : { text, document };
}

export const runbooks: Record<"host" | "cgroup", string> = {
  host: "docs/runbooks/OomHostExhausted.md",
  cgroup: "docs/runbooks/OomKill.md",
};

/** All advice for one kill, most useful first; the last item names the runbook. */
export function adviceFor(cause: Cause, evidence: Evidence): Advice[] {
  const { report } = evidence;
  return [
    ...adviceOf[cause](evidence),
    ...softwareAdvice(cause, evidence),
    ...unkillableAdvice(cause, evidence),
    ...swapAdvice(cause, evidence),
    ...allocatingTask(report.prefix),
    ...missingReport(evidence),
    { text: `Runbook: ${runbooks[report.constraint === "memcg" ? "cgroup" : "host"]}` },
  ];
}

const findLeak: Advice = {
  text: "If its memory grows without bound, it leaks: watch oom_cgroup_memory_anon_bytes over days, and restart it before it is killed.",
};

const limitWhatGrows: Advice = {
  text: "Set limits for workloads that may grow (MemoryMax=, docker run --memory, Kubernetes limits), so that they die alone and early.",
};

const findBpfProgram: Advice = {
  text: "Find the BPF program that requests kills, and its thresholds; raising a limit does not change them:",
  command: "bpftool prog list; bpftool struct_ops show",
};

const adviceOf: Record<Cause, (evidence: Evidence) => Advice[]> = {
  manual: ({ report }) => {
    if (report.customConstraint !== undefined) return [findBpfProgram];
    return [
      { text: "Find out who requested it:", command: "journalctl -k | grep -i sysrq" },
      { text: "To disable SysRq:", command: "sysctl kernel.sysrq=0" },
    ];
  },
  page_fault: ({ memInfo }) => [
    {
      text: "Memory was free again, or the fault failed for another reason: a kernel bug, or a cgroup's limit on kernel memory (memory.kmem.limit_in_bytes). Read the kernel messages around the kill (BUG, Oops, SLUB: Unable to allocate memory, page allocation failure):",
      command: "journalctl -k -p warning -o short-precise",
    },
    {
      text: `Restart what was killed${memInfo === undefined ? "" : "; it was not to blame"}. Kernels from 5.16 on no longer kill for a page fault: upgrade if this happens again.`,
    },
  ],
  cpuset_or_node: ({ hasOnlyMovable }) => [
    ...(hasOnlyMovable
      ? [
          {
            text: "Add a node with a zone Normal to the cpuset (cpuset.mems): the kernel's own requests cannot use zone Movable. Kernels from 5.16 on refuse such a request instead of killing.",
          },
        ]
      : []),
    { text: "See how much each node has left:", command: "numastat -m" },
    {
      text: "Allow more nodes (cpuset.mems, AllowedMemoryNodes= of a unit, numactl --interleave=all), or run fewer tasks on these nodes.",
    },
  ],
  fragmentation: ({ memInfo }) => [
    ...(memInfo?.zones.some(({ zone }) => zone === "HighMem")
      ? [
          {
            text: "Only low memory can serve such a request on this 32-bit kernel, whatever is free in HighMem: run a 64-bit kernel.",
          },
        ]
      : []),
    { text: "Compact free memory:", command: "echo 1 > /proc/sys/vm/compact_memory" },
    {
      text: "Keep more in reserve (vm.min_free_kbytes, 1 to 3 % of memory), and look for drivers that make high-order allocations. See the current state:",
      command: "cat /proc/buddyinfo",
    },
  ],
  protected_hog: ({ tasks }) => {
    const hog = largestOf(tasks.filter((task) => isUnkillable(task.oomScoreAdj)));
    return [
      {
        text: `Give ${hog?.comm} its own limit, or a smaller cache, so that it cannot take the host down.`,
      },
      {
        text: "Let the kernel kill it as a last resort (OOMScoreAdjust=-500 in its unit):",
        command: `choom -n -500 -p ${hog?.pid}`,
      },
    ];
  },
  kernel_memory: ({ shortZone }) => [
    { text: "See which kernel cache uses it:", command: "slabtop -o -s c | head -20" },
    {
      text: "See what is not slab:",
      command: "grep -E 'SUnreclaim|PageTables|KernelStack|Percpu|VmallocUsed' /proc/meminfo",
    },
    {
      text: "A cache that only grows is a leak in the kernel or a driver: update it; a reboot frees the memory.",
    },
    ...(shortZone === undefined ? [] : [lowMemory(shortZone.zone.zone)]),
  ],
  unaccounted: ({ shortZone }) => [
    {
      text: "See what the kernel counts but does not report (per-cpu data, vmalloc, balloon, CMA):",
      command:
        "grep -E 'Percpu|VmallocUsed|Balloon|Cma|Hugetlb' /proc/meminfo; grep nr_zspages /proc/vmstat",
    },
    {
      text: "Check what allocates pages directly: the ZFS ARC, zram, a GPU or network driver, the hypervisor's balloon. For ZFS:",
      command: 'awk \'$1 == "size" || $1 == "c_max"\' /proc/spl/kstat/zfs/arcstats',
    },
    {
      text: "Otherwise a driver leaks: find its name in the kernel messages, update it, and reboot to free the memory. Limits on processes do not help.",
    },
    ...(shortZone === undefined ? [] : [lowMemory(shortZone.zone.zone)]),
  ],
  shmem: (evidence) => [
    {
      text: "See what is in tmpfs and shared memory:",
      command: "df -h -t tmpfs; du -xsh /dev/shm /run /tmp; ipcs -m",
    },
    {
      text: "Delete leftovers (ipcrm -m ID), and limit the size where it is mounted (size= of the tmpfs, --shm-size, sizeLimit of an emptyDir).",
    },
    ...(evidence.report.constraint === "memcg" ? raised(evidence) : []),
  ],
  many_small: ({ crowd }) => [
    {
      text: `Run fewer ${crowd?.comm} at a time: limit workers, connections or jobs in its configuration.`,
    },
    {
      text: "Stop a fork storm at its source: TasksMax= in the unit, --pids-limit for a container.",
    },
  ],
  parent_cgroup_limit: (evidence) => {
    const place = placeOf(evidence);
    return [
      ...(place === undefined ? [] : [lookBelow(place)]),
      { text: "Give the largest one its own limit, so that it dies instead of its neighbour." },
      ...raised(evidence),
    ];
  },
  cgroup_limit: (evidence) => {
    const unwritten = unwrittenCache(evidence);
    return [...unwritten, ...raised(evidence), ...(unwritten.length > 0 ? [] : [findLeak])];
  },
  unknown_limit: ({ report }) => {
    if (report.prefix?.includes(" in UB ")) return [findOpenVzContainer];
    const cgroup = report.groupCgroup ?? report.victimCgroup;
    return [
      cgroup === undefined
        ? {
            text: "Find the cgroups that counted a kill:",
            command:
              "grep -rl '^oom_kill [1-9]' /sys/fs/cgroup --include=memory.events --include=memory.oom_control",
          }
        : {
            text: "See which limit is the tightest there:",
            command: `oom-exporter victims --cgroup ${shellWord(cgroup)}`,
          },
      findLeak,
    ];
  },
  swap_exhausted: (evidence) => [
    ...hugePages(evidence),
    ...restartLargest(evidence),
    ...limitsOnHost(evidence),
    {
      text: "Add memory; more swap only delays the problem. See current usage:",
      command: "free -h",
    },
  ],
  memory_hog: (evidence) => [
    ...hugePages(evidence),
    ...((evidence.largest?.pid === evidence.report.pid ? shrunkGuest(evidence) : undefined) ?? [
      {
        text: `Give ${evidence.largest?.comm} a limit below the host's memory (MemoryMax=, docker run --memory, Kubernetes limits).`,
      },
    ]),
    findLeak,
  ],
  host_exhausted: (evidence) => [
    ...hugePages(evidence),
    ...(evidence.shortZone === undefined ? [] : [lowMemory(evidence.shortZone.zone.zone)]),
    {
      text: "See which process dies next and how much memory that would free:",
      command: "oom-exporter victims",
    },
    ...(isOrderUnclear(evidence)
      ? [{ text: "See whether free memory is fragmented:", command: "cat /proc/buddyinfo" }]
      : evidence.shortZone === undefined
        ? limitsOnHost(evidence)
        : []),
  ],
  unknown: () => [],
};

/** What keeps the host from running out again: limits, unless processes hold little of it. */
function limitsOnHost(evidence: Evidence): Advice[] {
  const { hugePagesBytes = 0, unreclaimedBytes, poolBytes = 0, heldBytes } = evidence;
  if (hugePagesBytes > 0 && heldBytes * 2 < poolBytes - hugePagesBytes) return [];
  if (unreclaimedBytes !== undefined) return [findUnreclaimed];
  return shrunkGuest(evidence) ?? [limitWhatGrows];
}

/** A virtual machine takes the memory it was given, so a limit does not fit if one was killed. */
function shrunkGuest({ report, owner }: Evidence): Advice[] | undefined {
  const { victimCgroup } = report;
  const isGuest = owner.runtime === "qemu" && victimCgroup !== undefined;
  return isGuest ? shrinkGuest(victimCgroup) : undefined;
}

const findUnreclaimed: Advice = {
  text: "Page cache is given back first, unless it is locked, waits for a slow disk or the kernel fails to reclaim it. See how much is dirty, in writeback or locked, and read the kernel messages of the file system before the kill; if nothing explains it, update the kernel:",
  command: "grep -E '^(Dirty|Writeback|Mlocked|Unevictable)' /proc/meminfo",
};

function hugePages({ hugePagesBytes }: Evidence): Advice[] {
  if (hugePagesBytes === undefined) return [];
  return [
    {
      text: "Huge pages serve only programs that ask for them (databases, virtual machines, DPDK). Reserve no more than those need (HugePages_Total less Free, plus Rsvd), with vm.nr_hugepages in /etc/sysctl.conf or /etc/sysctl.d, or hugepages= on the kernel's command line; after a resize of the machine the number must change too:",
      command:
        "grep '^Huge' /proc/meminfo; grep -rs nr_hugepages /etc/sysctl.conf /etc/sysctl.d; cat /proc/cmdline",
    },
  ];
}

function lowMemory(zone: string): Advice {
  return zone === "Normal" || zone === "DMA"
    ? {
        text: "Low memory ran out, the only memory that this kernel can use for itself (32-bit, or nodes with movable memory only): run a 64-bit kernel, or make zone HighMem or Movable smaller; neither limits nor swap help.",
      }
    : {
        text: `Zone ${zone} ran out while others had room: some device can use only that zone. Update its driver, or keep more of the zone free (vm.lowmem_reserve_ratio).`,
      };
}

/** The cgroup that reached its limit, as the platform table takes it. */
function placeOf({ report, limitOwner, poolBytes, usedBytes }: Evidence): LimitPlace | undefined {
  const { limitCgroup, dump } = report;
  if (limitCgroup === undefined) return undefined;
  const { memory, memorySwap, swap } = dump?.memcg ?? {};
  const both = memorySwap?.limitBytes;
  return {
    cgroup: limitCgroup,
    owner: limitOwner,
    limitBytes: poolBytes ?? usedBytes,
    swapBytes:
      both !== undefined && memory?.limitBytes !== undefined
        ? Math.max(0, both - memory.limitBytes)
        : swap?.limitBytes,
    // Only cgroup v1 counts memory and swap together.
    isV1: memorySwap !== undefined,
  };
}

/** The kernel drops page cache before it kills, but not pages still to be written to disk. */
function unwrittenCache({ report, usedBytes }: Evidence): Advice[] {
  const { stat } = report.dump?.memcg ?? {};
  const size = (...keys: string[]): number => {
    return keys.reduce((total, key) => total + (stat?.get(key) ?? 0), 0);
  };
  const unwritten = size("file_dirty", "file_writeback") || size("dirty", "writeback");
  if (usedBytes === undefined || unwritten * 2 < usedBytes || unwritten === 0) return [];
  return [
    {
      text: `${bytes(unwritten)} of ${bytes(usedBytes)} is page cache not yet written to disk: the disk is slower than the writer. Set vm.dirty_bytes and vm.dirty_background_bytes well below the limit:`,
      command: `sysctl vm.dirty_bytes=${roundDown(usedBytes / 4)} vm.dirty_background_bytes=${roundDown(usedBytes / 8)}`,
    },
  ];
}

function roundDown(size: number): number {
  const mib = 1024 * 1024;
  return Math.max(mib, Math.floor(size / mib) * mib);
}

function raised(evidence: Evidence): Advice[] {
  const { veId, limitCgroup } = evidence.report;
  if (limitCgroup === undefined && veId !== undefined) return raiseOpenVz(veId);
  const place = placeOf(evidence);
  return place === undefined ? [] : raiseLimit(place);
}

/** A kill line may name a thread; the table has its process. */
function isVictim(task: OomTask, { report }: Evidence): boolean {
  const { pid, comm, anonRssBytes, fileRssBytes = 0, shmemRssBytes = 0 } = report;
  if (task.pid === pid || task.tgid === pid) return true;
  if (task.comm !== comm || anonRssBytes === undefined) return false;
  const own = anonRssBytes + fileRssBytes + shmemRssBytes;
  return Math.abs(task.rssBytes - own) * 20 < own;
}

/** The victim's memory is already free: only the remaining processes can be restarted. */
function restartLargest(evidence: Evidence): Advice[] {
  const { tasks, poolBytes, heldBytes, report } = evidence;
  if (report.groupCgroup !== undefined) return [];
  const largest = largestOf(tasks.filter((task) => !isVictim(task, evidence)));
  if (largest === undefined || held(largest) * 10 < (poolBytes ?? heldBytes)) return [];
  return [
    {
      text: `Restart or limit the largest process still running: ${largest.comm} (pid ${largest.pid}), ${bytes(held(largest))}.`,
    },
  ];
}

/** Settings of the program that could have kept its memory down. */
function softwareAdvice(cause: Cause, evidence: Evidence): Advice[] {
  const { report, largest, crowd, tasks, owner } = evidence;
  const hog = largestOf(tasks.filter((task) => isUnkillable(task.oomScoreAdj)));
  // The victim may be a thread with its own name; the triggering task is under the same limit.
  const trigger = report.dump?.trigger?.comm;
  const blamed: Partial<Record<Cause, (string | undefined)[]>> = {
    protected_hog: [hog?.comm],
    many_small: [crowd?.comm],
    parent_cgroup_limit: [largest?.comm ?? report.comm],
    cgroup_limit: [report.comm, largest?.comm, trigger],
    unknown_limit: [report.comm, trigger],
    swap_exhausted: [largest?.comm],
    memory_hog: [largest?.comm],
    host_exhausted:
      evidence.shortZone === undefined
        ? [largest?.comm ?? evidence.largestLeft?.comm ?? report.comm]
        : [],
    unknown: [report.comm],
  };
  const found = (blamed[cause] ?? [])
    .map((comm) => (comm === undefined ? undefined : softwareOf(comm, owner)))
    .find((software) => software !== undefined);
  if (!weighs(cause, evidence) && !isOneOfMany(evidence, found)) return [];
  return found === undefined ? [] : [{ text: `${found.advice} More: ${found.page}` }];
}

/** Settings of a small victim do not matter in a large shortage. */
function weighs(cause: Cause, evidence: Evidence): boolean {
  const { report, largest = evidence.largestLeft, poolBytes, crowd } = evidence;
  if (cause === "many_small" || cause === "protected_hog") return crowd !== undefined;
  const own = (report.anonRssBytes ?? 0) + (report.fileRssBytes ?? 0) + (report.shmemRssBytes ?? 0);
  const size = Math.max(own, largest === undefined ? 0 : held(largest));
  if (poolBytes !== undefined) return size * 10 >= poolBytes;
  // OpenVZ and the oldest kernels give no sizes.
  if (report.anonRssBytes === undefined) return true;
  return size >= (report.constraint === "memcg" ? smallLimitBytes : smallHostBytes);
}

/** Under a limit whose size the log does not say, each process of such a program may be small. */
function isOneOfMany({ report, poolBytes }: Evidence, found: Software | undefined): boolean {
  if (report.constraint !== "memcg" || poolBytes !== undefined) return false;
  const { anonRssBytes = 0, fileRssBytes = 0, shmemRssBytes = 0 } = report;
  const own = anonRssBytes + fileRssBytes + shmemRssBytes;
  return found?.hasManyProcesses === true && own >= smallProcessBytes;
}

const smallProcessBytes = 16 * 1024 * 1024;

const smallLimitBytes = 64 * 1024 * 1024;
const smallHostBytes = 256 * 1024 * 1024;

function unkillableAdvice(cause: Cause, { unkillableBytes, heldBytes }: Evidence): Advice[] {
  if (cause === "protected_hog" || cause === "manual" || heldBytes === 0) return [];
  if (unkillableBytes * 2 < heldBytes) return [];
  return [
    {
      text: `Tasks with oom_score_adj -1000 use ${bytes(unkillableBytes)} that the kernel cannot free:`,
      command: "oom-exporter victims",
    },
  ];
}

/** Causes that swapping out idle anonymous memory would have helped against. */
const swapHelps: ReadonlySet<Cause> = new Set([
  "protected_hog",
  "many_small",
  "memory_hog",
  "host_exhausted",
]);

/** On a Kubernetes node swap is off unless the kubelet is configured otherwise. */
const nodeAgents = /^(?:kubelet|kubelite|k3s(?:-server|-agent)?|rke2)$/;

/** Swap takes anonymous memory only, and Kubernetes nodes mostly run without it. */
function swapAdvice(cause: Cause, evidence: Evidence): Advice[] {
  const { memInfo, anonBytes, poolBytes, tasks, owner, shortZone } = evidence;
  if (memInfo?.swapTotalBytes !== 0 || !swapHelps.has(cause) || shortZone !== undefined) return [];
  const isNode =
    owner.platform === "kubernetes" ||
    owner.platform === "talos" ||
    tasks.some((task) => nodeAgents.test(task.comm));
  if (isNode || anonBytes === undefined || poolBytes === undefined) return [];
  if (anonBytes * 2 < poolBytes - (memInfo.freeBytes ?? 0)) return [];
  return [
    {
      text: "There is no swap, so idle anonymous memory cannot be paged out. If the disk has room (Btrfs and ZFS need extra steps):",
      command:
        "fallocate -l 2G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile",
    },
  ];
}

/** With this setting the kernel does not look for the largest task. */
function allocatingTask(prefix: string | undefined): Advice[] {
  if (!prefix?.includes("oom_kill_allocating_task")) return [];
  return [
    {
      text: "vm.oom_kill_allocating_task is set, so the kernel killed whatever asked for memory, not the largest task. To let it choose:",
      command: "sysctl vm.oom_kill_allocating_task=0",
    },
  ];
}

/** Says what is missing from the kernel's report; blames the rate limit only if the log shows it. */
function missingReport({ report }: Evidence): Advice[] {
  const { dump, isRateLimited } = report;
  if (isRateLimited) {
    return [
      {
        text: "The kernel writes at most ten reports in 5 s, and ten came before this kill: see the first kills of the storm for details.",
      },
    ];
  }
  const hasNumbers =
    dump?.memcg !== undefined || dump?.memInfo !== undefined || (dump?.tasks.length ?? 0) > 0;
  if (hasNumbers) return [];
  return [
    {
      text: `This log is filtered or truncated: ${dump === undefined ? "it has the kill line but no report" : "the numbers of the report are missing"}. Read the full log:`,
      command: "journalctl -k -o short-iso | oom-exporter explain -",
    },
  ];
}
