import type { UsePoint } from "./time-left.ts";

const hourMs = 3_600_000;
/** Readings closer together add no detail, and would push the start of the hour out of the ring. */
const leastApartMs = 9000;
/** A scraper with a 15 s interval is sometimes late; an extra reading then would double its work. */
const dueAfterMs = 20_000;
/** Enough for an hour of readings at the minimum distance. */
const slots = Math.ceil(hourMs / leastApartMs) + 1;

/** The same moment on both clocks. */
export interface Moment {
  /** A monotonic clock that is never set, milliseconds. */
  monotonicMs: number;
  /** Wall clock, milliseconds since the epoch. */
  wallMs: number;
}

/**
 * Usage during the last hour, reading by reading, for a bounded number of names.
 *
 * Times are kept by the monotonic clock and converted to wall-clock times only on request, so setting the clock moves
 * the whole hour instead of tearing a hole into it. While the machine is suspended that clock stands still, as memory
 * does. There is no point without a reading: a gap stays a gap.
 *
 * Memory: 4 KiB per name, whatever is recorded (measured; 401 numbers plus V8's overhead).
 */
export class LastHour {
  readonly #namesAtMost: number;
  readonly #times = new Float64Array(slots).fill(Number.NEGATIVE_INFINITY);
  /** A name's bytes, `NaN` for readings without it; the name not seen for the longest time comes first. */
  readonly #columns = new Map<string, Float64Array>();
  #newest = -1;

  constructor(namesAtMost: number) {
    this.#namesAtMost = namesAtMost;
  }

  /** True if the last reading is so old that the history needs a new one. */
  isDue(monotonicMs: number): boolean {
    return monotonicMs - this.#newestMs >= dueAfterMs;
  }

  /**
   * Records one reading. A reading that follows too soon after another is ignored.
   *
   * @param uses bytes in use by name, most important first: names beyond the maximum are left out. Names that are missing
   *   are forgotten.
   * @param isWhole false if the reading did not cover every name: then names are forgotten only to make room, the one not
   *   seen for the longest time first.
   */
  note(
    monotonicMs: number,
    uses: Iterable<readonly [name: string, usedBytes: number]>,
    isWhole = true,
  ): void {
    if (monotonicMs - this.#newestMs < leastApartMs) return;
    this.#newest = (this.#newest + 1) % slots;
    this.#times[this.#newest] = monotonicMs;
    const now = new Map([...uses].slice(0, this.#namesAtMost));
    for (const [name, column] of this.#columns) {
      column[this.#newest] = Number.NaN;
      if (isWhole && !now.has(name)) this.#columns.delete(name);
    }
    for (const [name, usedBytes] of now) {
      const column = this.#columns.get(name) ?? new Float64Array(slots).fill(Number.NaN);
      column[this.#newest] = usedBytes;
      this.#columns.delete(name);
      this.#columns.set(name, column);
    }
    // Partial readings forget no name, and a host with many cgroups may never deliver a complete one.
    for (const longestUnseen of this.#columns.keys()) {
      if (this.#columns.size <= this.#namesAtMost) break;
      this.#columns.delete(longestUnseen);
    }
  }

  /** The readings of the last hour that include `name`, oldest first. */
  points(name: string, { monotonicMs, wallMs }: Moment): UsePoint[] {
    const column = this.#columns.get(name);
    const points: UsePoint[] = [];
    for (let step = 1; step <= slots && column !== undefined; step++) {
      const slot = (this.#newest + step) % slots;
      const agoMs = monotonicMs - (this.#times[slot] as number);
      const usedBytes = column[slot] as number;
      if (agoMs > hourMs || Number.isNaN(usedBytes)) continue;
      points.push({ atMs: Math.round(wallMs - agoMs), usedBytes });
    }
    return points;
  }

  get #newestMs(): number {
    return this.#times[this.#newest] ?? Number.NEGATIVE_INFINITY;
  }
}
