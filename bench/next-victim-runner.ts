/**
 * Runs a scenario (next-victim-scenario.ts): asks the exporter for the next victim, lets memory run out, and reads the
 * victim from the kernel's log and the dead process from wait().
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { openKmsg } from "../src/log-sources/kmsg-device.ts";
import type { VictimsAnswer } from "../src/victims/scope-victims.ts";
import { removeCgroup, runName } from "../test/setup/test-run.ts";
import { bare, type Machine, type PlannedProcess, type Scenario } from "./next-victim-scenario.ts";

/** One process of a scenario, running. */
interface RunningProcess {
  plan: string;
  pid: number;
  kind: string;
  /** The thread by which the kernel names it where its first one has ended. */
  thread: number;
}

export interface Outcome {
  scenario: Scenario;
  /** The first of the answer, by pid. */
  said: number | undefined;
  /** Whom `oom_next_victim_info` named for the same scope. */
  metricSaid: number | undefined;
  /** Whom the kernel chose. */
  died: number | undefined;
  isHit: boolean;
  /** It was the growing one that died: it had grown since. */
  hasOvertaken: boolean;
  /** Who was to die with it, and who did: pids in order. */
  saidTogether: number[];
  diedTogether: number[];
  /** The candidates as answered, beside the kernel's own table of tasks where the log has it. */
  report: string;
}

const hierarchies = {
  v2: {
    root: "/sys/fs/cgroup",
    max: "memory.max",
    current: "memory.current",
    swapMax: "memory.swap.max",
    swapCurrent: "memory.swap.current",
    none: "max",
  },
  v1: {
    root: "/sys/fs/cgroup/memory",
    max: "memory.limit_in_bytes",
    current: "memory.usage_in_bytes",
    swapMax: undefined,
    swapCurrent: undefined,
    none: "-1",
  },
} as const;

/** What this machine can show. @throws {Error} where it cannot make memory cgroups */
export function machineHere(): Machine {
  const version = existsSync(join(hierarchies.v2.root, "cgroup.controllers")) ? "v2" : "v1";
  if (!existsSync(hierarchies[version].root)) throw new Error("no memory cgroups here");
  const swap = /^SwapTotal:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"));
  return { version, hasSwap: Number(swap?.[1]) > 0, canProtect: canProtect() };
}

function canProtect(): boolean {
  const held = /^CapEff:\s+(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"));
  const sysResource = 24n;
  return ((BigInt(`0x${held?.[1]}`) >> sysResource) & 1n) === 1n;
}

export interface RunOptions {
  machine: Machine;
  /** The compiled bench/next-victim.c, and a file of 40 MB that its processes map. */
  program: string;
  file: string;
  exporterUrl: string;
  kernelLog: KernelLog;
}

/** A snapshot of the exporter serves all requests within a second. */
const freshAfterMs = 1100;
/** So little is left of a machine's memory when the exporter is asked. */
const hostRoomKb = 10 << 10;
/** For what must come, however slow the machine is. */
const patienceMs = 30_000;

export async function run(scenario: Scenario, options: RunOptions): Promise<Outcome> {
  const { kernelLog } = options;
  const cgroups = new ScenarioCgroups(scenario, options.machine);
  const processes = new Processes(options, scenario.scope === "host");
  try {
    // As everywhere but in a test, the exporter has seen the cgroups before they are full.
    await metricsOf(options);
    if (scenario.scope === "host") await processes.start(ballast, "-");
    for (const plan of scenario.planned) await processes.start(plan, cgroups.procsOf(plan.cgroup));
    if (scenario.scope === "host") await processes.fill();
    cgroups.limit();
    kernelLog.drain();
    await wait(freshAfterMs);
    let asked = await askUntilMetric(cgroups.scope, options);
    await processes.grow();
    // Where more is left than one step takes, the last answer before the kill counts.
    while (processes.dead.length === 0) {
      const next = await ask(cgroups.scope, options);
      // On a busy machine the death of a victim is heard of after its kill, and after this answer.
      const hasKilled = killLines(scenario, processes, kernelLog.read()).length > 0;
      if (hasKilled || processes.dead.length > 0) break;
      asked = next;
      await processes.grow();
    }
    await until(() => killLines(scenario, processes, kernelLog.read()).length > 0);
    await until(() =>
      [...firstEvent(scenario, processes, kernelLog.read())].every((pid) =>
        processes.dead.includes(pid),
      ),
    );
    return judge(scenario, processes, asked.answer, asked.metric, kernelLog.read());
  } finally {
    await processes.end();
    cgroups.remove();
  }
}

const ballast: PlannedProcess & { ballast: number } = {
  ...bare,
  id: "ballast",
  adj: -1000,
  grows: false,
  ballast: hostRoomKb,
};

/** Nothing moves: asked again until the metric names somebody, as it does once it has seen a new limit. */
async function askUntilMetric(scope: string, options: RunOptions) {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const asked = await ask(scope, options);
    if (asked.metric !== undefined || performance.now() > deadline) return asked;
    await wait(100);
  }
}

