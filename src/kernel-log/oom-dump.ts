/**
 * The dump that the kernel prints before a kill: the triggering task, memory usage, and the running tasks.
 *
 * Source: mm/oom_kill.c `dump_header()`, mm/show_mem.c (before 6.3 mm/page_alloc.c) `show_mem()`,
 * mm/memcontrol.c `mem_cgroup_print_oom_meminfo()`. At most 10 dumps in 5 s are printed.
 *
 *     greedy invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
 *     CPU: 0 PID: 226 Comm: greedy Not tainted 6.1.0-56-cloud-amd64 #1  Debian 6.1.192-2
 *     memory: usage 65536kB, limit 65536kB, failcnt 26
 *     active_anon:2005 inactive_anon:98034 isolated_anon:0
 *     Node 0 DMA32 free:5136kB boost:0kB min:5056kB low:6320kB high:7584kB ...
 *     Tasks state (memory values in pages):
 *     [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
 *     [    226]     0   226    12576    12307   135168        0             0 greedy
 */
import { decodeCgroup, decodeUtf8 } from "./kernel-text.ts";
import type { KillLine } from "./kill-line.ts";
import { commMaxBytes } from "./kill-line.ts";

/** `COMM invoked oom-killer: ...`: the task whose allocation failed. */
export interface OomTrigger {
  comm: string;
  /** From the `CPU: 0 PID: 226 Comm: ...` line after the header. */
  pid?: number;
  /** `0xcc0(GFP_KERNEL)` as printed. */
  gfpMask?: string;
  /** Allocation order; -1 is SysRq f. */
  order?: number;
  oomScoreAdj?: number;
}

/** One counter line of a memory cgroup's dump; a limit that means "none" is absent. */
export interface MemcgUsage {
  usageBytes: number;
  limitBytes?: number;
}

/** The memory cgroup part of a dump (`memory: usage ...` and its memory.stat). */
export interface MemcgDump {
  /** The cgroup whose limit was hit, from `Memory cgroup stats for PATH:`. */
  cgroup?: string;
  memory?: MemcgUsage;
  /** cgroup v1: memory and swap together. */
  memorySwap?: MemcgUsage;
  /** cgroup v1: kernel memory. */
  kernelMemory?: MemcgUsage;
  /** cgroup v2: swap alone. */
  swap?: MemcgUsage;
  /** memory.stat of the limit's cgroup in bytes, keys as printed (`anon` on v2, `rss` on v1). */
  stat: ReadonlyMap<string, number>;
}

/** One zone of `Mem-Info:` (`Node 0 Normal free:..kB min:..kB`). */
export interface ZoneInfo {
  node: number;
  zone: string;
  freeBytes: number;
  minBytes?: number;
  lowBytes?: number;
  highBytes?: number;
  /** Free memory in blocks of 2^n pages, n the index; from the line of the buddy lists. */
  freeBlocksBytes?: readonly number[];
  /** `managed:` (>= 3.9), else `present:`. */
  managedBytes?: number;
  /** The part of the free memory that only movable allocations may use. */
  freeCmaBytes?: number;
}

/** The host part of a dump (`Mem-Info:`). Everything in bytes. */
export interface MemInfoDump {
  /** `N pages RAM` minus `N pages reserved`. */
  totalBytes?: number;
  anonBytes?: number;
  fileBytes?: number;
  /** Anonymous memory and page cache, until 2.6.27 only together. */
  lruBytes?: number;
  shmemBytes?: number;
  /** Until 2.6.30 only the total. */
  slabBytes?: number;
  slabReclaimableBytes?: number;
  slabUnreclaimableBytes?: number;
  /** The largest unreclaimable cache (>= 4.15, where slab exceeds the pages of processes and files). */
  largestCache?: { name: string; totalBytes: number };
  pageTablesBytes?: number;
  kernelStackBytes?: number;
  /** Unreclaimable pages on the unevictable list (mlock, ramfs). */
  unevictableBytes?: number;
  /** `sec_pagetables` (>= 6.0): page tables of virtual machines and IOMMUs. */
  secondaryPageTablesBytes?: number;
  bounceBytes?: number;
  /** `kernel_misc_reclaimable` (>= 4.20). */
  miscReclaimableBytes?: number;
  /** Reserved huge pages, on all nodes and of all sizes. */
  hugetlbBytes?: number;
  /** The part of them that no process uses. */
  hugetlbFreeBytes?: number;
  freeBytes?: number;
  /** Free pages in per-processor lists; not part of `freeBytes`. */
  freePerCpuBytes?: number;
  /** Part of `freeBytes` in CMA, which only movable allocations may use. */
  freeCmaBytes?: number;
  swapTotalBytes?: number;
  swapFreeBytes?: number;
  zones: readonly ZoneInfo[];
}

