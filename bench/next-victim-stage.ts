/**
 * Plays a scene (next-victim-scenario.ts): asks the exporter who is next, has memory run out, and
 * reads from the kernel's log who it was and from wait() who died.
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
import { type Actor, bare, type Scene, type Stage } from "./next-victim-scenario.ts";

/** One process on the stage. */
interface Player {
  actor: string;
  pid: number;
  kind: string;
  /** The thread by which the kernel names it where its first one has ended. */
  thread: number;
}

export interface Outcome {
  scene: Scene;
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
export function stageHere(): Stage {
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

export interface Theatre {
  stage: Stage;
  /** The compiled bench/next-victim.c, and a file of 40 MB that its processes map. */
  program: string;
  file: string;
  exporterUrl: string;
  kernelLog: KernelLog;
}

/** The exporter looks for new processes and cgroups once a second at most for all who ask. */
const freshAfterMs = 1100;
/** So little is left of a machine's memory when the exporter is asked. */
const hostRoomKb = 10 << 10;
/** For what must come, however slow the machine is. */
const patienceMs = 30_000;

export async function play(scene: Scene, theatre: Theatre): Promise<Outcome> {
  const { kernelLog } = theatre;
  const cgroups = new SceneCgroups(scene, theatre.stage);
  const cast = new Cast(theatre, scene.scope === "host");
  try {
    // As everywhere but in a test, the exporter has seen the cgroups before they are full.
    await metricsOf(theatre);
    if (scene.scope === "host") await cast.start(ballast, "-");
    for (const actor of scene.actors) await cast.start(actor, cgroups.procsOf(actor.cgroup));
    if (scene.scope === "host") await cast.fill();
    cgroups.limit();
    kernelLog.drain();
    await wait(freshAfterMs);
    let asked = await askUntilMetric(cgroups.scope, theatre);
    await cast.grow();
    // Where more is left than one step takes, the last answer before the kill counts.
    while (cast.dead.length === 0) {
      const next = await ask(cgroups.scope, theatre);
      if (cast.dead.length > 0) break;
      asked = next;
      await cast.grow();
    }
    await until(() => killLines(scene, cast, kernelLog.read()).length > 0);
    await until(() =>
      [...firstEvent(scene, cast, kernelLog.read())].every((pid) => cast.dead.includes(pid)),
    );
    return judge(scene, cast, asked.answer, asked.metric, kernelLog.read());
  } finally {
    await cast.end();
    cgroups.remove();
  }
}

const ballast: Actor & { ballast: number } = {
  ...bare,
  id: "ballast",
  adj: -1000,
  grows: false,
  ballast: hostRoomKb,
};

/** Nothing moves: asked again until the metric names somebody, as it does once it has seen a new limit. */
async function askUntilMetric(scope: string, theatre: Theatre) {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const asked = await ask(scope, theatre);
    if (asked.metric !== undefined || performance.now() > deadline) return asked;
    await wait(100);
  }
}

async function ask(scope: string, theatre: Theatre) {
  const metric = (await metricsOf(theatre))
    .split("\n")
    .find((line) => line.startsWith(`oom_next_victim_info{scope="${scope}",`));
  const answer = await victimsOf(scope, theatre);
  return {
    answer,
    metric: metric === undefined ? undefined : Number(/pid="(\d+)"/.exec(metric)?.[1]),
  };
}

async function metricsOf({ exporterUrl }: Theatre): Promise<string> {
  const query = "collect[]=cgroups&collect[]=processes";
  return (await fetch(`${exporterUrl}/metrics?${query}`)).text();
}

async function victimsOf(scope: string, theatre: Theatre): Promise<VictimsAnswer> {
  const query = scope === "host" ? "" : `&cgroup=${encodeURIComponent(scope)}`;
  const response = await fetch(`${theatre.exporterUrl}/api/v1/victims?top=50${query}`);
  if (!response.ok) throw new Error(`${scope}: ${response.status} ${await response.text()}`);
  return (await response.json()) as VictimsAnswer;
}

/** The processes of a scene. */
class Cast {
  readonly players: Player[] = [];
  readonly dead: number[] = [];
  /** Waited for without a look now and then: where memory is short, each would cost more of it. */
  readonly #firstDeath: Promise<void>;
  #died: () => void = () => {};
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #waiting = new Map<string, () => void>();
  #error = "";

