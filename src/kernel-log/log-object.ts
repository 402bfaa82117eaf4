/**
 * A record that is an object: an entry of journald or dmesg --json, or what shippers and log stores make of a line. One
 * rule for objects of any shape finds message, time and writer by common field names, at any depth.
 *
 *     {"MESSAGE":"Out of memory: ...","_TRANSPORT":"kernel","_SOURCE_MONOTONIC_TIMESTAMP":"8640407"}
 *     {"pri":3,"time":8.640407,"msg":"Out of memory: ..."}
 *     {"@timestamp":"2026-11-20T13:23:50.671Z","log":{"offset":7},"message":"Nov 20 13:23:50 web1 kernel: ..."}
 *     {"timeUnixNano":"1795181030671745000","body":{"stringValue":"Out of memory: ..."}}
 *
 * Fields with a leading underscore are set by journald itself and cannot be forged.
 */
import type { MessageOrigin } from "./kernel-message.ts";
import { isLevelName, plausible } from "./kernel-message.ts";
import { bytesOfString, unescapeDmesg, unescapeHex } from "./kernel-text.ts";
import type { LogClock } from "./local-time.ts";
import {
  takeCtimeStamp,
  takeFullStamp,
  takeIsoStamp,
  takeKibanaStamp,
  takeSyslogStamp,
} from "./log-stamp.ts";

/** What an object says about one message. */
export interface ObjectMessage {
  /** One character per byte. */
  text: string;
  /** The text is the kernel's own; otherwise it may be a line with an envelope. */
  isKernelText: boolean;
  origin: MessageOrigin;
  timeMs?: number;
  printkMicros?: number;
  bootId?: string;
  callerId?: string;
  /** The object is another program's report that quotes the kernel: a Kubernetes event. */
  isQuoted: boolean;
}

/** Names of the message, most specific first; in lower case, without leading `_` and `@`. */
const messageNames = [
  ...["message", "msg", "log", "line", "textpayload", "raw", "body", "original", "short_message"],
  ...["full_message", "syslogmessage", "logmessage", "renderedmessage", "rawmessage", "rawdata"],
  ...["text", "content", "event", "note", "logline", "entry"],
];
/** Names of the time of writing, then of the time of reception or storage. */
const timeNames = [
  ...["realtime_timestamp", "source_realtime_timestamp", "timestamp", "time", "timeunixnano"],
  ...["eventtime", "timegenerated", "timereported", "isodate", "ts", "date", "datetime", "created"],
  ...["lasttimestamp", "firsttimestamp", "observedtimeunixnano", "receivetimestamp"],
  ...["received_at", "dt", "messagetime", "ingestiontime", "creationtimestamp"],
];
/** Names of the program that wrote the message: the kernel or any other. */
const writerNames = [
  ...["syslog_identifier", "ident", "program", "programname", "appname", "app_name", "app-name"],
  ...["procname", "processname", "process.name", "syslogtag", "identifier"],
];
/** Whether a message may go by such a name. */
export function isMessageName(key: string): boolean {
  return messageNames.includes(nameOf(key));
}

/** Members that hold a value and do not name it. */
const valueNames = new Set(["stringvalue", "intvalue", "value", "bytesvalue", "$", "#text"]);

const maxDepth = 16;
const maxFields = 1000;
const maxJsonInText = 3;
const kernelLike = /[Kk]illed\s+process|oom-kill/;

interface Field {
  /** Lower case, without leading `_` and `@`. */
  name: string;
  /** As in the object. */
  key: string;
  depth: number;
  value: string | number;
  /** The text already has one character per byte: journald writes an array for bytes that are not UTF-8. */
  isBytes?: boolean;
}

/**
 * The message of a parsed JSON value; `undefined` if there is none, or only a program's echo.
 * `anyDepth`: search nested objects; otherwise only its own members and those of `jsonPayload` and `process`, which is
 * enough for a log that is being followed and leaves less room for forgery.
 */
