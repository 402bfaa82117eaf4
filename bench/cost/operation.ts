import { setTimeout as wait } from "node:timers/promises";
import {
  type Contender,
  exporter,
  mtail,
  nodeExporter,
  processExporter,
  quietLog,
} from "./contenders.ts";
import { withCrowd } from "./programs.ts";
import type { CostOptions, Result } from "./result.ts";
import { betweenMs } from "./scrape.ts";

const idleSeconds = 30;
/** V8 gives back the memory of the start some 20 s after it, once: three collections. */
const settleMs = 25_000;
const scrapeEverySeconds = 15;

/** As it runs on a host: nobody asks, then Prometheus does every 15 s. All run side by side. */
export async function operation(options: CostOptions): Promise<Result> {
  const command = options.exporter;
  const log = quietLog();
  const kmsg = ["--kernel-log.source=kmsg"];
  const contenders = [
    exporter({ command, name: "oom-exporter, /dev/kmsg", flags: kmsg }),
    exporter({ command, name: "oom-exporter, a file", flags: [`--kernel-log.file=${log}`] }),
    await nodeExporter(),
    await processExporter(),
    await mtail(log),
  ].filter((contender): contender is Contender => contender !== undefined);

  return withCrowd({ processes: 200, cgroups: 50 }, async (crowd) => {
    const running = contenders.map((contender) => contender.start(crowd.directory));
    const cpuMs = () => running.map((one) => one.cpuMs());
    try {
      for (const one of running) await one.firstScrape();
      // What is compiled, read or trusted only after a while.
      for (let round = 0; round < options.warmUp; round++) {
        for (const one of running) await one.scrape();
        await wait(betweenMs);
      }
      await wait(settleMs);
      const [before, beforeMs] = [cpuMs(), performance.now()];
      await wait(idleSeconds * 1000);
      const [after, idleMs] = [cpuMs(), performance.now() - beforeMs];

      const minuteBefore = cpuMs();
      const startMs = performance.now();
      for (let scrape = 0; scrape < 60 / scrapeEverySeconds; scrape++) {
        for (const [at, one] of running.entries()) {
          // One after the other, so that nobody's scrape runs beside another's.
          const dueSeconds = scrape * scrapeEverySeconds + 1 + at * 2;
          await wait(Math.max(0, startMs + dueSeconds * 1000 - performance.now()));
          await one.scrape();
        }
      }
      await wait(Math.max(0, startMs + 60_000 - performance.now()));
      const minuteAfter = cpuMs();
      const lines = running.map((one, at) => {
        const spent = (from: number[], to: number[]) => (to[at] as number) - (from[at] as number);
        return {
          what: contenders[at]?.name,
          "CPU per minute, 4 scrapes, ms": spent(minuteBefore, minuteAfter),
          "CPU idle, ms/s": (spent(before, after) / idleMs) * 1000,
          "RSS, MiB": one.memory().rssMiB,
          "anonymous, MiB": one.memory().anonMiB,
        };
      });
      return {
        title: `In operation: 200 processes, 50 cgroups, a scrape each ${scrapeEverySeconds} s after ${options.warmUp} others; idle over ${idleSeconds} s`,
        lines,
      };
    } finally {
      for (const one of running) await one.stop();
    }
  });
}
