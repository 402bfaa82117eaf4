/*
 * Speed and memory of `explain` on a large log, beside `grep -c`.
 *
 *     npm run build && node bench/explain.mjs [MiB] [kills]        default 1024 1000
 *
 * Writes the log to a temporary directory (TMPDIR), reads it once so that it is in the page cache,
 * and prints the best of three runs of each program, wall clock with start-up included.
 */
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const mebibytes = Number(process.argv[2] ?? 1024);
const kills = Number(process.argv[3] ?? 1000);
const directory = mkdtempSync(join(tmpdir(), "bench-explain-"));

const main = fileURLToPath(new URL("../dist/oom-exporter.mjs", import.meta.url));
/** Loaded beside the program: says at its end how much memory it took. */
const sayPeak =
  'process.on("exit", () => process.stderr.write(String(process.resourceUsage().maxRSS * 1024)))';

function write(path, chunks) {
  const fd = openSync(path, "w");
  for (const chunk of chunks) writeSync(fd, chunk);
  closeSync(fd);
  return path;
}

function* log() {
  const report = gunzipSync(
    readFileSync(new URL("../test/fixtures/logs/global-swap.kern.log.gz", import.meta.url)),
  ).toString("latin1");
  const lines = Array.from(
    { length: 10_000 },
    (_, n) =>
      `Nov 20 13:${String(Math.floor(n / 60) % 60).padStart(2, "0")}:${String(n % 60).padStart(2, "0")} web1 kernel: [${String(n).padStart(5)}.${String((n * 7919) % 1e6).padStart(6, "0")}] IPv4: martian source 10.0.${n % 255}.7 from 10.1.2.${n % 251}, on dev eth${n % 4}\n`,
  );
  const noise = Buffer.from(lines.join(""));
  const share = Math.floor((mebibytes * 1024 * 1024) / kills);
  for (let n = 0; n < kills; n += 1) {
    const own = Buffer.from(report.replaceAll("208", String(10_000 + n)), "latin1");
    for (let left = share - own.length; left > 0; left -= noise.length) {
      yield left >= noise.length ? noise : noise.subarray(0, noise.lastIndexOf(10, left) + 1);
    }
    yield own;
  }
}

function* withoutNewline() {
  const chunk = Buffer.alloc(1024 * 1024, "x");
  for (let n = 0; n < mebibytes; n += 1) yield chunk;
}

function best(command, args) {
  let milliseconds = Number.POSITIVE_INFINITY;
  let result;
  for (let run = 0; run < 3; run += 1) {
    const start = performance.now();
    result = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 30 });
    milliseconds = Math.min(milliseconds, performance.now() - start);
  }
  return { milliseconds, result };
}

function print(name, milliseconds, more) {
  const speed = Math.round((mebibytes * 1.048576) / (milliseconds / 1000));
  console.log(
    `${name.padEnd(28)} ${milliseconds.toFixed(0).padStart(6)} ms ${String(speed).padStart(6)} MB/s  ${more}`,
  );
}

function explain(name, path) {
  const { milliseconds, result } = best(process.execPath, [
    "--import",
    `data:text/javascript,${encodeURIComponent(sayPeak)}`,
    main,
    "explain",
    "--json",
    path,
  ]);
  const told = result.stdout.split("\n").length - 1;
  print(
    name,
    milliseconds,
    `${told} kills, ${(Number(result.stderr) / 1e6).toFixed(0)} MB resident`,
  );
  return milliseconds;
}

try {
  const plain = write(join(directory, "kern.log"), log());
  const grep = best("grep", ["-c", "Killed process", plain]);
  print("grep -c 'Killed process'", grep.milliseconds, `${grep.result.stdout.trim()} lines`);
  const own = explain("explain --json", plain);
  console.log(`explain takes ${(own / grep.milliseconds).toFixed(1)} times as long as grep`);
  spawnSync("gzip", ["-1", plain]);
  explain("explain --json, gzip", `${plain}.gz`);
  explain("explain --json, no newline", write(join(directory, "endless.log"), withoutNewline()));
} finally {
  rmSync(directory, { recursive: true });
}
