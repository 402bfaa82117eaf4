/**
 * What following a busy log costs, and how soon a kill is known.
 *
 *   node bench/run.mjs live-log
 *
 * Another process writes; this one follows and looks for kills. CPU is this process's, user and
 * system, as a share of one core; latency is from before the write of the line to its report.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Tail } from "tail";
import { KillScanner } from "../src/kernel-log/kill-scanner.ts";
import { utcZone } from "../src/kernel-log/local-time.ts";
import { LogFile } from "../src/log-sources/log-file.ts";

const floodScript = "bench/flood.mjs";

/** Begins to follow and calls `killed` with the comm of every victim; returns how to stop. */
type Follow = (path: string, killed: (comm: string) => void) => () => void;

const ours: Follow = (path, killed) => {
  const clock = { nowMs: Date.now, zone: utcZone };
  const scanner = new KillScanner({ clock, losses: true }, (event) => {
    if (event.kind === "kill") killed(event.report.comm);
  });
  const log = new LogFile({
    path,
    from: "start",
    now: () => performance.now(),
    listener: {
      bytes: (chunk) => scanner.push(chunk),
      endOfFile: () => scanner.endOfInput(),
      caughtUp: () => {},
      stateChanged: () => {},
      rotated: () => {},
      lost: () => {},
    },
  });
  log.start();
  const beat = setInterval(() => log.beat(), 250);
  return () => {
    clearInterval(beat);
    log.stop();
  };
};

const plainTail: Follow = (path, killed) => {
  const tail = new Tail(path);
  tail.on("error", () => {});
  tail.on("line", (line: string) => {
    const comm = /Killed process \d+ \((\S+)\)/.exec(line)?.[1];
    if (comm !== undefined) killed(comm);
  });
  return () => tail.unwatch();
};

async function measure(name: string, follow: Follow, rate: number, seconds: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "live-log-"));
  const path = join(directory, "kern.log");
  writeFileSync(path, "");
  const latenciesMs: number[] = [];
  const stop = follow(path, (comm) => {
    latenciesMs.push(Number(process.hrtime.bigint() - BigInt(comm.slice(1))) / 1e6);
  });
  const writer = spawn(process.execPath, [floodScript, path, String(rate), String(seconds)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let written = "";
  writer.stdout.on("data", (chunk) => {
    written += chunk;
  });
  await wait(1000);
  const [cpu, started] = [process.cpuUsage(), performance.now()];
  await wait((seconds - 2) * 1000);
  const used = process.cpuUsage(cpu);
  const share = (used.user + used.system) / 1000 / (performance.now() - started);
  await once(writer, "close");
  await wait(300);
  stop();
  rmSync(directory, { recursive: true });
  latenciesMs.sort((a, b) => a - b);
  const at = (quantile: number) =>
    (latenciesMs[Math.floor(quantile * (latenciesMs.length - 1))] ?? Number.NaN).toFixed(1);
  const kills = Math.ceil(Number(written) / Math.max(1, Math.round(rate / 100)));
  console.log(
    `${name.padEnd(16)} ${String(rate).padStart(6)} lines/s: ${(100 * share).toFixed(1).padStart(5)} % of a core, ` +
      `latency p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms, ${latenciesMs.length} of ${kills} kills`,
  );
}

await measure("oom-exporter", ours, 50_000, 10);
await measure("plain tail", plainTail, 50_000, 10);
await measure("oom-exporter", ours, 5_000, 8);
await measure("plain tail", plainTail, 5_000, 8);
await measure("oom-exporter", ours, 10, 10);
await measure("plain tail", plainTail, 10, 10);
