import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type TimeLeft, timeLeft, type UsePoint } from "../../src/status/time-left.ts";

const nowMs = Date.parse("2026-11-21T03:47:10Z");
const limit = 2 * 2 ** 30;
const minute = 60;

/** Looks at `use`, a share of the limit by seconds before now, back to `watched` seconds ago. */
function looks(
  use: (ago: number) => number,
  { watched = 60 * minute, every = 15 }: { watched?: number; every?: number } = {},
): UsePoint[] {
  return Array.from({ length: Math.floor(watched / every) + 1 }, (_, index) => {
    const ago = watched - index * every;
    return { atMs: nowMs - ago * 1000, usedBytes: Math.round(use(ago) * limit) };
  });
}

function told(points: readonly UsePoint[]): TimeLeft {
  return timeLeft(points, limit, nowMs);
}

/** Seconds left, or why there is no forecast. */
function answer(points: readonly UsePoint[]): number | string {
  const left = told(points);
  return "refused" in left ? left.refused : left.seconds;
}

/** Grows by `perMinute` of the limit and has `left` of it now. */
function leak(left: number, perMinute: number) {
  return (ago: number) => 1 - left - (perMinute * ago) / minute;
}

/**
 * Falls back from `peak` each `period` seconds, last `since` seconds ago. Teeth are `depth` high or up
 * to a seventh less.
 */
function sawtooth(peak: number, depth: number, period: number, since: number, seeds = 0) {
  const uneven = chance(seeds);
  return (ago: number) => {
    const teeth = (since - ago) / period;
    const tooth = Math.floor(teeth);
    const height = seeds === 0 ? depth : depth * (1 - uneven(tooth) / 7);
    return peak - depth + height * (teeth - tooth);
  };
}

/** A number from 0 to 1 that looks like chance and is the same each time. */
function chance(seed: number): (ago: number) => number {
  return (ago) => {
    const x = Math.sin(seed + ago * 12.9898) * 43_758.5453;
    return x - Math.floor(x);
  };
}

const share = (min: number, max: number) => fc.double({ min, max, noNaN: true });
const cadence = fc.constantFrom(15, 30, 60);
const seed = fc.integer({ min: 1, max: 10_000 });

describe("the time left", () => {
  it("is given for a steady leak past half of the limit", () => {
    const left = told(looks(leak(0.09, 0.01)));
    expect(left).toEqual({
      seconds: expect.closeTo(9 * minute, 0),
      bytesPerSecond: expect.closeTo((0.01 * limit) / minute, 0),
    });
  });

  it("is within 2 % for a clean line, whatever its rate and the scrape interval", () => {
    fc.assert(
      fc.property(share(0.001, 0.4), share(1, 110), cadence, (left, minutes, every) => {
        const points = looks(leak(left, left / minutes), { every }).filter((p) => p.usedBytes > 0);
        const seconds = answer(points);
        fc.pre(seconds !== "watched_too_short");
        expect(seconds).toBeGreaterThan(minutes * minute * 0.98);
        expect(seconds).toBeLessThan(minutes * minute * 1.02);
      }),
    );
  });

  it("is within a half for a line that scatters by a tenth of its rise in a quarter hour", () => {
    fc.assert(
      fc.property(share(0.05, 0.3), share(5, 15), seed, (left, minutes, seeds) => {
        const perMinute = left / minutes;
        const scatter = chance(seeds);
        const line = leak(left, perMinute);
        const use = (ago: number) => line(ago) + (scatter(ago) - 0.5) * 0.2 * perMinute * 15;
        const seconds = answer(looks(use, { watched: 20 * minute }));
        if (typeof seconds === "number") {
          expect(seconds).toBeGreaterThan((minutes - 2) * minute * 0.9);
          expect(seconds).toBeLessThan((minutes + 2) * minute * 1.6);
        } else {
          expect(seconds).toBe("slowing_down");
        }
      }),
    );
  });

  it("reaches half an hour ahead after a quarter, and four hours after an hour", () => {
    const watched = 15 * minute;
    expect(answer(looks(leak(0.29, 0.01), { watched }))).toBeCloseTo(29 * minute, 0);
    expect(answer(looks(leak(0.4, 0.4 / 239)))).toBeCloseTo(239 * minute, 0);
  });

  it("uses the slower rate if a leak accelerates", () => {
    const use = (ago: number) =>
      Math.min(leak(0.2, 0.02)(ago), leak(0.2 + 0.02 * 4, 0.01)(ago - 240));
    expect(answer(looks(use))).toBeGreaterThan(10 * minute);
  });

  it("is given for a leak of a quarter of an hour on an otherwise idle host", () => {
    const use = (ago: number) => Math.max(0.5, leak(0.2, 0.02)(ago));
    expect(answer(looks(use))).toBeCloseTo(10 * minute, 0);
  });

  it("counts from now, not from the last look", () => {
    const points = looks(leak(0.09, 0.01)).filter(({ atMs }) => atMs <= nowMs - 60_000);
    expect(answer(points)).toBeCloseTo(9 * minute, 0);
  });

  it("is 0 if the limit is reached and usage still grows", () => {
    expect(answer(looks(leak(0, 0.01)))).toBe(0);
  });

  it("is given again after a kill at the limit, after a quarter of an hour of readings", () => {
    const killedAgo = (killed: number) => (ago: number) =>
      ago > killed ? 0.98 - (ago - killed) / 10_000 : 0.3 + ((killed - ago) / minute) * 0.025;
    expect(answer(looks(killedAgo(12 * minute)))).toBe("fell_back");
    expect(answer(looks(killedAgo(20 * minute)))).toBeCloseTo(8 * minute, 0);
  });
});

