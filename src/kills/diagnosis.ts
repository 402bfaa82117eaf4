/**
 * Why a kill happened, from the kernel's report of it.
 *
 * The first cause that matches wins, in the order of `causes` (cause.ts). Other findings go into the advice.
 * A cause that needs the dump never matches without it.
 */
import { isUnkillable } from "../kernel/badness.ts";
import type { MemInfoDump, ZoneInfo } from "../kernel-log/oom-dump.ts";
import { bytes, percent } from "../text/quantities.ts";
import { type Advice, adviceFor } from "./advice.ts";
import { type Cause, type CauseBasis, causes } from "./cause.ts";
import { type Evidence, evidenceOf, held, isOrderUnclear } from "./evidence.ts";
import { type Owner, unitForPeople } from "./owner.ts";

type OomKillReport = Evidence["report"];

export interface Diagnosis {
  cause: Cause;
  /** `null` for `unknown`. */
  causeBasis: CauseBasis | null;
  /** One sentence of evidence with numbers. */
  summary: string;
  /** What to do, most useful first; the last item names the runbook. */
  advice: Advice[];
}

/** A host has more tasks than this. */
const fewTasks = 5;

/** From this many tasks with one name, their number matters, not their size. */
const crowdSize = 8;

type CauseRule = (evidence: Evidence) => string | undefined;

/** A rule returns its summary, or `undefined` if it does not match. */
const rules: Record<Exclude<Cause, "unknown">, [CauseBasis, CauseRule]> = {
  manual: ["read", manual],
  page_fault: ["concluded", pageFault],
  cpuset_or_node: ["read", cpusetOrNode],
  fragmentation: ["concluded", fragmentation],
  protected_hog: ["concluded", protectedHog],
  kernel_memory: ["concluded", kernelMemory],
  unaccounted: ["concluded", unaccounted],
  shmem: ["concluded", sharedMemory],
  many_small: ["concluded", manySmall],
  parent_cgroup_limit: ["read", parentCgroupLimit],
  cgroup_limit: ["read", cgroupLimit],
  unknown_limit: ["read", unknownLimit],
  swap_exhausted: ["concluded", swapExhausted],
  memory_hog: ["concluded", memoryHog],
  host_exhausted: ["read", hostExhausted],
};

/**
 * Finds the cause of a kill and what to do about it.
 *
 * `ownerOf` gives the owner of a cgroup. The limit of the victim's own unit or container counts as its own,
 * even if there are cgroups in between.
 */
export function diagnose(
  report: OomKillReport,
  ownerOf: (cgroup: string | undefined) => Owner,
): Diagnosis {
  const evidence = evidenceOf(report, ownerOf);
  for (const cause of causes) {
    if (cause === "unknown") break;
    const [causeBasis, rule] = rules[cause];
    const summary = rule(evidence);
    if (summary !== undefined) {
      return { cause, causeBasis, summary, advice: adviceFor(cause, evidence) };
    }
  }
  const summary = `The kernel killed ${victim(evidence)}; the log has no other line about it, so the cause is unknown.`;
  return { cause: "unknown", causeBasis: null, summary, advice: adviceFor("unknown", evidence) };
}

function victim({ report }: Evidence): string {
  const { comm, pid } = report;
  return `${comm === "" ? "a task without a name" : comm} (pid ${pid})`;
}

/** The victim's own memory, from the kill line. */
function victimBytes({ report }: Evidence): number | undefined {
  if (report.anonRssBytes === undefined) return undefined;
  return report.anonRssBytes + (report.fileRssBytes ?? 0) + (report.shmemRssBytes ?? 0);
}

function isHalf(part: number | undefined, whole: number | undefined): boolean {
  return part !== undefined && whole !== undefined && whole > 0 && part * 2 >= whole;
}

const platformNames: Partial<Record<NonNullable<Owner["platform"]>, string>> = {
  ecs: "ECS task",
  slurm: "Slurm job",
};

