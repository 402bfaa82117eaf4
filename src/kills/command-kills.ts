import { killedStaysMs, overflow } from "./workload-series.ts";

/** At most this many command names have a series of their own. */
export const commandLimit = 200;

export interface CommandCount {
  comm: string;
  kills: number;
  lastKillMs: number;
}

/**
 * The series of `oom_command_kills_total`, one per comm.
 *
 * Invariant: the sum of all series, `other` among them, grows by one per kill; it falls only when a
 * name that was not killed for 24 h makes room for a new one.
 */
export class CommandKills {
  readonly #byComm = new Map<string, CommandCount>();
  #other: CommandCount = { comm: overflow.cgroup, kills: 0, lastKillMs: 0 };

  /** The name under which a kill of this comm is to be counted. */
  nameFor(comm: string, nowMs: number): string {
    if (this.#byComm.has(comm) || this.#byComm.size < commandLimit) return comm;
    const [oldest] = [...this.#byComm.values()].sort((a, b) => a.lastKillMs - b.lastKillMs);
    if (oldest === undefined || nowMs - oldest.lastKillMs < killedStaysMs) return this.#other.comm;
    this.#byComm.delete(oldest.comm);
    return comm;
  }

  /** Counts a kill under a name that `nameFor` gave, now or before a restart. */
  count(comm: string, atMs: number): void {
    const series = this.#seriesOf(comm);
    series.kills++;
    series.lastKillMs = Math.max(series.lastKillMs, atMs);
  }

  /** All series; `other` is among them from the start. */
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
