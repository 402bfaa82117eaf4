import type { Collector, CollectorPass } from "./collector.ts";

export type LogSourceName = "file" | "kmsg";

/** One source of the kernel log, as it stands. */
export interface LogSourceState {
  name: LogSourceName;
  path: string;
  up: boolean;
  /** Why it is not up, and what to do; one line. */
  reason?: string;
}

/** What was read from the kernel log since this process started. */
export interface LogTally {
  lines: number;
  bytes: number;
  rotations: number;
  truncations: number;
  lostRecords: number;
  suppressedDumps: number;
  unparsedKills: number;
  readErrors: number;
  /** Wall clock, milliseconds since the epoch; absent before the first record. */
  lastRecordMs?: number;
}

export interface LogCollectorOptions {
  sources: () => readonly LogSourceState[];
  tally: () => LogTally;
}

/** The kernel log itself: whether it is read, and what of it was lost. */
export class LogCollector implements Collector {
  readonly name = "log";
  readonly #options: LogCollectorOptions;

  constructor(options: LogCollectorOptions) {
    this.#options = options;
  }

  collect({ sink }: CollectorPass): void {
    for (const { name, path, up } of this.#options.sources()) {
      sink.add("oom_log_source_up", up ? 1 : 0, { source: name });
      sink.add("oom_log_source_info", 1, { source: name, path });
    }
    const tally = this.#options.tally();
    sink.add("oom_log_lines_total", tally.lines, {});
    sink.add("oom_log_bytes_total", tally.bytes, {});
    sink.add("oom_log_rotations_total", tally.rotations, {});
    sink.add("oom_log_truncations_total", tally.truncations, {});
    sink.add("oom_log_lost_records_total", tally.lostRecords, {});
    sink.add("oom_log_suppressed_dumps_total", tally.suppressedDumps, {});
    sink.add("oom_log_unparsed_kills_total", tally.unparsedKills, {});
    sink.add("oom_log_read_errors_total", tally.readErrors, {});
    sink.add("oom_log_last_record_timestamp_seconds", (tally.lastRecordMs ?? 0) / 1000, {});
  }
}