export function messageOfObject(
  value: unknown,
  clock: LogClock,
  { anyDepth }: { anyDepth: boolean },
): ObjectMessage | undefined {
  const object = recordOf(value);
  if (object === undefined) return undefined;
  if (typeof object.msg === "string" && "pri" in object) return messageOfDmesgJson(object, clock);
  return messageOfFields(fieldsOf(object, anyDepth), clock, anyDepth ? maxJsonInText : 0);
}

/** Parses a JSON text in bytes; `undefined` if it is invalid. */
export function parseJson(bytes: string): unknown {
  try {
    return JSON.parse(
      Buffer.from(bytes, "latin1")
        .toString("utf8")
        .replace(/[,\s]+$/, ""),
    );
  } catch {
    return undefined;
  }
}

/**
 * A value as an object that may be a record: an object itself, `[{"field":"@message","value":"..."}, ...]`,
 * `["1795181030671745000","line"]` from Loki, `[time, {...}]` from Fluent Bit, or a row of Azure's tables,
 * `["2026-11-20T13:23:50Z", "web1", "line"]`.
 */
export function recordOf(value: unknown): Record<string, unknown> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (!Array.isArray(value)) {
    return isPair(value as Record<string, unknown>)
      ? undefined
      : (value as Record<string, unknown>);
  }
  const pairs = objectOfPairs(value);
  if (pairs !== undefined) return pairs;
  const row = objectOfRow(value);
  if (row !== undefined) return row;
  const [time, line] = value;
  if (value.length < 2 || value.length > 3) return undefined;
  if (typeof time === "string" && /^\d{10,19}$/.test(time) && typeof line === "string") {
    return { timestamp: time, line };
  }
  const stamp = Array.isArray(time) ? time[0] : time;
  return typeof stamp === "number" && typeof line === "object" && !Array.isArray(line)
    ? { timestamp: stamp, ...line }
    : undefined;
}

const timeOfRow = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?$/;

/** A row whose columns are named elsewhere: the text with the most blanks is the message. */
function objectOfRow(row: readonly unknown[]): Record<string, unknown> | undefined {
  if (row.length < 2 || row.length > maxFields) return undefined;
  const texts = row.filter((cell) => typeof cell === "string");
  const isFlat = row.every((cell) => typeof cell !== "object" || cell === null);
  const timestamp = texts.find((text) => timeOfRow.test(text));
  if (!isFlat || timestamp === undefined) return undefined;
  const blanks = (text: string): number => text.split(" ").length;
  const [line] = texts.filter((text) => text !== timestamp).sort((a, b) => blanks(b) - blanks(a));
  return line === undefined || !line.includes(" ") ? undefined : { timestamp, line };
}

const pairKeys = ["key", "field", "name"];

/** `{"key":"MESSAGE","value":...}`: one member of an object written as a list. */
function isPair(object: Record<string, unknown>): boolean {
  return keyOfPair(object) !== undefined;
}

function keyOfPair(object: Record<string, unknown>): string | undefined {
  if (!("value" in object) || Object.keys(object).length > 3) return undefined;
  for (const key of pairKeys) if (typeof object[key] === "string") return object[key];
  return undefined;
}

function objectOfPairs(list: readonly unknown[]): Record<string, unknown> | undefined {
  if (list.length === 0 || list.length > maxFields) return undefined;
  const entries: [string, unknown][] = [];
  for (const item of list) {
    if (typeof item !== "object" || item === null || Array.isArray(item)) return undefined;
    const key = keyOfPair(item as Record<string, unknown>);
    if (key === undefined) return undefined;
    entries.push([key, (item as { value: unknown }).value]);
  }
  return Object.fromEntries(entries);
}

