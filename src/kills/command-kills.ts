import { killedStaysMs, overflow } from "./workload-series.ts";

/** Maximum number of command names with their own series. */
export const commandLimit = 200;

export interface CommandCount {
  comm: string;
  kills: number;
  lastKillMs: number;
}

/**
 * The series of `oom_command_kills_total`, one per comm.
 *
 * Invariant: the sum of all series, including `other`, grows by one per kill. It falls only when a name without a kill
 * in the last 24 h makes room for a new one.
 */
export class CommandKills {
  readonly #byComm = new Map<string, CommandCount>();
  #other: CommandCount = { comm: overflow.cgroup, kills: 0, lastKillMs: 0 };

  /** The name under which a kill of this comm is counted. */
  nameFor(comm: string, nowMs: number): string {
    if (this.#byComm.has(comm) || this.#byComm.size < commandLimit) return comm;
    const [oldest] = [...this.#byComm.values()].sort((a, b) => a.lastKillMs - b.lastKillMs);
    if (oldest === undefined || nowMs - oldest.lastKillMs < killedStaysMs) return this.#other.comm;
    this.#byComm.delete(oldest.comm);
    return comm;
  }

  /** Counts a kill under a name returned by `nameFor`, now or before a restart. */
  count(comm: string, atMs: number): void {
    const series = this.#seriesOf(comm);
    series.kills++;
    series.lastKillMs = Math.max(series.lastKillMs, atMs);
  }

  /** All series, always including `other`. */
  list(): CommandCount[] {
    return [this.#other, ...this.#byComm.values()];
  }

  restore(saved: readonly CommandCount[]): void {
    for (const { comm, kills, lastKillMs } of saved) {
      Object.assign(this.#seriesOf(comm), { kills, lastKillMs });
    }
  }

  #seriesOf(comm: string): CommandCount {
    if (comm === this.#other.comm) return this.#other;
    let series = this.#byComm.get(comm);
    if (series === undefined) {
      series = { comm, kills: 0, lastKillMs: 0 };
      this.#byComm.set(comm, series);
    }
    return series;
  }
}
