import type { MemoryEvents, MemoryStat } from "../kernel/memory-cgroup.ts";
import type { Pressure } from "../kernel/pressure.ts";

export type CgroupVersion = "v1" | "v2";

/** One cgroup in the last pass; values that its kernel does not report are absent. */
export interface CgroupReading extends MemoryStat {
  /** Path from the hierarchy's root, `/` for the root itself. */
  path: string;
  currentBytes: number;
  /** `Infinity` without a limit. */
  maxBytes?: number;
  highBytes?: number;
  peakBytes?: number;
  swapCurrentBytes?: number;
  swapMaxBytes?: number;
  /** The smallest limit of this cgroup and its ancestors; `Infinity` if none has one. */
  effectiveMaxBytes: number;
  /** The cgroup with the limit `effectiveMaxBytes`; absent if there is none, or if the reader cannot see it. */
  limitingCgroup?: string;
  events: MemoryEvents;
  pressure: Pressure;
}

/** Charged memory minus inactive page cache; the kubelet calls it the working set. */
export function workingSetBytes(reading: CgroupReading): number | undefined {
  if (reading.inactiveFileBytes === undefined) return undefined;
  return Math.max(0, reading.currentBytes - reading.inactiveFileBytes);
}

type Charged = Pick<CgroupReading, "currentBytes" | "fileBytes" | "shmemBytes">;

/**
 * Memory that only a kill or swapping frees: charged memory minus page cache, but including shared memory, which counts as
 * page cache there. Like `cgroup:oom_memory_unreclaimable:ratio`, in bytes.
 */
export function unreclaimableBytes({
  currentBytes,
  fileBytes,
  shmemBytes,
}: Charged): number | undefined {
  if (fileBytes === undefined || shmemBytes === undefined) return undefined;
  return Math.max(0, currentBytes - fileBytes + shmemBytes);
}

/** Usage of a limit without page cache, which the kernel reclaims before it kills. */
export function heldBytes(charged: Charged): number {
  return unreclaimableBytes(charged) ?? charged.currentBytes;
}

const nearLimitRatio = 0.8;

/**
 * A limit counts as near from 80 % unreclaimable usage: then `oom_next_victim_info`, the page and the API name its next
 * victim. The alert fires from 90 % (`threshold:oom_cgroup_near_limit:ratio`), so the name is available by then.
 */
export function isNearLimit(heldBytes: number, limitBytes: number): boolean {
  return heldBytes >= limitBytes * nearLimitRatio;
}

/** A cgroup's own limit, and what counts towards it. */
export interface OwnLimit {
  reading: CgroupReading;
  heldBytes: number;
  /** Of the limit, in use. */
  share: number;
  isNear: boolean;
}

const ownLimits = new WeakMap<readonly CgroupReading[], OwnLimit[]>();

/** The limits that cgroups set themselves, fullest first; worked out once for the readings of a pass. */
export function fullestLimits(readings: readonly CgroupReading[]): readonly OwnLimit[] {
  let limits = ownLimits.get(readings);
  if (limits === undefined) {
    limits = [];
    for (const reading of readings) {
      const { path, limitingCgroup, effectiveMaxBytes } = reading;
      if (limitingCgroup !== path) continue;
      const held = heldBytes(reading);
      limits.push({
        reading,
        heldBytes: held,
        share: effectiveMaxBytes === 0 ? Number.POSITIVE_INFINITY : held / effectiveMaxBytes,
        isNear: isNearLimit(held, effectiveMaxBytes),
      });
    }
    limits.sort((a, b) => b.share - a.share);
    ownLimits.set(readings, limits);
  }
  return limits;
}
