import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { board } from "./board.ts";
import { hostLink, killTable, ownerColumns, userspaceKillTable } from "./kill-table.ts";
import { availableRatio, headroomRatio, hostTimeLeft, ownLimitRatio } from "./memory.ts";
import { answer, graph, noColours, orangeThenRed, redAbove, redBelow, table } from "./panel.ts";
import { increase, increaseOverRange, orZero, rate, series, targetsUp } from "./selector.ts";
import { threshold } from "./threshold.ts";

const killsByHost = `sum by (job, instance) (${increaseOverRange(series("oom_kills_total"))})`;
const stalled = rate(series("oom_host_memory_stall_seconds_total", { kind: "full" }));

/**
 * Kills in the time range by labels. A series that starts with its first kill has no increase yet; the
 * timestamp series finds that kill.
 */
function killsInRange(counter: "oom_workload_kills_total" | "oom_command_kills_total", by: string) {
  const counted = `round(sum by (${by}) (${increaseOverRange(series(counter))})) > 0`;
  const seen = `count by (${by}) (last_over_time(${series("oom_kill_timestamp_seconds")}[$__range]))`;
  return `${counted} or ${seen}`;
}

/** A table merges several queries, so all of them must select the same few hosts. */
const worstHosts = `bottomk(25, ${availableRatio})`;
const ofWorstHosts = (query: string) => `${query} and on (job, instance) ${worstHosts}`;

