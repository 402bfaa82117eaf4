/**
 * Takes the envelope off one line or record of a kernel log.
 *
 * Paths: /dev/kmsg (Documentation/ABI/testing/dev-kmsg, since 3.5), /var/log/kern.log, syslog and
 * messages (RFC 3164, RFC 3339 and RFC 5424 stamps), and the output of dmesg(1) and journalctl(1).
 * Every line is recognised by itself, so a file may change its format in the middle.
 *
 *     Nov 20 13:23:50 web1 kernel: [    8.640407] Out of memory: Killed process 226 (greedy) total-vm:...
 *     2026-11-20T13:23:50.671745+00:00 web1 kernel: Out of memory: Killed process ...
 *     <3>1 2026-11-20T13:23:50.671745+00:00 web1 kernel - - - [    8.640407] Out of memory: ...
 *     kern  :err   : [    8.640407] Out of memory: Killed process ...
 *     [Fri Nov 20 13:23:50 2026] Out of memory: Killed process ...
 *     3,426,8640407,-,caller=T226;Out of memory: Killed process 226 (a\x0ab) total-vm:...
 *     {"MESSAGE":"Out of memory: ...","_TRANSPORT":"kernel","_SOURCE_MONOTONIC_TIMESTAMP":"8640407"}
 */
import type { LogClock } from "./local-time.ts";
import { localToEpochMs, yearlessToEpochMs } from "./local-time.ts";

/** Who wrote a message, as far as its envelope can prove it. */
export type MessageOrigin =
  /** The envelope proves the kernel: kmsg facility 0, journald `_TRANSPORT=kernel`, kern facility shown. */
  | "kernel"
  /** Looks like the kernel's, and nothing in the envelope can prove or refute it. */
  | "unverified"
  /** The envelope proves that user space wrote it. */
  | "user";

/** One message of the kernel log with its envelope taken off. */
export interface KernelMessage {
  /** The kernel's own text, one character per byte (latin1), escapes of the envelope undone. */
  text: string;
  origin: MessageOrigin;
  /** printk clock: microseconds since boot. */
  printkMicros?: number;
  /** Wall clock: milliseconds since the epoch. */
  timeMs?: number;
  /** Boot id, 32 hex digits without dashes, where the envelope carries one (journald). */
  bootId?: string;
  /** kmsg sequence number. */
  sequence?: number;
  /** `CONFIG_PRINTK_CALLER`: `T123` for a task, `C0` for a processor. */
  callerId?: string;
  /** printk level 0 (emerg) to 7 (debug). */
  level?: number;
  /** True for a line without an envelope of its own: the rest of the record before it (embedded newline). */
  continues?: boolean;
}

/** Text of bytes (one character per byte) as people read it: UTF-8, invalid bytes as U+FFFD. */
export function decodeUtf8(bytes: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the ASCII range, which is the same in both
  return /^[\x00-\x7f]*$/.test(bytes) ? bytes : Buffer.from(bytes, "latin1").toString("utf8");
}

