import { appendFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { exporter, scratchDirectory } from "./contenders.ts";
import { betweenPassesMs, cgroupsReplacedPerScrape } from "./memory.ts";
import { withCrowd } from "./programs.ts";
import type { CostOptions, Line, Result } from "./result.ts";

const size = { processes: 2000, cgroups: 500 };
const scrapesPerKill = 20;
const scrapesPerRotation = 200;
const looks = 40;

/**
 * Many scrapes while everything changes: cgroups and processes come and go, kills are logged, the log is rotated.
 * Memory, descriptors and series have to stay flat, and every kill that was logged has to be counted. What it finds is
 * also printed as it goes, one line of JSON at each look.
 */
export function soak({ exporter: command, soakScrapes }: CostOptions): Promise<Result> {
  return withCrowd(size, async (crowd) => {
    const log = join(scratchDirectory(), "kern.log");
    writeFileSync(log, "");
    const running = exporter({ command, flags: [`--kernel-log.file=${log}`] }).start(
      crowd.directory,
    );
    const report = gunzipSync(readFileSync("test/fixtures/logs/global-swap.kern.log.gz")).toString(
      "latin1",
    );
    try {
      await running.firstScrape();
      const lines: Line[] = [];
      const startMs = performance.now();
      let kills = 0;
      for (let scrape = 1; scrape <= soakScrapes; scrape++) {
        await crowd.replace(cgroupsReplacedPerScrape);
        if (scrape % scrapesPerKill === 0) {
          kills++;
          appendFileSync(log, report.replaceAll("208", String(10_000 + kills)));
        }
        if (scrape % scrapesPerRotation === 0) {
          // What was appended last is to be read from the file that it stands in.
          await wait(500);
          renameSync(log, `${log}.1`);
          writeFileSync(log, "");
        }
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
            "kills logged": kills,
            counted: Number(/^oom_kills_total\{constraint="none"\} (\d+)/m.exec(text)?.[1] ?? 0),
          };
          lines.push(line);
          console.error(JSON.stringify(line));
        }
        await wait(betweenPassesMs(wallMs));
      }
      return {
        title: `${soakScrapes} scrapes of ${size.processes} processes and ${size.cgroups} cgroups, of which ${cgroupsReplacedPerScrape} and their processes are replaced before each; a kill logged each ${scrapesPerKill}, the log rotated each ${scrapesPerRotation}`,
        lines,
      };
    } finally {
      await running.stop();
    }
  });
}
