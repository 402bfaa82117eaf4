import { describe, expect, it } from "vitest";
import {
  localToEpochMs,
  parsePosixZone,
  parseTzif,
  type TimeZone,
} from "../../src/kernel-log/local-time.ts";

const hours = (zone: TimeZone | undefined, utc: string) =>
  (zone?.offsetSeconds(Date.parse(utc) / 1000) ?? Number.NaN) / 3600;

/** A version 2 file with two transitions: +1 h before 2000, +2 h until 2010, then by its footer. */
function tzif(footer: string): Uint8Array {
  const block = (wide: boolean): Buffer => {
    const head = Buffer.alloc(44);
    head.write("TZif2", "latin1");
    [0, 0, 0, 2, 2, 4].forEach((count, index) => {
      head.writeUInt32BE(count, 20 + index * 4);
    });
    const times = [Date.parse("2000-01-01T00:00:00Z"), Date.parse("2010-01-01T00:00:00Z")].map(
      (ms) => {
        const time = Buffer.alloc(wide ? 8 : 4);
        if (wide) time.writeBigInt64BE(BigInt(ms / 1000));
        else time.writeInt32BE(ms / 1000);
        return time;
      },
    );
    const info = [3600, 7200].map((offset) => {
      const type = Buffer.alloc(6);
      type.writeInt32BE(offset);
      return type;
    });
    return Buffer.concat([head, ...times, Buffer.from([1, 0]), ...info, Buffer.from("ABC\0")]);
  };
  return Buffer.concat([block(false), block(true), Buffer.from(`\n${footer}\n`)]);
}

describe("a TZif file", () => {
  it("holds offsets by time, and a rule for what comes after", () => {
    const zone = parseTzif(tzif("CET-1CEST,M3.5.0,M10.5.0/3"));
    expect(hours(zone, "1999-06-01T00:00:00Z")).toBe(1);
    expect(hours(zone, "2005-06-01T00:00:00Z")).toBe(2);
    expect(hours(zone, "2026-01-15T00:00:00Z")).toBe(1);
    expect(hours(zone, "2026-07-15T00:00:00Z")).toBe(2);
  });

  it("cut short or of another kind is none", () => {
    const whole = tzif("UTC0");
    expect(parseTzif(whole.subarray(0, 140))).toBeUndefined();
    expect(parseTzif(Buffer.from("not a zone"))).toBeUndefined();
    expect(parseTzif(new Uint8Array())).toBeUndefined();
  });
});

describe("a POSIX zone", () => {
  it.each([
    ["UTC0", "2026-07-01T00:00:00Z", 0],
    ["<+0545>-5:45", "2026-07-01T00:00:00Z", 5.75],
    ["CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T00:59:59Z", 1],
    ["CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T01:00:00Z", 2],
    ["CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T00:59:59Z", 2],
    ["CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T01:00:00Z", 1],
    ["EST5EDT,M3.2.0,M11.1.0", "2026-07-01T00:00:00Z", -4],
    ["AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-01-01T00:00:00Z", 11],
    ["AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-07-01T00:00:00Z", 10],
    ["XST3XDT,J60,J300", "2024-03-01T04:59:59Z", -3],
    ["XST3XDT,J60,J300", "2024-03-01T05:00:00Z", -2],
  ])("%s at %s is %d h from UTC", (rule, utc, offset) => {
    expect(hours(parsePosixZone(rule), utc)).toBe(offset);
  });

  it("that makes no sense is none", () => {
    expect(parsePosixZone("")).toBeUndefined();
    expect(parsePosixZone("Europe/Berlin")).toBeUndefined();
  });
});

describe("a time on the wall", () => {
  it("becomes a moment by the offset of that moment", () => {
    const zone = parsePosixZone("CET-1CEST,M3.5.0,M10.5.0/3");
    if (zone === undefined) throw new Error("the zone is well formed");
    expect(localToEpochMs(zone, 2026, 7, 1, 12, 0, 0)).toBe(Date.parse("2026-07-01T10:00:00Z"));
    expect(localToEpochMs(zone, 2026, 12, 1, 12, 0, 0, 5)).toBe(
      Date.parse("2026-12-01T11:00:00.005Z"),
    );
  });
});
