import type { Minute } from "./back-test.ts";
import type { RecordedSeries } from "./recorded-series.ts";

/** Usefulness of one alert, or of the exporter's own page. */
export interface Worth {
  /** For each kill: how long before it the warning began, `undefined` without a warning. */
  leadSeconds: readonly (number | undefined)[];
  /** Total duration of warnings. */
  minutes: number;
  /** Duration of warnings with nothing about to run out. */
  falseMinutes: number;
}

export interface Verdict {
  /** By alert, as `alertname severity`. */
  alerts: Readonly<Record<string, Worth>>;
  /** For the page. */
  page: Worth;
  /** Median error of the forecast time of the next kill, seconds; `undefined` without any. */
  missSeconds: { rules?: number; page?: number };
}

/**
 * Compares forecasts with what happened.
 *
 * An alert that keeps firing for a while after a kill does not count as a warning of the next kill.
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
