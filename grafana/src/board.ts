import {
  type AnnotationQueryBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
  VariableSort,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { dataSource, type PanelInRow } from "./panel.ts";

/** The dashboards' UIDs. People bookmark them, so they never change. */
export const uid = { fleet: "oom-fleet", host: "oom-host", workload: "oom-workload" } as const;

export type BoardName = keyof typeof uid;

interface Board {
  name: BoardName;
  title: string;
  description: string;
  /** Initial start of the time range. */
  from: string;
  /** Variables besides `datasource`, `job` and `instance`. */
  variables?: readonly QueryVariableBuilder[];
  annotations?: readonly AnnotationQueryBuilder[];
  /** Questions, most urgent first, each with the panels that answer it. */
  rows: readonly { question: string; panels: readonly PanelInRow[] }[];
}

/** A dashboard in Grafana's classic schema, which Grafana 10 to 13 read. */
export function board(plan: Board): Dashboard {
  const builder = new DashboardBuilder(plan.title)
    .uid(uid[plan.name])
    .description(plan.description)
    .tags(["oom-exporter"])
    .editable()
    .tooltip(DashboardCursorSync.Crosshair)
    .timezone("browser")
    .time({ from: plan.from, to: "now" })
    .refresh("30s")
    .variables([...targetVariables(plan.name), ...(plan.variables ?? [])])
    .annotations([...(plan.annotations ?? [])])
    .links(otherBoards(plan.name));
  for (const { question, panels } of plan.rows) {
    builder.withRow(new RowBuilder(question));
    for (const panel of panels) builder.withPanel(panel);
  }
  const built = builder.build();
  for (const [i, panel] of (built.panels ?? []).entries()) panel.id = i + 1;
  // With the SDK's placement, newer versions of Grafana hide both in a menu.
  for (const link of built.links ?? []) delete link.placement;
  for (const annotation of built.annotations?.list ?? []) delete annotation.placement;
  return built;
}

/** Data source, scrape job and hosts. Only Fleet opens with all hosts selected. */
function targetVariables(name: BoardName) {
  return [
    new DatasourceVariableBuilder("datasource").label("Data source").type("prometheus"),
    labelVariable("job", "Job", "label_values(oom_exporter_build_info, job)").allValue(".+"),
    labelVariable(
      "instance",
      "Instance",
      'label_values(oom_exporter_build_info{job=~"$job"}, instance)',
    )
      .allValue(".+")
      .includeAll(name === "fleet"),
  ];
}

/** Values of a label, queried again when the time range changes; several or all can be selected. */
export function labelVariable(name: string, label: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(dataSource)
    .query(query)
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.NaturalAsc)
    .multi(true)
    .includeAll(true);
}

/** URL of a dashboard with the same data source and job. */
function boardUrl(name: BoardName): string {
  return `/d/${uid[name]}?\${datasource:queryparam}&\${job:queryparam}`;
}

/**
 * The same for a link in a table row, with the time range, and with variables set to fields of that row. The
 * host is that of the row if the row has one, else the host selected on this dashboard.
 */
export function boardOfRow(name: BoardName, fields: Readonly<Record<string, string>>): string {
  const values = Object.entries(fields).map(
    ([variable, field]) => `var-${variable}=\${__data.fields.${field}:percentencode}`,
  );
  if (!("instance" in fields)) values.unshift(thisHost);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own variable
  return [boardUrl(name), ...values, "${__url_time_range}"].join("&");
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own variable
const thisHost = "${instance:queryparam}";

function otherBoards(name: BoardName): DashboardLinkBuilder[] {
  const titles: Record<BoardName, [title: string, tooltip: string]> = {
    fleet: ["Fleet", "All hosts: what is in danger, what was killed"],
    host: ["Host", "One host: where its memory went, which process is next"],
    workload: ["Workload", "One unit, container or pod and its limit"],
  };
  return (Object.keys(titles) as BoardName[])
    .filter((other) => other !== name)
    .map((other) => {
      // Fleet has no single host to pass on, and opens with all hosts.
      const keepsHost = name !== "fleet" && other !== "fleet";
      return new DashboardLinkBuilder(titles[other][0])
        .type(DashboardLinkType.Link)
        .icon("dashboard")
        .tooltip(titles[other][1])
        .url(keepsHost ? `${boardUrl(other)}&${thisHost}` : boardUrl(other))
        .keepTime(true);
    });
}
