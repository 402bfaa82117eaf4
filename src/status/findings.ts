import { type AnyKill, isKernelKill, killTimeMs } from "../killers/linked-kills.ts";
import { victimName } from "../killers/userspace-kill.ts";
import { processName } from "../kills/process-name.ts";
import { workloadName } from "../kills/workload-name.ts";
import { bytes, percent } from "../text/quantities.ts";
import { capitalised } from "../text/sentence.ts";
import { about, ago } from "../text/times.ts";
import { type Bypass, insteadOfKill } from "../victims/bypass.ts";
import { type CgroupView, type HostMemoryView, heldBytes, type StatusView } from "./status-view.ts";
import { thresholds } from "./thresholds.ts";
import type { Refusal, TimeLeft } from "./time-left.ts";

/**
 * - `danger`: a limit is reached within the hour, or almost nothing is left.
 * - `killed`: a process was killed within the last hour.
 * - `tight`: close to a limit, or on the way to one.
 * - `blind`: kills would go unseen, or part of the host cannot be read.
 * - `missed`: the kernel counted kills that did not appear in its log.
 * - `healthy`: none of these.
 * - `unknown`: none of these is visible, and the memory left cannot be read.
 */
export type FindingState =
  | "danger"
  | "killed"
  | "tight"
  | "blind"
  | "missed"
  | "healthy"
  | "unknown";

/** Severity of a finding. */
export type Tone = "calm" | "warning" | "alarm";

export interface Finding {
  state: FindingState;
  tone: Tone;
  /** Without a full stop at its end. */
  sentence: string;
  /** The facts behind the sentence. */
  detail?: string;
  /** The kill that the finding is about. */
  kill?: AnyKill;
  /** The alert whose runbook says what to do. */
  alert?: string;
  /** What to do next, and the command for it. */
  next?: { text: string; command: string };
  /** Changes only when a screen reader should announce the finding again. */
  topic: string;
}

/** Distance of the finding from now, in the past or future; absent for a lasting state. */
type Dated = Finding & { secondsAway?: number };

/** Kills and forecasts within this time of now are urgent. */
export const dangerSeconds = 3600;
/** At this share of a limit almost no room is left. */
const atLimitRatio = 0.95;
/** Dangers that get a finding each. */
const dangersListed = 3;

/**
 * Findings, most urgent first; never empty.
 *
 * Findings with a time come first, closest to now first, whether ahead or behind. A limit that will be reached in
 * 9 minutes comes before a kill 50 minutes ago, which nobody can prevent any more; a kill 3 minutes ago comes before
 * both, because something has been down since. Almost no memory left counts as now. Then come findings without a time:
 * hardly any room under a limit, kills that would go unseen, kills that went unseen, limits that are near or hours away,
 * a host that is short of memory. "Healthy" appears only without any other finding.
 */
export function findings(view: StatusView): [Finding, ...Finding[]] {
  const limits = view.cgroups.flatMap((cgroup) => cgroupFinding(cgroup) ?? []);
  const dangers = limits.filter(({ state }) => state === "danger");
  const tight = limits.filter(({ state }) => state !== "danger");
  const host = hostDanger(view);
  const found = [
    host,
    ...dangers.sort(byTime).slice(0, dangersListed),
    recentKill(view),
    nearest(tight.filter(({ tone }) => tone === "alarm")),
    blindness(view),
    unaccounted(view),
    nearest(tight.filter(({ tone }) => tone !== "alarm")),
    host === undefined ? hostShortage(view) : undefined,
    ...view.troubles.map(blindSpot),
  ];
  const [first, ...others] = found
    .filter((finding) => finding !== undefined)
    .sort(byTime)
    .map(({ secondsAway: _, ...finding }): Finding => finding);
  return first === undefined ? [allWell(view)] : [first, ...others];
}

