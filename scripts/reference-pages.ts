import {
  type CommandHelp,
  flagDefault,
  flagHelp,
  flagUsage,
} from "../src/command-line/flag-help.ts";
import type { FlagDefinition } from "../src/command-line/flag-table.ts";
import { ownerOfCgroup } from "../src/kills/owner.ts";
import { platformRows, raiseLimit } from "../src/kills/platforms.ts";
import {
  type CollectorName,
  catalog,
  collectorNames,
  collectors,
  metricNames,
  ownerLabels,
} from "../src/metrics/catalog.ts";

const generated = "<!-- Generated from the code by `npm run docs`; do not edit. -->";

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
    `*owner* means the labels ${ownerLabels.map((label) => `\`${label}\``).join(", ")}: always present, empty if unknown.`,
    "They collide with target labels of the same name, so scrape with `honor_labels: true`.",
    "A metric that this kernel does not provide, or that the exporter's user may not read, is absent, never 0.",
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
export function flagsPage(commands: Readonly<Record<string, CommandHelp>>): string {
  const sections = Object.entries(commands).map(([name, { flags: table, exitCodes }]) =>
    [
      `## oom-exporter ${name === "serve" ? "[serve]" : name}`,
      "",
      "| Flag | Default | What it does |",
      "|---|---|---|",
      ...Object.entries(table).map(([name, definition]) => flagRow(name, definition)),
      "",
      "Exit codes:",
      "",
      ...Object.entries(exitCodes).map(([code, meaning]) => `- ${code}: ${meaning}`),
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

/** docs/platforms.md, from the platform table: the advice for a limit of 1 GiB. */
export function platformsPage(): string {
  const sections = platformRows.map(({ name, source, example, exampleNames }) => {
    const owner = { ...ownerOfCgroup(example), ...exampleNames };
    const advice = raiseLimit({ cgroup: example, owner, limitBytes: 1024 ** 3, isV1: false });
    const lines = advice.flatMap(({ text, command }) => [
      "",
      text,
      ...(command === undefined ? [] : ["", `    ${command}`]),
    ]);
    const origin = `Source: <${source}>`;
    return [`## ${name}`, "", `Cgroup: \`${example}\``, ...lines, "", origin].join("\n");
  });
  return [
    "# Whose limit it is, and how to raise it",
    "",
    generated,
    "",
    "The advice of `explain`, the kill page and the JSON (`advice`) on a memory limit depends on the software that created",
    "the cgroup. This page lists the advice for a limit of 1 GiB by platform; the first platform that matches applies.",
    "Replace names in capitals. The suggested limit, half as much again, is a starting point: check what the workload",
    "really needs.",
    "",
    "Commands and settings were compared with the platform's documentation in November 2026.",
    "",
    "For a cgroup inside a system container (LXC, Proxmox VE, systemd-nspawn) the advice also names the container to run",
    "the commands in. Units of a user's service manager need `systemctl --user`; with `-M UID@` root can reach them",
    "(systemd 248).",
    "",
    sections.join("\n\n"),
    "",
  ].join("\n");
}
