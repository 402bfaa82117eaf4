import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import type { OomKillReport } from "../../src/kernel-log/oom-report.ts";
import { readWholeLog } from "../../src/kernel-log/whole-log.ts";
import { rowsOf } from "./mailer.ts";

/*
 * The reports that people posted, put into the shapes that other people, mailers and tools give to a text: the same kills
 * are read from each of them.
 */

const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };
const directory = fileURLToPath(new URL("../fixtures/reports/", import.meta.url));
const stamped =
  /^(?:\[ *\d+\.\d{6}\] |\[[A-Z][a-z]{2} |[A-Z][a-z]{2} [ \d]\d \d\d:|\d{4}-\d\d-\d\d[T ])/;

/** A kill line whose end is missing goes on in whatever comes next. */
const isCut = (name: string) => name.startsWith("216-") || name.startsWith("225-");

/** Reports with kills that are plain logs: each line has a stamp, none goes on in the next. */
const plainLogs = readdirSync(directory)
  .filter((name) => name.endsWith(".json"))
  .map((name) => name.slice(0, -".json".length))
  .filter((name) => JSON.parse(readFileSync(`${directory}${name}.json`, "utf8")).kills.length > 0)
  .map((name) => {
    const lines = readFileSync(`${directory}${name}.log`, "latin1").split("\n");
    const written = lines.filter((line) => line.trim() !== "");
    return { name, lines: written, isPlain: written.every((line) => stamped.test(line)) };
  })
  .filter(({ name, isPlain }) => isPlain && !isCut(name));

type Kill = Omit<OomKillReport, "dump" | "killLine" | "lineNumber" | "endOffset">;

async function killsIn(text: string): Promise<Kill[]> {
  const bytes = Buffer.from(text, "latin1");
  const kills: Kill[] = [];
  const log = { head: bytes.subarray(0, 65_536), chunks: [bytes] };
  await readWholeLog(log, clock, (event) => {
    if (event.kind !== "kill") return;
    const {
      dump: _dump,
      killLine: _line,
      lineNumber: _number,
      endOffset: _end,
      ...kill
    } = event.report;
    kills.push(kill);
  });
  return kills;
}

type Lines = readonly string[];

/** How a line is broken; a mailer breaks at blanks and cannot break a word. */
const breaks: Record<string, (lines: Lines) => Lines> = {
  "whole lines": (lines) => lines,
  ...Object.fromEntries(
    [80, 100, 132].map((width) => [
      `broken at column ${width}`,
      (lines: Lines) => cutAt(lines, width),
    ]),
  ),
  ...Object.fromEntries(
    [72, 76].map((width) => [
      `broken at a blank before ${width}`,
      (lines: Lines) => fill(lines, width),
    ]),
  ),
  "format=flowed": (lines) => fill(lines, 74, " "),
  "a blank line after each": (lines) => lines.flatMap((line) => [line, ""]),
  "padded to 160 columns": (lines) => lines.map((line) => line.padEnd(160)),
};

function cutAt(lines: Lines, width: number): Lines {
  return lines.flatMap((line) => line.match(new RegExp(`.{1,${width}}`, "g")) ?? []);
}

function fill(lines: Lines, width: number, end = ""): Lines {
  return lines.flatMap((line) => {
    const rows = rowsOf(line, width);
    return rows.map((row, index) => (index < rows.length - 1 ? `${row}${end}` : row));
  });
}

const each =
  (prefix: (index: number) => string) =>
  (lines: Lines): Lines =>
    lines.map((line, index) => (line === "" ? line : `${prefix(index)}${line}`));

/** What stands before each line. */
const marks: Record<string, (lines: Lines) => Lines> = {
  nothing: (lines) => lines,
  "a quote mark": each(() => "> "),
  "three quote marks": each(() => ">>> "),
  "four blanks": each(() => "    "),
  "a tab": each(() => "\t"),
};

/** Only where each line is a record: a number or a file's name before the rest of a line says that it is none. */
const recordMarks: Record<string, (lines: Lines) => Lines> = {
  "a pipe": each(() => "| "),
  "the name of a container": each(() => "web-1  | "),
  "a number": each((index) => `${index + 1}: `),
  "grep's file": each(() => "/var/log/kern.log:"),
  "grep's file and line": each((index) => `kern.log.1:${index + 1}:`),
  "a time of a relay": each(() => "2026-11-20T13:23:51.123456Z "),
  colours: (lines) => lines.map((line) => `\x1b[32m${line}\x1b[0m`),
  "grep's colours": (lines) =>
    lines.map((line) => line.replace(/illed process|oom/, "\x1b[01;31m\x1b[K$&\x1b[m\x1b[K")),
  "an object of a store": (lines) =>
    lines.map((line) => JSON.stringify({ host: "a", message: line })),
};

const escaped = (line: string): string =>
  line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** How the whole text is stored. */
const stores: Record<string, (lines: Lines) => string> = {
  "a text": (lines) => `${lines.join("\n")}\n`,
  "a text of Windows": (lines) => `${lines.join("\r\n")}\r\n`,
  "a block of Markdown": (lines) => `It died:\n\n\`\`\`\n${lines.join("\n")}\n\`\`\`\n\nWhy?\n`,
  "a page's source": (lines) => `<pre>\n${lines.map(escaped).join("\n")}\n</pre>\n`,
  "lines of a page": (lines) =>
    `<p>\n${lines.map((line) => `${escaped(line)}<br>`).join("\n")}\n</p>\n`,
  "a post's source": (lines) => `[CODE]${lines.join("\n")}[/CODE]\n`,
  "a ticket": (lines) => `{code}\n${lines.join("\n")}\n{code}\n`,
  "a mail as transferred": (lines) => transferred(`${lines.join("\n")}\n`),
};

function transferred(text: string): string {
  return text
    .replaceAll("=", "=3D")
    .split("\n")
    .map((line) => (line.match(/(?:=3D|.){1,72}/g) ?? [""]).join("=\n"))
    .join("\n");
}

const seed = 20_261_126;

const victimsOf = (kills: readonly Kill[]) =>
  kills.map(({ pid, comm, totalVmBytes }) => [pid, comm, totalVmBytes]);

describe("a report that somebody posted", () => {
  it("comes from enough plain logs", () => {
    expect(plainLogs.length).toBeGreaterThan(12);
  });

  it("has the same kills in each dress", async () => {
    const inPlain = new Map<object, Awaited<ReturnType<typeof killsIn>>>();
    for (const log of plainLogs) inPlain.set(log, await killsIn(`${log.lines.join("\n")}\n`));
    const dress = fc.record({
      log: fc.constantFrom(...plainLogs),
      broken: fc.constantFrom(...Object.keys(breaks)),
      mark: fc.constantFrom(...Object.keys(marks), ...Object.keys(recordMarks)),
      store: fc.constantFrom(...Object.keys(stores)),
    });
    const isPossible = ({
      broken,
      mark,
      store,
    }: {
      broken: string;
      mark: string;
      store: string;
    }) => {
      const isWhole = broken === "whole lines" || !(mark in recordMarks);
      const isLine = store === "a text" || mark !== "an object of a store";
      return isWhole && isLine;
    };
    await fc.assert(
      fc.asyncProperty(dress.filter(isPossible), async ({ log, broken, mark, store }) => {
        const lines = breaks[broken]?.(log.lines) ?? [];
        const marked = (marks[mark] ?? recordMarks[mark])?.(lines) ?? [];
        const text = stores[store]?.(marked) ?? "";
        const [dressed, plain] = [await killsIn(text), inPlain.get(log) ?? []];
        expect(victimsOf(dressed)).toEqual(victimsOf(plain));
        // Of other lines a mailer may leave nothing to tell where they were broken.
        if (!broken.startsWith("broken") && broken !== "format=flowed") {
          expect(dressed).toEqual(plain);
        }
      }),
      { seed, numRuns: 300 },
    );
  });
});
