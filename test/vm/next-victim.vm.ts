import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, inject, it } from "vitest";
import type { Outcome } from "../../bench/next-victim-runner.ts";
import { runInGuest } from "./scenario.ts";

/** The bench, as plain JavaScript, and its processes, next to the exporter. */
beforeAll(() => {
  const directory = join(inject("guestShare"), "next-victim");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "package.json"), '{"type":"module"}');
  try {
    execFileSync("node_modules/.bin/tsc", ["--noEmit", "false", "--outDir", directory]);
  } catch {
    // Type errors are the type check's to report; what was written can be run.
  }
  const program = join(directory, "program");
  execFileSync("cc", ["-O2", "-static", "-pthread", "-o", program, "bench/next-victim.c"]);
});

// Emulated, a host takes half a minute to run out, on a busy machine longer, and a machine has twenty minutes.
it.each([
  ["a cgroup's limit is hit", "cgroup", 401, 25, 0],
  ["a cgroup's limit is hit, some of it swapped out", "cgroup", 501, 25, 128],
  ["the host runs out", "host", 201, 13, 0],
  ["the host runs out again", "host", 214, 12, 0],
  ["the host runs out, its swap as well", "host", 301, 13, 96],
  ["the host runs out again, its swap as well", "host", 314, 12, 96],
])(
  "the next victim is the process that the kernel kills if %s",
  async (_, kind, seed, scenarios, swapMb) => {
    const guest = await runInGuest(
      `
      export EXPORTER=/share/dist/oom-exporter.mjs NEXT_VICTIM_PROGRAM=/share/next-victim/program
      export OUTCOMES=/results/outcomes.jsonl TMPDIR=/run
      sh -c 'echo -999 >/proc/self/oom_score_adj; exec "$@"' sh \\
        node /share/next-victim/bench/next-victim.js next-victim ${scenarios} ${seed} ${kind}
    `,
      { memoryMb: 640, swapMb },
    );
    const outcomes = guest
      .file("outcomes.jsonl")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Outcome);
    const misses = outcomes.filter(({ isHit }) => !isHit);
    const together = outcomes.filter(
      ({ isHit, saidTogether, diedTogether }) => isHit && `${saidTogether}` === `${diedTogether}`,
    );
    console.log(
      `${kind}${swapMb > 0 ? " with swap" : ""}: ${scenarios - misses.length} of ${outcomes.length} named right, ` +
        `${together.length} with all who died with them` +
        misses.map(({ scenario, report }) => `\nscenario ${scenario.seed}:\n${report}`).join(""),
    );
    expect(outcomes).toHaveLength(scenarios);
    // Between the answer and the kill the process that asks for memory grows, and may overtake.
    expect(misses.filter(({ hasOvertaken }) => !hasOvertaken).map(({ report }) => report)).toEqual(
      [],
    );
    expect(misses.length).toBeLessThanOrEqual(1);
  },
);
