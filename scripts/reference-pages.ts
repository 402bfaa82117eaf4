import { flagDefault, flagHelp, flagUsage } from "../src/command-line/flag-help.ts";
import type { FlagDefinition, FlagTable } from "../src/command-line/flag-table.ts";
import {
  type CollectorName,
  catalog,
  collectorNames,
  collectors,
  metricNames,
  ownerLabels,
} from "../src/metrics/catalog.ts";

const generated = "<!-- Generated from the code by `npm run docs`; change it there. -->";

/** docs/metrics.md, from the catalog. */
export function metricsPage(): string {
  const sections = Object.entries(sectionTitles).map(([collector, title]) =>
    [
      `## ${title}`,
      "",
      "| Metric | Type | Labels | What it is |",
      "|---|---|---|---|",
      ...metricNames
        .filter((name) => catalog[name].collector === collector)
        .map(
          (name) =>
            `| \`${name}\` | ${catalog[name].type} | ${labelsOf(name)} | ${cell(catalog[name].help)} |`,
        ),
    ].join("\n"),
  );
  return [
    "# Metrics",
    "",
    generated,
    "",
    `*owner* stands for the labels ${ownerLabels.map((label) => `\`${label}\``).join(", ")}: always there, empty where they are not known.`,
    "They collide with target labels of the same name, so scrape with `honor_labels: true`.",
    "A metric that the kernel or this user's rights do not offer is absent, never 0.",
    "",
    sections.join("\n\n"),
    "",
  ].join("\n");
}

const titles = Object.fromEntries(
  collectorNames.map((name) => [name, collectors[name].title]),
) as Record<CollectorName, string>;

const sectionTitles: Record<(typeof catalog)[keyof typeof catalog]["collector"], string> = {
  ...titles,
  scrape: "The scrape",
  exporter: "The exporter itself",
};

function labelsOf(name: (typeof metricNames)[number]): string {
  const definition = catalog[name];
  const labels: readonly string[] = definition.labels;
  const closed: Record<string, readonly string[]> = "values" in definition ? definition.values : {};
  const hasOwner = ownerLabels.every((label) => labels.includes(label));
  const written = labels
    .filter((label) => !hasOwner || !(ownerLabels as readonly string[]).includes(label))
    .map((label) => {
      const values = closed[label];
      return values === undefined ? `\`${label}\`` : `\`${label}\` (${values.join(", ")})`;
    });
  return [...(hasOwner ? ["*owner*"] : []), ...written].join(", ");
}

/** docs/flags.md, from the commands' tables of flags. */
export function flagsPage(tables: Readonly<Record<string, FlagTable>>): string {
  const sections = Object.entries(tables).map(([command, table]) =>
    [
      `## ${command}`,
      "",
      "| Flag | Default | What it does |",
      "|---|---|---|",
      ...Object.entries(table).map(([name, definition]) => flagRow(name, definition)),
    ].join("\n"),
  );
  return ["# Flags", "", generated, "", sections.join("\n\n"), ""].join("\n");
}

function flagRow(name: string, definition: FlagDefinition): string {
  const usage = flagUsage(name, definition).replace(/=.*/, "");
  const fallback = flagDefault(definition);
  return `| \`${usage}\` | ${fallback === "" ? "" : `\`${fallback}\``} | ${cell(flagHelp(definition))} |`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replace(/(?<![\w`])(--[a-z][\w.-]*[\w](=\w+)?)/g, "`$1`");
}
