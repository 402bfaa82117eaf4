import { createHash } from "node:crypto";
import type { DaemonKill } from "./daemon-kill.ts";
import type { UserspaceKiller } from "./killer.ts";

/** earlyoom and nohang signal a process again until it is gone. */
export const sameKillMs = 60_000;
/**
 * A cgroup outlives its processes: its unit may be restarted and killed again. After a kill for pressure systemd-oomd
 * pauses for 15 s; for swap it looks every 150 ms and kills again what has not died yet.
 */
const sameCgroupKillMs = 10_000;
/** Many more than the part of a log that is read again after a restart can hold. */
export const identityLimit = 10_000;

/** What distinguishes one announced kill from another. */
export interface UserspaceSighting {
  killer: UserspaceKiller;
  /** Boot id, 32 hex digits; absent where the boot of the line is unknown. */
  boot?: string;
  /** The process id, cgroup or pod that was killed. */
  victim: string;
  comm?: string;
  /** Wall clock, milliseconds since the epoch. */
  timeMs?: number;
  /** CLOCK_MONOTONIC of the boot, milliseconds. */
  monotonicMs?: number;
}

/** A kill that has been seen, as the state keeps it. */
export interface UserspaceIdentity extends UserspaceSighting {
  incident: string;
  /** Of the last time it was announced. */
  lastTimeMs?: number;
  lastMonotonicMs?: number;
}

/**
 * Decides whether an announcement is of a kill already seen.
 *
 * Invariant: two are of one kill if and only if killer and victim are the same, no more than 60 s (10 s for a whole
 * cgroup) lie between two announcements of it, and neither boot nor command name contradicts. If either has no time, the
 * rest decides.
 */
export class UserspaceIdentities {
  /** Oldest first. */
  readonly #known = new Set<UserspaceIdentity>();
  /** The same by killer and victim. */
  readonly #byVictim = new Map<string, UserspaceIdentity[]>();

  find(sighting: UserspaceSighting): UserspaceIdentity | undefined {
    return this.#byVictim.get(keyOf(sighting))?.findLast((known) => isSame(known, sighting));
  }

  /** Remembers a new kill, and forgets the oldest if there are too many. */
  add(identity: UserspaceIdentity): void {
    const added = { ...identity };
    const key = keyOf(added);
    this.#known.add(added);
    this.#byVictim.set(key, [...(this.#byVictim.get(key) ?? []), added]);
    const [oldest] = this.#known;
    if (this.#known.size > identityLimit && oldest !== undefined) this.#forget(oldest);
  }

  /** A known kill was announced again: its 60 s run from there. */
  extend(sighting: UserspaceSighting): void {
    const known = this.find(sighting);
    if (known === undefined) return;
    known.boot ??= sighting.boot;
    known.lastTimeMs = latest(known.lastTimeMs ?? known.timeMs, sighting.timeMs);
    known.lastMonotonicMs = latest(
      known.lastMonotonicMs ?? known.monotonicMs,
      sighting.monotonicMs,
    );
  }

  save(): UserspaceIdentity[] {
    return [...this.#known];
  }

  restore(known: readonly UserspaceIdentity[]): void {
    for (const identity of known) this.add(identity);
  }

  #forget(identity: UserspaceIdentity): void {
    this.#known.delete(identity);
    const key = keyOf(identity);
    const others = this.#byVictim.get(key)?.filter((other) => other !== identity) ?? [];
    if (others.length > 0) this.#byVictim.set(key, others);
    else this.#byVictim.delete(key);
  }
}

export function sightingOf(kill: DaemonKill, boot: string | undefined): UserspaceSighting {
  const { killer, pid, cgroup, pod, namespace, comm, timeMs, monotonicMicros, bootId } = kill;
  const victim =
    pid === undefined ? (pod === undefined ? `${cgroup}` : `${namespace}/${pod}`) : `${pid}`;
  const monotonicMs = monotonicMicros === undefined ? undefined : monotonicMicros / 1000;
  return { killer, boot: bootId ?? boot, victim, comm, timeMs, monotonicMs };
}

/** `<boot id, 8 hex, or 0>-<killer>-<epoch s>-<pid, or 8 hex of the cgroup or pod>` */
export function incidentOf({ killer, boot, victim, timeMs = 0 }: UserspaceSighting): string {
  const name = /^\d+$/.test(victim)
    ? victim
    : createHash("sha256").update(victim).digest("hex").slice(0, 8);
  return `${boot?.slice(0, 8) ?? "0"}-${killer}-${Math.floor(timeMs / 1000)}-${name}`;
}

function keyOf({ killer, victim }: UserspaceSighting): string {
  return `${killer} ${victim}`;
}

function isSame(known: UserspaceIdentity, sighting: UserspaceSighting): boolean {
  const { boot, comm, timeMs, monotonicMs, victim } = sighting;
  const withinMs = victim.startsWith("/") ? sameCgroupKillMs : sameKillMs;
  if (boot !== undefined && known.boot !== undefined && boot !== known.boot) return false;
  if (comm !== undefined && known.comm !== undefined && comm !== known.comm) return false;
  if (boot !== undefined && boot === known.boot && monotonicMs !== undefined) {
    if (known.monotonicMs !== undefined) {
      const last = known.lastMonotonicMs ?? known.monotonicMs;
      return isNear(known.monotonicMs, last, monotonicMs, withinMs);
    }
  }
  if (timeMs === undefined || known.timeMs === undefined) return true;
  return isNear(known.timeMs, known.lastTimeMs ?? known.timeMs, timeMs, withinMs);
}

function isNear(first: number, last: number, moment: number, withinMs: number): boolean {
  return moment >= first - withinMs && moment <= last + withinMs;
}

function latest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.max(a, b);
}
