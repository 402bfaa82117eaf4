/** How much was in use at one time, of what only a kill or swap takes back. */
export interface UsePoint {
  /** Wall clock, milliseconds since the epoch. */
  atMs: number;
  usedBytes: number;
}

/**
 * Why no time is given.
 *
 * - `plenty_left`: no more than half of the limit is in use.
 * - `page_cache`: what fills the limit is page cache, which the kernel drops before it kills.
 * - `watched_too_short`: less than a quarter of an hour was watched without a gap.
 * - `fell_back`: use fell within the hour, as after a restart or a collection of garbage, and has not
 *   grown past where it was.
 * - `not_growing`: use stands still or shrinks.
 * - `slowing_down`: it grows, but ever slower, and at that would stop before the limit.
 * - `no_line`: it goes up and down, or grew in steps.
 * - `far_off`: it grows, but needs longer than can be told from an hour.
 */
export type Refusal =
  | "plenty_left"
  | "page_cache"
  | "watched_too_short"
  | "fell_back"
  | "not_growing"
  | "slowing_down"
  | "no_line"
  | "far_off";

/** When a limit is reached if use grows on as it does, or why that is not said. */
export type TimeLeft = { seconds: number; bytesPerSecond: number } | { refused: Refusal };
