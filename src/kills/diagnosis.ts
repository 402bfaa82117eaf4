/**
 * Why a kill happened, told from the kernel's report of it.
 *
 * The first cause that matches wins, in the order of `causes` below; what else is true goes into the
 * advice. A cause that needs the dump never matches without it.
 */
import type { MemInfoDump, OomTask } from "../kernel-log/oom-dump.ts";
import type { OomKillReport } from "../kernel-log/oom-report.ts";
import { bytes, percent } from "../text/quantities.ts";
import type { Cause } from "./kill.ts";
import type { Owner } from "./owner.ts";

export interface Diagnosis {
  cause: Cause;
  /** One sentence of evidence with numbers. */
  summary: string;
  /** What to do, the most useful first; the last names the runbook. */
  advice: string[];
}

/** Tasks of one name, when together they weigh. */
interface Crowd {
  comm: string;
  count: number;
  heldBytes: number;
  largestBytes: number;
}

/** What the causes look at, worked out once. */
interface Evidence {
  report: OomKillReport;
  owner: Owner;
  limitOwner: Owner;
  /** Size of what ran out: the limit, or the memory of the host. */
  poolBytes?: number;
  usedBytes?: number;
  memInfo?: MemInfoDump;
  tasks: readonly OomTask[];
  heldBytes: number;
  largest?: OomTask;
  unkillableBytes: number;
  crowd?: Crowd;
  shmemBytes?: number;
  kernelBytes?: number;
}

const unkillable = -1000;
/** From this many tasks of one name on, their number is the point and not their size. */
const crowdSize = 8;

/** What a task holds. Shared memory counts for each task that maps it, so it is left out where known. */
function held(task: OomTask): number {
  return task.rssBytes - (task.shmemRssBytes ?? 0) + (task.swapBytes ?? 0);
}

function evidenceOf(
  report: OomKillReport,
  ownerOf: (cgroup: string | undefined) => Owner,
): Evidence {
  const { dump } = report;
  const memcg = report.constraint === "memcg" ? dump?.memcg : undefined;
  const memInfo = report.constraint === "memcg" ? undefined : dump?.memInfo;
  const tasks = wholeTable(report);
  const stat = (...keys: string[]): number | undefined => {
    const found = keys.map((key) => memcg?.stat.get(key)).filter((value) => value !== undefined);
    return found.length === 0 ? undefined : found.reduce((sum, value) => sum + value, 0);
  };
  const kernelOfHost =
    memInfo?.slabUnreclaimableBytes === undefined
      ? undefined
      : memInfo.slabUnreclaimableBytes +
        (memInfo.pageTablesBytes ?? 0) +
        (memInfo.kernelStackBytes ?? 0);
  return {
    report,
    owner: ownerOf(report.victimCgroup),
    limitOwner: ownerOf(report.limitCgroup),
    poolBytes: memcg === undefined ? memInfo?.totalBytes : memcg.memory?.limitBytes,
    usedBytes: memcg?.memory?.usageBytes,
    memInfo,
    tasks,
    heldBytes: sum(tasks, held),
    largest: tasks.reduce<OomTask | undefined>(
      (largest, task) => (largest === undefined || held(task) > held(largest) ? task : largest),
      undefined,
    ),
    unkillableBytes: sum(
      tasks.filter((task) => task.oomScoreAdj === unkillable),
      held,
    ),
    crowd: largestCrowd(tasks),
    shmemBytes: memcg === undefined ? memInfo?.shmemBytes : stat("shmem"),
    kernelBytes:
      memcg === undefined
        ? kernelOfHost
        : (memcg.kernelMemory?.usageBytes ??
          stat("slab_unreclaimable", "kernel_stack", "pagetables", "percpu", "sock")),
  };
}

/** The task table, where it is all there: the victim alone cannot hold more than all tasks together. */
function wholeTable({
  dump,
  anonRssBytes = 0,
  fileRssBytes = 0,
}: OomKillReport): readonly OomTask[] {
  const tasks = dump?.tasks ?? [];
  const rssBytes = sum(tasks, (task) => task.rssBytes);
  return rssBytes * 10 >= (anonRssBytes + fileRssBytes) * 9 ? tasks : [];
}

