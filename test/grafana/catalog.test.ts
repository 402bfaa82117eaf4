import { describe, expect, it } from "vitest";
import { catalog, type MetricName, metricNames } from "../../src/metrics/catalog.ts";
import { dashboards, dataPanels, everything, queriesOf, withVariables } from "./dashboards.ts";
import { parsePromql } from "./promql.ts";

/** Labels that Prometheus adds to everything it scrapes. */
const targetLabels = ["job", "instance"];

const labelsOf = (metric: string): readonly string[] =>
  metric === "up" ? [] : catalog[metric as MetricName].labels;

function metricsIn(expr: string): string[] {
  return parsePromql(expr).selectors.flatMap(({ metric, matchers }) =>
    metric === ""
      ? (matchers.find(({ label }) => label === "__name__")?.value.split("|") ?? [])
      : [metric],
  );
}

describe.each(dashboards)("the dashboard $name", ({ json }) => {
  const queries = queriesOf(json).map(({ where, expr }) => ({
    where,
    expr: withVariables(expr, everything),
  }));

  it.each(queries)("names only metrics of the catalog in $where", ({ expr }) => {
    for (const metric of metricsIn(expr)) expect([...metricNames, "up"]).toContain(metric);
  });

  it.each(queries)("names only labels and values that its metrics have in $where", ({ expr }) => {
    const { selectors, labels } = parsePromql(expr);
    for (const { metric, matchers } of selectors) {
      const known = [...labelsOf(metric), ...targetLabels];
      for (const { label, operator, value } of matchers) {
        expect(known, metric).toContain(label);
        const { values } = (catalog[metric as MetricName] ?? {}) as {
          values?: Record<string, readonly string[]>;
        };
        if (operator === "=" && values?.[label]) expect(values[label]).toContain(value);
      }
    }
    const known = [
      ...selectors.flatMap(({ metric }) => labelsOf(metric)),
      ...targetLabels,
      ...labels.made,
    ];
    for (const label of labels.used) expect(known).toContain(label);
  });

  it("shows only columns and legends that its metrics have labels for", () => {
    for (const { title, targets = [], transformations } of dataPanels(json)) {
      const columns =
        transformations?.find(({ id }) => id === "filterFieldsByName")?.options.include?.names ??
        [];
      for (const { expr, legendFormat = "" } of targets) {
        const query = withVariables(expr, everything);
        const known = [
          ...metricsIn(query).flatMap(labelsOf),
          ...targetLabels,
          ...parsePromql(query).labels.made,
        ];
        const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label);
        const labels = columns.filter((column) => !column.startsWith("Value"));
        for (const label of [...named, ...labels]) expect(known, title).toContain(label);
      }
    }
  });

  it("asks for variables by metrics and labels of the catalog", () => {
    for (const { name, query } of json.templating.list.filter(({ type }) => type === "query")) {
      const [, selector = "", label = ""] = /^label_values\((.+), (\w+)\)$/.exec(query ?? "") ?? [];
      const metrics = metricsIn(selector);
      expect(metrics, name).not.toEqual([]);
      for (const metric of metrics) {
        expect(metricNames, name).toContain(metric);
        expect([...labelsOf(metric), ...targetLabels], name).toContain(label);
      }
    }
  });
});
