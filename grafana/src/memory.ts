import { series, workloadSeries } from "./selector.ts";
import { threshold } from "./threshold.ts";

/*
 * Quantities that several panels share. prometheus-rules/recording.yml has the same definitions as rules.
 */

/** Share of a host's memory that new workloads can use without swapping. */
export const availableRatio = `${series("oom_host_memory_available_bytes")} / ${series("oom_host_memory_total_bytes")}`;

const headroom = `(${series("oom_host_memory_available_bytes")} + ${series("oom_host_swap_free_bytes")})`;

/** Available memory plus free swap, as a share of memory plus swap: what is left before the kernel kills. */
export const headroomRatio = `${headroom} / (${series("oom_host_memory_total_bytes")} + ${series("oom_host_swap_total_bytes")})`;

/** NaN on a host without swap. */
export const swapFreeRatio = `${series("oom_host_swap_free_bytes")} / ${series("oom_host_swap_total_bytes")}`;

/** Growth of a host's headroom, bytes per second. The slope of a sum is the sum of the slopes. */
function headroomSlope(window: string): string {
  return `deriv(${series("oom_host_memory_available_bytes")}[${window}]) + deriv(${series("oom_host_swap_free_bytes")}[${window}])`;
}

/**
 * Seconds until a host has nothing left, at the rate of the last 30 minutes. Absent if the headroom is not
 * falling, if the last 5 minutes disagree, if half is left, or if it takes more than a day.
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
 * Memory of cgroups that only a kill or swapping can free. Page cache is excluded: a cgroup always fills its
 * limit with it, and the kernel reclaims it when needed.
 */
function unreclaimable(of: typeof series): string {
  return `clamp_min(${of("oom_cgroup_memory_current_bytes")} - ${of("oom_cgroup_memory_file_bytes")} + ${of("oom_cgroup_memory_shmem_bytes")}, 0)`;
}

/** The same as a share of the cgroup's own limit; only cgroups that have one. */
export const ownLimitRatio = `${unreclaimable(series)} / (0 < ${series("oom_cgroup_memory_max_bytes")} < Inf)`;

/** The selected workload's unreclaimable memory, in bytes and as a share of its effective limit. */
export const workloadUnreclaimable = unreclaimable(workloadSeries);
export const workloadLimitRatio = `${workloadUnreclaimable} / ${workloadSeries("oom_cgroup_memory_effective_max_bytes")}`;

/** Growth of that memory, bytes per second. */
function workloadSlope(window: string): string {
  const slope = (query: string) => `deriv(${query}[${window}])`;
  return `${slope(workloadSeries("oom_cgroup_memory_current_bytes"))} - ${slope(workloadSeries("oom_cgroup_memory_file_bytes"))} + ${slope(workloadSeries("oom_cgroup_memory_shmem_bytes"))}`;
}

/** Seconds until the selected workload reaches its effective limit; absent as for `hostTimeLeft`. */
export const workloadTimeLeft = refusing(
  `(${workloadSeries("oom_cgroup_memory_effective_max_bytes")} - ${workloadUnreclaimable}) / (${workloadSlope("30m")} > 0)`,
  `${workloadSlope("5m")} > 0`,
  `${workloadLimitRatio} > 0.5`,
);

/** The selected workload's effective limit, if that is less than the host's memory. */
export const workloadLimit = `${workloadSeries("oom_cgroup_memory_effective_max_bytes")} < on (job, instance) group_left () ${series("oom_host_memory_total_bytes")}`;

/**
 * Adds a label `workload` for legends: the container, else "pod" for a whole pod, else the unit, else the
 * path of the cgroup.
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

/** For series with that label; units have no namespace and pod, so those stay empty. */
export const workloadLegend = "{{namespace}} {{pod}} {{workload}}";
