import { setTimeout as wait } from "node:timers/promises";
import {
  type Contender,
  exporter,
  floors,
  nodeExporter,
  processExporter,
  quietLog,
} from "./contenders.ts";
import { type Crowd, type Size, withCrowd } from "./programs.ts";
import { type CostOptions, mean, quantile, type Result } from "./result.ts";

/** A pass answers for a while after it: closer together, the same one would be measured twice. */
const betweenMs = 300;
const warmUp = 5;
/** A contender whose scrapes take longer than this gets fewer of them. */
const slowMs = 500;
const slowCount = 5;

export interface ScrapeCost {
  cpuMs: number;
  wallMs: number;
  wallP95Ms: number;
  /** How late the exporter's own timer was at most, milliseconds; absent of others. */
  stallMs?: number;
  bytes: number;
  series: number;
}

/** What a scrape costs beyond being idle, for each size and each contender. */
export async function* scrapes(options: CostOptions): AsyncGenerator<Result> {
  for (const size of options.sizes) {
    const costs = await costsAt(size, await all(options), options.scrapes);
    const cpuOf = (name: string) => costs.get(name)?.cpuMs ?? Number.NaN;
    yield {
      title: `A scrape of ${size.processes} processes and ${size.cgroups} cgroups, ${options.scrapes} of them, ${betweenMs} ms apart`,
      lines: [...costs].map(([what, cost]) => ({
        what,
        "CPU, ms": cost.cpuMs,
        "of process-exporter": `1/${(cpuOf("process-exporter, lean") / cost.cpuMs).toFixed(1)}`,
        "of C, kept": `${(cost.cpuMs / cpuOf("C, descriptors kept")).toFixed(1)} x`,
        "wall p50, ms": cost.wallMs,
        "wall p95, ms": cost.wallP95Ms,
        "longest stall, ms": cost.stallMs,
        series: cost.series || undefined,
        KiB: cost.series === 0 ? undefined : cost.bytes / 1024,
      })),
    };
  }
}

async function all({ exporter: command }: CostOptions): Promise<Contender[]> {
  const contenders = [
    exporter({
      command,
      flags: [`--kernel-log.file=${quietLog()}`, "--collector.cgroups.max=20000"],
    }),
    await nodeExporter(),
    await processExporter(),
    ...floors,
  ];
  return contenders.filter((contender): contender is Contender => contender !== undefined);
}

/** Scrape costs by contender, beside one crowd, one contender after the other. */
export function costsAt(
  size: Size,
  contenders: readonly Contender[],
  count: number,
): Promise<Map<string, ScrapeCost>> {
  return withCrowd(size, async (crowd) => {
    const costs = new Map<string, ScrapeCost>();
    for (const contender of contenders) {
      costs.set(contender.name, await costOf(contender, crowd, count));
    }
    return costs;
  });
}

async function costOf(contender: Contender, crowd: Crowd, count: number): Promise<ScrapeCost> {
  const running = contender.start(crowd.directory);
  try {
    await running.firstScrape();
    let { wallMs } = await running.scrape();
    for (let scrape = 0; scrape < (wallMs > slowMs ? 1 : warmUp); scrape++) {
      await wait(betweenMs);
      ({ wallMs } = await running.scrape());
    }
    const idle = await spentOver(running.cpuMs.bind(running), () => wait(5000));
    const walls: number[] = [];
    const stallsMs: number[] = [];
    let text = "";
    const busy = await spentOver(running.cpuMs.bind(running), async () => {
      for (let left = wallMs > slowMs ? Math.min(count, slowCount) : count; left > 0; left--) {
        await wait(betweenMs);
        const scrape = await running.scrape();
        walls.push(scrape.wallMs);
        text = scrape.text;
        const stall = /^nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(text)?.[1];
        if (stall !== undefined) stallsMs.push(Number(stall) * 1000);
      }
      // Garbage of the last one.
      await wait(betweenMs);
    });
    const idleShare = idle.cpuMs / idle.wallMs;
    // Idle is what it spends between scrapes; during one it does not look at its log besides.
    const idleMs = busy.wallMs - walls.length * mean(walls);
    const samples = text.match(/^[^#\s].* \S+$/gm) ?? [];
    return {
      cpuMs: (busy.cpuMs - idleShare * idleMs) / walls.length,
      wallMs: quantile(walls, 0.5),
      wallP95Ms: quantile(walls, 0.95),
      stallMs: stallsMs.length === 0 ? undefined : Math.max(...stallsMs),
      bytes: text.length,
      series: samples.length,
    };
  } finally {
    await running.stop();
  }
}

async function spentOver(
  cpuMs: () => number,
  work: () => Promise<unknown>,
): Promise<{ cpuMs: number; wallMs: number }> {
  const [before, startMs] = [cpuMs(), performance.now()];
  await work();
  return { cpuMs: cpuMs() - before, wallMs: performance.now() - startMs };
}
