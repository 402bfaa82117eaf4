import { beforeEach, describe, expect, it } from "vitest";
import { LiveWorkloads } from "../../src/kills/live-workloads.ts";
import { ownerOfCgroup } from "../../src/kills/owner.ts";

describe("the workloads that live", () => {
  let nowMs: number;
  let said: string[];
  let workloads: LiveWorkloads;

  beforeEach(() => {
    nowMs = 1000;
    said = [];
    workloads = new LiveWorkloads({
      ledger: {
        noteWorkload: ({ cgroup, unit }, atMs) => said.push(`${cgroup} of ${unit} at ${atMs}`),
        workloadGone: (cgroup, atMs) => said.push(`${cgroup} gone at ${atMs}`),
      },
      ownerOf: ownerOfCgroup,
      nowMs: () => nowMs,
    });
  });

  /** One look, a second after the one before. */
  function look(paths: readonly string[], beyondLimit = 0): string[] {
    said = [];
    nowMs += 1000;
    workloads.noteCgroups({ readings: paths.map((path) => ({ path })), beyondLimit });
    return said;
  }

  it("are the cgroups that have an owner", () => {
    expect(look(["/system.slice", "/system.slice/a.service"])).toEqual([
      "/system.slice/a.service of a.service at 2000",
    ]);
  });

  it("are gone once when a look at all cgroups does not find them", () => {
    look(["/a.service", "/b.service"]);
    expect(look(["/b.service"])).toEqual([
      "/b.service of b.service at 3000",
      "/a.service gone at 3000",
    ]);
    expect(look(["/b.service"])).toEqual(["/b.service of b.service at 4000"]);
  });

  it("are not gone because a look ended early, and are still known after it", () => {
    look(["/a.service"]);
    expect(look(["/b.service"], 1)).toEqual(["/b.service of b.service at 3000"]);
    expect(look([])).toEqual(["/b.service gone at 4000", "/a.service gone at 4000"]);
  });
});
