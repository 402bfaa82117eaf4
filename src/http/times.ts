/** How times are written for people. */

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
