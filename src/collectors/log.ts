import type { DaemonLog } from "../killers/daemon-log.ts";
import type { LogSourceState, LogTally } from "../log-sources/log-source.ts";
import type { Collector, CollectorPass } from "./collector.ts";

/** As `KernelLog` has them. */
export interface LogCollectorOptions {
  readonly states: readonly LogSourceState[];
  readonly tally: LogTally;
}

/** The state of the kernel log: whether it is read, and what was lost. */
export class LogCollector implements Collector {
  readonly name = "log";
  readonly #options: LogCollectorOptions;
  readonly #daemonLog: Pick<DaemonLog, "states" | "losses">;

  constructor(options: LogCollectorOptions, daemonLog: Pick<DaemonLog, "states" | "losses">) {
    this.#options = options;
    this.#daemonLog = daemonLog;
  }

  collect({ sink }: CollectorPass): void {
    for (const { name, path, up } of this.#options.states) {
      sink.add("oom_log_source_up", up ? 1 : 0, { source: name });
      sink.add("oom_log_source_info", 1, { source: name, path });
    }
    for (const { name, up } of this.#daemonLog.states) {
      sink.add("oom_daemon_log_up", up ? 1 : 0, { source: name });
    }
    sink.add("oom_daemon_log_losses_total", this.#daemonLog.losses, {});
    const { tally } = this.#options;
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
