import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { board } from "./board.ts";
import { killAnnotations, killTable, ownerColumns, silentKills } from "./kill-table.ts";
import { availableRatio, hostTimeLeft, ownLimitRatio, swapFreeRatio } from "./memory.ts";
import { answer, graph, noColours, orangeThenRed, redAbove, redBelow, table } from "./panel.ts";
import { increaseOverRange, orZero, rate, series } from "./selector.ts";
import { threshold } from "./threshold.ts";

const limited = `(0 < ${series("oom_cgroup_memory_max_bytes")} < Inf)`;
/** A table merges several queries, so all of them must select the same few cgroups. */
const nearestToLimit = `topk(25, ${ownLimitRatio})`;

export function host(): Dashboard {
  return board({
    name: "host",
    title: "OOM / Host",
    description:
      "One host: how much memory is left, what was killed, where the memory went and which process is next. Red lines across the graphs are kills. If several hosts are selected, numbers show the worst host and areas show sums.",
    from: "now-3h",
    annotations: [killAnnotations(series)],
    rows: [
      {
        question: "Is it in danger, and what was killed?",
        panels: [
          answer({
            title: "Available memory",
            description:
              "Share of memory that new workloads can use without swapping. Red: the next large allocation may trigger a kill. Free memory now: restart or stop something from the tables below.",
            width: 4,
            unit: "percentunit",
            query: `min(${availableRatio})`,
            colours: redBelow(threshold.hostAvailableLow, 2 * threshold.hostAvailableLow),
            empty: "unknown",
          }),
          answer({
            title: "Free swap",
            description:
              "Share of swap that is free. Full swap with little available memory: a kill is next. Full swap alone is harmless.",
            width: 4,
            unit: "percentunit",
            query: `min(${swapFreeRatio})`,
            colours: redBelow(threshold.swapFreeLow, 2 * threshold.swapFreeLow),
            empty: "no swap",
          }),
          answer({
            title: "Full stalls",
            description:
              "Share of time in which all runnable tasks waited for memory (PSI full). Above 10 % with little memory available, the host thrashes: stop something yourself, which is faster than waiting for the kernel.",
            width: 4,
            unit: "percentunit",
            query: `max(${rate(series("oom_host_memory_stall_seconds_total", { kind: "full" }))})`,
            colours: redAbove(threshold.hostStalled),
            empty: "no PSI",
          }),
          answer({
            title: "Time left",
            description:
              "Time until memory and swap run out at the rate of the last 30 minutes; 'not falling' if they do not fall or half is left. A linear estimate; the alert OomHostMemoryRunningOut is stricter.",
            width: 4,
            unit: "s",
            query: `min(${hostTimeLeft})`,
            colours: redBelow(threshold.timeLeftCritical, threshold.timeLeftWarning),
            empty: "not falling",
          }),
          answer({
            title: "Kills",
            description:
              "Processes killed for lack of memory in this time range; 'silent' are those whose workload runs on without them (outcome lives_on): nothing restarted it. The table below explains each.",
            width: 4,
            unit: "none",
            query: orZero(`round(sum(${increaseOverRange(series("oom_kills_total"))}))`),
            also: { nameOfFirst: "killed", name: "silent", query: orZero(`count(${silentKills})`) },
            colours: redAbove(1),
          }),
          answer({
            title: "Next victim",
            description:
              "The process that the kernel would kill if the host ran out now. To protect it, lower its oom_score_adj, or limit the workload that uses the most memory.",
            width: 4,
            unit: "none",
            query: series("oom_next_victim_info", { scope: "host" }),
            legend: "{{comm}} ({{pid}})",
            colours: noColours,
            empty: "unknown",
          }),
          killTable({ of: series, title: "Latest kills", width: 24, height: 9 }),
        ],
      },
      {
        question: "Where did the memory go?",
        panels: [
          graph({
            title: "Memory by kind",
            description:
              "All memory of the host; the areas add up to it. 'anon' belongs to processes; 'shmem' is tmpfs and shared memory, which a kill may not free; 'slab_unreclaimable', 'page_tables', 'kernel_stack', 'percpu' and 'vmalloc' belong to the kernel; 'zspages' is zram and zswap; 'other' is memory that drivers and others allocated directly; 'page_cache' and 'slab_reclaimable' are reclaimed when needed. The dashed line is memory of exempt processes: if it is near the top, the kernel has to kill small, innocent processes.",
            width: 12,
            unit: "bytes",
            stacked: true,
            lines: [
              {
                query: `sum by (kind) (${series("oom_host_memory_used_bytes")})`,
                legend: "{{kind}}",
              },
              { query: `sum(${series("oom_host_memory_free_bytes")})`, legend: "free" },
              {
                query: `sum(${series("oom_unkillable_resident_bytes")})`,
                legend: "unkillable",
                dashed: "red",
              },
            ],
          }),
          table({
            title: "Cgroups against their limits",
            description:
              "Units, containers and slices with their own limit, closest first. 'Unreclaimable' excludes page cache; at 100 % the kernel kills a process in the cgroup. Click one to see how fast it grows.",
            width: 12,
            height: 8,
            unit: "bytes",
            queries: [
              nearestToLimit,
              `${series("oom_cgroup_memory_current_bytes")} and ${nearestToLimit}`,
              `${limited} and ${nearestToLimit}`,
            ],
            columns: [
              ...ownerColumns("board", ["namespace"]),
              {
                field: "A",
                title: "Unreclaimable",
                width: 140,
                unit: "percentunit",
                colours: orangeThenRed(0.8, threshold.cgroupNearLimit),
              },
              { field: "B", title: "In use", width: 90 },
              { field: "C", title: "Limit", width: 90 },
            ],
            sortBy: { title: "Unreclaimable", descending: true },
            empty: "No cgroup has a limit",
          }),
          table({
            title: "Which process dies next",
            description:
              "The processes that the kernel would kill first, by its badness score: memory plus oom_score_adj. A process at -1000 is never killed, one above 0 is killed earlier. If you can do without the top one, stop it yourself: it exits cleanly that way.",
            width: 12,
            height: 8,
            unit: "bytes",
            queries: [
              series("oom_process_score"),
              series("oom_process_score_adj"),
              series("oom_process_resident_bytes"),
              series("oom_process_swap_bytes"),
            ],
            columns: [
              { field: "A", title: "Score", width: 80, unit: "none" },
              { field: "comm", title: "Command" },
              { field: "pid", title: "PID", width: 90, unit: "string" },
              { field: "C", title: "Resident", width: 100 },
              { field: "D", title: "Swap", width: 90 },
              { field: "B", title: "Adj", width: 70, unit: "none" },
              ...ownerColumns("board", ["namespace", "cgroup"]),
            ],
            sortBy: { title: "Score", descending: true },
            empty: "No process can be read: run `oom-exporter doctor`",
          }),
          table({
            title: "Next victim at each limit",
            description:
              "The process that the kernel would kill if the host, or a cgroup at 80 % of its limit, ran out now. At a cgroup's limit the kernel kills only inside that cgroup.",
            width: 12,
            height: 8,
            unit: "none",
            queries: [series("oom_next_victim_info")],
            columns: [
              { field: "scope", title: "Limit of" },
              { field: "comm", title: "Command" },
              { field: "pid", title: "PID", width: 90, unit: "string" },
              ...ownerColumns("board", ["namespace", "cgroup"]),
            ],
            sortBy: { title: "Limit of", descending: false },
            empty: "Unknown: processes cannot be read",
          }),
        ],
      },
      {
        question: "How did it come to this?",
        panels: [
          graph({
            title: "Pressure",
            description:
              "Share of time in which some or all runnable tasks waited for memory. 'some' means slower, 'full' means nothing could run; above the dashed line users notice. Rising before a kill: there was time to act. No pressure at all: a single allocation was too large.",
            width: 8,
            unit: "percentunit",
            alertAt: threshold.hostStalled,
            lines: [
              {
                query: `max by (kind) (${rate(series("oom_host_memory_stall_seconds_total"))})`,
                legend: "{{kind}}",
              },
            ],
          }),
          graph({
            title: "Swap",
            description:
              "Swap in use, and bytes swapped in and out per second. Used but quiet is fine: it holds cold pages. Heavy traffic in both directions is thrashing: stop something.",
            width: 8,
            unit: "bytes",
            lines: [
              {
                query: `sum(${series("oom_host_swap_total_bytes")} - ${series("oom_host_swap_free_bytes")})`,
                legend: "used",
              },
              {
                query: `sum(${series("oom_host_swap_total_bytes")})`,
                legend: "total",
                dashed: "red",
              },
              { query: `sum(${rate(series("oom_host_swap_in_bytes_total"))})`, legend: "in" },
              { query: `sum(${rate(series("oom_host_swap_out_bytes_total"))})`, legend: "out" },
            ],
            units: { in: "binBps", out: "binBps" },
          }),
          graph({
            title: "Reclaim",
            description:
              "How hard the kernel works to free memory: page faults that read from disk, and allocations that had to reclaim memory first. Both high while memory is short: the host is thrashing.",
            width: 8,
            unit: "ops",
            lines: [
              {
                query: `sum(${rate(series("oom_host_major_faults_total"))})`,
                legend: "major faults",
              },
              {
                query: `sum(${rate(series("oom_host_direct_reclaim_stalls_total"))})`,
                legend: "direct reclaim",
              },
            ],
          }),
          graph({
            title: "Committed memory",
            description:
              "Memory that processes have allocated and may still touch, and the commit limit. The limit applies only with vm.overcommit_memory=2; allocations fail once it is reached.",
            width: 12,
            unit: "bytes",
            lines: [
              { query: `sum(${series("oom_host_committed_bytes")})`, legend: "committed" },
              {
                query: `sum(${series("oom_host_commit_limit_bytes")})`,
                legend: "limit",
                dashed: "red",
              },
              {
                query: `sum(${series("oom_host_memory_total_bytes")})`,
                legend: "memory",
                dashed: "blue",
              },
            ],
          }),
          table({
            title: "Kernel settings",
            description:
              "Kernel settings that decide how memory runs out and what is killed. With panic_on_oom other than 0 the kernel panics instead of killing; with oom_kill_allocating_task=1 it kills the allocating process, not the largest; with oom_dump_tasks=0 its report has no task table.",
            width: 12,
            height: 8,
            unit: "none",
            queries: [series("oom_host_sysctl")],
            columns: [
              { field: "name", title: "Setting" },
              { field: "A", title: "Value", width: 110 },
              { field: "instance", title: "Host" },
            ],
            sortBy: { title: "Setting", descending: false },
            empty: "The settings cannot be read",
          }),
        ],
      },
    ],
  });
}