function sum(tasks: readonly OomTask[], size: (task: OomTask) => number): number {
  return tasks.reduce((total, task) => total + size(task), 0);
}

function largestCrowd(tasks: readonly OomTask[]): Crowd | undefined {
  const crowds = new Map<string, Crowd>();
  for (const task of tasks) {
    const crowd = crowds.get(task.comm) ?? {
      comm: task.comm,
      count: 0,
      heldBytes: 0,
      largestBytes: 0,
    };
    crowd.count += 1;
    crowd.heldBytes += held(task);
    crowd.largestBytes = Math.max(crowd.largestBytes, held(task));
    crowds.set(task.comm, crowd);
  }
  let largest: Crowd | undefined;
  for (const crowd of crowds.values()) {
    if (largest === undefined || crowd.heldBytes > largest.heldBytes) largest = crowd;
  }
  return largest;
}

type CauseRule = (evidence: Evidence) => string | undefined;

/** In the order in which they are tried. Each answers with its sentence, or not at all. */
const causes: readonly [Cause, CauseRule][] = [
  ["manual", manual],
  ["cpuset_or_node", cpusetOrNode],
  ["fragmentation", fragmentation],
  ["protected_hog", protectedHog],
  ["kernel_memory", kernelMemory],
  ["shmem", sharedMemory],
  ["many_small", manySmall],
  ["parent_cgroup_limit", parentCgroupLimit],
  ["cgroup_limit", cgroupLimit],
  ["swap_exhausted", swapExhausted],
  ["memory_hog", memoryHog],
  ["host_exhausted", hostExhausted],
];

/**
 * Tells the cause of a kill.
 *
 * `ownerOf` says whose a cgroup is; a limit that belongs to the victim's own unit or container is its
 * own, whatever lies between the two in the tree.
 */
export function diagnose(
  report: OomKillReport,
  ownerOf: (cgroup: string | undefined) => Owner,
): Diagnosis {
  const evidence = evidenceOf(report, ownerOf);
  for (const [cause, rule] of causes) {
    const summary = rule(evidence);
    if (summary !== undefined) return { cause, summary, advice: adviceFor(cause, evidence) };
  }
  const summary = `The kernel killed ${victim(evidence)}; the log holds nothing but that line, so what ran out is not known.`;
  return { cause: "unknown", summary, advice: adviceFor("unknown", evidence) };
}

function victim({ report }: Evidence): string {
  const { comm, pid } = report;
  return `${comm === "" ? "a task without a name" : comm} (pid ${pid})`;
}

/** What the victim held itself, by the kill line. */
function victimBytes({ report }: Evidence): number | undefined {
  if (report.anonRssBytes === undefined) return undefined;
  return report.anonRssBytes + (report.fileRssBytes ?? 0) + (report.shmemRssBytes ?? 0);
}

function isHalf(part: number | undefined, whole: number | undefined): boolean {
  return part !== undefined && whole !== undefined && whole > 0 && part * 2 >= whole;
}

function nameOf(owner: Owner, cgroup: string | undefined): string {
  const id = owner.containerId?.slice(0, 12);
  const container = id === undefined ? null : `${owner.runtime ?? "container"} ${id}`;
  const isMachine = owner.runtime === "lxc" || owner.runtime === "nspawn";
  const name =
    isMachine && owner.unit !== null && owner.container !== null
      ? `${owner.unit} in ${owner.container}`
      : (owner.container ?? container ?? owner.unit ?? undefined);
  const pod = owner.pod ?? owner.podUid;
  if (pod !== null) return `pod ${pod}${name === undefined ? "" : `, ${name}`}`;
  return name ?? (cgroup === undefined ? "its cgroup" : cgroup);
}

function manual(evidence: Evidence): string | undefined {
  if (evidence.report.dump?.trigger?.order !== -1) return undefined;
  return `Somebody asked the kernel for a kill by SysRq f (order -1), and it took ${victim(evidence)}; memory need not have been short.`;
}