describe("no time is given", () => {
  it.each<[string, UsePoint[]]>([
    ["plenty_left", looks(leak(0.5, 0.01))],
    ["plenty_left", looks(leak(0.5, 0.01), { watched: minute })],
    ["watched_too_short", []],
    ["watched_too_short", looks(leak(0.2, 0.01), { watched: 13 * minute })],
    ["watched_too_short", looks(leak(0.31, 0.01), { watched: 50 * minute })],
    ["not_growing", looks(() => 0.9)],
    ["not_growing", looks(leak(0.2, -0.001))],
    ["not_growing", looks((ago) => (ago > 15 * minute ? 1.1 - ago / 5400 : 0.9))],
    ["slowing_down", looks((ago) => 0.9 - 0.3 * Math.exp(-(3600 - ago) / 1800))],
    ["slowing_down", looks((ago) => 0.9 - 0.3 * Math.exp(-(960 - ago) / 900), { watched: 960 })],
    ["no_line", looks((ago) => (ago > 3 * minute ? 0.6 : 0.7))],
    ["fell_back", looks(sawtooth(0.85, 0.3, 40 * minute, 20 * minute))],
    ["far_off", looks(leak(0.4, 0.4 / 241))],
  ])("%s", (refused, points) => {
    expect(answer(points)).toBe(refused);
  });

  it("if usage fell with a deployment and has not exceeded its earlier level", () => {
    const deployedAgo = (deploy: number) => (ago: number) =>
      ago > deploy ? 0.8 : 0.3 + ((deploy - ago) / minute) * 0.014;
    expect(answer(looks(deployedAgo(20 * minute)))).toBe("fell_back");
    expect(answer(looks(deployedAgo(45 * minute)))).toBeCloseTo((0.07 / 0.014) * minute, 0);
  });

  it("across a gap: two separate lines are not one", () => {
    const points = looks(leak(0.09, 0.01)).filter(
      ({ atMs }) => atMs < nowMs - 12 * 60_000 || atMs > nowMs - 9 * 60_000,
    );
    expect(answer(points)).toBe("watched_too_short");
  });

  it("without recent readings", () => {
    const points = looks(leak(0.09, 0.01)).filter(({ atMs }) => atMs < nowMs - 3 * 60_000);
    expect(answer(points)).toBe("watched_too_short");
  });

  it("if the clock was just set back or ahead", () => {
    const moved = (ms: number) =>
      looks(leak(0.09, 0.01)).map(({ atMs, usedBytes }) => ({ atMs: atMs + ms, usedBytes }));
    expect(answer(moved(1_800_000))).toBe("watched_too_short");
    expect(answer(moved(-1_800_000))).toBe("watched_too_short");
  });

  it("for noise", () => {
    fc.assert(
      fc.property(share(0.55, 0.9), share(0, 0.1), cadence, seed, (mean, width, every, seeds) => {
        const noise = chance(seeds);
        const use = (ago: number) => mean + (noise(ago) - 0.5) * width;
        expect(told(looks(use, { every }))).toHaveProperty("refused");
      }),
      { numRuns: 500 },
    );
  });

  it("for a step", () => {
    fc.assert(
      fc.property(
        share(0.3, 0.9),
        share(0.3, 0.9),
        fc.integer({ min: 0, max: 60 * minute }),
        fc.integer({ min: 14 * minute, max: 60 * minute }),
        cadence,
        (before, after, stepped, watched, every) => {
          const use = (ago: number) => (ago > stepped ? before : after);
          expect(told(looks(use, { every, watched }))).toHaveProperty("refused");
        },
      ),
      { numRuns: 500 },
    );
  });

  it("for a sawtooth of which a fall was watched", () => {
    fc.assert(
      fc.property(
        share(0.55, 0.89),
        share(0.02, 0.5),
        fc.integer({ min: minute, max: 58 * minute }),
        fc.integer({ min: 0, max: 58 * minute }),
        cadence,
        seed,
        (peak, depth, period, since, every, seeds) => {
          const use = sawtooth(peak, depth, period, since % period, seeds);
          expect(told(looks(use, { every }))).toHaveProperty("refused");
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("for a warm-up that levels off below the limit", () => {
    fc.assert(
      fc.property(share(0.6, 0.95), share(3, 60), share(15, 60), (end, tau, started) => {
        const watched = started * minute;
        const use = (ago: number) => end * (1 - Math.exp(-(watched - ago) / (tau * minute)));
        expect(told(looks(use, { watched }))).toHaveProperty("refused");
      }),
      { numRuns: 500 },
    );
  });
});
