import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ownerOfCgroup } from "../../src/kills/owner.ts";
import { FlightRecorder } from "../../src/recorder/flight-recorder.ts";
import type { CgroupReading } from "../../src/sources/cgroup-reading.ts";
import type { ProcessReading } from "../../src/sources/process-table.ts";
import { debianTool } from "../../test/setup/debian-tools.ts";
import { exporter, quietLog, scratchDirectory } from "./contenders.ts";
import { type Size, withCrowd } from "./programs.ts";
import type { CostOptions, Line, Result } from "./result.ts";

const idleSeconds = 20;
const settleMs = 5000;
/** Each is taken 31 s after the one before, by a clock that is moved: all slots of the rings are in use. */
const looks = 60;

/** What single parts add: the journalctl that is a child of the exporter, and the flight recorder. */
export async function* parts(options: CostOptions): AsyncGenerator<Result> {
  yield await journal(options);
  yield {
    title: `The flight recorder: ${looks} looks, without reading anything`,
    lines: options.sizes.map(recorder),
  };
}

/** CPU and memory of the whole tree of processes, side by side. */
function journal({ exporter: command }: CostOptions): Promise<Result> {
  const flags = [`--kernel-log.file=${quietLog()}`];
  return withCrowd({ processes: 200, cgroups: 50 }, async (crowd) => {
    const root = await rootWithJournal();
    const contenders = [
      exporter({
        command,
        name: "no log of daemons",
        flags: [...flags, "--daemon-log.source=none"],
      }),
      ...(root === undefined
        ? []
        : [
            exporter({
              command,
              name: "the journal followed",
              flags: [...flags, "--daemon-log.source=journal", `--path.rootfs=${root}`],
            }),
          ]),
    ];
    const running = contenders.map((contender) => contender.start(crowd.directory));
    try {
      for (const one of running) await one.firstScrape();
      await wait(settleMs);
      const [before, startMs] = [running.map((one) => one.cpuMs()), performance.now()];
      await wait(idleSeconds * 1000);
      const seconds = (performance.now() - startMs) / 1000;
      const lines = running.map((one, at) => ({
        what: contenders[at]?.name,
        "CPU idle, ms/s": (one.cpuMs() - (before[at] as number)) / seconds,
        "anonymous, MiB": one.memory().anonMiB,
        "RSS, MiB": one.memory().rssMiB,
      }));
      return { title: `With and without journalctl as a child, over ${idleSeconds} s`, lines };
    } finally {
      for (const one of running) await one.stop();
    }
  });
}

/**
 * A root file system with earlyoom's program, so that its kills are looked for, and a journal with one entry.
 * `undefined` where no such journal can be made.
 */
async function rootWithJournal(): Promise<string | undefined> {
  const { path } = await debianTool("systemd-journal-remote", "lib/systemd/systemd-journal-remote");
  if (path === undefined) return undefined;
  const root = scratchDirectory();
  const machine = readFileSync("/etc/machine-id", "utf8").trim();
  const directory = join(root, "var/log/journal", machine);
  mkdirSync(directory, { recursive: true });
  mkdirSync(join(root, "usr/bin"), { recursive: true });
  writeFileSync(join(root, "usr/bin/earlyoom"), "");
  const entry = join(root, "entry.export");
  const fields = {
    __REALTIME_TIMESTAMP: `${Date.now()}000`,
    __MONOTONIC_TIMESTAMP: "1000000",
    _BOOT_ID: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim().replaceAll("-", ""),
    _MACHINE_ID: machine,
    _SYSTEMD_UNIT: "earlyoom.service",
    SYSLOG_IDENTIFIER: "earlyoom",
    MESSAGE: "sending SIGTERM when mem avail <= 10.00%",
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(entry, `${lines.join("")}\n`);
  await promisify(execFile)(path, ["-o", join(directory, "system.journal"), entry]);
  return root;
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function recorder({ processes, cgroups }: Size): Line {
  let nowMs = 0;
  const flight = new FlightRecorder({
    ownerOf: ownerOfCgroup,
    cgroupOf: () => undefined,
    useOf: () => undefined,
    readMeminfo: () => undefined,
    readProcesses: () => undefined,
    monotonicMs: () => nowMs,
  });
  const readings = Array.from({ length: cgroups }, (_, at) => cgroupReading(at));
  const list = Array.from({ length: processes }, (_, at) => processReading(at, cgroups));
  collectGarbage();
  const heapBefore = process.memoryUsage();
  const costsUs: number[] = [];
  for (let look = 0; look < looks; look++) {
    const pass = { readings: [...readings], filtered: 0, beyondLimit: 0, unreadable: 0 };
    const before = process.cpuUsage();
    flight.noteCgroups(pass);
    flight.noteProcesses({ processes: list, denied: 0 });
    flight.look();
    const { user, system } = process.cpuUsage(before);
    costsUs.push(user + system);
    nowMs += 31_000;
  }
  collectGarbage();
  const heapAfter = process.memoryUsage();
  // Still in use: it was not collected with the rest.
  flight.noteProcesses({ processes: [], denied: 0 });
  const bytes = (usage: NodeJS.MemoryUsage) => usage.heapUsed + usage.arrayBuffers;
  return {
    processes,
    cgroups,
    "CPU of a look, ms":
      costsUs.slice(looks / 2).reduce((sum, cost) => sum + cost, 0) / (looks / 2) / 1000,
    "memory, KiB": (bytes(heapAfter) - bytes(heapBefore)) / 1024,
  };
}

function cgroupReading(at: number): CgroupReading {
  const path = `/oom-exporter-bench/job-${at}.service`;
  const isLimited = at % 2 === 0;
  return {
    path,
    currentBytes: 2 ** 27 + at * 4096,
    fileBytes: 2 ** 20,
    shmemBytes: 0,
    inactiveFileBytes: 2 ** 19,
    effectiveMaxBytes: isLimited ? 2 ** 28 : Number.POSITIVE_INFINITY,
    limitingCgroup: isLimited ? path : undefined,
    events: {},
    pressure: {},
  };
}

function processReading(at: number, cgroups: number): ProcessReading {
  return {
    pid: 1000 + at,
    comm: "crowd",
    cgroup: `/oom-exporter-bench/job-${at % cgroups}.service`,
    score: 666,
    scoreAdj: 0,
    memory: { residentBytes: 2 ** 20 + at, swapBytes: 0, pageTablesBytes: 4096 },
    isAdmin: false,
    thread: 1000 + at,
  };
}
