/** What a row of the bench gives back, and how it is printed. */

/** One line of a table: who was measured, and figures with their units in their names. */
export type Line = { readonly [column: string]: string | number | undefined };

export interface Result {
  /** What the figures are about, in one sentence. */
  title: string;
  lines: readonly Line[];
}

/** How the bench's rows are asked for. */
export interface CostOptions {
  /** The exporter's program and first arguments. */
  exporter: readonly string[];
  /** Another build of it, measured in the same rows; absent where there is none to compare with. */
  beside?: readonly string[];
  scrapes: number;
  /** Scrapes before those that are measured, until V8 has compiled what is hot. */
  warmUp: number;
  memoryScrapes: number;
  soakScrapes: number;
  soakSize: { processes: number; cgroups: number };
  /** The kernel kills processes during a soak; else their reports are written into a log. */
  realKills: boolean;
  storms: number;
  explainMiB: number;
  sizes: readonly { processes: number; cgroups: number }[];
  curveSizes: readonly { processes: number; cgroups: number }[];
}

/** As Markdown; a column's name is its key with the unit set apart. */
export function markdown({ title, lines }: Result): string {
  const columns = [...new Set(lines.flatMap((line) => Object.keys(line)))];
  const cells = lines.map((line) => columns.map((column) => cell(line[column])));
  return [
    title,
    "",
    ...[columns, columns.map(() => "---"), ...cells].map((row) => `| ${row.join(" | ")} |`),
    "",
  ].join("\n");
}

function cell(value: string | number | undefined): string {
  if (value === undefined) return "-";
  if (typeof value === "string") return value;
  if (Number.isInteger(value) || Math.abs(value) >= 100) return value.toFixed(0);
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The value below which a share of all lies, of a list in any order. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