/** One row of the task table. Sizes in bytes, by the page size of the machine that printed them. */
export interface OomTask {
  pid: number;
  tgid?: number;
  uid?: number;
  comm: string;
  totalVmBytes?: number;
  rssBytes: number;
  /** Shared memory part of rss (>= 6.8). */
  shmemRssBytes?: number;
  swapBytes?: number;
  pageTablesBytes?: number;
  oomScoreAdj?: number;
}

/** The dump that `dump_header()` prints: once per event, at most 10 in 5 s. Shared by all kills of the event. */
export interface OomDump {
  trigger?: OomTrigger;
  memcg?: MemcgDump;
  memInfo?: MemInfoDump;
  tasks: readonly OomTask[];
  /** The head of the task table is missing, and so may be any number of its rows. */
  isTaskTableCut?: boolean;
  pageSizeBytes: number;
}

/** The header's fields; `undefined` for any other text, and for a name longer than a name can be. */
export function parseHeader(text: string): OomTrigger | undefined {
  const match = /^(?:(.*) invoked )?oom-killer: (.*)$/s.exec(text);
  const comm = match?.[1];
  const fields = match?.[2];
  if (fields === undefined || (comm !== undefined && comm.length > commMaxBytes)) return undefined;
  const trigger: OomTrigger = { comm: decodeUtf8(comm ?? "") };
  const gfpMask = /\bgfp_mask=(0x[0-9a-f]+(?:\([^)]*\))?|\d+)/i.exec(fields)?.[1];
  const order = /\border=(-?\d+)/.exec(fields)?.[1];
  const adj = /\boom_score_adj=(-?\d+)/.exec(fields)?.[1];
  if (gfpMask !== undefined) trigger.gfpMask = gfpMask;
  if (order !== undefined) trigger.order = Number(order);
  if (adj !== undefined) trigger.oomScoreAdj = Number(adj);
  return trigger;
}

const memInfoLine =
  /^(?:Mem-[Ii]nfo|\s*[Aa]ctive(?:_anon)?:\d+ (?:inactive|active_file)|(?:Node \d+ )?[A-Z][A-Za-z0-9]* free:\d+kB|(?:Free|Total) swap )/;

/** Whether a text belongs to Mem-Info, even if its beginning is lost. */
export function isOfMemInfo(text: string): boolean {
  return memInfoLine.test(text);
}

const cgroupOrTableLine =
  /^(?:(?:memory(?:\+swap)?|kmem|swap): usage \d+kB, limit \d|Memory cgroup stats for \/|\[ *pid *\] +uid +tgid |\[ *\d+\](?: +-?\d+){7,10} \S)/;

/** Whether only a dump before a kill has such a line: a cgroup's counters, or the task table. */
export function isOfDump(text: string): boolean {
  return cgroupOrTableLine.test(text);
}

/** The numeric columns of a task table's header, in order; the rest of a row is the name. */
type TaskColumns = readonly string[];

interface TaskRow {
  pid: number;
  values: readonly number[];
  comm: string;
}

/** Mem-Info as printed; pages are converted to bytes once the page size is known. */
interface MemInfoLines {
  pages: Map<string, number>;
  largestCache?: { name: string; totalBytes: number };
  kernelStackBytes?: number;
  hugetlbBytes?: number;
  hugetlbFreeBytes?: number;
  swapTotalBytes?: number;
  swapFreeBytes?: number;
  zones: ZoneInfo[];
  pageSizeBytes?: number;
}

