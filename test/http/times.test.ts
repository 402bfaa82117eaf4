import { describe, expect, it } from "vitest";
import { ago, utc } from "../../src/http/times.ts";

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
  ])("writes %d ms as %s", (ms, text) => {
    expect(ago(1e12, 1e12 + ms)).toBe(text);
  });
});

describe("utc", () => {
  it("names its zone", () => {
    expect(utc(Date.parse("2026-11-21T03:43:58.912Z"))).toBe("2026-11-21 03:43:58 UTC");
  });
});
