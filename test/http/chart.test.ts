import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Chart, chart, chartInWords } from "../../src/http/chart.ts";

const MiB = 2 ** 20;
const minuteMs = 60_000;

/** An hour with looks at the given minutes, in MiB. */
function anHour(looks: readonly [minute: number, mebibytes: number][]): Chart {
  const points = looks.map(([minute, mib]) => ({ atMs: minute * minuteMs, bytes: mib * MiB }));
  const lines = [{ kind: "memory", name: "Memory used by web", points }];
  return { fromMs: 0, toMs: 60 * minuteMs, limitBytes: 100 * MiB, lines };
}

const paths = (options: Chart, kind: string) =>
  [...chart(options).text.matchAll(new RegExp(`<path class="${kind}" d="([^"]*)"`, "g"))].map(
    ([, d]) => d as string,
  );

describe("a chart", () => {
  it("draws time from left to right and bytes from the bottom, below the limit's line", () => {
    const options = anHour([
      [30, 0],
      [30.5, 50],
      [31, 100],
    ]);
    expect(paths(options, "line memory")).toEqual(["M300 100L305 52.8L310 5.7"]);
    expect(paths(options, "area memory")).toEqual(["M300 100L300 100L305 52.8L310 5.7L310 100Z"]);
    expect(paths(options, "limit")).toEqual(["M0 5.7H600"]);
  });

  it("leaves a gap without readings, and a dot for a single reading", () => {
    const looks: [number, number][] = [
      [1, 10],
      [2, 20],
      [5, 30],
      [20, 40],
      [21, 50],
    ];
    expect(paths(anHour(looks), "line memory").map((d) => d.split("L").length)).toEqual([2, 1, 2]);
    expect(paths(anHour(looks), "line memory")[1]).toMatch(/^M50 [\d.]+h0$/);
  });

  it("grows with what is over the limit", () => {
    const options = anHour([
      [1, 100],
      [2, 200],
    ]);
    expect(paths(options, "line memory")).toEqual(["M10 52.8L20 5.7"]);
    expect(paths(options, "limit")).toEqual(["M0 52.8H600"]);
  });

  it("leaves out points before its start", () => {
    expect(paths(anHour([[-1, 10]]), "line memory")).toEqual([]);
  });

  it("leaves out corners that are none", () => {
    const flat = Array.from({ length: 100 }, (_, i): [number, number] => [i / 4, 50]);
    expect(paths(anHour(flat), "line memory")).toEqual(["M0 52.8L248 52.8"]);
  });

  it("stays within its frame, whatever is drawn", () => {
    const look = fc.tuple(fc.double({ min: 0, max: 60, noNaN: true }), fc.nat({ max: 1e6 }));
    fc.assert(
      fc.property(fc.array(look), (looks) => {
        const sorted = looks.sort(([a], [b]) => a - b);
        for (const path of paths(anHour(sorted), "line memory")) {
          for (const [, x, y] of path.matchAll(/(-?[\d.]+) (-?[\d.]+)/g)) {
            expect(Number(x)).toBeGreaterThanOrEqual(0);
            expect(Number(x)).toBeLessThanOrEqual(600);
            expect(Number(y)).toBeGreaterThanOrEqual(0);
            expect(Number(y)).toBeLessThanOrEqual(100);
          }
        }
      }),
    );
  });
});

describe("a chart in words", () => {
  it("says from, to, lowest, highest and the limit", () => {
    const options = anHour([
      [18, 40],
      [19, 10],
      [20, 90],
      [21, 60],
    ]);
    const words =
      "Memory used by web in the last 42 minutes: from 40 MiB to 60 MiB, lowest 10 MiB, highest 90 MiB. Limit 100 MiB.";
    expect(chartInWords(options)).toBe(words);
    expect(chart(options).text).toContain(`role="img" aria-label="${words}"`);
  });

  it("says how long there were no readings", () => {
    const looks: [number, number][] = [
      [0, 40],
      [12, 40],
      [13, 40],
      [15, 40],
    ];
    expect(chartInWords(anHour(looks))).toContain(", not watched for 14 minutes in between.");
  });

  it("says that there are no readings yet", () => {
    expect(chartInWords(anHour([]))).toBe("Memory used by web: not watched yet. Limit 100 MiB.");
  });
});
