import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { board, labelVariable } from "./board.ts";
import { hostLink, killAnnotations, killTable, ownerColumns, silentKills } from "./kill-table.ts";
import {
  withWorkloadName,
  workloadLegend,
  workloadLimit,
  workloadLimitRatio,
  workloadTimeLeft,
  workloadUnreclaimable,
} from "./memory.ts";
import { answer, graph, noColours, orangeThenRed, redAbove, redBelow, table } from "./panel.ts";
import { increase, increaseOverRange, orZero, rate, workloadSeries } from "./selector.ts";
import { threshold } from "./threshold.ts";

/**
 * The value "all" also matches an empty label: a unit has no pod, a pod no unit. The values come from two
 * metrics: kills outlive the container, and a slice has a limit but no kills of its own.
 */
const ownerVariables = (
  [
    ["namespace", "Namespace"],
    ["pod", "Pod"],
    ["container", "Container"],
    ["unit", "Unit"],
    ["cgroup", "Cgroup"],
  ] as const
).map(([name, label]) =>
  labelVariable(
    name,
    label,
    `label_values({__name__=~"oom_cgroup_memory_current_bytes|oom_workload_kills_total", job=~"$job", instance=~"$instance"}, ${name})`,
  ).allValue(".*"),
);

const counted = `round(sum(${increaseOverRange(workloadSeries("oom_workload_kills_total"))}))`;
const seen = `count(last_over_time(${workloadSeries("oom_kill_timestamp_seconds")}[$__range]))`;
/**
 * The larger of both. A container killed before its first scrape has no increase, only timestamps; a storm
 * has more kills than the exporter exports timestamps.
 */
const kills = `${counted} >= ${seen} or ${seen} or ${counted}`;

const silent = `count(last_over_time(${workloadSeries("oom_kill_timestamp_seconds")}[$__range]) and on (job, instance, incident) ${silentKills})`;

/** At most ten lines; a selected workload is one cgroup or a few. */
const worst = (query: string) => withWorkloadName(`topk(10, ${query})`);

/** The ten closest to their effective limit. */
const nearest = (query: string) => withWorkloadName(`${query} and topk(10, ${workloadLimitRatio})`);