function nameOf(owner: Owner, cgroup: string | undefined): string {
  const container = containerName(owner);
  const isMachine = owner.runtime === "lxc" || owner.runtime === "nspawn";
  const name =
    isMachine && owner.unit !== null && owner.container !== null
      ? `${owner.unit} in ${owner.container}`
      : (container ?? unitForPeople(owner, cgroup) ?? undefined);
  const pod = owner.pod ?? owner.podUid;
  if (pod !== null) return `pod ${pod}${container === undefined ? "" : `, ${container}`}`;
  if (owner.platform === "nomad" && owner.task !== null) return nomadTask(owner.task, cgroup);
  const platform = platformNames[owner.platform ?? "other"];
  if (platform !== undefined && owner.task !== null) {
    const isInside = container !== undefined && owner.runtime !== "slurm";
    return `${platform} ${owner.task}${isInside ? `, ${container}` : ""}`;
  }
  return name ?? owner.task ?? (cgroup === undefined ? "its cgroup" : cgroup);
}

/**
 * Nomad 1.3 and later name a cgroup `<allocation>.<task>.scope`. Before that, the id is the executor's, which
 * no Nomad command knows.
 */
function nomadTask(id: string, cgroup: string | undefined): string {
  const name = cgroup?.split(`/${id}.`)[1]?.replace(/(?:\.scope)?(?:\/.*)?$/, "");
  return name === undefined || name === "" || name === "scope"
    ? `a Nomad task (executor ${id.slice(0, 8)})`
    : `Nomad task ${name} (allocation ${id.slice(0, 8)})`;
}

function containerName({ container, containerId, runtime }: Owner): string | undefined {
  if (container !== null) return container;
  return containerId === null ? undefined : `${runtime ?? "container"} ${containerId.slice(0, 12)}`;
}

function manual(evidence: Evidence): string | undefined {
  const { customConstraint } = evidence.report;
  if (customConstraint !== undefined) {
    return `A BPF program requested the kill (constraint ${customConstraint}, which is none of the kernel's own), and the kernel killed ${victim(evidence)}; memory was not necessarily short.`;
  }
  if (evidence.report.dump?.trigger?.order !== -1) return undefined;
  return `Somebody requested a kill with SysRq f (order -1), and the kernel killed ${victim(evidence)}; memory was not necessarily short.`;
}

/**
 * The fault handler (`pagefault_out_of_memory()`, until 5.15) calls the OOM killer without any flags, after the
 * allocation itself has failed. If memory is free by then, or a tenth of it is page cache that the kernel has not even
 * taken back, the failure had another reason: a cgroup race or a kernel bug.
 */
function pageFault(evidence: Evidence): string | undefined {
  const { report, memInfo } = evidence;
  const { gfpMask, order, comm } = report.dump?.trigger ?? {};
  if (gfpMask === undefined || Number.parseInt(gfpMask, 16) !== 0 || order !== 0) return undefined;
  // A kernel thread has no page faults: something else calls the OOM killer without flags.
  if (comm?.startsWith("kworker/")) return undefined;
  const asked = `A page fault of ${comm === "" ? "a task" : comm} triggered the kill (gfp_mask 0, order 0)`;
  const { freeBytes, totalBytes, zones = [], fileBytes = 0, swapFreeBytes = 0 } = memInfo ?? {};
  if (freeBytes === undefined || totalBytes === undefined) {
    // The kernel prints the numbers together with the header: somebody left them out.
    if (report.constraint !== "none" || !report.killLine.isInText) return undefined;
    return `${asked} after its own allocation had failed; the log does not show how much memory was free, and ${victim(evidence)} is not necessarily to blame.`;
  }
  const isRoomy =
    zones.length === 0
      ? freeBytes * 10 > totalBytes
      : zones.some(
          ({ zone, freeBytes: free, lowBytes, freeCmaBytes = 0 }) =>
            zone !== "DMA" && lowBytes !== undefined && free - freeCmaBytes > 2 * lowBytes,
        );
  const isReclaimable = fileBytes * 10 >= totalBytes;
  if (!isRoomy && !isReclaimable) return undefined;
  const room = isRoomy
    ? `${bytes(freeBytes)} of ${bytes(totalBytes)} was free`
    : `${bytes(fileBytes)} of page cache${swapFreeBytes > 0 ? ` and ${bytes(swapFreeBytes)} of swap` : ""} could be used`;
  return `${asked} while ${room}: memory had not run out, and ${victim(evidence)} is not to blame.`;
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
  const { comm = "" } = report.dump?.trigger ?? {};
  if (evidence.hasOnlyMovable) {
    return `The memory nodes that ${whose} allows have zone Movable only (free: ${free}), which the request of ${comm === "" ? "the task" : comm} cannot use, and the kernel killed ${victim(evidence)}, which could not help.`;
  }
  return `The memory nodes that ${whose} allows ran out${free === "" ? "" : ` (free: ${free})`}, and the kernel killed ${victim(evidence)}, which was using them.`;
}