function byTime(a: Dated, b: Dated): number {
  const { secondsAway: left = Number.POSITIVE_INFINITY } = a;
  const { secondsAway: right = Number.POSITIVE_INFINITY } = b;
  return left === right ? 0 : left - right;
}

function hostDanger({ memory, victims, bypass }: StatusView): Dated | undefined {
  if (memory === undefined) return undefined;
  const { totalBytes, availableBytes, swapTotalBytes, swapFreeBytes, timeLeft } = memory;
  const next = whatFollows({ bypass, nextVictim: victims[0] });
  const seconds = secondsLeft(timeLeft);
  if (seconds !== undefined && seconds <= dangerSeconds) {
    return {
      state: "danger",
      tone: "alarm",
      sentence: `In danger: the host runs out of ${whatRunsOut(memory)} in ${about(seconds)}${next}`,
      detail: `${roomLeft(memory)}; ${trend(timeLeft)}`,
      alert: "OomHostMemoryRunningOut",
      topic: `host ${about(seconds)}`,
      secondsAway: seconds,
    };
  }
  const headroom = (availableBytes + swapFreeBytes) / (totalBytes + swapTotalBytes);
  if (!(headroom < thresholds["oom_host_headroom_critical:ratio"])) return undefined;
  return {
    state: "danger",
    tone: "alarm",
    sentence: `In danger: the host has almost no memory left${next}`,
    detail: roomLeft(memory),
    alert: "OomHostMemoryLow",
    topic: "host",
    secondsAway: 0,
  };
}

function hostShortage({ memory }: StatusView): Dated | undefined {
  if (memory === undefined) return undefined;
  const seconds = secondsLeft(memory.timeLeft);
  const isLow =
    memory.availableBytes < memory.totalBytes * thresholds["oom_host_available_low:ratio"];
  if (seconds === undefined && !isLow) return undefined;
  return {
    state: "tight",
    tone: "warning",
    sentence:
      seconds === undefined
        ? `Short of memory: ${roomLeft(memory)}`
        : `The host runs out of ${whatRunsOut(memory)} in ${about(seconds)}`,
    detail: trendSentence(memory.timeLeft),
    alert: seconds === undefined ? "OomHostMemoryLow" : "OomHostMemoryRunningOut",
    topic: "host",
  };
}

function whatRunsOut({ swapTotalBytes }: HostMemoryView): string {
  return swapTotalBytes > 0 ? "memory and swap" : "memory";
}

/** `512 MiB of 16 GiB left, no swap`. */
function roomLeft(memory: HostMemoryView): string {
  const { totalBytes, availableBytes, swapTotalBytes, swapFreeBytes } = memory;
  const swap = swapTotalBytes === 0 ? "no swap" : `${bytes(swapFreeBytes)} of swap`;
  return `${bytes(availableBytes)} of ${bytes(totalBytes)} left, ${swap}`;
}

export function cgroupTone(cgroup: CgroupView): Tone {
  return cgroupFinding(cgroup)?.tone ?? "calm";
}

function cgroupFinding(cgroup: CgroupView): Dated | undefined {
  const { limitBytes, limitCgroup, timeLeft } = cgroup;
  const name = cgroupName(cgroup);
  const limit =
    limitCgroup === undefined
      ? `its ${bytes(limitBytes)} limit`
      : `the ${bytes(limitBytes)} limit of ${limitCgroup}`;
  const share = heldBytes(cgroup) / limitBytes;
  const filled = percent(heldBytes(cgroup), limitBytes);
  const seconds = secondsLeft(timeLeft);
  if (seconds !== undefined && seconds <= dangerSeconds) {
    return {
      state: "danger",
      tone: "alarm",
      sentence: `In danger: ${name} reaches ${limit} in ${about(seconds)}${whatFollows(cgroup)}`,
      detail: `${bytes(heldBytes(cgroup))} in use, ${filled} of the limit; ${trend(timeLeft)}`,
      alert: "OomCgroupRunningOut",
      topic: `${cgroup.cgroup} ${about(seconds)}`,
      secondsAway: seconds,
    };
  }
  const isCache = refusalOf(timeLeft) === "page_cache";
  if (seconds === undefined && (share < thresholds["oom_cgroup_near_limit:ratio"] || isCache))
    return undefined;
  const isStill = refusalOf(timeLeft) === "not_growing";
  return {
    state: "tight",
    tone: share >= atLimitRatio && !isStill ? "alarm" : "warning",
    sentence:
      seconds === undefined
        ? `${name} is at ${filled} of ${limit}${instead(cgroup.bypass)}`
        : `${name} reaches ${limit} in ${about(seconds)}${instead(cgroup.bypass)}`,
    detail: trendSentence(timeLeft),
    alert: seconds === undefined ? "OomCgroupNearLimit" : "OomCgroupRunningOut",
    topic: cgroup.cgroup,
  };
}

