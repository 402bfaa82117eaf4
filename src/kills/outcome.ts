import { duration } from "../text/times.ts";

/**
 * What became of the victim's cgroup, as seen on this host within two minutes.
 *
 * - `gone`: the cgroup was removed, and there is no new one of the same owner.
 * - `stopped`: the cgroup is there, and no process in it.
 * - `restarted`: all of its processes are younger than the kill, or there is a new cgroup of the same owner.
 * - `respawned`: older processes live on, and one of the victim's name was started since.
 * - `lives_on`: older processes live on, and none of the victim's name was started since.
 */
export type Outcome = "gone" | "stopped" | "restarted" | "respawned" | "lives_on";

/** How long a cgroup is watched. */
export const watchSeconds = 120;

export interface ProcessSeen {
  pid: number;
  comm: string;
  /** Seconds from boot. */
  bornSeconds: number;
}

/** A cgroup as it was seen once, with those below it. */
export interface CgroupSeen {
  /** False where it was removed. */
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
  /** From the kill to the start of the process that took the victim's place; `null` where none did. */
  restartSeconds: number | null;
}

/** A start is in ticks of a hundredth of a second, and the kernel rounds it down. */
const tickSeconds = 0.01;

/**
 * Judges one look at the victim's cgroup and the new ones of its owner.
 *
 * Invariant: what is final before the two minutes are over, `restarted` and `respawned`, rests on a process
 * that two looks have seen: a helper that runs for a moment takes nobody's place.
 *
 * @param others cgroups of the same owner
 * @param seenBefore keys (`keyOf`) of the processes that the look before has seen
 * @returns `undefined` while it is not known yet
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
  const anew = others
    .filter(({ processes }) => processes.length > 0 && processes.every(isYoung))
    .flatMap(({ processes }) => processes);
  if (anew.some(stays)) return settled("restarted", anew);
  if (!isLast) return undefined;
  return settled(own.exists ? "stopped" : "gone", []);
}

/** A process, and no other that has its pid later. */
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

/** What became of it, as a sentence for people; `undefined` where that is not known. */
export function outcomeSentence(
  { outcome, restartSeconds }: { outcome: Outcome | null; restartSeconds: number | null },
  name: string,
  where: string,
): string | undefined {
  const after = restartSeconds === null ? "" : ` ${duration(restartSeconds)} after the kill`;
  switch (outcome) {
    case null:
      return undefined;
    case "gone":
      return `Two minutes later ${where} was gone from this host, and nothing of the same owner had been started.`;
    case "stopped":
      return `Two minutes later no process was left in ${where}.`;
    case "restarted":
      return `${capitalised(where)} was started again${after}.`;
    case "respawned":
      return `The rest of ${where} lived on, and another ${name} was started${after}.`;
    case "lives_on":
      return `Two minutes later the rest of ${where} lived on without it: no other ${name} had been started.`;
  }
}

function capitalised(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