/**
 * Counts free memory only in zones that serve ordinary allocations: the small DMA zone always keeps a reserve
 * above its watermarks, and HighMem and Movable cannot serve the kernel's own requests.
 */
function fragmentation(evidence: Evidence): string | undefined {
  const { report, memInfo } = evidence;
  const order = report.dump?.trigger?.order ?? 0;
  if (memInfo === undefined || order < 1) return undefined;
  const normal = memInfo.zones.filter((zone) => zone.zone === "Normal");
  const zones = normal.length > 0 ? normal : memInfo.zones.filter((zone) => zone.zone === "DMA32");
  const usable = ({ freeBytes, freeCmaBytes }: ZoneInfo): number => freeBytes - (freeCmaBytes ?? 0);
  const roomy = zones.find(
    (zone) =>
      zone.lowBytes !== undefined && usable(zone) > zone.lowBytes && !hasBlocks(zone, order),
  );
  if (roomy === undefined) return undefined;
  const wanted = bytes((report.dump?.pageSizeBytes ?? 4096) * 2 ** order);
  return `${report.dump?.trigger?.comm} asked for ${wanted} of contiguous memory (order ${order}) and got none, although ${bytes(usable(roomy))} was free in zone ${roomy.zone} of node ${roomy.node}: free memory is fragmented.`;
}

/** Whether a zone has enough free blocks of at least this order: `min`, halved for each order, as the kernel did. */
function hasBlocks({ freeBlocksBytes, minBytes = 0 }: ZoneInfo, order: number): boolean {
  if (freeBlocksBytes === undefined) return false;
  const large = freeBlocksBytes.slice(order).reduce((total, size) => total + size, 0);
  return large > Math.max(minBytes / 2 ** order, 0);
}

function protectedHog(evidence: Evidence): string | undefined {
  const { tasks, heldBytes, unkillableBytes, poolBytes } = evidence;
  if (!isHalf(unkillableBytes, heldBytes)) return undefined;
  if (poolBytes !== undefined && unkillableBytes * 3 < poolBytes) return undefined;
  const [hog] = tasks
    .filter((task) => isUnkillable(task.oomScoreAdj))
    .sort((a, b) => held(b) - held(a));
  if (hog === undefined) return undefined;
  return `Tasks that are exempt from kills (oom_score_adj -1000) use ${bytes(unkillableBytes)} of ${bytes(heldBytes)}, ${hog.comm} (pid ${hog.pid}) alone ${bytes(held(hog))}, so the kernel had to kill ${victim(evidence)}.`;
}

function kernelMemory(evidence: Evidence): string | undefined {
  const { kernelBytes, poolBytes, usedBytes, heldBytes, memInfo, shortZone } = evidence;
  const whole = usedBytes ?? poolBytes;
  if (kernelBytes === undefined || whole === undefined) return undefined;
  const parts =
    memInfo === undefined
      ? ""
      : ` (slab ${bytes(memInfo.slabUnreclaimableBytes ?? 0)}${largestCache(memInfo)}, page tables ${bytes(memInfo.pageTablesBytes ?? 0)}, stacks ${bytes(memInfo.kernelStackBytes ?? 0)})`;
  const lowBytes = shortZone?.zone.managedBytes;
  if (shortZone !== undefined && isHalf(kernelBytes, lowBytes)) {
    return `The kernel itself uses ${bytes(kernelBytes)}${parts} of the ${bytes(lowBytes ?? 0)} in zone ${shortZone.zone.zone}, the only zone it can use for itself; the ${bytes(shortZone.elsewhere.freeBytes)} free in ${shortZone.elsewhere.zone} does not help, and killing ${victim(evidence)} could free little.`;
  }
  const outweighs = kernelBytes * 10 >= whole * 3 && kernelBytes > heldBytes;
  if (!isHalf(kernelBytes, whole) && !outweighs) return undefined;
  return `The kernel itself uses ${bytes(kernelBytes)} of ${bytes(whole)}, which it cannot reclaim${parts}; killing ${victim(evidence)} could free little.`;
}

