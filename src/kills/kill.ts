import type { OomTask, OomTrigger } from "../kernel-log/oom-dump.ts";
import type { OomKillReport } from "../kernel-log/oom-report.ts";
import { writeAdvice } from "./advice.ts";
import type { Before } from "./before.ts";
import type { Cause, CauseBasis } from "./cause.ts";
import { diagnose } from "./diagnosis.ts";
import type { KillLoop } from "./kill-loop.ts";
import type { Outcome } from "./outcome.ts";
import { type Owner, unknownOwner } from "./owner.ts";

/** Where the kernel looked for a victim; `unknown` if the log does not say. */
export type Constraint = "none" | "memcg" | "cpuset" | "memory_policy" | "unknown";

export const constraints: readonly Constraint[] = [
  "none",
  "memcg",
  "cpuset",
  "memory_policy",
  "unknown",
];

export interface KillTrigger {
  comm: string;
  pid: number | null;
  gfpMask: string | null;
  order: number | null;
  oomScoreAdj: number | null;
}

export interface KillMemory {
  totalVmBytes: number | null;
  anonRssBytes: number | null;
  fileRssBytes: number | null;
  shmemRssBytes: number | null;
  pageTablesBytes: number | null;
}

/** Resident memory of the victim, without swap; `null` if the log does not say. */
export function residentBytes({ anonRssBytes, fileRssBytes, shmemRssBytes }: KillMemory) {
  return anonRssBytes === null ? null : anonRssBytes + (fileRssBytes ?? 0) + (shmemRssBytes ?? 0);
}

export interface KillTask {
  pid: number;
  comm: string;
  rssBytes: number | null;
  swapBytes: number | null;
  oomScoreAdj: number | null;
  cgroup: string | null;
}

/** Memory of a task, resident and swapped. */
export function taskBytes({
  rssBytes,
  swapBytes,
}: Pick<KillTask, "rssBytes" | "swapBytes">): number {
  return (rssBytes ?? 0) + (swapBytes ?? 0);
}

/**
 * One kill as in the API and `explain --json`. An unknown value is `null`, never 0.
 *
 * Invariant: one `Kill` per victim and event. The repeated line of a group kill, an announce line and the reaper's line
 * do not create another.
 */
export interface Kill {
  /** `<boot id, 8 hex, or 0>-<printk µs or epoch s>-<pid>` of the first sighting. */
  incident: string;
  /** The killer; see `killers/` for the others. */
  killer: "kernel";
  /** RFC 3339, UTC. */
  time: string | null;
  uptimeSeconds: number | null;
  pid: number;
  comm: string;
  /** What an interpreter ran, or the full name if comm is truncated; known only for processes seen alive. */
  program: string | null;
  uid: number | null;
  /** How long it had run; known only for processes seen alive. */
  ageSeconds: number | null;
  constraint: Constraint;
  /** The cgroup whose limit was hit. */
  limitCgroup: string | null;
  /** The victim's cgroup. */
  cgroup: string | null;
  owner: Owner;
  trigger: KillTrigger | null;
  memory: KillMemory;
  oomScoreAdj: number | null;
  limitBytes: number | null;
  usageBytes: number | null;
  swapFreeBytes: number | null;
  cause: Cause;
  /** `null` if the cause is unknown. */
  causeBasis: CauseBasis | null;
  /** The evidence in one sentence, with numbers. */
  summary: string;
  /** Each item is a text and, after a newline, the command that belongs to it (`advice.ts`). */
  advice: string[];
  tasks: KillTask[];
  /** The cgroup that `memory.oom.group` killed as a whole. */
  group: string | null;
  /** True if the kernel printed no dump for this kill. */
  suppressed: boolean;
  /** What the host used before; `null` if no exporter was running, and for all but the newest hundred. */
  before: Before | null;
  /** What became of its cgroup; `null` until that is final, and if no exporter was running. */
  outcome: Outcome | null;
  /** From the kill to the start of what took its place. */
  restartSeconds: number | null;
  /** `null` for a workload's first kill within the hour. */
  loop: KillLoop | null;
  /** `secondHand`: another program's line that quotes the kernel's; only `explain` reads those. */
  source: { name: string; line: number | null; secondHand?: true };
  /** Incident of the kill by another killer that killed the same process within a minute. */
  linkedIncident: string | null;
}