/** All texts and numbers in an object with their names; least nested first. */
function fieldsOf(object: Record<string, unknown>, anyDepth: boolean): Field[] {
  const fields: Field[] = [];
  const visit = (value: unknown, key: string, depth: number): void => {
    if (fields.length >= maxFields || depth > maxDepth) return;
    if (typeof value === "string" || typeof value === "number") {
      fields.push({ name: nameOf(key), key, depth, value });
    } else if (Array.isArray(value)) {
      const bytes = bytesOfArray(value);
      const pairs = bytes === undefined && anyDepth ? objectOfPairs(value) : undefined;
      if (bytes !== undefined) {
        fields.push({ name: nameOf(key), key, depth, value: bytes, isBytes: true });
      } else if (pairs !== undefined) members(pairs, key, depth);
      else for (const item of value.slice(0, maxFields)) visit(item, key, depth + 1);
    } else if (typeof value === "object" && value !== null) {
      if (anyDepth || depth === 0 || /^(?:jsonPayload|process)$/.test(key))
        members(value as object, key, depth);
    }
  };
  const members = (value: object, parent: string, depth: number): void => {
    for (const [key, member] of Object.entries(value)) {
      const name = key.toLowerCase();
      const isNameless = valueNames.has(name);
      const isProcess = name === "name" && nameOf(parent) === "process";
      visit(member, isNameless ? parent : isProcess ? "process.name" : key, depth + 1);
    }
  };
  members(object, "", 0);
  return fields.sort((a, b) => a.depth - b.depth);
}

/** `log.syslog.appname` counts as its last part. */
function nameOf(key: string): string {
  const name = key.toLowerCase();
  if (name.endsWith("process.name")) return "process.name";
  return name.slice(name.lastIndexOf(".") + 1).replace(/^[_@]+/, "");
}

function bytesOfArray(list: readonly unknown[]): string | undefined {
  if (list.length === 0 || typeof list[0] !== "number") return undefined;
  return list.every((byte) => typeof byte === "number" && byte >= 0 && byte < 256)
    ? Buffer.from(list as number[]).toString("latin1")
    : undefined;
}

function messageOfFields(
  fields: readonly Field[],
  clock: LogClock,
  jsonInText: number,
): ObjectMessage | undefined {
  const message = messageField(fields, jsonInText > 0);
  if (message === undefined) return undefined;
  const isQuoted = fields.some(({ name, value }) => name === "reason" && /OOM/.test(`${value}`));
  const stream = textOf(fields, "stream");
  const timeMs = timeOfFields(fields, clock);
  const bytes = message.isBytes === true ? `${message.value}` : bytesOfString(`${message.value}`);
  const text = bytes.replace(/\n$/, "");
  // An object in a text: shippers of container output do not parse their lines.
  if (/^\s*\{/.test(text)) {
    const object = jsonInText > 0 ? recordOf(parseJson(text)) : undefined;
    if (object === undefined) return undefined;
    const inner = messageOfFields(fieldsOf(object, true), clock, jsonInText - 1);
    // A container's own output is an echo, whatever it says.
    if (inner === undefined || (stream !== undefined && !inner.isQuoted)) return undefined;
    return { ...inner, timeMs: inner.timeMs ?? timeMs };
  }
  if ((stream === "stdout" || stream === "stderr") && !isQuoted) return undefined;
  const isJournal = message.key === "MESSAGE";
  const isKmsg = message.name === "msg" && fields.some(({ name }) => name === "sequence");
  const transport = textOf(fields, "transport");
  return {
    text: isKmsg ? unescapeHex(text) : text,
    isKernelText: isJournal || isKmsg || isQuoted || transport === "kernel",
    origin: originOf(fields),
    timeMs,
    printkMicros: printkMicrosOf(fields, isKmsg),
    bootId: textOf(fields, "boot_id")?.replaceAll("-", ""),
    isQuoted,
  };
}

/** The field with the message: by its name or, at any depth, also by its content. */
function messageField(fields: readonly Field[], anyDepth: boolean): Field | undefined {
  let best: Field | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const field of fields) {
    if (typeof field.value !== "string") continue;
    const named = messageNames.indexOf(field.name);
    const isKernelLike = anyDepth && kernelLike.test(field.value);
    if (named < 0 && !isKernelLike) continue;
    const rank =
      (named < 0 ? messageNames.length : named) + (isKernelLike ? 0 : 2 * messageNames.length);
    if (rank < bestRank) [best, bestRank] = [field, rank];
  }
  return best;
}