function cpusetOrNode(evidence: Evidence): string | undefined {
  const { report, memInfo } = evidence;
  if (report.constraint !== "cpuset" && report.constraint !== "memory_policy") return undefined;
  const whose = report.constraint === "cpuset" ? "its cpuset" : "its memory policy";
  const rooms = (memInfo?.zones ?? [])
    .reduce((nodes, zone) => {
      nodes.set(zone.node, (nodes.get(zone.node) ?? 0) + zone.freeBytes);
      return nodes;
    }, new Map<number, number>())
    .entries();
  const free = [...rooms].map(([node, size]) => `${bytes(size)} on node ${node}`).join(", ");
  return `The memory nodes that ${whose} allows ran out${free === "" ? "" : ` (free: ${free})`}, and ${victim(evidence)} was using them.`;
}

/**
 * Free memory counts only where ordinary allocations take it from: the small DMA zone always keeps a
 * reserve above its watermarks, and HighMem and Movable cannot serve the kernel's own requests.
 */
function fragmentation(evidence: Evidence): string | undefined {
  const { report, memInfo } = evidence;
  const order = report.dump?.trigger?.order ?? 0;
  if (memInfo === undefined || order < 1) return undefined;
  const normal = memInfo.zones.filter((zone) => zone.zone === "Normal");
  const zones = normal.length > 0 ? normal : memInfo.zones.filter((zone) => zone.zone === "DMA32");
  const roomy = zones.find((zone) => zone.lowBytes !== undefined && zone.freeBytes > zone.lowBytes);
  if (roomy === undefined) return undefined;
  const wanted = bytes((report.dump?.pageSizeBytes ?? 4096) * 2 ** order);
  return `${report.dump?.trigger?.comm} needed ${wanted} in one piece (order ${order}) and got none, though ${bytes(roomy.freeBytes)} were free in zone ${roomy.zone} of node ${roomy.node}: memory is in pieces.`;
}

function protectedHog(evidence: Evidence): string | undefined {
  const { tasks, heldBytes, unkillableBytes, poolBytes } = evidence;
  if (!isHalf(unkillableBytes, heldBytes)) return undefined;
  if (poolBytes !== undefined && unkillableBytes * 3 < poolBytes) return undefined;
  const [hog] = tasks
    .filter((task) => task.oomScoreAdj === unkillable)
    .sort((a, b) => held(b) - held(a));
  if (hog === undefined) return undefined;
  return `Tasks that may not be killed (oom_score_adj -1000) hold ${bytes(unkillableBytes)} of ${bytes(heldBytes)}, ${hog.comm} (pid ${hog.pid}) alone ${bytes(held(hog))}, so ${victim(evidence)} had to go.`;
}

function kernelMemory(evidence: Evidence): string | undefined {
  const { kernelBytes, poolBytes, usedBytes, heldBytes, memInfo } = evidence;
  const whole = usedBytes ?? poolBytes;
  if (kernelBytes === undefined || whole === undefined) return undefined;
  const outweighs = kernelBytes * 10 >= whole * 3 && kernelBytes > heldBytes;
  if (!isHalf(kernelBytes, whole) && !outweighs) return undefined;
  const parts =
    memInfo === undefined
      ? ""
      : ` (slab ${bytes(memInfo.slabUnreclaimableBytes ?? 0)}, page tables ${bytes(memInfo.pageTablesBytes ?? 0)}, stacks ${bytes(memInfo.kernelStackBytes ?? 0)})`;
  return `The kernel itself holds ${bytes(kernelBytes)} of ${bytes(whole)} that it cannot give back${parts}; killing ${victim(evidence)} could free little.`;
}

function sharedMemory(evidence: Evidence): string | undefined {
  const { shmemBytes, poolBytes, usedBytes, tasks } = evidence;
  const whole = usedBytes ?? poolBytes;
  if (shmemBytes === undefined || whole === undefined || !isHalf(shmemBytes, whole)) {
    return undefined;
  }
  const mapped = Math.max(
    evidence.report.shmemRssBytes ?? 0,
    ...tasks.map((task) => task.shmemRssBytes ?? 0),
  );
  const kind =
    mapped * 2 >= shmemBytes
      ? `shared memory, of which one task maps ${bytes(mapped)}`
      : "files in tmpfs or shared memory that no task maps whole";
  return `${bytes(shmemBytes)} of ${bytes(whole)} are ${kind}; killing ${victim(evidence)} gives back none of it that lives in files.`;
}

