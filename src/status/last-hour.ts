import { UseRing } from "../collections/use-ring.ts";
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
 * Memory: 1.7 KiB per name.
 */
export class LastHour {
  readonly #ring: UseRing;

  constructor(namesAtMost: number) {
    this.#ring = new UseRing({ slots, apartMs: leastApartMs, namesAtMost });
  }

  /** True if the last reading is so old that the history needs a new one. */
  isDue(monotonicMs: number): boolean {
    return monotonicMs - this.#ring.lastMs >= dueAfterMs;
  }

  /** False if a reading now would follow too soon after another, and be ignored. */
  takes(monotonicMs: number): boolean {
    return this.#ring.isDue(monotonicMs);
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
    this.#ring.note(monotonicMs, uses, { forgetsUnseen: isWhole });
  }

  /** The readings of the last hour that include `name`, oldest first. */
  points(name: string, { monotonicMs, wallMs }: Moment): UsePoint[] {
    return this.#ring
      .uses(name)
      .map(({ atMs, bytes }) => ({ agoMs: monotonicMs - atMs, usedBytes: bytes }))
      .filter(({ agoMs }) => agoMs <= hourMs)
      .map(({ agoMs, usedBytes }) => ({ atMs: Math.round(wallMs - agoMs), usedBytes }));
  }
}