/** The text of the least nested field with this name, without stray characters around it. */
function textOf(fields: readonly Field[], name: string): string | undefined {
  const value = fields.find((field) => field.name === name)?.value;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Fluent Bit leaves them behind
  return value === undefined ? undefined : `${value}`.replace(/[\x00-\x1f]+$/, "");
}

function originOf(fields: readonly Field[]): MessageOrigin {
  const trusted = fields.find(({ key }) => key === "_TRANSPORT")?.value;
  const transport = trusted ?? textOf(fields, "transport");
  // journald forwards what root wrote to /dev/kmsg with its original facility.
  if ((textOf(fields, "syslog_facility") ?? "0") !== "0") return "user";
  if (transport !== undefined && transport !== "kernel") return "user";
  if (trusted === "kernel") return "kernel";
  if (fields.some(({ key }) => key === "_SYSTEMD_UNIT")) return "user";
  for (const name of writerNames) {
    const writer = textOf(fields, name)?.replace(/:$/, "");
    if (writer !== undefined && writer !== "" && writer !== "kernel") return "user";
  }
  return "unverified";
}

function timeOfFields(fields: readonly Field[], clock: LogClock): number | undefined {
  for (const name of timeNames) {
    for (const field of fields) {
      if (field.name !== name) continue;
      const timeMs = timeOfValue(field.value, clock);
      if (timeMs !== undefined) return timeMs;
    }
  }
  return undefined;
}

/** A time as text, or as a number of seconds, milli-, micro- or nanoseconds since the epoch. */
function timeOfValue(value: string | number, clock: LogClock): number | undefined {
  if (typeof value === "string" && !/^\d{9,19}(?:\.\d{1,9})?$/.test(value)) {
    const stamp = takeKibanaStamp(value, clock) ?? takeFullStamp(value, clock);
    // A stamp of syslog ends before a blank.
    return (stamp ?? takeIsoStamp(value, clock) ?? takeSyslogStamp(`${value} `, clock))?.timeMs;
  }
  const number = Number(value);
  // For times between 1973 and 5138 the number of digits determines the unit.
  if (number < 1e8 || !(number < 1e20)) return undefined;
  if (number < 1e11) return Math.floor(number * 1000);
  if (number < 1e14) return Math.floor(number);
  return Math.floor(number < 1e17 ? number / 1000 : number / 1e6);
}

function printkMicrosOf(fields: readonly Field[], isKmsg: boolean): number | undefined {
  const micros = textOf(fields, "source_monotonic_timestamp");
  // A number with more digits is not a valid time.
  if (micros !== undefined && /^\d{1,18}$/.test(micros)) return Number(micros);
  if (!isKmsg) return undefined;
  const [seconds, rest] = [Number(textOf(fields, "sec")), Number(textOf(fields, "usec") ?? 0)];
  return seconds >= 0 && seconds < 1e9 && rest < 1e6 ? seconds * 1e6 + rest : undefined;
}

function messageOfDmesgJson(
  { msg, pri, fac, time, caller }: Record<string, unknown>,
  clock: LogClock,
): ObjectMessage {
  const text = unescapeDmesg(bytesOfString(`${msg}`));
  const message: ObjectMessage = {
    text,
    isKernelText: true,
    origin: plausible(text),
    isQuoted: false,
  };
  if (typeof pri === "number" ? pri > 7 : !isLevelName(`${pri}`)) message.origin = "user";
  if (typeof fac === "string" || typeof fac === "number") {
    message.origin = fac === "kern" || fac === 0 ? "kernel" : "user";
  }
  if (typeof time === "number") message.printkMicros = Math.round(time * 1_000_000);
  if (typeof time === "string") {
    message.timeMs = (takeIsoStamp(time, clock) ?? takeCtimeStamp(`[${time}]`, clock))?.timeMs;
  }
  if (typeof caller === "string" && /^[TC]\d+$/.test(caller)) message.callerId = caller;
  return message;
}
