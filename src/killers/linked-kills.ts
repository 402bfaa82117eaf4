/** One process may be killed twice: a daemon signals it, and before it is gone the kernel kills it too. */
import type { Kill } from "../kills/kill.ts";
import { sameKillMs } from "./userspace-identity.ts";
import type { UserspaceKill } from "./userspace-kill.ts";

export type AnyKill = Kill | UserspaceKill;

export function isKernelKill(kill: AnyKill): kill is Kill {
  return kill.killer === "kernel";
}

/** Milliseconds since 1970; `undefined` if the log does not say. */
export function killTimeMs({ time }: Pick<AnyKill, "time">): number | undefined {
  return time === null ? undefined : Date.parse(time);
}

/** The daemon's kill of the process that the kernel killed; `undefined` if no daemon had signalled it. */
export function linkedTo(
  kernelKill: Kill,
  others: readonly UserspaceKill[],
): UserspaceKill | undefined {
  return others.find((other) => isSameDeath(kernelKill, other));
}

/** All kills, newest first, each with the incident of the other killer's kill of the same process. */
export function allKills(
  kernelKills: readonly Kill[],
  userspaceKills: readonly UserspaceKill[],
): AnyKill[] {
  if (userspaceKills.length === 0) return [...kernelKills];
  const byPid = new Map<number | null, UserspaceKill[]>();
  for (const kill of userspaceKills) {
    byPid.set(kill.pid, [...(byPid.get(kill.pid) ?? []), kill]);
  }
  const linked = new Map<string, string>();
  const kernels = kernelKills.map((kill) => {
    const other = linkedTo(kill, byPid.get(kill.pid) ?? []);
    if (other === undefined) return kill;
    linked.set(other.incident, kill.incident);
    return { ...kill, linkedIncident: other.incident };
  });
  const userspace = userspaceKills.map((kill) => {
    const linkedIncident = linked.get(kill.incident);
    return linkedIncident === undefined ? kill : { ...kill, linkedIncident };
  });
  return mergedNewestFirst(kernels, userspace);
}

/** Without a daemon's kill of a process that the kernel killed too: the page of the kernel's kill shows both. */
export function onePerVictim(kills: readonly AnyKill[]): AnyKill[] {
  return kills.filter((kill) => isKernelKill(kill) || kill.linkedIncident === null);
}

/** Keeps the order of each list, which is not always that of the stamps. */
function mergedNewestFirst(a: readonly AnyKill[], b: readonly AnyKill[]): AnyKill[] {
  const merged: AnyKill[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [left, right] = [a[i], b[j]];
    const takesLeft = right === undefined || (left !== undefined && timeOf(left) >= timeOf(right));
    merged.push((takesLeft ? left : right) as AnyKill);
    if (takesLeft) i++;
    else j++;
  }
  return merged;
}

function timeOf(kill: AnyKill): number {
  return killTimeMs(kill) ?? 0;
}

function isSameDeath(kernelKill: Kill, other: UserspaceKill): boolean {
  if (other.pid !== kernelKill.pid || other.comm !== kernelKill.comm) return false;
  const [boot, otherBoot] = [kernelKill, other].map(({ incident }) => incident.split("-", 1)[0]);
  if (boot !== "0" && otherBoot !== "0" && boot !== otherBoot) return false;
  if (kernelKill.time === null || other.time === null) return true;
  return Math.abs(timeOf(kernelKill) - timeOf(other)) <= sameKillMs;
}
