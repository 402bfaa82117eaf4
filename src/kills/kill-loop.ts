import { duration } from "../text/times.ts";
import type { Cause } from "./cause.ts";
import type { Kill } from "./kill.ts";
import { workloadKey, workloadName } from "./workload-name.ts";

/** A workload that was killed before within the hour. */
export interface KillLoop {
  /** Number of kills including this one; a group that dies together counts once. */
  count: number;
  /** From the first kill to this one. */
  withinSeconds: number;
  /** Approximate age of each victim; `null` if the ages differ or one is unknown. */
  ageSeconds: number | null;
}

const loopMs = 3_600_000;
/** Kills closer together than this have no restart between them. */
const sameEventMs = 10_000;
/** Ages within this ratio count as the same. */
const sameAgeRatio = 1.5;

interface DatedKill {
  kill: Kill;
  timeMs: number;
}

/**
 * Whether this kill is one of a loop.
 * @param earlier kills of any workload
 */
export function loopOf(last: DatedKill, earlier: Iterable<DatedKill>): KillLoop | null {
  const workload = workloadKey(last.kill.owner, last.kill.cgroup);
  if (workload === undefined) return null;
  const same = [...earlier]
    .filter(({ kill, timeMs }) => {
      const agoMs = last.timeMs - timeMs;
      return agoMs >= 0 && agoMs <= loopMs && workloadKey(kill.owner, kill.cgroup) === workload;
    })
    .sort((a, b) => a.timeMs - b.timeMs);
  const events: DatedKill[] = [];
  let previousMs = Number.NEGATIVE_INFINITY;
  for (const dated of [...same, last]) {
    if (dated.timeMs - previousMs > sameEventMs) events.push(dated);
    previousMs = dated.timeMs;
  }
  const [first] = events;
  if (first === undefined || events.length < 2) return null;
  return {
    count: events.length,
    withinSeconds: Math.round((last.timeMs - first.timeMs) / 1000),
    ageSeconds: commonAge(events.map(({ kill }) => kill.ageSeconds)),
  };
}

function commonAge(ages: readonly (number | null)[]): number | null {
  const known = ages.filter((age) => age !== null).sort((a, b) => a - b);
  const [youngest] = known;
  const oldest = known.at(-1);
  if (known.length < ages.length || youngest === undefined || oldest === undefined) return null;
  return oldest <= youngest * sameAgeRatio ? (known[known.length >> 1] as number) : null;
}

const ordinalRules = new Intl.PluralRules("en", { type: "ordinal" });
const suffixes: Partial<Record<Intl.LDMLPluralRule, string>> = {
  one: "st",
  two: "nd",
  few: "rd",
  other: "th",
};
const ordinals = ["", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"];

/** What a loop says of its workload. With any other cause the victim may have done nothing wrong. */
const conclusions: Partial<Record<Cause, string>> = {
  cgroup_limit: ": it leaks, or its limit is too small",
  memory_hog: ": it leaks, or it needs more memory than the host has",
};

/** The loop as a sentence; `undefined` if there is none. */
export function loopSentence({ loop, owner, cgroup, cause }: Kill): string | undefined {
  if (loop === null) return undefined;
  const name = workloadName(owner, cgroup) ?? "this workload";
  const nth = ordinals[loop.count] ?? `${loop.count}${suffixes[ordinalRules.select(loop.count)]}`;
  const each =
    loop.ageSeconds === null
      ? ""
      : `, ${loop.count === 2 ? "both times" : "each time"} about ${duration(loop.ageSeconds)} after its start`;
  return `The ${nth} kill of ${name} within ${duration(loop.withinSeconds)}${each}${conclusions[cause] ?? ""}.`;
}
