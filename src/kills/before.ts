import { bytes } from "../text/quantities.ts";
import { duration } from "../text/times.ts";
import type { Kill } from "./kill.ts";
import { type Owner, unitForPeople } from "./owner.ts";
import { processName } from "./process-name.ts";
import { workloadName } from "./workload-name.ts";

/** Whose use of memory grew before a kill. */
export interface Grower {
  cgroup: string | null;
  owner: Owner;
  /** The process in it that grew most, where one was seen to. */
  pid: number | null;
  comm: string | null;
  /** Memory that only a kill or swap takes back, and swap. */
  fromBytes: number;
  toBytes: number;
  /** How long before the kill it was at `fromBytes`. */
  seconds: number;
}

/** What the recorder holds of the minutes before a kill. */
export interface Before {
  /** How far it reaches back. */
  seconds: number;
  /** The limit that was hit, or the host's memory and swap; `null` where that is not known. */
  limitBytes: number | null;
  /** Use that counts towards the limit that was hit, or the host's memory and swap; the oldest first. */
  limitUse: [secondsBefore: number, bytes: number][];
  /** Who grew by at least 5 % of the limit or of the host's memory, below that limit; the fastest growth first. */
  growers: Grower[];
}

/** Kills that keep what came before them; the newest. */
export const beforeLimit = 100;

/** The label `grower`: who grew most, as shortly as it can be named; empty where nobody is known to. */
export function growerLabel(before: Before | null): string {
  const [grower] = before?.growers ?? [];
  if (grower === undefined) return "";
  const { owner, cgroup, comm } = grower;
  const { namespace, pod, container, unit } = owner;
  if (pod !== null) return namespace === null ? pod : `${namespace}/${pod}`;
  return container ?? unit ?? (cgroup?.split("/").at(-1) || comm || "");
}

/** Under this much nothing is said of what did not grow. */
const watchedAtLeastSeconds = 60;

/** Who grew, as a sentence for people; `undefined` where nobody watched for long enough. */
export function growthSentence(kill: Kill): string | undefined {
  const { before } = kill;
  if (before === null) return undefined;
  const [grower] = before.growers;
  if (grower === undefined) {
    if (before.seconds < watchedAtLeastSeconds) return undefined;
    const where = kill.limitCgroup === null ? "on the host" : "below this limit";
    return `Nothing ${where} had grown much in the ${duration(before.seconds)} before.`;
  }
  const { fromBytes, toBytes, seconds } = grower;
  const within = seconds < 1 ? "within a second" : `in ${duration(seconds)}`;
  const grew = `${growerName(grower)} grew from ${bytes(fromBytes)} to ${bytes(toBytes)} ${within}`;
  if (grower.cgroup !== null && grower.cgroup === kill.cgroup) return `${grew}.`;
  const hadGrown = before.growers.some(({ cgroup }) => cgroup === kill.cgroup);
  return `${grew}; the kernel took ${processName(kill)}, which had ${hadGrown ? "grown by less" : "not grown"}.`;
}

/** A grower by the name that people know it by. */
export function growerName({ owner, cgroup, comm, pid }: Grower): string {
  const hasName = unitForPeople(owner, cgroup) ?? owner.container ?? owner.pod;
  if (hasName === null && (cgroup === null || cgroup === "/") && comm !== null) {
    return `${comm} (pid ${pid})`;
  }
  return workloadName(owner, cgroup) ?? "an unknown cgroup";
}
