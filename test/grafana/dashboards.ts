import type { AnnotationQuery, Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { fleet } from "../../grafana/src/fleet.ts";
import { host } from "../../grafana/src/host.ts";
import { workload } from "../../grafana/src/workload.ts";

/** Classic dashboard JSON as far as the tests look into it. */
export interface PanelJson {
  id: number;
  type: string;
  title: string;
  description?: string;
  datasource?: { type: string; uid: string };
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: TargetJson[];
  fieldConfig?: {
    defaults: { unit?: string; noValue?: string };
    overrides: { matcher: { options: string }; properties: { id: string; value: unknown }[] }[];
  };
  options?: {
    legend?: { showLegend: boolean };
    tooltip?: { mode: string; sort: string };
    reduceOptions?: { calcs: string[] };
  };
  transformations?: { id: string; options: { include?: { names: string[] } } }[];
}

export interface TargetJson {
  refId: string;
  expr: string;
  datasource: { type: string; uid: string };
  instant?: boolean;
  range?: boolean;
  format?: string;
  legendFormat?: string;
}

export interface DashboardJson {
  uid: string;
  title: string;
  tags: string[];
  editable: boolean;
  schemaVersion: number;
  links: { url: string; title: string }[];
  annotations: { list: AnnotationQuery[] };
  templating: {
    list: {
      name: string;
      label?: string;
      type: string;
      query?: string;
      datasource?: { uid: string };
      refresh?: number;
      multi?: boolean;
      includeAll?: boolean;
      allValue?: string;
    }[];
  };
  panels: PanelJson[];
}

export const dashboards: { name: string; json: DashboardJson }[] = [
  { name: "fleet", json: asWritten(fleet()) },
  { name: "host", json: asWritten(host()) },
  { name: "workload", json: asWritten(workload()) },
];

/** What Grafana will read: JSON, without what JavaScript alone can hold. */
function asWritten(dashboard: Dashboard): DashboardJson {
  return JSON.parse(JSON.stringify(dashboard));
}

/** The panels that show data, without the headings between them. */
export function dataPanels({ panels }: DashboardJson): PanelJson[] {
  return panels.filter(({ type }) => type !== "row");
}

/** Every query that a dashboard sends, with a name to find it by. */
export function queriesOf(dashboard: DashboardJson): { where: string; expr: string }[] {
  return [
    ...dataPanels(dashboard).flatMap(({ title, targets = [] }) =>
      targets.map(({ refId, expr }) => ({ where: `${title} (${refId})`, expr })),
    ),
    ...dashboard.annotations.list.map(({ name, expr }) => ({
      where: `annotation ${name}`,
      expr: expr ?? "",
    })),
  ];
}

/** PromQL as Prometheus gets it; a variable without a value here fails. */
export function withVariables(expr: string, values: Readonly<Record<string, string>>): string {
  return expr.replace(/\$(?!\d)(?:\{(\w+)\}|(\w+))/g, (whole, braced, bare) => {
    const value = values[braced ?? bare];
    if (value === undefined) throw new Error(`no such variable: ${whole} in ${expr}`);
    return value;
  });
}

/** What Grafana puts in for a dashboard that has just been opened on everything. */
export const everything: Readonly<Record<string, string>> = {
  job: ".+",
  instance: ".+",
  namespace: ".*",
  pod: ".*",
  container: ".*",
  unit: ".*",
  cgroup: ".*",
  __rate_interval: "60s",
  __range: "3600s",
};
