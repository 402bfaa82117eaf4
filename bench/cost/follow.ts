import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fstatSync, openSync, readSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { type Contender, exporter, mtail, scratchDirectory } from "./contenders.ts";
import { type CostOptions, quantile, type Result } from "./result.ts";

const linesPerSecond = 50_000;
/** What is written among the lines: a kill as Linux prints it since 5.0, and as before. */
const logs = [
  { what: "no kill", killsPerSecond: 0 },
  { what: "10 kills a second with their constraint lines", killsPerSecond: 10, constraint: true },
  { what: "10 kills a second, the kill line alone", killsPerSecond: 10 },
] as const;
type Log = (typeof logs)[number];
const seconds = 12;

/** A busy log: what following it costs, and how long it takes until a kill is saved and shown. */
export async function follow(options: CostOptions): Promise<Result> {
  const lines = [];
  for (const log of logs) {
    lines.push(await measure(log, "oom-exporter", (path, state) => ours(options, path, state)));
  }
  const peer = await mtail("");
  if (peer !== undefined) {
    lines.push(await measure(logs[1], peer.name, async (path) => (await mtail(path)) as Contender));
  }
  return {
    title: `Following ${linesPerSecond} lines a second for ${seconds} s; latency from before the write of the line to the kill saved`,
    lines,
  };
}

async function ours(
  { exporter: command }: CostOptions,
  log: string,
  stateDirectory: string,
): Promise<Contender> {
  return exporter({ command, flags: [`--kernel-log.file=${log}`], stateDirectory });
}

async function measure(
  { what, killsPerSecond, ...form }: Log,
  name: string,
  contender: (log: string, state: string) => Promise<Contender>,
) {
  const log = join(scratchDirectory(), "kern.log");
  writeFileSync(log, "");
  const state = scratchDirectory();
  const journal = join(state, "journal.ndjson");
  writeFileSync(journal, "");
  const running = (await contender(log, state)).start("");
  try {
    await running.firstScrape();
    await wait(3000);
    const seen = new SavedKills(journal);
    const flood = spawn(
      process.execPath,
      [
        "bench/flood.mjs",
        ...[log, `${linesPerSecond}`, `${seconds}`, `${killsPerSecond}`],
        ...("constraint" in form ? ["constraint"] : []),
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    let written = "";
    flood.stdout.on("data", (chunk) => {
      written += chunk;
    });
    const ended = once(flood, "exit");
    await wait(1500);
    const [before, sinceMs] = [running.cpuMs(), performance.now()];
    await wait((seconds - 3) * 1000);
    const share = (running.cpuMs() - before) / (performance.now() - sinceMs);
    await ended;
    await wait(1000);
    const latencies = seen.close();
    const kills = Math.ceil((Number(written) * killsPerSecond) / linesPerSecond);
    return {
      what: `${name}: ${what}`,
      "CPU, % of a core": share * 100,
      "p50, ms": latencies.length === 0 ? undefined : quantile(latencies, 0.5),
      "p99, ms": latencies.length === 0 ? undefined : quantile(latencies, 0.99),
      "kills seen": latencies.length === 0 ? undefined : `${latencies.length} of ${kills}`,
    };
  } finally {
    await running.stop();
  }
}

/** Sees kills as the exporter saves them, which it does before it shows them. */
class SavedKills {
  readonly #fd: number;
  readonly #watcher;
  readonly #latenciesMs = new Map<string, number>();
  #position: number;

  constructor(journal: string) {
    this.#fd = openSync(journal, "r");
    this.#position = fstatSync(this.#fd).size;
    this.#watcher = watch(journal, () => this.#read());
  }

  /** How long each kill took, milliseconds. */
  close(): number[] {
    this.#read();
    this.#watcher.close();
    closeSync(this.#fd);
    return [...this.#latenciesMs.values()];
  }

  #read(): void {
    const now = process.hrtime.bigint();
    const bytes = Buffer.alloc(Math.max(0, fstatSync(this.#fd).size - this.#position));
    this.#position += readSync(this.#fd, bytes, 0, bytes.length, this.#position);
    for (const [, written = ""] of bytes.toString("latin1").matchAll(/"t(\d{10,})"/g)) {
      if (!this.#latenciesMs.has(written)) {
        this.#latenciesMs.set(written, Number(now - BigInt(written)) / 1e6);
      }
    }
  }
}
