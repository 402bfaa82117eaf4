/**
 * Wall-clock timestamps at the beginning of a line.
 *
 *     Nov 20 13:23:50                     RFC 3164; journalctl in the words of a locale
 *     2026-11-20T13:23:50.671745+01:00    RFC 3339; dmesg(1) with a comma
 *     Fri 2026-11-20 13:23:50 CET         journalctl -o short-full
 *     [Fri Nov 20 13:23:50 2026]          dmesg -T
 *     1795181030.659379                   journalctl -o short-unix
 */
import { decodeUtf8 } from "./kernel-text.ts";
import type { LogClock } from "./local-time.ts";
import { localToEpochMs, yearlessToEpochMs } from "./local-time.ts";

const englishMonths = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
const monthLocales =
  "de fr es it pt nl pl ru uk cs sk sv da nb fi hu ro tr el bg hr sl et lv lt ca id vi he".split(
    " ",
  );
let monthsOfOtherLanguages: Map<string, number> | undefined;

/** 1 to 12 of a month's name in English, as a number (`4月`, `4월`), or as other locales abbreviate it. */
function monthOfName(bytes: string): number | undefined {
  const english = englishMonths.indexOf(bytes.slice(0, 3).toLowerCase());
  if (english >= 0) return english + 1;
  const name = decodeUtf8(bytes).toLowerCase().replace(/\.$/, "");
  const numbered = /^(\d{1,2})(?:\u6708|\uc6d4)$/.exec(name);
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
  /^(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:([.,])(\d{1,9}))? ?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?(?=$|[ \t\]|])/;

/** A timestamp stripped from the beginning of a text. */
export interface Stamp {
  /** Number of characters that belong to it. */
  length: number;
  /** Milliseconds since the epoch; absent if the name of the month is unknown. */
  timeMs?: number;
  /** dmesg(1) separates the fraction with a comma and writes neither host nor tag. */
  fromDmesg: boolean;
}

type SixNumbers = [number, number, number, number, number, number];

