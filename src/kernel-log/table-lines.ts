/**
 * A log as a table: the CSV that a log store exports, or the table of a page or a ticket. The first line
 * names the columns; each row becomes one line of JSON, which `log-object.ts` reads.
 *
 *     @timestamp,@message                                            CloudWatch Logs Insights
 *     2026-11-20 13:23:50.671,"Nov 20 13:23:50 web1 kernel: ..."
 *     "_time","_raw",host                                            Splunk
 *     | time | message |                                             Markdown
 *     ||time||message||                                              Jira
 *     "2026-11-20 13:23:50","web1","Nov 20 13:23:50 web1 kernel: ..." without names: the columns are told by their content
 *
 * Format: RFC 4180, with `,`, `;` or a tab; a quoted cell may hold newlines.
 */

import { isMessageName } from "./log-object.ts";
import { newlinesInText } from "./newlines.ts";

type Delimiter = "," | ";" | "\t" | "|";

export interface TableHead {
  delimiter: Delimiter;
  names: readonly string[];
  /** The first line is a row, and the names are made up. */
  isMissing?: boolean;
}

const maxColumns = 200;
/** A quote that nobody closes must not hold the rest of the log. */
const maxRowLength = 256 * 1024;
const columnName = /^[@_]?[A-Za-z][\w .@/-]{0,60}$/;

/** The columns that the first line of a log names; `undefined` where it is no table with messages. */
export function tableHeadOf(head: Uint8Array): TableHead | undefined {
  const text = Buffer.from(head.subarray(0, 8192)).toString("latin1");
  const first = text.replace(/^\xef\xbb\xbf/, "").split(/\r?\n/, 1)[0] ?? "";
  for (const delimiter of [",", ";", "\t", "|"] as const) {
    if (!first.includes(delimiter)) continue;
    const names = cellsOf(first, delimiter);
    const isHead = names.length > 1 && names.length <= maxColumns && names.every(isColumnName);
    if (isHead && names.some(isMessageName)) return { delimiter, names };
  }
  return namelessTable(text);
}

const rowOfCsv = (delimiter: string): RegExp =>
  new RegExp(
    `^(?:"(?:[^"]|"")*"|[^${delimiter}"]*)(?:${delimiter}(?:"(?:[^"]|"")*"|[^${delimiter}"]*))+$`,
  );
const rows = ([",", ";", "\t"] as const).map(
  (delimiter) => [delimiter, rowOfCsv(delimiter)] as const,
);
const kernelCell = /[Kk]illed process \d|oom-kill|\bkernel: |^\[ *\d+\.\d{6}\]/;
const timeCell =
  /^(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|\d{10,19}(?:\.\d{1,9})?$|[A-Z][a-z]{2} \d{1,2}, \d{4} @ )/;

/** A table without names. The kernel writes commas, so its text must be a quoted cell. */
function namelessTable(text: string): TableHead | undefined {
  const lines = text.split(/\r?\n/).slice(0, 50);
  const whole = text.length < 8192 ? lines : lines.slice(0, -1);
  const sample = whole.filter((line) => line !== "");
  if (!sample.some((line) => line.includes('"'))) return undefined;
  for (const [delimiter, row] of rows) {
    if (!sample.every((line) => row.test(line))) continue;
    const cells = sample.map((line) => cellsOf(line, delimiter));
    const width = cells[0]?.length ?? 0;
    if (width > maxColumns || cells.some((of) => of.length !== width)) continue;
    const columns = Array.from({ length: width }, (_, index) => index);
    const holds = (pattern: RegExp) => (index: number) =>
      cells.some((of) => pattern.test(of[index] ?? ""));
    const message = columns.find(holds(kernelCell));
    if (message === undefined) continue;
    const time = columns.find((index) => index !== message && holds(timeCell)(index));
    const names = columns.map((index) =>
      index === message ? "message" : index === time ? "timestamp" : `column${index + 1}`,
    );
    return { delimiter, names, isMissing: true };
  }
  return undefined;
}

function isColumnName(name: string): boolean {
  return columnName.test(name);
}

/** The cells of a row whose end has come; quotes and the pipes around a row are taken off. */
function cellsOf(row: string, delimiter: Delimiter): string[] {
  if (delimiter === "|") {
    const inner = row.trim().replace(/^\|{1,2}|\|{1,2}$/g, "");
    return inner.split(/\|{1,2}/).map((cell) => cell.trim());
  }
  const cells: string[] = [];
  for (let at = 0; at <= row.length; ) {
    if (row[at] === '"') {
      let end = row.indexOf('"', at + 1);
      while (end >= 0 && row[end + 1] === '"') end = row.indexOf('"', end + 2);
      if (end < 0) end = row.length;
      cells.push(row.slice(at + 1, end).replaceAll('""', '"'));
      const next = row.indexOf(delimiter, end);
      at = next < 0 ? row.length + 1 : next + 1;
    } else {
      const next = row.indexOf(delimiter, at);
      const end = next < 0 ? row.length : next;
      cells.push(row.slice(at, end));
      at = end + 1;
    }
  }
  return cells;
}

const isRule = /^[\s|:+-]+$/;

/**
 * Turns the rows into lines of JSON, in pieces as they come.
 *
 * Invariant: the lines are the same however the bytes are cut into pieces.
 */
export class TableLines {
  readonly #head: TableHead;
  #held = "";
  #line = 1;
  #isPastHead = false;
  readonly #numbers: number[] = [];

  constructor(head: TableHead) {
    this.#head = head;
    this.#isPastHead = head.isMissing === true;
  }

  /** Takes bytes of the log. Gives the lines of the rows that have come whole. */
  push(bytes: Uint8Array): Buffer {
    this.#held += Buffer.from(bytes).toString("latin1");
    return this.#take(false);
  }

  /** The log ends here: gives the line of the last row. */
  end(): Buffer {
    return this.#take(true);
  }

  /** In which line of the log the row of a line (both 1-based) begins. */
  lineNumber(line: number): number {
    return this.#numbers[line - 1] ?? line;
  }

  #take(isEnd: boolean): Buffer {
    const lines: string[] = [];
    let start = 0;
    for (;;) {
      const end = this.#endOfRow(start, isEnd);
      if (end < 0) break;
      const row = this.#held.slice(start, end).replace(/\r$/, "");
      if (this.#isPastHead && row.trim() !== "" && !isRule.test(row)) {
        this.#numbers.push(this.#line);
        lines.push(this.#jsonOf(row), "\n");
      }
      this.#isPastHead = true;
      this.#line += newlinesInText(row) + 1;
      start = end + 1;
      if (start > this.#held.length) break;
    }
    this.#held = this.#held.slice(start);
    return Buffer.from(lines.join(""), "latin1");
  }

  /** The newline that ends a row, outside of quotes; -1 while that has not come. */
  #endOfRow(start: number, isEnd: boolean): number {
    const text = this.#held;
    const hasQuotes = this.#head.delimiter !== "|";
    let inQuotes = false;
    for (let at = start; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      if (code === 0x22 && hasQuotes) inQuotes = !inQuotes;
      if (code === 0x0a && (!inQuotes || at - start > maxRowLength)) return at;
    }
    return isEnd && start < text.length ? text.length : -1;
  }

  #jsonOf(row: string): string {
    const { names, delimiter } = this.#head;
    const cells = cellsOf(row, delimiter);
    const record: Record<string, string> = {};
    names.forEach((name, index) => {
      record[name] = Buffer.from(cells[index] ?? "", "latin1").toString("utf8");
    });
    return Buffer.from(JSON.stringify(record), "utf8").toString("latin1");
  }
}