function manySmall(evidence: Evidence): string | undefined {
  const { crowd, heldBytes } = evidence;
  if (crowd === undefined || crowd.count < crowdSize || !isHalf(crowd.heldBytes, heldBytes)) {
    return undefined;
  }
  if (crowd.largestBytes * 4 > crowd.heldBytes) return undefined;
  return `${crowd.count} tasks called ${crowd.comm} hold ${bytes(crowd.heldBytes)} together (${percent(crowd.heldBytes, heldBytes)} of what tasks hold), none of them more than ${bytes(crowd.largestBytes)}.`;
}

function isOwnLimit({ report, owner, limitOwner }: Evidence): boolean {
  const { limitCgroup, victimCgroup } = report;
  if (limitCgroup === undefined || victimCgroup === undefined) return true;
  if (limitCgroup === victimCgroup) return true;
  if (owner.containerId !== null || limitOwner.containerId !== null) {
    return owner.containerId === limitOwner.containerId;
  }
  if (owner.podUid !== null || limitOwner.podUid !== null) return false;
  // The whole of a container that has units of its own.
  if (limitOwner.container !== null && limitOwner.unit === null) {
    return owner.container === limitOwner.container;
  }
  return owner.unit !== null && owner.unit === limitOwner.unit;
}

function usageOfLimit({ usedBytes, poolBytes, report }: Evidence): string {
  if (poolBytes !== undefined) {
    return usedBytes === undefined
      ? `its limit of ${bytes(poolBytes)}`
      : `its limit of ${bytes(poolBytes)} (${bytes(usedBytes)} in use)`;
  }
  const { memorySwap } = report.dump?.memcg ?? {};
  if (memorySwap?.limitBytes !== undefined) {
    return `its limit of ${bytes(memorySwap.limitBytes)} for memory and swap`;
  }
  return "its memory limit";
}

function shareOfVictim(evidence: Evidence): string {
  const own = victimBytes(evidence);
  return own === undefined ? "" : `, which held ${bytes(own)}`;
}

function parentCgroupLimit(evidence: Evidence): string | undefined {
  const { report, owner, limitOwner, largest } = evidence;
  if (report.constraint !== "memcg" || isOwnLimit(evidence)) return undefined;
  const neighbour =
    largest !== undefined && largest.pid !== report.pid
      ? `; the largest task under that limit was ${largest.comm} (pid ${largest.pid}) with ${bytes(held(largest))}`
      : "";
  return `${nameOf(limitOwner, report.limitCgroup)}, above ${nameOf(owner, report.victimCgroup)}, reached ${usageOfLimit(evidence)}, and the kernel took ${victim(evidence)}${shareOfVictim(evidence)}${neighbour}.`;
}

function cgroupLimit(evidence: Evidence): string | undefined {
  const { report, limitOwner, owner } = evidence;
  if (report.constraint !== "memcg") return undefined;
  const cgroup = report.limitCgroup ?? report.groupCgroup ?? report.victimCgroup;
  if (cgroup === undefined) {
    return `A cgroup reached its memory limit and the kernel took ${victim(evidence)}${shareOfVictim(evidence)}; which one, the log does not say.`;
  }
  if (report.limitCgroup === undefined) {
    return `A memory limit at or above ${nameOf(owner, cgroup)} was reached, and the kernel took ${victim(evidence)}${shareOfVictim(evidence)}.`;
  }
  const name = nameOf(limitOwner, cgroup);
  if (report.groupCgroup !== undefined && report.victimCgroup === undefined) {
    return `${name} reached ${usageOfLimit(evidence)}, and all of ${report.groupCgroup} died together (memory.oom.group), ${victim(evidence)}${shareOfVictim(evidence)} with the rest.`;
  }
  return `${name} reached ${usageOfLimit(evidence)}, and the kernel took ${victim(evidence)}${shareOfVictim(evidence)}.`;
}

function swapExhausted(evidence: Evidence): string | undefined {
  const { memInfo, poolBytes } = evidence;
  const { swapTotalBytes, swapFreeBytes } = memInfo ?? {};
  if (swapTotalBytes === undefined || swapTotalBytes === 0 || swapFreeBytes === undefined) {
    return undefined;
  }
  if (swapFreeBytes * 20 > swapTotalBytes) return undefined;
  const memory = poolBytes === undefined ? "Memory" : `${bytes(poolBytes)} of memory`;
  return `${memory} and ${bytes(swapTotalBytes)} of swap were used up (${bytes(swapFreeBytes)} of swap left), and the kernel took ${victim(evidence)}${shareOfVictim(evidence)}.`;
}

