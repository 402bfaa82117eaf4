import type { CollectorName, LabelsOf, MetricName } from "../metrics/catalog.ts";
import type { PrintedLabels } from "../metrics/exposition.ts";
import type { LongPart, Snapshot } from "../sources/snapshot.ts";

/** Takes the samples of one pass. */
export interface SampleSink {
  /**
   * Adds one sample. Label values are passed unescaped; the exposition escapes them. The type ties each metric to the
   * labels of its catalog entry.
   */
  add<Name extends MetricName>(metric: Name, value: number, labels: LabelsOf<Name>): void;
  /** Like `add`, with labels that the collector keeps in printed form, for bulk data. */
  addPrinted(metric: MetricName, value: number, labels: PrintedLabels): void;
}

/** What a pass provides to each of its collectors. */
export interface CollectorPass {
  /** The host as all collectors of the pass see it. */
  snapshot: Snapshot;
  sink: SampleSink;
}

/**
 * One source of samples.
 *
 * Invariant: a failing collector does not affect others. It throws, its samples of that pass are dropped and
 * `oom_scrape_collector_success` is 0.
 */
export interface Collector {
  readonly name: CollectorName;
  /** The parts of the snapshot that it needs and that may take long: they are read before `collect`. */
  readonly reads?: readonly LongPart[];
  /** Reads and adds samples, synchronously. Throws `NoData` if this kernel has nothing to read. */
  collect(pass: CollectorPass): void;
}

/** This kernel or this user has no such file: success 0, logged once at debug level, not an error. */
export class NoData extends Error {
  override readonly name = "NoData";
}
