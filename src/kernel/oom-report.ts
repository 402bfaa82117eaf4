import type { KernelMessage } from "./kernel-message.ts";

/** The pool of tasks from which the kernel chose, in the words of the metric label. */
export type OomConstraint = "none" | "memcg" | "cpuset" | "memory_policy" | "unknown";

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
  failcnt: number;
}

/** The memory cgroup part of a dump (`memory: usage ...` and its memory.stat). */
export interface MemcgDump {
  memory?: MemcgUsage;
  /** cgroup v1: memory and swap together. */
  memorySwap?: MemcgUsage;
  /** cgroup v1: kernel memory. */
  kernelMemory?: MemcgUsage;
  /** cgroup v2. */
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
}

/** The host part of a dump (`Mem-Info:`). Everything in bytes. */
export interface MemInfoDump {
  /** `N pages RAM` less `N pages reserved`. */
  totalBytes?: number;
  anonBytes?: number;
  fileBytes?: number;
  shmemBytes?: number;
  slabReclaimableBytes?: number;
  slabUnreclaimableBytes?: number;
  pageTablesBytes?: number;
  kernelStackBytes?: number;
  freeBytes?: number;
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
  pageSizeBytes: number;
}

/**
 * What the kernel says of one kill, in the kernel's own terms. Absent = the log does not say.
 * All strings are decoded (UTF-8, invalid bytes as U+FFFD).
 *
 * Invariant: one report per `Killed process` line that the kernel wrote, and none for any other line.
 */
export interface OomKillReport {
  /** The message of the `Killed process` line itself. */
  killLine: KernelMessage;
  /** 1-based line number in the source; for kmsg the sequence number. */
  lineNumber?: number;
  /** Byte offset just behind the `Killed process` line, where the source has offsets. */
  endOffset?: number;
  /** `Out of memory`, `Memory cgroup out of memory`, ... of the kill line or of its announce line. */
  prefix?: string;
  pid: number;
  comm: string;
  uid?: number;
  totalVmBytes?: number;
  anonRssBytes?: number;
  fileRssBytes?: number;
  shmemRssBytes?: number;
  pageTablesBytes?: number;
  oomScoreAdj?: number;
  constraint: OomConstraint;
  /** `task_memcg=`: the victim's own cgroup. */
  victimCgroup?: string;
  /** `oom_memcg=`: the cgroup whose limit was hit. */
  limitCgroup?: string;
  /** Cgroup named by the `memory.oom.group` line of this event. */
  groupCgroup?: string;
  /** True when this line repeats a victim that this group event has already named: a raw line, not a kill. */
  repeatsVictim: boolean;
  /** True where the kernel printed no dump for this event (rate limit) or the log lost it. */
  suppressed: boolean;
  /** The dump of the event; absent where `suppressed`. */
  dump?: OomDump;
}

/** Something the log says it does not hold. */
export interface LogLoss {
  what: "callbacks_suppressed" | "printk_dropped" | "journal_missed" | "syslog_lost";
  count: number;
}

/** What the kernel log tells, in the order in which it tells it. */
export type KernelLogEvent =
  | { kind: "kill"; report: OomKillReport }
  /** The group line comes after its first victim: `report` is that victim's, `groupCgroup` now filled in. */
  | { kind: "group"; report: OomKillReport; cgroup: string }
  | { kind: "loss"; loss: LogLoss }
  /** A line that begins as a kill line and fits no grammar of any kernel. */
  | { kind: "unparsed"; message: KernelMessage; lineNumber?: number }
  /** `Out of memory and no killable processes...`: an event without a victim. */
  | { kind: "no_victim" };
