import { setTimeout as wait } from "node:timers/promises";
import {
  type Contender,
  exporters,
  floors,
  nodeExporter,
  processExporter,
  quietLog,
} from "./contenders.ts";
import type { MeasuredProcess } from "./measured-process.ts";
import { betweenPassesMs } from "./memory.ts";
import { type Crowd, type Size, withCrowd } from "./programs.ts";
import { type CostOptions, quantile, type Result } from "./result.ts";

/** A pass answers for a while after it: closer together, the same one would be measured twice. */
export const betweenMs = 300;
const slowCount = 5;
const idleMs = 3000;
const tailMs = 100;

export interface ScrapeCost {
  cpuMs: number;
  wallMs: number;
  wallP95Ms: number;
  /** How late the exporter's own timer was at most, milliseconds; absent of others. */
  stallMs?: number;
  bytes: number;
  series: number;
}

/** How patient a run is with its contenders. */
export interface Pace {
  /** Scrapes of each that are not measured. */
  warmUp: number;
  /** A contender whose scrapes take longer than this, 500 ms by default, gets fewer of them, and one to warm up. */
  slowMs?: number;
}

/** What a scrape costs beyond being idle, for each size and each contender. */
export async function* scrapes(options: CostOptions): AsyncGenerator<Result> {
  for (const size of options.sizes) {
    const costs = await costsAt(size, await all(options), options.scrapes, {
      warmUp: options.warmUp,
    });
    const cpuOf = (name: string) => costs.get(name)?.cpuMs ?? Number.NaN;
    yield {
      title: `A scrape of ${size.processes} processes and ${size.cgroups} cgroups, ${options.scrapes} of them after ${options.warmUp} others, at least ${betweenMs} ms apart`,
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

async function all(options: CostOptions): Promise<Contender[]> {
  const flags = [`--kernel-log.file=${quietLog()}`, "--collector.cgroups.max=20000"];
  const contenders = [
    ...exporters(options, flags),
    await nodeExporter(),
    await processExporter(),
    ...floors,
  ];
  return contenders.filter((contender): contender is Contender => contender !== undefined);
}

/**
 * Scrape costs by contender, beside one crowd. The contenders take turns, so that whatever else the machine does
 * hits all of them alike; figures are medians.
 */
export function costsAt(
  size: Size,
  contenders: readonly Contender[],
  count: number,
  pace: Pace,
): Promise<Map<string, ScrapeCost>> {
  return withCrowd(size, async (crowd) => {
    const measured = contenders.map((contender) => new Measured(contender, crowd, pace));
    try {
      for (const one of measured) await one.warmUp();
      for (const one of measured) await one.measureIdle();
      for (let round = 0; round < count; round++) {
        for (const one of measured) if (one.isIn(round, count)) await one.measureScrape();
      }
      return new Map(measured.map((one) => [one.name, one.cost()]));
    } finally {
      for (const one of measured) await one.stop();
    }
  });
}

/** One contender and what its scrapes have cost so far. */
class Measured {
  readonly name: string;
  readonly #process: MeasuredProcess;
  readonly #cpuMs: number[] = [];
  readonly #wallMs: number[] = [];
  readonly #stallsMs: number[] = [];
  #idleShare = 0;
  #isSlow = false;
  #text = "";
  readonly #pace: Required<Pace>;

  constructor(contender: Contender, crowd: Crowd, pace: Pace) {
    this.#pace = { slowMs: 500, ...pace };
    this.name = contender.name;
    this.#process = contender.start(crowd.directory);
  }

  async warmUp(): Promise<void> {
    await this.#process.firstScrape();
    let { wallMs } = await this.#process.scrape();
    const count = wallMs > this.#pace.slowMs ? 1 : this.#pace.warmUp;
    for (let scrape = 0; scrape < count; scrape++) {
      await wait(betweenPassesMs(wallMs));
      ({ wallMs } = await this.#process.scrape());
    }
    this.#isSlow = wallMs > this.#pace.slowMs;
  }

  /** A slow one takes part in some of the rounds. */
  isIn(round: number, rounds: number): boolean {
    return !this.#isSlow || round % Math.ceil(rounds / slowCount) === 0;
  }

  async measureIdle(): Promise<void> {
    const [before, startMs] = [this.#process.cpuMs(), performance.now()];
    await wait(idleMs);
    this.#idleShare = (this.#process.cpuMs() - before) / (performance.now() - startMs);
  }

  async measureScrape(): Promise<void> {
    const [before, startMs] = [this.#process.cpuMs(), performance.now()];
    const { wallMs, text } = await this.#process.scrape();
    // The answer is compressed and its garbage collected after it, in part.
    await wait(tailMs);
    const restMs = performance.now() - startMs - wallMs;
    this.#cpuMs.push(this.#process.cpuMs() - before - this.#idleShare * restMs);
    this.#wallMs.push(wallMs);
    const stall = /^nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(text)?.[1];
    if (stall !== undefined) this.#stallsMs.push(Number(stall) * 1000);
    this.#text = text;
    await wait(Math.max(betweenMs, betweenPassesMs(wallMs)) - tailMs);
  }

  cost(): ScrapeCost {
    return {
      cpuMs: quantile(this.#cpuMs, 0.5),
      wallMs: quantile(this.#wallMs, 0.5),
      wallP95Ms: quantile(this.#wallMs, 0.95),
      stallMs: this.#stallsMs.length === 0 ? undefined : Math.max(...this.#stallsMs),
      bytes: this.#text.length,
      series: this.#text.match(/^[^#\s].* \S+$/gm)?.length ?? 0,
    };
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}
