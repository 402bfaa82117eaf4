/** The facts that the cause rules use, computed once from the kernel's report of a kill. */
import { isUnkillable } from "../kernel/badness.ts";
import type { MemcgUsage, MemInfoDump, OomTask, ZoneInfo } from "../kernel-log/oom-dump.ts";
import type { OomKillReport } from "../kernel-log/oom-report.ts";
import type { Owner } from "./owner.ts";

/** Tasks with the same name, and their memory in total. */
export interface Crowd {
  comm: string;
  count: number;
  heldBytes: number;
  largestBytes: number;
}

/** A zone that had to serve a request and could not, while other zones had room. */
export interface ShortZone {
  zone: ZoneInfo;
  /** The zone with the most free memory that the request cannot use. */
  elsewhere: ZoneInfo;
}

export interface Evidence {
  report: OomKillReport;
  owner: Owner;
  limitOwner: Owner;
  /** Size of what ran out: the limit, or the host's memory. */
  poolBytes?: number;
  usedBytes?: number;
  memInfo?: MemInfoDump;
  tasks: readonly OomTask[];
  heldBytes: number;
  largest?: OomTask;
  /** The largest of the rows that are left of a task table whose head is missing. */
  largestLeft?: OomTask;
  unkillableBytes: number;
  crowd?: Crowd;
  anonBytes?: number;
  fileBytes?: number;
  shmemBytes?: number;
  kernelBytes?: number;
  /** Memory that appears in none of the kernel's totals; absent if one of them is missing. */
  unaccountedBytes?: number;
  /** Huge pages, used or not, where they are half of the host's memory or more. */
  hugePagesBytes?: number;
  /** Page cache, where it is half of the host's memory or more although the host ran out. */
  unreclaimedBytes?: number;
  shortZone?: ShortZone;
  /** The nodes that the request may use have zone Movable only, and it needs another one. */
  hasOnlyMovable: boolean;
}

/** A task's own memory. Shared memory would count for each task that maps it, so it is excluded if known. */
export function held(task: OomTask): number {
  return task.rssBytes - (task.shmemRssBytes ?? 0) + (task.swapBytes ?? 0);
}

/** Extracts the evidence from a report. `ownerOf` gives the owner of a cgroup. */
export function evidenceOf(
  report: OomKillReport,
  ownerOf: (cgroup: string | undefined) => Owner,
): Evidence {
  const { dump } = report;
  const memcg = report.constraint === "memcg" ? dump?.memcg : undefined;
  const memInfo = report.constraint === "memcg" ? undefined : dump?.memInfo;
  const tasks = wholeTable(report);
  return {
    report,
    owner: ownerOf(report.victimCgroup),
    limitOwner: ownerOf(report.limitCgroup),
    tasks,
    heldBytes: sum(tasks, held),
    largest: largestOf(tasks),
    largestLeft: dump?.isTaskTableCut ? largestOf(dump.tasks) : undefined,
    unkillableBytes: sum(
      tasks.filter((task) => isUnkillable(task.oomScoreAdj)),
      held,
    ),
    crowd: largestCrowd(tasks),
    ...(memcg === undefined ? hostSizes(memInfo) : cgroupSizes(memcg)),
    memInfo,
    hugePagesBytes: halfOf(memInfo, memInfo?.hugetlbBytes),
    unreclaimedBytes: halfOf(memInfo, memInfo?.fileBytes),
    shortZone: shortZone(report, memInfo),
    hasOnlyMovable: hasOnlyMovable(report, memInfo),
  };
}

function halfOf({ totalBytes }: MemInfoDump = { zones: [] }, size = 0): number | undefined {
  return totalBytes !== undefined && size > 0 && size * 2 >= totalBytes ? size : undefined;
}

/** Whether the task asked for several contiguous pages, and no dump shows how much memory was free. */
export function isOrderUnclear({ report, memInfo }: Evidence): boolean {
  return memInfo === undefined && (report.dump?.trigger?.order ?? 0) > 0;
}

/** The task that holds most. */
export function largestOf(tasks: readonly OomTask[]): OomTask | undefined {
  return tasks.reduce<OomTask | undefined>(
    (largest, task) => (largest === undefined || held(task) > held(largest) ? task : largest),
    undefined,
  );
}

