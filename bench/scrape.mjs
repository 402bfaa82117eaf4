/*
 * What a scrape costs: wall time, processor time and memory, with a crowd of processes and cgroups.
 *
 *   npm run build && node bench/scrape.mjs [PROCESSESxCGROUPS ...]      (default 200x50 2000x500)
 *
 * Needs cc; root and a memory cgroup hierarchy for cgroups (200x0 needs neither). Prints one line of
 * JSON for each crowd. Slab is the whole machine's, so let nothing else run.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const scrapes = 30;
const port = 20137;
const url = `http://127.0.0.1:${port}`;
const scratch = mkdtempSync(join(tmpdir(), "oom-exporter-bench-"));
const main = fileURLToPath(new URL("../dist/oom-exporter.mjs", import.meta.url));

const field = (path, name) =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(path, "utf8"))?.[1]);

/** Processor time in ms; /proc/PID/stat counts in hundredths of a second. */
function cpuMs(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

async function scrape() {
  const startMs = performance.now();
  const response = await fetch(`${url}/metrics`);
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
  return { wallMs: performance.now() - startMs, text };
}

async function startExporter() {
  const startMs = performance.now();
  const flags = [
    `--web.listen-address=127.0.0.1:${port}`,
    "--kernel-log.source=none",
    `--state.directory=${join(scratch, "state")}`,
    "--log.level=warn",
    // Not what else is there, and not what other tests have left.
    "--collector.cgroups.include=^/oom-exporter-bench-",
  ];
  const exporter = spawn(process.execPath, [main, ...flags], { stdio: ["ignore", "ignore", 2] });
  for (;;) {
    if (exporter.exitCode !== null) throw new Error("the exporter ended");
    const answer = await fetch(`${url}/-/healthy`).catch(() => undefined);
    if (answer?.ok) return { exporter, startMs: performance.now() - startMs };
    await wait(5);
  }
}

async function measure(crowdProgram, processes, cgroups) {
  const crowd = spawn(crowdProgram, [`${processes}`, `${cgroups}`], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [first] = await Promise.race([once(crowd.stdout, "data"), once(crowd, "exit")]);
  if (!`${first}`.startsWith("ready")) throw new Error("the crowd did not stand up");
  try {
    const slabBefore = field("/proc/meminfo", "Slab");
    const { exporter, startMs } = await startExporter();
    const firstScrape = await scrape();
    const walls = [];
    let text = "";
    // A pass answers for as long again as it took: without a pause the same one would be measured.
    for (let i = 0; i < 5; i++) {
      await wait(300);
      await scrape();
    }
    const cpuBefore = cpuMs(exporter.pid);
    const sinceMs = performance.now();
    for (let i = 0; i < scrapes; i++) {
      await wait(300);
      const answer = await scrape();
      walls.push(answer.wallMs);
      text = answer.text;
    }
    const busyMs = cpuMs(exporter.pid) - cpuBefore;
    const tookMs = performance.now() - sinceMs;
    const idleFrom = cpuMs(exporter.pid);
    await wait(tookMs);
    const idleMs = cpuMs(exporter.pid) - idleFrom;
    const status = `/proc/${exporter.pid}/status`;
    const result = {
      processes,
      cgroups,
      startMs: Math.round(startMs),
      firstScrapeMs: Math.round(firstScrape.wallMs),
      scrapeP50Ms: Number(quantile(walls, 0.5).toFixed(1)),
      scrapeP95Ms: Number(quantile(walls, 0.95).toFixed(1)),
      cpuPerScrapeMs: Number(((busyMs - idleMs) / scrapes).toFixed(1)),
      idleCpuPercent: Number(((idleMs / tookMs) * 100).toFixed(1)),
      series: text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length,
      bytes: text.length,
      rssMiB: Math.round(field(status, "VmRSS") / 1024),
      rssAnonMiB: Math.round(field(status, "RssAnon") / 1024),
      descriptors: readdirSync(`/proc/${exporter.pid}/fd`).length,
      slabMiB: Number(((field("/proc/meminfo", "Slab") - slabBefore) / 1024).toFixed(1)),
    };
    exporter.kill("SIGTERM");
    await once(exporter, "exit");
    return result;
  } finally {
    crowd.stdin.end();
    await once(crowd, "exit");
  }
}

try {
  const source = fileURLToPath(new URL("crowd.c", import.meta.url));
  const program = join(scratch, "crowd");
  execFileSync("cc", ["-O2", "-o", program, source]);
  const crowds = process.argv.length > 2 ? process.argv.slice(2) : ["200x50", "2000x500"];
  for (const crowd of crowds) {
    const [processes, cgroups] = crowd.split("x").map(Number);
    console.log(JSON.stringify(await measure(program, processes, cgroups)));
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
