/**
 * What a fleet costs its Prometheus: series, memory, processor time, and each group of rules.
 *
 *   npm run bench -- fleet [OPTIONS]
 *
 * The real exporter reads one host with many cgroups. Its answer is served as that of many hosts, each with a memory
 * curve of its own, to a Prometheus with the shipped rules and recordings of the hour before. It first runs without
 * rules. At the end scraping and evaluation stop, and each rule is evaluated alone: processor time is a fair measure
 * even on a machine that others use.
 *
 *   --hosts N            100
 *   --cgroups N          250, of each host
 *   --minutes N          9, two of them without rules
 *   --history N          minutes of recordings before (70)
 *   --prometheus PATH    default: Debian's, of the release this machine runs
 *   --rules DIRECTORY    default prometheus-rules
 *   --exporter COMMAND   default: builds dist
 *   --json FILE          default node_modules/.cache/bench/fleet.json
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { parse, stringify } from "yaml";
import { debianTool } from "../test/setup/debian-tools.ts";
import { exporter, nextAddress, quietLog, scratchDirectory } from "./cost/contenders.ts";
import { MeasuredProcess } from "./cost/measured-process.ts";
import { type Line, markdown, mean, quantile } from "./cost/result.ts";
import { writeHistory } from "./fleet/history.ts";
import { writeHostTree } from "./fleet/host-tree.ts";
import { playHosts } from "./fleet/played-hosts.ts";
import { described, thisMachine } from "./machine.ts";

const { values: flags } = parseArgs({
  args: process.argv.slice(3),
  options: {
    hosts: { type: "string", default: "100" },
    cgroups: { type: "string", default: "250" },
    minutes: { type: "string", default: "9" },
    history: { type: "string", default: "70" },
    prometheus: { type: "string" },
    rules: { type: "string", default: "prometheus-rules" },
    exporter: { type: "string" },
    json: { type: "string", default: "node_modules/.cache/bench/fleet.json" },
  },
});
const hosts = Number(flags.hosts);
const cgroups = Number(flags.cgroups);
const withoutRulesMs = 120_000;
const withRulesMs = Number(flags.minutes) * 60_000 - withoutRulesMs;
/** What rules cost grows until their ranges are full: the first part of the time is not counted. */
const countedShare = 0.6;
const address = `http://${nextAddress()}`;

interface Group {
  name: string;
  interval: number;
  evaluationTime: number;
  rules: { name: string; query: string }[];
}

async function template(): Promise<{ text: string; limited: number }> {
  const tree = scratchDirectory();
  const limited = writeHostTree(tree, cgroups);
  const command = flags.exporter?.split(" ") ?? built();
  const running = exporter({
    command,
    flags: [
      `--path.rootfs=${tree}`,
      `--path.procfs=${tree}/proc`,
      `--path.sysfs=${tree}/sys`,
      `--kernel-log.file=${quietLog()}`,
    ],
    cgroups: ".",
  }).start("");
  try {
    await running.firstScrape();
    await wait(3000);
    return { text: (await running.scrape()).text, limited };
  } finally {
    await running.stop();
  }
}

function built(): string[] {
  execFileSync("npm", ["run", "--silent", "build"], { stdio: "inherit" });
  return [process.execPath, "--single-threaded", "dist/oom-exporter.mjs"];
}

/** The shipped configuration with the played hosts in it; the rules are copied in later. */
function configure(directory: string, port: number): void {
  const configuration = parse(readFileSync("docker/prometheus.yml", "utf8"));
  delete configuration.alerting;
  configuration.rule_files = [`${directory}/rules/*.yml`];
  configuration.scrape_configs[0].static_configs = Array.from({ length: hosts }, (_, index) => ({
    targets: [`127.0.0.1:${port}`],
    labels: { instance: `host-${index}:10137`, __metrics_path__: `/${index}/metrics` },
  }));
  mkdirSync(`${directory}/rules`);
  writeFileSync(`${directory}/prometheus.yml`, stringify(configuration));
}