function bytesOfString(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the ASCII range, which is the same in both
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

/** All fields at once and in one order: engines are slow with objects that grow each in its own way. */
function messageOf(text: string, origin: MessageOrigin): KernelMessage {
  return {
    text,
    origin,
    printkMicros: undefined,
    timeMs: undefined,
    bootId: undefined,
    sequence: undefined,
    callerId: undefined,
    level: undefined,
    continues: undefined,
  };
}

const levelNames = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

function levelOfName(name: string): number | undefined {
  const index = levelNames.findIndex((level) => name.startsWith(level));
  if (index >= 0) return index;
  if (name === "error") return 3;
  return name === "panic" ? 0 : undefined;
}

/** A facility other than 0 was written by user space: no writer but the kernel can use 0 on /dev/kmsg. */
function originOfPriority(priority: number): MessageOrigin {
  return priority >> 3 === 0 ? "kernel" : "user";
}

const maxLineLength = 16 * 1024;

const kmsgRecord = /^(\d{1,4}),(\d+),(\d+),([^;]*);(.*)$/s;

/**
 * One record of /dev/kmsg: `prio,seq,usec,flags[,caller=T123];text`, the `KEY=value` lines after it
 * left out, `\xHH` undone. `undefined` for text that is no such record.
 */
export function parseKmsgRecord(record: string): KernelMessage | undefined {
  const newline = record.indexOf("\n");
  const match = kmsgRecord.exec(newline < 0 ? record : record.slice(0, newline));
  if (match === null) return undefined;
  const [, priority = "", sequence = "", micros = "", flags = "", text = ""] = match;
  const message = messageOf(unescapeHex(text), originOfPriority(Number(priority)));
  message.printkMicros = Number(micros);
  message.sequence = Number(sequence);
  message.level = Number(priority) & 7;
  const caller = /(?:^|,)caller=([TC]\d+)/.exec(flags);
  if (caller?.[1] !== undefined) message.callerId = caller[1];
  return message;
}

function unescapeHex(text: string): string {
  if (!text.includes("\\x")) return text;
  return text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** dmesg(1) writes only unprintable bytes as `\xHH`; a backslash that a name really has stays bare. */
function unescapeDmesg(text: string): string {
  if (!text.includes("\\x")) return text;
  return text.replace(/\\x([01][0-9a-f]|7f|[89a-f][0-9a-f])/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/**
 * rsyslog writes a control character as `#ooo`. Bytes above 0x7f only with
 * `$Escape8BitCharactersOnReceive`, and then always several in a row (UTF-8): a thread may be called
 * `pool#200`.
 */
function unescapeSyslog(text: string): string {
  if (!text.includes("#")) return text;
  return text.replace(/(?:#[23][0-7]{2}){2,}|#(?:0[0-3][0-7]|177)/g, (escapes) =>
    escapes.replace(/#([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    ),
  );
}

const englishMonths = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
const monthLocales =
  "de fr es it pt nl pl ru uk cs sk sv da nb fi hu ro tr el bg hr sl et lv lt ca id vi he".split(
    " ",
  );
let monthsOfOtherLanguages: Map<string, number> | undefined;

/** 1 to 12 of a month's name in English, as a number (`4月`), or as other locales abbreviate it. */
function monthOfName(bytes: string): number | undefined {
  const english = englishMonths.indexOf(bytes.slice(0, 3).toLowerCase());
  if (english >= 0) return english + 1;
  const name = decodeUtf8(bytes).toLowerCase().replace(/\.$/, "");
  const numbered = /^(\d{1,2})(?:月|월)$/.exec(name);
  if (numbered !== null) return Number(numbered[1]);
  if (monthsOfOtherLanguages === undefined) {
    monthsOfOtherLanguages = new Map();
    for (const locale of monthLocales) {
      for (const width of ["short", "long"] as const) {
        const format = new Intl.DateTimeFormat(locale, {
          month: width,
          day: "numeric",
          timeZone: "UTC",
        });
        for (let month = 1; month <= 12; month += 1) {
          const parts = format.formatToParts(Date.UTC(2001, month - 1, 15));
          const word = parts.find((part) => part.type === "month")?.value.toLowerCase() ?? "";
          const key = word.replace(/\.$/, "");
          if (!monthsOfOtherLanguages.has(key)) monthsOfOtherLanguages.set(key, month);
          const short = key.slice(0, 3);
          if (!monthsOfOtherLanguages.has(short)) monthsOfOtherLanguages.set(short, month);
        }
      }
    }
  }
  return monthsOfOtherLanguages.get(name) ?? monthsOfOtherLanguages.get(name.slice(0, 3));
}

/** `.626944` and `,626944` as milliseconds. */
function millisOfFraction(fraction: string | undefined): number {
  return fraction === undefined || fraction === "" ? 0 : Math.floor(Number(`0.${fraction}`) * 1000);
}

const isoStamp =
  /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:([.,])(\d{1,9}))? ?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?(?=$|[ \]])/;

interface Stamp {
  length: number;
  timeMs?: number;
  /** dmesg(1) separates the fraction with a comma and writes neither host nor tag. */
  fromDmesg: boolean;
}

function takeIsoStamp(text: string, clock: LogClock): Stamp | undefined {
  const match = isoStamp.exec(text);
  if (match === null) return undefined;
  const [whole, year, month, day, hour, minute, second, point, fraction = "", zone] = match;
  const fields = [year, month, day, hour, minute, second].map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const millis = millisOfFraction(fraction);
  const offset = zone === undefined ? undefined : offsetOfZone(zone);
  const timeMs =
    offset === undefined
      ? localToEpochMs(clock.zone, ...fields, millis)
      : Date.UTC(
          fields[0],
          fields[1] - 1,
          ...(fields.slice(2) as [number, number, number, number]),
        ) +
        millis -
        offset * 1000;
  return {
    length: whole.length,
    timeMs,
    fromDmesg: point === "," && fraction.length === 6 && whole[10] === "T",
  };
}

function offsetOfZone(zone: string): number | undefined {
  if (zone === "Z" || zone === "UTC" || zone === "GMT") return 0;
  const match = /^([+-])(\d\d):?(\d\d)?$/.exec(zone);
  if (match === null) return undefined;
  const seconds = Number(match[2]) * 3600 + Number(match[3] ?? 0) * 60;
  return match[1] === "-" ? -seconds : seconds;
}

const syslogStamp =
  /^(?:[A-Z][a-z]{2} )?([^\s:[\]{}<>"=]{2,24}) +(\d{1,2})(?: (\d{4}))? (\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?: (\d{4}))?(?= )/;

function takeSyslogStamp(text: string, clock: LogClock): Stamp | undefined {
  const match = syslogStamp.exec(text);
  if (match === null) return undefined;
  const [whole, name = "", day, year1, hour, minute, second, fraction, year2] = match;
  const month = monthOfName(name);
  const stamp: Stamp = { length: whole.length, fromDmesg: false };
  if (month === undefined) return stamp;
  const time = [month, Number(day), Number(hour), Number(minute), Number(second)] as const;
  const year = year1 ?? year2;
  const wholeMs =
    year === undefined
      ? yearlessToEpochMs(clock, ...time)
      : localToEpochMs(clock.zone, Number(year), ...time);
  stamp.timeMs = wholeMs + millisOfFraction(fraction);
  return stamp;
}

const ctimeStamp = /^\[([^[\]]{1,40}) (\d\d):(\d\d):(\d\d) (\d{4})\] ?/;
const bracketDate = /^(?:\S+ +)?(\S+) +(\d{1,2})$|^(?:\S+ +)?(\d{1,2}) +(\S+)$/;

/** `[Fri Nov 20 13:23:50 2026] ` of dmesg -T, in any locale. */
function takeCtimeStamp(text: string, clock: LogClock): Stamp | undefined {
  const match = ctimeStamp.exec(text);
  if (match === null) return undefined;
  const date = bracketDate.exec(match[1] ?? "");
  const stamp: Stamp = { length: match[0].length, fromDmesg: true };
  const month = monthOfName(date?.[1] ?? date?.[4] ?? "");
  if (month === undefined) return stamp;
  stamp.timeMs = localToEpochMs(
    clock.zone,
    Number(match[5]),
    month,
    Number(date?.[2] ?? date?.[3]),
    Number(match[2]),
    Number(match[3]),
    Number(match[4]),
  );
  return stamp;
}

const printkStamp = /^\[ *(\d+)\.(\d{6})\](?: ?\[ *([TC]\d+)\])? ?/;
const deltaStamp =
  /^\[(?: *\d+\.\d+ )?[<+ ]*[<+] *\d+\.\d+>?\] ?|^\[[A-Za-z]{3} ?\d{1,2} \d\d:\d\d\] ?/;

/** Takes `[    8.640407]` and `[ T226]` off the text of `message`. Gives the number of bytes taken. */
function takePrintkStamp(message: KernelMessage): number {
  const match = printkStamp.exec(message.text);
  if (match === null) return 0;
  message.printkMicros = Number(match[1]) * 1_000_000 + Number(match[2]);
  if (match[3] !== undefined) message.callerId = match[3];
  message.text = message.text.slice(match[0].length);
  return match[0].length;
}

const facilityColumn = /^([a-z0-9]+) *:([a-z]+) *: /;
const talosStamp = /^\S+: ([a-z0-9]+): +([a-z]+): \[([^\]]+)\]: /;
const unixStamp = /^(\d{9,11})\.(\d{6}) (?=\S+ )/;
const rfc5424Head =
  /^1 (\S+) \S+ (\S+) (\S+) \S+ (?:-|(?:\[(?:[^\]\\]|\\.)*\])+) ?(?:\xef\xbb\xbf)?/s;
const priorityName =
  "([a-z0-9]+)\\.(emerg|panic|alert|crit|err(?:or)?|warn(?:ing)?|notice|info|debug) ";
/** Tag `kernel:`, before it a host (web.lan, which is no facility.level) and what busybox calls its priority. */
const kernelTag = new RegExp(
  `^(?:(?!kernel:|${priorityName}kernel:)\\S*[^\\s:] )?(?:${priorityName})?kernel(?::| - - -) ?`,
);
const untagged = /^\S+ (?=\[ *\d+\.\d{6}\])/;
const monotonicTag = /^[A-Za-z0-9][\w.-]* kernel: /;
const kmsgProperty = /^ [A-Z][A-Z0-9_]*=/;
/** A process maps whole pages: these sizes were typed, not measured. */
const lessThanAPage = /Killed process .* total-vm:[1-3]kB/s;

/**
 * Reads lines one after the other; keeps the little that a line may need of the one before it.
 *
 * Lines are given with one character per byte (latin1) and without their newline.
 */
export class KernelMessageReader {
  readonly #clock: LogClock;
  #envelopeLength = 0;
  #previous: KernelMessage | undefined;
  #previousIsKmsg = false;
  /** The stamp, host and tag of the last syslog line and what they mean: the lines of a dump share them. */
  #prefix: { text: string; message: KernelMessage } | undefined;

  constructor(clock: LogClock) {
    this.#clock = clock;
  }

  /** True once a line had an envelope: from then on a line without one continues the line before it. */
  get hasSeenEnvelope(): boolean {
    return this.#previous !== undefined;
  }

  /** The message of a line; `undefined` for a line that holds none (blank, a kmsg property). */
  read(rawLine: string): KernelMessage | undefined {
    let line = rawLine.endsWith("\r") ? rawLine.slice(0, -1) : rawLine;
    // After a crash a log may hold a run of NULs where the last blocks were never written.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: NUL is what is meant
    if (line.charCodeAt(0) === 0) line = line.replace(/^\x00+/, "");
    if (line === "") return undefined;
    // The kernel's records end at 8 KiB; patterns must not be tried on an endless line.
    if (line.length > maxLineLength && line[0] !== "{") line = line.slice(0, maxLineLength);
    if (this.#previousIsKmsg && kmsgProperty.test(line)) return undefined;

    const message = this.#readEnvelope(line);
    if (message !== undefined) {
      this.#previous = message;
      return message;
    }
    if (this.#previous === undefined) return messageOf(line, plausible(line));
    const indent = " ".repeat(this.#envelopeLength);
    const text = line.startsWith(indent) ? line.slice(indent.length) : line;
    return { ...this.#previous, text: unescapeDmesg(text), continues: true };
  }

  #readEnvelope(line: string): KernelMessage | undefined {
    this.#previousIsKmsg = false;
    const first = line.charCodeAt(0);
    if (first === 0x7b /* { */) return messageOfJson(line, this.#clock);
    if (first >= 0x30 && first <= 0x39) {
      const record = parseKmsgRecord(line);
      if (record !== undefined) {
        this.#previousIsKmsg = true;
        this.#envelopeLength = 0;
        return record;
      }
    }

    if (this.#prefix !== undefined && line.startsWith(this.#prefix.text)) {
      const { text, message } = this.#prefix;
      const rest = line.slice(text.length);
      if (!rest.startsWith("<")) return this.#finish({ ...message }, line, rest, unescapeSyslog);
    }

    const message = messageOf(line, "unverified");
    let rest = line;
    const priority = first === 0x3c /* < */ ? /^<(\d{1,3})>/.exec(rest) : null;
    if (priority !== null) {
      message.origin = originOfPriority(Number(priority[1]));
      message.level = Number(priority[1]) & 7;
      rest = rest.slice(priority[0].length);
      const head = rfc5424Head.exec(rest);
      if (head !== null) {
        const stamp = takeIsoStamp(head[1] ?? "", this.#clock);
        if (stamp?.timeMs !== undefined) message.timeMs = stamp.timeMs;
        if (head[2] !== "kernel" || head[3] !== "-") message.origin = "user";
        return this.#finish(message, line, rest.slice(head[0].length), unescapeSyslog);
      }
    }

    const column = facilityColumn.exec(rest);
    if (column !== null && levelOfName(column[2] ?? "") !== undefined) {
      message.origin = column[1] === "kern" ? "kernel" : "user";
      setLevel(message, column[2]);
      rest = rest.slice(column[0].length);
      const stamp = takeIsoStamp(rest, this.#clock) ?? takeCtimeStamp(rest, this.#clock);
      if (stamp !== undefined) {
        if (stamp.timeMs !== undefined) message.timeMs = stamp.timeMs;
        rest = rest.slice(stamp.length).replace(/^ /, "");
      } else {
        rest = rest.replace(deltaStamp, "");
      }
      return this.#finish(message, line, rest, unescapeDmesg);
    }

    if (rest.startsWith("[")) {
      const bracketed = this.#readBracket(message, line, rest);
      if (bracketed !== undefined || priority === null) return bracketed;
    }

    const talos = talosStamp.exec(rest);
    if (talos !== null) {
      message.origin = talos[1] === "kern" ? "kernel" : "user";
      setLevel(message, talos[2]);
      const stamp = takeIsoStamp(talos[3] ?? "", this.#clock);
      if (stamp?.timeMs !== undefined) message.timeMs = stamp.timeMs;
      return this.#finish(message, line, rest.slice(talos[0].length), (text) => text);
    }

    const weekday = /^[^\s\d:]{2,12} (?=\d{4}-\d\d-\d\d )/.exec(rest)?.[0].length ?? 0;
    const stamp =
      takeIsoStamp(rest.slice(weekday), this.#clock) ??
      takeSyslogStamp(rest, this.#clock) ??
      takeUnixStamp(rest);
    if (stamp !== undefined) {
      if (stamp.timeMs !== undefined) message.timeMs = stamp.timeMs;
      rest = rest.slice(weekday + stamp.length).replace(/^ /, "");
      // journalctl -o short-full names the zone; the moment is then local time or UTC, taken above.
      if (weekday > 0) rest = rest.replace(/^[A-Z]{2,5} (?=\S+ \S+:)/, "");
      if (stamp.fromDmesg) return this.#finish(message, line, rest, unescapeDmesg);
      return this.#readTag(message, line, rest);
    }
    if (priority !== null) return this.#finish(message, line, rest, unescapeDmesg);
    const bareTag = /^kernel: (?=\[ *\d+\.\d{6}\])/.exec(rest);
    if (bareTag !== null && line === rest) {
      return this.#finish(message, line, rest.slice(bareTag[0].length), unescapeSyslog);
    }
    return undefined;
  }

  #readBracket(message: KernelMessage, line: string, text: string): KernelMessage | undefined {
    const ctime = takeCtimeStamp(text, this.#clock);
    if (ctime !== undefined) {
      if (ctime.timeMs !== undefined) message.timeMs = ctime.timeMs;
      return this.#finish(message, line, text.slice(ctime.length), unescapeDmesg);
    }
    const iso = takeIsoStamp(text.slice(1), this.#clock);
    if (iso !== undefined && text[iso.length + 1] === "]") {
      if (iso.timeMs !== undefined) message.timeMs = iso.timeMs;
      return this.#finish(
        message,
        line,
        text.slice(iso.length + 2).replace(/^ /, ""),
        unescapeDmesg,
      );
    }
    if (printkStamp.test(text)) {
      const finished = this.#finish(message, line, text, unescapeDmesg);
      const tag = monotonicTag.exec(finished.text);
      if (tag !== null) {
        finished.text = finished.text.slice(tag[0].length);
        this.#envelopeLength += tag[0].length;
      }
      return finished;
    }
    const delta = deltaStamp.exec(text);
    if (delta === null) return undefined;
    return this.#finish(message, line, text.slice(delta[0].length), unescapeDmesg);
  }

  #readTag(message: KernelMessage, line: string, rest: string): KernelMessage {
    const tag = kernelTag.exec(rest) ?? untagged.exec(rest);
    if (tag === null) {
      message.origin = "user";
      message.text = rest;
      this.#envelopeLength = line.length - rest.length;
      return message;
    }
    const [, , , facility, level] = tag;
    if (facility !== undefined) {
      message.origin = facility === "kern" ? "kernel" : "user";
      setLevel(message, level);
    }
    let text = rest.slice(tag[0].length);
    this.#prefix = { text: line.slice(0, line.length - text.length), message: { ...message } };
    const number = /^<([0-7])>/.exec(text);
    if (number !== null) {
      message.level = Number(number[1]);
      text = text.slice(3);
    }
    return this.#finish(message, line, text, unescapeSyslog);
  }

  #finish(
    message: KernelMessage,
    line: string,
    text: string,
    decode: (text: string) => string,
  ): KernelMessage {
    message.text = text;
    takePrintkStamp(message);
    this.#envelopeLength = line.length - message.text.length;
    message.text = decode(message.text);
    if (decode === unescapeDmesg && message.origin === "unverified") {
      message.origin = plausible(message.text);
    }
    return message;
  }
}

/** Root may write into the ring, and plain dmesg output does not tell its lines from the kernel's. */
function plausible(text: string): MessageOrigin {
  return lessThanAPage.test(text) ? "user" : "unverified";
}

function setLevel(message: KernelMessage, name: string | undefined): void {
  const level = levelOfName(name ?? "");
  if (level !== undefined) message.level = level;
}

function takeUnixStamp(text: string): Stamp | undefined {
  const match = unixStamp.exec(text);
  if (match === null) return undefined;
  const timeMs = Number(match[1]) * 1000 + Math.floor(Number(match[2]) / 1000);
  return { length: match[0].length, timeMs, fromDmesg: false };
}

/**
 * One JSON object: an entry of `journalctl -o json`, a record of `dmesg --json`, or a line wrapped by
 * a log shipper (`log` or `message`). `undefined` for text that is none of them.
 */
export function messageOfJson(json: string, clock: LogClock): KernelMessage | undefined {
  let entry: unknown;
  try {
    entry = JSON.parse(Buffer.from(json, "latin1").toString("utf8").replace(/,\s*$/, ""));
  } catch {
    return undefined;
  }
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) return undefined;
  return messageOfFields(entry as Record<string, unknown>, clock);
}

/** The same for the fields of one entry, however they were written. Byte strings come as arrays. */
export function messageOfFields(
  fields: Record<string, unknown>,
  clock: LogClock,
): KernelMessage | undefined {
  if ("MESSAGE" in fields) return messageOfJournal(fields);
  if ("msg" in fields && "pri" in fields) return messageOfDmesgJson(fields, clock);
  // What a container writes to its own output is an echo, whatever it says.
  if (fields.stream === "stdout" || fields.stream === "stderr") return undefined;
  const wrapped = fields.log ?? fields.message;
  if (typeof wrapped !== "string") return undefined;
  const line = bytesOfString(wrapped).replace(/\n$/, "");
  if (line.startsWith("{")) return undefined;
  return new KernelMessageReader(clock).read(line);
}

function messageOfJournal(fields: Record<string, unknown>): KernelMessage | undefined {
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
    return value !== undefined && /^\d+$/.test(value) ? Number(value) : undefined;
  };
  const printk = micros("_SOURCE_MONOTONIC_TIMESTAMP");
  if (printk !== undefined) message.printkMicros = printk;
  const time = micros("__REALTIME_TIMESTAMP") ?? micros("_SOURCE_REALTIME_TIMESTAMP");
  if (time !== undefined) message.timeMs = Math.floor(time / 1000);
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

function messageOfDmesgJson(
  fields: Record<string, unknown>,
  clock: LogClock,
): KernelMessage | undefined {
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
