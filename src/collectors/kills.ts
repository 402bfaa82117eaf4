import type { UserspaceCounting } from "../killers/userspace-counting.ts";
import type { KillCounting } from "../kills/kill-counting.ts";
import type { Collector, CollectorPass } from "./collector.ts";

export interface KillsCollectorOptions {
  counting: Pick<KillCounting, "counts" | "recent" | "lastKills" | "unaccounted" | "noVictims">;
  /** Kills by programs outside the kernel. */
  userspace: Pick<UserspaceCounting, "counts" | "recent">;
  /** Where each of the two ledgers is saved; a place that could not be opened is `undefined`. */
  states?: readonly (LedgerHealth | undefined)[];
}

/** How a ledger is saved. */
export interface LedgerHealth {
  readonly isSaving: boolean;
  readonly saveFailures: number;
  readonly damagedFiles: number;
}

/** The counted kills. */
export class KillsCollector implements Collector {
  readonly name = "kills";
  readonly #options: KillsCollectorOptions;

  constructor(options: KillsCollectorOptions) {
    this.#options = options;
  }

  collect({ sink }: CollectorPass): void {
    const { counting, userspace, states = [] } = this.#options;
    const counts = counting.counts();
    for (const [constraint, kills] of counts?.kills ?? []) {
      sink.add("oom_kills_total", kills, { constraint });
    }
    for (const { labels, kills } of counts?.workloads ?? []) {
      sink.add("oom_workload_kills_total", kills, labels);
    }
    for (const { comm, kills } of counts?.commands ?? []) {
      sink.add("oom_command_kills_total", kills, { comm });
    }
    const recent = counting.recent();
    for (const { timestampMs, labels } of recent.kills) {
      sink.add("oom_kill_timestamp_seconds", timestampMs / 1000, labels);
    }
    for (const { outcome, labels } of recent.kills) {
      const { incident } = labels;
      if (outcome !== null) sink.add("oom_kill_outcome_info", 1, { incident, outcome });
    }
    sink.add("oom_kill_timestamps_left_out", recent.leftOut, {});
    for (const [constraint, lastMs] of counting.lastKills()) {
      sink.add("oom_last_kill_timestamp_seconds", lastMs / 1000, { constraint });
    }
    const { unaccounted, noVictims } = counting;
    if (unaccounted !== undefined) sink.add("oom_kills_unaccounted", unaccounted, {});
    sink.add("oom_no_victim_total", noVictims, {});
    for (const [killer, kills] of userspace.counts() ?? []) {
      sink.add("oom_userspace_kills_total", kills, { killer });
    }
    for (const { timestampMs, labels } of userspace.recent()) {
      sink.add("oom_userspace_kill_timestamp_seconds", timestampMs / 1000, { ...labels });
    }
    const isSaving = states.length > 0 && states.every((state) => state?.isSaving === true);
    const sum = (count: "saveFailures" | "damagedFiles") =>
      states.reduce((before, state) => before + (state?.[count] ?? 0), 0);
    sink.add("oom_state_persistent", isSaving ? 1 : 0, {});
    sink.add("oom_state_save_failures_total", sum("saveFailures"), {});
    sink.add("oom_state_damaged_total", sum("damagedFiles"), {});
  }
}
