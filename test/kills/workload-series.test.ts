import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { OwnerLabels } from "../../src/kills/owner.ts";
import {
  goneStaysMs,
  killedStaysMs,
  overflow,
  unattributed,
  WorkloadSeries,
  workloadLimit,
} from "../../src/kills/workload-series.ts";

function labels(cgroup: string, more: Partial<OwnerLabels> = {}): OwnerLabels {
  return { cgroup, unit: "", container: "", pod: "", namespace: "", ...more };
}

function kill(series: WorkloadSeries, of: OwnerLabels, atMs: number): OwnerLabels {
  const under = series.labelsFor(of, atMs);
  series.count(under, atMs);
  return under;
}

/** The series of single workloads. */
function shown(series: WorkloadSeries, nowMs: number): [cgroup: string, kills: number][] {
  return series
    .list(nowMs)
    .slice(2)
    .map(({ labels: { cgroup }, kills }) => [cgroup, kills]);
}

describe("a workload's series", () => {
  it("starts at 0 with its cgroup", () => {
    const series = new WorkloadSeries();
    series.note(labels("/a"), 0);
    expect(shown(series, 0)).toEqual([["/a", 0]]);
  });

  it("without a kill leaves 10 minutes after its cgroup", () => {
    const series = new WorkloadSeries();
    series.note(labels("/a"), 0);
    series.goneBut([], 1000);
    series.goneBut([], 2000);
    expect(shown(series, 1000 + goneStaysMs - 1)).toHaveLength(1);
    expect(shown(series, 1000 + goneStaysMs)).toHaveLength(0);
  });

  it("stays while its cgroup exists, even if it comes back", () => {
    const series = new WorkloadSeries();
    series.note(labels("/a"), 0);
    series.goneBut([], 1000);
    series.note(labels("/a"), 2000);
    expect(shown(series, 100 * killedStaysMs)).toHaveLength(1);
  });

  it("with a kill stays 24 hours after the last one, although its cgroup is gone", () => {
    const series = new WorkloadSeries();
    kill(series, labels("/a"), 0);
    kill(series, labels("/a"), 1000);
    expect(shown(series, 1000 + killedStaysMs - 1)).toEqual([["/a", 2]]);
    expect(shown(series, 1000 + killedStaysMs)).toEqual([]);
  });

  it("learns its names while it is 0, and never after", () => {
    const series = new WorkloadSeries();
    series.note(labels("/a"), 0);
    const named = labels("/a", { pod: "web" });
    series.note(named, 0);
    expect(kill(series, named, 0)).toEqual(named);
    const renamed = labels("/a", { pod: "other" });
    series.note(renamed, 0);
    expect(kill(series, renamed, 0)).toEqual(named);
    expect(series.list(0).at(-1)).toMatchObject({ labels: named, kills: 2 });
  });

  it("continues after a restart, and waits 10 minutes for its cgroup to be seen again", () => {
    const before = new WorkloadSeries();
    kill(before, labels("/a"), 0);
    const series = new WorkloadSeries();
    series.restore(JSON.parse(JSON.stringify(before.save())), killedStaysMs);
    expect(shown(series, killedStaysMs + goneStaysMs - 1)).toEqual([["/a", 1]]);
    series.note(labels("/a"), killedStaysMs + 1);
    expect(shown(series, 2 * killedStaysMs)).toEqual([["/a", 1]]);
  });
});

describe("2,000 series", () => {
  function full(): WorkloadSeries {
    const series = new WorkloadSeries();
    for (let index = 0; index < workloadLimit; index++) series.note(labels(`/${index}`), 0);
    return series;
  }

  it("are the most: a kill beyond them counts as `other`", () => {
    const series = full();
    expect(kill(series, labels("/new"), 0)).toEqual(overflow);
    expect(series.list(0)[1]).toMatchObject({ labels: overflow, kills: 1 });
    series.note(labels("/newer"), 0);
    expect(shown(series, 0)).toHaveLength(workloadLimit);
  });

  it("drop the 0 of a removed cgroup in favour of a kill, the one removed first", () => {
    const series = full();
    const live = (...gone: number[]) =>
      Array.from({ length: workloadLimit }, (_, index) => index)
        .filter((index) => !gone.includes(index))
        .map((index) => labels(`/${index}`));
    series.goneBut(live(9), 1);
    series.goneBut(live(7, 9), 2);
    kill(series, labels("/new"), 3);
    const names = shown(series, 3).map(([cgroup]) => cgroup);
    expect(names).toContain("/new");
    expect(names).toContain("/7");
    expect(names).not.toContain("/9");
  });

  it("do not count a kill without cgroup and owner among them", () => {
    expect(kill(full(), labels(""), 0)).toEqual(unattributed);
  });

  it("count a kill under the labels saved with it, room or not", () => {
    const series = full();
    series.count(labels("/counted-before-the-restart"), 0);
    expect(shown(series, 0).at(-1)).toEqual(["/counted-before-the-restart", 1]);
  });
});

it("the sum of all series grows by one per kill and falls only when a series expires", () => {
  const cgroup = fc.nat(2500).map((index) => (index === 0 ? "" : `/${index}`));
  const step = fc.tuple(fc.constantFrom("note", "only", "kill"), cgroup);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.boolean(), (steps, startsFull) => {
      const series = new WorkloadSeries();
      for (let index = 0; startsFull && index < workloadLimit; index++) {
        series.note(labels(`/live/${index}`), 0);
      }
      let kills = 0;
      for (const [what, path] of steps) {
        if (what === "note") series.note(labels(path), 0);
        else if (what === "only") series.goneBut([labels(path)], 0);
        else {
          kill(series, labels(path), 0);
          kills++;
        }
        const sum = series.list(0).reduce((before, each) => before + each.kills, 0);
        expect(sum).toBe(kills);
      }
      expect(series.list(0).length).toBeLessThanOrEqual(workloadLimit + 2);
    }),
  );
});
