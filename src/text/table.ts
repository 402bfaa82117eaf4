import { columns as length, shortened } from "./wrapping.ts";

export interface Column {
  head: string;
  /** Where its cells stand; default left. */
  align?: "left" | "right";
  /** It may be shortened to this many columns; never if absent. */
  least?: number;
}

/**
 * Rows below a heading, each on one line of at most `limit` columns. If they do not fit, cells of the widest columns
 * that may be shortened are.
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  limit: number,
): string[] {
  const lines = [columns.map(({ head }) => head), ...rows];
  const widths = columns.map((_, at) =>
    lines.reduce((most, cells) => Math.max(most, length(cells[at] ?? "")), 0),
  );
  const total = (gap: number) =>
    widths.reduce((sum, width) => sum + width, 0) + gap * (columns.length - 1);
  const gap = total(2) <= limit ? 2 : 1;
  while (total(gap) > limit) {
    const widest = widths.reduce((best, width, at) => {
      const { least = Number.POSITIVE_INFINITY } = columns[at] as Column;
      return width > least && (best < 0 || width > (widths[best] as number)) ? at : best;
    }, -1);
    if (widest < 0) break;
    widths[widest] = (widths[widest] as number) - 1;
  }
  return lines.map((cells) =>
    cells
      .map((cell, at) => {
        const width = widths[at] as number;
        const text = shortened(cell, width);
        return columns[at]?.align === "right" ? text.padStart(width) : text.padEnd(width);
      })
      .join(" ".repeat(gap))
      .trimEnd(),
  );
}
