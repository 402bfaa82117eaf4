import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { badnessPages, badnessRules, protectionOf } from "../../src/kernel/badness.ts";

const page = 4096;
const newest = badnessRules(undefined);
const task = { residentBytes: 10 * page, swapBytes: 4 * page, pageTablesBytes: 2 * page };

describe("a task's badness", () => {
  it("is its resident memory, swap and page tables", () => {
    expect(badnessPages({ ...task, oomScoreAdj: 0 }, 1e9, page, newest)).toBe(16);
  });

  it("is adjusted by thousandths of the scope's memory, in whole pages", () => {
    const total = 10_999 * page;
    expect(badnessPages({ ...task, oomScoreAdj: 2 }, total, page, newest)).toBe(16 + 2 * 10);
    expect(badnessPages({ ...task, oomScoreAdj: -3 }, total, page, newest)).toBe(16 - 3 * 10);
  });

  it("does not exist for a task that is exempt", () => {
    for (const release of ["4.4.0", "6.1.0"]) {
      const rules = badnessRules(release);
      expect(badnessPages({ ...task, oomScoreAdj: -1000 }, 1e9, page, rules)).toBeUndefined();
      expect(badnessPages({ ...task, oomScoreAdj: -999 }, 1e9, page, rules)).toBeDefined();
    }
  });

  it("is 3 % less for an administrator's until 4.16, before the adjustment", () => {
    const large = { ...task, residentBytes: 1000 * page, oomScoreAdj: 1, isAdmin: true };
    const points = (release: string) =>
      badnessPages(large, 100_000 * page, page, badnessRules(release));
    expect(points("4.16.18")).toBe(1006 - 30 + 100);
    expect(points("4.17.0")).toBe(1006 + 100);
    expect(
      badnessPages({ ...large, isAdmin: false }, 100_000 * page, page, badnessRules("4.16.18")),
    ).toBe(1106);
  });

  it("is at least 1 until 5.8, so that all deep in the negative are equal, and orders them since", () => {
    const points = (release: string, oomScoreAdj: number) =>
      badnessPages({ ...task, oomScoreAdj }, 1e9, page, badnessRules(release));
    expect([points("5.8.0", -500), points("5.8.0", -900)]).toEqual([1, 1]);
    expect(points("5.9.0", -900)).toBeLessThan(points("5.9.0", -500) as number);
  });

  it("never falls when the task grows, whatever the kernel", () => {
    const bytes = fc.integer({ min: 0, max: 2 ** 40 });
    const release = fc.constantFrom("4.9.0", "4.19.0", "5.4.0", "5.10.0", "6.18.44", undefined);
    const adjustment = fc.integer({ min: -999, max: 1000 });
    fc.assert(
      fc.property(bytes, bytes, adjustment, release, (residentBytes, more, oomScoreAdj, of) => {
        const points = (resident: number) =>
          badnessPages(
            { ...task, residentBytes: resident, oomScoreAdj, isAdmin: true },
            2 ** 36,
            page,
            badnessRules(of),
          ) as number;
        expect(points(residentBytes + more)).toBeGreaterThanOrEqual(points(residentBytes));
      }),
    );
  });
});

describe("the rules of a kernel", () => {
  const none = { adminDiscount: false, childrenFirst: false, atLeastOne: false };

  it.each([
    ["4.16.0", "first", "status", { adminDiscount: true, childrenFirst: true, atLeastOne: true }],
    ["4.18.0-553.el8", "first", "status", { ...none, childrenFirst: true, atLeastOne: true }],
    ["5.1.21", "first", "status", { ...none, atLeastOne: true }],
    ["5.4.0-216-generic", "last", "status", { ...none, atLeastOne: true }],
    ["5.10.0-46-cloud-amd64", "last", "status", none],
    ["6.1.0-56-cloud-amd64", "last", "status", none],
    ["6.2.0", "last", "stat", none],
    ["6.18.44-fc-v445", "last", "stat", none],
    ["7.0.0-rc1", "last", "status", none],
  ] as const)("%s: the %s of equals, resident memory from %s", (release, ofEquals, from, rest) => {
    expect(badnessRules(release)).toEqual({ ...rest, ofEquals, residentFrom: from });
  });

  it.each([undefined, "", "unknown", "v6"])("for an unknown one (%j) are the newest", (release) => {
    expect(badnessRules(release)).toEqual(badnessRules("999.0"));
  });
});

describe("how a task was set", () => {
  it.each([
    [-1000, "unkillable"],
    [-999, "protected"],
    [-1, "protected"],
    [0, "default"],
    [1, "sacrificial"],
    [1000, "sacrificial"],
  ] as const)("oom_score_adj %i is %s", (adj, protection) => {
    expect(protectionOf(adj)).toBe(protection);
  });
});
