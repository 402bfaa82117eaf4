/*
 * When memory runs out at the present trend, by the reasoning of prometheus-rules/recording.yml (group
 * oom-trend): a time is given where use grew on a straight line through a window that was watched from
 * its start, a shorter window says so too and the slower of the two speeds is taken, and only past
 * half of the limit.
 *
 * The last hour in single looks shows more than the rules can ask for. Two further reasons to refuse:
 * use that fell and has not grown past where it was (the ramps of a sawtooth are straight lines), and
 * growth that slows down so that it would end before the limit (a warm-up).
 */
import { thresholds } from "./thresholds.ts";

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
 * - `page_cache`: what fills the limit is page cache, which the kernel drops before it kills. Said by
 *   the caller, who knows of the cache.
 * - `watched_too_short`: less than a quarter of an hour was watched without a gap, or less than an hour
 *   of a growth that needs more than half an hour.
 * - `fell_back`: use fell within the hour, as after a restart, a kill or a collection of garbage, and
 *   what came since shows no more than what was before.
 * - `not_growing`: use stands still or shrinks.
 * - `slowing_down`: it grows, but ever slower, and at that would stop before the limit.
 * - `no_line`: it goes up and down, or grew in steps.
 * - `far_off`: it grows, but needs more than four hours.
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

/** A stretch of time that is judged, and the shorter one at its end that has to agree. */
interface Window {
  ms: number;
  checkMs: number;
  /** How far ahead it tells, and what it says beyond. */
  horizonMs: number;
  beyond: Refusal;
}

const minuteMs = 60_000;
const hour: Window = {
  ms: 60 * minuteMs,
  checkMs: 15 * minuteMs,
  horizonMs: thresholds["oom_time_left_warning:seconds"] * 1000,
  beyond: "far_off",
};
const quarter: Window = {
  ms: 15 * minuteMs,
  checkMs: 5 * minuteMs,
  horizonMs: thresholds["oom_time_left_critical:seconds"] * 1000,
  beyond: "watched_too_short",
};

/** Of a window, from its start: a scraper's first look may be late. */
const watchedShare = 0.9;
/** Two missed looks of a scraper that comes once a minute. */
const gapMs = 2.5 * minuteMs;
/** Of the limit; the host's is the same. */
const refusedUpTo = 1 - thresholds["oom_cgroup_forecast_warning:ratio"];
/** Use that was this near the limit and fell below the other share was ended by the limit: a kill. */
const killed = { from: 0.9, to: 0.75 };
/** Teeth are not all of one height: what exceeds the last by this share of its depth may be the next. */
const unevenness = 0.2;

/**
 * When `limitBytes` is reached, judged by the last hour.
 *
 * Invariant: noise, a step, and a sawtooth of which a fall was watched never get a time.
 *
 * @param points ascending in time; those older than an hour are passed over
 * @param limitBytes a cgroup's limit, or the host's memory and swap together
 */
export function timeLeft(points: readonly UsePoint[], limitBytes: number, nowMs: number): TimeLeft {
  const whole = withoutGap(points, nowMs);
  const last = whole.at(-1);
  if (last === undefined) return { refused: "watched_too_short" };
  if (last.usedBytes <= limitBytes * refusedUpTo) return { refused: "plenty_left" };
  const watched = sinceKill(whole, limitBytes);
  if (!isWatched(watched, quarter, nowMs)) {
    return { refused: watched === whole ? "watched_too_short" : "fell_back" };
  }
  const soon = judge(watched, limitBytes, nowMs, quarter);
  if (!isWatched(watched, hour, nowMs)) return soon;
  const later = judge(watched, limitBytes, nowMs, hour);
  if ("refused" in later) {
    const overrules = "refused" in soon && soon.refused === quarter.beyond;
    return overrules || later.refused === "slowing_down" ? later : soon;
  }
  return "refused" in soon || later.seconds < soon.seconds ? later : soon;
}

/** The looks of the last hour after the last gap or step of the clock. */
function withoutGap(points: readonly UsePoint[], nowMs: number): readonly UsePoint[] {
  let nextMs = nowMs;
  let start = points.length;
  while (start > 0) {
    const { atMs } = points[start - 1] as UsePoint;
    if (atMs > nextMs || nextMs - atMs > gapMs || nowMs - atMs > hour.ms) break;
    nextMs = atMs;
    start--;
  }
  return points.slice(start);
}

