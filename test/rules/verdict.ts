import type { Minute } from "./back-test.ts";
import type { RecordedSeries } from "./recorded-series.ts";

/** What one alert, or the exporter's own page, would have been worth. */
export interface Worth {
  /** For each kill: how long before it the warning began, `undefined` where there was none. */
  leadSeconds: readonly (number | undefined)[];
  /** How long it warned in all. */
  minutes: number;
  /** How long of that nothing was to run out. */
  falseMinutes: number;
}

export interface Verdict {
  /** By alert, as `alertname severity`. */
  alerts: Readonly<Record<string, Worth>>;
  /** Of the exporter's page. */
  page: Worth;
  /** Median of how far forecasts were from the kill that followed, seconds; `undefined` without any. */
  missSeconds: { rules?: number; page?: number };
}

/**
 * Holds against each other what was said of a series and what became of it.
 *
 * What is said after a kill because an alert keeps firing for a while is no warning of the next.
 */
export function judge(series: RecordedSeries, minutes: readonly Minute[]): Verdict {
  const names = new Set(minutes.flatMap(({ firing }) => firing));
  const worth = (warns: (minute: Minute) => boolean): Worth => ({
    minutes: minutes.filter(warns).length,
    leadSeconds: series.killedAtSeconds.map((killedAt, index) =>
      lead(minutes, warns, series.killedAtSeconds[index - 1] ?? 0, killedAt),
    ),
    falseMinutes: series.runsOut ? 0 : minutes.filter(warns).length,
  });
  return {
    alerts: Object.fromEntries(
      [...names].map((name) => [name, worth(({ firing }) => firing.includes(name))]),
    ),
    page: worth(({ page }) => "seconds" in page),
    missSeconds: {
      rules: miss(series, minutes, ({ forecasts }) => Object.values(forecasts).at(-1)),
      page: miss(series, minutes, ({ page }) => ("seconds" in page ? page.seconds : undefined)),
    },
  };
}

function lead(
  minutes: readonly Minute[],
  warns: (minute: Minute) => boolean,
  lastKill: number,
  kill: number,
): number | undefined {
  const between = minutes.filter(({ atSeconds }) => atSeconds > lastKill && atSeconds <= kill);
  const silent = lastKill === 0 ? 0 : between.findIndex((minute) => !warns(minute));
  const first = between.slice(Math.max(0, silent)).find(warns);
  return first && kill - first.atSeconds;
}

function miss(
  { killedAtSeconds }: RecordedSeries,
  minutes: readonly Minute[],
  said: (minute: Minute) => number | undefined,
): number | undefined {
  const misses = minutes.flatMap((minute) => {
    const seconds = said(minute);
    const kill = killedAtSeconds.find((killedAt) => killedAt >= minute.atSeconds);
    if (seconds === undefined || kill === undefined) return [];
    return [Math.abs(seconds - (kill - minute.atSeconds))];
  });
  misses.sort((a, b) => a - b);
  return misses[Math.floor(misses.length / 2)];
}
