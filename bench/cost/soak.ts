import { appendFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { makeMemoryCgroup, memoryCgroupObstacle } from "../../test/setup/memory-cgroup.ts";
import { GreedyProgram } from "../../test/setup/victim.ts";
import { exporter, scratchDirectory } from "./contenders.ts";
import { betweenPassesMs, cgroupsReplacedPerScrape } from "./memory.ts";
import { withCrowd } from "./programs.ts";
import type { CostOptions, Line, Result } from "./result.ts";

const scrapesPerKill = 20;
const scrapesPerRotation = 200;
const looks = 40;
const victimLimitBytes = 8 * 1024 * 1024;

/** Where the kills of a soak come from. */
interface KillMaker {
  /** How the exporter is to follow them. */
  flag: string;
  /** For the title. */
  what: string;
  kill(): Promise<void>;
  rotate?(): Promise<void>;
  /** What there was to count, and what `metrics` say of it. */
  counts(metrics: string): Line;
}

/**
 * Many scrapes while everything changes: cgroups and processes come and go, processes are killed, the log is rotated.
 * Memory, descriptors and series have to stay flat, and every kill has to be counted. What it finds is also printed as it
 * goes, one line of JSON at each look.
 */
export function soak(options: CostOptions): Promise<Result> {
  const { exporter: command, soakScrapes, soakSize: size, realKills } = options;
  return withCrowd(size, async (crowd) => {
    const kills = realKills ? realKillMaker() : loggedKillMaker();
    const running = exporter({ command, flags: [kills.flag] }).start(crowd.directory);
    try {
      await running.firstScrape();
      const lines: Line[] = [];
      const startMs = performance.now();
      for (let scrape = 1; scrape <= soakScrapes; scrape++) {
        await crowd.replace(cgroupsReplacedPerScrape);
        if (scrape % scrapesPerKill === 0) await kills.kill();
        if (scrape % scrapesPerRotation === 0) await kills.rotate?.();
        const { text, wallMs } = await running.scrape();
        if (scrape === soakScrapes || scrape % Math.ceil(soakScrapes / looks) === 0) {
          const { anonMiB, rssMiB } = running.memory();
          const line = {
            scrapes: scrape,
            minutes: (performance.now() - startMs) / 60_000,
            "anonymous, MiB": anonMiB,
            "RSS, MiB": rssMiB,
            descriptors: running.openDescriptors(),
            series: text.match(/^[^#\s]/gm)?.length ?? 0,
            ...kills.counts(text),
          };
          lines.push(line);
          console.error(JSON.stringify(line));
        }
        await wait(betweenPassesMs(wallMs));
      }
      return {
        title: `${soakScrapes} scrapes of ${size.processes} processes and ${size.cgroups} cgroups, of which ${cgroupsReplacedPerScrape} and their processes are replaced before each; ${kills.what}`,
        lines,
      };
    } finally {
      await running.stop();
    }
  });
}

/** Writes reports of kills into a log file, and rotates it. */
function loggedKillMaker(): KillMaker {
  const log = join(scratchDirectory(), "kern.log");
  writeFileSync(log, "");
  const report = gunzipSync(readFileSync("test/fixtures/logs/global-swap.kern.log.gz")).toString(
    "latin1",
  );
  let logged = 0;
  return {
    flag: `--kernel-log.file=${log}`,
    what: `a kill logged each ${scrapesPerKill}, the log rotated each ${scrapesPerRotation}`,
    async kill() {
      logged++;
      appendFileSync(log, report.replaceAll("208", String(10_000 + logged)));
    },
    async rotate() {
      // What was appended last is to be read from the file that it stands in.
      await wait(500);
      renameSync(log, `${log}.1`);
      writeFileSync(log, "");
    },
    counts: (metrics) => ({
      "kills logged": logged,
      counted: sumOf(metrics, /^oom_kills_total\{constraint="none"\} (\d+)/gm),
    }),
  };
}

/** Has the kernel kill a process in a new memory cgroup each time; the exporter follows the ring buffer. */
function realKillMaker(): KillMaker {
  const obstacle = memoryCgroupObstacle();
  if (obstacle !== undefined) throw new Error(`--real-kills: ${obstacle}`);
  const greedy = new GreedyProgram(scratchDirectory());
  let dead = 0;
  let killedByKernel = 0;
  return {
    flag: "--kernel-log.source=kmsg",
    what: `the kernel kills a process in a new memory cgroup each ${scrapesPerKill}`,
    async kill() {
      const cgroup = makeMemoryCgroup(victimLimitBytes);
      try {
        const { signal } = await greedy.runIn(cgroup);
        if (signal === "SIGKILL") dead++;
        killedByKernel += kernelKillsIn(cgroup.directory);
      } finally {
        cgroup.remove();
      }
      // The exporter reads the ring buffer when it is woken, which a busy machine does late.
      await wait(500);
    },
    counts: (metrics) => ({
      dead,
      "killed, by the kernel's count": killedByKernel,
      counted: sumOf(
        metrics,
        new RegExp(`^oom_command_kills_total\\{comm="${greedy.comm}"\\} (\\d+)`, "gm"),
      ),
    }),
  };
}

/** `oom_kill` of a cgroup: in `memory.events` on v2, in `memory.oom_control` on v1. */
function kernelKillsIn(directory: string): number {
  for (const name of ["memory.events", "memory.oom_control"]) {
    try {
      return sumOf(readFileSync(join(directory, name), "utf8"), /^oom_kill (\d+)/gm);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  throw new Error(`${directory} has no count of kills`);
}

function sumOf(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].reduce((sum, [, count]) => sum + Number(count), 0);
}
