import { describe, expect, it } from "vitest";
import { CgroupsCollector } from "../../src/collectors/cgroups.ts";
import { renderExposition, Samples } from "../../src/metrics/exposition.ts";
import type { CgroupReading } from "../../src/sources/cgroup-reading.ts";
import { OwnerNames } from "../../src/sources/owner-names.ts";
import { Snapshot } from "../../src/sources/snapshot.ts";

const budgetBytes = 16_000_000;

/** What the collector keeps from pass to pass, over cgroups that are given. */
class Passes {
  readonly #collector = new CgroupsCollector({
    tree: undefined,
    owners: new OwnerNames({ rootfs: "/nonexistent", now: () => 0 }),
  });

  collect(readings: CgroupReading[]): Samples {
    const samples = new Samples();
    const snapshot = new Snapshot({
      meminfo: () => ({ memTotalBytes: 2 ** 40, memFreeBytes: 0 }),
      cgroups: () => ({ readings, filtered: 0, beyondLimit: 0, unreadable: 0 }),
      processes: () => ({ processes: [], denied: 0 }),
    });
    this.#collector.collect({ sink: samples, snapshot });
    return samples;
  }

  leftOut(readings: CgroupReading[]): number {
    const family = this.collect(readings).of("oom_cgroups_left_out");
    const at = family?.labels.findIndex((labels) => labels.includes('"bytes"')) ?? -1;
    return family?.values[at] as number;
  }
}

function reading(path: string, kills = 0): CgroupReading {
  return {
    path,
    currentBytes: 1_234_567_890,
    maxBytes: 1_234_567_890,
    highBytes: 1_234_567_890,
    peakBytes: 1_234_567_890,
    swapCurrentBytes: 1_234_567_890,
    swapMaxBytes: 1_234_567_890,
    anonBytes: 1_234_567_890,
    fileBytes: 1_234_567_890,
    shmemBytes: 1_234_567_890,
    inactiveFileBytes: 1,
    effectiveMaxBytes: 1_234_567_890,
    events: { low: 1, high: 1, max: 1, oom: 1, oom_kill: kills, oom_group_kill: 0 },
    pressure: { someSeconds: 1.234567, fullSeconds: 0.234567 },
  };
}

/** Paths of 300 bytes, `depth` names below the root. */
function pathsOf(count: number, { depth = 1, end = "" } = {}): string[] {
  return Array.from({ length: count }, (_, i) => {
    const leaf = `${i}`.padStart(6, "0");
    return `${"/d".repeat(depth - 1)}/`.padEnd(300 - end.length - leaf.length, "x") + leaf + end;
  });
}

function cgroupsIn(samples: Samples): string {
  return (samples.of("oom_cgroup_memory_current_bytes")?.labels ?? []).join("\n");
}

describe("the series of cgroups", () => {
  it("take at most 16 MB of a scrape, and nearly that if there are too many", async () => {
    const readings = pathsOf(6000).map((path) => reading(path));
    const passes = new Passes();
    const text = String(await renderExposition(passes.collect(readings), "text"));
    const lines = text.split("\n").filter((line) => line.startsWith("oom_cgroup_"));
    const bytes = Buffer.byteLength(lines.join("\n"));
    expect(bytes).toBeLessThanOrEqual(budgetBytes);
    expect(bytes).toBeGreaterThan(0.99 * budgetBytes);
    expect(passes.leftOut(readings)).toBeGreaterThan(0);
  });

  it("lose the deepest cgroups first, and those with an owner or a kill last", () => {
    const deep = pathsOf(3000, { depth: 5 }).map((path) => reading(path));
    const owned = reading("/a/b/c/d/e/f/g/deep.service");
    const killed = reading("/a/b/c/d/e/f/g/killed", 1);
    const flat = pathsOf(2000).map((path) => reading(path));
    const shown = cgroupsIn(new Passes().collect([...flat, ...deep, owned, killed]));
    expect(shown).toContain("deep.service");
    expect(shown).toContain("/killed");
    expect(shown.match(/cgroup="\/x/g)).toHaveLength(2000);
    expect(shown.match(/cgroup="\/d/g)?.length).toBeLessThan(3000);
  });

  it("do not come and go with a few cgroups more or less", () => {
    const passes = new Passes();
    const all = pathsOf(3000).map((path) => reading(path));
    const leftOut = passes.leftOut(all);
    expect(leftOut).toBeGreaterThan(0);
    const kept = 3000 - leftOut;
    // Room for 20 more is no reason to let them in, room for a tenth is.
    expect(passes.leftOut(all.slice(20))).toBe(leftOut);
    const fewer = all.slice(Math.ceil(kept * 0.1) + leftOut);
    expect(passes.leftOut(fewer)).toBe(0);
  });

  it("are all exported if they take less", () => {
    expect(new Passes().leftOut(pathsOf(1000).map((path) => reading(path)))).toBe(0);
  });
});
