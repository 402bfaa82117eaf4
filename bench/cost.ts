/**
 * What running the exporter costs, compared with its peers and with a bare read of the same files.
 *
 *   npm run bench -- cost [ROW ...] [OPTIONS]
 *
 * Rows: operation, scrape, memory, parts, start, follow, explain, storm, curve; all of them by default (40 minutes);
 * soak only if it is named. Needs root, a memory cgroup hierarchy and cc; peers come from Debian's packages and are left
 * out if those are not available. Prints each table in Markdown when it is done, and writes all figures as JSON.
 *
 *   --exporter COMMAND     what to measure, e.g. "node --single-threaded bundle.mjs"; default: builds dist
 *   --beside COMMAND       another build of it, for rows start and scrape: before and after in one run
 *   --scrapes N            scrapes of each contender and size (30)
 *   --warm-up N            scrapes before them, of rows scrape and operation, that are not measured (60): V8 goes on
 *                          compiling for some 200, an hour at one each 15 s
 *   --sizes LIST           processes x cgroups of the scrape row (200x50,2000x500,8000x2000)
 *   --curve-sizes LIST     of the curve (100x25,300x75,1000x250,3000x750,10000x2500)
 *   --memory-scrapes N     scrapes with churn, 90 s of them at most (300)
 *   --soak N               scrapes of the soak row (2000; on a busy machine 1500 took 29 minutes)
 *   --soak-size SIZE       of its processes x cgroups (2000x500)
 *   --real-kills           the soak has the kernel kill processes, and the exporter follows /dev/kmsg
 *   --storms N             storms of each kind (3)
 *   --explain-mib N        size of the log for explain (1024)
 *   --json FILE            default node_modules/.cache/bench/cost.json
 *   --picture FILE         of the curve; default node_modules/.cache/bench/scrape-cost.svg
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { curve } from "./cost/curve.ts";
import { explain } from "./cost/explain.ts";
import { follow } from "./cost/follow.ts";
import { memory } from "./cost/memory.ts";
import { operation } from "./cost/operation.ts";
import { parts } from "./cost/parts.ts";
import { type CostOptions, markdown, type Result } from "./cost/result.ts";
import { scrapes } from "./cost/scrape.ts";
import { soak } from "./cost/soak.ts";
import { start } from "./cost/start.ts";
import { storms } from "./cost/storms.ts";
import { described, thisMachine } from "./machine.ts";

const { values, positionals } = parseArgs({
  args: process.argv.slice(3),
  allowPositionals: true,
  options: {
    exporter: { type: "string" },
    beside: { type: "string" },
    scrapes: { type: "string", default: "30" },
    "warm-up": { type: "string", default: "60" },
    sizes: { type: "string", default: "200x50,2000x500,8000x2000" },
    "curve-sizes": { type: "string", default: "100x25,300x75,1000x250,3000x750,10000x2500" },
    "memory-scrapes": { type: "string", default: "300" },
    soak: { type: "string", default: "2000" },
    "soak-size": { type: "string", default: "2000x500" },
    "real-kills": { type: "boolean", default: false },
    storms: { type: "string", default: "3" },
    "explain-mib": { type: "string", default: "1024" },
    json: { type: "string", default: "node_modules/.cache/bench/cost.json" },
    picture: { type: "string", default: "node_modules/.cache/bench/scrape-cost.svg" },
  },
});

const rows: Record<string, (options: CostOptions) => AsyncIterable<Result>> = {
  operation: single(operation),
  scrape: scrapes,
  memory,
  parts,
  start: single(start),
  follow: single(follow),
  explain: single(explain),
  storm: single(storms),
  curve: single((options) => curve(options, values.picture)),
  soak: single(soak),
};
const notUnasked = ["soak"];

const unknown = positionals.find((name) => !(name in rows));
if (unknown !== undefined) {
  throw new Error(`no row "${unknown}"; there are ${Object.keys(rows).join(", ")}`);
}

const options: CostOptions = {
  exporter: values.exporter?.split(" ") ?? built(),
  beside: values.beside?.split(" "),
  scrapes: Number(values.scrapes),
  warmUp: Number(values["warm-up"]),
  memoryScrapes: Number(values["memory-scrapes"]),
  soakScrapes: Number(values.soak),
  soakSize: size(values["soak-size"]),
  realKills: values["real-kills"],
  storms: Number(values.storms),
  explainMiB: Number(values["explain-mib"]),
  sizes: sizes(values.sizes),
  curveSizes: sizes(values["curve-sizes"]),
};

const machine = thisMachine();
console.log(`${described(machine)}\n`);
const results: Record<string, Result[]> = {};
const all = Object.keys(rows).filter((name) => !notUnasked.includes(name));
for (const name of positionals.length > 0 ? positionals : all) {
  for await (const result of rows[name]?.(options) ?? []) {
    console.log(markdown(result));
    results[name] = [...(results[name] ?? []), result];
    // At once: what is measured is kept when a later row fails.
    writeFileSync(values.json, `${JSON.stringify({ machine, options, results }, null, 2)}\n`);
  }
}
console.log(`All figures: ${values.json}`);
process.exit();

function single(row: (options: CostOptions) => Promise<Result>) {
  return async function* (options: CostOptions) {
    yield await row(options);
  };
}

function built(): string[] {
  execFileSync("npm", ["run", "--silent", "build"], { stdio: "inherit" });
  return [process.execPath, "--single-threaded", "dist/oom-exporter.mjs"];
}

function sizes(list: string) {
  return list.split(",").map(size);
}

function size(text: string) {
  const [processes = 0, cgroups = 0] = text.split("x").map(Number);
  return { processes, cgroups };
}
