/**
 * How often the details of a kill are right: what grew, the curve up to the limit, the program, whether the workload
 * survived, whether it is a loop. Every kill is real, each in a cgroup of its own.
 *
 *   npm run build && npm run bench -- story [TRIALS] [NAME ...]
 *
 * TRIALS of each kind, 4 by default: seven minutes. NAME: part of the name of a kind; `programs` for what runs.
 * Needs root, a memory cgroup hierarchy and cc. Interpreters that are not on PATH are replaced by a process with
 * their name and arguments. $PICTURES is a directory for a picture of the page of
 * one kill of each kind, which needs Chromium.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Kill } from "../src/kills/kill.ts";
import { startChromium } from "../test/browser/chromium.ts";
import { type ExporterProcess, startExporter } from "../test/setup/exporter-process.ts";
import { described, thisMachine } from "./machine.ts";
import { type Judgement, judge, type Part } from "./story/judge.ts";
import { isOnPath, programTrials, secretText } from "./story/programs.ts";
import { Stage } from "./story/stage.ts";
import { kinds, loopSeconds, outcomeSeconds, type Trial } from "./story/trials.ts";

const scrapeEveryMs = 15_000;
/** More than two scrapes. */
const leadSeconds = 70;
/** From one trial of a kind to the next. */
const apartSeconds = 6;
const programLeadSeconds = 50;
/** A busy machine takes long to start seventeen programs. */
const programPatienceMs = 400_000;

const [trialsText = "4", ...names] = process.argv.slice(3);
const trials = Number(trialsText);
const isWanted = (name: string) =>
  names.length === 0 || names.some((wanted) => name.includes(wanted));
const scratch = mkdtempSync(join(tmpdir(), "oom-exporter-story-"));

class Table {
  readonly #rows = new Map<string, Map<Part, { right: number; all: number }>>();

  add(kind: string, judgement: Judgement, about: string): void {
    const row = this.#rows.get(kind) ?? new Map();
    this.#rows.set(kind, row);
    for (const [part, wrong] of Object.entries(judgement)) {
      const { right, all } = row.get(part) ?? { right: 0, all: 0 };
      row.set(part, { right: right + (wrong === undefined ? 1 : 0), all: all + 1 });
      if (wrong !== undefined) console.log(`wrong: ${kind}, ${about}: ${part}: ${wrong}`);
    }
  }

  print(parts: readonly Part[]): void {
    console.log(`\n| kills | ${parts.join(" | ")} |\n|---|${"---|".repeat(parts.length)}`);
    for (const [kind, row] of this.#rows) {
      const cells = parts.map((part) => {
        const cell = row.get(part);
        return cell === undefined ? "" : `${cell.right} of ${cell.all}`;
      });
      console.log(`| ${kind} | ${cells.join(" | ")} |`);
    }
    const sums = parts.map((part) => {
      const cells = [...this.#rows.values()].flatMap((row) => row.get(part) ?? []);
      const sum = (key: "right" | "all") => cells.reduce((total, cell) => total + cell[key], 0);
      return `**${sum("right")} of ${sum("all")}**`;
    });
    console.log(`| **all** | ${sums.join(" | ")} |`);
  }
}

/** An exporter that is scraped as Prometheus does. */
async function scraped<Result>(
  then: (exporter: ExporterProcess, reported: ReportedKills) => Promise<Result>,
): Promise<Result> {
  const flags = [
    "--kernel-log.source=kmsg",
    `--state.directory=${mkdtempSync(join(scratch, "s"))}`,
  ];
  const exporter = await startExporter(flags);
  const reported = new ReportedKills();
  const scrape = async () => reported.noteMetrics(await exporter.metrics());
  const scraper = setInterval(() => void scrape().catch(() => {}), scrapeEveryMs);
  try {
    await scrape();
    return await then(exporter, reported);
  } finally {
    clearInterval(scraper);
    await exporter.end();
  }
}

/** @param kills by kind */
async function takePictures(url: string, kills: ReadonlyMap<string, Kill>): Promise<void> {
  const directory = process.env.PICTURES;
  if (directory === undefined) return;
  mkdirSync(directory, { recursive: true });
  const browser = await startChromium();
  try {
    const page = await browser.newPage({ viewport: { width: 900, height: 900 } });
    for (const [kind, { incident }] of kills) {
      await page.goto(`${url}/kills/${incident}`);
      const name = `${kind.replaceAll(/[^a-z]+/g, "-")}.png`;
      await page.screenshot({ path: join(directory, name), fullPage: true });
    }
  } finally {
    await browser.close();
  }
}

async function playTrials(): Promise<void> {
  const stage = new Stage(join(scratch, "bin"));
  const table = new Table();
  const played: { kind: string; trial: Trial }[] = [];
  try {
    for (let number = 0; number < trials; number++) {
      for (const [kind, trialOf] of Object.entries(kinds)) {
        if (isWanted(kind))
          played.push({ kind, trial: trialOf(stage, `${number}_${process.pid}`) });
      }
    }
    for (const { trial } of played) trial.prepare?.();
    await stage.settled();
    await scraped(async (exporter, reported) => {
      const each = played.length / trials;
      for (const [at, { trial }] of played.entries()) {
        trial.run(leadSeconds + Math.floor(at / each) * apartSeconds);
      }
      const lastSeconds = leadSeconds + trials * apartSeconds;
      const ask = async () => reported.noteKills(await exporter.kills());
      await waitRunning(lastSeconds + loopSeconds + outcomeSeconds, ask);
      await ask();
      const pictured = new Map<string, Kill>();
      for (const { kind, trial } of played) {
        const { expected } = trial;
        const own = reported.inCgroup(expected.cgroup);
        for (let nth = 1; nth <= Math.max(expected.kills, own.length); nth++) {
          const kill = own[nth - 1];
          const judgement = judge(kill, reported.growerOf(kill), { expected, own, stage });
          table.add(kind, judgement, `${expected.cgroup}, kill ${nth}, ${describedKill(kill)}`);
        }
        const last = own.at(-1);
        if (last !== undefined) pictured.set(kind, last);
      }
      await takePictures(exporter.url, pictured);
      console.log(/^oom_kills_unaccounted .*$/m.exec(await exporter.metrics())?.[0]);
    });
  } finally {
    stage.clear();
  }
  table.print(["victim", "grower", "curve", "outcome", "loop"]);
}

/** Waits so many seconds in which this process was not suspended; says so if it was. */
async function waitRunning(seconds: number, ask: () => Promise<void>): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    const beganMs = performance.now();
    await wait(1000);
    if (second % 5 === 0) await ask();
    const lostSeconds = (performance.now() - beganMs) / 1000 - 1;
    if (lostSeconds > 5) console.log(`suspended for ${lostSeconds.toFixed(0)} s: not valid`);
  }
}

