import { duration } from "../text/times.ts";

/**
 * Whether the victim's workload survived, as seen on this host within two minutes.
 *
 * - `gone`: the cgroup was removed, and the workload has no new one.
 * - `stopped`: the cgroup exists and has no processes.
 * - `restarted`: all of its processes are younger than the kill, or the workload has a new cgroup.
 * - `respawned`: older processes still run, and one with the victim's name was started after the kill.
 * - `lives_on`: older processes still run, and none with the victim's name was started after the kill.
 */
export type Outcome = "gone" | "stopped" | "restarted" | "respawned" | "lives_on";

/** Time for which a cgroup is watched. */
export const watchSeconds = 120;

export interface ProcessSeen {
  pid: number;
  comm: string;
  /** Seconds from boot. */
  bornSeconds: number;
}

/** A cgroup and those below it, as seen by one look. */
export interface CgroupSeen {
  /** False if it was removed. */
  exists: boolean;
  processes: readonly ProcessSeen[];
}

export interface VictimKilled {
  pid: number;
  comm: string;
  /** Seconds from boot. */
  killedSeconds: number;
}

export interface Settled {
  outcome: Outcome;
  /** From the kill to the start of the process that replaced the victim; `null` if none did. */
  restartSeconds: number | null;
}

/** Start times are in ticks of 10 ms, rounded down. */
const tickSeconds = 0.01;

/**
 * Judges one look at the victim's cgroup and the other cgroups of its workload.
 *
 * Invariant: `restarted` and `respawned`, which may be final before the two minutes are over, require a process seen by
 * two looks, so that a helper that runs for a moment does not count as a replacement.
 *
 * @param others cgroups of the same workload
 * @param seenBefore keys (`keyOf`) of the processes seen by the previous look
 * @returns `undefined` while the outcome is open
 */
export function judge(
  victim: VictimKilled,
  own: CgroupSeen,
  others: readonly CgroupSeen[],
  { isLast, seenBefore }: { isLast: boolean; seenBefore: ReadonlySet<string> },
): Settled | undefined {
  const isYoung = ({ bornSeconds }: ProcessSeen) =>
    bornSeconds >= victim.killedSeconds - tickSeconds;
  const stays = (process: ProcessSeen) => isLast || seenBefore.has(keyOf(process));
  const settled = (outcome: Outcome, successors: readonly ProcessSeen[]): Settled => ({
    outcome,
    restartSeconds: secondsAfter(victim, successors),
  });
  const living = own.processes.filter((process) => process.pid !== victim.pid || isYoung(process));
  const young = living.filter((process) => isYoung(process));
  if (living.length > young.length) {
    const successors = young.filter(({ comm }) => comm === victim.comm);
    if (successors.some(stays)) return settled("respawned", successors);
    return isLast ? settled("lives_on", []) : undefined;
  }
  if (young.some(stays)) return settled("restarted", young);
  const renewed = others
    .filter(({ processes }) => processes.length > 0 && processes.every(isYoung))
    .flatMap(({ processes }) => processes);
  if (renewed.some(stays)) return settled("restarted", renewed);
  if (!isLast) return undefined;
  return settled(own.exists ? "stopped" : "gone", []);
}

/** Identifies a process, even if its pid is used again. */
export function keyOf({ pid, bornSeconds }: ProcessSeen): string {
  return `${pid} ${bornSeconds}`;
}

function secondsAfter(
  { killedSeconds }: VictimKilled,
  successors: readonly ProcessSeen[],
): number | null {
  if (successors.length === 0) return null;
  const first = Math.min(...successors.map(({ bornSeconds }) => bornSeconds));
  return Math.round(Math.max(0, first - killedSeconds) * 100) / 100;
}

/** The outcome as a sentence; `undefined` if there is none. */
export function outcomeSentence(
  { outcome, restartSeconds }: { outcome: Outcome | null; restartSeconds: number | null },
  name: string,
  where: string,
): string | undefined {
  const delay = restartSeconds === null ? undefined : duration(restartSeconds);
  const after = delay === undefined ? "" : ` ${delay} after the kill`;
  switch (outcome) {
    case null:
      return undefined;
    case "gone":
      return `Two minutes later ${where} was gone from this host and had not been started again.`;
    case "stopped":
      return `Two minutes later ${where} had no processes left.`;
    case "restarted":
      // Not at the beginning, where the name of a unit would need a capital.
      return `${delay === undefined ? "After" : `${delay} after`} the kill, ${where} was started again.`;
    case "respawned":
      return `The rest of ${where} kept running, and another ${name} was started${after}.`;
    case "lives_on":
      return `Two minutes later the rest of ${where} was still running without it: no other ${name} had been started.`;
  }
}
