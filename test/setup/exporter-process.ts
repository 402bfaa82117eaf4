import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Kill } from "../../src/kills/kill.ts";

/** The built program. */
export const main = resolve("dist/oom-exporter.mjs");

/** The built exporter, running. */
export interface ExporterProcess {
  readonly url: string;
  readonly pid: number;
  /** The line it printed when it began to serve. */
  readonly startUpLine: string;
  /** What it logged so far. */
  log(): string;
  metrics(query?: string): Promise<string>;
  kills(): Promise<Kill[]>;
  /** Sends the signal and resolves with the exit code, `null` if the signal ended it. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Another program than the one that was built, such as one of the packages. */
export interface ExporterCommand {
  command?: readonly string[];
  env?: NodeJS.ProcessEnv;
}

/**
 * Starts the built exporter on a free loopback port and waits until it serves. Where `flags` name no
 * state directory it gets one of its own: as root it would take the machine's.
 */
export async function startExporter(
  flags: readonly string[] = [],
  { command = [process.execPath, main], env = process.env }: ExporterCommand = {},
): Promise<ExporterProcess> {
  const state = temporaryDirectory();
  const [program = "", ...words] = command;
  const child = spawn(program, [...words, "--web.listen-address=127.0.0.1:0", ...flags], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...env, STATE_DIRECTORY: state.path },
  });
  child.once("exit", () => state.remove());
  child.once("error", () => state.remove());
  let log = "";
  child.stderr.on("data", (chunk) => {
    log += chunk;
  });
  const startUpLine = await firstLine(child, () => log);
  const url = /https?:\/\/127\.0\.0\.1:\d+/.exec(startUpLine)?.[0] ?? "";
  const get = async (path: string) => (await fetch(`${url}${path}`)).text();
  return {
    url,
    pid: child.pid as number,
    startUpLine,
    log: () => log,
    metrics: (query = "") => get(`/metrics${query}`),
    kills: async () => JSON.parse(await get("/api/v1/kills?limit=1000")).kills,
    async end(signal = "SIGTERM") {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      child.kill(signal);
      const [code] = await once(child, "exit");
      return code;
    },
  };
}

/** A state directory of the test's own. */
export function temporaryDirectory(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "oom-exporter-test-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** The value of one series, e.g. `oom_kills_total{constraint="memcg"}`; `undefined` if it is missing. */
export function sampleOf(exposition: string, series: string): number | undefined {
  const line = exposition.split("\n").find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

/** How long a test waits for what must come: no demand, it only ends a test that would wait for ever. */
export const patienceMs = 60_000;

/**
 * Asks again and again until there is an answer; rejects with `what` when none comes. An empty text
 * and 0 are none: a file that is not written yet, a series that is not there.
 */
export async function eventually<Answer>(
  what: string,
  ask: () => Promise<Answer | undefined | false>,
  withinMs = patienceMs,
): Promise<Answer> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function firstLine(child: ChildProcess, log: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout?.on("data", (chunk) => {
      text += chunk;
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`the exporter ended: ${log()}`)));
  });
}
