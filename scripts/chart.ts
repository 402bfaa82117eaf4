import { readFileSync } from "node:fs";
import { isMap, isScalar, parseDocument, type YAMLMap } from "yaml";

const directory = new URL("../deploy/helm/oom-exporter/", import.meta.url);

interface Value {
  /** Keys from the top, joined by dots. */
  path: string;
  default: unknown;
  /** Comment above it, from `# --` on. */
  help: string;
}

/** The values that have a comment, in order; what is below one of them belongs to it. */
export function chartValues(): Value[] {
  const document = parseDocument(readFileSync(new URL("values.yaml", directory), "utf8"));
  return valuesIn(document.contents as YAMLMap, document.commentBefore ?? "", "");
}

/** @param above the comment above the map, which the parser does not give to its first key */
function valuesIn(map: YAMLMap, above: string, prefix: string): Value[] {
  return map.items.flatMap(({ key, value }, index) => {
    if (!isScalar(key)) return [];
    const path = `${prefix}${key.value}`;
    const comment = key.commentBefore ?? (index === 0 ? above : "");
    const [, help] = /(?:^|\n)\s*-- (.*)$/s.exec(comment) ?? [];
    if (help !== undefined) {
      const text = help.replace(/\s+/g, " ").trim();
      const json =
        isMap(value) || value === null
          ? value?.toJSON()
          : (value as { toJSON(): unknown }).toJSON();
      return [{ path, default: json, help: text }];
    }
    return isMap(value) ? valuesIn(value, value.commentBefore ?? "", `${path}.`) : [];
  });
}

/** The chart's README.md: what is written by hand, and the table of values. */
export function chartReadme(): string {
  const rows = chartValues().map(
    ({ path, default: value, help }) =>
      `| \`${path}\` | \`${JSON.stringify(value).replaceAll("|", "\\|")}\` | ${help.replaceAll("|", "\\|")} |`,
  );
  const table = ["| value | default | what it is |", "|---|---|---|", ...rows].join("\n");
  const text = readFileSync(new URL("README.md", directory), "utf8");
  const [before = ""] = text.split(marker);
  return `${before}${marker}\n\n${table}\n`;
}

const marker = "<!-- The table is made from values.yaml by `npm run docs`. -->";

type Schema = Record<string, unknown>;

/** What a default alone does not say of its value. */
const constraints: Readonly<Record<string, Schema>> = {
  "image.digest": { pattern: "^(sha256:[0-9a-f]{64})?$" },
  "image.pullPolicy": { enum: ["Always", "IfNotPresent", "Never"] },
  imagePullSecrets: { items: { type: "object", required: ["name"] } },
  extraArgs: { items: { type: "string", pattern: "^--" } },
  extraEnv: { items: { type: "object", required: ["name"] } },
  "externalUrl.url": { pattern: "^(https?://.+)?$" },
  hostPort: { minimum: 0, maximum: 65535 },
  "service.port": { minimum: 1, maximum: 65535 },
  "state.hostPath": { pattern: "^(/.*)?$" },
  terminationGracePeriodSeconds: { minimum: 0 },
  "podMonitor.interval": { pattern: duration() },
  "podMonitor.scrapeTimeout": { pattern: duration() },
  "podMonitor.scheme": { enum: ["http", "https"] },
  "podMonitor.sampleLimit": { minimum: 0 },
  "serviceMonitor.interval": { pattern: duration() },
  "serviceMonitor.scrapeTimeout": { pattern: duration() },
  "serviceMonitor.scheme": { enum: ["http", "https"] },
  "serviceMonitor.sampleLimit": { minimum: 0 },
  "prometheusRule.runbookUrl": { pattern: "^https?://.+/$" },
};

function duration(): string {
  return "^[0-9]+(ms|s|m|h)$";
}

/** values.schema.json: a value that the chart does not have is refused, as is one of another type. */
export function valuesSchema(): string {
  const root: Schema = object();
  for (const { path, default: value, help } of chartValues()) {
    const keys = path.split(".");
    const last = keys.pop() as string;
    let at = root;
    for (const key of keys) {
      const properties = at.properties as Record<string, Schema>;
      properties[key] ??= object();
      at = properties[key];
    }
    (at.properties as Record<string, Schema>)[last] = {
      description: help,
      ...typeOf(value),
      ...constraints[path],
    };
  }
  // Helm gives these to a chart that is part of another one.
  (root.properties as Record<string, Schema>).global = { type: "object" };
  const schema = { $schema: "http://json-schema.org/draft-07/schema#", ...root };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function object(): Schema {
  return { type: "object", additionalProperties: false, properties: {} };
}

function typeOf(value: unknown): Schema {
  if (Array.isArray(value)) return { type: "array" };
  if (typeof value === "number") return { type: "integer" };
  return { type: typeof value };
}
