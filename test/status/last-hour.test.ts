import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LastHour } from "../../src/status/last-hour.ts";

const wallMs = Date.parse("2026-11-21T03:47:10Z");
const minuteMs = 60_000;

/** An hour to which one name was noted at the given times, minutes by the monotonic clock. */
function lookedAt(...minutes: number[]): LastHour {
  const lastHour = new LastHour(1);
  for (const minute of minutes) lastHour.note(minute * minuteMs, [["a", minute]]);
  return lastHour;
}

/** What was noted in `lookedAt`, asked for at the given minute. */
function seen(lastHour: LastHour, minute: number, name = "a"): number[] {
  const moment = { monotonicMs: minute * minuteMs, wallMs };
  return lastHour.points(name, moment).map(({ usedBytes }) => usedBytes);
}

describe("the last hour", () => {
  it("contains the recorded readings, by the wall clock, oldest first", () => {
    const points = lookedAt(1, 2).points("a", { monotonicMs: 3 * minuteMs, wallMs });
    expect(points).toEqual([
      { atMs: wallMs - 2 * minuteMs, usedBytes: 1 },
      { atMs: wallMs - minuteMs, usedBytes: 2 },
    ]);
  });

  it("contains the readings of the hour before the request, in order, however many there were", () => {
    const gaps = fc.array(fc.integer({ min: 9, max: 900 }), { maxLength: 900 });
    fc.assert(
      fc.property(gaps, (secondsApart) => {
        const lastHour = new LastHour(1);
        let seconds = 0;
        const noted = secondsApart.map((gap) => {
          seconds += gap;
          lastHour.note(seconds * 1000, [["a", seconds]]);
          return seconds;
        });
        expect(seen(lastHour, seconds / 60)).toEqual(noted.filter((at) => at >= seconds - 3600));
      }),
    );
  });

  it("skips readings that follow too closely, so that an hour fits", () => {
    const lastHour = new LastHour(1);
    for (let seconds = 0; seconds <= 7200; seconds++)
      lastHour.note(seconds * 1000, [["a", seconds]]);
    const noted = seen(lastHour, 120);
    expect(noted[0]).toBeLessThanOrEqual(3600 + 9);
    expect(noted).toHaveLength(401);
  });

  it("moves as a whole when the clock is set", () => {
    const lastHour = lookedAt(1, 2);
    const [first, second] = lastHour.points("a", {
      monotonicMs: 2 * minuteMs,
      wallMs: wallMs - 60 * minuteMs,
    });
    expect(first?.atMs).toBe(wallMs - 61 * minuteMs);
    expect(second?.atMs).toBe(wallMs - 60 * minuteMs);
  });

  it("has a gap without readings", () => {
    expect(seen(lookedAt(1, 2, 30, 31), 31)).toEqual([1, 2, 30, 31]);
  });

  it("forgets a name missing in a reading, and starts again when it is back", () => {
    const lastHour = lookedAt(1);
    lastHour.note(2 * minuteMs, [["b", 20]]);
    expect(seen(lastHour, 2)).toEqual([]);
    lastHour.note(3 * minuteMs, [["a", 3]]);
    expect(seen(lastHour, 3)).toEqual([3]);
  });

  it("keeps a name that a partial look did not come to", () => {
    const lastHour = lookedAt(1);
    lastHour.note(2 * minuteMs, [], false);
    lastHour.note(3 * minuteMs, [["a", 3]]);
    expect(seen(lastHour, 3)).toEqual([1, 3]);
  });

  it("replaces the name not seen for the longest time if every reading is partial", () => {
    const lastHour = new LastHour(2);
    lastHour.note(minuteMs, [["a", 1]], false);
    lastHour.note(2 * minuteMs, [["b", 2]], false);
    lastHour.note(3 * minuteMs, [["c", 3]], false);
    expect(["a", "b", "c"].map((name) => seen(lastHour, 3, name))).toEqual([[], [2], [3]]);
  });

  it("keeps at most the maximum number of names, the first ones preferred", () => {
    const lastHour = new LastHour(2);
    lastHour.note(minuteMs, [
      ["a", 1],
      ["b", 2],
      ["c", 3],
    ]);
    expect(["a", "b", "c"].map((name) => seen(lastHour, 1, name))).toEqual([[1], [2], []]);
    lastHour.note(2 * minuteMs, [
      ["c", 4],
      ["a", 5],
      ["b", 6],
    ]);
    expect(["a", "b", "c"].map((name) => seen(lastHour, 2, name))).toEqual([[1, 5], [], [4]]);
  });

  it("knows nothing of a name that was never noted", () => {
    expect(seen(lookedAt(1), 1, "b")).toEqual([]);
  });

  it("needs an extra reading after 20 seconds without one", () => {
    expect(new LastHour(1).isDue(0)).toBe(true);
    const lastHour = lookedAt(1);
    expect(lastHour.isDue(minuteMs + 19_999)).toBe(false);
    expect(lastHour.isDue(minuteMs + 20_000)).toBe(true);
  });
});
