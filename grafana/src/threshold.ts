/**
 * Where a number turns orange or red: the same values as in prometheus-rules/recording.yml, group oom-thresholds
 * (a test compares them), so that everything red has an alert. They are constants because the dashboards must
 * also work without the rules.
 */
export const threshold = {
  /** Share of the host's memory that is available. */
  hostAvailableLow: 0.1,
  /** Share of memory plus swap that is available. */
  hostHeadroomCritical: 0.05,
  /** Share of time in which all runnable tasks of the host waited for memory. */
  hostStalled: 0.1,
  /** Seconds until memory runs out. */
  timeLeftWarning: 4 * 3600,
  timeLeftCritical: 30 * 60,
  /** Share of memory plus swap left, above which a forecast would be a false alarm. */
  hostForecast: 0.5,
  /** Share of swap that is free. */
  swapFreeLow: 0.1,
  /** Unreclaimable share of a cgroup's limit. */
  cgroupNearLimit: 0.9,
  /** Share of time in which some task of a cgroup waited for memory. */
  cgroupThrottled: 0.1,
} as const;
