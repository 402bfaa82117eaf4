/** What the page needs of a dashboard. */
export interface DashboardJson {
  uid: string;
  title: string;
  description?: string;
  panels: {
    type: string;
    title: string;
    description?: string;
    fieldConfig?: { defaults: { unit?: string } };
  }[];
}

/** docs/dashboards.md, from the dashboards. */
export function dashboardsPage(
  dashboards: readonly { name: string; json: DashboardJson }[],
): string {
  return [
    "# Dashboards",
    "",
    "<!-- Generated from grafana/src by `npm run docs`; do not edit. -->",
    "",
    "Three dashboards for Grafana 10 to 13, in `grafana/dashboards/`. [How to install them](../grafana/README.md).",
    "",
    "There are no pictures of them here: the build has no Grafana, so none could be taken from it. The tables list every",
    "panel instead; tests run every query against a Prometheus with the exporters of failing hosts.",
    ...dashboards.flatMap(({ name, json }) => section(name, json)),
    "",
  ].join("\n");
}

function section(name: string, { uid, title, description = "", panels }: DashboardJson): string[] {
  const lines = [
    "",
    `## ${title}`,
    "",
    `\`grafana/dashboards/${name}.json\`, uid \`${uid}\`. ${description}`,
  ];
  for (const panel of panels) {
    if (panel.type === "row") {
      lines.push(
        "",
        `**${panel.title}**`,
        "",
        "| panel | shows | how to read it |",
        "|---|---|---|",
      );
    } else {
      lines.push(
        `| ${cell(panel.title)} | ${kinds[panel.type] ?? panel.type} | ${cell(panel.description ?? "")} |`,
      );
    }
  }
  return lines;
}

const kinds: Record<string, string> = {
  stat: "a number or name",
  timeseries: "a graph",
  table: "a table",
};

function cell(text: string): string {
  return text.replace(/\s+/g, " ").replaceAll("|", "\\|").trim();
}
