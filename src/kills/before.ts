import { bytes } from "../text/quantities.ts";
import { duration } from "../text/times.ts";
import type { Kill } from "./kill.ts";
import { type Owner, unitForPeople } from "./owner.ts";
import { processName } from "./process-name.ts";
import { workloadName } from "./workload-name.ts";

/** A cgroup, or a process outside of all leaves, whose memory grew before a kill. */
export interface Grower {
  cgroup: string | null;
  owner: Owner;
  /** The process in it that grew most, if one was seen growing. */
  pid: number | null;
  comm: string | null;
  /** Unreclaimable memory and swap. */
  fromBytes: number;
  toBytes: number;
  /** Time from `fromBytes` to the kill. */
  seconds: number;
}

/** What the recorder knows of the minutes before a kill. */
export interface Before {
  /** How far it goes back. */
  seconds: number;
  /** The limit that was hit, or the host's memory and swap; `null` if unknown. */
  limitBytes: number | null;
  /** Usage that counts towards the limit that was hit, or the host's memory and swap in use; oldest first. */
  limitUse: [secondsBefore: number, bytes: number][];
  /** Below that limit, what grew by at least 5 % of it or of the host's memory; largest growth first. */
  growers: Grower[];
}

/** Number of kills that keep their `before`, the newest ones. */
export const beforeLimit = 100;

/** The label `grower`: a short name for what grew most; empty if nothing did. */
export function growerLabel(before: Before | null): string {
  const [grower] = before?.growers ?? [];
  if (grower === undefined) return "";
  const { owner, cgroup, comm } = grower;
  const { namespace, pod, container, unit } = owner;
  if (pod !== null) return namespace === null ? pod : `${namespace}/${pod}`;
  return container ?? unit ?? (cgroup?.split("/").at(-1) || comm || "");
}

/** After a shorter recording, "nothing had grown" would say too much. */
const watchedAtLeastSeconds = 60;

/** What grew, as a sentence; `undefined` if the recording is too short. */
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

/** The recorder keeps 15 minutes, in looks half a minute apart. */
const wholeRecordingSeconds = 14 * 60;
const lookSeconds = 45;

/** How far back the curve reaches, and why not further. */
export function recordingSentence({ seconds, limitUse }: Before): string {
  const curveSeconds = limitUse[0]?.[0] ?? 0;
  if (seconds - curveSeconds > lookSeconds) {
    return `The curve starts when this cgroup was first seen, ${duration(curveSeconds)} before the kill.`;
  }
  if (seconds < wholeRecordingSeconds) {
    return `The exporter had been watching for ${duration(seconds)}.`;
  }
  return `The exporter keeps the last ${duration(seconds)}.`;
}

/** The name of a grower for people. */
export function growerName({ owner, cgroup, comm, pid }: Grower): string {
  const hasName = unitForPeople(owner, cgroup) ?? owner.container ?? owner.pod;
  if (hasName === null && (cgroup === null || cgroup === "/") && comm !== null) {
    return `${comm} (pid ${pid})`;
  }
  return workloadName(owner, cgroup) ?? "an unknown cgroup";
}
