import { series, workloadSeries } from "./selector.ts";
import { threshold } from "./threshold.ts";

/*
 * The few quantities that several panels and the alerts share, each defined once.
 * See prometheus-rules/recording.yml for the same definitions as rules.
 */

/** Share of a host's memory that new work can get without swapping. */
export const availableRatio = `${series("oom_host_memory_available_bytes")} / ${series("oom_host_memory_total_bytes")}`;

const headroom = `(${series("oom_host_memory_available_bytes")} + ${series("oom_host_swap_free_bytes")})`;

/** What is left before the kernel has to kill, memory and swap together, as a share of both. */
export const headroomRatio = `${headroom} / (${series("oom_host_memory_total_bytes")} + ${series("oom_host_swap_total_bytes")})`;

/** NaN on a host without swap. */
export const swapFreeRatio = `${series("oom_host_swap_free_bytes")} / ${series("oom_host_swap_total_bytes")}`;

/** Bytes a second by which a host's headroom grows; a slope of sums is the sum of the slopes. */
function headroomSlope(window: string): string {
  return `deriv(${series("oom_host_memory_available_bytes")}[${window}]) + deriv(${series("oom_host_swap_free_bytes")}[${window}])`;
}

/**
 * Seconds until a host has nothing left, if it goes on as in the last 30 minutes. Absent where it is
 * not falling, where the last 5 minutes disagree, where half is left, or where it is a day away.
 */
export const hostTimeLeft = refusing(
  `${headroom} / -(${headroomSlope("30m")} < 0)`,
  `${headroomSlope("5m")} < 0`,
  `${headroomRatio} < ${threshold.hostForecast}`,
);

function refusing(seconds: string, ...unless: readonly string[]): string {
  return `(${[seconds, ...unless].join(" and ")}) < 86400`;
}

/**
 * Memory of cgroups that only a kill or swap takes back: page cache is left out, because a cgroup
 * always fills its limit with that and gives it back when asked.
 */
function unreclaimable(of: typeof series): string {
  return `clamp_min(${of("oom_cgroup_memory_current_bytes")} - ${of("oom_cgroup_memory_file_bytes")} + ${of("oom_cgroup_memory_shmem_bytes")}, 0)`;
}

/** The same as a share of the cgroup's own limit; only cgroups that have one. */
export const ownLimitRatio = `${unreclaimable(series)} / (0 < ${series("oom_cgroup_memory_max_bytes")} < Inf)`;

/** The chosen workload's memory that it cannot give back, and as a share of the tightest limit above it. */
export const workloadUnreclaimable = unreclaimable(workloadSeries);
export const workloadLimitRatio = `${workloadUnreclaimable} / ${workloadSeries("oom_cgroup_memory_effective_max_bytes")}`;

/** Bytes a second by which that memory grows. */
function workloadSlope(window: string): string {
  const slope = (query: string) => `deriv(${query}[${window}])`;
  return `${slope(workloadSeries("oom_cgroup_memory_current_bytes"))} - ${slope(workloadSeries("oom_cgroup_memory_file_bytes"))} + ${slope(workloadSeries("oom_cgroup_memory_shmem_bytes"))}`;
}

/** Seconds until the chosen workload meets its tightest limit; absent as with `hostTimeLeft`. */
export const workloadTimeLeft = refusing(
  `(${workloadSeries("oom_cgroup_memory_effective_max_bytes")} - ${workloadUnreclaimable}) / (${workloadSlope("30m")} > 0)`,
  `${workloadSlope("5m")} > 0`,
  `${workloadLimitRatio} > 0.5`,
);

/** The limit that binds the chosen workload, where that is less than the host's memory. */
export const workloadLimit = `${workloadSeries("oom_cgroup_memory_effective_max_bytes")} < on (job, instance) group_left () ${series("oom_host_memory_total_bytes")}`;

/**
 * Gives each series a label `workload` to read in a legend: the container, else "pod" for a pod as a
 * whole, else the unit, else the path of the cgroup.
 */
export function withWorkloadName(query: string): string {
  const steps: [value: string, label: string][] = [
    ["$1", "cgroup"],
    ["$1", "unit"],
    ["pod", "pod"],
    ["$1", "container"],
  ];
  return steps.reduce(
    (inner, [value, label]) =>
      `label_replace(${inner}, "workload", "${value}", "${label}", "(.+)")`,
    query,
  );
}

/** For series with that label; a host's units have neither namespace nor pod, and show none. */
export const workloadLegend = "{{namespace}} {{pod}} {{workload}}";