/** The largest cache where it is a fifth of the slab or more. */
function largestCache({ largestCache: cache, slabUnreclaimableBytes = 0 }: MemInfoDump): string {
  if (cache === undefined || cache.totalBytes * 5 < slabUnreclaimableBytes) return "";
  return `, ${bytes(cache.totalBytes)} of it in cache ${cache.name}`;
}

/** Below this share of the host, unaccounted memory is normal: firmware, drivers, per-cpu data. */
const unaccountedShare = 0.2;

function unaccounted(evidence: Evidence): string | undefined {
  const { unaccountedBytes, poolBytes, anonBytes = 0, fileBytes = 0, kernelBytes = 0 } = evidence;
  const { memInfo } = evidence;
  const { lruBytes = 0 } = memInfo ?? {};
  if (unaccountedBytes === undefined || poolBytes === undefined) return undefined;
  if (unaccountedBytes < poolBytes * unaccountedShare) return undefined;
  const others = [anonBytes, fileBytes, lruBytes, kernelBytes, memInfo?.slabReclaimableBytes ?? 0];
  if (unaccountedBytes <= Math.max(...others, memInfo?.hugetlbBytes ?? 0)) return undefined;
  return `${bytes(unaccountedBytes)} of ${bytes(poolBytes)} appears in none of the kernel's totals (processes ${memInfo?.anonBytes === undefined && lruBytes > 0 ? `and page cache use ${bytes(lruBytes)}` : `use ${bytes(anonBytes)} of anonymous memory`}, slab and page tables ${bytes(kernelBytes)}): a driver or something similar uses it, and killing ${victim(evidence)} could free little.`;
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
      : "files in tmpfs or shared memory that no task maps completely";
  const whose =
    evidence.report.constraint === "memcg" && evidence.report.limitCgroup !== undefined
      ? ` charged to ${nameOf(evidence.limitOwner, evidence.report.limitCgroup)}`
      : "";
  return `${bytes(shmemBytes)} of ${bytes(whole)}${whose} is ${kind}; killing ${victim(evidence)} frees none of the part in files.`;
}

function manySmall(evidence: Evidence): string | undefined {
  const { crowd, heldBytes, shortZone } = evidence;
  if (shortZone !== undefined) return undefined;
  if (crowd === undefined || crowd.count < crowdSize || !isHalf(crowd.heldBytes, heldBytes)) {
    return undefined;
  }
  if (crowd.largestBytes * 4 > crowd.heldBytes) return undefined;
  return `${crowd.count} tasks named ${crowd.comm} use ${bytes(crowd.heldBytes)} together (${percent(crowd.heldBytes, heldBytes)} of the memory of all tasks), none of them more than ${bytes(crowd.largestBytes)}.`;
}

function isOwnLimit({ report, owner, limitOwner }: Evidence): boolean {
  const { limitCgroup, victimCgroup } = report;
  if (limitCgroup === undefined || victimCgroup === undefined) return true;
  if (limitCgroup === victimCgroup) return true;
  if (owner.containerId !== null || limitOwner.containerId !== null) {
    return owner.containerId === limitOwner.containerId;
  }
  if (owner.podUid !== null || limitOwner.podUid !== null) return false;
  // A whole container that runs its own units.
  if (limitOwner.container !== null && limitOwner.unit === null) {
    return owner.container === limitOwner.container;
  }
  return owner.unit !== null && owner.unit === limitOwner.unit;
}

function usageOfLimit({ usedBytes, poolBytes, report }: Evidence): string {
  const { memorySwap } = report.dump?.memcg ?? {};
  if (poolBytes !== undefined) {
    return usedBytes === undefined
      ? `its limit of ${bytes(poolBytes)}`
      : `its limit of ${bytes(poolBytes)} (${bytes(usedBytes)} in use)`;
  }
  if (memorySwap?.limitBytes !== undefined) {
    return `its limit of ${bytes(memorySwap.limitBytes)} for memory and swap`;
  }
  return "its memory limit";
}

function shareOfVictim(evidence: Evidence): string {
  const own = victimBytes(evidence);
  if (own === undefined) return "";
  const { report, poolBytes, usedBytes = poolBytes } = evidence;
  const isBeyond = report.constraint === "memcg" && usedBytes !== undefined && own > usedBytes;
  if (!isBeyond) return `, which used ${bytes(own)}`;
  // A page is charged to the cgroup that touched it first.
  const why =
    (report.anonRssBytes ?? 0) > usedBytes
      ? "part of that is charged to another cgroup"
      : "files and shared memory among that can be charged to another cgroup";
  return `, which used ${bytes(own)} (${why})`;
}

