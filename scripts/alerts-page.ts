import { type AlertRule, isAlert, isRecording, isThreshold, type Rule } from "./rule-file.ts";

/** docs/alerts.md, from the rules of alerts.yml and recording.yml. */
export function alertsPage(rules: readonly Rule[]): string {
  const alerts = rules.filter(isAlert);
  const names = new Set(alerts.map(({ alert }) => alert));
  return [
    "# Alerts",
    "",
    "<!-- Generated from prometheus-rules/ by `npm run docs`; do not edit. -->",
    "",
    `${names.size} alerts. critical pages, warning opens a ticket, info is context. If an alert has two`,
    "severities, Alertmanager inhibits the lower.",
    "",
    "Load `prometheus-rules/recording.yml` and `prometheus-rules/alerts.yml` into Prometheus 2.42 or newer as",
    "they are, and scrape with `honor_labels: true`. `docker/prometheus.yml` and `docker/alertmanager.yml` are",
    "examples, and add up how long a page takes. `instance` must name the host and stay the same when the",
    "exporter restarts: a kill is identified by its `instance` and `incident`. To serve the runbooks from",
    "elsewhere, replace the base of `runbook_url` throughout `alerts.yml`; every exporter has them too, at",
    "`http://HOST:10137/runbooks/`. `story_url` leads to the exporter's page of a kill: under its",
    "`--web.external-url` (`oom_exporter_web_info`), else at `instance` if that is host:port.",
    "",
    "| Alert | Severity | Fires | What it says |",
    "|---|---|---|---|",
    ...alerts.map(alertRow),
    "",
    "## Thresholds",
    "",
    "All thresholds are in the first group of `prometheus-rules/recording.yml`. The list of critical workloads is in",
    "`instance:oom_next_victim_protected:info` below it.",
    "",
    "| Threshold | Value | Used by | Meaning, and when to change it |",
    "|---|---|---|---|",
    ...thresholdRows(rules),
    "",
    "## Recordings",
    "",
    "For your own dashboards and rules.",
    "",
    "| Series | Expression |",
    "|---|---|",
    ...rules
      .filter((rule) => isRecording(rule) && !isThreshold(rule))
      .map(({ record, expr }) => `| \`${record}\` | \`${cell(expr)}\` |`),
    "",
  ].join("\n");
}

function alertRow({ alert, labels, annotations, ...rule }: AlertRule): string {
  const when = rule.for === undefined ? "at once" : `after ${rule.for}`;
  return `| [${alert}](runbooks/${alert}.md) | ${labels.severity} | ${when} | ${annotations.summary} |`;
}

function thresholdRows(rules: readonly Rule[]): string[] {
  let comment = "";
  return rules.filter(isThreshold).map(({ record, expr, comment: above }) => {
    // Two thresholds under one comment share it.
    comment = above === "" ? comment : above;
    const readers = rules
      .filter((rule) => rule.expr.includes(record))
      .map((rule) => rule.alert ?? `\`${rule.record}\``);
    const value = expr.replace(/^vector\((.*)\)$/, "$1");
    return `| \`${record}\` | ${value} | ${[...new Set(readers)].join(", ")} | ${comment} |`;
  });
}

function cell(expr: string): string {
  return expr.replace(/\s+/g, " ").trim().replaceAll("|", "\\|");
}