/** What no report holds, for kills while no exporter was running. */
export const notWitnessed: Pick<
  Kill,
  "ageSeconds" | "before" | "outcome" | "restartSeconds" | "loop"
> = {
  ageSeconds: null,
  before: null,
  outcome: null,
  restartSeconds: null,
  loop: null,
};

/** What the report does not hold itself. */
export interface KillContext {
  incident: string;
  /** Name of the file or device the kill was read from. */
  sourceName: string;
  ownerOf: (cgroup: string | null | undefined) => Owner;
}

/** A kill from a state saved by an older version: fields added since are unknown, not absent. */
export function completed(kill: Kill): Kill {
  return {
    ...notWitnessed,
    ...kill,
    killer: "kernel",
    program: kill.program ?? null,
    linkedIncident: null,
    causeBasis: kill.causeBasis ?? null,
    owner: { ...unknownOwner, ...kill.owner },
  };
}

const tasksShown = 10;

/** Converts a report to a kill: adds owner and cause, keeps the ten largest tasks. */
export function killOfReport(report: OomKillReport, context: KillContext): Kill {
  const { killLine, dump } = report;
  const isMemcg = report.constraint === "memcg";
  const memcg = isMemcg ? dump?.memcg : undefined;
  const diagnosis = diagnose(report, context.ownerOf);
  return {
    incident: context.incident,
    killer: "kernel",
    time: killLine.timeMs === undefined ? null : new Date(killLine.timeMs).toISOString(),
    uptimeSeconds: killLine.printkMicros === undefined ? null : killLine.printkMicros / 1_000_000,
    pid: report.pid,
    comm: report.comm,
    program: null,
    uid: report.uid ?? null,
    constraint: report.constraint,
    limitCgroup: report.limitCgroup ?? null,
    cgroup: report.victimCgroup ?? null,
    owner: ownerOfReport(report, context),
    trigger: triggerOf(dump?.trigger),
    memory: {
      totalVmBytes: report.totalVmBytes ?? null,
      anonRssBytes: report.anonRssBytes ?? null,
      fileRssBytes: report.fileRssBytes ?? null,
      shmemRssBytes: report.shmemRssBytes ?? null,
      pageTablesBytes: report.pageTablesBytes ?? null,
    },
    oomScoreAdj: report.oomScoreAdj ?? null,
    limitBytes: memcg?.memory?.limitBytes ?? null,
    usageBytes: memcg?.memory?.usageBytes ?? null,
    swapFreeBytes: dump?.memInfo?.swapFreeBytes ?? null,
    ...diagnosis,
    advice: diagnosis.advice.map(writeAdvice),
    tasks: largestTasks(report),
    group: report.groupCgroup ?? null,
    suppressed: report.suppressed,
    ...notWitnessed,
    source: {
      name: context.sourceName,
      line: report.lineNumber ?? null,
      ...(killLine.isQuoted && { secondHand: true as const }),
    },
    linkedIncident: null,
  };
}

/** OpenVZ names the container in the kill line, and has no cgroups. */
function ownerOfReport(report: OomKillReport, { ownerOf }: KillContext): Owner {
  const { veId, victimCgroup, groupCgroup, limitCgroup } = report;
  const owner = ownerOf(victimCgroup ?? groupCgroup ?? limitCgroup);
  return veId === undefined ? owner : { ...owner, container: veId, runtime: "openvz" };
}

function triggerOf(trigger: OomTrigger | undefined): KillTrigger | null {
  if (trigger === undefined) return null;
  return {
    comm: trigger.comm,
    pid: trigger.pid ?? null,
    gfpMask: trigger.gfpMask ?? null,
    order: trigger.order ?? null,
    oomScoreAdj: trigger.oomScoreAdj ?? null,
  };
}

function largestTasks({ dump, pid, victimCgroup }: OomKillReport): KillTask[] {
  const size = (task: OomTask): number => task.rssBytes + (task.swapBytes ?? 0);
  return [...(dump?.tasks ?? [])]
    .sort((a, b) => size(b) - size(a))
    .slice(0, tasksShown)
    .map((task) => ({
      pid: task.pid,
      comm: task.comm,
      rssBytes: task.rssBytes,
      swapBytes: task.swapBytes ?? null,
      oomScoreAdj: task.oomScoreAdj ?? null,
      cgroup: task.pid === pid ? (victimCgroup ?? null) : null,
    }));
}
