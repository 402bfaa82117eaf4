/** A kill that a program outside the kernel made, as the API and `explain --json` show it. */
import { writeAdvice } from "../kills/advice.ts";
import { type Kill, notWitnessed } from "../kills/kill.ts";
import { type Owner, unknownOwner } from "../kills/owner.ts";
import { workloadName } from "../kills/workload-name.ts";
import { bytes } from "../text/quantities.ts";
import type { DaemonKill, KillReadings } from "./daemon-kill.ts";
import { type KillReason, killerTitles, type UserspaceKiller } from "./killer.ts";
import { userspaceAdvice } from "./userspace-advice.ts";

/** `KillReadings` with every field: unknown is `null`. */
export type ShownReadings = {
  [Field in keyof Required<KillReadings>]: Required<KillReadings>[Field] | null;
};

/**
 * The shape of a kernel's kill, so that one reader understands both. What only the kernel knows is
 * `null`, or `unknown` where the field has a closed set of values.
 */
export interface UserspaceKill extends Omit<Kill, "killer" | "pid" | "comm"> {
  killer: UserspaceKiller;
  /** `null` if a whole cgroup or pod was killed. */
  pid: number | null;
  comm: string | null;
  reason: KillReason;
  /** The signal that the daemon says it sent first. */
  signal: "SIGTERM" | "SIGKILL" | null;
  residentBytes: number | null;
  swapBytes: number | null;
  /** The killer's own ranking of the victim. */
  badness: number | null;
  readings: ShownReadings;
}

export interface UserspaceKillContext {
  incident: string;
  sourceName: string;
  /** The victim's cgroup, where the log does not name it. */
  cgroup?: string;
  /** As in a kernel's kill; known only for processes seen alive. */
  program?: string;
  ownerOf: (cgroup: string | null | undefined) => Owner;
}

/** Converts a daemon's announcement to a kill: adds owner, summary and advice. */
export function killOfDaemon(kill: DaemonKill, context: UserspaceKillContext): UserspaceKill {
  const cgroup = kill.cgroup ?? context.cgroup ?? null;
  const owner = ownerOf(kill, context.ownerOf(cgroup));
  const isWhole = kill.pid === undefined;
  return {
    incident: context.incident,
    killer: kill.killer,
    time: kill.timeMs === undefined ? null : new Date(kill.timeMs).toISOString(),
    uptimeSeconds: kill.monotonicMicros === undefined ? null : kill.monotonicMicros / 1_000_000,
    pid: kill.pid ?? null,
    comm: kill.comm ?? null,
    program: context.program ?? null,
    uid: kill.uid ?? null,
    constraint: "unknown",
    limitCgroup: null,
    cgroup,
    owner,
    trigger: null,
    memory: {
      totalVmBytes: null,
      anonRssBytes: null,
      fileRssBytes: null,
      shmemRssBytes: null,
      pageTablesBytes: null,
    },
    oomScoreAdj: kill.oomScoreAdj ?? null,
    limitBytes: null,
    usageBytes: null,
    swapFreeBytes: null,
    cause: "unknown",
    causeBasis: null,
    summary: `${whatHappened(kill, cgroup)}${whyNow(kill)}. ${whyThisOne[kill.killer](kill)}`,
    advice: userspaceAdvice(kill, { cgroup, owner }).map(writeAdvice),
    tasks: [],
    group: isWhole ? cgroup : null,
    suppressed: false,
    ...notWitnessed,
    source: { name: context.sourceName, line: kill.lineNumber ?? null },
    linkedIncident: null,
    reason: kill.reason,
    signal: kill.signal ?? null,
    residentBytes: kill.rssBytes ?? null,
    swapBytes: kill.swapBytes ?? null,
    badness: kill.badness ?? null,
    readings: shown(kill.readings),
  };
}

function ownerOf({ pod, namespace, podUid }: DaemonKill, owner: Owner): Owner {
  if (pod === undefined) return owner;
  return {
    ...unknownOwner,
    pod,
    namespace: namespace ?? null,
    podUid: podUid ?? null,
    platform: "kubernetes",
  };
}

