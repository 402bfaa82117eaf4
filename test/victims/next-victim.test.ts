import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { badnessRules } from "../../src/kernel/badness.ts";
import {
  type Candidate,
  cgroupScope,
  isExempt,
  rankVictims,
  type VictimScope,
} from "../../src/victims/next-victim.ts";

const kib = 1024;
const gib = 2 ** 30;
const host: VictimScope = {
  totalBytes: 8 * gib,
  pageBytes: 4096,
  hostInit: true,
  rules: badnessRules("6.1.0"),
};
const on = (release: string): VictimScope => ({ ...host, rules: badnessRules(release) });
const stat = (startTicks: number, residentPages = 10) => ({
  state: "S",
  startTicks,
  residentPages,
});

function task(pid: number, residentBytes: number, more: Partial<Candidate> = {}): Candidate {
  const memory = { residentBytes, swapBytes: 0, pageTablesBytes: 0 };
  return { pid, comm: `p${pid}`, score: 666, scoreAdj: 0, memory, ...more };
}

const pids = (tasks: readonly Candidate[]) => tasks.map(({ pid }) => pid);

describe("the next victim", () => {
  it("is the process with the most memory: resident, swap and page tables together", () => {
    const swapped = task(12, 10 * kib, {
      memory: { residentBytes: 10 * kib, swapBytes: 300 * kib, pageTablesBytes: 8 * kib },
    });
    expect(pids(rankVictims([task(10, 200 * kib), task(11, 100 * kib), swapped], host))).toEqual([
      12, 10, 11,
    ]);
  });

  it("scales oom_score_adj to thousandths of the scope's memory", () => {
    const big = task(10, gib, { scoreAdj: -500 });
    const small = task(11, kib, { scoreAdj: 10 });
    expect(pids(rankVictims([big, task(12, 40 * kib), small], host))).toEqual([11, 12, 10]);
  });

  it("may differ in a small cgroup, because a thousandth of it is small", () => {
    const tasks = [task(10, 90 * 2 ** 20), task(11, 20 * 2 ** 20, { scoreAdj: 100 })];
    expect(pids(rankVictims(tasks, host))).toEqual([11, 10]);
    const cgroup = cgroupScope(host, { maxBytes: 128 * 2 ** 20 }, 0);
    expect(pids(rankVictims(tasks, cgroup))).toEqual([10, 11]);
  });

  it("is the last created among equals, because the kernel replaces an equal choice; until 5.2 the first", () => {
    const equals = [task(10, kib), task(12, kib), task(11, kib)];
    expect(pids(rankVictims(equals, host))).toEqual([12, 11, 10]);
    expect(pids(rankVictims(equals, on("4.19.0")))).toEqual([10, 11, 12]);
  });

  it("is decided by age among equals if pids were reused", () => {
    const young = task(10, 40 * kib, { stat: stat(900) });
    const old = task(30_000, 40 * kib, { stat: stat(100) });
    expect(pids(rankVictims([young, old], host))).toEqual([10, 30_000]);
  });

  it("is decided among equals in a cgroup by the order of its child cgroups, then by age", () => {
    const tasks = [
      task(12, kib, { cgroup: "/a" }),
      task(11, kib, { cgroup: "/a/b" }),
      task(13, kib, { cgroup: "/a" }),
    ];
    const cgroupOrder = (a: string, b: string) => a.length - b.length;
    expect(pids(rankVictims(tasks, { ...host, cgroupOrder }))).toEqual([11, 13, 12]);
    expect(pids(rankVictims(tasks, host))).toEqual([13, 12, 11]);
  });

  it("uses resident memory as the kernel counts it: from 6.2 to 6.19 that is in stat", () => {
    const tasks = [
      task(10, 44 * kib, { stat: stat(1, 9) }),
      task(11, 40 * kib, { stat: stat(2, 10) }),
    ];
    expect(pids(rankVictims(tasks, on("6.18.44")))).toEqual([11, 10]);
    expect(pids(rankVictims(tasks, on("6.1.0")))).toEqual([10, 11]);
    expect(pids(rankVictims(tasks, on("7.0.0")))).toEqual([10, 11]);
  });

  it("is until 5.0 the worst child of the chosen one", () => {
    const tasks = [
      task(10, 900 * kib),
      task(11, 80 * kib, { parentPid: 10 }),
      task(12, 90 * kib, { parentPid: 10 }),
      task(13, 500 * kib, { parentPid: 1 }),
      task(14, 20 * kib, { parentPid: 12 }),
    ];
    expect(pids(rankVictims(tasks, on("4.19.0")))).toEqual([12, 11, 10, 13, 14]);
    expect(pids(rankVictims(tasks, on("5.1.0")))).toEqual([10, 13, 12, 11, 14]);
  });

  it("is never the host's init, but may be a container's", () => {
    const init = task(1, gib);
    expect(rankVictims([init], host)).toEqual([]);
    expect(pids(rankVictims([init], { ...host, hostInit: false }))).toEqual([1]);
  });

  it("is never an unkillable process, and everybody else is ranked", () => {
    const scoreAdj = fc.oneof(fc.constant(-1000), fc.integer({ min: -1000, max: 1000 }));
    const tasks = fc
      .array(fc.record({ residentBytes: fc.nat(2 ** 30), scoreAdj }))
      .map((all) =>
        all.map(({ residentBytes, ...more }, i) =>
          task(i + 1, residentBytes, { ...more, parentPid: i >> 1 }),
        ),
      );
    const release = fc.constantFrom("4.4.0", "4.19.0", "5.4.0", "6.1.0", "6.18.0");
    fc.assert(
      fc.property(tasks, release, (all, of) => {
        const ranked = rankVictims(all, on(of));
        expect(ranked.some((one) => isExempt(one, true))).toBe(false);
        expect(ranked.length).toBe(all.filter((one) => !isExempt(one, true)).length);
        expect(new Set(ranked).size).toBe(ranked.length);
      }),
    );
  });

  it("does not depend on the order in which processes are listed", () => {
    const tasks = fc.uniqueArray(fc.tuple(fc.integer({ min: 2, max: 50 }), fc.nat(3)), {
      selector: ([pid]) => pid,
    });
    fc.assert(
      fc.property(tasks, (all) => {
        const listed = all.map(([pid, pages]) => task(pid, pages * 4 * kib));
        expect(rankVictims(listed, host)).toEqual(rankVictims([...listed].reverse(), host));
      }),
    );
  });
});

describe("the total for a cgroup's processes", () => {
  it.each([
    ["its own swap limit", 100, 1000, 100],
    ["no more swap than there is", 5000, 1000, 1000],
    ["all swap where it has no swap limit", Number.POSITIVE_INFINITY, 1000, 1000],
    ["all swap where the kernel does not account swap", undefined, 1000, 1000],
    ["nothing more where there is no swap", undefined, 0, 0],
  ])("is its limit and %s", (_, swapMaxBytes, swapTotalBytes, swapBytes) => {
    const scope = cgroupScope(host, { maxBytes: 4096, swapMaxBytes }, swapTotalBytes);
    expect(scope).toEqual({ ...host, totalBytes: 4096 + swapBytes });
  });

  it("is its limit only if its swappiness is 0, because the kernel then counts no swap", () => {
    const limit = { maxBytes: 4096, swapMaxBytes: 100, swappiness: 0 };
    expect(cgroupScope(host, limit, 1000).totalBytes).toBe(4096);
    expect(cgroupScope(host, { ...limit, swappiness: 1 }, 1000).totalBytes).toBe(4196);
  });
});