/**
 * What the exporter says of kills, asked again and again: the series, what came before a kill and the watch of its
 * outcome are of the newest hundred, and other kills on the machine count among them.
 */
class ReportedKills {
  readonly #kills = new Map<string, Kill>();
  readonly #growers = new Map<string, string>();

  /** @param kills newest first */
  noteKills(kills: readonly Kill[]): void {
    for (const kill of [...kills].reverse()) {
      const before = kill.before ?? this.#kills.get(kill.incident)?.before ?? null;
      this.#kills.set(kill.incident, { ...kill, before });
    }
  }

  noteMetrics(metrics: string): void {
    for (const line of metrics.split("\n")) {
      const labels = /^oom_kill_timestamp_seconds\{incident="([^"]*)".*grower="([^"]*)"/.exec(line);
      if (labels !== null) this.#growers.set(labels[1] as string, labels[2] as string);
    }
  }

  /** Oldest first. */
  inCgroup(path: string): Kill[] {
    return [...this.#kills.values()].filter(({ cgroup }) => cgroup === path);
  }

  growerOf(kill: Kill | undefined): string | undefined {
    return kill && this.#growers.get(kill.incident);
  }
}

function describedKill(kill: Kill | undefined): string {
  if (kill === undefined) return "";
  const { incident, suppressed, before } = kill;
  const growers = before?.growers.map(({ cgroup, fromBytes, toBytes, seconds }) => {
    return `${cgroup} ${fromBytes >> 20} to ${toBytes >> 20} in ${seconds} s`;
  });
  return `${incident}${suppressed ? " without a report" : ""}, growers: ${growers?.join("; ")}`;
}

async function playPrograms(): Promise<void> {
  const table = new Table();
  const all = programTrials(join(scratch, "programs"), programLeadSeconds);
  const stage = new Stage(join(scratch, "bin"));
  try {
    await scraped(async (exporter) => {
      for (let number = 0; number < trials; number++) {
        const started = all.map((trial, at) => {
          const cgroup = stage.limited(`program${number}-${at}.service`, trial.limitMb);
          return { trial, cgroup, ended: stage.start(cgroup, trial.command).ended };
        });
        await Promise.race([
          Promise.all(started.map(({ ended }) => ended)),
          wait(programPatienceMs),
        ]);
        await wait(2000);
        const kills = await exporter.kills();
        for (const { trial, cgroup } of started) {
          const kill = kills.find((one) => one.cgroup === cgroup.path);
          const isRight = kill !== undefined && kill.program === trial.program;
          const wrong = kill === undefined ? "no kill" : `${kill.program}, not ${trial.program}`;
          table.add(trial.name, { program: isRight ? undefined : wrong }, `${kill?.comm}`);
          cgroup.remove();
        }
      }
      const answers = [
        await exporter.metrics(),
        JSON.stringify(await exporter.kills()),
        await (await fetch(exporter.url)).text(),
        await (await fetch(`${exporter.url}/api/v1/victims`)).text(),
        exporter.log(),
      ];
      const leaks = answers.filter((answer) => answer.includes(secretText)).length;
      console.log(`answers with a part of a command line: ${leaks}`);
    });
  } finally {
    stage.clear();
  }
  const missing = ["java", "javac", "perl", "php", "python3", "ruby"].filter(
    (name) => !isOnPath(name),
  );
  if (missing.length > 0) console.log(`by arguments only: ${missing.join(", ")}`);
  table.print(["program"]);
}

console.log(described(thisMachine()));
try {
  if (names.length === 0 || Object.keys(kinds).some(isWanted)) await playTrials();
  if (isWanted("programs")) await playPrograms();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
