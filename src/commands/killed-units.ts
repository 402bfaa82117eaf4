/**
 * Which units lost processes to kills whose own lines were read, and when: what the service manager says of such a unit
 * is nothing new. A log may hold any number of kills, so only their minutes are kept.
 */

/** The service manager reacts to a kill within a few seconds, or later where the host hangs. */
const minuteMs = 60_000;
const isUnit = /\.(?:service|scope|slice|socket|mount|swap)$/;
const deleted = / \(deleted\)$/;
/** The name under which kills in a cgroup that is not known are kept: they may have been in any unit. */
const unknownUnit = "";

export class KilledUnits {
  /** Minutes since 1970 by unit; `undefined` for a kill without a time. */
  readonly #minutes = new Map<string, Set<number | undefined>>();

  /** Adds a kill. `cgroup` is the victim's path; `null` if it is not known. */
  add(cgroup: string | null, timeMs: number | undefined): void {
    const units =
      cgroup === null
        ? [unknownUnit]
        : cgroup
            .replace(deleted, "")
            .split("/")
            .filter((name) => isUnit.test(name));
    for (const unit of units) {
      const minutes = this.#minutes.get(unit);
      if (minutes !== undefined) minutes.add(minuteOf(timeMs));
      // A copy, which keeps no part of the log alive.
      else this.#minutes.set(structuredClone(unit), new Set([minuteOf(timeMs)]));
    }
  }

  /** Whether a kill in this unit is known from about that time. Without a unit any kill counts, without a time any time. */
  has(unit: string | undefined, timeMs: number | undefined): boolean {
    const units = unit === undefined ? [...this.#minutes.keys()] : [unit, unknownUnit];
    const minute = minuteOf(timeMs);
    return units.some((name) => {
      const minutes = this.#minutes.get(name);
      if (minutes === undefined) return false;
      if (minute === undefined || minutes.has(undefined)) return true;
      return [minute - 1, minute, minute + 1].some((near) => minutes.has(near));
    });
  }
}

function minuteOf(timeMs: number | undefined): number | undefined {
  return timeMs === undefined ? undefined : Math.floor(timeMs / minuteMs);
}