export function workload(): Dashboard {
  return board({
    name: "workload",
    title: "OOM / Workload",
    description:
      "One unit, container or pod: its memory and its effective limit, how often it hit that limit, and its kills. Select one above, or click its name in the other dashboards. With nothing selected, it shows the ten worst on the host.",
    from: "now-3h",
    variables: ownerVariables,
    annotations: [killAnnotations(workloadSeries)],
    rows: [
      {
        question: "Will it be killed, or was it killed?",
        panels: [
          answer({
            title: "Share of its limit",
            description:
              "Unreclaimable memory (no page cache) as a share of its effective limit. At 100 % the kernel kills one of its processes: raise the limit or restart it first.",
            width: 4,
            unit: "percentunit",
            query: `max(${workloadLimitRatio})`,
            colours: orangeThenRed(0.8, threshold.cgroupNearLimit),
            empty: "no data",
          }),
          answer({
            title: "Time to the limit",
            description:
              "Time until it reaches its limit at the rate of the last 30 minutes; 'not growing' if it does not grow or is less than half full. A linear estimate; the alert OomCgroupRunningOut is stricter.",
            width: 4,
            unit: "s",
            query: `min(${workloadTimeLeft})`,
            colours: redBelow(threshold.timeLeftCritical, threshold.timeLeftWarning),
            empty: "not growing",
          }),
          answer({
            title: "Effective limit",
            description:
              "The smallest limit of its own and its ancestors; the host's memory if there is none. Lower than its own limit in the table below: a parent slice or pod has a smaller limit.",
            width: 4,
            unit: "bytes",
            query: `min(${workloadSeries("oom_cgroup_memory_effective_max_bytes")})`,
            colours: noColours,
            empty: "no data",
          }),
          answer({
            title: "Kills",
            description:
              "Its processes killed for lack of memory in this time range, including containers that no longer exist; 'silent' are those without which it runs on (outcome lives_on): nothing restarted it.",
            width: 4,
            unit: "none",
            query: orZero(kills),
            also: { nameOfFirst: "killed", name: "silent", query: orZero(silent) },
            colours: redAbove(1),
          }),
          answer({
            title: "Limit hit",
            description:
              "How often an allocation reached the limit in this time range, so that memory had to be reclaimed first. Often without kills: page cache was reclaimed, and the workload runs slower. Often with kills: the limit is too low.",
            width: 4,
            unit: "short",
            query: orZero(
              `round(sum(${increaseOverRange(workloadSeries("oom_cgroup_memory_events_total", { event: "max" }))}))`,
            ),
            colours: noColours,
          }),
          answer({
            title: "Full stalls",
            description:
              "Share of time in which all its runnable tasks waited for memory (PSI full). High while below the limit: memory.high throttles it, or the host itself is short of memory.",
            width: 4,
            unit: "percentunit",
            query: `max(${rate(workloadSeries("oom_cgroup_memory_stall_seconds_total", { kind: "full" }))})`,
            colours: redAbove(threshold.cgroupThrottled),
            empty: "no PSI",
          }),
          graph({
            title: "Memory against the limit",
            description:
              "Unreclaimable memory, its effective limit (red) and memory.high (orange), above which it is throttled. No red line: only the host's memory limits it. A line that climbs straight towards the red one is a leak; one that stays at it means the limit is too low.",
            width: 10,
            unit: "bytes",
            lines: [
              { query: nearest(workloadUnreclaimable), legend: workloadLegend },
              {
                query: nearest(workloadLimit),
                legend: `${workloadLegend} limit`,
                dashed: "red",
              },
              {
                query: worst(`${workloadSeries("oom_cgroup_memory_high_bytes")} < Inf`),
                legend: `${workloadLegend} high`,
                dashed: "orange",
              },
            ],
          }),
          killTable({
            of: workloadSeries,
            title: "Latest kills",
            width: 14,
            height: 8,
            short: true,
          }),
        ],
      },
      {
        question: "What is growing?",
        panels: [
          graph({
            title: "Memory by kind",
            description:
              "'anon' is heap and stacks, 'shmem' is tmpfs and shared memory, 'page cache' is reclaimed when needed. If anon grows: a leak or more work. If shmem grows: files in /dev/shm or a tmpfs, which a kill may not free. With several cgroups selected, the largest value of each kind.",
            width: 8,
            unit: "bytes",
            stacked: true,
            lines: [
              { query: `max(${workloadSeries("oom_cgroup_memory_anon_bytes")})`, legend: "anon" },
              { query: `max(${workloadSeries("oom_cgroup_memory_shmem_bytes")})`, legend: "shmem" },
              {
                query: `max(${workloadSeries("oom_cgroup_memory_file_bytes")} - ${workloadSeries("oom_cgroup_memory_shmem_bytes")})`,
                legend: "page cache",
              },
              {
                query: `max(${workloadSeries("oom_cgroup_memory_peak_bytes")})`,
                legend: "peak so far",
                dashed: "blue",
              },
            ],
          }),
          table({
            title: "Limits",
            description:
              "Each selected cgroup: its usage, its own limit, its effective limit and its peak. Own limit empty: it has none, and only an ancestor or the host limits it.",
            width: 16,
            height: 8,
            unit: "bytes",
            queries: [
              workloadSeries("oom_cgroup_memory_working_set_bytes"),
              workloadSeries("oom_cgroup_memory_current_bytes"),
              `${workloadSeries("oom_cgroup_memory_max_bytes")} < Inf`,
              workloadSeries("oom_cgroup_memory_effective_max_bytes"),
              workloadSeries("oom_cgroup_memory_peak_bytes"),
              workloadSeries("oom_cgroup_swap_current_bytes"),
            ],
            columns: [
              ...ownerColumns("row", ["namespace"]),
              { field: "instance", title: "Host", link: hostLink },
              { field: "A", title: "In use", width: 90 },
              { field: "B", title: "With cache", width: 90 },
              { field: "C", title: "Own limit", width: 90 },
              { field: "D", title: "Effective", width: 90 },
              { field: "E", title: "Peak", width: 90 },
              { field: "F", title: "Swap", width: 90 },
            ],
            sortBy: { title: "In use", descending: true },
            empty: "It no longer exists: widen the time range, or select another one",
          }),
        ],
      },
      {
        question: "What happens at its limit?",
        panels: [
          graph({
            title: "Events",
            description:
              "Events of the cgroup: 'high': throttled; 'max': an allocation reached the limit; 'oom': nothing left to reclaim; 'oom_kill': one process killed; 'oom_group_kill': all killed; 'low': protected memory reclaimed. 'max' without 'oom' is only page cache being reclaimed.",
            width: 8,
            unit: "none",
            bars: true,
            lines: [
              {
                query: `sum by (event) (${increase(workloadSeries("oom_cgroup_memory_events_total"))})`,
                legend: "{{event}}",
              },
            ],
          }),
          graph({
            title: "Stalls",
            description:
              "Share of time in which some of its tasks waited for memory. Above the dashed line it is visibly slower: it is at its own limit, or the host is out of memory.",
            width: 8,
            unit: "percentunit",
            alertAt: threshold.cgroupThrottled,
            lines: [
              {
                query: worst(
                  rate(workloadSeries("oom_cgroup_memory_stall_seconds_total", { kind: "some" })),
                ),
                legend: workloadLegend,
              },
            ],
          }),
          graph({
            title: "Swap",
            description:
              "Its memory in swap, and its swap limit (red) if it has one. With swap left, it reaches the limit later but slows down; without, the kill comes sooner.",
            width: 8,
            unit: "bytes",
            lines: [
              {
                query: worst(workloadSeries("oom_cgroup_swap_current_bytes")),
                legend: workloadLegend,
              },
              {
                query: worst(`${workloadSeries("oom_cgroup_swap_max_bytes")} < Inf`),
                legend: `${workloadLegend} limit`,
                dashed: "red",
              },
            ],
          }),
          graph({
            title: "Kills over time",
            description:
              "Its kills over time, including containers that no longer exist. A steady rhythm is a restart loop: it is restarted and killed again. A container killed before its first scrape has no bar here, only the red line of its kill.",
            width: 8,
            unit: "none",
            bars: true,
            lines: [
              {
                query: worst(`round(${increase(workloadSeries("oom_workload_kills_total"))})`),
                legend: workloadLegend,
              },
            ],
          }),
          table({
            title: "Which of its processes dies next",
            description:
              "Its processes that are among the first the kernel would kill on the whole host. Empty: it is small compared with the rest of the host, and only its own limit can kill it.",
            width: 8,
            height: 8,
            unit: "bytes",
            queries: [
              workloadSeries("oom_process_score"),
              workloadSeries("oom_process_resident_bytes"),
            ],
            columns: [
              { field: "A", title: "Score", width: 80, unit: "none" },
              { field: "comm", title: "Command" },
              { field: "pid", title: "PID", width: 90, unit: "string" },
              { field: "B", title: "Resident", width: 100 },
            ],
            sortBy: { title: "Score", descending: true },
            empty: "None of its processes is among the host's next victims",
          }),
          table({
            title: "Next victim at each limit",
            description:
              "The process in it that the kernel would kill at each limit that is near: 'host' is the host itself, the others are cgroups at 80 % of their limit.",
            width: 8,
            height: 8,
            unit: "none",
            queries: [workloadSeries("oom_next_victim_info")],
            columns: [
              { field: "scope", title: "Limit of" },
              { field: "comm", title: "Command" },
              { field: "pid", title: "PID", width: 90, unit: "string" },
            ],
            sortBy: { title: "Limit of", descending: false },
            empty: "None of its processes is a next victim",
          }),
        ],
      },
    ],
  });
}