/** What came after the limit last ended the growth; all where it did not. */
function sinceKill(points: readonly UsePoint[], limitBytes: number): readonly UsePoint[] {
  let start = 0;
  let wasNear = false;
  points.forEach(({ usedBytes }, index) => {
    if (wasNear && usedBytes <= limitBytes * killed.to) {
      start = index;
      wasNear = false;
    }
    wasNear ||= usedBytes >= limitBytes * killed.from;
  });
  return start === 0 ? points : points.slice(start);
}

function isWatched(points: readonly UsePoint[], { ms }: Window, nowMs: number): boolean {
  return nowMs - (points[0]?.atMs ?? nowMs) >= ms * watchedShare;
}

function judge(
  watched: readonly UsePoint[],
  limitBytes: number,
  nowMs: number,
  { ms, checkMs, horizonMs, beyond }: Window,
): TimeLeft {
  const { atMs, usedBytes } = watched.at(-1) as UsePoint;
  const points = watched.filter((point) => point.atMs >= nowMs - ms);
  const line = lineThrough(points);
  const check = lineThrough(points.filter((point) => point.atMs >= nowMs - checkMs));
  const bytesPerSecond = Math.min(line.slope, check.slope);
  if (!(bytesPerSecond > 0)) return { refused: "not_growing" };
  if (line.fit < thresholds["oom_trend_fit:ratio"]) return { refused: "no_line" };
  if (!isNewHeight(watched, nowMs - checkMs)) return { refused: "fell_back" };
  const leftBytes = limitBytes - usedBytes;
  if (riseToComeBytes(points) < leftBytes) return { refused: "slowing_down" };
  const seconds = Math.max(0, leftBytes / bytesPerSecond - (nowMs - atMs) / 1000);
  return seconds * 1000 > horizonMs ? { refused: beyond } : { seconds, bytesPerSecond };
}

/** True where use has been higher since `sinceMs` than before: than each fall began, and then some. */
function isNewHeight(points: readonly UsePoint[], sinceMs: number): boolean {
  let highest = 0;
  let toExceed = 0;
  let highestSince = 0;
  for (const { atMs, usedBytes } of points) {
    if (atMs >= sinceMs) {
      highestSince = Math.max(highestSince, usedBytes);
      continue;
    }
    highest = Math.max(highest, usedBytes);
    toExceed = Math.max(toExceed, highest + (highest - usedBytes) * unevenness);
  }
  return highestSince > toExceed;
}

/**
 * How much more comes if growth goes on slowing down as it did from the first half of `points` to the
 * second: `s * tau` for a speed that is `s` now and decays with the time constant `tau`. Endless
 * unless it slowed down by more than the scatter about the two lines explains (two standard errors).
 */
function riseToComeBytes(points: readonly UsePoint[]): number {
  const startMs = (points[0] as UsePoint).atMs;
  const spanMs = (points.at(-1) as UsePoint).atMs - startMs;
  const middleMs = startMs + spanMs / 2;
  const early = lineThrough(points.filter(({ atMs }) => atMs < middleMs));
  const late = lineThrough(points.filter(({ atMs }) => atMs >= middleMs));
  const scatter = 2 * Math.hypot(early.slopeError, late.slopeError);
  if (!(early.slope - late.slope > scatter)) return Number.POSITIVE_INFINITY;
  if (late.slope <= 0) return 0;
  const tauSeconds = spanMs / 2000 / Math.log(early.slope / late.slope);
  return late.slope * Math.exp(-spanMs / 4000 / tauSeconds) * tauSeconds;
}

interface Line {
  /** Bytes a second. */
  slope: number;
  /** Standard error of the slope. */
  slopeError: number;
  /** R squared. */
  fit: number;
}

/** Least squares. `NaN` where there are too few points for a line. */
function lineThrough(points: readonly UsePoint[]): Line {
  const count = points.length;
  // Sums about the means: the squares of wall-clock milliseconds would leave no digits for the rest.
  const meanMs = points.reduce((sum, { atMs }) => sum + atMs, 0) / count;
  const meanBytes = points.reduce((sum, { usedBytes }) => sum + usedBytes, 0) / count;
  let tt = 0;
  let ty = 0;
  let yy = 0;
  for (const { atMs, usedBytes } of points) {
    const t = (atMs - meanMs) / 1000;
    const y = usedBytes - meanBytes;
    tt += t * t;
    ty += t * y;
    yy += y * y;
  }
  const slope = ty / tt;
  const residual = Math.max(0, yy - slope * ty);
  return { slope, slopeError: Math.sqrt(residual / (count - 2) / tt), fit: (ty * ty) / (tt * yy) };
}
