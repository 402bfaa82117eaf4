/** A started program and what it costs: processor time of its whole tree, memory, scrapes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

/** `/proc/PID/stat` counts in hundredths of a second (USER_HZ). */
const tickMs = 10;
/** A program that has not answered by then never does. */
const patienceMs = 60_000;

/** One answered scrape. */
export interface Scrape {
  wallMs: number;
  text: string;
}

export interface Memory {
  rssMiB: number;
  anonMiB: number;
}

export interface Start {
  command: readonly string[];
  /** Where it answers scrapes; a program without one takes a line on its standard input instead. */
  url?: string;
  env?: NodeJS.ProcessEnv;
}

const running = new Set<ChildProcess>();
// Whatever ends the bench ends what it has started.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => process.exit(1));
}
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** A running program that the bench started and ends. */
export class MeasuredProcess {
  readonly #child: ChildProcess;
  readonly #url: string | undefined;
  readonly #startedMs = performance.now();
  readonly #ended: Promise<unknown>;
  #errors = "";

  constructor({ command, url, env }: Start) {
    const [program = "", ...args] = command;
    this.#url = url;
    this.#child = spawn(program, args, { env: { ...process.env, ...env }, stdio: "pipe" });
    this.#ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.on("error", (error) => {
      this.#errors += error.message;
    });
    this.#child.stderr?.on("data", (chunk) => {
      this.#errors = (this.#errors + chunk).slice(-2000);
    });
    if (url !== undefined) this.#child.stdout?.resume();
    running.add(this.#child);
    this.#child.once("exit", () => running.delete(this.#child));
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Resolves with the first scrape and the time since the start. @throws where it ends or does not answer */
  async firstScrape(): Promise<Scrape & { sinceStartMs: number }> {
    const scrape = await this.#untilItWorks(() => this.scrape());
    return { ...scrape, sinceStartMs: performance.now() - this.#startedMs };
  }

  /** Resolves once it answers at a path, without a scrape. */
  async ready(path: string): Promise<void> {
    await this.#untilItWorks(() => this.get(path));
  }

  /** What it answers at a path. */
  get(path: string): Promise<string> {
    return get(String(new URL(path, this.#url)));
  }

  async scrape(): Promise<Scrape> {
    const startMs = performance.now();
    const text = await (this.#url === undefined ? this.#pass() : get(this.#url));
    return { wallMs: performance.now() - startMs, text };
  }

  /** User and system time of the process, its threads and its children, in milliseconds since the start. */
  cpuMs(): number {
    return treeOf(this.pid).reduce((sum, pid) => sum + cpuMsOf(pid), 0);
  }

  /** Of the whole tree. */
  memory(): Memory {
    const of = (name: string) =>
      treeOf(this.pid).reduce((sum, pid) => sum + statusKiB(pid, name), 0) / 1024;
    return { rssMiB: of("VmRSS"), anonMiB: of("RssAnon") };
  }

  openDescriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGTERM");
    await Promise.race([this.#ended, wait(10_000, undefined, { ref: false })]);
    // Nothing happens to one that has ended.
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async #untilItWorks<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    for (;;) {
      const answer = await ask().catch(() => undefined);
      if (answer !== undefined) return answer;
      const hasEnded = this.#child.exitCode !== null || this.#child.pid === undefined;
      if (hasEnded || performance.now() - this.#startedMs > patienceMs) {
        throw new Error(`no answer from ${this.#child.spawnargs.join(" ")}: ${this.#errors}`);
      }
      await wait(2);
    }
  }

  async #pass(): Promise<string> {
    const { stdin, stdout } = this.#child;
    if (stdin === null || stdout === null) throw new Error("no pipes");
    const answer = once(stdout, "data");
    stdin.write("\n");
    await Promise.race([answer, this.#ended]);
    if (this.#child.exitCode !== null) throw new Error(`ended: ${this.#errors}`);
    return String(await answer);
  }
}

async function get(url: string): Promise<string> {
  const response = await fetch(url);
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
  return text;
}

function treeOf(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number);
  return [pid, ...children.flatMap(treeOf)];
}

/**
 * `stat` holds all threads, those that have ended too, in ticks that are cut off; `schedstat` of the
 * threads that live is in nanoseconds. Neither is more than was spent: the larger one is closer.
 */
function cpuMsOf(pid: number): number {
  const stat = read(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [user, system, userOfChildren, systemOfChildren] = fields.slice(11, 15).map(Number);
  const ticks = (user ?? 0) + (system ?? 0);
  const nanoseconds = threadsOf(pid).reduce(
    (sum, thread) => sum + Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(" ")[0]),
    0,
  );
  const ofChildren = ((userOfChildren ?? 0) + (systemOfChildren ?? 0)) * tickMs;
  return Math.max(ticks * tickMs, nanoseconds / 1e6) + ofChildren;
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Processor time of the bench's own children that have ended and been waited for. */
export function childrenCpuMs(): number {
  const stat = read("/proc/self/stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[13]) + Number(fields[14])) * tickMs;
}

/** A field of `/proc/PID/status` in KiB, 0 where the process has ended. */
export function statusKiB(pid: number, name: string): number {
  const value = new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(read(`/proc/${pid}/status`))?.[1];
  return Number(value ?? 0);
}

/** Empty where the process or thread has just ended. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
