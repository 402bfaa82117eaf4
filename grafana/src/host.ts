import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { board } from "./board.ts";
import { killAnnotations, killTable, ownerColumns } from "./kill-table.ts";
import { availableRatio, hostTimeLeft, ownLimitRatio, swapFreeRatio } from "./memory.ts";
import { answer, graph, noColours, orangeThenRed, redAbove, redBelow, table } from "./panel.ts";
import { increaseOverRange, orZero, rate, series } from "./selector.ts";
import { threshold } from "./threshold.ts";

const limited = `(0 < ${series("oom_cgroup_memory_max_bytes")} < Inf)`;
/** The rows of a table come from several queries: each asks for the same few cgroups. */
const nearestToLimit = `topk(25, ${ownLimitRatio})`;

export function host(): Dashboard {
  return board({
    name: "host",
    title: "OOM / Host",
    description:
      "One host: how much memory is left, who was killed, where the memory went and who dies next. Red lines across the graphs are kills. With several hosts chosen, numbers are those of the worst and areas are sums.",
    from: "now-3h",
    annotations: [killAnnotations(series)],
    rows: [
      {
        question: "Is it in danger, and who died?",
        panels: [
          answer({
            title: "Available memory",
            description:
              "Share of memory that new work can get without swapping. Red: the next large allocation may kill. Free some now: restart or stop what the tables below name.",
            width: 4,
            unit: "percentunit",
            query: `min(${availableRatio})`,
            colours: redBelow(threshold.hostAvailableLow, 2 * threshold.hostAvailableLow),
            empty: "unknown",
          }),
          answer({
            title: "Free swap",
            description:
              "Share of swap still free. Full swap and little available memory: nothing is left before a kill. Full swap alone is harmless.",
            width: 4,
            unit: "percentunit",
            query: `min(${swapFreeRatio})`,
            colours: redBelow(threshold.swapFreeLow, 2 * threshold.swapFreeLow),
            empty: "no swap",
          }),
          answer({
            title: "Standstill",
            description:
              "Share of time in which all runnable tasks waited for memory (PSI full). Above 10 % with little memory available, the host thrashes: kill or stop something yourself, it is faster than waiting for the kernel.",
            width: 4,
            unit: "percentunit",
            query: `max(${rate(series("oom_host_memory_stall_seconds_total", { kind: "full" }))})`,
            colours: redAbove(threshold.hostStalled),
            empty: "no PSI",
          }),
          answer({
            title: "Time left",
            description:
              "When memory and swap are gone if they go on falling as in the last 30 minutes; 'not falling' where they do not, or where half is left. A straight line, no promise; the alert OomHostMemoryRunningOut is stricter.",
            width: 4,
            unit: "s",
            query: `min(${hostTimeLeft})`,
            colours: redBelow(threshold.timeLeftCritical, threshold.timeLeftWarning),
            empty: "not falling",
          }),
          answer({
            title: "Kills",
            description:
              "Processes killed for want of memory in this time range. Each is a row below, with its story.",
            width: 4,
            unit: "none",
            query: orZero(`round(sum(${increaseOverRange(series("oom_kills_total"))}))`),
            colours: redAbove(1),
          }),
          answer({
            title: "Next to die",
            description:
              "The process the kernel would kill if the host ran out now. If it must live: lower its oom_score_adj, or give the real hog a limit.",
            width: 4,
            unit: "none",
            query: series("oom_next_victim_info", { scope: "host" }),
            legend: "{{comm}} ({{pid}})",
            colours: noColours,
            empty: "unknown",
          }),
          killTable({ of: series, title: "Last kills", width: 24, height: 9 }),
        ],
      },
      {
        question: "Where did the memory go?",
        panels: [
          graph({
            title: "Memory by kind",
            description:
              "All memory of the host; the areas add up to it. 'anon' belongs to processes; 'shmem' is tmpfs and shared memory, which a kill may not free; 'slab_unreclaimable', 'page_tables', 'kernel_stack', 'percpu' and 'vmalloc' are the kernel's own; 'zspages' is zram and zswap; 'other' is what drivers and the like took for themselves; 'page_cache' and 'slab_reclaimable' are given back when needed. The dashed line is held by processes that may not be killed: near the top, the kernel takes small innocents.",
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
              "Units, containers and slices with a limit of their own, nearest first. 'Cannot give back' leaves out page cache; at 100 % a process in it is killed. Click one to see how fast it grows.",
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
                title: "Cannot give back",
                width: 140,
                unit: "percentunit",
                colours: orangeThenRed(0.8, threshold.cgroupNearLimit),
              },
              { field: "B", title: "Holds", width: 90 },
              { field: "C", title: "Limit", width: 90 },
            ],
            sortBy: { title: "Cannot give back", descending: true },
            empty: "No cgroup has a limit",
          }),
          table({
            title: "Who dies next",
            description:
              "The processes the kernel would kill first, by its own badness score: memory held plus oom_score_adj. -1000 is never killed, above 0 asks to go first. Stop the top one yourself if it can be spared: that is a clean exit, a kill is not.",
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
            title: "Next to die at each limit",
            description:
              "Whom the kernel would kill if the host, or a cgroup that holds 80 % of its limit, ran out now. A cgroup's own limit takes only what is inside it.",
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
            empty: "Nobody: no process can be read",
          }),
        ],
      },
      {
        question: "How did it come to this?",
        panels: [
          graph({
            title: "Pressure",
            description:
              "Share of time in which some or all runnable tasks waited for memory. 'some' means slower, 'full' means at a standstill; above the dashed line users notice. Rising before a kill: there was time to act. None at all: one allocation was too large.",
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
              "Swap in use, and what goes in and out a second. Used but quiet is fine: cold pages live there. Much in and out at once is thrashing: stop something.",
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
              "How hard the kernel searches for memory: page faults that had to read from disk, and allocations that had to free memory themselves. Both high while memory is short: the host is thrashing.",
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
            title: "Promised memory",
            description:
              "What processes asked for and may yet touch, against what the kernel would promise at most. The limit binds only where vm.overcommit_memory is 2; there, nothing can start when it is reached.",
            width: 12,
            unit: "bytes",
            lines: [
              { query: `sum(${series("oom_host_committed_bytes")})`, legend: "promised" },
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
            title: "Settings that decide",
            description:
              "Kernel settings that decide how memory runs out and who is killed. panic_on_oom other than 0 reboots in place of a kill; oom_kill_allocating_task 1 kills whoever asks, not the largest; oom_dump_tasks 0 leaves the report without its table.",
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
            empty: "No setting can be read",
          }),
        ],
      },
    ],
  });
}
