/**
 * Records in JSON of any layout: an object on many lines, an array or an object of records, nested lists. A record is
 * the innermost object (or list that represents one) with a message.
 *
 *     {"events":[{"timestamp":1795181030671,"message":"..."}, ...]}          CloudWatch
 *     {"data":{"result":[{"values":[["1795181030671745000","..."]]}]}}       Loki
 *     {"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{...}}]}]}]}     OpenTelemetry
 */

import { messageOfObject, parseJson, recordOf } from "./log-object.ts";
import { newlinesInText } from "./newlines.ts";

/** A record on one line of JSON, and its place. */
export interface JsonRecord {
  json: string;
  /** 1-based line of the log where its message (or what there is of it) begins. */
  line: number;
}

interface Container {
  isArray: boolean;
  /** Position in the held text. */
  start: number;
  line: number;
  /** It contains a record, so it is not a record itself. */
  hasRecord: boolean;
}

/** Maximum size of a record; anything larger is not a log record. */
const maxRecordLength = 1024 * 1024;
const maxDepth = 64;
const clock = { nowMs: () => 0, zone: { offsetSeconds: () => 0 } };

/** The value in the form of a line of the log; `undefined` if it is not a record. */
function asRecord(value: unknown): Record<string, unknown> | undefined {
  const record = recordOf(value);
  if (record === undefined) return undefined;
  return messageOfObject(record, clock, { anyDepth: true }) === undefined ? undefined : record;
}

/** Whether a line of JSON is a single record. */
export function isOneRecord(line: string): boolean {
  const found = new JsonRecords();
  const records = [...found.push(`${line}\n`)];
  return records.length === 1 && asRecord(parseJson(line)) !== undefined && !found.sawNested;
}

/**
 * Finds records in a text that arrives in pieces, one character per byte.
 *
 * Invariant: the records do not depend on how the text is cut. Damage loses only the affected record: a line that
 * begins with `{` starts a new one.
 */
export class JsonRecords {
  /** A record was found in another object or list. */
  sawNested = false;
  #text = "";
  #at = 0;
  #line = 1;
  #stack: Container[] = [];
  #tooDeep = 0;
  #inString = false;

  *push(piece: string): Generator<JsonRecord> {
    this.#text += piece;
    const text = this.#text;
    const outside = /["{}[\]\n]/g;
    const inside = /["\\\n]/g;
    for (;;) {
      const pattern = this.#inString ? inside : outside;
      pattern.lastIndex = this.#at;
      const hit = pattern.exec(text);
      if (hit === null) {
        this.#at = text.length;
        break;
      }
      const at = hit.index;
      // The character after a backslash or a newline decides, and may not have arrived yet.
      if ((hit[0] === "\\" || hit[0] === "\n") && at + 1 === text.length) {
        this.#at = at;
        break;
      }
      this.#at = at + (hit[0] === "\\" ? 2 : 1);
      if (hit[0] === "\n") this.#newline(text.charCodeAt(at + 1) === 0x7b);
      else if (hit[0] === '"') this.#inString = !this.#inString;
      else if (hit[0] === "{" || hit[0] === "[") this.#open(hit[0] === "[", at);
      else if (hit[0] !== "\\") yield* this.#close(hit[0] === "]");
    }
    this.#forget();
  }

  #newline(beginsObject: boolean): void {
    this.#line += 1;
    if (!beginsObject) return;
    this.#inString = false;
    this.#stack = [];
    this.#tooDeep = 0;
  }

  #open(isArray: boolean, start: number): void {
    if (this.#stack.length >= maxDepth) this.#tooDeep += 1;
    else this.#stack.push({ isArray, start, line: this.#line, hasRecord: false });
  }

  *#close(isArray: boolean): Generator<JsonRecord> {
    if (this.#tooDeep > 0) {
      this.#tooDeep -= 1;
      return;
    }
    const container = this.#stack.at(-1);
    if (container === undefined || container.isArray !== isArray) return;
    this.#stack.pop();
    const parent = this.#stack.at(-1);
    const isElement = isArray ? parent?.isArray === true : parent?.isArray !== false;
    const found = !container.hasRecord && isElement ? this.#recordIn(container) : undefined;
    if (parent !== undefined && (container.hasRecord || found !== undefined)) {
      parent.hasRecord = true;
      this.sawNested = true;
    }
    if (found !== undefined) yield found;
  }

  #recordIn({ start, line }: Container): JsonRecord | undefined {
    if (this.#at - start > maxRecordLength) return undefined;
    const slice = this.#text.slice(start, this.#at);
    const record = asRecord(parseJson(slice));
    if (record === undefined) return undefined;
    const json = Buffer.from(JSON.stringify(record), "utf8").toString("latin1");
    const message = Math.max(0, slice.search(/[Kk]illed process|"(?:MESSAGE|message|msg)"/));
    return { json, line: line + newlinesInText(slice, 0, message) };
  }

  /** Drops text in which no record can begin any more. */
  #forget(): void {
    const isNeeded = (open: Container): boolean =>
      !open.hasRecord && this.#at - open.start <= maxRecordLength;
    const from = this.#stack.find(isNeeded)?.start ?? this.#at;
    this.#text = this.#text.slice(from);
    this.#at -= from;
    for (const open of this.#stack) open.start -= from;
  }
}
