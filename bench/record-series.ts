/**
 * Records what the exporter shows of real workloads on a real kernel, some of which run into a limit.
 *
 *   node bench/run.mjs record-series [MINUTES] [DIRECTORY] [cgroups|host]
 *
 * Needs root: makes memory cgroups of its own (removed at the end), runs in them the workloads of `workloads.ts`, and
 * the built exporter (dist/), and records every 15 s the samples that the rules read. One CSV per cgroup and one for
 * the host, in KiB; comment lines name the workload and the time of a kill. With `host` the whole machine runs out of
 * memory: use a virtual machine.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { makeMemoryCgroup, type TestCgroup } from "../test/setup/memory-cgroup.ts";
import { hostWorkloads, workloads as limitedWorkloads } from "./workloads.ts";

const minutes = Number(process.argv[3] ?? 97);
const output = process.argv[4] ?? "test/fixtures/series";
const spendsHost = process.argv[5] === "host";
const workloads = spendsHost ? hostWorkloads : limitedWorkloads;
const intervalMs = 15_000;
const restartMs = 5000;

const cgroupColumns = {
  current: "oom_cgroup_memory_current_bytes",
  file: "oom_cgroup_memory_file_bytes",
  shmem: "oom_cgroup_memory_shmem_bytes",
  anon: "oom_cgroup_memory_anon_bytes",
  working_set: "oom_cgroup_memory_working_set_bytes",
};
const hostColumns = {
  total: "oom_host_memory_total_bytes",
  available: "oom_host_memory_available_bytes",
  swap_total: "oom_host_swap_total_bytes",
  swap_free: "oom_host_swap_free_bytes",
};

interface Recording {
  name: string;
  cgroup?: TestCgroup;
  rows: string[];
  killedAtSeconds: number[];
  process?: ChildProcess;
}

const scratch = mkdtempSync(join(tmpdir(), "oom-exporter-record-"));
const shm = join("/dev/shm", basename(scratch));
const program = fileURLToPath(new URL("run-workload.js", import.meta.url));

const parent = makeMemoryCgroup();
// The exporter is run from a copy: a build meanwhile must not change what is recorded.
cpSync("dist", join(scratch, "dist"), { recursive: true });
mkdirSync(output, { recursive: true });
mkdirSync(shm);

const exporter = spawn(
  process.execPath,
  [
    join(scratch, "dist/oom-exporter.mjs"),
    "--web.listen-address=127.0.0.1:0",
    "--kernel-log.source=none",
    `--state.directory=${join(scratch, "state")}`,
    "--collector.processes.top=1",
    `--collector.cgroups.include=^${parent.path}/`,
  ],
  { stdio: ["ignore", "pipe", "inherit"] },
);
process.once("exit", () => exporter.kill());
const [startUpLine] = await exporter.stdout.take(1).toArray();
const address = /127\.0\.0\.1:\d+/.exec(`${startUpLine}`)?.[0];
if (address === undefined) throw new Error(`the exporter did not start: ${startUpLine}`);
if (spendsHost) {
  // The record must outlive what it is about.
  for (const pid of [process.pid, exporter.pid]) {
    writeFileSync(`/proc/${pid}/oom_score_adj`, "-1000");
  }
}

const beganMs = Date.now();
const secondsNow = (): number => (Date.now() - beganMs) / 1000;
const hierarchy = /cgroups: (\w+)/.exec(`${startUpLine}`)?.[1];
const head = `Linux ${release()}, cgroup ${hierarchy}, recorded ${new Date(beganMs).toISOString()}`;
let stopping = false;

const recordings = Object.entries(workloads).map(([name, { limitMiB }]): Recording => {
  mkdirSync(join(scratch, name));
  mkdirSync(join(shm, name));
  const cgroup = limitMiB === undefined ? undefined : parent.child(name, limitMiB << 20);
  return { name, cgroup, rows: [], killedAtSeconds: [] };
});
const hostRows: string[] = [];

function start(recording: Recording, seed: number): void {
  const { name, cgroup } = recording;
  const command = [
    process.execPath,
    "--expose-gc",
    ...(workloads[name]?.nodeFlags ?? []),
    ...[program, name, `${beganMs}`, `${seed}`, join(scratch, name), join(shm, name)],
  ].join(" ");
  const enter = cgroup === undefined ? "" : `echo $$ > ${cgroup.directory}/cgroup.procs && `;
  const child = spawn(
    "/bin/sh",
    ["-c", `echo 0 > /proc/self/oom_score_adj && ${enter}exec ${command}`],
    { stdio: "ignore", env: { ...process.env, MALLOC_MMAP_THRESHOLD_: "131072" } },
  );
  recording.process = child;
  child.once("exit", async (_code, signal) => {
    if (stopping || signal !== "SIGKILL") return;
    recording.killedAtSeconds.push(Math.round(secondsNow()));
    console.log(`${secondsNow().toFixed(0)} s: ${name} was killed`);
    if (!workloads[name]?.restarted) return;
    await wait(restartMs);
    if (!stopping) start(recording, seed + 1);
  });
}

/** Values of the exposition, by `name` or `name{cgroup}`, and kills as `oom_kill{cgroup}`. */
async function scrape(): Promise<Map<string, number>> {
  const text = await (
    await fetch(`http://${address}/metrics`, { signal: AbortSignal.timeout(10_000) })
  ).text();
  const values = new Map<string, number>();
  for (const [, name, labels = "", value] of text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)) {
    const cgroup = /cgroup="([^"]*)"/.exec(labels)?.[1];
    if (name === "oom_cgroup_memory_events_total") {
      if (labels.includes('event="oom_kill"')) values.set(`oom_kill{${cgroup}}`, Number(value));
    } else {
      values.set(cgroup === undefined ? `${name}` : `${name}{${cgroup}}`, Number(value));
    }
  }
  return values;
}