function shown(readings: KillReadings): ShownReadings {
  return {
    memoryAvailablePercent: readings.memoryAvailablePercent ?? null,
    memoryLimitPercent: readings.memoryLimitPercent ?? null,
    swapFreePercent: readings.swapFreePercent ?? null,
    swapLimitPercent: readings.swapLimitPercent ?? null,
    pressurePercent: readings.pressurePercent ?? null,
    pressureLimitPercent: readings.pressureLimitPercent ?? null,
    pressureCgroup: readings.pressureCgroup ?? null,
    pressureDuration: readings.pressureDuration ?? null,
    availableQuantity: readings.availableQuantity ?? null,
    thresholdQuantity: readings.thresholdQuantity ?? null,
    words: readings.words ?? null,
  };
}

function whatHappened(kill: DaemonKill, cgroup: string | null): string {
  const { killer, pid, comm, signal, pod, namespace, rssBytes } = kill;
  if (pod !== undefined) return `The kubelet evicted pod ${namespace}/${pod}`;
  const name = killerTitles[killer];
  if (pid === undefined) return `${name} killed all processes of ${cgroup}`;
  const held = rssBytes === undefined ? "" : `, ${bytes(rssBytes)} resident`;
  return `${name} sent ${signal} to ${comm} (pid ${pid}${held})`;
}

function whyNow({ killer, reason, readings }: DaemonKill): string {
  const parts: string[] = [];
  const { pressurePercent, pressureLimitPercent, pressureCgroup, pressureDuration } = readings;
  if (pressurePercent !== undefined) {
    const whose = pressureCgroup === undefined ? "the host" : pressureCgroup;
    const held = pressureDuration === undefined ? "" : ` for more than ${pressureDuration}`;
    parts.push(
      `memory pressure of ${whose} was ${pressurePercent} % (limit ${pressureLimitPercent} %)${held}`,
    );
  }
  if (readings.memoryAvailablePercent !== undefined) {
    parts.push(
      `${readings.memoryAvailablePercent} % of memory was available${limit(readings.memoryLimitPercent)}`,
    );
  }
  if (readings.swapFreePercent !== undefined) {
    parts.push(`${readings.swapFreePercent} % of swap was free${limit(readings.swapLimitPercent)}`);
  }
  if (killer === "kubelet") {
    const { availableQuantity, thresholdQuantity } = readings;
    const numbers =
      availableQuantity === undefined
        ? ""
        : ` (${availableQuantity} available, threshold ${thresholdQuantity})`;
    return ` because the node was short of memory${numbers}`;
  }
  if (killer === "talos") return " because the host's memory pressure was above its trigger";
  if (readings.words !== undefined) return ` because ${readings.words}`;
  if (parts.length > 0) return `: ${parts.join(" and ")}`;
  return reason === "other" ? " by a rule of its configuration" : " because memory was short";
}

function limit(percent: number | undefined): string {
  return percent === undefined ? "" : ` (limit ${percent} %)`;
}

const whyThisOne: Record<UserspaceKiller, (kill: DaemonKill) => string> = {
  earlyoom: ({ badness }) =>
    `It kills the process with the highest oom_score${badness === undefined ? "" : ` (here ${badness})`}, which --prefer raises and --avoid lowers by 300.`,
  nohang: ({ badness }) =>
    `It kills the process with the highest badness${badness === undefined ? "" : ` (here ${badness})`}: its oom_score, changed by the rules of its configuration.`,
  "systemd-oomd": ({ reason }) => {
    if (reason === "swap")
      return "It kills the cgroup that uses the most swap, those with ManagedOOMPreference=avoid last.";
    if (reason === "other") return "The rule names this cgroup.";
    return "It kills the cgroup below that unit which reclaims the most, those with ManagedOOMPreference=avoid last.";
  },
  kubelet: () =>
    "It first evicts pods that use more memory than they request, then by priority, then by how far they exceed their request.",
  talos: () =>
    "It kills BestEffort pods before Burstable and Guaranteed ones, and of these the one that uses the most.",
  lmkd: ({ oomScoreAdj }) =>
    `It kills the app that matters least to the user, which is the highest oom_score_adj${oomScoreAdj === undefined ? "" : ` (here ${oomScoreAdj})`}.`,
};

/** What people call the victim: its command, its cgroup's owner, or the cgroup. */
export function victimName({ comm, owner, cgroup }: UserspaceKill): string {
  return comm ?? workloadName(owner, cgroup) ?? "an unknown victim";
}
