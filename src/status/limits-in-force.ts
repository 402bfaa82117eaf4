import { ancestorsOf } from "../kernel/cgroup-path.ts";
import type { CgroupReading } from "../sources/cgroup-reading.ts";
import { unreclaimableBytes } from "../sources/cgroup-reading.ts";

/** A limit and the usage that counts towards it. */
export interface LimitReading {
  reading: CgroupReading;
  limitBytes: number;
  /** The ancestor that sets the limit, if that was not read itself. */
  limitCgroup: string | undefined;
  unreclaimableBytes: number | undefined;
}

/**
 * Every limit once: at the cgroup that sets it, or at the topmost cgroups below it if that cgroup is filtered out or
 * invisible. Deeper cgroups count towards the same limit and are not listed again.
 */
export function limitsIn(readings: readonly CgroupReading[]): LimitReading[] {
  const known = new Map(readings.map((reading) => [reading.path, reading]));
  return readings.flatMap((reading) => {
    const {
      path,
      maxBytes = Number.POSITIVE_INFINITY,
      effectiveMaxBytes,
      limitingCgroup,
    } = reading;
    if (effectiveMaxBytes === Number.POSITIVE_INFINITY) return [];
    const isSeen = limitingCgroup !== undefined && known.has(limitingCgroup);
    const limitBytes = isSeen ? maxBytes : effectiveMaxBytes;
    const isOwn = limitBytes === maxBytes;
    const isRepeated = ancestorsOf(path).some(
      (above) => known.get(above)?.effectiveMaxBytes === effectiveMaxBytes,
    );
    if (limitBytes === Number.POSITIVE_INFINITY || (!isOwn && isRepeated)) return [];
    const limitCgroup = isOwn ? undefined : limitingCgroup;
    return [{ reading, limitBytes, limitCgroup, unreclaimableBytes: unreclaimableBytes(reading) }];
  });
}

/**
 * The limits that can be reached first. A cgroup whose ancestor has less left never reaches its own limit, because
 * everything it allocates counts towards the ancestor too.
 */
export function limitsInForce(limits: readonly LimitReading[]): LimitReading[] {
  const known = new Map(limits.map((limit) => [limit.reading.path, limit]));
  return limits.filter((limit) => {
    const { path, effectiveMaxBytes } = limit.reading;
    return !ancestorsOf(path).some((name) => {
      const above = known.get(name);
      if (above === undefined) return false;
      // With v1's memory.use_hierarchy off an ancestor's limit does not apply here.
      return effectiveMaxBytes <= above.limitBytes && leftBytes(above) <= leftBytes(limit);
    });
  });
}

function leftBytes({ reading, limitBytes, unreclaimableBytes }: LimitReading): number {
  return limitBytes - (unreclaimableBytes ?? reading.currentBytes);
}
