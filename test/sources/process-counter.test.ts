import { symlinkSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { HostFiles } from "../../src/sources/host-files.ts";
import { ProcessCounter } from "../../src/sources/process-counter.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";

const loadavg = (lastPid: number) => `0.20 0.18 0.12 1/80 ${lastPid}`;
const stat = (forks: number) =>
  `cpu  1 2 3\nintr 7 0\nctxt 9\nbtime 1700000000\nprocesses ${forks}`;

function counterOf(
  host: TemporaryTree,
  seenAs = "4711",
  typeOf?: (path: string) => number,
): ProcessCounter {
  const own = new TemporaryTree();
  symlinkSync("4711", own.path("proc/self"));
  symlinkSync(seenAs, host.path("proc/self"));
  return new ProcessCounter(new HostFiles(host.roots), new HostFiles(own.roots), typeOf);
}

describe("the counter of processes", () => {
  it("is the last pid, if procfs shows the pid namespace of this process", () => {
    const host = new TemporaryTree();
    host.write("proc", { loadavg: loadavg(100), stat: stat(5) });
    const counter = counterOf(host);
    expect(counter.isLastPid).toBe(true);
    expect(counter.read()).toBe(100);
    host.write("proc", { loadavg: loadavg(101) });
    expect(counter.read()).toBe(101);
    counter.close();
  });

  it("is the host's number of forks, if procfs shows another pid namespace", () => {
    const host = new TemporaryTree();
    host.write("proc", { loadavg: loadavg(100), stat: stat(5) });
    const counter = counterOf(host, "99");
    expect(counter.isLastPid).toBe(false);
    expect(counter.read()).toBe(5);
    counter.close();
  });

  it("tells nothing where lxcfs shows its own file, which may be seconds old", () => {
    const host = new TemporaryTree();
    host.write("proc", { loadavg: loadavg(100) });
    const types: string[] = [];
    const counter = counterOf(host, "4711", (path) => {
      types.push(path);
      return 0x65735546;
    });
    expect(types).toEqual([host.path("proc/loadavg")]);
    expect(counter.read()).toBeUndefined();
  });

  it("tells nothing where its file cannot be read", () => {
    expect(counterOf(new TemporaryTree()).read()).toBeUndefined();
  });
});
