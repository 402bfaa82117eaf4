import type { OwnScoreAdj } from "../sources/own-score-adj.ts";
import { protectedScoreAdj } from "../sources/own-score-adj.ts";
import { type Check, dockerFlags, type Fix, ok, type Place } from "./check.ts";

const ways: Record<Place, Fix> = {
  host: {
    text: "Start it with the shipped unit, which sets OOMScoreAdjust=-900; by hand, run as root.",
  },
  container: dockerFlags("--oom-score-adj -900"),
  pod: { text: "In the pod's spec:", commands: ["priorityClassName: system-node-critical"] },
};

/** Whether an exporter started like this process survives when the host runs out of memory. */
export function checkProtection({ value, mayLower }: OwnScoreAdj, place: Place): Check {
  const name = "own oom_score_adj";
  if (value === undefined) return ok(name, "not known");
  if (value < 0) return ok(name, `${value}: killed late`);
  if (value === 0 && mayLower) return ok(name, `0: serve lowers it to ${protectedScoreAdj}`);
  return {
    name,
    state: "partial",
    found:
      value === 0
        ? "0, and this user may not lower it"
        : `${value}: set by the process that started it, not changed`,
    impact: "on a full host oom-exporter can be killed before the process that fills it",
    fix: ways[place],
  };
}
