/**
 * Where a number turns orange or red. The same numbers as in prometheus-rules/recording.yml, group
 * oom-thresholds (a test compares them), so that what is red has an alert. They are written out because
 * a dashboard must also work where the rules are not loaded.
 */
export const threshold = {
  /** Share of the host's memory still available. */
  hostAvailableLow: 0.1,
  /** Share of memory and swap together still to be had. */
  hostHeadroomCritical: 0.05,
  /** Share of time in which all runnable tasks of the host waited for memory. */
  hostStalled: 0.1,
  /** Seconds until memory runs out. */
  timeLeftWarning: 4 * 3600,
  timeLeftCritical: 30 * 60,
  /** Share of memory and swap left, above which a forecast would only cry wolf. */
  hostForecast: 0.5,
  /** Share of swap still free. */
  swapFreeLow: 0.1,
  /** Share of a cgroup's limit that it cannot give back. */
  cgroupNearLimit: 0.9,
  /** Share of time in which some task of a cgroup waited for memory. */
  cgroupThrottled: 0.1,
} as const;
