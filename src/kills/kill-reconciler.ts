/** How long a gap must last before it is reported: the log may lag behind the counter. */
const gapStandsMs = 10_000;
/** How long the log must lead before the baseline counts as too high. */
const leadStandsMs = 2_000;
/** At most one reading is kept per this time. */
const readingEveryMs = 250;

/** Where reconciliation began in a boot; saved with the ledger. */
export interface KillCountBaseline {
  boot: string;
  /** `oom_kill` of /proc/vmstat at that moment. */
  oomKill: number;
  /** `Killed process` lines of this boot known by then. */
  rawLines: number;
}

/** One reading of both counts. */
export interface KillCountReading {
  boot: string;
  /** `oom_kill` of /proc/vmstat; absent before Linux 4.13 and if the counter belongs to another kernel. */
  oomKill?: number;
  /**
   * `Killed process` lines of this boot known so far, including a group's repetitions, excluding re-reads. Taken before
   * `oomKill`, in the same turn of the event loop: the kernel counts before it prints, so a known line is always counted.
   */
  rawLines: number;
  /** Monotonic clock, milliseconds. */
  nowMs: number;
}

interface PastReading {
  atMs: number;
  oomKill: number;
  /** Kills counted since the baseline minus lines read since. */
  gap: number;
}

/**
 * Compares the log with the kernel's own count of kills.
 *
 * Invariants:
 * - a kill whose line arrives within 10 s is never unaccounted, whatever else is killed in between;
 * - once the kernel has been silent for 10 s, `unaccounted` is the number of kills since the baseline without a line;
 * - a lead of the log (a baseline taken while lines were in transit) hides no later gap.
 */
export class KillReconciler {
  #current: KillCountBaseline | undefined;
  #past: PastReading[] = [];
  #lost = 0;
  #gap: number | undefined;
  /** The baseline is old enough for a lead of the log to show. */
  #isTried = false;

  constructor(saved?: KillCountBaseline) {
    this.#current = saved;
  }

  /** Must be saved whenever it has changed. */
  get baseline(): KillCountBaseline | undefined {
    return this.#current;
  }

  /**
   * Following starts, or continues after a restart. A baseline saved in this boot stays. After a reboot the counter
   * started at 0, which helps only if the log covers this boot from its start.
   */
  begin(reading: KillCountReading, { logHoldsBoot }: { logHoldsBoot: boolean }): void {
    const { boot, oomKill, rawLines } = reading;
    if (oomKill === undefined) this.#current = undefined;
    else if (this.#current?.boot !== boot) {
      const fromStart = logHoldsBoot && this.#current !== undefined;
      this.#current = fromStart ? { boot, oomKill: 0, rawLines: 0 } : { boot, oomKill, rawLines };
    }
    this.#forgetReadings();
    this.read(reading);
  }

  /** Takes a reading; called about once a second, more often while kills wait for attribution. */
  read(reading: KillCountReading): void {
    const { boot, oomKill, rawLines, nowMs } = reading;
    if (this.#current === undefined || oomKill === undefined || this.#current.boot !== boot) {
      this.#gap = undefined;
      return;
    }
    if (oomKill < this.#current.oomKill || oomKill < (this.#past.at(-1)?.oomKill ?? 0)) {
      // The counter now belongs to another kernel, for example after a container was migrated.
      this.#current = { boot, oomKill, rawLines };
      this.#forgetReadings();
    }
    this.#gap = oomKill - this.#current.oomKill - (rawLines - this.#current.rawLines);
    const last = this.#past.at(-1);
    if (last === undefined || nowMs - last.atMs >= readingEveryMs) {
      this.#past.push({ atMs: nowMs, oomKill, gap: this.#gap });
    } else {
      last.gap = Math.max(last.gap, this.#gap);
    }
    this.#forgiveLead(nowMs);
    this.#settle(rawLines, nowMs);
  }

  /** `oom_kills_unaccounted`; absent if the two counts cannot be compared. */
  get unaccounted(): number | undefined {
    return this.#gap === undefined ? undefined : this.#lost;
  }

  /**
   * Kills counted by the kernel whose lines are still expected. 0 proves that every line up to the reading has been read,
   * except the `unaccounted` ones. Absent if there is no proof, and in the first two seconds, when the baseline may turn
   * out to be too high.
   */
  get outstanding(): number | undefined {
    return this.#gap === undefined || !this.#isTried ? undefined : this.#gap - this.#lost;
  }

  /** Kills counted 10 s ago must have their lines by now; the missing ones stay unaccounted until lines arrive. */
  #settle(rawLines: number, nowMs: number): void {
    const baseline = this.#current as KillCountBaseline;
    let old: PastReading | undefined;
    while (this.#past[0] !== undefined && nowMs - this.#past[0].atMs >= gapStandsMs) {
      old = this.#past.shift();
    }
    // Kept as the newest of the old readings, so that the next reading has one.
    if (old !== undefined) this.#past.unshift(old);
    const lines = rawLines - baseline.rawLines;
    const overdue = old === undefined ? 0 : old.oomKill - baseline.oomKill - lines;
    this.#lost = Math.max(0, overdue, Math.min(this.#lost, this.#gap as number));
  }

  #forgiveLead(nowMs: number): void {
    const recent = this.#past.filter(({ atMs }) => nowMs - atMs <= leadStandsMs);
    this.#isTried ||= this.#past.some(({ atMs }) => nowMs - atMs >= leadStandsMs);
    const lead = -Math.max(...recent.map(({ gap }) => gap));
    if (!this.#isTried || lead <= 0) return;
    const { boot, oomKill, rawLines } = this.#current as KillCountBaseline;
    this.#current = { boot, oomKill: oomKill - lead, rawLines };
    for (const reading of this.#past) reading.gap += lead;
    this.#gap = (this.#gap as number) + lead;
  }

  #forgetReadings(): void {
    this.#past = [];
    this.#lost = 0;
    this.#gap = undefined;
    this.#isTried = false;
  }
}
