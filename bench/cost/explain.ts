import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { scratchDirectory } from "./contenders.ts";
import { childrenCpuMs, statusKiB } from "./measured-process.ts";
import type { CostOptions, Result } from "./result.ts";

const kills = 1000;
const runs = 3;

/**
 * `explain` on a large log beside `grep -c`, start-up included, the log in the page cache; the best of
 * three. A log without kills is nothing but the scan; of one without a newline little may be kept.
 */
export async function explain({ exporter, explainMiB }: CostOptions): Promise<Result> {
  const directory = scratchDirectory();
  const [program = "", ...args] = exporter;
  const ours = (path: string) => timed(program, [...args, "explain", "--json", path], explainMiB);
  const grep = (path: string) => timed("grep", ["-c", "Killed process", path], explainMiB);
  const lines = [];
  try {
    const plain = write(join(directory, "kern.log"), log(explainMiB, kills));
    lines.push({ what: `grep -c, ${kills} kills`, ...(await grep(plain)) });
    lines.push({ what: `explain --json, ${kills} kills`, ...(await ours(plain)) });
    spawnSync("gzip", ["-1", plain]);
    lines.push({ what: "explain --json, the same as .gz", ...(await ours(`${plain}.gz`)) });
    rmSync(`${plain}.gz`);
    const quiet = write(join(directory, "quiet.log"), log(explainMiB, 0));
    lines.push({ what: "grep -c, no kill", ...(await grep(quiet)) });
    lines.push({ what: "explain --json, no kill", ...(await ours(quiet)) });
    rmSync(quiet);
    const endless = write(join(directory, "endless.log"), withoutNewline(explainMiB));
    lines.push({ what: "explain --json, no newline", ...(await ours(endless)) });
  } finally {
    rmSync(directory, { recursive: true });
  }
  return { title: `A log of ${explainMiB} MiB in the page cache, the best of ${runs} runs`, lines };
}

function write(path: string, chunks: Iterable<Buffer>): string {
  const fd = openSync(path, "w");
  for (const chunk of chunks) writeSync(fd, chunk);
  closeSync(fd);
  return path;
}

function* log(mebibytes: number, reports: number): Generator<Buffer> {
  const report = gunzipSync(readFileSync("test/fixtures/logs/global-swap.kern.log.gz")).toString(
    "latin1",
  );
  const noise = Buffer.from(Array.from({ length: 10_000 }, (_, n) => martian(n)).join(""));
  const parts = Math.max(1, reports);
  const share = Math.floor((mebibytes * 1024 * 1024) / parts);
  for (let n = 0; n < parts; n++) {
    const own = Buffer.from(
      reports === 0 ? "" : report.replaceAll("208", String(10_000 + n)),
      "latin1",
    );
    for (let left = share - own.length; left > 0; left -= noise.length) {
      yield left >= noise.length ? noise : noise.subarray(0, noise.lastIndexOf(10, left) + 1);
    }
    yield own;
  }
}

function martian(n: number): string {
  const clock = `13:${String(Math.floor(n / 60) % 60).padStart(2, "0")}:${String(n % 60).padStart(2, "0")}`;
  const stamp = `${String(n).padStart(5)}.${String((n * 7919) % 1e6).padStart(6, "0")}`;
  return `Nov 20 ${clock} web1 kernel: [${stamp}] IPv4: martian source 10.0.${n % 255}.7 from 10.1.2.${n % 251}, on dev eth${n % 4}\n`;
}

function* withoutNewline(mebibytes: number): Generator<Buffer> {
  const chunk = Buffer.alloc(1024 * 1024, "x");
  for (let n = 0; n < mebibytes; n++) yield chunk;
}

interface Run {
  wallMs: number;
  cpuMs: number;
  peakMiB: number;
  stdout: string;
}

async function timed(command: string, args: readonly string[], mebibytes: number) {
  const results: Run[] = [];
  for (let left = runs; left > 0; left--) results.push(await run(command, args));
  const best = (figure: (run: Run) => number) => Math.min(...results.map(figure));
  const stdout = results[0]?.stdout ?? "";
  const wallMs = best((run) => run.wallMs);
  return {
    "wall, ms": wallMs,
    "MB/s": (mebibytes * 1.048576) / (wallMs / 1000),
    "CPU, ms": best((run) => run.cpuMs),
    "peak RSS, MiB": best((run) => run.peakMiB),
    found: command === "grep" ? stdout.trim() : `${stdout.split("\n").length - 1}`,
  };
}

async function run(command: string, args: readonly string[]): Promise<Run> {
  const [cpuBefore, startMs] = [childrenCpuMs(), performance.now()];
  const child = spawn(command, [...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, LC_ALL: "C" },
  });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (chunk) => {
    stdout += chunk;
  });
  let peakMiB = 0;
  const look = setInterval(() => {
    peakMiB = Math.max(peakMiB, statusKiB(child.pid as number, "VmHWM") / 1024);
  }, 20);
  await once(child, "close");
  clearInterval(look);
  return {
    wallMs: performance.now() - startMs,
    cpuMs: childrenCpuMs() - cpuBefore,
    peakMiB,
    stdout,
  };
}
