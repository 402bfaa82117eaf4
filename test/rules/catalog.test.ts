import { describe, expect, it } from "vitest";
import { isAlert, isRecording, isThreshold } from "../../scripts/rule-file.ts";
import { catalog, type MetricName } from "../../src/metrics/catalog.ts";
import { parsePromql } from "../grafana/promql.ts";
import { shippedRules } from "./shipped-rules.ts";

const targetLabels = ["job", "instance"];
const recorded = new Map(shippedRules.filter(isRecording).map((rule) => [rule.record, rule.expr]));

function parse(expr: string) {
  const parsed = parsePromql(expr);
  expect(parsed.errors).toEqual([]);
  return parsed;
}

/** The metrics of the exporter that an expression is made of, through the recordings it reads. */
function metricsOf(expr: string): string[] {
  return parse(expr).selectors.flatMap(({ metric }) => {
    const source = recorded.get(metric);
    return source === undefined ? [metric] : metricsOf(source);
  });
}

function labelsOf(metric: string): readonly string[] {
  const source = recorded.get(metric);
  if (source !== undefined) return metricsOf(source).flatMap(labelsOf);
  return metric === "up"
    ? targetLabels
    : [...catalog[metric as MetricName].labels, ...targetLabels];
}

/** Labels that `label_replace(VECTOR, "label", "$1", ...)` adds. */
function labelsMadeBy(expr: string): string[] {
  return [...expr.matchAll(/label_replace\([^"]*(?:\{[^}]*\}[^"]*)?"(\w+)", "\$/g)].map(
    ([, label = ""]) => label,
  );
}

const rules = shippedRules.map((rule) => ({ ...rule, name: rule.alert ?? rule.record }));

describe.each(rules)("$name", ({ expr, annotations }) => {
  it("reads metrics of the catalog, and no others", () => {
    for (const metric of metricsOf(expr)) {
      expect([...Object.keys(catalog), "up"]).toContain(metric);
    }
  });

  it("names labels and values that those metrics have", () => {
    const { selectors, labels } = parse(expr);
    for (const { metric, matchers } of selectors) {
      for (const { label, operator, value } of matchers) {
        expect(labelsOf(metric)).toContain(label);
        const { values } = (catalog[metric as MetricName] ?? {}) as {
          values?: Record<string, readonly string[]>;
        };
        const named = operator.includes("~") ? value.split("|") : [value];
        if (values?.[label]) for (const one of named) expect(values[label]).toContain(one);
      }
    }
    const known = [...selectors.flatMap(({ metric }) => labelsOf(metric)), ...labelsMadeBy(expr)];
    for (const label of labels.used) expect(known).toContain(label);
  });

  it("asks in its annotations for metrics and labels of the catalog", () => {
    for (const text of Object.values(annotations ?? {})) {
      for (const [, query = ""] of text.matchAll(/query \(printf "((?:[^"\\]|\\.)*)"/g)) {
        const { selectors } = parse(query.replaceAll("%q", '"x"'));
        expect(selectors).not.toEqual([]);
        for (const { metric, matchers } of selectors) {
          expect(Object.keys(catalog)).toContain(metric);
          for (const { label } of matchers) expect(labelsOf(metric)).toContain(label);
          for (const [, label] of text.matchAll(/first \| label "(\w+)"/g)) {
            expect(labelsOf(metric)).toContain(label);
          }
        }
      }
    }
  });

  it("speaks only of labels that its series have", () => {
    const known = [...metricsOf(expr).flatMap(labelsOf), ...labelsMadeBy(expr)];
    for (const text of Object.values(annotations ?? {})) {
      for (const [, label] of text.matchAll(/\$labels\.(\w+)/g)) expect(known).toContain(label);
    }
  });
});

it("names recordings level:metric:operations", () => {
  for (const name of recorded.keys()) {
    expect(name).toMatch(/^(threshold|instance|cgroup|incident):oom_[a-z0-9_]+:[a-z0-9_]+$/);
  }
});

it("compares with numbers from the thresholds, each explained and each used", () => {
  const thresholds = shippedRules.filter(isThreshold);
  expect(thresholds[0]?.comment).not.toBe("");
  for (const { record } of thresholds) {
    expect(shippedRules.filter(({ expr }) => expr.includes(record)).length).toBeGreaterThan(0);
  }
  // What is left to compare with is none, one, or no limit.
  const numbers = shippedRules.filter(isAlert).flatMap(({ expr }) => {
    const comparisons = expr.matchAll(/[<>=!]=?\s*(?:bool\s*)?(-?\d[\d.e]*)/g);
    return [...comparisons].map(([, number]) => number);
  });
  expect(new Set(numbers)).toEqual(new Set(["0", "1", "2"]));
});