export function cgroupName({ owner, cgroup }: CgroupView): string {
  return workloadName(owner, cgroup) ?? cgroup;
}

/** The first of several similar findings, with the number of the others. */
function nearest([first, ...others]: Dated[]): Dated | undefined {
  if (first === undefined || others.length === 0) return first;
  const more =
    others.length === 1
      ? "1 more is close to its limit"
      : `${others.length} more are close to theirs`;
  return { ...first, sentence: `${first.sentence}; ${more}` };
}

function recentKill({ kills, atMs }: StatusView): Dated | undefined {
  const recent = kills.flatMap((kill) => {
    const secondsAway = (atMs - (killTimeMs(kill) ?? Number.NEGATIVE_INFINITY)) / 1000;
    return Math.abs(secondsAway) <= dangerSeconds ? [{ kill, secondsAway }] : [];
  });
  const last = recent[0];
  if (last === undefined) return undefined;
  const { kill, secondsAway } = last;
  const when = ago(atMs - secondsAway * 1000, atMs);
  const what =
    recent.length === 1
      ? `A process was killed ${when}`
      : `${recent.length} processes were killed in the last hour, the latest ${when}`;
  const owner = workloadName(kill.owner, kill.cgroup);
  const of = owner === undefined ? "" : ` of ${owner}`;
  return {
    state: "killed",
    tone: "alarm",
    sentence: `${what}: ${victimText(kill)}${kill.comm === null ? "" : of}${whatRanOut(kill)}`,
    detail: kill.summary,
    kill,
    topic: kill.incident,
    secondsAway: Math.max(0, secondsAway),
  };
}

/** What people call a victim: its process, or the cgroup or pod that was taken as a whole. */
function victimText(kill: AnyKill): string {
  const isProcess = isKernelKill(kill) || kill.comm !== null;
  return isProcess ? `${nameOfVictim(kill)} (pid ${kill.pid})` : nameOfVictim(kill);
}

/** Of a process its name, of what else was taken the cgroup or pod. */
export function nameOfVictim(kill: AnyKill): string {
  if (isKernelKill(kill)) return processName(kill);
  const { comm, program } = kill;
  return comm === null ? victimName(kill) : processName({ comm, program });
}

/** `, at its own limit of 2 GiB`; empty if the log does not say. */
function whatRanOut(kill: AnyKill): string {
  if (!isKernelKill(kill)) return `, by ${kill.killer}`;
  const { constraint, cause, cgroup, limitCgroup, limitBytes } = kill;
  if (cause === "manual") return ", requested with SysRq f";
  if (cause === "page_fault") return ", for a page fault while memory had not run out";
  if (constraint === "none") return ", when the host ran out of memory";
  if (constraint === "cpuset" || constraint === "memory_policy") {
    return ", when its memory node was full";
  }
  if (constraint !== "memcg") return "";
  const size = limitBytes === null ? "" : ` of ${bytes(limitBytes)}`;
  if (limitCgroup === null) return `, at a limit${size}`;
  return limitCgroup === cgroup
    ? `, at its own limit${size}`
    : `, at the limit${size} on ${limitCgroup}`;
}