function memoryHog(evidence: Evidence): string | undefined {
  const { largest, poolBytes, heldBytes, report } = evidence;
  const whole = poolBytes ?? heldBytes;
  if (largest === undefined || !isHalf(held(largest), whole)) return undefined;
  const of =
    poolBytes === undefined
      ? `${percent(held(largest), whole)} of what tasks hold`
      : `${percent(held(largest), whole)} of the host's ${bytes(whole)}`;
  const killed = largest.pid === report.pid ? "" : `; the kernel took ${victim(evidence)}`;
  return `${largest.comm} (pid ${largest.pid}) alone held ${bytes(held(largest))}, ${of}${killed}.`;
}

function hostExhausted(evidence: Evidence): string | undefined {
  const { report, poolBytes, heldBytes, memInfo } = evidence;
  if (report.constraint !== "none") return undefined;
  const { freeBytes } = memInfo ?? {};
  const memory = poolBytes === undefined ? "The host" : `The host's ${bytes(poolBytes)}`;
  const took = `the kernel took ${victim(evidence)}${shareOfVictim(evidence)}`;
  if (freeBytes !== undefined && poolBytes !== undefined && freeBytes * 10 > poolBytes) {
    const asked = report.dump?.trigger?.comm ?? "the one who asked";
    return `${bytes(freeBytes)} of ${memory.replace(/^T/, "t")} were free, but none that ${asked} may use (HighMem, CMA and reserves are kept from some requests), and ${took}.`;
  }
  const free = freeBytes === undefined ? "" : `, ${bytes(freeBytes)} were free`;
  const tasks = heldBytes > 0 ? `: tasks held ${bytes(heldBytes)}` : "";
  return `${memory} ran out${tasks}${free}, and ${took}.`;
}

export const runbooks: Record<"host" | "cgroup", string> = {
  host: "docs/runbooks/OomHostExhausted.md",
  cgroup: "docs/runbooks/OomKill.md",
};

function adviceFor(cause: Cause, evidence: Evidence): string[] {
  const { report, memInfo } = evidence;
  const advice = [...(adviceOf[cause]?.(evidence) ?? [])];
  if (cause !== "protected_hog" && isHalf(evidence.unkillableBytes, evidence.heldBytes)) {
    advice.push(
      `Tasks with oom_score_adj -1000 hold ${bytes(evidence.unkillableBytes)} that the kernel may not take back: oom-exporter victims shows them.`,
    );
  }
  if (memInfo?.swapTotalBytes === 0 && cause !== "fragmentation") {
    advice.push(
      "There is no swap, so idle memory cannot leave: fallocate -l 2G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile.",
    );
  }
  if (report.suppressed) {
    advice.push(
      "The kernel wrote no report for this kill (at most ten in 5 s): the first kills of the storm tell more.",
    );
  }
  advice.push(`Runbook: ${runbooks[report.constraint === "memcg" ? "cgroup" : "host"]}`);
  return advice;
}

/** How the owner of a limit raises it. */
function raiseLimit(evidence: Evidence): string {
  const { report, limitOwner } = evidence;
  const limit = evidence.poolBytes ?? evidence.usedBytes;
  const more = limit === undefined ? "SIZE" : `${Math.ceil((limit * 1.5) / 1024 / 1024)}M`;
  if (limitOwner.podUid !== null) {
    return `If the work needs it, raise the pod's limit: kubectl set resources deployment NAME --limits=memory=${more.replace(/M$/, "Mi")}.`;
  }
  if (limitOwner.containerId !== null) {
    const tool = limitOwner.runtime === "podman" ? "podman" : "docker";
    const name = limitOwner.container ?? limitOwner.containerId.slice(0, 12);
    return `If the work needs it, raise the limit: ${tool} update --memory ${more} --memory-swap ${more} ${shellWord(name)}.`;
  }
  if (limitOwner.unit !== null) {
    return `If the work needs it, raise the limit: systemctl set-property ${shellWord(limitOwner.unit)} MemoryMax=${more}.`;
  }
  const cgroup = report.limitCgroup;
  if (cgroup === undefined) {
    return "If the work needs it, raise the limit of its cgroup (memory.max, memory.limit_in_bytes on cgroup v1).";
  }
  // Only cgroup v1 counts memory and swap together.
  const isV1 = report.dump?.memcg?.memorySwap !== undefined;
  const file = isV1 ? `memory${cgroup}/memory.limit_in_bytes` : `${cgroup.slice(1)}/memory.max`;
  return `If the work needs it, raise the limit: echo ${more} > ${shellWord(`/sys/fs/cgroup/${file}`)}.`;
}