/** `2026-11-20T13:23:50.671745+01:00`, or with blanks. Without a zone it is local time. */
export function takeIsoStamp(text: string, clock: LogClock): Stamp | undefined {
  const match = isoStamp.exec(text);
  if (match === null) return undefined;
  const [whole, year, month, day, hour, minute, second, point, fraction = "", zone] = match;
  const fields = [year, month, day, hour, minute, second].map(Number) as SixNumbers;
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

/** Abbreviations with one offset everywhere (`CST` is ambiguous: America or China), in hours. */
const zoneNames: Record<string, number> = {
  ...{ WET: 0, WEST: 1, CET: 1, CEST: 2, EET: 2, EEST: 3, MSK: 3, SAST: 2 },
  ...{
    EST: -5,
    EDT: -4,
    CDT: -5,
    MST: -7,
    MDT: -6,
    PST: -8,
    PDT: -7,
    AKST: -9,
    AKDT: -8,
    HST: -10,
  },
  ...{ JST: 9, KST: 9, AEST: 10, AEDT: 11, NZST: 12, NZDT: 13 },
};

const weekday = /^[^\s\d:]{2,12} (?=\d{4}-\d\d-\d\d )/;
const zoneName = /^ ([A-Z]{2,5})(?= \S+ \S+:|$)/;

/** `Fri 2026-11-20 13:23:50 CET` of journalctl -o short-full. */
export function takeFullStamp(text: string, clock: LogClock): Stamp | undefined {
  const day = weekday.exec(text)?.[0].length ?? 0;
  if (day === 0) return undefined;
  const stamp = takeIsoStamp(text.slice(day), clock);
  if (stamp === undefined) return undefined;
  const end = day + stamp.length;
  const name = zoneName.exec(text.slice(end));
  if (name === null) return { ...stamp, length: end };
  const hours = zoneNames[name[1] ?? ""];
  const utc = takeIsoStamp(`${text.slice(day, end)}Z`, clock)?.timeMs;
  const timeMs = hours === undefined || utc === undefined ? stamp.timeMs : utc - hours * 3_600_000;
  return { length: end + name[0].length, timeMs, fromDmesg: false };
}

function offsetOfZone(zone: string): number | undefined {
  if (zone === "Z" || zone === "UTC" || zone === "GMT") return 0;
  const match = /^([+-])(\d\d):?(\d\d)?$/.exec(zone);
  if (match === null) return undefined;
  const seconds = Number(match[2]) * 3600 + Number(match[3] ?? 0) * 60;
  return match[1] === "-" ? -seconds : seconds;
}

const syslogStamp =
  /^(?:[A-Z][a-z]{2} )?(?![-*+|#>_`]|\d+-|\xef\xbb\xbf)([^\s:[\]{}<>"=]{2,24}) +(\d{1,2})(?: (\d{4}))? (\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?: (\d{4}))?(?= )/;

/** `Nov 20 13:23:50`, with or without weekday, year and fraction, the month in any locale. */
export function takeSyslogStamp(text: string, clock: LogClock): Stamp | undefined {
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

const ctimeStamp =
  /^\[([^[\]]{1,40}) (\d\d):(\d\d):(\d\d)(?: [A-Z]{2,5})?(?: (\d{4}))?(?: <[ \d.]+>)?\] ?/;
const bracketDate = /^(?:\S+ +)?(\S+) +(\d{1,2})$|^(?:\S+ +)?(\d{1,2}) +(\S+)$/;

/**
 * `[Fri Nov 20 13:23:50 2026] ` of dmesg -T, in any locale, perhaps with a delta (-d) behind it; people leave out the
 * year.
 */
export function takeCtimeStamp(text: string, clock: LogClock): Stamp | undefined {
  const match = ctimeStamp.exec(text);
  if (match === null) return undefined;
  const date = bracketDate.exec(match[1] ?? "");
  const stamp: Stamp = { length: match[0].length, fromDmesg: true };
  const month = monthOfName(date?.[1] ?? date?.[4] ?? "");
  if (month === undefined) return match[5] === undefined ? undefined : stamp;
  const [hour, minute, second] = match.slice(2, 5).map(Number) as [number, number, number];
  const time = [month, Number(date?.[2] ?? date?.[3]), hour, minute, second] as const;
  const year = match[5];
  stamp.timeMs =
    year === undefined
      ? yearlessToEpochMs(clock, ...time)
      : localToEpochMs(clock.zone, Number(year), ...time);
  return stamp;
}

const kibanaStamp = /^([A-Z][a-z]{2}) (\d{1,2}), (\d{4}) @ (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?/;

/** `Nov 20, 2026 @ 13:23:50.671` of Kibana's exports, in the browser's zone. */
export function takeKibanaStamp(text: string, clock: LogClock): Stamp | undefined {
  const match = kibanaStamp.exec(text);
  const month = monthOfName(match?.[1] ?? "");
  if (match === null || month === undefined) return undefined;
  const [day, year, hour, minute, second] = match.slice(2, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const timeMs =
    localToEpochMs(clock.zone, year, month, day, hour, minute, second) + millisOfFraction(match[7]);
  return { length: match[0].length, timeMs, fromDmesg: false };
}

const unixStamp = /^(\d{9,11})\.(\d{6}) (?=\S+ )/;

/** `1795181030.659379` of journalctl -o short-unix. */
export function takeUnixStamp(text: string): Stamp | undefined {
  const match = unixStamp.exec(text);
  if (match === null) return undefined;
  const timeMs = Number(match[1]) * 1000 + Math.floor(Number(match[2]) / 1000);
  return { length: match[0].length, timeMs, fromDmesg: false };
}

const minuteStamp = /^\[([A-Z][a-z]{2}) ?(\d{1,2}) (\d\d):(\d\d)\] ?/;

/** `[Nov20 13:23]` of dmesg -H, which prints it for the first message of each minute. */
export function takeMinuteStamp(text: string, clock: LogClock): Stamp | undefined {
  const match = minuteStamp.exec(text);
  if (match === null) return undefined;
  const stamp: Stamp = { length: match[0].length, fromDmesg: true };
  const month = monthOfName(match[1] ?? "");
  if (month === undefined) return stamp;
  const [day, hour, minute] = match.slice(2).map(Number) as [number, number, number];
  stamp.timeMs = yearlessToEpochMs(clock, month, day, hour, minute, 0);
  return stamp;
}

const logcatTime = /^(?:(\d{4})-)?(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{3}) +(?:[a-z]+ +)?/;
const logcatKernel = /^0 +0 [VDIWEFA] *(?:: )?/;

/** `11-20 13:23:50.671     0     0 E ` of logcat's kernel buffer: process 0 is the kernel. */
export function takeLogcatStamp(text: string, clock: LogClock): Stamp | undefined {
  const stamp = takeLogcatTime(text, clock);
  const task = stamp && logcatKernel.exec(text.slice(stamp.length));
  if (stamp === undefined || !task) return undefined;
  return { ...stamp, length: stamp.length + task[0].length };
}

const logcatTag =
  /^(?:\d+ +\d+ [VDIWEFA] |[VDIWEFA]\/)(?:KERNEL|kernel) *(?:\( *\d+\))?: (?:<\d>)?/;

/**
 * `11-20 13:23:50.671   142   142 I KERNEL  : ` or `I/KERNEL  (  142): `: the kernel's log, copied into another of logcat's
 * buffers by a program. Any app may use that tag.
 */
export function takeLogcatCopy(text: string, clock: LogClock): Stamp | undefined {
  const stamp = takeLogcatTime(text, clock) ?? { length: 0, fromDmesg: false };
  const tag = logcatTag.exec(text.slice(stamp.length));
  return tag === null ? undefined : { ...stamp, length: stamp.length + tag[0].length };
}

/** `11-20 13:23:50.671   ` of any of logcat's lines, up to the ids of process and thread. */
export function takeLogcatTime(text: string, clock: LogClock): Stamp | undefined {
  const match = logcatTime.exec(text);
  if (match === null) return undefined;
  const [month, day, hour, minute, second, millis] = match.slice(2).map(Number) as SixNumbers;
  const time = [month, day, hour, minute, second, millis] as const;
  const timeMs =
    match[1] === undefined
      ? yearlessToEpochMs(clock, ...time)
      : localToEpochMs(clock.zone, Number(match[1]), ...time);
  return { length: match[0].length, timeMs, fromDmesg: false };
}
