/** How sizes and times are written for people. */

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `1.4 GiB`, `512 MiB`, `980 B`. */
export function bytes(value: number): string {
  let unit = 0;
  let scaled = Math.abs(value);
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  // 1023.97 MiB would be written as 1024 MiB.
  if (Number(scaled.toFixed(digitsOf(scaled, unit))) >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  const text = scaled.toFixed(digitsOf(scaled, unit)).replace(/\.0$/, "");
  return `${value < 0 ? "-" : ""}${text} ${units[unit]}`;
}

function digitsOf(scaled: number, unit: number): number {
  return unit === 0 || scaled >= 100 ? 0 : 1;
}

/** `97 %`; never 0 % of something nor 100 % of less than all. */
export function percent(part: number, whole: number): string {
  const exact = (part / whole) * 100;
  if (exact > 0 && exact < 1) {
    return "under 1 %";
  }
  return `${exact < 100 ? Math.min(99, Math.round(exact)) : Math.round(exact)} %`;
}

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

/** `3 minutes ago`; a time that lies ahead, by a clock that was set, is `just now`. */
export function ago(thenMs: number, nowMs: number): string {
  const seconds = (nowMs - thenMs) / 1000;
  return seconds < 1 ? "just now" : `${duration(seconds)} ago`;
}

/** `2026-11-21 03:44:01 UTC`. */
export function utc(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
