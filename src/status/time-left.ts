/*
 * Forecasts when memory runs out at the current rate, by the logic of prometheus-rules/recording.yml (group oom-trend):
 * there is a forecast if usage grew in a straight line through a window that was covered from its start; a shorter
 * window must agree, and the slower of the two rates applies; and only past half of the limit.
 *
 * Individual readings of the last hour show more than the rules can ask for. There are two more reasons for no forecast:
 * usage that fell and has not exceeded its earlier level (the ramps of a sawtooth are straight lines), and growth that
 * slows down so that it would end below the limit (a warm-up).
 */
import { thresholds } from "./thresholds.ts";

/** Memory in use at one time that only a kill or swapping can free. */
export interface UsePoint {
  /** Wall clock, milliseconds since the epoch. */
  atMs: number;
  usedBytes: number;
}

/**
 * Why there is no forecast.
 *
 * - `plenty_left`: at most half of the limit is in use.
 * - `page_cache`: page cache fills the limit; the kernel drops it before it kills. Set by the caller, which knows the
 *   cache.
 * - `watched_too_short`: less than a quarter of an hour of readings without a gap, or less than an hour if the limit is
 *   more than half an hour away.
 * - `fell_back`: usage fell within the hour, as after a restart, a kill or a garbage collection, and has not exceeded
 *   its earlier level since.
 * - `not_growing`: usage is constant or shrinking.
 * - `slowing_down`: growth is slowing and would stop below the limit.
 * - `no_line`: usage goes up and down, or grew in steps.
 * - `far_off`: usage grows, but reaches the limit in more than four hours.
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

/** When a limit will be reached if usage keeps growing at this rate, or why there is no forecast. */
export type TimeLeft = { seconds: number; bytesPerSecond: number } | { refused: Refusal };

/** A window that is evaluated, and the shorter one at its end that must agree. */
interface Window {
  ms: number;
  checkMs: number;
  /** How far ahead it can forecast, and the result beyond that. */
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

/** Share of a window, from its start: a scraper's first reading may be late. */
const watchedShare = 0.9;
/** Two missed readings of a scraper with a one-minute interval. */
const gapMs = 2.5 * minuteMs;
/** Share of the limit; the host's is the same. */
const refusedUpTo = 1 - thresholds["oom_cgroup_forecast_warning:ratio"];
/** Usage that was this close to the limit and fell below the other share was ended by the limit: a kill. */
const killed = { from: 0.9, to: 0.75 };
/** Sawteeth vary in height: exceeding the last one by this share of its depth may just be the next one. */
const unevenness = 0.2;

/**
 * Forecasts when `limitBytes` will be reached, from the last hour.
 *
 * Invariant: noise, a step, and a sawtooth with an observed fall never get a forecast.
 *
 * @param points ascending in time; those older than an hour are ignored
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

/** The readings of the last hour after the last gap or clock step. */
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

/** The readings after the limit last ended the growth; all readings if it did not. */
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

/** True if usage since `sinceMs` has clearly exceeded its level before each fall. */
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
 * How much more usage comes if growth keeps slowing down as it did from the first half of `points` to the second:
 * `s * tau` for a current rate `s` that decays with the time constant `tau`. Infinite unless it slowed down by more than
 * the scatter around the two lines explains (two standard errors).
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
  /** Bytes per second. */
  slope: number;
  /** Standard error of the slope. */
  slopeError: number;
  /** R squared. */
  fit: number;
}

/** Least squares. `NaN` if there are too few points for a line. */
function lineThrough(points: readonly UsePoint[]): Line {
  const count = points.length;
  // Uses sums around the means: squares of wall-clock milliseconds would leave no digits for the rest.
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
