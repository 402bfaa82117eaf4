import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { isAlert } from "../../scripts/rule-file.ts";
import { rulesDirectory, shippedRules } from "./shipped-rules.ts";

const runbookBase = "https://github.com/oom-exporter/oom-exporter/blob/main/docs/runbooks/";
const runbooks = fileURLToPath(new URL("../../docs/runbooks/", import.meta.url));
const alerts = shippedRules.filter(isAlert).map((rule) => ({
  ...rule,
  severity: rule.labels.severity ?? "",
}));
const names = [...new Set(alerts.map(({ alert }) => alert))];

interface ExpectedAlert {
  exp_labels: { severity: string };
  exp_annotations?: Record<string, string>;
}

interface RuleTest {
  name: string;
  alert_rule_test?: { alertname: string; eval_time: string; exp_alerts: ExpectedAlert[] }[];
}

const ruleTests = readdirSync(`${rulesDirectory}tests`).flatMap((file) => {
  const text = readFileSync(`${rulesDirectory}tests/${file}`, "utf8");
  return (parse(text) as { tests: RuleTest[] }).tests;
});

describe.each(alerts)("$alert, $severity", ({ alert, severity, labels, annotations, ...rule }) => {
  it("is named and labelled so that it can be routed, and no value is a label", () => {
    expect(alert).toMatch(/^Oom[A-Z][A-Za-z]+$/);
    expect(Object.keys(labels)).toEqual(["severity"]);
    expect(["critical", "warning", "info"]).toContain(severity);
  });

  it("has a summary in one plain sentence, a description of the case, and its runbook", () => {
    expect(annotations.summary).toMatch(/^[A-Z][^{}]*\.$/);
    expect(annotations.description).toContain("{{");
    expect(annotations.description).toMatch(/\.({{ end }})?$/);
    expect(annotations.runbook_url).toBe(`${runbookBase}${alert}.md`);
  });

  it("waits if it is a state, and does not if it is an event", () => {
    const isEvent =
      /^oom-kills/.test(rule.group) || /^Oom(KillsUnaccounted|LogLosses)$/.test(alert);
    expect(rule.for === undefined).toBe(isEvent);
  });

  it("is tested firing, with all its texts", () => {
    const firing = ruleTests
      .flatMap(({ alert_rule_test = [] }) => alert_rule_test)
      .filter(({ alertname }) => alertname === alert)
      .flatMap(({ exp_alerts }) => exp_alerts)
      .filter(({ exp_labels }) => exp_labels.severity === severity);
    expect(firing.length).toBeGreaterThan(0);
    for (const { exp_annotations } of firing) {
      expect(Object.keys(exp_annotations ?? {}).sort()).toEqual(Object.keys(annotations).sort());
    }
  });
});

describe.each(names)("%s", (alert) => {
  it("is tested silent before it fires and again afterwards", () => {
    const courses = ruleTests.map(({ alert_rule_test = [] }) =>
      alert_rule_test
        .filter(({ alertname }) => alertname === alert)
        .map(({ exp_alerts }) => (exp_alerts.length > 0 ? "fires" : "silent"))
        .join(" "),
    );
    expect(courses.some((course) => /silent fires.* silent/.test(course))).toBe(true);
  });

  it("has a runbook with meaning, impact, diagnosis and mitigation, and commands to type", () => {
    const text = readFileSync(`${runbooks}${alert}.md`, "utf8");
    const headings = [...text.matchAll(/^#+ .*$/gm)].map(([heading]) => heading);
    expect(headings.slice(0, 5)).toEqual([
      `# ${alert}`,
      "## Meaning",
      "## Impact",
      "## Diagnosis",
      "## Mitigation",
    ]);
    expect(text).toMatch(/^ {4}\S/m);
  });
});

describe("a kill pages once, tested by name", () => {
  it.each([
    "a counter born at 1",
    "an exporter restart that shows the last hour again",
    "a host frozen for 8 minutes",
    "a container that is gone",
    "a counter reset",
    "60 kills at once",
    "scrapes that failed",
    "two Prometheus replicas",
    "an exporter or host that is down for 20 minutes with a kill inside",
    "a host clock that is 15 minutes slow, and one that is 15 minutes fast",
    "a container that is recreated under a new cgroup",
  ])("survives %s", (hazard) => {
    expect(ruleTests.map(({ name }) => name).join("\n")).toContain(`survives ${hazard}`);
  });
});

it("has a runbook for every alert and for nothing else", () => {
  expect(readdirSync(runbooks).sort()).toEqual(names.map((name) => `${name}.md`).sort());
});

describe("the runbooks", () => {
  const texts = readdirSync(runbooks).map((file) => ({
    file,
    text: readFileSync(`${runbooks}${file}`, "utf8"),
  }));

  it.each(texts)("link only to pages that are there: $file", ({ text }) => {
    const present = readdirSync(runbooks);
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
      expect(present).toContain(target);
    }
  });
});
