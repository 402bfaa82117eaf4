/*
 * /proc/meminfo
 * https://docs.kernel.org/filesystems/proc.html#meminfo
 * Since 2.4; MemAvailable since 3.14; KReclaimable since 4.20; Percpu since 4.18. VmallocUsed is 0 from 4.4
 * to 5.3. Only the newest kernels have Balloon.
 *
 *   file = { name ":" blanks decimal [ " kB" ] "\n" }
 *
 *   MemTotal:       24681792 kB
 *   MemFree:        24531020 kB
 *   HugePages_Total:       0
 *
 * " kB" means 1,024 bytes; lines without it are plain counts.
 */

/** Fields of /proc/meminfo in bytes. A field that this kernel does not print is absent. */
export interface Meminfo {
  memTotalBytes: number;
  memFreeBytes: number;
  memAvailableBytes?: number;
  buffersBytes?: number;
  cachedBytes?: number;
  swapTotalBytes?: number;
  swapFreeBytes?: number;
  anonPagesBytes?: number;
  shmemBytes?: number;
  slabReclaimableBytes?: number;
  slabUnreclaimableBytes?: number;
  kernelStackBytes?: number;
  pageTablesBytes?: number;
  commitLimitBytes?: number;
  committedAsBytes?: number;
  /** All reserved huge pages, of every size. */
  hugetlbBytes?: number;
  percpuBytes?: number;
  /** Everything mapped by vmalloc(), including kernel stacks if they are mapped that way (>= 4.9). */
  vmallocUsedBytes?: number;
  /** Pages that a balloon has returned to the hypervisor. */
  balloonBytes?: number;
  /** Part of MemFree: free pages that only movable allocations may use. */
  cmaFreeBytes?: number;
}

const fieldOf = new Map<string, keyof Meminfo>([
  ["MemTotal", "memTotalBytes"],
  ["MemFree", "memFreeBytes"],
  ["MemAvailable", "memAvailableBytes"],
  ["Buffers", "buffersBytes"],
  ["Cached", "cachedBytes"],
  ["SwapTotal", "swapTotalBytes"],
  ["SwapFree", "swapFreeBytes"],
  ["AnonPages", "anonPagesBytes"],
  ["Shmem", "shmemBytes"],
  ["SReclaimable", "slabReclaimableBytes"],
  ["SUnreclaim", "slabUnreclaimableBytes"],
  ["KernelStack", "kernelStackBytes"],
  ["PageTables", "pageTablesBytes"],
  ["CommitLimit", "commitLimitBytes"],
  ["Committed_AS", "committedAsBytes"],
  ["Hugetlb", "hugetlbBytes"],
  ["Percpu", "percpuBytes"],
  ["VmallocUsed", "vmallocUsedBytes"],
  ["Balloon", "balloonBytes"],
  ["CmaFree", "cmaFreeBytes"],
]);

const line = /^([^:]+):\s+(\d+)( kB)?$/;

/**
 * Parses /proc/meminfo. Unknown lines are skipped.
 * @throws {Error} if MemTotal or MemFree is missing, because then it is not meminfo.
 */
export function parseMeminfo(text: string): Meminfo {
  const fields: Partial<Meminfo> = {};
  let hugePages: number | undefined;
  let hugePageBytes: number | undefined;
  for (const row of text.split("\n")) {
    const match = line.exec(row);
    if (match === null) continue;
    const value = Number(match[2]) * (match[3] === undefined ? 1 : 1024);
    const field = fieldOf.get(match[1] as string);
    if (field !== undefined) fields[field] = value;
    else if (match[1] === "HugePages_Total") hugePages = value;
    else if (match[1] === "Hugepagesize") hugePageBytes = value;
  }
  // "Hugetlb" exists since 4.15; before that only the default size is known.
  if (fields.hugetlbBytes === undefined && hugePages !== undefined && hugePageBytes !== undefined) {
    fields.hugetlbBytes = hugePages * hugePageBytes;
  }
  if (fields.memTotalBytes === undefined || fields.memFreeBytes === undefined) {
    throw new Error("no MemTotal and MemFree lines");
  }
  return { ...fields, memTotalBytes: fields.memTotalBytes, memFreeBytes: fields.memFreeBytes };
}

