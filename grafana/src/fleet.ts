import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { board } from "./board.ts";
import { hostLink, killTable, ownerColumns } from "./kill-table.ts";
import { availableRatio, headroomRatio, hostTimeLeft, ownLimitRatio } from "./memory.ts";
import { answer, graph, noColours, orangeThenRed, redAbove, redBelow, table } from "./panel.ts";
import { increase, increaseOverRange, orZero, rate, series, targetsUp } from "./selector.ts";
import { threshold } from "./threshold.ts";

const killsByHost = `sum by (job, instance) (${increaseOverRange(series("oom_kills_total"))})`;
const stalled = rate(series("oom_host_memory_stall_seconds_total", { kind: "full" }));

/**
 * Kills in the time range by labels. A series that was born by its first kill has no increase yet; that
 * kill is found by its time stamp.
 */
function killsInRange(counter: "oom_workload_kills_total" | "oom_command_kills_total", by: string) {
  const counted = `round(sum by (${by}) (${increaseOverRange(series(counter))})) > 0`;
  const seen = `count by (${by}) (last_over_time(${series("oom_kill_timestamp_seconds")}[$__range]))`;
  return `${counted} or ${seen}`;
}

/** The rows of a table come from several queries: each asks for the same few hosts. */
const worstHosts = `bottomk(25, ${availableRatio})`;
const ofWorstHosts = (query: string) => `${query} and on (job, instance) ${worstHosts}`;

export function fleet(): Dashboard {
  return board({
    name: "fleet",
    title: "OOM / Fleet",
    description:
      "Which hosts are running out of memory, and who was killed for it. Start at the top row: what is not green needs you. Click a host or a workload to see why.",
    from: "now-3h",
    rows: [
      {
        question: "Who is in danger, and who died?",
        panels: [
          answer({
            title: "Kills",
            description:
              "Processes the kernel killed for want of memory in this time range. Above 0: the table of kills below says who and why.",
            width: 4,
            unit: "none",
            query: orZero(`round(sum(${killsByHost}))`),
            colours: redAbove(1),
          }),
          answer({
            title: "Hosts that killed",
            description:
              "Hosts with at least one kill in this time range. Many at once: look for what was rolled out to all of them.",
            width: 4,
            unit: "none",
            query: orZero(`count(round(${killsByHost}) > 0)`),
            colours: redAbove(1),
          }),
          answer({
            title: "Hosts in danger",
            description:
              "Hosts with less than 10 % of memory available, or less than 5 % of memory and swap together. The next large allocation there kills: open the host from the table below.",
            width: 4,
            unit: "none",
            query: orZero(
              `count(${availableRatio} < ${threshold.hostAvailableLow} or ${headroomRatio} < ${threshold.hostHeadroomCritical})`,
            ),
            colours: redAbove(1),
          }),
          answer({
            title: "Limits nearly reached",
            description:
              "Units, containers and other cgroups that hold more than 90 % of their own limit in memory they cannot give back. They are killed at 100 %: raise the limit or restart them before.",
            width: 4,
            unit: "none",
            query: orZero(`count(${ownLimitRatio} > ${threshold.cgroupNearLimit})`),
            colours: orangeThenRed(1, 10),
          }),
          answer({
            title: "Blind hosts",
            description:
              "Hosts where kills would go unseen: no kernel log can be read, or the kernel counted kills that the log did not show. Run `oom-exporter doctor` there.",
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
              "Scrape targets that do not answer. A host that is out of memory may be too slow to: check it first.",
            width: 4,
            unit: "none",
            query: orZero(`count(${targetsUp()} == 0)`),
            colours: redAbove(1),
          }),
          table({
            title: "Hosts with the least memory left",
            description:
              "The 25 hosts nearest to a kill, worst first. 'Left' counts memory and swap; 'Stalled' is the share of time in which nothing on the host could run for want of memory; 'Time left' is there only where less than half is left and it is falling. Click a host to see where its memory went.",
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
            empty: "No host is scraped",
          }),
          killTable({ of: series, title: "Last kills", width: 15, height: 9, short: true }),
        ],
      },
      {
        question: "Since when, and whom does it hit?",
        panels: [
          graph({
            title: "Kills by what ran out",
            description:
              "'none' is the host itself, 'memcg' a limit of a unit or container, 'cpuset' and 'memory_policy' a set of memory nodes. A change in rhythm is a change that somebody made: look at its first bar.",
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
              "Share of memory that new work can get without swapping. Below the dashed line the alert OomHostMemoryLow fires. A line that falls steadily is a leak; a step is a deployment.",
            width: 12,
            unit: "percentunit",
            max: 1,
            alertAt: threshold.hostAvailableLow,
            lines: [{ query: `bottomk(10, ${availableRatio})`, legend: "{{instance}}" }],
          }),
          table({
            title: "Workloads killed most",
            description:
              "Kills in this time range by the cgroup they happened in, also where the container is gone. The same one again and again: its limit is too low, or it leaks. Click it to see its memory against the limit.",
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
            title: "Workloads nearest to their limit",
            description:
              "Memory that only a kill takes back (no page cache), as a share of the cgroup's own limit. These are killed next by their limit. Click one to see how fast it grows.",
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
        question: "What is behind it?",
        panels: [
          graph({
            title: "Standstill of the 10 most stalled hosts",
            description:
              "Share of time in which all runnable tasks of a host waited for memory (PSI full). Above the dashed line users notice. High with memory available: slow disks or a limited container, not a full host.",
            width: 8,
            unit: "percentunit",
            alertAt: threshold.hostStalled,
            lines: [{ query: `topk(10, ${stalled})`, legend: "{{instance}}" }],
          }),
          table({
            title: "Commands killed most",
            description:
              "Kills in this time range by the victim's name, over all hosts. One name on many hosts: the program is the problem, not the host.",
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
            title: "Next to die on each host",
            description:
              "Whom the kernel would kill if the host ran out now. A database or sshd here: protect it with oom_score_adj, or give the real hog a limit.",
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
            empty: "No host says who is next: its processes cannot be read",
          }),
        ],
      },
    ],
  });
}