const seeDoctor = {
  text: "Where the exporter runs, as its user, this says what is missing and how to fix it:",
  command: "oom-exporter doctor",
};

function blindness({ sources }: StatusView): Dated | undefined {
  if (sources.some(({ up }) => up)) return undefined;
  return {
    state: "blind",
    tone: "warning",
    sentence: "Blind: no kernel log is being read, so kills go unseen",
    detail: sources.find(({ reason }) => reason !== undefined)?.reason,
    alert: "OomLogSourceDown",
    next: seeDoctor,
    topic: "log",
  };
}

function unaccounted({ unaccountedKills = 0 }: StatusView): Dated | undefined {
  if (unaccountedKills <= 0) return undefined;
  const kills = unaccountedKills === 1 ? "1 kill" : `${unaccountedKills} kills`;
  return {
    state: "missed",
    tone: "warning",
    sentence: `Missed: the kernel counted ${kills} that did not appear in its log`,
    alert: "OomKillsUnaccounted",
    topic: kills,
  };
}

function blindSpot({ collector, reason }: { collector: string; reason: string }): Dated {
  return {
    state: "blind",
    tone: "warning",
    sentence: `Partly blind: ${collector} cannot be read`,
    detail: reason,
    alert: "OomCollectorFailing",
    next: seeDoctor,
    topic: collector,
  };
}

function allWell({ memory, cgroups, kills, atMs }: StatusView): Finding {
  const last = kills[0] && killTimeMs(kills[0]);
  const detail = last === undefined ? "No kills known" : `The last kill was ${ago(last, atMs)}`;
  if (memory === undefined) {
    return {
      state: "unknown",
      tone: "calm",
      sentence: "No process was killed in the last hour; the memory left cannot be read",
      detail,
      topic: "unknown",
    };
  }
  const limits = cgroups.length === 0 ? "no limit is set" : "nothing is near its limit";
  return {
    state: "healthy",
    tone: "calm",
    sentence: `Healthy: ${bytes(memory.availableBytes)} left, ${limits}`,
    detail,
    topic: "healthy",
  };
}

function wouldKill(next: CgroupView["nextVictim"]): string {
  return next === undefined ? "" : `; the kernel would kill ${processName(next)} (pid ${next.pid})`;
}

/** What happens at a limit. */
function whatFollows({ bypass, nextVictim }: Pick<CgroupView, "bypass" | "nextVictim">): string {
  return instead(bypass) || wouldKill(nextVictim);
}

/** What the kernel would do instead of a kill by its ranking; empty where it would kill. */
function instead(bypass: Bypass | undefined): string {
  return bypass === undefined ? "" : `; ${insteadOfKill[bypass.setting]} (${bypass.setting})`;
}

export function secondsLeft(timeLeft: TimeLeft): number | undefined {
  return "refused" in timeLeft ? undefined : timeLeft.seconds;
}

function refusalOf(timeLeft: TimeLeft): Refusal | undefined {
  return "refused" in timeLeft ? timeLeft.refused : undefined;
}

const refusals: Record<Refusal, string | undefined> = {
  plenty_left: undefined,
  page_cache: "mostly page cache, which the kernel reclaims first",
  watched_too_short: "not watched long enough for a trend",
  fell_back: "it dropped within the last hour",
  not_growing: "not growing",
  slowing_down: "growing more and more slowly",
  no_line: "going up and down",
  far_off: "growing slowly",
};

/** How usage moves: its rate, or why there is no forecast. */
export function trend(timeLeft: TimeLeft): string | undefined {
  return "refused" in timeLeft
    ? refusals[timeLeft.refused]
    : `growing by ${bytes(timeLeft.bytesPerSecond * 60)} a minute`;
}

/** The same as a sentence of its own. */
function trendSentence(timeLeft: TimeLeft): string | undefined {
  const moves = trend(timeLeft);
  return moves && capitalised(moves);
}
