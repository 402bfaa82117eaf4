import { setTimeout as wait } from "node:timers/promises";
import { type Contender, exporter, nodeExporter, processExporter, quietLog } from "./contenders.ts";
import { withCrowd } from "./programs.ts";
import type { CostOptions, Result } from "./result.ts";

export const cgroupsReplacedPerScrape = 5;
/** Of one contender; a slow one gets fewer scrapes. */
const secondsAtMost = 90;
/** Only a pass that is over for as long again as it took is followed by a new one. */
export const betweenPassesMs = (wallMs: number): number => Math.max(60, wallMs * 1.2);

/** Memory at rest, and while scrapes go on and cgroups come and go. */
export async function* memory(options: CostOptions): AsyncGenerator<Result> {
  const contenders = [
    exporter({
      command: options.exporter,
      flags: [`--kernel-log.file=${quietLog()}`],
    }),
    await nodeExporter(),
    await processExporter(),
  ].filter((contender): contender is Contender => contender !== undefined);
  yield await atRest(contenders);
  yield await withChurn(contenders, options.memoryScrapes);
}

function atRest(contenders: readonly Contender[]): Promise<Result> {
  return withCrowd({ processes: 200, cgroups: 50 }, async (crowd) => {
    const lines = [];
    for (const contender of contenders) {
      const running = contender.start(crowd.directory);
      await running.firstScrape();
      for (let scrape = 0; scrape < 10; scrape++) {
        await wait(300);
        await running.scrape();
      }
      await wait(5000);
      const { rssMiB, anonMiB } = running.memory();
      lines.push({
        what: contender.name,
        "anonymous, MiB": anonMiB,
        "RSS, MiB": rssMiB,
        descriptors: running.openDescriptors(),
      });
      await running.stop();
    }
    return {
      title: "Memory at rest: 200 processes, 50 cgroups, 5 s after 10 scrapes",
      lines,
    };
  });
}

function withChurn(contenders: readonly Contender[], scrapes: number): Promise<Result> {
  return withCrowd({ processes: 2000, cgroups: 500 }, async (crowd) => {
    const lines = [];
    for (const contender of contenders) {
      const running = contender.start(crowd.directory);
      await running.firstScrape();
      const anonMiB: number[] = [];
      const untilMs = performance.now() + secondsAtMost * 1000;
      let count = 0;
      while (count < scrapes && performance.now() < untilMs) {
        await crowd.replace(cgroupsReplacedPerScrape);
        const { wallMs } = await running.scrape();
        count++;
        anonMiB.push(running.memory().anonMiB);
        await wait(betweenPassesMs(wallMs));
      }
      const at = (share: number) => anonMiB[Math.floor((anonMiB.length - 1) * share)];
      lines.push({
        what: contender.name,
        scrapes: count,
        "anonymous after 1/20, MiB": at(0.05),
        half: at(0.5),
        all: at(1),
        most: Math.max(...anonMiB),
        "RSS, MiB": running.memory().rssMiB,
        descriptors: running.openDescriptors(),
      });
      await running.stop();
    }
    return {
      title: `Memory over scrapes of 2,000 processes and 500 cgroups, ${cgroupsReplacedPerScrape} cgroups and their processes replaced before each`,
      lines,
    };
  });
}
