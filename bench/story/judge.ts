/** Which parts of a kill's story are right. */
import type { Kill } from "../../src/kills/kill.ts";
import type { Life, Sample, Stage } from "./stage.ts";
import type { Expected } from "./trials.ts";

/** Of the limit: what the kernel's counters are late by, and what else a cgroup holds. */
const toleratedShare = 0.06;
/** A point of the curve says when it was to the second. */
const toleratedMs = 1500;
/** The kernel's stamps and the start times of processes are by clocks that drift apart. */
const toleratedSeconds = 1.5;
const beforeBytesAtMost = 4096;

/** What is wrong, by part; a part that was not expected is absent. */
export type Judgement = Partial<Record<Part, string | undefined>>;
export type Part = "victim" | "grower" | "curve" | "outcome" | "loop" | "program";

/** @param own all kills of the trial, oldest first */
export function judge(
  kill: Kill | undefined,
  grower: string | undefined,
  { expected, own, stage }: { expected: Expected; own: readonly Kill[]; stage: Stage },
): Judgement {
  if (kill === undefined) {
    return { victim: "no kill", grower: "no kill", curve: "no kill", outcome: "no kill" };
  }
  const { comm, outcome, restartSeconds } = kill;
  const lives = stage.livesIn(expected.cgroup);
  const expectedSeconds = expected.isReplaced ? secondsToNext(kill, lives) : null;
  const isInTime =
    expectedSeconds === null
      ? restartSeconds === null
      : restartSeconds !== null && Math.abs(restartSeconds - expectedSeconds) < toleratedSeconds;
  return {
    victim: comm === expected.comm ? undefined : comm,
    grower: grower === expected.grower ? undefined : `"${grower}", not "${expected.grower}"`,
    curve: wrongInCurve(kill, stage.samples(expected.limitCgroup)),
    outcome:
      outcome === expected.outcome && isInTime
        ? undefined
        : `${outcome} after ${restartSeconds}, not ${expected.outcome} after ${expectedSeconds}`,
    ...(expected.kills > 1 && { loop: wrongInLoop(kill, agesUpTo(kill, own, lives)) }),
  };
}

function wrongInCurve({ before, time, suppressed }: Kill, samples: readonly Sample[]) {
  if (before === null) return "none";
  if (JSON.stringify(before).length > beforeBytesAtMost) return "too long";
  if (before.limitUse.length === 0) return "no points";
  if (!suppressed && before.limitUse.at(-1)?.[0] !== 0) return "ends before the kill";
  const { limitBytes } = before;
  const killedMs = Date.parse(time ?? "");
  for (const [seconds, bytes] of before.limitUse) {
    const atMs = killedMs - seconds * 1000;
    const near = around(samples, atMs);
    if (near.length === 0) continue;
    const seen = near.map((sample) => sample.bytes);
    const tolerated = (limitBytes ?? 0) * toleratedShare;
    const low = Math.min(...seen) - tolerated;
    // What has grown to the limit since the last sample.
    const high = seconds < 1 ? (limitBytes ?? 0) + tolerated : Math.max(...seen) + tolerated;
    if (bytes < low || bytes > high) {
      return `${mib(bytes)} MiB ${seconds} s before, seen ${seen.map(mib).join(" ")}`;
    }
  }
  return undefined;
}

/** The samples of about that time, and those next to them. */
function around(samples: readonly Sample[], atMs: number): readonly Sample[] {
  const first = samples.findLastIndex((sample) => sample.atMs < atMs - toleratedMs);
  const last = samples.findIndex((sample) => sample.atMs > atMs + toleratedMs);
  return samples.slice(Math.max(0, first), last < 0 ? undefined : last + 1);
}

/** Of this victim and those of its workload before it, by the kernel's own stamps. */
function agesUpTo(kill: Kill, own: readonly Kill[], lives: readonly Life[]): number[] {
  return own.slice(0, own.indexOf(kill) + 1).map(({ pid, uptimeSeconds }) => {
    const born = lives.find((life) => life.pid === pid)?.bornSeconds ?? Number.NaN;
    return (uptimeSeconds ?? Number.NaN) - born;
  });
}

/** @param lived seconds, of this victim last and of those before it */
function wrongInLoop({ loop, ageSeconds }: Kill, lived: readonly number[]) {
  const last = lived.at(-1) as number;
  if (ageSeconds === null || Math.abs(ageSeconds - last) > toleratedSeconds) {
    return `age ${ageSeconds}, lived ${last}`;
  }
  if (lived.length === 1) return loop === null ? undefined : `${loop.count} at the first kill`;
  if (loop?.count !== lived.length) return `${loop?.count} kills, not ${lived.length}`;
  const [youngest, oldest] = [Math.min(...lived), Math.max(...lived)];
  if (loop.ageSeconds === null) return oldest < youngest * 1.4 ? `no age of ${lived}` : undefined;
  const isAmong =
    loop.ageSeconds > youngest - toleratedSeconds && loop.ageSeconds < oldest + toleratedSeconds;
  return isAmong && oldest < youngest * 1.6 ? undefined : `age ${loop.ageSeconds} of ${lived}`;
}

/** From a kill to the start of the next process in its cgroup; `null` if there is none. */
function secondsToNext({ uptimeSeconds }: Kill, lives: readonly Life[]): number | null {
  const next = lives.find(({ bornSeconds }) => bornSeconds > (uptimeSeconds ?? 0));
  return next === undefined ? null : next.bornSeconds - (uptimeSeconds ?? 0);
}

function mib(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}
