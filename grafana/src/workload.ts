import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { board, labelVariable } from "./board.ts";
import { hostLink, killAnnotations, killTable, ownerColumns } from "./kill-table.ts";
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
 * The value "all" matches an empty label too: a unit has no pod, a pod no unit. Asked of two metrics:
 * kills are kept when the container is gone, and a slice has no kills of its own but a limit.
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
 * The larger of both. A container that was killed before its first scrape has no increase, only time
 * stamps; a storm has more kills than the exporter shows time stamps.
 */
const kills = `${counted} >= ${seen} or ${seen} or ${counted}`;

/** Lines of at most so many cgroups; a chosen workload is one or a few. */
const worst = (query: string) => withWorkloadName(`topk(10, ${query})`);

/** Of the ten nearest to the limit that binds them. */
const nearest = (query: string) => withWorkloadName(`${query} and topk(10, ${workloadLimitRatio})`);

export function workload(): Dashboard {
  return board({
    name: "workload",
    title: "OOM / Workload",
    description:
      "One unit, container or pod: its memory against the limit that binds it, how often it hit it, and its kills. Choose one above, or come here by a click on its name in the other dashboards. With nothing chosen, it shows the ten worst of the host.",
    from: "now-3h",
    variables: ownerVariables,
    annotations: [killAnnotations(workloadSeries)],
    rows: [
      {
        question: "Will it be killed, or was it?",
        panels: [
          answer({
            title: "Of its limit",
            description:
              "Memory it cannot give back (no page cache) as a share of the tightest limit above it. At 100 % one of its processes is killed: raise the limit or restart it before.",
            width: 4,
            unit: "percentunit",
            query: `max(${workloadLimitRatio})`,
            colours: orangeThenRed(0.8, threshold.cgroupNearLimit),
            empty: "it is gone",
          }),
          answer({
            title: "Time to the limit",
            description:
              "When it meets its limit if it goes on growing as in the last 30 minutes; 'not growing' where it does not, or is less than half full. A straight line, no promise; the alert OomCgroupRunningOut is stricter.",
            width: 4,
            unit: "s",
            query: `min(${workloadTimeLeft})`,
            colours: redBelow(threshold.timeLeftCritical, threshold.timeLeftWarning),
            empty: "not growing",
          }),
          answer({
            title: "Limit that binds",
            description:
              "The tightest limit of it and of what it runs in; the host's memory where there is none. Lower than its own limit in the table below: a slice or pod above it has less.",
            width: 4,
            unit: "bytes",
            query: `min(${workloadSeries("oom_cgroup_memory_effective_max_bytes")})`,
            colours: noColours,
            empty: "it is gone",
          }),
          answer({
            title: "Kills",
            description:
              "Its processes killed for want of memory in this time range, also in containers that are gone.",
            width: 4,
            unit: "none",
            query: orZero(kills),
            colours: redAbove(1),
          }),
          answer({
            title: "Limit hit",
            description:
              "How often an allocation met the limit in this time range and memory had to be freed first. Often, with no kill: page cache was given back, it runs slower. Often, with kills: the limit is too low.",
            width: 4,
            unit: "short",
            query: orZero(
              `round(sum(${increaseOverRange(workloadSeries("oom_cgroup_memory_events_total", { event: "max" }))}))`,
            ),
            colours: noColours,
          }),
          answer({
            title: "Standstill",
            description:
              "Share of time in which all its runnable tasks waited for memory (PSI full). High below the limit: it is throttled by memory.high, or the host itself is short.",
            width: 4,
            unit: "percentunit",
            query: `max(${rate(workloadSeries("oom_cgroup_memory_stall_seconds_total", { kind: "full" }))})`,
            colours: redAbove(threshold.cgroupThrottled),
            empty: "no PSI",
          }),
          graph({
            title: "Memory against the limit",
            description:
              "What it cannot give back, against the tightest limit (red) and memory.high (orange), above which it is throttled. No red line: only the host's memory limits it. A line that climbs straight to the red one is a leak; one that lies on it is a limit too low.",
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
            title: "Its last kills",
            width: 14,
            height: 8,
            short: true,
          }),
        ],
      },
      {
        question: "What is it that grows?",
        panels: [
          graph({
            title: "What its memory is made of",
            description:
              "'anon' is heap and stacks, 'shmem' tmpfs and shared memory, 'page cache' is given back when needed. Anon grows: a leak or more work. Shmem grows: files in /dev/shm or a tmpfs, which a kill may not free. Of several cgroups chosen, the largest of each.",
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
              "Each chosen cgroup: what it holds, its own limit, the tightest limit above it, and its peak. Own limit empty: it has none, and only what it runs in or the host stops it.",
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
              { field: "D", title: "Tightest", width: 90 },
              { field: "E", title: "Peak", width: 90 },
              { field: "F", title: "Swap", width: 90 },
            ],
            sortBy: { title: "In use", descending: true },
            empty: "It is gone: widen the time range, or choose another one",
          }),
        ],
      },
      {
        question: "How does it fare at its limit?",
        panels: [
          graph({
            title: "Events",
            description:
              "What the kernel did to it: 'high' throttled, 'max' met the limit, 'oom' found nothing left to free, 'oom_kill' killed one process, 'oom_group_kill' all of them, 'low' took memory it was promised. 'max' without 'oom' is page cache at work.",
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
              "Share of time in which some of its tasks waited for memory. Above the dashed line it is visibly slower: it works against its limit, or against the host's.",
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
              "What of it lies in swap, against its swap limit (red) where it has one. With swap left, the limit is met later but everything gets slow; with none, the kill comes sooner.",
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
              "Its kills over time, containers that are gone included. A steady rhythm is a restart loop: somebody restarts what is killed again. A container that was killed before its first scrape has no bar here, only the red line of its kill.",
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
              "Those of its processes that are among the first the kernel would kill on the whole host. Not there: it is small beside the others, and only its own limit threatens it.",
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
            empty: "None of the host's first victims is in it",
          }),
          table({
            title: "Who dies if a limit is hit",
            description:
              "The victim inside it that the kernel would choose, for each limit that could be hit now: 'host' is the host itself, the others are cgroups 80 % full.",
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
            empty: "Not one of its processes is next anywhere",
          }),
        ],
      },
    ],
  });
}