async function startPrometheus(directory: string): Promise<MeasuredProcess> {
  const found = await debianTool("prometheus", "usr/bin/prometheus");
  const path = flags.prometheus ?? found.path;
  if (path === undefined) throw new Error(found.obstacle);
  const prometheus = new MeasuredProcess({
    command: [
      resolve(path),
      `--config.file=${directory}/prometheus.yml`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=${new URL(address).host}`,
      "--web.enable-lifecycle",
    ],
    url: `${address}/metrics`,
  });
  await prometheus.ready("/-/ready");
  return prometheus;
}

function ruleFiles(): { name: string; text: string }[] {
  const names = readdirSync(flags.rules).filter((file) => file.endsWith(".yml"));
  return names.map((name) => ({ name, text: readFileSync(join(flags.rules, name), "utf8") }));
}

async function measureRules(prometheus: MeasuredProcess) {
  const times = new Map<string, { group: Group; seconds: number[] }>();
  const untilMs = performance.now() + withRulesMs;
  const countFromMs = untilMs - withRulesMs * countedShare;
  let cpu = { ms: 0, at: 0 };
  while (performance.now() < untilMs) {
    await wait(5000);
    if (performance.now() < countFromMs) continue;
    if (cpu.at === 0) cpu = { ms: prometheus.cpuMs(), at: performance.now() };
    const { data } = JSON.parse(await prometheus.get("/api/v1/rules")) as {
      data: { groups: Group[] };
    };
    for (const group of data.groups) {
      const known = times.get(group.name) ?? { group, seconds: [] };
      if (known.seconds.at(-1) !== group.evaluationTime) known.seconds.push(group.evaluationTime);
      times.set(group.name, known);
    }
  }
  const cores = (prometheus.cpuMs() - cpu.ms) / (performance.now() - cpu.at);
  return { times: [...times.values()], cores };
}

/** Makes the recordings of the time before, as blocks in Prometheus' directory. */
async function fillHistory(directory: string, template: string): Promise<void> {
  const promtool = await debianTool("prometheus", "usr/bin/promtool");
  if (promtool.path === undefined) throw new Error(promtool.obstacle);
  const file = join(directory, "history.om");
  const minutes = Number(flags.history);
  const startSeconds = Math.floor(Date.now() / 1000);
  const rules = ruleFiles()
    .map(({ text }) => text)
    .join("");
  writeHistory(file, { template, hosts, minutes, startSeconds, rules });
  const args = ["tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h"];
  execFileSync(promtool.path, [...args, file, `${directory}/data`], { stdio: "ignore" });
  rmSync(file);
}

/** Milliseconds of processor time for each rule, by the rule's query, with nothing else going on. */
async function cpuOfRules(
  prometheus: MeasuredProcess,
  directory: string,
  groups: readonly Group[],
): Promise<Map<string, number>> {
  const nowSeconds = Date.now() / 1000 - 5;
  writeFileSync(`${directory}/prometheus.yml`, "global: {}\n");
  await reload();
  await untilQuiet(prometheus);
  const asked = async (query: string) => {
    const before = prometheus.cpuMs();
    // Counted, so that the answer is short; what a recording stores is not in it.
    const body = new URLSearchParams({ query: `count(${query})`, time: `${nowSeconds}` });
    const answer = await fetch(`${address}/api/v1/query`, { method: "POST", body });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    return prometheus.cpuMs() - before;
  };
  /** The median: collections of garbage fall on any of them, and the first reads what the others find. */
  const costOf = async (query: string) => {
    const runs: number[] = [];
    for (let left = 5; left > 0; left--) runs.push(await asked(query));
    return quantile(runs, 0.5);
  };
  const requestMs = await costOf("vector(1)");
  const cpu = new Map<string, number>();
  for (const { query } of groups.flatMap(({ rules }) => rules)) {
    cpu.set(query, Math.max(0, (await costOf(query)) - requestMs));
  }
  return cpu;
}

/** What a stop of scrapes and rules leaves to be written and collected is done. */
async function untilQuiet(prometheus: MeasuredProcess): Promise<void> {
  for (let left = 60; left > 0; left--) {
    const before = prometheus.cpuMs();
    await wait(1000);
    if (prometheus.cpuMs() - before < 10) return;
  }
}

async function reload(): Promise<void> {
  const answer = await fetch(`${address}/-/reload`, { method: "POST" });
  if (!answer.ok) throw new Error(await answer.text());
}

function sampleOf(text: string, name: string): number {
  const lines = text.split("\n").filter((line) => line.startsWith(name) && !line.startsWith("#"));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

const machine = thisMachine();
console.log(`${described(machine)}\n`);
const { text, limited } = await template();
const perHost = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
const perCgroup = perHost.filter((line) => /^oom_(cgroup|workload)_/.test(line)).length / cgroups;
const played = await playHosts(text, hosts);
const directory = scratchDirectory();
configure(directory, played.port);
await fillHistory(directory, text);
const prometheus = await startPrometheus(directory);
try {
  await wait(withoutRulesMs / 2);
  const [before, sinceMs] = [prometheus.cpuMs(), performance.now()];
  await wait(withoutRulesMs / 2);
  const coresWithout = (prometheus.cpuMs() - before) / (performance.now() - sinceMs);
  for (const { name, text } of ruleFiles()) writeFileSync(`${directory}/rules/${name}`, text);
  await reload();
  const { times, cores } = await measureRules(prometheus);
  const own = (await prometheus.scrape()).text;
  const version = /^prometheus_build_info\{.*version="([^"]+)"/m.exec(own)?.[1];
  const rssMiB = prometheus.memory().rssMiB;
  const cpu = await cpuOfRules(
    prometheus,
    directory,
    times.map(({ group }) => group),
  );
  const cpuMs = ({ rules }: Group) =>
    rules.reduce((sum, { query }) => sum + (cpu.get(query) ?? 0), 0);
  const groups: Line[] = times.map(({ group, seconds }) => ({
    group: group.name,
    "interval, s": group.interval,
    rules: group.rules.length,
    "evaluation, s": mean(seconds),
    "longest, s": Math.max(...seconds),
    "CPU, s": cpuMs(group) / 1000,
    "CPU, % of a core": cpuMs(group) / 10 / group.interval,
  }));
  const rules: Line[] = times
    .flatMap(({ group }) =>
      group.rules.map((rule) => ({
        group: group.name,
        rule: rule.name,
        "CPU, ms": cpu.get(rule.query) ?? 0,
      })),
    )
    .sort((a, b) => b["CPU, ms"] - a["CPU, ms"])
    .slice(0, 20);
  const share = groups.reduce((sum, line) => sum + Number(line["CPU, % of a core"]), 0);
  const series = sampleOf(own, "prometheus_tsdb_head_series ");
  const summary: Line = {
    hosts,
    cgroups,
    "with a limit": limited,
    "series of a host": perHost.length,
    "of a cgroup": perCgroup,
    "series in all": series,
    "of a cgroup, with rules and host": series / hosts / cgroups,
    "missed evaluations": sampleOf(own, "prometheus_rule_group_iterations_missed_total"),
    "failed evaluations": sampleOf(own, "prometheus_rule_evaluation_failures_total"),
    "rules asked alone, CPU, % of a core": share,
    "all with rules, CPU, % of a core": cores * 100,
    "without rules, CPU, % of a core": coresWithout * 100,
    "RSS, MiB": rssMiB,
  };
  console.log(
    markdown({
      title: `Prometheus ${version}, ${hosts} hosts of ${cgroups} cgroups, ${flags.minutes} minutes`,
      lines: Object.entries(summary).map(([figure, value]) => ({ figure, value })),
    }),
  );
  console.log(markdown({ title: "Groups of rules", lines: groups }));
  console.log(markdown({ title: "The most expensive rules", lines: rules }));
  writeFileSync(
    flags.json,
    `${JSON.stringify({ machine, version, summary, groups, rules, perHost: countByName(perHost) }, null, 2)}\n`,
  );
  console.log(`All figures: ${flags.json}`);
} finally {
  await prometheus.stop();
  played.close();
}
process.exit();

/** Series by metric, of one host. */
function countByName(samples: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const sample of samples) {
    const name = /^\w+/.exec(sample)?.[0] ?? "";
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
