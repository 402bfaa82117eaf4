import type { MemoryEvents, MemoryStat } from "../kernel/memory-cgroup.ts";
import type { Pressure } from "../kernel/pressure.ts";

export type CgroupVersion = "v1" | "v2";

/** One cgroup as it stood in the last pass; what its kernel does not tell is absent. */
export interface CgroupReading extends MemoryStat {
  /** Path from the hierarchy's root, `/` for the root itself. */
  path: string;
  currentBytes: number;
  /** `Infinity` where there is no limit. */
  maxBytes?: number;
  highBytes?: number;
  peakBytes?: number;
  swapCurrentBytes?: number;
  swapMaxBytes?: number;
  /** The tightest limit of this cgroup and its ancestors; `Infinity` where none has one. */
  effectiveMaxBytes: number;
  /** Whose limit `effectiveMaxBytes` is; absent where none has one, or one the reader cannot see. */
  limitingCgroup?: string;
  events: MemoryEvents;
  pressure: Pressure;
}

/** Charged memory less the page cache that goes first; what the kubelet calls the working set. */
export function workingSetBytes(reading: CgroupReading): number | undefined {
  if (reading.inactiveFileBytes === undefined) return undefined;
  return Math.max(0, reading.currentBytes - reading.inactiveFileBytes);
}

/**
 * What only a kill or swap takes back: charged memory less the page cache, of which shared memory is
 * no part though it is counted there. As `cgroup:oom_memory_unreclaimable:ratio`, in bytes.
 */
export function unreclaimableBytes(reading: CgroupReading): number | undefined {
  const { currentBytes, fileBytes, shmemBytes } = reading;
  if (fileBytes === undefined || shmemBytes === undefined) return undefined;
  return Math.max(0, currentBytes - fileBytes + shmemBytes);
}

/** What counts against a limit and is not given back: page cache goes before anybody is killed. */
export function heldBytes(reading: CgroupReading): number {
  return unreclaimableBytes(reading) ?? reading.currentBytes;
}

const nearLimitRatio = 0.8;

/**
 * At 80 % held a limit is near enough to say who would die at it: in `oom_next_victim_info`, on the
 * page and in the API. The alert warns from 90 % (`threshold:oom_cgroup_near_limit:ratio`), so that it
 * finds the name there.
 */
export function isNearLimit(heldBytes: number, limitBytes: number): boolean {
  return heldBytes >= limitBytes * nearLimitRatio;
}