/** A name from the log as one word of a shell command: it may hold anything. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

const findLeak =
  "If it grows without end, it leaks: watch oom_cgroup_memory_anon_bytes over days, and let it restart before it is killed.";

const adviceOf: Partial<Record<Cause, (evidence: Evidence) => string[]>> = {
  manual: () => [
    "Find who pressed it: journalctl -k | grep -i sysrq; forbid it: sysctl kernel.sysrq=0.",
  ],
  cpuset_or_node: () => [
    "See what each node has left: numactl --hardware; numastat -m.",
    "Allow more nodes (cpuset.mems, numactl --interleave=all) or fewer tasks on these.",
  ],
  fragmentation: () => [
    "Put free memory together: echo 1 > /proc/sys/vm/compact_memory.",
    "Keep more in reserve: sysctl vm.min_free_kbytes (1 to 3 % of memory), and look for drivers that ask for high orders.",
  ],
  protected_hog: ({ tasks }) => {
    const [hog] = tasks
      .filter((task) => task.oomScoreAdj === unkillable)
      .sort((a, b) => held(b) - held(a));
    return [
      `Give ${hog?.comm} a limit of its own, or a smaller cache, so that it cannot take the host with it.`,
      `Let the kernel take it when nothing else is left: echo -500 > /proc/${hog?.pid}/oom_score_adj (OOMScoreAdjust= in its unit).`,
    ];
  },
  kernel_memory: () => [
    "See what holds it: slabtop -o -s c | head -20; grep -E 'SUnreclaim|PageTables|KernelStack' /proc/meminfo.",
    "A cache that only grows is a leak in the kernel or a driver: update it; a reboot gives the memory back.",
  ],
  shmem: () => [
    "See what lies in tmpfs: df -h -t tmpfs; du -xsh /dev/shm /run /tmp; and in shared memory: ipcs -m.",
    "Delete what is left over (ipcrm -m ID), and cap it: mount -o remount,size=1G /dev/shm.",
  ],
  many_small: ({ crowd }) => [
    `Run fewer ${crowd?.comm} at a time: cap workers, connections or jobs in its configuration.`,
    "Stop a fork storm at its source: TasksMax= in the unit, --pids-limit for a container.",
  ],
  parent_cgroup_limit: (evidence) => [
    `Look at all that share ${evidence.report.limitCgroup}: systemd-cgtop -m, or oom-exporter victims --cgroup ${shellWord(evidence.report.limitCgroup ?? "/")}.`,
    "Give the largest a limit of its own, so that it dies and not its neighbour.",
    raiseLimit(evidence),
  ],
  cgroup_limit: (evidence) => [raiseLimit(evidence), findLeak],
  swap_exhausted: ({ largest }) => [
    ...(largest === undefined
      ? []
      : [`Restart or limit the largest first: ${largest.comm} (pid ${largest.pid}).`]),
    "Set limits for what may grow (MemoryMax=, docker -m, Kubernetes limits), so that it dies alone and early.",
    "Add memory; more swap only delays this: swapon --show, free -h.",
  ],
  memory_hog: ({ largest }) => [
    `Give ${largest?.comm} a limit below the host's memory (MemoryMax=, docker -m, Kubernetes limits).`,
    findLeak,
  ],
  host_exhausted: () => [
    "See who dies next and what it would free: oom-exporter victims.",
    "Set limits for what may grow (MemoryMax=, docker -m, Kubernetes limits), so that it dies alone and early.",
  ],
  unknown: () => [
    "Read the lines around it: oom-exporter explain on the whole kern.log or journalctl -k -o short-iso.",
  ],
};
