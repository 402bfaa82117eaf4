import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";
import { Pace } from "../collections/steps.ts";
import type { CollectorName } from "../metrics/catalog.ts";
import {
  type ExpositionFormat,
  renderExposition,
  Samples,
  withExposition,
} from "../metrics/exposition.ts";
import type { Snapshot, SnapshotKeeper } from "../sources/snapshot.ts";
import { type Collector, NoData } from "./collector.ts";

/** The log of the scraper; pino's signature. */
export interface ScrapeLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ScraperOptions {
  collectors: readonly Collector[];
  /** The snapshot of one pass; cgroups not read by the deadline are missing from it. */
  snapshot(deadlineMs: number): Snapshot;
  /** Collectors of history keep what they need of each snapshot, before a later collector of the same pass runs. */
  keepers: readonly SnapshotKeeper[];
  /** Grows with each kill. */
  killsRead(): number;
  /** Adds the samples about the exporter itself, at the end of every pass. */
  addOwnSamples(samples: Samples): void;
  /** Monotonic milliseconds. */
  now(): number;
  /** Lets everything else have its turn, while a pass over a large host goes on. */
  rest(): Promise<unknown>;
  log: ScrapeLog;
}

export interface ScrapeRequest {
  /** Collectors to run; all of them if absent. */
  collectors?: readonly CollectorName[];
  /** Milliseconds from now after which no further collector starts. */
  budgetMs?: number;
}

/** Format and encoding of the answer. */
export interface ScrapeEncoding {
  format: ExpositionFormat;
  gzip: boolean;
}

/** Prometheus' default scrape timeout, for requests without the header. */
const defaultBudgetMs = 10_000;

/** A pass answers further requests for at least this long. */
const sharedForMs = 50;

const compress = promisify(gzip);

type Condition = "works" | "fails" | "has no data" | "is skipped";

/** One pass over the collectors and its output. */
class Pass {
  readonly samples = new Samples();
  readonly key: string;
  /** Kills that had been read when it began. */
  readonly killsRead: number;
  sharedUntilMs = 0;
  readonly #printed = new Map<ExpositionFormat, Promise<Buffer>>();
  readonly #compressed = new Map<ExpositionFormat, Promise<Buffer>>();

  constructor(key: string, killsRead: number) {
    this.key = key;
    this.killsRead = killsRead;
  }

  print({ format, gzip }: ScrapeEncoding): Promise<Buffer> {
    const print = () => renderExposition(this.samples, format);
    // Fast compression: a tenth of the size for 5 ms on a pool thread; the slowest setting takes twice as long
    // for a few per cent.
    const squeeze = () =>
      withExposition(this.samples, format, (bytes) =>
        compress(bytes, { level: constants.Z_BEST_SPEED }),
      );
    return gzip ? once(this.#compressed, format, squeeze) : once(this.#printed, format, print);
  }
}

/** One pass, as one of its collectors runs in it. */
interface Run {
  snapshot: Snapshot;
  deadlineMs: number;
  pace: Pace;
  into: Samples;
}

function once<Key, Value>(made: Map<Key, Value>, key: Key, make: () => Value): Value {
  const value = made.get(key) ?? make();
  made.set(key, value);
  return value;
}

/**
 * Runs the collectors on request, never on its own.
 *
 * One pass runs at a time, in slices of 20 ms, so that other work gets its turn in between. Requests that arrive
 * during a pass share it: it answers every request for the same collectors for as long again as it took, and for at
 * least 50 ms, but none from before the latest kill: that would delay its page. So at most half of the time is spent
 * reading, however many clients ask. Under memory pressure, when a pass is slow, this keeps the exporter from adding
 * to the load.
 */
export class Scraper {
  readonly #options: ScraperOptions;
  readonly #conditions = new Map<string, Condition>();
  readonly #troubles = new Map<string, string>();
  #last: Pass | undefined;
  #running: { key: string; pass: Promise<Pass> } | undefined;

  constructor(options: ScraperOptions) {
    this.#options = options;
  }

  /** True after the first pass, whether it succeeded or not. */
  get hasRun(): boolean {
    return this.#last !== undefined;
  }

  /** The names that `collect[]` and `exclude[]` accept. */
  get collectorNames(): CollectorName[] {
    return this.#options.collectors.map((collector) => collector.name);
  }