const maxTaskRows = 65_536;
/** The widest table has ten columns; a forged header must not grow the pattern of its rows. */
const maxTaskColumns = 20;

/** Parses the lines of one dump, in any order and with any of them missing. */
export class OomDumpReader {
  readonly #trigger: OomTrigger | undefined;
  #memory: MemcgUsage | undefined;
  #memorySwap: MemcgUsage | undefined;
  #kernelMemory: MemcgUsage | undefined;
  #swap: MemcgUsage | undefined;
  #stat: Map<string, number> | undefined;
  #cgroup: string | undefined;
  #memInfo: MemInfoLines | undefined;
  #columns: TaskColumns | undefined;
  #isTableCut = false;
  #rows: TaskRow[] = [];

  constructor(trigger?: OomTrigger) {
    this.#trigger = trigger === undefined ? undefined : { ...trigger };
  }

  /** Whether any line has been read. */
  get isEmpty(): boolean {
    return (
      this.#trigger === undefined &&
      !this.isOfCgroup &&
      this.#memInfo === undefined &&
      this.#rows.length === 0
    );
  }

  /** Whether the cgroup's part has been read; a kill on the whole host has none. */
  get isOfCgroup(): boolean {
    return [this.#memory, this.#memorySwap, this.#kernelMemory, this.#swap, this.#stat].some(
      (part) => part !== undefined,
    );
  }

  /** Whether Mem-Info has been read; a cgroup's kill has none. */
  get isOfHost(): boolean {
    return this.#memInfo !== undefined;
  }

  /** Whether the task table contains a process. */
  names(pid: number): boolean {
    return this.#rows.some((row) => row.pid === pid);
  }