const kib = (bytes: number | undefined): string => (bytes === undefined ? "" : `${bytes / 1024}`);

function save(): void {
  for (const { name, cgroup, rows, killedAtSeconds } of recordings) {
    if (cgroup !== undefined) write(name, Object.keys(cgroupColumns), rows, killedAtSeconds);
  }
  const spent = recordings.filter(({ cgroup }) => cgroup === undefined);
  write(
    spent[0]?.name ?? "host",
    Object.keys(hostColumns),
    hostRows,
    spent.flatMap(({ killedAtSeconds }) => killedAtSeconds),
  );
}

function write(
  name: string,
  columns: readonly string[],
  rows: readonly string[],
  killedAtSeconds: readonly number[],
): void {
  const { what, limitMiB, runsOut } = workloads[name] ?? {
    what: "The host of the other recordings, with memory to spare.",
    runsOut: false,
  };
  const text = [
    `# ${what}`,
    `# ${head}; columns in KiB`,
    ...(limitMiB === undefined ? [] : [`# limit: ${limitMiB} MiB`]),
    `# runs out: ${runsOut ? "yes" : "no"}`,
    `# killed at seconds: ${killedAtSeconds.join(" ") || "never"}`,
    ["seconds", ...columns, ...(limitMiB === undefined ? [] : ["oom_kill"])].join(),
    ...rows,
  ];
  writeFileSync(join(output, `${name}.csv`), `${text.join("\n")}\n`);
}

async function sample(): Promise<void> {
  const seconds = secondsNow().toFixed(0);
  const values = await scrape();
  for (const { cgroup, rows } of recordings) {
    if (cgroup === undefined) continue;
    const cells = Object.values(cgroupColumns).map((metric) =>
      kib(values.get(`${metric}{${cgroup.path}}`)),
    );
    rows.push([seconds, ...cells, values.get(`oom_kill{${cgroup.path}}`)].join());
  }
  hostRows.push(
    [seconds, ...Object.values(hostColumns).map((metric) => kib(values.get(metric)))].join(),
  );
  save();
}

async function ended(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await exit;
}

process.once("SIGTERM", () => {
  stopping = true;
});
recordings.forEach((recording, index) => {
  start(recording, 1000 * (index + 1));
  for (const minute of workloads[recording.name]?.replacedAtMinutes ?? []) {
    setTimeout(
      async () => {
        await ended(recording.process);
        if (!stopping) start(recording, 1000 * (index + 1) + minute);
      },
      beganMs + minute * 60_000 - Date.now(),
    ).unref();
  }
});
try {
  for (let tick = 1; !stopping && tick * intervalMs <= minutes * 60_000; tick++) {
    await wait(beganMs + tick * intervalMs - Date.now());
    // A host that swaps may keep the exporter waiting: that scrape is then missing, as in Prometheus.
    await sample().catch((error) => console.log(`${secondsNow().toFixed(0)} s: ${error}`));
  }
} finally {
  stopping = true;
  await Promise.all(recordings.map(({ process: child }) => ended(child)));
  await ended(exporter);
  rmSync(shm, { recursive: true });
  rmSync(scratch, { recursive: true });
  parent.remove();
}
