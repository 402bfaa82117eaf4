import { type Contender, exporters, nodeExporter, processExporter } from "./contenders.ts";
import { withCrowd } from "./programs.ts";
import { type CostOptions, quantile, type Result } from "./result.ts";

const starts = 7;

/** From the start of the program to the end of its first answered scrape. */
export async function start(options: CostOptions): Promise<Result> {
  const contenders = [
    ...exporters(options, ["--kernel-log.source=kmsg"]),
    await nodeExporter(),
    await processExporter(),
  ].filter((contender): contender is Contender => contender !== undefined);
  return withCrowd({ processes: 200, cgroups: 50 }, async (crowd) => {
    const costs = contenders.map(({ name }) => ({
      name,
      wallMs: [] as number[],
      cpuMs: [] as number[],
    }));
    // In turn, so that whatever else the machine does hits all of them alike.
    for (let round = 0; round < starts; round++) {
      for (const [at, contender] of contenders.entries()) {
        const running = contender.start(crowd.directory);
        costs[at]?.wallMs.push((await running.firstScrape()).sinceStartMs);
        costs[at]?.cpuMs.push(running.cpuMs());
        await running.stop();
      }
    }
    const lines = costs.map(({ name, wallMs, cpuMs }) => ({
      what: name,
      "wall p50, ms": quantile(wallMs, 0.5),
      "wall best, ms": Math.min(...wallMs),
      "CPU p50, ms": quantile(cpuMs, 0.5),
      "CPU best, ms": Math.min(...cpuMs),
    }));
    return {
      title: `Start to first answered scrape: 200 processes, 50 cgroups, ${starts} starts`,
      lines,
    };
  });
}
