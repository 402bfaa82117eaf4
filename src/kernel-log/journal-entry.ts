/**
 * Entries that hold a message in fields: journald's, dmesg --json's, and a shipper's around a line.
 *
 *     {"MESSAGE":"Out of memory: ...","_TRANSPORT":"kernel","_SOURCE_MONOTONIC_TIMESTAMP":"8640407"}
 *     {"pri":3,"time":8.640407,"msg":"Out of memory: ..."}
 *     {"log":"Nov 20 13:23:50 web1 kernel: [    8.640407] Out of memory: ..."}
 *
 * Fields with a leading underscore are journald's own word and cannot be forged.
 */
import type { KernelMessage } from "./kernel-message.ts";
import { messageOf, plausible, setLevel } from "./kernel-message.ts";
import { bytesOfString, unescapeDmesg } from "./kernel-text.ts";
import type { LogClock } from "./local-time.ts";
import { takeCtimeStamp, takeFullStamp, takeIsoStamp } from "./log-stamp.ts";

/** The fields of one entry as journalctl -o json, dmesg --json or a log shipper write it. */
export type EntryFields = Record<string, unknown>;

/** The fields of one JSON object; `undefined` for text that is none. */
export function fieldsOfJson(json: string): EntryFields | undefined {
  let entry: unknown;
  try {
    entry = JSON.parse(Buffer.from(json, "latin1").toString("utf8").replace(/,\s*$/, ""));
  } catch {
    return undefined;
  }
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) return undefined;
  const { jsonPayload } = entry as EntryFields;
  // Google's logging keeps journald's fields in one of its own.
  return typeof jsonPayload === "object" && jsonPayload !== null
    ? { ...entry, ...jsonPayload }
    : (entry as EntryFields);
}

/** The message of an entry of the journal or of dmesg --json. Byte strings come as arrays. */
export function messageOfFields(fields: EntryFields, clock: LogClock): KernelMessage | undefined {
  if ("MESSAGE" in fields) return messageOfJournal(fields, clock);
  if ("msg" in fields && "pri" in fields) return messageOfDmesgJson(fields, clock);
  return undefined;
}

/** A line that a shipper wrapped, and what it knows besides. */
export interface WrappedLine {
  line: string;
  timeMs?: number;
  /** A program other than the kernel is named as its writer. */
  isUsers: boolean;
}

/** The line in `log`, `message` or `textPayload`; `undefined` where there is none, or only an echo. */
export function wrappedLine(fields: EntryFields, clock: LogClock): WrappedLine | undefined {
  // What a container writes to its own output is an echo, whatever it says.
  if (fields.stream === "stdout" || fields.stream === "stderr") return undefined;
  const wrapped = fields.log ?? fields.message ?? fields.textPayload;
  if (typeof wrapped !== "string") return undefined;
  const line = bytesOfString(wrapped).replace(/\n$/, "");
  if (line.startsWith("{")) return undefined;
  const writer = fields.ident ?? fields.program ?? fields.appname ?? fields.SYSLOG_IDENTIFIER;
  return {
    line,
    timeMs: timeOfFields(fields, clock),
    isUsers: typeof writer === "string" && writer !== "kernel",
  };
}

function timeOfFields(fields: EntryFields, clock: LogClock): number | undefined {
  const time = fields["@timestamp"] ?? fields.timestamp ?? fields.time;
  if (typeof time !== "string") return undefined;
  return (takeFullStamp(time, clock) ?? takeIsoStamp(time, clock))?.timeMs;
}

function messageOfJournal(fields: EntryFields, clock: LogClock): KernelMessage | undefined {
  const text = bytesOfJournalValue(fields.MESSAGE);
  if (text === undefined) return undefined;
  const field = (name: string): string | undefined => {
    const value = fields[name];
    return typeof value === "string" ? value : undefined;
  };
  const message = messageOf(text, "unverified");
  const transport = field("_TRANSPORT");
  if (transport !== undefined) message.origin = transport === "kernel" ? "kernel" : "user";
  else if ((field("SYSLOG_IDENTIFIER") ?? "kernel") !== "kernel") message.origin = "user";
  // journald passes on what root wrote to /dev/kmsg with the facility it came with.
  if ((field("SYSLOG_FACILITY") ?? "0") !== "0") message.origin = "user";
  const micros = (name: string): number | undefined => {
    const value = field(name);
    // More digits are no time that a date could tell.
    return value !== undefined && /^\d{1,18}$/.test(value) ? Number(value) : undefined;
  };
  const printk = micros("_SOURCE_MONOTONIC_TIMESTAMP");
  if (printk !== undefined) message.printkMicros = printk;
  const time = micros("__REALTIME_TIMESTAMP") ?? micros("_SOURCE_REALTIME_TIMESTAMP");
  message.timeMs = time === undefined ? timeOfFields(fields, clock) : Math.floor(time / 1000);
  const bootId = field("_BOOT_ID");
  if (bootId !== undefined) message.bootId = bootId.replaceAll("-", "");
  const priority = micros("PRIORITY");
  if (priority !== undefined) message.level = priority;
  return message;
}

/** A field of the journal: text, an array of bytes where it is not UTF-8, or an array of either if repeated. */
function bytesOfJournalValue(value: unknown): string | undefined {
  if (typeof value === "string") return bytesOfString(value);
  if (!Array.isArray(value)) return undefined;
  if (value.every((byte) => typeof byte === "number")) {
    return Buffer.from(value as number[]).toString("latin1");
  }
  return bytesOfJournalValue(value[0]);
}

function messageOfDmesgJson(fields: EntryFields, clock: LogClock): KernelMessage | undefined {
  if (typeof fields.msg !== "string") return undefined;
  const text = unescapeDmesg(bytesOfString(fields.msg));
  const message = messageOf(text, plausible(text));
  const { pri, fac, time, caller } = fields;
  if (typeof pri === "number") {
    if (pri > 7) message.origin = "user";
    else message.level = pri;
  } else if (typeof pri === "string") {
    setLevel(message, pri);
  }
  if (typeof fac === "string" || typeof fac === "number") {
    message.origin = fac === "kern" || fac === 0 ? "kernel" : "user";
  }
  if (typeof time === "number") message.printkMicros = Math.round(time * 1_000_000);
  if (typeof time === "string") {
    const stamp = takeIsoStamp(time, clock) ?? takeCtimeStamp(`[${time}]`, clock);
    if (stamp?.timeMs !== undefined) message.timeMs = stamp.timeMs;
  }
  if (typeof caller === "string" && /^[TC]\d+$/.test(caller)) message.callerId = caller;
  return message;
}