async function ask(scope: string, options: RunOptions) {
  const metric = (await metricsOf(options))
    .split("\n")
    .find((line) => line.startsWith(`oom_next_victim_info{scope="${scope}",`));
  const answer = await victimsOf(scope, options);
  return {
    answer,
    metric: metric === undefined ? undefined : Number(/pid="(\d+)"/.exec(metric)?.[1]),
  };
}

async function metricsOf({ exporterUrl }: RunOptions): Promise<string> {
  const query = "collect[]=cgroups&collect[]=processes";
  return (await fetch(`${exporterUrl}/metrics?${query}`)).text();
}

async function victimsOf(scope: string, options: RunOptions): Promise<VictimsAnswer> {
  const query = scope === "host" ? "" : `&cgroup=${encodeURIComponent(scope)}`;
  const response = await fetch(`${options.exporterUrl}/api/v1/victims?top=50${query}`);
  if (!response.ok) throw new Error(`${scope}: ${response.status} ${await response.text()}`);
  return (await response.json()) as VictimsAnswer;
}

/** The processes of a scenario. */
class Processes {
  readonly running: RunningProcess[] = [];
  readonly dead: number[] = [];
  /** Waited for without a look now and then: where memory is short, each would cost more of it. */
  readonly #firstDeath: Promise<void>;
  #died: () => void = () => {};
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #waiting = new Map<string, () => void>();
  #error = "";

  constructor({ program, file }: RunOptions, keepsNode: boolean) {
    this.#firstDeath = new Promise((resolve) => {
      this.#died = resolve;
    });
    this.#child = spawn(program, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { SCENARIO_FILE: file, ...(keepsNode ? { SCENARIO_KEEP: process.execPath } : {}) },
    });
    this.#exited = once(this.#child, "exit");
    this.#child.stderr?.on("data", (text) => {
      this.#error += text;
    });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) =>
      this.#hear(line),
    );
  }

  async start(plan: PlannedProcess, procs: string): Promise<void> {
    const { id, cgroup: _, ...traits } = plan;
    const words = Object.entries(traits)
      .filter(([, value]) => Number(value) !== 0)
      .map(([name, value]) => `${name}=${Number(value)}`);
    await this.#tell(`process ${id} ${procs} ${words.join(" ")}`, `started ${id}`);
  }

  async fill(): Promise<void> {
    await this.#tell("fill", "filled");
  }

  /** A step more. Resolves once that is taken, or somebody has died. */
  async grow(): Promise<void> {
    await Promise.race([this.#tell("go", "grown"), this.#firstDeath]);
  }

  async end(): Promise<void> {
    this.#child.stdin?.end("end\n");
    await this.#exited;
  }

  #tell(line: string, until: string): Promise<void> {
    this.#child.stdin?.write(`${line}\n`);
    return Promise.race([
      new Promise<void>((done) => this.#waiting.set(until, done)),
      this.#exited.then(() => {
        throw new Error(`"${line}": ${this.#error}`);
      }),
    ]);
  }

  #hear(line: string): void {
    const [word, id = "", number, kind = "", thread] = line.split(" ");
    if (word === "ready") {
      const pid = Number(number);
      this.running.push({ plan: id, pid, kind, thread: Number(thread ?? pid) });
    } else if (word === "exit") {
      const sigkill = "9";
      if (number !== sigkill) return;
      this.dead.push(Number(id));
      this.#died();
    } else {
      const until = word === "filled" || word === "grown" ? word : `${word} ${id}`;
      this.#waiting.get(until)?.();
      this.#waiting.delete(until);
    }
  }
}

