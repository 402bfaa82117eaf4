import { type AlertRule, isAlert, isRecording, isThreshold, type Rule } from "./rule-file.ts";

/** docs/alerts.md, from the rules of alerts.yml and recording.yml. */
export function alertsPage(rules: readonly Rule[]): string {
  const alerts = rules.filter(isAlert);
  const names = new Set(alerts.map(({ alert }) => alert));
  return [
    "# Alerts",
    "",
    "<!-- Generated from prometheus-rules/ by `npm run docs`; change it there. -->",
    "",
    `${names.size} alerts. critical wakes somebody, warning opens a ticket, info is context; where an alert has two`,
    "severities, the worse mutes the lesser in Alertmanager.",
    "",
    "Load `prometheus-rules/recording.yml` and `prometheus-rules/alerts.yml` into Prometheus 2.42 or newer as",
    "they are, and scrape with `honor_labels: true`. `docker/prometheus.yml` and `docker/alertmanager.yml` show",
    "how, with the sum of the seconds that a page takes. `instance` has to name the host and to stay the same",
    "when the exporter restarts: a kill is known again by its `instance` and `incident`. Where the runbooks are",
    "served elsewhere, replace the base of `runbook_url` throughout `alerts.yml`.",
    "",
    "| Alert | Severity | Fires | What it says |",
    "|---|---|---|---|",
    ...alerts.map(alertRow),
    "",
    "## Thresholds",
    "",
    "They stand in one place, the first group of `prometheus-rules/recording.yml`. Who must not die next is the",
    "list in `instance:oom_next_victim_protected:info` below it.",
    "",
    "| Threshold | Value | Read by | What it is, and when to change it |",
    "|---|---|---|---|",
    ...thresholdRows(rules),
    "",
    "## Recordings",
    "",
    "For dashboards and rules of your own.",
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