  constructor({ program, file }: Theatre, keepsNode: boolean) {
    this.#firstDeath = new Promise((resolve) => {
      this.#died = resolve;
    });
    this.#child = spawn(program, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { STAGE_FILE: file, ...(keepsNode ? { STAGE_KEEP: process.execPath } : {}) },
    });
    this.#exited = once(this.#child, "exit");
    this.#child.stderr?.on("data", (text) => {
      this.#error += text;
    });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) =>
      this.#hear(line),
    );
  }

  async start(actor: Actor, procs: string): Promise<void> {
    const { id, cgroup: _, ...traits } = actor;
    const words = Object.entries(traits)
      .filter(([, value]) => Number(value) !== 0)
      .map(([name, value]) => `${name}=${Number(value)}`);
    await this.#tell(`actor ${id} ${procs} ${words.join(" ")}`, `staged ${id}`);
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
      this.players.push({ actor: id, pid, kind, thread: Number(thread ?? pid) });
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

/** The cgroups of a scene, under one of their own. */
class SceneCgroups {
  /** As the exporter names it. */
  readonly scope: string;
  readonly #scene: Scene;
  readonly #files: (typeof hierarchies)["v1" | "v2"];
  readonly #version: "v1" | "v2";
  readonly #name: string;

  constructor(scene: Scene, { version }: Stage) {
    this.#scene = scene;
    this.#version = version;
    this.#files = hierarchies[version];
    this.#name = `/${runName()}-${process.pid}-${scene.seed}`;
    this.scope = scene.scope === "host" ? "host" : this.#path(scene.scope);
    for (const { path, group } of scene.cgroups) {
      mkdirSync(this.#directory(path));
      if (group) writeFileSync(join(this.#directory(path), "memory.oom.group"), "1");
      if (version === "v2" && scene.cgroups.some((other) => isChild(other.path, path))) {
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
    for (const { path, roomKb } of this.#scene.cgroups) {
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
    if (this.#scene.cgroups.length > 0) removeCgroup(this.#directory("/"));
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
  scene: Scene,
  cast: Cast,
  answer: VictimsAnswer,
  metricSaid: number | undefined,
  log: string,
): Outcome {
  const [first] = answer.victims;
  const killed = killLines(scene, cast, log)[0]?.pid;
  const died = playerOf(cast, killed)?.pid ?? killed;
  const saidTogether = first === undefined ? [] : [first.pid, ...first.diesWith].sort(byNumber);
  const event = firstEvent(scene, cast, log);
  const diedTogether = cast.dead.filter((pid) => event.has(pid)).sort(byNumber);
  return {
    scene,
    said: first?.pid,
    metricSaid,
    died,
    isHit: died !== undefined && died === first?.pid,
    hasOvertaken: scene.actors.some(
      ({ id, grows }) => grows && id === playerOf(cast, died)?.actor && died !== first?.pid,
    ),
    saidTogether,
    diedTogether,
    report: reportOf(scene, cast, answer, log),
  };
}

function playerOf({ players }: Cast, killed: number | undefined): Player | undefined {
  return players.find(({ pid, thread }) => pid === killed || thread === killed);
}

/** Kills that are the scene's; in a cgroup's scene others may happen on the machine meanwhile. */
function killLines(scene: Scene, cast: Cast, log: string): { pid: number; at: number }[] {
  return [...log.matchAll(/Killed process (\d+) /g)]
    .map((line) => ({ pid: Number(line[1]), at: line.index }))
    .filter(({ pid }) => scene.scope === "host" || playerOf(cast, pid) !== undefined);
}

/**
 * Whom the first kill took, of all that died before the growing one stopped: whoever has a line in
 * that event, and who shares their memory and has none.
 */
function firstEvent(scene: Scene, cast: Cast, log: string): Set<number> {
  const [first, ...later] = killLines(scene, cast, log);
  if (first === undefined) return new Set();
  const isGroup = /^[^\n]*\n[^\n]*due to memory\.oom\.group set/.test(log.slice(first.at));
  const named = new Set([first.pid]);
  if (isGroup) {
    const next = log.slice(first.at).search(/invoked oom-killer|oom-kill:/);
    const end = next < 0 ? log.length : first.at + next;
    for (const { pid, at } of later) if (at < end) named.add(pid);
  }
  const spaceOf = ({ actor, pid, kind }: Player) => (kind === "child" ? `${pid}` : actor);
  const spaces = [...named].flatMap((pid) => {
    const player = playerOf(cast, pid);
    return player === undefined ? [] : [spaceOf(player)];
  });
  return new Set(
    cast.players.filter((player) => spaces.includes(spaceOf(player))).map(({ pid }) => pid),
  );
}

const byNumber = (a: number, b: number) => a - b;

/** Candidates as answered, beside the kernel's own table of tasks where the log has it. */
function reportOf(scene: Scene, cast: Cast, answer: VictimsAnswer, log: string): string {
  const table = new Map<number, string>();
  const killAt = killLines(scene, cast, log)[0]?.at ?? 0;
  const dump = log.slice(0, killAt);
  for (const [, pid, rest] of dump.matchAll(/;\[ *(\d+)\] +(.*)/g))
    table.set(Number(pid), rest ?? "");
  const header = /pid {2}\] (.*)/.exec(dump)?.[1];
  const lines = answer.victims.slice(0, 8).map((victim) => {
    const player = cast.players.find(({ pid }) => pid === victim.pid);
    const actor = scene.actors.find(({ id }) => id === player?.actor);
    const pages = [victim.residentBytes, victim.pageTablesBytes, victim.swapBytes];
    const said = `rss,pt,swap ${pages.map((bytes) => bytes / 4096).join(",")} adj ${victim.scoreAdj}`;
    const role = `${victim.comm} ${player?.kind ?? "?"}${actor?.grows ? " grows" : ""}`;
    const truth = table.get(player?.thread ?? victim.pid) ?? "-";
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