function parentCgroupLimit(evidence: Evidence): string | undefined {
  const { report, owner, limitOwner, largest } = evidence;
  if (report.constraint !== "memcg" || isOwnLimit(evidence)) return undefined;
  const neighbour =
    largest !== undefined && largest.pid !== report.pid
      ? `; the largest task under that limit was ${largest.comm} (pid ${largest.pid}) with ${bytes(held(largest))}`
      : "";
  const took = `reached ${usageOfLimit(evidence)}, and the kernel killed ${victim(evidence)}`;
  if (owner.podUid !== null && owner.podUid === limitOwner.podUid) {
    const inside = owner.container ?? owner.containerId?.slice(0, 12);
    const where = inside === undefined ? "" : ` in container ${inside}`;
    return `${nameOf(limitOwner, report.limitCgroup)} as a whole ${took}${where}${shareOfVictim(evidence)}${neighbour}.`;
  }
  return `${nameOf(limitOwner, report.limitCgroup)}, above ${nameOf(owner, report.victimCgroup)}, ${took}${shareOfVictim(evidence)}${neighbour}.`;
}

function cgroupLimit(evidence: Evidence): string | undefined {
  const { report, limitOwner } = evidence;
  const { limitCgroup, veId } = report;
  if (report.constraint !== "memcg" || (limitCgroup ?? veId) === undefined) return undefined;
  // OpenVZ's kill line names the container that reached its limit, but no cgroup.
  const name = limitCgroup === undefined ? `Container ${veId}` : nameOf(limitOwner, limitCgroup);
  if (report.groupCgroup !== undefined) {
    return `${name} reached ${usageOfLimit(evidence)}, and the kernel killed all of ${report.groupCgroup} (memory.oom.group), including ${victim(evidence)}${shareOfVictim(evidence)}.`;
  }
  return `${name} reached ${usageOfLimit(evidence)}, and the kernel killed ${victim(evidence)}${shareOfVictim(evidence)}.`;
}

function unknownLimit(evidence: Evidence): string | undefined {
  const { report, owner } = evidence;
  if (report.constraint !== "memcg") return undefined;
  const took = `the kernel killed ${victim(evidence)}${shareOfVictim(evidence)}`;
  const cgroup = report.groupCgroup ?? report.victimCgroup;
  if (cgroup === undefined) {
    return `A cgroup reached its memory limit, and ${took}; the log does not say which cgroup.`;
  }
  const name = report.victimCgroup === undefined ? cgroup : nameOf(owner, cgroup);
  const group =
    report.groupCgroup === undefined
      ? ""
      : ", together with the rest of its group (memory.oom.group)";
  return `A memory limit at or above ${name} was reached, and ${took}${group}; the log does not say which one.`;
}

function swapExhausted(evidence: Evidence): string | undefined {
  const { memInfo, poolBytes, shortZone } = evidence;
  const { swapTotalBytes, swapFreeBytes } = memInfo ?? {};
  if (shortZone !== undefined) return undefined;
  if (swapTotalBytes === undefined || swapTotalBytes === 0 || swapFreeBytes === undefined) {
    return undefined;
  }
  if (swapFreeBytes * 20 > swapTotalBytes) return undefined;
  const memory = poolBytes === undefined ? "Memory" : `${bytes(poolBytes)} of memory`;
  return `${memory} and ${bytes(swapTotalBytes)} of swap were used up (${bytes(swapFreeBytes)} of swap left), and the kernel killed ${victim(evidence)}${shareOfVictim(evidence)}.`;
}

/** Whether somebody left only the rows of the task table that they looked for. */
function isFiltered({ poolBytes, tasks }: Evidence): boolean {
  return poolBytes === undefined && tasks.length < fewTasks;
}

