import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

/*
 * Tables of all Markdown pages. A `|` separates cells inside of code spans too: where it is not written
 * `\|`, GitHub drops what follows the last column, and half a command is worse than none.
 */

// Not below node_modules, where other tests unpack programs at the same time.
const notOurs = ["node_modules", "dist", "build", ".git"];
const pages = readdirSync(".", { withFileTypes: true })
  .filter(({ name }) => !notOurs.includes(name))
  .flatMap((entry) =>
    entry.isDirectory()
      ? readdirSync(entry.name, { recursive: true, encoding: "utf8" }).map(
          (path) => `${entry.name}/${path}`,
        )
      : [entry.name],
  )
  .filter((path) => path.endsWith(".md"))
  .sort();

interface Row {
  line: number;
  cells: string[];
}

/** The tables of a page: its rows, the header first. */
function tablesIn(text: string): Row[][] {
  const tables: Row[][] = [];
  const lines = withoutFences(text.split("\n"));
  for (let at = 1; at < lines.length; at++) {
    const isDelimiter = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(lines[at] as string);
    if (!isDelimiter || !lines[at]?.includes("|") || !lines[at - 1]?.includes("|")) continue;
    const rows: Row[] = [];
    for (let row = at - 1; lines[row]?.includes("|"); row++) {
      rows.push({ line: row + 1, cells: cellsOf(lines[row] as string) });
    }
    tables.push(rows);
  }
  return tables;
}

function withoutFences(lines: readonly string[]): string[] {
  let fence: string | undefined;
  return lines.map((line) => {
    const mark = /^\s*(```|~~~)/.exec(line)?.[1];
    const isInside = fence !== undefined;
    if (mark !== undefined && (fence === undefined || fence === mark)) {
      fence = isInside ? undefined : mark;
    }
    return isInside || mark !== undefined ? "" : line;
  });
}

function cellsOf(line: string): string[] {
  const inner = line
    .trim()
    .replace(/^\|/, "")
    .replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim());
}

describe("tables in Markdown", () => {
  it("are found, and a row with too many cells with them", () => {
    const text =
      "| a | b |\n|---|---|\n| `x \\| y` | z |\n| `x | y` | z |\n\n```\n| a |\n|---|\n```\n";
    expect(tablesIn(text).map((rows) => rows.map(({ cells }) => cells.length))).toEqual([
      [2, 2, 2, 3],
    ]);
  });

  it.each(pages)("%s has as many cells in each row as in its header", (page) => {
    for (const [header, ...rows] of tablesIn(readFileSync(page, "utf8"))) {
      for (const { line, cells } of rows) {
        expect(cells, `${page}:${line}`).toHaveLength(header?.cells.length ?? 0);
      }
    }
  });

  it.each(pages)("%s has no code span that a cell's end cuts in two", (page) => {
    for (const rows of tablesIn(readFileSync(page, "utf8"))) {
      for (const { line, cells } of rows) {
        const torn = cells.filter((cell) => (cell.match(/`/g)?.length ?? 0) % 2 === 1);
        expect(torn, `${page}:${line}`).toEqual([]);
      }
    }
  });
});
