/**
 * Which units lost processes to kills whose own lines were read, and when: what the service manager says of such a unit
 * is nothing new. A log may hold any number of kills, so only their minutes are kept.
 */

import { resultWithinMs, type UnitNotice, unitsIn } from "../kernel-log/unit-notice.ts";

/** The service manager reacts to a kill within a few seconds, or later where the host hangs. */
const minuteMs = 60_000;
/** The name under which kills in a cgroup that is not known are kept: they may have been in any unit. */
const unknownUnit = "";

export class KilledUnits {
  /** Minutes since 1970 by unit, `undefined` for a kill without a time; those of all kills at `undefined`. */
  readonly #minutes = new Map<string | undefined, Set<number | undefined>>();

  /** Adds a kill. `cgroup` is the victim's path; `null` if it is not known. */
  add(cgroup: string | null, timeMs: number | undefined): void {
    for (const unit of [undefined, ...(cgroup === null ? [unknownUnit] : unitsIn(cgroup))]) {
      const minutes = this.#minutes.get(unit);
      if (minutes !== undefined) minutes.add(minuteOf(timeMs));
      else this.#minutes.set(unit, new Set([minuteOf(timeMs)]));
    }
  }

  /**
   * Whether a kill is known that a notice from that time may be about. Without a unit any kill counts, without a time any
   * time.
   */
  explain({ unit, killer }: UnitNotice, timeMs: number | undefined): boolean {
    const units = unit === undefined ? [undefined] : [unit, unknownUnit];
    const minute = minuteOf(timeMs);
    const minutesBefore = killer === undefined ? resultWithinMs / minuteMs : 1;
    return units.some((name) => {
      const minutes = this.#minutes.get(name);
      if (minutes === undefined) return false;
      if (minute === undefined || minutes.has(undefined)) return true;
      for (let near = minute - minutesBefore; near <= minute + 1; near++) {
        if (minutes.has(near)) return true;
      }
      return false;
    });
  }
}

function minuteOf(timeMs: number | undefined): number | undefined {
  return timeMs === undefined ? undefined : Math.floor(timeMs / minuteMs);
}
