import { describe, expect, it } from "vitest";
import { badnessBytes, protectionOf } from "../../src/kernel/badness.ts";

const page = 4096;
const task = { residentBytes: 10 * page, swapBytes: 4 * page, pageTablesBytes: 2 * page };

describe("a task's badness", () => {
  it("is its resident memory, swap and page tables", () => {
    expect(badnessBytes({ ...task, oomScoreAdj: 0 }, 1e9, page)).toBe(16 * page);
  });

  it("moves by thousandths of what the scope may use, in whole pages", () => {
    const total = 10_999 * page;
    expect(badnessBytes({ ...task, oomScoreAdj: 2 }, total, page)).toBe((16 + 2 * 10) * page);
    expect(badnessBytes({ ...task, oomScoreAdj: -3 }, total, page)).toBe((16 - 3 * 10) * page);
  });

  it("does not exist for a task that is exempt", () => {
    expect(badnessBytes({ ...task, oomScoreAdj: -1000 }, 1e9, page)).toBeUndefined();
    expect(badnessBytes({ ...task, oomScoreAdj: -999 }, 1e9, page)).toBeDefined();
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
