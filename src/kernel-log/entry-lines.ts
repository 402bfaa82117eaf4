/**
 * Logs with multi-line entries, converted to lines of JSON: one line per entry, with unchanged fields.
 *
 *     journalctl -o export                journalctl -o json-pretty       journalctl -o verbose
 *     __CURSOR=s=1f0c...                  {                               Fri 2026-11-20 13:23:50.671745 UTC [s=1f0c...]
 *     __REALTIME_TIMESTAMP=1795181030...          "PRIORITY" : "3",           PRIORITY=3
 *     MESSAGE=Out of memory: ...                  "MESSAGE" : "Out ...        MESSAGE=Out of memory: ...
 *     (blank line)                        }
 *
 * `dmesg --json` is an object of such objects, an export of a log store an object or a list of them.
 * Format: systemd's "Journal Export Formats".
 */

import { isOneRecord, JsonRecords } from "./json-records.ts";
import { newlinesInText } from "./newlines.ts";

type EntryFields = Record<string, unknown>;

export type EntryForm = "export" | "json" | "verbose";

const verboseHead = /^\S+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}(?: \S+)?) \[s=/;

/** How the first entries of a log are written; `undefined` if each is one line. */
export function entryFormOf(head: Uint8Array): EntryForm | undefined {
  const text = Buffer.from(head)
    .toString("latin1")
    .replace(/^\xef\xbb\xbf/, "");
  if (text.startsWith("__CURSOR=")) return "export";
  if (/^\s*\[\s*[[{]/.test(text)) return "json";
  // Not `{code}` or `{noformat}` of a ticket.
  if (/^\s*\{(?![a-z]+[:}])/.test(text)) {
    const [first = ""] = text.trimStart().split("\n", 1);
    return first.startsWith('{"') && first.length < 16_384 && isOneRecord(first)
      ? undefined
      : "json";
  }
  const lines = text.slice(0, 4096).split("\n", 3);
  return lines.some((line) => verboseHead.test(line)) ? "verbose" : undefined;
}

/** Maximum length of an entry, so that one without an end is not waited for. */
const maxHeldLength = 4 * 1024 * 1024;

/**
 * Converts the bytes of such a log to lines, in pieces as they arrive.
 *
 * Invariant: the lines do not depend on how the bytes are cut into pieces.
 */
export class EntryLines {
  readonly #form: EntryForm;
  readonly #records = new JsonRecords();
  #held = "";
  /** Number of lines of the log before the held bytes. */
  #linesBefore = 0;
  /** Line number of each message in the log. */
  readonly #numbers: number[] = [];

  constructor(form: EntryForm) {
    this.#form = form;
  }

  /** Takes bytes of the log. Returns the lines of complete entries. */
  push(bytes: Uint8Array): Buffer {
    if (this.#form === "json") return this.#takeRecords(Buffer.from(bytes).toString("latin1"));
    this.#held += Buffer.from(bytes).toString("latin1");
    const end =
      this.#held.length > maxHeldLength ? this.#held.length : endOfEntries(this.#form, this.#held);
    return this.#take(end);
  }

  /** End of the log: returns the line of the last entry. */
  end(): Buffer {
    return this.#form === "json" ? this.#takeRecords("\n\n") : this.#take(this.#held.length);
  }

  /** Line number in the log (1-based) of the message of a returned line (1-based). */
  lineNumber(line: number): number {
    return this.#numbers[line - 1] ?? line;
  }

  #takeRecords(text: string): Buffer {
    const lines: string[] = [];
    for (const { json, line } of this.#records.push(text)) {
      this.#numbers.push(line);
      lines.push(json, "\n");
    }
    return Buffer.from(lines.join(""), "latin1");
  }

  #take(length: number): Buffer {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    const lines: string[] = [];
    let counted = 0;
    for (const { json, at } of entriesOf(this.#form, text)) {
      this.#linesBefore += newlinesInText(text, counted, at);
      counted = at;
      this.#numbers.push(this.#linesBefore + 1);
      lines.push(json, "\n");
    }
    this.#linesBefore += newlinesInText(text, counted, text.length);
    return Buffer.from(lines.join(""), "latin1");
  }
}

/** An entry on one line, and the position of its message (or what there is of it) in the text. */
interface Entry {
  json: string;
  at: number;
}

/** The end of the last complete entry, where the next one begins. */
function endOfEntries(form: EntryForm, text: string): number {
  if (form === "export") return Math.max(0, text.lastIndexOf("\n__CURSOR=") + 1);
  let end = 0;
  for (const match of text.matchAll(/\n(?=\S)/g)) end = match.index + 1;
  return end;
}

function entriesOf(form: EntryForm, text: string): Iterable<Entry> {
  return form === "export" ? exportEntries(text) : verboseEntries(text);
}

/** `KEY=value` lines, or `KEY`, 8 bytes of length and the value; a blank line ends the entry. */
function* exportEntries(text: string): Generator<Entry> {
  let fields: EntryFields = {};
  let message = 0;
  for (let at = 0; at <= text.length; ) {
    const newlineAt = text.indexOf("\n", at);
    const end = newlineAt < 0 ? text.length : newlineAt;
    const line = text.slice(at, end);
    const equals = line.indexOf("=");
    let next = end + 1;
    if (line === "") {
      if ("MESSAGE" in fields) yield { json: jsonOf(fields), at: message };
      fields = {};
    } else if (equals > 0) {
      if (line.startsWith("MESSAGE=")) message = at;
      fields[line.slice(0, equals)] = utf8(line.slice(equals + 1));
    } else {
      const length = Buffer.from(text.slice(next, next + 8), "latin1");
      const size = length.length < 8 ? 0 : Number(length.readBigUInt64LE());
      const value = text.slice(next + 8, next + 8 + size);
      if (line === "MESSAGE") message = next;
      fields[line] = [...Buffer.from(value, "latin1")];
      next += 8 + Math.min(size, text.length) + 1;
    }
    at = next;
  }
}

/** A timestamp, then the fields, each indented by four blanks; a value may span several lines. */
function* verboseEntries(text: string): Generator<Entry> {
  let fields: EntryFields | undefined;
  let message = 0;
  let field = "";
  let at = 0;
  const ended = function* (): Generator<Entry> {
    if (fields !== undefined && "MESSAGE" in fields) yield { json: jsonOf(fields), at: message };
  };
  for (const line of text.split("\n")) {
    const head = verboseHead.exec(line);
    const member = /^ {4}([A-Z_][A-Z0-9_]*)=(.*)$/s.exec(line);
    if (head !== null) {
      yield* ended();
      fields = { "@timestamp": head[1] };
    } else if (fields !== undefined && member !== null) {
      field = member[1] ?? "";
      if (field === "MESSAGE") message = at;
      fields[field] = utf8(member[2] ?? "");
    } else if (fields !== undefined && line.startsWith(" ".repeat(5 + field.length))) {
      fields[field] = `${fields[field]}\n${utf8(line.slice(5 + field.length))}`;
    }
    at += line.length + 1;
  }
  yield* ended();
}

function utf8(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}

/** The entry as one line, in bytes. */
function jsonOf(fields: EntryFields): string {
  return Buffer.from(JSON.stringify(fields), "utf8").toString("latin1");
}
