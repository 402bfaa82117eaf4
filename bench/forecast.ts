/**
 * Back-test of the forecasts: runs the shipped rules (Debian's promtool evaluates them) and the model of the exporter's
 * page over the recordings of test/fixtures/series.
 *
 *   node bench/run.mjs forecast [DIRECTORY]
 *
 * Prints the table; without a directory of recordings it also writes it into docs/forecasts.md, with the
 * picture docs/images/forecasts.svg.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { backTest } from "../test/rules/back-test.ts";
import { resultsPicture, resultsTable } from "../test/rules/forecast-results.ts";
import { readRecordings } from "../test/rules/recorded-series.ts";
import { debianTool } from "../test/setup/debian-tools.ts";

const directory = process.argv[3];
const promtool = await debianTool("prometheus", "usr/bin/promtool");
if (promtool.path === undefined) throw new Error(promtool.obstacle);

const recordings = readRecordings(directory ?? "test/fixtures/series");
const rules = ["recording.yml", "alerts.yml"].map(
  (file) => `${process.cwd()}/prometheus-rules/${file}`,
);
const minutes = await backTest(promtool.path, rules, recordings);
const results = recordings.map((series) => ({ series, minutes: minutes.get(series.name) ?? [] }));
const table = resultsTable(results);
console.log(table);

if (directory === undefined) {
  const page = readFileSync("docs/forecasts.md", "utf8");
  writeFileSync(
    "docs/forecasts.md",
    page.replace(/^\| Series .*?\n\n/ms, () => `${table}\n\n`),
  );
  writeFileSync("docs/images/forecasts.svg", resultsPicture(results));
}