/** The cgroups of a scenario, under one of their own. */
class ScenarioCgroups {
  /** As the exporter names it. */
  readonly scope: string;
  readonly #scenario: Scenario;
  readonly #files: (typeof hierarchies)["v1" | "v2"];
  readonly #version: "v1" | "v2";
  readonly #name: string;

  constructor(scenario: Scenario, { version }: Machine) {
    this.#scenario = scenario;
    this.#version = version;
    this.#files = hierarchies[version];
    this.#name = `/${runName()}-${process.pid}-${scenario.seed}`;
    this.scope = scenario.scope === "host" ? "host" : this.#path(scenario.scope);
    for (const { path, group } of scenario.cgroups) {
      mkdirSync(this.#directory(path));
      if (group) writeFileSync(join(this.#directory(path), "memory.oom.group"), "1");
      if (version === "v2" && scenario.cgroups.some((other) => isChild(other.path, path))) {
        writeFileSync(join(this.#directory(path), "cgroup.subtree_control"), "+memory");
      }
    }
  }

  procsOf(cgroup: string | undefined): string {
    return cgroup === undefined ? "-" : join(this.#directory(cgroup), "cgroup.procs");
  }

  /** Sets each limit by what the cgroup holds now. */
  limit(): void {
    const { max, current, swapMax, swapCurrent } = this.#files;
    for (const { path, roomKb } of this.#scenario.cgroups) {
      if (roomKb === undefined) continue;
      const directory = this.#directory(path);
      const held = (file: string) => Number(readFileSync(join(directory, file), "utf8"));
      // Else the kernel would swap instead of killing.
      if (swapMax !== undefined && existsSync(join(directory, swapMax))) {
        writeFileSync(join(directory, swapMax), `${held(swapCurrent)}`);
      }
      writeFileSync(join(directory, max), `${held(current) + roomKb * 1024}`);
    }
  }

  remove(): void {
    if (this.#scenario.cgroups.length > 0) removeCgroup(this.#directory("/"));
  }

  #path(path: string): string {
    return path === "/" ? this.#name : `${this.#name}${path}`;
  }

  #directory(path: string): string {
    return join(hierarchies[this.#version].root, this.#path(path));
  }
}

function isChild(path: string, parent: string): boolean {
  return path !== parent && path.startsWith(parent === "/" ? parent : `${parent}/`);
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!isSo() && performance.now() < deadline) await wait(10);
}

/** What the kernel says. */
export class KernelLog {
  readonly #reader = openKmsg("/dev/kmsg");
  readonly #buffer = Buffer.alloc(16 * 1024);
  #text = "";

  /** All since `drain`. */
  read(): string {
    for (;;) {
      try {
        this.#text += this.#buffer.toString("latin1", 0, this.#reader.read(this.#buffer));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EAGAIN") return this.#text;
        // EPIPE: overwritten before it was read; the next read goes on with the oldest there is.
        if (code !== "EPIPE") throw error;
      }
    }
  }

  drain(): void {
    this.read();
    this.#text = "";
  }

  close(): void {
    this.#reader.close();
  }
}

function judge(
  scenario: Scenario,
  processes: Processes,
  answer: VictimsAnswer,
  metricSaid: number | undefined,
  log: string,
): Outcome {
  const [first] = answer.victims;
  const killed = killLines(scenario, processes, log)[0]?.pid;
  const died = runningOf(processes, killed)?.pid ?? killed;
  const saidTogether = first === undefined ? [] : [first.pid, ...first.diesWith].sort(byNumber);
  const event = firstEvent(scenario, processes, log);
  const diedTogether = processes.dead.filter((pid) => event.has(pid)).sort(byNumber);
  return {
    scenario,
    said: first?.pid,
    metricSaid,
    died,
    isHit: died !== undefined && died === first?.pid,
    hasOvertaken: scenario.planned.some(
      ({ id, grows }) => grows && id === runningOf(processes, died)?.plan && died !== first?.pid,
    ),
    saidTogether,
    diedTogether,
    report: reportOf(scenario, processes, answer, log),
  };
}

function runningOf({ running }: Processes, killed: number | undefined): RunningProcess | undefined {
  return running.find(({ pid, thread }) => pid === killed || thread === killed);
}

/** Kills that are the scenario's; in a cgroup's scenario others may happen on the machine meanwhile. */
function killLines(
  scenario: Scenario,
  processes: Processes,
  log: string,
): { pid: number; at: number }[] {
  return [...log.matchAll(/Killed process (\d+) /g)]
    .map((line) => ({ pid: Number(line[1]), at: line.index }))
    .filter(({ pid }) => scenario.scope === "host" || runningOf(processes, pid) !== undefined);
}

/**
 * Whom the first kill took, of all that died before the growing one stopped: each that has a line in
 * that event, and who shares their memory and has none.
 */
function firstEvent(scenario: Scenario, processes: Processes, log: string): Set<number> {
  const [first, ...later] = killLines(scenario, processes, log);
  if (first === undefined) return new Set();
  const isGroup = /^[^\n]*\n[^\n]*due to memory\.oom\.group set/.test(log.slice(first.at));
  const named = new Set([first.pid]);
  if (isGroup) {
    const next = log.slice(first.at).search(/invoked oom-killer|oom-kill:/);
    const end = next < 0 ? log.length : first.at + next;
    for (const { pid, at } of later) if (at < end) named.add(pid);
  }
  const spaceOf = ({ plan, pid, kind }: RunningProcess) => (kind === "child" ? `${pid}` : plan);
  const spaces = [...named].flatMap((pid) => {
    const one = runningOf(processes, pid);
    return one === undefined ? [] : [spaceOf(one)];
  });
  return new Set(
    processes.running.filter((one) => spaces.includes(spaceOf(one))).map(({ pid }) => pid),
  );
}

const byNumber = (a: number, b: number) => a - b;

/** Candidates as answered, beside the kernel's own table of tasks where the log has it. */
function reportOf(
  scenario: Scenario,
  processes: Processes,
  answer: VictimsAnswer,
  log: string,
): string {
  const table = new Map<number, string>();
  const killAt = killLines(scenario, processes, log)[0]?.at ?? 0;
  const dump = log.slice(0, killAt);
  for (const [, pid, rest] of dump.matchAll(/;\[ *(\d+)\] +(.*)/g))
    table.set(Number(pid), rest ?? "");
  const header = /pid {2}\] (.*)/.exec(dump)?.[1];
  const lines = answer.victims.slice(0, 8).map((victim) => {
    const one = processes.running.find(({ pid }) => pid === victim.pid);
    const plan = scenario.planned.find(({ id }) => id === one?.plan);
    const pages = [victim.residentBytes, victim.pageTablesBytes, victim.swapBytes];
    const said = `rss,pt,swap ${pages.map((bytes) => bytes / 4096).join(",")} adj ${victim.scoreAdj}`;
    const role = `${victim.comm} ${one?.kind ?? "?"}${plan?.grows ? " grows" : ""}`;
    const truth = table.get(one?.thread ?? victim.pid) ?? "-";
    return `  ${victim.rank}. ${victim.pid} ${role}: ${said} | kernel: ${truth}`;
  });
  const choice = dump.match(/oom-kill:.*/g)?.at(-1) ?? "no oom-kill line";
  const kill = /.*/.exec(log.slice(killAt))?.[0];
  return [`  ${header ?? "no table"}`, ...lines, `  ${choice}`, `  ${kill}`].join("\n");
}

/** Adds an outcome, one line of JSON, to a file. */
export function record(path: string, outcome: Outcome): void {
  appendFileSync(path, `${JSON.stringify(outcome)}\n`);
}
