/**
 * A document that holds a piece of a log as text, not as records: in one string, or in a list of lines.
 *
 *     {"title": "OOM", "body": "[ 8.626944] java invoked oom-killer: ...\n[ 8.629012] CPU: 1 ...\n..."}
 *     {"log": "\"java invoked oom-killer: ...\\nCPU: 1 ...\""}                    a string in a string
 *     ["java invoked oom-killer: ...", "CPU: 1 ...", ...]
 *     java invoked oom-killer: ...\nCPU: 1 ...\n                                  what a program printed of such a string
 *
 * Format: JSON (RFC 8259). Lists of records are read by json-records.ts.
 */
import { JsonRecords } from "./json-records.ts";
import { parseJson } from "./log-object.ts";
import { newlinesInText } from "./newlines.ts";

/** Something of a kill, or of memory that ran out. */
const ofKill = /oom-kill|oom_reaper|illed process \d|OOM killer|[Oo]ut of memory|Mem-Info/;
const inString = String.raw`(?:[^"\\\n]|\\.)*`;
/** The newline is escaped, once or twice, and more follows in the string. */
const linesInString = new RegExp(String.raw`(?:${ofKill.source})${inString}?\\+n(?![\\"])`);
const linesBeforeInString = new RegExp(String.raw`\\+n${inString}?(?:${ofKill.source})`);
/** A value that is no member of an object: no name and colon stand before it. */
const lineInList = new RegExp(
  String.raw`[[,]\s*"${inString}?(?:${ofKill.source})${inString}"\s*[,\]]`,
);
const escapedNewline = /\\+r?\\*n/;
const startsJson = /^\s*[[{"]/;
const recordsOnLines = /^\{.*\n\{/m;
/** The time in a pair of a time and a message. */
const onlyDigits = /^\d+$/;
const maxDepth = 16;
/** A longer text is a log. */
const maxLength = 4 * 1024 * 1024;

/** Whether a text is such a document, by its beginning. */
export function hasJsonStrings(head: Uint8Array): boolean {
  const text = Buffer.from(head)
    .toString("latin1")
    .replace(/^\xef\xbb\xbf/, "");
  if (!startsJson.test(text)) return isEscapedReport(text);
  if (recordsOnLines.test(text) || isOfRecords(text)) return false;
  return [linesInString, linesBeforeInString, lineInList].some((pattern) => pattern.test(text));
}

/** Whether these are records of one line each; a name in one may hold a newline. */
function isOfRecords(text: string): boolean {
  const records = [...new JsonRecords().push(text)];
  const ofManyLines = records.filter(({ json }) => linesInString.test(json));
  return records.length > 1 && ofManyLines.length < records.length / 2;
}

/** Whether this is one line that holds a whole report: with less, a program may have said it of another host. */
function isEscapedReport(text: string): boolean {
  const line = text.trim();
  return (
    !line.includes("\n") &&
    /oom-killer: .*\\n.*illed process \d/.test(line) &&
    linesInString.test(line)
  );
}

/** Takes the lines out of their strings when the document has ended; a text that is no JSON stays as it is. */
export class JsonStrings {
  #pieces: Buffer[] = [];
  #length = 0;
  /** Line of the document of each line returned; absent if they are the same. */
  #numbers: number[] | undefined;

  push(bytes: Uint8Array): Buffer {
    this.#pieces.push(Buffer.from(bytes));
    this.#length += bytes.length;
    return this.#length > maxLength ? this.#take() : Buffer.alloc(0);
  }

  end(): Buffer {
    const document = this.#take();
    const text = document.toString("utf8").replace(/^\ufeff/, "");
    const lines = startsJson.test(text)
      ? [...linesOf(valueIn(text), 0)]
      : text.trimEnd().split(escapedNewline).map(unescaped);
    if (lines.length === 0) return document;
    this.#numbers = numbersOf(lines, text);
    return Buffer.from(lines.map((line) => `${line}\n`).join(""), "utf8");
  }

  /** Line of the document where a returned line begins (both 1-based). */
  lineNumber(line: number): number {
    return this.#numbers === undefined ? line : (this.#numbers[line - 1] ?? line);
  }

  #take(): Buffer {
    const taken = Buffer.concat(this.#pieces);
    this.#pieces = [];
    return taken;
  }
}

/** The lines of a log in the strings of a value, in their order. */
function* linesOf(value: unknown, depth: number): Generator<string> {
  if (depth > maxDepth) return;
  if (typeof value === "string") yield* linesOfString(value, depth);
  else if (Array.isArray(value)) {
    if (isListOfLines(value)) yield* value.flatMap((line) => line.replace(/\n$/, "").split("\n"));
    else for (const element of value) yield* linesOf(element, depth + 1);
  } else if (typeof value === "object" && value !== null) {
    for (const member of Object.values(value)) yield* linesOf(member, depth + 1);
  }
}

function* linesOfString(text: string, depth: number): Generator<string> {
  if (!ofKill.test(text)) return;
  const inner = startsJson.test(text) ? valueIn(text) : undefined;
  if (inner !== undefined) yield* linesOf(inner, depth + 1);
  else if (text.trimEnd().includes("\n")) yield* text.replace(/\n$/, "").split("\n");
  else if (escapedNewline.test(text)) yield* text.split(escapedNewline).map(unescaped);
}

function valueIn(text: string): unknown {
  return parseJson(Buffer.from(text, "utf8").toString("latin1"));
}

function unescaped(line: string): string {
  return line.replace(/\\+t/g, "\t").replace(/\\+(["'])/g, "$1");
}

function isListOfLines(list: readonly unknown[]): list is string[] {
  return (
    list.every((line) => typeof line === "string" && !onlyDigits.test(line)) &&
    list.some((line) => ofKill.test(line as string))
  );
}

/** Where the lines stand in the document, as far as they are written there as they are. */
function numbersOf(lines: readonly string[], text: string): number[] {
  let [at, line] = [0, 1];
  return lines.map((wanted) => {
    const found = wanted === "" ? -1 : text.indexOf(JSON.stringify(wanted).slice(1, -1), at);
    if (found < 0) return line;
    line += newlinesInText(text, at, found);
    at = found;
    return line;
  });
}
