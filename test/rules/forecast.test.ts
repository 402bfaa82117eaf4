import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { debianTool } from "../setup/debian-tools.ts";
import { needs } from "../setup/needs.ts";
import { backTest, type Minute } from "./back-test.ts";
import { resultsPicture, resultsTable } from "./forecast-results.ts";
import { readRecordings, recordingsDirectory } from "./recorded-series.ts";
import { rulesDirectory } from "./shipped-rules.ts";
import { judge } from "./verdict.ts";

const promtool = await debianTool("prometheus", "usr/bin/promtool");
const docs = fileURLToPath(new URL("../../docs/", import.meta.url));

/** The first alert comes at least this many minutes before each kill. */
const leastMinutes: Record<string, readonly number[]> = {
  "cache-and-leak": [25],
  "gc-leak": [20],
  "host-leak": [11],
  "noisy-leak": [25],
  "shmem-leak": [26],
  staircase: [19],
  "steady-leak": [26],
  "supervised-leak": [8, 8],
};

/** Too fast for any of them: it takes a quarter of an hour to distinguish a line from a burst. */
const unforeseen = ["burst-kill", "fast-leak"];

needs(describe, promtool.obstacle)("over the recorded series", async () => {
  const recordings = readRecordings(recordingsDirectory);
  const rules = [`${rulesDirectory}recording.yml`, `${rulesDirectory}alerts.yml`];
  const minutes =
    promtool.path === undefined
      ? new Map<string, Minute[]>()
      : await backTest(promtool.path, rules, recordings);
  const results = recordings.map((series) => ({ series, minutes: minutes.get(series.name) ?? [] }));
  const killed = results.filter(({ series }) => series.killedAtSeconds.length > 0);
  const foreseen = killed.filter(({ series }) => !unforeseen.includes(series.name));
  const harmless = results.filter(({ series }) => !series.runsOut);

  it("has an expectation for each killed series", () => {
    const known = [...Object.keys(leastMinutes), ...unforeseen];
    expect(killed.map(({ series }) => series.name).sort()).toEqual(known.sort());
  });

  it.each(foreseen)(
    "$series.name has a forecast before its kills",
    ({ series, minutes: course }) => {
      const alerts = Object.entries(judge(series, course).alerts);
      series.killedAtSeconds.forEach((_, kill) => {
        const leads = alerts
          .filter(([name]) => name.includes("RunningOut"))
          .map(([, { leadSeconds }]) => (leadSeconds[kill] ?? 0) / 60);
        expect(Math.max(0, ...leads)).toBeGreaterThanOrEqual(
          leastMinutes[series.name]?.[kill] as number,
        );
      });
    },
  );

  it.each(harmless)(
    "$series.name never has an alert about running out",
    ({ series, minutes: course }) => {
      const { alerts } = judge(series, course);
      expect(Object.keys(alerts).filter((name) => name.includes("RunningOut"))).toEqual([]);
    },
  );

  it("matches docs/forecasts.md and its picture (npm run bench -- forecast)", () => {
    expect(readFileSync(`${docs}forecasts.md`, "utf8")).toContain(resultsTable(results));
    expect(readFileSync(`${docs}images/forecasts.svg`, "utf8")).toBe(resultsPicture(results));
  });
});