function memoryHog(evidence: Evidence): string | undefined {
  const { largest, poolBytes, heldBytes, report, shortZone } = evidence;
  const whole = poolBytes ?? heldBytes;
  if (shortZone !== undefined || largest === undefined) return undefined;
  if (isFiltered(evidence)) return undefined;
  if (!isHalf(held(largest), whole)) return undefined;
  const of =
    poolBytes === undefined
      ? `${percent(held(largest), whole)} of the memory of the tasks in the log`
      : `${percent(held(largest), whole)} of the host's ${bytes(whole)}`;
  const killed = largest.pid === report.pid ? "" : `; the kernel killed ${victim(evidence)}`;
  return `${largest.comm} (pid ${largest.pid}) alone used ${bytes(held(largest))}, ${of}${killed}.`;
}

function hostExhausted(evidence: Evidence): string | undefined {
  const { report, poolBytes, heldBytes, memInfo, shortZone, hugePagesBytes, unreclaimedBytes } =
    evidence;
  if (report.constraint !== "none") return undefined;
  const { freeBytes } = memInfo ?? {};
  const took = `the kernel killed ${victim(evidence)}${shareOfVictim(evidence)}`;
  const asked = report.dump?.trigger?.comm || "the task that asked";
  if (shortZone !== undefined) {
    const { zone, elsewhere } = shortZone;
    const size = zone.managedBytes === undefined ? "" : ` of ${bytes(zone.managedBytes)}`;
    return `Zone ${zone.zone}, which had to serve the request of ${asked}, ran out (${bytes(zone.freeBytes)}${size} free); ${bytes(elsewhere.freeBytes)} was free in ${elsewhere.zone}, which the request cannot use, and ${took}.`;
  }
  if (isOrderUnclear(evidence)) {
    const order = report.dump?.trigger?.order ?? 0;
    const wanted = bytes((report.dump?.pageSizeBytes ?? 4096) * 2 ** order);
    return `${asked} asked for ${wanted} of contiguous memory (order ${order}), and ${took}; the log does not show whether memory had run out or was fragmented.`;
  }
  const memory = poolBytes === undefined ? "The host's memory" : `The host's ${bytes(poolBytes)}`;
  if (freeBytes !== undefined && poolBytes !== undefined && freeBytes * 10 > poolBytes) {
    const kept = keptFree(evidence);
    return `${bytes(freeBytes)} of ${memory.replace(/^T/, "t")} was free${kept}, and ${took}.`;
  }
  if (hugePagesBytes !== undefined) {
    const { hugetlbFreeBytes = 0 } = memInfo ?? {};
    const unused = hugetlbFreeBytes > 0 ? `, ${bytes(hugetlbFreeBytes)} of it free` : "";
    return `${bytes(hugePagesBytes)} of ${memory.replace(/^T/, "t")} is reserved for huge pages${unused}; the rest ran out, and ${took}.`;
  }
  const free = freeBytes === undefined ? "" : `, ${bytes(freeBytes)} was free`;
  if (unreclaimedBytes !== undefined) {
    return `${memory} ran out although ${bytes(unreclaimedBytes)} of it was page cache that the kernel did not reclaim${free}, and ${took}.`;
  }
  const tasks = heldBytes > 0 && !isFiltered(evidence) ? `: tasks used ${bytes(heldBytes)}` : "";
  return `${memory} ran out${tasks}${free}, and ${took}${largestLeft(evidence)}.`;
}

/** The largest task in what is left of the task table, if it is another one than the victim. */
function largestLeft(evidence: Evidence): string {
  const { largestLeft: task, report } = evidence;
  if (task === undefined || task.pid === report.pid) return "";
  // The row of the victim may be among those that are missing.
  if (held(task) <= (victimBytes(evidence) ?? 0)) return "";
  return `; the largest task in the rest of the table was ${task.comm} (pid ${task.pid}) with ${bytes(held(task))}`;
}

/** Why free memory did not help, if the dump shows it. */
function keptFree({ memInfo }: Evidence): string {
  const { freeBytes = 0, freeCmaBytes = 0, zones = [] } = memInfo ?? {};
  if (freeCmaBytes * 2 > freeBytes) {
    return `, ${bytes(freeCmaBytes)} of that in CMA, which only movable allocations may use`;
  }
  const reserved = zones
    .filter(({ freeBytes: free, minBytes }) => minBytes !== undefined && free <= minBytes)
    .reduce((total, zone) => total + zone.freeBytes, 0);
  if (reserved * 2 > freeBytes) return ", most of it reserved by the zones (min)";
  return ", and the report does not show why the request could not use it";
}
