import type { UsePoint } from "./time-left.ts";

const hourMs = 3_600_000;
/** Looks closer together show no more, and would push the hour's beginning out of the ring. */
const leastApartMs = 9000;
/** A scraper that comes every 15 seconds is late at times: a look of one's own would double its work. */
const dueAfterMs = 20_000;
/** Enough for an hour of looks as close together as they may be. */
const slots = Math.ceil(hourMs / leastApartMs) + 1;

/** The same moment on both clocks. */
export interface Moment {
  /** A clock that never goes back and is never set, milliseconds. */
  monotonicMs: number;
  /** Wall clock, milliseconds since the epoch. */
  wallMs: number;
}

/**
 * What was in use during the last hour, look by look, for a bounded number of names.
 *
 * Times are kept by the monotonic clock and become wall-clock times only when they are asked for, so a
 * clock that is set moves the whole hour and tears no hole into it. While the machine is suspended that
 * clock stands still, as memory does. Without a look there is no point: a gap stays a gap.
 *
 * Memory: 4 KiB a name, whatever is noted (measured; 401 numbers and what V8 keeps with them).
 */
export class LastHour {
  readonly #namesAtMost: number;
  readonly #times = new Float64Array(slots).fill(Number.NEGATIVE_INFINITY);
  /** A name's bytes, `NaN` where a look did not see it; the longest unseen name comes first. */
  readonly #columns = new Map<string, Float64Array>();
  #newest = -1;

  constructor(namesAtMost: number) {
    this.#namesAtMost = namesAtMost;
  }

  /** True where the last look is so old that the hour needs one of its own. */
  isDue(monotonicMs: number): boolean {
    return monotonicMs - this.#newestMs >= dueAfterMs;
  }

  /**
   * Notes one look. One that follows too closely on another is passed over.
   *
   * @param uses bytes in use by name, the most important first: those for which there is no room are
   *   left out. Names that are not among them are forgotten.
   * @param isWhole false where the look did not come to every name: then only those are forgotten whose
   *   room is needed, the longest unseen first.
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
    // Partial looks forget no name, and a host with many cgroups may never give a whole one.
    for (const longestUnseen of this.#columns.keys()) {
      if (this.#columns.size <= this.#namesAtMost) break;
      this.#columns.delete(longestUnseen);
    }
  }

  /** The looks of the last hour in which `name` was seen, the oldest first. */
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
