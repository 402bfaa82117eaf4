/**
 * Wall-clock timestamps without zone or year, as syslog writes them.
 *
 * Path: <rootfs>/etc/localtime; format: RFC 9636 (TZif), with the POSIX TZ rule in the footer that applies after the
 * last transition in the file (all current zones need it).
 *
 *     TZif2 ... \nCET-1CEST,M3.5.0,M10.5.0/3\n
 */

/** Offset of local time from UTC. */
export interface TimeZone {
  /** Seconds east of UTC at a moment given in seconds since the epoch. */
  offsetSeconds(utcSeconds: number): number;
}

/** What is needed to resolve a timestamp: the current time, and the time zone of the machine that wrote it. */
export interface LogClock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  zone: TimeZone;
}

export const utcZone: TimeZone = { offsetSeconds: () => 0 };

/** The moment, in milliseconds since the epoch, at which a wall clock in `zone` showed this time. */
export function localToEpochMs(
  zone: TimeZone,
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
  millis = 0,
): number {
  const wallSeconds = Date.UTC(year, month - 1, day, hour, minute, second) / 1000;
  const guess = wallSeconds - zone.offsetSeconds(wallSeconds);
  return (wallSeconds - zone.offsetSeconds(guess)) * 1000 + millis;
}

const dayMs = 86_400_000;

/**
 * The same for a timestamp without a year: the latest year in which it is at most a day ahead of the clock (a log is
 * not from the future; the day allows for a clock that was set back).
 */
export function yearlessToEpochMs(
  clock: LogClock,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
  millis = 0,
): number {
  const nowMs = clock.nowMs();
  const thisYear = new Date(nowMs + clock.zone.offsetSeconds(nowMs / 1000) * 1000).getUTCFullYear();
  for (let year = thisYear + 1; year > thisYear - 8; year -= 1) {
    if (new Date(Date.UTC(year, month - 1, day)).getUTCDate() !== day) continue;
    const ms = localToEpochMs(clock.zone, year, month, day, hour, minute, second, millis);
    if (ms <= nowMs + dayMs) return ms;
  }
  return localToEpochMs(clock.zone, thisYear, month, day, hour, minute, second, millis);
}

/** Parses a TZif file. `undefined` if the bytes are not one. */
export function parseTzif(bytes: Uint8Array): TimeZone | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isHeader = (at: number): boolean =>
    at + 44 <= bytes.length && view.getUint32(at) === 0x545a6966; // "TZif"
  if (!isHeader(0)) return undefined;

  const blockLength = (at: number, timeBytes: number): number => {
    const [utCount, stdCount, leapCount, timeCount, typeCount, charCount] = counts(view, at);
    return (
      timeCount * (timeBytes + 1) +
      typeCount * 6 +
      charCount +
      leapCount * (timeBytes + 4) +
      stdCount +
      utCount
    );
  };
  const version = bytes[4] ?? 0;
  const wide = version >= 0x32;
  const header = wide ? 44 + blockLength(0, 4) : 0;
  if (!isHeader(header)) return undefined;
  const timeBytes = wide ? 8 : 4;
  const end = header + 44 + blockLength(header, timeBytes);
  if (end > bytes.length) return undefined;

  const [, , , timeCount, typeCount] = counts(view, header);
  const times = header + 44;
  const types = times + timeCount * timeBytes;
  const infos = types + timeCount;
  const offsetOf = (type: number): number =>
    type < typeCount ? view.getInt32(infos + type * 6) : 0;
  const timeAt = (index: number): number =>
    wide ? Number(view.getBigInt64(times + index * 8)) : view.getInt32(times + index * 4);
  const footer = wide
    ? Buffer.from(bytes.subarray(end + 1))
        .toString("latin1")
        .split("\n")[0]
    : "";
  const rule = parsePosixZone(footer ?? "");

  return {
    offsetSeconds(utcSeconds) {
      let low = 0;
      let high = timeCount;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (timeAt(middle) <= utcSeconds) low = middle + 1;
        else high = middle;
      }
      if (low === timeCount && rule !== undefined) return rule.offsetSeconds(utcSeconds);
      return offsetOf(low === 0 ? 0 : (bytes[types + low - 1] ?? 0));
    },
  };
}

function counts(view: DataView, at: number): [number, number, number, number, number, number] {
  const count = (index: number): number => view.getUint32(at + 20 + index * 4);
  return [count(0), count(1), count(2), count(3), count(4), count(5)];
}

const zoneName = "(?:[A-Za-z]+|<[-+0-9A-Za-z]+>)";
const zoneTime = "([-+]?\\d{1,3}(?::\\d\\d){0,2})";
const posixZone = new RegExp(
  `^${zoneName}${zoneTime}(?:${zoneName}${zoneTime}?,([^,/]+)(?:/${zoneTime})?,([^,/]+)(?:/${zoneTime})?)?$`,
);

/** Parses a POSIX TZ string (`CET-1CEST,M3.5.0,M10.5.0/3`). `undefined` if it is invalid. */
export function parsePosixZone(text: string): TimeZone | undefined {
  const match = posixZone.exec(text);
  if (match === null) return undefined;
  const standard = 0 - clockSeconds(match[1] ?? "0");
  const [startRule, endRule] = [match[3], match[5]];
  if (startRule === undefined || endRule === undefined) return { offsetSeconds: () => standard };
  const daylight = match[2] === undefined ? standard + 3600 : 0 - clockSeconds(match[2]);
  const startSecond = clockSeconds(match[4] ?? "2");
  const endSecond = clockSeconds(match[6] ?? "2");
  return {
    offsetSeconds(utcSeconds) {
      const year = new Date((utcSeconds + standard) * 1000).getUTCFullYear();
      const start = ruleDay(startRule, year) + startSecond - standard;
      const end = ruleDay(endRule, year) + endSecond - daylight;
      const isDaylight =
        start < end
          ? utcSeconds >= start && utcSeconds < end
          : utcSeconds >= start || utcSeconds < end;
      return isDaylight ? daylight : standard;
    },
  };
}

function clockSeconds(text: string): number {
  const [hours = 0, minutes = 0, seconds = 0] = text.replace(/^[-+]/, "").split(":").map(Number);
  const total = hours * 3600 + minutes * 60 + seconds;
  return text.startsWith("-") ? -total : total;
}

/** Midnight, in seconds since the epoch as if in UTC, of the day that a rule specifies: `M3.5.0`, `J60`, `59`. */
function ruleDay(rule: string, year: number): number {
  const [month = 1, week = 1, weekday = 0] = rule.slice(1).split(".").map(Number);
  if (rule.startsWith("M")) {
    const first = Date.UTC(year, month - 1, 1);
    const untilWeekday = (weekday - new Date(first).getUTCDay() + 7) % 7;
    const daysInMonth = new Date(Date.UTC(year, month, 0)).getUTCDate();
    let day = 1 + untilWeekday + (week - 1) * 7;
    while (day > daysInMonth) day -= 7;
    return Date.UTC(year, month - 1, day) / 1000;
  }
  if (rule.startsWith("J")) return Date.UTC(2001, 0, month) / 1000 + yearShift(year, month);
  return Date.UTC(year, 0, 1 + Number(rule)) / 1000;
}

/** `Jn` never counts 29 February: day n of a common year, moved to `year`. */
function yearShift(year: number, day: number): number {
  const common = new Date(Date.UTC(2001, 0, day));
  return (Date.UTC(year, common.getUTCMonth(), common.getUTCDate()) - common.getTime()) / 1000;
}
