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
    const hasRoom =
      this.#byComm.has(comm) ||
      this.#byComm.size < commandLimit ||
      this.#replaceable(nowMs) !== undefined;
    return hasRoom ? comm : this.#other.comm;
  }

  /** Counts a kill under a name returned by `nameFor`, now or before a restart. */
  count(comm: string, atMs: number): void {
    if (comm !== this.#other.comm && !this.#byComm.has(comm)) this.#makeRoom(atMs);
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

  #makeRoom(nowMs: number): void {
    if (this.#byComm.size < commandLimit) return;
    const oldest = this.#replaceable(nowMs);
    if (oldest !== undefined) this.#byComm.delete(oldest);
  }

  /** The name that was not killed for the longest time; `undefined` if that is less than 24 h. */
  #replaceable(nowMs: number): string | undefined {
    const [oldest] = [...this.#byComm.values()].sort((a, b) => a.lastKillMs - b.lastKillMs);
    const isOld = oldest !== undefined && nowMs - oldest.lastKillMs >= killedStaysMs;
    return isOld ? oldest.comm : undefined;
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
