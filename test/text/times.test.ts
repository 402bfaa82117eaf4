import { describe, expect, it } from "vitest";
import { about, ago, parseSince, utc, utcClock } from "../../src/text/times.ts";

describe("ago", () => {
  it.each([
    [0, "just now"],
    [999, "just now"],
    [1000, "1 second ago"],
    [59_999, "59 seconds ago"],
    [60_000, "1 minute ago"],
    [7_199_000, "1 hour ago"],
    [7_200_000, "2 hours ago"],
    [86_400_000 * 5, "5 days ago"],
    [-5000, "just now"],
    [-61_000, "before the clock was set back"],
  ])("writes %d ms as %s", (ms, text) => {
    expect(ago(1e12, 1e12 + ms)).toBe(text);
  });
});

describe("about", () => {
  it.each([
    [0, "less than a minute"],
    [29, "less than a minute"],
    [30, "about a minute"],
    [89, "about a minute"],
    [541, "about 9 minutes"],
    [629, "about 10 minutes"],
    [660, "about 10 minutes"],
    [1500, "about 25 minutes"],
    [3140, "about 50 minutes"],
    [3151, "about an hour"],
    [5399, "about an hour"],
    [5400, "about 2 hours"],
    [5 * 3600, "about 5 hours"],
    [86_400, "about a day"],
    [86_400 * 2.6, "about 3 days"],
  ])("rounds %d s as %s", (seconds, text) => {
    expect(about(seconds)).toBe(text);
  });
});

describe("utc", () => {
  it("names its zone", () => {
    expect(utc(Date.parse("2026-11-21T03:43:58.912Z"))).toBe("2026-11-21 03:43:58 UTC");
    expect(utcClock(Date.parse("2026-11-21T03:43:58.912Z"))).toBe("03:43:58 UTC");
  });
});

describe("since", () => {
  const nowMs = Date.parse("2026-11-21T03:44:00Z");
  const hourMs = 3_600_000;

  it.each([
    ["90s", 90_000],
    ["30m", hourMs / 2],
    ["2h", 2 * hourMs],
    ["1.5h", 1.5 * hourMs],
    ["7d", 7 * 24 * hourMs],
    ["1w", 7 * 24 * hourMs],
    ["0s", 0],
  ])("accepts the duration %s", (text, agoMs) => {
    expect(parseSince(text, nowMs)).toBe(nowMs - agoMs);
  });

  it.each(["2026-11-21T03:14:00Z", "2026-11-21T04:14:00+01:00", "1795230840", "1795230840.0"])(
    "accepts the time %s",
    (text) => {
      expect(parseSince(text, nowMs)).toBe(Date.parse("2026-11-21T03:14:00Z"));
    },
  );

  it.each(["", "2 hours", "2y", "h", "-1h", "yesterday", "21 Nov 2026", "2026-13-41"])(
    "rejects %j",
    (text) => {
      expect(parseSince(text, nowMs)).toBeUndefined();
    },
  );
});
