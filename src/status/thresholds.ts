/**
 * Thresholds of the page, under the names of the corresponding alert rules: group oom-thresholds in
 * prometheus-rules/recording.yml, which explains each. They are equal as shipped; changing a rule changes the alerts
 * only.
 */
export const thresholds = {
  "oom_host_available_low:ratio": 0.1,
  "oom_host_headroom_critical:ratio": 0.05,
  "oom_cgroup_near_limit:ratio": 0.9,
  "oom_time_left_warning:seconds": 4 * 3600,
  "oom_time_left_critical:seconds": 30 * 60,
  "oom_trend_fit:ratio": 0.85,
  "oom_host_forecast_warning:ratio": 0.5,
  "oom_cgroup_forecast_warning:ratio": 0.5,
} as const;