type Sizes = Partial<
  Pick<
    Evidence,
    | "poolBytes"
    | "usedBytes"
    | "anonBytes"
    | "fileBytes"
    | "shmemBytes"
    | "kernelBytes"
    | "unaccountedBytes"
  >
>;

/** cgroup v2 prints `anon` and `file`, v1 `rss` and `cache`; shmem is part of the file cache in both. */
function cgroupSizes(memcg: {
  memory?: MemcgUsage;
  kernelMemory?: MemcgUsage;
  stat: ReadonlyMap<string, number>;
}): Sizes {
  const stat = (...keys: string[]): number | undefined => {
    const found = keys.map((key) => memcg.stat.get(key)).filter((value) => value !== undefined);
    return found.length === 0 ? undefined : found.reduce((total, value) => total + value, 0);
  };
  return {
    poolBytes: memcg.memory?.limitBytes,
    // The usage line may be missing: charged memory is anonymous memory plus cache.
    usedBytes: memcg.memory?.usageBytes ?? stat("rss", "cache") ?? stat("anon", "file"),
    anonBytes: stat("anon") ?? stat("rss"),
    fileBytes: stat("file") ?? stat("cache"),
    shmemBytes: stat("shmem") ?? cacheWithoutFiles(memcg.stat),
    kernelBytes:
      memcg.kernelMemory?.usageBytes ??
      stat("slab_unreclaimable", "kernel_stack", "pagetables", "percpu", "sock"),
  };
}

/**
 * Shared memory of a cgroup v1 on kernels that do not print it (3.10, 4.4): cache on none of the lists of files. Locked
 * pages are left out, because they may be either.
 */
function cacheWithoutFiles(stat: ReadonlyMap<string, number>): number | undefined {
  const [cache, active, inactive] = ["cache", "active_file", "inactive_file"].map((key) =>
    stat.get(key),
  );
  if (cache === undefined || active === undefined || inactive === undefined) return undefined;
  return Math.max(0, cache - active - inactive - (stat.get("unevictable") ?? 0));
}

function hostSizes(memInfo: MemInfoDump | undefined): Sizes {
  if (memInfo === undefined) return {};
  const { pageTablesBytes, kernelStackBytes } = memInfo;
  const slabUnreclaimableBytes = memInfo.slabUnreclaimableBytes ?? memInfo.slabBytes;
  return {
    poolBytes: memInfo.totalBytes,
    anonBytes: memInfo.anonBytes,
    fileBytes: memInfo.fileBytes,
    shmemBytes: memInfo.shmemBytes,
    kernelBytes:
      slabUnreclaimableBytes === undefined
        ? undefined
        : slabUnreclaimableBytes + (pageTablesBytes ?? 0) + (kernelStackBytes ?? 0),
    unaccountedBytes: unaccounted(memInfo),
  };
}

/**
 * Memory that appears in none of Mem-Info's totals: pages that drivers, a balloon, zram or a file system
 * outside the page cache allocate directly. Free memory in CMA is part of the free memory.
 */
function unaccounted(memInfo: MemInfoDump): number | undefined {
  const { totalBytes, freeBytes, anonBytes, fileBytes, lruBytes } = memInfo;
  const { slabBytes, slabReclaimableBytes, slabUnreclaimableBytes, pageTablesBytes } = memInfo;
  const sums = [
    freeBytes,
    ...(lruBytes === undefined ? [anonBytes, fileBytes] : [lruBytes]),
    ...(slabBytes === undefined ? [slabReclaimableBytes, slabUnreclaimableBytes] : [slabBytes]),
    pageTablesBytes,
  ];
  if (totalBytes === undefined || sums.includes(undefined)) return undefined;
  const known = [
    ...sums,
    memInfo.unevictableBytes,
    memInfo.freePerCpuBytes,
    memInfo.secondaryPageTablesBytes,
    memInfo.bounceBytes,
    memInfo.miscReclaimableBytes,
    memInfo.kernelStackBytes,
    memInfo.hugetlbBytes,
  ];
  return Math.max(0, totalBytes - known.reduce<number>((total, size) => total + (size ?? 0), 0));
}

