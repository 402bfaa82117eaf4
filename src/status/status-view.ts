import type { Kill } from "../kills/kill.ts";
import type { Owner } from "../kills/owner.ts";
import type { TimeLeft, UsePoint } from "./time-left.ts";

export interface HostMemoryView {
  totalBytes: number;
  availableBytes: number;
  freeBytes: number;
  /** As `oom_host_memory_used_bytes`: disjoint, adding up to total minus free. */
  used: readonly { kind: string; bytes: number }[];
  /** What no kind shows as what it is; not to be added to them. */
  beside: readonly { name: string; bytes: number; detail: string }[];
  swapTotalBytes: number;
  swapFreeBytes: number;
  /** Oldest first; what only a kill or swap takes back, and what is swapped out. */
  lastHour: readonly { atMs: number; usedBytes: number; swapUsedBytes: number }[];
  /** Until memory and swap are used up. */
  timeLeft: TimeLeft;
}

export interface CgroupView {
  cgroup: string;
  owner: Owner;
  /** Memory in use that reclaim would not simply drop: the working set. */
  usedBytes: number;
  /** Of that, what only a kill or swap takes back. */
  unreclaimableBytes: number | undefined;
  limitBytes: number;
  /** The ancestor that sets the limit, where it is not the cgroup's own. */
  limitCgroup: string | undefined;
  /** Oldest first. */
  lastHour: readonly UsePoint[];
  /** Until the limit is reached. */
  timeLeft: TimeLeft;
  /** The process that the kernel would kill at the limit. */
  nextVictim: { pid: number; comm: string } | undefined;
}

/** What counts against a limit and is not given back: page cache goes before anybody is killed. */
export function heldBytes({ unreclaimableBytes, usedBytes }: CgroupView): number {
  return unreclaimableBytes ?? usedBytes;
}

export interface VictimView {
  pid: number;
  comm: string;
  cgroup: string | null;
  owner: Owner;
  score: number;
  scoreAdj: number;
  residentBytes: number;
  swapBytes: number;
  /** What a kill gives back: its own, and that of those that die with it. */
  freesBytes: number;
  /** Pids of those. */
  diesWith: readonly number[];
}

export interface LogSourceView {
  /** `file` or `kmsg`. */
  name: string;
  path: string | undefined;
  up: boolean;
  /** Why it is not read, and what to do. */
  reason: string | undefined;
}

/** What the status page shows. Absent = cannot be read here. */
export interface StatusView {
  atMs: number;
  memory: HostMemoryView | undefined;
  /** Those with a limit: who runs out within the hour first, then the fullest. */
  cgroups: readonly CgroupView[];
  /** The first, in the order in which the kernel would choose them if the host ran out. */
  victims: readonly VictimView[];
  unkillable: { count: number; residentBytes: number } | undefined;
  /** Newest first. */
  kills: readonly Kill[];
  /** Kills that the kernel counted and the log did not show. */
  unaccountedKills: number | undefined;
  sources: readonly LogSourceView[];
  /** Collectors that did not work in their last pass, and why. */
  troubles: readonly { collector: string; reason: string }[];
}
