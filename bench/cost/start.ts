import { type Contender, exporter, nodeExporter, processExporter } from "./contenders.ts";
import { withCrowd } from "./programs.ts";
import { type CostOptions, quantile, type Result } from "./result.ts";

const starts = 7;

/** From the start of the program to the end of its first answered scrape. */
export async function start(options: CostOptions): Promise<Result> {
  const contenders = [
    exporter({ command: options.exporter, flags: ["--kernel-log.source=kmsg"] }),
    await nodeExporter(),
    await processExporter(),
  ].filter((contender): contender is Contender => contender !== undefined);
  return withCrowd({ processes: 200, cgroups: 50 }, async (crowd) => {
    const lines = [];
    for (const contender of contenders) {
      const walls: number[] = [];
      const cpus: number[] = [];
      for (let left = starts; left > 0; left--) {
        const running = contender.start(crowd.directory);
        walls.push((await running.firstScrape()).sinceStartMs);
        cpus.push(running.cpuMs());
        await running.stop();
      }
      lines.push({
        what: contender.name,
        "wall p50, ms": quantile(walls, 0.5),
        "wall best, ms": Math.min(...walls),
        "CPU p50, ms": quantile(cpus, 0.5),
      });
    }
    return {
      title: `Start to first answered scrape: 200 processes, 50 cgroups, ${starts} starts`,
      lines,
    };
  });
}
