import { AnnotationQueryBuilder } from "@grafana/grafana-foundation-sdk/dashboard";
import type { MetricName } from "../../src/metrics/catalog.ts";
import { boardOfRow } from "./board.ts";
import { type Column, dataSource, type PanelInRow, table } from "./panel.ts";
import { series } from "./selector.ts";

interface KillTable {
  /** Which kills: those of the chosen hosts, or of the chosen workload. */
  of: typeof series;
  title: string;
  width: number;
  height: number;
  /** Leaves out columns that do not fit in a narrow panel. */
  short?: boolean;
}

/**
 * The last kills of the time range, newest first. The exporter shows a kill for an hour;
 * `last_over_time` finds the older ones.
 */
export function killTable({ of, title, width, height, short = false }: KillTable): PanelInRow {
  const columns: (Column | false)[] = [
    { field: "A", title: "When", unit: "dateTimeFromNow", width: 110 },
    { field: "story", title: "Why", width: 80, link: storyLink },
    { field: "comm", title: "Killed", width: 110 },
    !short && { field: "pid", title: "PID", width: 90, unit: "string" },
    { field: "cause", title: "Cause", width: 130 },
    { field: "outcome", title: "After it", width: 100 },
    { field: "instance", title: "Host", link: hostLink },
    ...ownerColumns("row", ["namespace", "cgroup"]),
    {
      field: "limit_cgroup",
      title: "Limit hit",
      long: true,
      link: workloadLink("cgroup", "limit_cgroup", "row"),
    },
    !short && { field: "trigger", title: "Asked for memory", width: 150 },
    !short && { field: "protection", title: "Protection", width: 110 },
  ];
  return table({
    title,
    description:
      "Killed processes, newest first, at most 50. 'Cause' is the exporter's diagnosis of the kernel's report; 'Limit hit' is the cgroup that ran out, empty if the host itself did. 'After it' is what became of its cgroup within two minutes; lives_on: the rest runs on without this process. 'Why' opens the explanation: what ran out, what was using the memory and what to do.",
    width,
    height,
    unit: "none",
    queries: [
      withStory(
        `topk(50, ${killsWithOutcome(of)}) * 1000`,
        (info) => `last_over_time(${series(info)}[$__range])`,
      ),
    ],
    columns: columns.filter((column) => column !== false),
    sortBy: { title: "When", descending: true },
    empty: "Nothing was killed in this time range",
  });
}

/** Kills after which the rest of the workload runs on without the victim. */
export const silentKills = `last_over_time(${series("oom_kill_outcome_info", { outcome: "lives_on" })}[$__range])`;

/** Kills, with the label `outcome` if it is known. */
function killsWithOutcome(of: typeof series): string {
  const kills = `last_over_time(${of("oom_kill_timestamp_seconds")}[$__range])`;
  const outcomes = `last_over_time(${series("oom_kill_outcome_info")}[$__range])`;
  const same = "on (job, instance, incident)";
  return `(${kills} * ${same} group_left (outcome) ${outcomes} or ${kills} unless ${same} ${outcomes})`;
}

/** Kills by programs outside the kernel, newest first. */
export function userspaceKillTable({
  of,
  title,
  width,
  height,
}: Omit<KillTable, "short">): PanelInRow {
  return table({
    title,
    description:
      "Processes, cgroups and pods that systemd-oomd, earlyoom, nohang or the kubelet killed for memory before the kernel had to, newest first, at most 50. 'Reason' is what made the killer act; 'Why' opens its numbers and what to do.",
    width,
    height,
    unit: "none",
    queries: [
      withStory(
        `topk(50, last_over_time(${of("oom_userspace_kill_timestamp_seconds")}[$__range])) * 1000`,
        (info) => `last_over_time(${series(info)}[$__range])`,
      ),
    ],
    columns: [
      { field: "A", title: "When", unit: "dateTimeFromNow", width: 110 },
      { field: "story", title: "Why", width: 80, link: storyLink },
      { field: "killer", title: "Killer", width: 120 },
      { field: "comm", title: "Killed", width: 110 },
      { field: "reason", title: "Reason", width: 150 },
      { field: "instance", title: "Host", link: hostLink },
      ...ownerColumns("row", ["namespace"]),
    ],
    sortBy: { title: "When", descending: true },
    empty: "No other program killed in this time range",
  });
}

const storyLink = {
  title: "What happened, why, and what to do",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own variable
  url: "${__data.fields.story:raw}",
  newTab: true,
};

/**
 * Kills with the address of their page in the label `story`: under the exporter's own URL (--web.external-url) if it
 * has one, else at `instance`, which leads there if it is host:port.
 */
function withStory(kills: string, read: (info: MetricName) => string): string {
  // One series per exporter: a URL or version that changed must not break the query.
  const [web, build] = (["oom_exporter_web_info", "oom_exporter_build_info"] as const).map(
    (info) => `topk by (job, instance) (1, ${read(info)})`,
  );
  const atInstance = `label_replace(${build} unless on (job, instance) ${web}, "url", "http://$1", "instance", "(.+)")`;
  const withUrl = `${kills} * on (job, instance) group_left (url) (${web} or ${atInstance})`;
  return `label_join(${withUrl}, "story", "/kills/", "url", "incident")`;
}

export const hostLink = {
  title: "Open the host",
  url: boardOfRow("host", { instance: "instance" }),
};

/** To the workload that a field of the row names. */
function workloadLink(variable: string, field: string, whichHost: "row" | "board") {
  const host: Record<string, string> = whichHost === "row" ? { instance: "instance" } : {};
  return {
    title: "Open the workload",
    url: boardOfRow("workload", { ...host, [variable]: field }),
  };
}

/**
 * The owner of a cgroup; each part links to the Workload dashboard.
 * @param whichHost the host of the row, which must be a column then, or the host selected on the dashboard.
 */
export function ownerColumns(
  whichHost: "row" | "board",
  leftOut: readonly ("namespace" | "cgroup")[] = [],
): Column[] {
  const titles = {
    unit: "Unit",
    namespace: "Namespace",
    pod: "Pod",
    container: "Container",
    cgroup: "Cgroup",
  };
  return Object.entries(titles)
    .filter(([field]) => !leftOut.some((label) => label === field))
    .map(([field, title]) => ({
      field,
      title,
      ...(field === "cgroup" && { long: true }),
      ...(field !== "namespace" && { link: workloadLink(field, field, whichHost) }),
    }));
}

/** Kills as marks on every graph, at the time of the kill. */
export function killAnnotations(of: typeof series): AnnotationQueryBuilder {
  return new AnnotationQueryBuilder()
    .name("Kills")
    .datasource(dataSource)
    .enable(true)
    .iconColor("red")
    .expr(withStory(`${of("oom_kill_timestamp_seconds")} * 1000`, series))
    .step("1m")
    .useValueForTime(true)
    .titleFormat("{{comm}} killed ({{cause}})")
    .textFormat(
      '{{unit}} {{namespace}} {{pod}} {{container}} on {{instance}}: <a href="{{story}}" target="_blank">what happened</a>',
    )
    .tagKeys("constraint,protection");
}