  /** Collectors that failed in their last run, and why; missing kernel features do not count. */
  get troubles(): { collector: string; reason: string }[] {
    return [...this.#troubles].map(([collector, reason]) => ({ collector, reason }));
  }

  /** Runs the collectors for what they and the keepers learn; prints nothing. */
  async read(request: ScrapeRequest): Promise<void> {
    await this.#passFor(request);
  }

  /** Answers with the exposition of a new pass or a very recent one. */
  async scrape(request: ScrapeRequest, encoding: ScrapeEncoding): Promise<Buffer> {
    const pass = await this.#passFor(request);
    return pass.print(encoding);
  }

  async #passFor(request: ScrapeRequest): Promise<Pass> {
    const { now, killsRead } = this.#options;
    const collectors = this.#options.collectors.filter(
      ({ name }) => request.collectors === undefined || request.collectors.includes(name),
    );
    const key = collectors.map(({ name }) => name).join();
    const deadlineMs = now() + (request.budgetMs ?? defaultBudgetMs);
    for (;;) {
      const last = this.#last;
      const isFresh = last?.killsRead === killsRead() && now() < last.sharedUntilMs;
      if (isFresh && last?.key === key) return last;
      if (this.#running === undefined) break;
      const { key: runningKey, pass } = this.#running;
      if (runningKey === key) return pass;
      await pass;
    }
    const pass = this.#runAll(key, collectors, deadlineMs).finally(() => {
      this.#running = undefined;
    });
    this.#running = { key, pass };
    return pass;
  }

  async #runAll(key: string, collectors: readonly Collector[], deadlineMs: number): Promise<Pass> {
    const { now, rest, killsRead } = this.#options;
    const startMs = now();
    const pass = new Pass(key, killsRead());
    const snapshot = this.#options.snapshot(deadlineMs);
    const pace = new Pace({ now, rest });
    for (const collector of collectors) {
      await this.#run(collector, { snapshot, deadlineMs, pace, into: pass.samples });
    }
    this.#addOwnSamples(pass.samples);
    const endMs = now();
    pass.sharedUntilMs = endMs + Math.max(sharedForMs, endMs - startMs);
    this.#last = pass;
    return pass;
  }

  async #run(collector: Collector, { snapshot, deadlineMs, pace, into }: Run): Promise<void> {
    const { now, keepers } = this.#options;
    const labels = { collector: collector.name };
    const startMs = now();
    const { restedMs } = pace;
    const samples = new Samples();
    if (startMs >= deadlineMs) {
      this.#note(collector.name, "is skipped", "no time left before the scrape timeout");
    } else {
      try {
        for (const part of collector.reads ?? []) await snapshot.readAhead(part, pace);
        collector.collect({ sink: samples, snapshot });
        snapshot.handTo(keepers);
        into.addAll(samples);
        this.#note(collector.name, "works");
      } catch (error) {
        const condition = error instanceof NoData ? "has no data" : "fails";
        this.#note(collector.name, condition, reason(error));
      }
    }
    const works = this.#conditions.get(collector.name) === "works";
    into.add("oom_scrape_collector_success", works ? 1 : 0, labels);
    into.add(
      "oom_scrape_collector_duration_seconds",
      (now() - startMs - (pace.restedMs - restedMs)) / 1000,
      labels,
    );
  }

  #addOwnSamples(into: Samples): void {
    const samples = new Samples();
    try {
      this.#options.addOwnSamples(samples);
      into.addAll(samples);
      this.#note("exporter", "works");
    } catch (error) {
      this.#note("exporter", "fails", reason(error));
    }
  }

  /** Logs a condition when it begins and when it ends, not on every scrape. */
  #note(collector: string, condition: Condition, why = ""): void {
    if (condition === "fails" || condition === "is skipped") this.#troubles.set(collector, why);
    else this.#troubles.delete(collector);
    const before = this.#conditions.get(collector);
    if (before === condition) {
      return;
    }
    this.#conditions.set(collector, condition);
    const { log } = this.#options;
    if (condition === "works") {
      if (before !== undefined) {
        log.info({ collector }, "collector works again");
      }
    } else if (condition === "has no data") {
      log.debug({ collector, reason: why }, "collector has no data on this host");
    } else if (condition === "is skipped") {
      log.warn({ collector, reason: why }, "collector skipped");
    } else {
      log.error({ collector, reason: why }, "collector failed");
    }
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
