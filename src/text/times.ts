/** Times for people. */

/** `3 minutes`, `2 hours`, `5 days`. */
export function duration(seconds: number): string {
  const steps: [number, string][] = [
    [86_400, "day"],
    [3_600, "hour"],
    [60, "minute"],
    [1, "second"],
  ];
  for (const [length, name] of steps) {
    const count = Math.floor(seconds / length);
    if (count >= 1) {
      return `${count} ${name}${count === 1 ? "" : "s"}`;
    }
  }
  return "less than a second";
}

/** A time this far in the future comes from before the clock was set back. */
const aheadSeconds = 60;

/** `3 minutes ago`; for a time in the future `before the clock was set back`. */
export function ago(thenMs: number, nowMs: number): string {
  const seconds = (nowMs - thenMs) / 1000;
  if (seconds < -aheadSeconds) return "before the clock was set back";
  return seconds < 1 ? "just now" : `${duration(seconds)} ago`;
}

/**
 * A forecast, rounded as people would: `less than a minute`, `about 9 minutes`, `about 25 minutes`,
 * `about an hour`, `about 5 hours`, `about 3 days`.
 */
export function about(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return "less than a minute";
  if (minutes === 1) return "about a minute";
  if (minutes <= 10) return `about ${minutes} minutes`;
  const fives = Math.round(seconds / 300) * 5;
  if (fives < 55) return `about ${fives} minutes`;
  const hours = Math.round(seconds / 3600);
  if (hours === 1) return "about an hour";
  if (hours < 24) return `about ${hours} hours`;
  const days = Math.round(seconds / 86_400);
  return days === 1 ? "about a day" : `about ${days} days`;
}

/** `2026-11-21 03:44:01 UTC`. */
export function utc(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** `03:44:01 UTC`, if the day is obvious. */
export function utcClock(timeMs: number): string {
  return utc(timeMs).slice(11);
}

const secondsOf = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** The forms that `parseSince` accepts, for error messages. */
export const sinceForms =
  "2026-11-21T03:44:00Z, Unix seconds, or a duration such as 30m, 2h, 1d or 1w";

/**
 * The time given by `--since` or `since=`: an RFC 3339 time, Unix seconds, or a duration before now. Returns
 * milliseconds since the epoch, `undefined` for anything else.
 */
export function parseSince(text: string, nowMs: number): number | undefined {
  const [, count, unit] = /^(\d{1,6}(?:\.\d+)?)([smhdw])$/.exec(text) ?? [];
  if (unit !== undefined) return nowMs - Number(count) * secondsOf[unit as "s"] * 1000;
  if (/^\d{1,11}(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const timeMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(timeMs) ? undefined : timeMs;
}
