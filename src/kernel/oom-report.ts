import type { KernelMessage } from "./kernel-message.ts";

/** What the kernel says of one kill, in the kernel's own terms. Absent = the log does not say. */
export interface OomKillReport {
  /** The message of the `Killed process` line itself. */
  killLine: KernelMessage;
  /** 1-based line number in the source; for kmsg the sequence number. */
  lineNumber?: number;
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
  constraint: "none" | "memcg" | "cpuset" | "memory_policy" | "unknown";
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
}
