import { symlinkSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { HostFiles } from "../../src/sources/host-files.ts";
import { NewProcesses } from "../../src/sources/new-processes.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";

const loadavg = (lastPid: number) => `0.20 0.18 0.12 1/80 ${lastPid}`;
const stat = (forks: number) =>
  `cpu  1 2 3\nintr 7 0\nctxt 9\nbtime 1700000000\nprocesses ${forks}`;

/** Looks at a host; what it did is the list of `readYoung` calls, each with whether it listed procfs. */
function watchOf(host: TemporaryTree, { foreign = false, readingTakesMs = 0 } = {}) {
  const own = new TemporaryTree();
  symlinkSync("4711", own.path("proc/self"));
  symlinkSync(foreign ? "99" : "4711", host.path("proc/self"));
  const clock = { nowMs: 0 };
  const calls: boolean[] = [];
  const table = {
    hasYoung: false,
    readYoung: ({ list = true } = {}) => {
      calls.push(list);
      clock.nowMs += readingTakesMs;
    },
  };
  const watch = new NewProcesses({
    files: new HostFiles(host.roots),
    ownProc: new HostFiles(own.roots),
    table,
    now: () => clock.nowMs,
  });
  const look = () => {
    calls.length = 0;
    watch.look();
    return [...calls];
  };
  return { look, table, clock };
}

describe("new processes", () => {
  it("are looked for when the last pid has moved, in the pid namespace of this process", () => {
    const host = new TemporaryTree();
    host.write("proc", { loadavg: loadavg(100), stat: stat(5) });
    const { look } = watchOf(host);
    look();
    expect(look()).toEqual([]);
    host.write("proc", { stat: stat(6) });
    expect(look()).toEqual([]);
    host.write("proc", { loadavg: loadavg(101) });
    expect(look()).toEqual([true]);
    expect(look()).toEqual([]);
  });

  it("are looked for when the host's fork count has moved, where procfs shows another namespace", () => {
    const host = new TemporaryTree();
    host.write("proc", { loadavg: loadavg(100), stat: stat(5) });
    const { look } = watchOf(host, { foreign: true });
    look();
    host.write("proc", { loadavg: loadavg(101) });
    expect(look()).toEqual([]);
    host.write("proc", { stat: stat(6) });
    expect(look()).toEqual([true]);
  });

  it("are read again while they are young, without listing", () => {
    const host = new TemporaryTree();
    host.write("proc", { loadavg: loadavg(100) });
    const { look, table } = watchOf(host);
    look();
    table.hasYoung = true;
    expect(look()).toEqual([false]);
  });

  it("are looked for each time where nothing tells that one was made", () => {
    const { look } = watchOf(new TemporaryTree());
    expect([look(), look()]).toEqual([[true], [true]]);
  });

  it("take one hundredth of the time at most", () => {
    const { look, clock } = watchOf(new TemporaryTree(), { readingTakesMs: 8 });
    expect(look()).toEqual([true]);
    clock.nowMs += 799;
    expect(look()).toEqual([]);
    clock.nowMs += 1;
    expect(look()).toEqual([true]);
  });
});
