import { describe, expect, it } from "vitest";
import { Pace } from "../../src/collections/steps.ts";
import { FileUnavailable } from "../../src/sources/host-files.ts";
import { openHost, snapshotOf } from "../setup/opened-host.ts";
import { addProcess } from "../setup/process-files.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";

function smallHost(): TemporaryTree {
  const tree = new TemporaryTree();
  tree.write("proc", { meminfo: "MemTotal: 1000 kB\nMemFree: 400 kB\nSwapTotal: 50 kB" });
  tree.write("sys/fs/cgroup", { "cgroup.controllers": "memory" });
  tree.write("sys/fs/cgroup/a", { "memory.current": 1000 });
  addProcess(tree, 10, { cgroup: "/a" });
  return tree;
}

describe("a snapshot", () => {
  it("shows the host as it was when a part was first asked for", () => {
    const tree = smallHost();
    const host = openHost(tree.roots);
    const before = host.snapshot();
    expect(before.meminfo.memFreeBytes).toBe(400 * 1024);
    expect(before.cgroups?.readings).toMatchObject([{ path: "/a", currentBytes: 1000 }]);
    expect(before.processes.processes).toMatchObject([{ pid: 10 }]);
    tree.write("proc", { meminfo: "MemTotal: 1000 kB\nMemFree: 300 kB" });
    tree.write("sys/fs/cgroup/a", { "memory.current": 2000 });
    addProcess(tree, 11, { cgroup: "/a" });
    expect(before.meminfo.memFreeBytes).toBe(400 * 1024);
    expect(before.cgroups?.readings).toMatchObject([{ path: "/a", currentBytes: 1000 }]);
    expect(before.processes.processes).toHaveLength(1);
    const after = host.snapshot();
    expect(after.meminfo.memFreeBytes).toBe(300 * 1024);
    expect(after.cgroups?.readings).toMatchObject([{ path: "/a", currentBytes: 2000 }]);
    expect(after.processes.processes).toHaveLength(2);
  });

  it("reads only the requested parts", () => {
    const snapshot = snapshotOf({ cgroups: () => undefined });
    expect(snapshot.cgroups).toBeUndefined();
    expect(() => snapshot.processes).toThrow("processes: the test has none");
  });

  it("can be read ahead, a little at a time, and is the same then", async () => {
    const tree = smallHost();
    const host = openHost(tree.roots, { keepsDescriptors: true });
    const pace = new Pace({ now: () => 0, rest: async () => {} });
    const snapshot = host.snapshot();
    await snapshot.readAhead("cgroups", pace);
    await snapshot.readAhead("processes", pace);
    tree.write("sys/fs/cgroup/a", { "memory.current": 2000 });
    expect(snapshot.cgroups?.readings).toMatchObject([{ path: "/a", currentBytes: 1000 }]);
    expect(snapshot.processes.processes).toMatchObject([{ pid: 10 }]);
    host.close();

    tree.remove("proc");
    const blind = host.snapshot();
    await blind.readAhead("processes", pace);
    expect(() => blind.processes).toThrow("ENOENT");
  });

  it("fails in the same way for all that ask, without a second attempt", () => {
    let attempts = 0;
    const snapshot = snapshotOf({
      processes: () => {
        attempts++;
        throw new Error(`attempt ${attempts}`);
      },
    });
    expect(() => snapshot.processes).toThrow("attempt 1");
    expect(() => snapshot.processes).toThrow("attempt 1");
  });

  it("adds memory and swap up for the ranking, and knows neither without meminfo", () => {
    const tree = smallHost();
    expect(openHost(tree.roots).snapshot().totals).toEqual({
      totalBytes: 1050 * 1024,
      swapTotalBytes: 50 * 1024,
    });
    tree.remove("proc/meminfo");
    const snapshot = openHost(tree.roots).snapshot();
    expect(() => snapshot.meminfo).toThrow(FileUnavailable);
    expect(snapshot.totals).toEqual({ totalBytes: 0, swapTotalBytes: 0 });
  });

  it("passes each part to the keepers once, but none that was not read or failed", () => {
    const kept: string[] = [];
    const keepers = [
      { noteMeminfo: () => kept.push("meminfo"), noteCgroups: () => kept.push("cgroups") },
      { noteCgroups: () => kept.push("cgroups again") },
    ];
    const tree = smallHost();
    const snapshot = openHost(tree.roots).snapshot();
    snapshot.handTo(keepers);
    expect(kept).toEqual([]);
    expect(snapshot.cgroups?.readings).toHaveLength(1);
    snapshot.handTo(keepers);
    snapshot.handTo(keepers);
    expect(kept).toEqual(["cgroups", "cgroups again"]);
    tree.remove("proc/meminfo");
    expect(() => snapshot.meminfo).toThrow();
    snapshot.handTo(keepers);
    expect(kept).toEqual(["cgroups", "cgroups again"]);
  });
});