  /** Takes one line. True if it begins a memory.stat, whose lines go to `readStat`. */
  read(text: string): boolean {
    const first = text.trimStart();
    if (first.startsWith("[")) {
      this.#readTaskTable(first);
    } else if (text.includes(": usage ")) {
      this.#readUsage(text);
    } else if (text.startsWith("Memory cgroup stats for ") || text === "Memory cgroup stats:") {
      return this.#startStat(text);
    } else if (text.startsWith("CPU: ") || text.startsWith("Pid: ")) {
      this.#readTriggerPid(text);
    } else if (this.#memInfo !== undefined || isOfMemInfo(text)) {
      this.#memInfo ??= { pages: new Map(), zones: [] };
      readMemInfo(this.#memInfo, text);
    }
    return false;
  }

  /** True if the text is part of memory.stat: `anon 50176000`, one or many such lines. */
  readStat(text: string): boolean {
    const stat = this.#stat;
    if (stat === undefined) return false;
    for (const line of text.split("\n")) {
      const match = /^\s*([a-z][a-z0-9_]*) (\d+)\s*$/.exec(line);
      if (match === null) return false;
      if (!stat.has(match[1] ?? "")) stat.set(match[1] ?? "", Number(match[2]));
    }
    return true;
  }

  /** The result for the kill of a victim: its line has what the dump may lack. */
  dumpFor(kill: KillLine): OomDump {
    const pageSizeBytes = this.#pageSize(kill);
    const dump: OomDump = { tasks: this.#tasks(kill, pageSizeBytes), pageSizeBytes };
    if (this.#isTableCut) dump.isTaskTableCut = true;
    if (this.#trigger !== undefined) {
      dump.trigger = { ...this.#trigger, comm: triggerComm(this.#trigger, kill) };
    }
    if (this.isOfCgroup) {
      dump.memcg = {
        cgroup: this.#cgroup,
        memory: this.#memory,
        memorySwap: this.#memorySwap,
        kernelMemory: this.#kernelMemory,
        swap: this.#swap,
        stat: this.#stat ?? new Map(),
      };
    }
    if (this.#memInfo !== undefined) dump.memInfo = memInfoOf(this.#memInfo, pageSizeBytes);
    return dump;
  }

  #readTriggerPid(text: string): void {
    if (this.#trigger === undefined || this.#trigger.pid !== undefined) return;
    const match =
      /^CPU: \d+ (?:UID: \d+ )?PID: (\d+) Comm: (.*)$/s.exec(text) ??
      /^Pid: (\d+), comm: (.*)$/s.exec(text);
    if (match !== null) this.#trigger.pid = Number(match[1]);
  }

  #readUsage(text: string): void {
    const match = /^(memory|memory\+swap|kmem|swap): usage (\d+)kB, limit (\d+)kB, failcnt \d/.exec(
      text,
    );
    if (match === null) return;
    const usage: MemcgUsage = { usageBytes: Number(match[2]) * 1024 };
    if (Number(match[3]) < unlimitedKilobytes) usage.limitBytes = Number(match[3]) * 1024;
    if (match[1] === "memory") this.#memory ??= usage;
    else if (match[1] === "memory+swap") this.#memorySwap ??= usage;
    else if (match[1] === "kmem") this.#kernelMemory ??= usage;
    else this.#swap ??= usage;
  }

  #startStat(text: string): boolean {
    // <= 4.20 prints one line for each cgroup of the tree; the first is the one with the limit.
    if (this.#stat !== undefined) return false;
    this.#stat = new Map();
    // A pager may cut off the end.
    const inline = /:((?: ?[a-z_]+:\d+KB)+)(?: ?[a-z_]+(?::\d*K?)?)?\s*$/.exec(text);
    const path = /^Memory cgroup stats for (\/.*?):?\s*$/s.exec(text.slice(0, inline?.index));
    if (path !== null) this.#cgroup = decodeCgroup(path[1] ?? "");
    for (const [, key = "", value] of (inline?.[1] ?? "").matchAll(/([a-z_]+):(\d+)KB/g)) {
      this.#stat.set(key, Number(value) * 1024);
    }
    return true;
  }

  #readTaskTable(text: string): void {
    const header = /^\[ *pid *\] +(.*\S)\s*$/.exec(text);
    if (header !== null) {
      this.#columns = (header[1] ?? "").split(/\s+/, maxTaskColumns).slice(0, -1);
      return;
    }
    if (this.#columns === undefined) {
      this.#columns = columnsOfRow(text);
      this.#isTableCut = this.#columns !== undefined;
    }
    if (this.#columns === undefined || this.#rows.length >= maxTaskRows) return;
    const row = taskRow(this.#columns, text);
    if (row === undefined) return;
    // A newline in a name: the row is read again, now with the rest of the name.
    if (row.pid === this.#rows.at(-1)?.pid) this.#rows.pop();
    this.#rows.push(row);
  }

  /** The task row counts pages, the kill line kB: the victim has both. Otherwise the buddy lists' smallest block. */
  #pageSize(kill: KillLine): number {
    const totalVm = this.#columns?.indexOf("total_vm") ?? -1;
    const row = this.#rows.find((candidate) => candidate.pid === kill.pid);
    const pages = row?.values[totalVm];
    if (pages !== undefined && pages > 0 && kill.totalVmBytes !== undefined) {
      const size = kill.totalVmBytes / pages;
      if (size === 4096 || size === 8192 || size === 16_384 || size === 65_536) return size;
    }
    return this.#memInfo?.pageSizeBytes ?? 4096;
  }

  #tasks(kill: KillLine, pageSizeBytes: number): OomTask[] {
    const columns = this.#columns ?? [];
    const at = (name: string): number => columns.indexOf(name);
    const [uid, tgid, totalVm, rss, shmem, swap, tables, adj] = [
      at("uid"),
      at("tgid"),
      at("total_vm"),
      at("rss"),
      at("rss_shmem"),
      at("swapents"),
      at("pgtables_bytes"),
      at("oom_score_adj"),
    ];
    return this.#rows.map(({ pid, values, comm }) => {
      const pages = (index: number): number | undefined => {
        const count = values[index];
        return count === undefined ? undefined : count * pageSizeBytes;
      };
      return {
        pid,
        tgid: values[tgid],
        uid: values[uid],
        // A newline in the name splits the row; the kill line has the full name.
        comm: pid === kill.pid ? kill.comm : decodeUtf8(comm),
        totalVmBytes: pages(totalVm),
        rssBytes: pages(rss) ?? 0,
        shmemRssBytes: pages(shmem),
        swapBytes: pages(swap),
        pageTablesBytes: values[tables],
        oomScoreAdj: values[adj],
      };
    });
  }
}

/** "No limit" differs by kernel and page size, but is always beyond an exbibyte. */
const unlimitedKilobytes = 2 ** 50;

const memInfoCounters = /\b([A-Za-z][a-z_]+):(\d+)(?=\s|$)/g;
/** A kernel without NUMA prints no node. */
const zoneLine =
  /^(?:Node (\d+) )?([A-Z][A-Za-z0-9]*) free:(\d+)kB (?:boost:\d+kB )?min:(\d+)kB low:(\d+)kB(?: high:(\d+)kB)?/;

/** `kernfs_node_cache      23189KB      23193KB`: name, used and total of `Unreclaimable slab info:`. */
const cacheLine = /^(\S{1,64}) +\d+KB +(\d+)KB\s*$/;
const hugePagesLine =
  /^(?:Node \d+ )?hugepages_total=(\d+) hugepages_free=(\d+) .*\bhugepages_size=(\d+)kB/;
const managedField = /\bmanaged:(\d+)kB/;
const presentField = /\bpresent:(\d+)kB/;
const freeCmaField = /\bfree_cma:(\d+)kB/;

/** One line of Mem-Info. Page counts (`active_anon:2005`) have no unit, sizes have one. */
function readMemInfo(info: MemInfoLines, text: string): void {
  if (/^\s*[A-Za-z][a-z_]+:\d+(\s|$)/.test(text)) {
    for (const [, name = "", pages] of text.matchAll(memInfoCounters)) {
      const key = name.toLowerCase();
      if (!info.pages.has(key)) info.pages.set(key, Number(pages));
    }
    return;
  }
  const cache = cacheLine.exec(text);
  if (cache !== null) {
    const totalBytes = Number(cache[2]) * 1024;
    if (totalBytes > (info.largestCache?.totalBytes ?? 0))
      info.largestCache = { name: decodeUtf8(cache[1] ?? ""), totalBytes };
    return;
  }
  const stack = /\bkernel_stack:(\d+)kB/.exec(text);
  if (stack !== null)
    info.kernelStackBytes = (info.kernelStackBytes ?? 0) + Number(stack[1]) * 1024;
  const zone = zoneLine.exec(text);
  if (zone !== null) {
    const field = (pattern: RegExp): number | undefined => {
      const kilobytes = pattern.exec(text)?.[1];
      return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
    };
    info.zones.push({
      node: Number(zone[1] ?? 0),
      zone: zone[2] ?? "",
      freeBytes: Number(zone[3]) * 1024,
      minBytes: Number(zone[4]) * 1024,
      lowBytes: Number(zone[5]) * 1024,
      highBytes: zone[6] === undefined ? undefined : Number(zone[6]) * 1024,
      managedBytes: field(managedField) ?? field(presentField),
      freeCmaBytes: field(freeCmaField),
    });
    return;
  }
  const huge = hugePagesLine.exec(text);
  if (huge !== null) {
    const [total, free, sizeKb] = huge.slice(1).map(Number) as [number, number, number];
    info.hugetlbBytes = (info.hugetlbBytes ?? 0) + total * sizeKb * 1024;
    info.hugetlbFreeBytes = (info.hugetlbFreeBytes ?? 0) + free * sizeKb * 1024;
    return;
  }
  const buddy = /^(?:Node (\d+) )?([A-Z][A-Za-z0-9]*): \d+\*(\d+)kB /.exec(text);
  if (buddy !== null) {
    info.pageSizeBytes ??= Number(buddy[3]) * 1024;
    const [node, name] = [Number(buddy[1] ?? 0), buddy[2]];
    const of = info.zones.find((candidate) => candidate.node === node && candidate.zone === name);
    if (of !== undefined) {
      of.freeBlocksBytes = [...text.matchAll(/\b(\d+)\*(\d+)kB\b/g)].map(
        ([, count, size]) => Number(count) * Number(size) * 1024,
      );
    }
    return;
  }
  const swap = /^(Free|Total) swap *[=:] *(\d+)kB/.exec(text);
  if (swap?.[1] === "Free") info.swapFreeBytes = Number(swap[2]) * 1024;
  else if (swap?.[1] === "Total") info.swapTotalBytes = Number(swap[2]) * 1024;
  const ram = /^(\d+) (pages (?:of )?RAM|pages reserved|reserved pages)/.exec(text);
  if (ram !== null) info.pages.set(ram[2]?.includes("RAM") ? "RAM" : "reserved", Number(ram[1]));
}

/** Columns by their number, for a table whose head is missing. */
const columnsByCount: Record<number, TaskColumns> = {
  7: ["uid", "tgid", "total_vm", "rss", "", "swapents", "oom_score_adj"],
  8: ["uid", "tgid", "total_vm", "rss", "", "", "swapents", "oom_score_adj"],
  10: ["uid", "tgid", "total_vm", "rss", "", "", "rss_shmem", "", "swapents", "oom_score_adj"],
};

function columnsOfRow(text: string): TaskColumns | undefined {
  const numbers = /^\[ *\d+\]((?: +-?\d+){7,10}) \S/.exec(text)?.[1]?.trim().split(/ +/);
  return numbers === undefined ? undefined : columnsByCount[numbers.length];
}

/** One pattern per number of columns. Patched kernels write a tag before a number (`(01)123`). */
const rowPatterns: RegExp[] = [];

function taskRow(columns: TaskColumns, text: string): TaskRow | undefined {
  const number = "(?:\\s+(?:\\([^)]*\\))?(-?\\d+))";
  rowPatterns[columns.length] ??= new RegExp(
    `^\\[ *(\\d+)\\]${number.repeat(columns.length)}\\s(.*)$`,
    "s",
  );
  const match = rowPatterns[columns.length]?.exec(text) ?? null;
  if (match === null) return undefined;
  return {
    pid: Number(match[1]),
    values: match.slice(2, 2 + columns.length).map(Number),
    // Text copied from a terminal is padded; a name made of blanks is kept.
    comm: match.at(-1)?.replace(/(?<=\S)\s+$/, "") ?? "",
  };
}

/** A newline in a name splits the header's line; if the victim itself was the trigger, its name is complete. */
function triggerComm(trigger: OomTrigger, kill: KillLine): string {
  return trigger.pid === kill.pid && kill.comm.endsWith(`\n${trigger.comm}`)
    ? kill.comm
    : trigger.comm;
}

function memInfoOf(lines: MemInfoLines, pageSizeBytes: number): MemInfoDump {
  const bytes = (...keys: string[]): number | undefined => {
    let pages: number | undefined;
    for (const key of keys) {
      const count = lines.pages.get(key);
      if (count !== undefined) pages = (pages ?? 0) + count;
    }
    return pages === undefined ? undefined : pages * pageSizeBytes;
  };
  const ram = bytes("RAM");
  return {
    totalBytes: ram === undefined ? undefined : ram - (bytes("reserved") ?? 0),
    anonBytes: bytes("active_anon", "inactive_anon", "isolated_anon"),
    fileBytes: bytes("active_file", "inactive_file", "isolated_file"),
    lruBytes: bytes("active", "inactive"),
    shmemBytes: bytes("shmem"),
    slabBytes: bytes("slab"),
    slabReclaimableBytes: bytes("slab_reclaimable"),
    slabUnreclaimableBytes: bytes("slab_unreclaimable"),
    largestCache: lines.largestCache,
    pageTablesBytes: bytes("pagetables"),
    kernelStackBytes: lines.kernelStackBytes,
    unevictableBytes: bytes("unevictable"),
    secondaryPageTablesBytes: bytes("sec_pagetables"),
    bounceBytes: bytes("bounce"),
    miscReclaimableBytes: bytes("kernel_misc_reclaimable"),
    hugetlbBytes: lines.hugetlbBytes,
    hugetlbFreeBytes: lines.hugetlbFreeBytes,
    freeBytes: bytes("free"),
    freePerCpuBytes: bytes("free_pcp"),
    freeCmaBytes: bytes("free_cma"),
    swapTotalBytes: lines.swapTotalBytes,
    swapFreeBytes: lines.swapFreeBytes,
    zones: lines.zones,
  };
}
