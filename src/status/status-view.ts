import type { AnyKill } from "../killers/linked-kills.ts";
import type { Owner } from "../kills/owner.ts";
import type { Bypass } from "../victims/bypass.ts";
import type { TimeLeft, UsePoint } from "./time-left.ts";

export { type Bypass, insteadOfKill } from "../victims/bypass.ts";

export interface HostMemoryView {
  totalBytes: number;
  availableBytes: number;
  freeBytes: number;
  /** Like `oom_host_memory_used_bytes`: disjoint, adding up to total minus free. */
  used: readonly { kind: string; bytes: number }[];
  /** Memory that is already part of the kinds or of free memory; do not add it to them. */
  beside: readonly { name: string; bytes: number; detail: string }[];
  swapTotalBytes: number;
  swapFreeBytes: number;
  /** Oldest first; memory that only a kill or swapping frees, and swap in use. */
  lastHour: readonly { atMs: number; usedBytes: number; swapUsedBytes: number }[];
  /** Until memory and swap are used up. */
  timeLeft: TimeLeft;
}

export interface CgroupView {
  cgroup: string;
  owner: Owner;
  /** The working set: memory in use without inactive page cache. */
  usedBytes: number;
  /** The part of it that only a kill or swapping frees. */
  unreclaimableBytes: number | undefined;
  limitBytes: number;
  /** The ancestor that sets the limit, if it is not the cgroup's own. */
  limitCgroup: string | undefined;
  /** Oldest first. */
  lastHour: readonly UsePoint[];
  /** Until the limit is reached. */
  timeLeft: TimeLeft;
  /** The process that the kernel would kill at the limit; absent where `bypass` says that it does something else. */
  nextVictim: { pid: number; comm: string; program: string | null } | undefined;
  /** By this setting the kernel would not kill by its ranking; known where the limit is near. */
  bypass: Bypass | undefined;
}

/** Memory that counts against a limit and cannot be reclaimed; page cache is dropped before a kill. */
export function heldBytes({ unreclaimableBytes, usedBytes }: CgroupView): number {
  return unreclaimableBytes ?? usedBytes;
}

export interface VictimView {
  pid: number;
  comm: string;
  program: string | null;
  cgroup: string | null;
  owner: Owner;
  score: number;
  scoreAdj: number;
  residentBytes: number;
  swapBytes: number;
  /** Memory that a kill frees, including that of the processes that die with it. */
  freesBytes: number;
  /** Pids of the processes that die with it. */
  diesWith: readonly number[];
}

export interface LogSourceView {
  /** `file`, `kmsg` or `journal`. */
  name: string;
  path: string | undefined;
  up: boolean;
  /** Why it is not read, and what to do. */
  reason: string | undefined;
}

/** What the status page shows. Absent = not available on this host. */
export interface StatusView {
  atMs: number;
  memory: HostMemoryView | undefined;
  /** Cgroups with a limit: those that run out within the hour first, then the fullest. */
  cgroups: readonly CgroupView[];
  /** The first candidates, in the order the kernel would choose them if the host ran out. */
  victims: readonly VictimView[];
  /** By this setting the kernel would not kill the first of them. */
  bypass: Bypass | undefined;
  unkillable: { count: number; residentBytes: number } | undefined;
  /** By the kernel and by other killers, newest first; only the kernel's where both hit the same process. */
  kills: readonly AnyKill[];
  /** Kills that the kernel counted but that did not appear in the log. */
  unaccountedKills: number | undefined;
  sources: readonly LogSourceView[];
  /** What other programs on this host kill for memory, when, and who acts first: a sentence each. */
  otherKillers: readonly string[];
  /** Collectors that failed in the last pass, and why. */
  troubles: readonly { collector: string; reason: string }[];
}
