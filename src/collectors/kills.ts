import type { KillLedger } from "../kills/kill-ledger.ts";
import type { Collector, CollectorPass } from "./collector.ts";

export interface KillsCollectorOptions {
  ledger: KillLedger;
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
  /** Kills that the kernel counted and the log did not show; absent where that cannot be told. */
  unaccounted: () => number | undefined;
  /** How the ledger is kept; absent where it is not. */
  state?: {
    readonly isSaving: boolean;
    readonly saveFailures: number;
    readonly damagedFiles: number;
  };
}

/** The kills, as the ledger has counted them. */
export class KillsCollector implements Collector {
  readonly name = "kills";
  readonly #options: KillsCollectorOptions;

  constructor(options: KillsCollectorOptions) {
    this.#options = options;
  }

  collect({ sink }: CollectorPass): void {
    const { ledger, nowMs, unaccounted, state } = this.#options;
    const now = nowMs();
    const counts = ledger.counts(now);
    for (const [constraint, kills] of counts?.kills ?? []) {
      sink.add("oom_kills_total", kills, { constraint });
    }
    for (const { labels, kills } of counts?.workloads ?? []) {
      sink.add("oom_workload_kills_total", kills, labels);
    }
    for (const { comm, kills } of counts?.commands ?? []) {
      sink.add("oom_command_kills_total", kills, { comm });
    }
    const recent = ledger.recent(now);
    for (const { timestampMs, labels } of recent.kills) {
      sink.add("oom_kill_timestamp_seconds", timestampMs / 1000, labels);
    }
    sink.add("oom_kill_timestamps_left_out", recent.leftOut, {});
    for (const [constraint, lastMs] of ledger.lastKills()) {
      sink.add("oom_last_kill_timestamp_seconds", lastMs / 1000, { constraint });
    }
    const gap = unaccounted();
    if (gap !== undefined) sink.add("oom_kills_unaccounted", gap, {});
    sink.add("oom_state_persistent", state?.isSaving === true ? 1 : 0, {});
    sink.add("oom_state_save_failures_total", state?.saveFailures ?? 0, {});
    sink.add("oom_state_damaged_total", state?.damagedFiles ?? 0, {});
  }
}