export function fleet(): Dashboard {
  return board({
    name: "fleet",
    title: "OOM / Fleet",
    description:
      "Which hosts are running out of memory, and what was killed. Start with the top row: whatever is not green needs attention. Click a host or a workload to see why.",
    from: "now-3h",
    rows: [
      {
        question: "What is in danger, and what was killed?",
        panels: [
          answer({
            title: "Kills",
            description:
              "Processes that the kernel killed for lack of memory in this time range. Above 0: the table of kills says which and why.",
            width: 4,
            unit: "none",
            query: orZero(`round(sum(${killsByHost}))`),
            colours: redAbove(1),
          }),
          answer({
            title: "Hosts with kills",
            description:
              "Hosts with at least one kill in this time range. Many at once: look for something that was rolled out to all of them.",
            width: 4,
            unit: "none",
            query: orZero(`count(round(${killsByHost}) > 0)`),
            colours: redAbove(1),
          }),
          answer({
            title: "Hosts in danger",
            description:
              "Hosts with less than 10 % of memory available, or less than 5 % of memory and swap together. The next large allocation may trigger a kill: open the host from the table below.",
            width: 4,
            unit: "none",
            query: orZero(
              `count(${availableRatio} < ${threshold.hostAvailableLow} or ${headroomRatio} < ${threshold.hostHeadroomCritical})`,
            ),
            colours: redAbove(1),
          }),
          answer({
            title: "Cgroups near their limit",
            description:
              "Units, containers and other cgroups whose unreclaimable memory exceeds 90 % of their own limit. At 100 % the kernel kills: raise the limit or restart them first.",
            width: 4,
            unit: "none",
            query: orZero(`count(${ownLimitRatio} > ${threshold.cgroupNearLimit})`),
            colours: orangeThenRed(1, 10),
          }),
          answer({
            title: "Blind hosts",
            description:
              "Hosts where kills would go unseen: no kernel log can be read, or the kernel counted kills that did not appear in its log. Run `oom-exporter doctor` there.",
            width: 4,
            unit: "none",
            query: orZero(
              `count(max by (job, instance) (${series("oom_log_source_up")}) == 0 or max by (job, instance) (${series("oom_kills_unaccounted")}) > 0)`,
            ),
            colours: redAbove(1),
          }),
          answer({
            title: "Exporters down",
            description:
              "Scrape targets that do not answer. A host that is out of memory may be too slow to answer: check it first.",
            width: 4,
            unit: "none",
            query: orZero(`count(${targetsUp()} == 0)`),
            colours: redAbove(1),
          }),
          table({
            title: "Hosts with the least memory left",
            description:
              "The 25 hosts closest to a kill, worst first. 'Left' counts memory and swap; 'Stalled' is the share of time in which all tasks waited for memory; 'Time left' appears only if less than half is left and falling. Click a host to see where its memory went.",
            width: 9,
            height: 9,
            unit: "percentunit",
            queries: [
              `max by (job, instance) (${worstHosts})`,
              `max by (job, instance) (${ofWorstHosts(headroomRatio)})`,
              `max by (job, instance) (${ofWorstHosts(stalled)})`,
              `min by (job, instance) (${ofWorstHosts(hostTimeLeft)})`,
              ofWorstHosts(`round(${killsByHost})`),
            ],
            columns: [
              { field: "instance", title: "Host", link: hostLink },
              {
                field: "A",
                title: "Available",
                width: 100,
                colours: redBelow(threshold.hostAvailableLow, 2 * threshold.hostAvailableLow),
              },
              {
                field: "B",
                title: "Left",
                width: 90,
                colours: redBelow(threshold.hostHeadroomCritical, threshold.hostAvailableLow),
              },
              {
                field: "C",
                title: "Stalled",
                width: 90,
                colours: redAbove(threshold.hostStalled),
                empty: "-",
              },
              {
                field: "D",
                title: "Time left",
                width: 100,
                unit: "s",
                colours: redBelow(threshold.timeLeftCritical, threshold.timeLeftWarning),
                empty: "-",
              },
              { field: "E", title: "Kills", width: 80, unit: "none", colours: redAbove(1) },
            ],
            sortBy: { title: "Available", descending: false },
            empty: "No hosts are scraped",
          }),
          killTable({ of: series, title: "Latest kills", width: 15, height: 9, short: true }),
          userspaceKillTable({
            of: series,
            title: "Killed by other programs",
            width: 24,
            height: 6,
          }),
        ],
      },
      {
        question: "Since when, and which workloads?",
        panels: [
          graph({
            title: "Kills by what ran out",
            description:
              "'none' means the host itself, 'memcg' the limit of a unit or container, 'cpuset' and 'memory_policy' a set of memory nodes. If the pattern changes, something was changed: look at the time of the first bar.",
            width: 12,
            unit: "none",
            bars: true,
            lines: [
              {
                query: `round(sum by (constraint) (${increase(series("oom_kills_total"))}))`,
                legend: "{{constraint}}",
              },
            ],
          }),
          graph({
            title: "Available memory of the 10 fullest hosts",
            description:
              "Share of memory that new workloads can use without swapping. Below the dashed line the alert OomHostMemoryLow fires. A line that falls steadily is a leak; a step is a deployment.",
            width: 12,
            unit: "percentunit",
            max: 1,
            alertAt: threshold.hostAvailableLow,
            lines: [{ query: `bottomk(10, ${availableRatio})`, legend: "{{instance}}" }],
          }),
          table({
            title: "Workloads killed most",
            description:
              "Kills in this time range by cgroup, including containers that no longer exist. The same one repeatedly: its limit is too low, or it leaks. Click it to see its memory and its limit.",
            width: 12,
            height: 8,
            unit: "none",
            queries: [
              `topk(20, ${killsInRange("oom_workload_kills_total", "job, instance, cgroup, unit, container, pod, namespace")})`,
            ],
            columns: [
              { field: "A", title: "Kills", width: 80, colours: redAbove(1) },
              { field: "instance", title: "Host", link: hostLink },
              ...ownerColumns("row"),
            ],
            sortBy: { title: "Kills", descending: true },
            empty: "No workload was killed in this time range",
          }),
          table({
            title: "Workloads closest to their limit",
            description:
              "Unreclaimable memory (no page cache) as a share of the cgroup's own limit. These workloads are the next to be killed at their limit. Click one to see how fast it grows.",
            width: 12,
            height: 8,
            unit: "percentunit",
            queries: [`topk(20, ${ownLimitRatio})`],
            columns: [
              {
                field: "A",
                title: "Of its limit",
                width: 110,
                colours: orangeThenRed(0.8, threshold.cgroupNearLimit),
              },
              { field: "instance", title: "Host", link: hostLink },
              ...ownerColumns("row"),
            ],
            sortBy: { title: "Of its limit", descending: true },
            empty: "No cgroup has a limit",
          }),
        ],
      },
      {
        question: "What is the cause?",
        panels: [
          graph({
            title: "Full stalls on the 10 most stalled hosts",
            description:
              "Share of time in which all runnable tasks of a host waited for memory (PSI full). Above the dashed line users notice. High while memory is available: the cause is a slow disk or a container limit, not a full host.",
            width: 8,
            unit: "percentunit",
            alertAt: threshold.hostStalled,
            lines: [{ query: `topk(10, ${stalled})`, legend: "{{instance}}" }],
          }),
          table({
            title: "Commands killed most",
            description:
              "Kills in this time range by the victim's name, across all hosts. One name on many hosts: the program is the problem, not the hosts.",
            width: 8,
            height: 8,
            unit: "none",
            queries: [`topk(20, ${killsInRange("oom_command_kills_total", "comm")})`],
            columns: [
              { field: "A", title: "Kills", width: 80, colours: noColours },
              { field: "comm", title: "Command" },
            ],
            sortBy: { title: "Kills", descending: true },
            empty: "Nothing was killed in this time range",
          }),
          table({
            title: "Next victim on each host",
            description:
              "The process that the kernel would kill if the host ran out now. If it is a database or sshd, protect it with oom_score_adj, or limit the workload that uses the most memory.",
            width: 8,
            height: 8,
            unit: "none",
            queries: [series("oom_next_victim_info", { scope: "host" })],
            columns: [
              { field: "instance", title: "Host", link: hostLink },
              { field: "comm", title: "Command" },
              ...ownerColumns("row", ["namespace", "cgroup"]),
            ],
            sortBy: { title: "Host", descending: false },
            empty: "Unknown: processes cannot be read on any host",
          }),
        ],
      },
    ],
  });
}