/** How the memory that is not free is used: `oom_host_memory_used_bytes` by `kind`. */
export interface MemoryUse {
  anon: number;
  page_cache: number;
  shmem: number;
  slab_reclaimable: number;
  slab_unreclaimable: number;
  page_tables: number;
  kernel_stack: number;
  hugetlb: number;
  percpu: number;
  vmalloc: number;
  zspages: number;
  balloon: number;
  other: number;
}

/**
 * Splits MemTotal - MemFree into disjoint kinds, in bytes.
 *
 * Invariant: the kinds are never negative and add up to MemTotal - MemFree.
 *
 * The kernel counts each field per processor and at a different moment, so the parts can exceed the whole by a few
 * pages; `other` absorbs the difference, and if that would become negative, the largest kind does. `percpu`,
 * `vmalloc`, `zspages` and `balloon` are taken out of `other`, each at most what remains of it, because VmallocUsed
 * may include pages that are counted elsewhere.
 *
 * @param zspagesBytes pages of zram and zswap (/proc/vmstat: nr_zspages); 0 if unknown
 */
export function memoryUse(meminfo: Meminfo, zspagesBytes = 0): MemoryUse {
  const shmem = meminfo.shmemBytes ?? 0;
  const use: MemoryUse = {
    anon: meminfo.anonPagesBytes ?? 0,
    page_cache: Math.max(0, (meminfo.cachedBytes ?? 0) + (meminfo.buffersBytes ?? 0) - shmem),
    shmem,
    slab_reclaimable: meminfo.slabReclaimableBytes ?? 0,
    slab_unreclaimable: meminfo.slabUnreclaimableBytes ?? 0,
    page_tables: meminfo.pageTablesBytes ?? 0,
    kernel_stack: meminfo.kernelStackBytes ?? 0,
    hugetlb: meminfo.hugetlbBytes ?? 0,
    percpu: 0,
    vmalloc: 0,
    zspages: 0,
    balloon: 0,
    other: 0,
  };
  const used = Math.max(0, meminfo.memTotalBytes - meminfo.memFreeBytes);
  const kinds = Object.keys(use) as (keyof MemoryUse)[];
  let excess = kinds.reduce((sum, kind) => sum + use[kind], 0) - used;
  if (excess <= 0) {
    use.other = -excess;
    const { percpuBytes = 0, vmallocUsedBytes = 0, balloonBytes = 0 } = meminfo;
    takeFromOther(use, "percpu", percpuBytes);
    takeFromOther(use, "vmalloc", vmallocUsedBytes - use.kernel_stack);
    takeFromOther(use, "zspages", zspagesBytes);
    takeFromOther(use, "balloon", balloonBytes);
    return use;
  }
  for (const kind of kinds.sort((a, b) => use[b] - use[a])) {
    const given = Math.min(use[kind], excess);
    use[kind] -= given;
    excess -= given;
  }
  return use;
}

function takeFromOther(use: MemoryUse, kind: keyof MemoryUse, bytes: number): void {
  const taken = Math.min(use.other, Math.max(0, bytes));
  use[kind] += taken;
  use.other -= taken;
}

/** Sizes of the host's memory and swap, and the unreclaimable usage of each. */
export function memoryInUse(meminfo: Meminfo) {
  const { memTotalBytes: totalBytes, swapTotalBytes = 0, swapFreeBytes = 0 } = meminfo;
  const availableBytes = meminfo.memAvailableBytes ?? meminfo.memFreeBytes;
  return {
    totalBytes,
    availableBytes,
    usedBytes: totalBytes - availableBytes,
    swapTotalBytes,
    swapFreeBytes,
    swapUsedBytes: swapTotalBytes - swapFreeBytes,
  };
}

const nearRatio = 0.1;

/** Whether the host is nearly out of memory: less than a tenth is available. */
export function isHostNear(meminfo: Meminfo): boolean {
  const { availableBytes, totalBytes } = memoryInUse(meminfo);
  return availableBytes < totalBytes * nearRatio;
}