/** The task table if it is complete: the victim alone cannot have more memory than all tasks together. */
function wholeTable({
  dump,
  anonRssBytes = 0,
  fileRssBytes = 0,
}: OomKillReport): readonly OomTask[] {
  const tasks = dump?.isTaskTableCut ? [] : (dump?.tasks ?? []);
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

/** include/linux/gfp_types.h: the zones that a request may use. The bits have not changed since 2.6.24. */
const gfpDma = 0x01;
const gfpHighMem = 0x02;
const gfpDma32 = 0x04;
const gfpMovable = 0x08;

/** From the narrowest to the widest. */
const zoneOrder = ["DMA", "DMA32", "Normal", "HighMem", "Movable"];

/**
 * The widest zone of a request, as `gfp_zone()` maps its flags; absent if the flags are unknown. A kernel without zone
 * DMA or DMA32 serves requests for it from Normal.
 */
function widestZone(gfpMask: string | undefined, zones: readonly ZoneInfo[]): string | undefined {
  const widest = zoneOfFlags(gfpMask);
  const isMissing = widest?.startsWith("DMA") && !zones.some(({ zone }) => zone === widest);
  return isMissing && zones.some(({ zone }) => zone === "Normal") ? "Normal" : widest;
}

function zoneOfFlags(gfpMask: string | undefined): string | undefined {
  if (gfpMask === undefined) return undefined;
  const bits = Number.parseInt(gfpMask, gfpMask.startsWith("0x") ? 16 : 10);
  if (Number.isNaN(bits) || bits === 0) return undefined;
  if ((bits & gfpMovable) !== 0 && (bits & gfpHighMem) !== 0) return "Movable";
  if ((bits & gfpHighMem) !== 0) return "HighMem";
  if ((bits & gfpDma32) !== 0) return "DMA32";
  if ((bits & gfpDma) !== 0) return "DMA";
  return "Normal";
}

/**
 * The zone that ran out for a request while wider zones had room: `Normal` on a 32-bit machine with free
 * `HighMem`, `DMA32` with free `Normal`, or a node that has movable memory only. Free CMA serves movable requests
 * only.
 */
export function shortZone(
  report: OomKillReport,
  memInfo: MemInfoDump | undefined,
): ShortZone | undefined {
  const widest = widestZone(report.dump?.trigger?.gfpMask, memInfo?.zones ?? []);
  if (widest === undefined || memInfo === undefined) return undefined;
  const rank = ({ zone }: ZoneInfo): number => zoneOrder.indexOf(zone);
  const limit = zoneOrder.indexOf(widest);
  const allowed = memInfo.zones.filter((zone) => rank(zone) >= 0 && rank(zone) <= limit);
  const highest = Math.max(-1, ...allowed.map(rank));
  const own = allowed.filter((zone) => rank(zone) === highest);
  const [zone] = [...own].sort((a, b) => (b.managedBytes ?? 0) - (a.managedBytes ?? 0));
  const isShort = own.every((candidate) => {
    const cma = widest === "Movable" ? 0 : (candidate.freeCmaBytes ?? 0);
    // Between failure and dump a little may have become free.
    const mark = candidate.highBytes ?? candidate.lowBytes;
    return mark !== undefined && candidate.freeBytes - cma <= mark;
  });
  const [elsewhere] = memInfo.zones
    .filter((candidate) => rank(candidate) > limit)
    .sort((a, b) => b.freeBytes - a.freeBytes);
  if (zone === undefined || elsewhere === undefined || !isShort) return undefined;
  const isRoomy =
    elsewhere.lowBytes !== undefined &&
    elsewhere.freeBytes > elsewhere.lowBytes * 2 &&
    elsewhere.freeBytes > zone.freeBytes;
  return isRoomy ? { zone, elsewhere } : undefined;
}

function hasOnlyMovable(report: OomKillReport, memInfo: MemInfoDump | undefined): boolean {
  const zones = memInfo?.zones ?? [];
  const widest = widestZone(report.dump?.trigger?.gfpMask, zones);
  if (zones.length === 0 || widest === undefined || widest === "Movable") return false;
  return zones.every(({ zone }) => zone === "Movable");
}
