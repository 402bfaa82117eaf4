import { statSync } from "node:fs";
import { expect, it } from "vitest";
import { VictimRanking } from "../../src/victims/victim-ranking.ts";
import { openHost } from "../setup/opened-host.ts";
import { addProcess } from "../setup/process-files.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";

const gib = 2 ** 30;

function rankingOf(host: TemporaryTree, version: "v1" | "v2" = "v2") {
  if (version === "v2") host.write("sys/fs/cgroup", { "cgroup.controllers": "memory" });
  else host.write("sys/fs/cgroup/memory", { "memory.usage_in_bytes": 0 });
  const { files, table, tree, pageBytes } = openHost(host.roots);
  const ranking = new VictimRanking({ files, table, tree, pageBytes });
  return {
    firstOfHost: () =>
      ranking.firstOfHost(table.read(20).processes, { totalBytes: gib, swapTotalBytes: 0 })?.pid,
    inCgroup: (path: string, maxBytes: number, swapTotalBytes = 0) =>
      ranking
        .rank(
          table.read(20).processes,
          { totalBytes: gib, swapTotalBytes },
          { path, currentBytes: 1, effectiveMaxBytes: maxBytes, events: {}, pressure: {} },
        )
        .map(({ pid }) => pid),
  };
}

const stat = (residentPages: number) => `10 (x) S${" 7".repeat(20)} ${residentPages} 0 0 0 0`;

it("ranks by the rules of the kernel that runs, and by stat if the killer counts so", () => {
  const host = new TemporaryTree();
  addProcess(host, 10, { residentKb: 104, stat: stat(20) });
  addProcess(host, 11, { residentKb: 100, stat: stat(21) });
  expect(rankingOf(host).firstOfHost()).toBe(10);
  host.write("proc/sys/kernel", { osrelease: "6.18.44" });
  expect(rankingOf(host).firstOfHost()).toBe(11);
});

it("among equals in a cgroup, chooses the one in the child cgroup that was created last", () => {
  const host = new TemporaryTree();
  for (const name of ["a/one", "a/two"])
    host.write(`sys/fs/cgroup/${name}`, { "memory.current": 1 });
  const inode = (name: string) => statSync(host.path(`sys/fs/cgroup/a/${name}`)).ino;
  // On a disk's file system, unlike cgroupfs, inode numbers need not increase.
  const [first, last] = inode("one") < inode("two") ? ["one", "two"] : ["two", "one"];
  addProcess(host, 13, { cgroup: "/a" });
  addProcess(host, 12, { cgroup: `/a/${first}` });
  addProcess(host, 11, { cgroup: `/a/${last}` });
  addProcess(host, 10, { cgroup: `/a/${last}/deep` });
  expect(rankingOf(host).inCgroup("/a", gib)).toEqual([10, 11, 12, 13]);
});

it.each([
  ["v1", "sys/fs/cgroup/memory/a/memory.swappiness"],
  ["v2", "proc/sys/vm/swappiness"],
] as const)("counts no swap to a limit if swappiness is 0 (%s)", (version, file) => {
  const host = new TemporaryTree();
  addProcess(host, 10, { cgroup: "/a", residentKb: 30_000 });
  addProcess(host, 11, { cgroup: "/a", residentKb: 1000, scoreAdj: 200 });
  const limit = 100 * 2 ** 20;
  const swap = 100 * 2 ** 20;
  expect(rankingOf(host, version).inCgroup("/a", limit, swap)).toEqual([11, 10]);
  host.write(file.slice(0, file.lastIndexOf("/")), { [file.split("/").at(-1) as string]: 0 });
  expect(rankingOf(host, version).inCgroup("/a", limit, swap)).toEqual([10, 11]);
});
