import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, linkSync, readlinkSync, symlinkSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DescriptorBudget, FileUnavailable, HostFiles } from "../../src/sources/host-files.ts";
import {
  type ProcessReading,
  ProcessTable,
  type ProcessTableOptions,
  sizeBytes,
} from "../../src/sources/process-table.ts";
import { openHost } from "../setup/opened-host.ts";
import { TemporaryTree, withoutPrivilege } from "../setup/temporary-tree.ts";

interface Shown {
  name?: string;
  score?: number;
  scoreAdj?: number;
  residentKb?: number;
  swapKb?: number;
  pageTablesKb?: number;
  cgroup?: string;
}

function statusOf(pid: number, { name = `p${pid}`, ...shown }: Shown): string {
  const { residentKb = 1000, swapKb = 0, pageTablesKb = 0 } = shown;
  return [
    `Name:\t${name}`,
    "PPid:\t1",
    "Uid:\t33\t33\t33\t33",
    `VmRSS:\t${residentKb} kB`,
    `VmPTE:\t${pageTablesKb} kB`,
    `VmSwap:\t${swapKb} kB`,
  ].join("\n");
}

function addProcess(host: TemporaryTree, pid: number, shown: Shown = {}): void {
  host.write(`proc/${pid}`, {
    oom_score: shown.score ?? 666,
    oom_score_adj: shown.scoreAdj ?? 0,
    cgroup: `0::${shown.cgroup ?? "/"}`,
    status: statusOf(pid, shown),
  });
}

/** A kernel thread or a zombie: no memory, score 0. */
function addMemoryless(host: TemporaryTree, pid: number, name: string): void {
  host.write(`proc/${pid}`, {
    oom_score: 0,
    oom_score_adj: 0,
    cgroup: "0::/",
    status: `Name:\t${name}\nPPid:\t2\nUid:\t0\t0\t0\t0`,
  });
}

/** Keeps no descriptors by default: on a disk they outlive the removal of a file. */
function tableOf(
  { roots }: Pick<TemporaryTree, "roots">,
  options: Partial<ProcessTableOptions> = {},
): ProcessTable {
  return new ProcessTable({
    files: new HostFiles(roots),
    descriptors: new DescriptorBudget(0),
    now: () => 0,
    cgroupsByPid: () => new Map(),
    ...options,
  });
}

const realRoots = { procfs: "/proc", sysfs: "/sys", rootfs: "/" };

const pids = (readings: readonly ProcessReading[]) => readings.map(({ pid }) => pid);

describe("the processes of a host", () => {
  it("have the kernel's ranking criteria and their identity", () => {
    const host = new TemporaryTree();
    addProcess(host, 812, {
      name: "nginx: worker",
      score: 700,
      scoreAdj: -17,
      residentKb: 10,
      swapKb: 20,
      pageTablesKb: 30,
      cgroup: "/system.slice/nginx.service",
    });
    expect(tableOf(host).read(20)).toEqual({
      processes: [
        {
          pid: 812,
          comm: "nginx: worker",
          uid: 33,
          parentPid: 1,
          cgroup: "/system.slice/nginx.service",
          score: 700,
          scoreAdj: -17,
          isAdmin: false,
          sinceMs: Number.NEGATIVE_INFINITY,
          thread: 812,
          memory: { residentBytes: 10240, swapBytes: 20480, pageTablesBytes: 30720 },
        },
      ],
      denied: 0,
    });
  });

  it("have names with newlines, backslashes and quotes as they are", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { name: 'a\\nb\\\\c"d' });
    expect(tableOf(host).read(20).processes[0]?.comm).toBe('a\nb\\c"d');
  });

  it("are ranked by score; equal scores by resident, swap and page tables together", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { residentKb: 50, swapKb: 0, pageTablesKb: 0 });
    addProcess(host, 11, { residentKb: 0, swapKb: 60, pageTablesKb: 0 });
    addProcess(host, 12, { residentKb: 40, swapKb: 10, pageTablesKb: 20 });
    addProcess(host, 13, { score: 667, residentKb: 1 });
    expect(pids(tableOf(host).read(20).processes)).toEqual([13, 12, 11, 10]);
  });

  it("are in a fixed order: score, then size, then youngest first", () => {
    const shown = fc.record({
      score: fc.constantFrom(0, 666, 667, 1000),
      residentKb: fc.nat(3),
      swapKb: fc.nat(3),
      pageTablesKb: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(shown, { maxLength: 12 }), (all) => {
        const host = new TemporaryTree();
        for (const [i, process] of all.entries()) addProcess(host, 100 + i, process);
        const { processes } = tableOf(host).read(2);
        expect(processes.length).toBe(all.length);
        for (const [i, after] of processes.slice(1).entries()) {
          const before = processes[i] as ProcessReading;
          const keys = (process: ProcessReading) => [
            process.score,
            sizeBytes(process.memory),
            process.pid,
          ];
          const [one, other] = [keys(before), keys(after)];
          const differing = one.findIndex((key, k) => key !== other[k]);
          expect(one[differing]).toBeGreaterThan(other[differing] as number);
        }
      }),
      { numRuns: 25 },
    );
  });

  it("are neither kernel threads nor zombies", () => {
    const host = new TemporaryTree();
    addMemoryless(host, 2, "kthreadd");
    addMemoryless(host, 300, "defunct");
    addProcess(host, 10);
    const table = tableOf(host);
    for (let pass = 0; pass < 6; pass++) expect(pids(table.read(20).processes)).toEqual([10]);
  });

  it("cost a descriptor each, the highest ranked two, kernel threads none once they are known", () => {
    const host = new TemporaryTree();
    addMemoryless(host, 2, "kthreadd");
    addProcess(host, 10);
    const descriptors = new DescriptorBudget(5);
    const table = tableOf(host, { descriptors });
    for (let pass = 0; pass < 3; pass++) table.read(20);
    let left = 0;
    while (descriptors.take()) left++;
    expect(left).toBe(3);
  });

  it("include one whose first thread has exited: another one has its memory and its cgroup", () => {
    const host = new TemporaryTree();
    addMemoryless(host, 200, "leaderless");
    const ended = "Name:\tleaderless\nThreads:\t2";
    host.write("proc/200", { status: ended });
    host.write("proc/200/task/200", { status: ended });
    host.write("proc/200/task/201", {
      status: statusOf(201, { residentKb: 9 }),
      cgroup: "0::/its.service",
    });
    expect(tableOf(host).read(20).processes).toMatchObject([
      {
        pid: 200,
        thread: 201,
        comm: "leaderless",
        memory: { residentBytes: 9 * 1024 },
        cgroup: "/its.service",
      },
    ]);
  });

  it("read in detail have the stat of the thread with the memory", () => {
    const host = new TemporaryTree();
    addProcess(host, 10);
    addProcess(host, 11);
    const stat = (residentPages: number) => `10 (p10) S${" 7".repeat(20)} ${residentPages} 0 0 0 0`;
    host.write("proc/10", { stat: stat(55) });
    const table = tableOf(host);
    const { processes } = table.read(20);
    expect(processes.map(({ stat }) => stat)).toEqual([undefined, undefined]);
    const closely = table.lookClosely(processes);
    expect(closely.find(({ pid }) => pid === 10)?.stat?.residentPages).toBe(55);
    // An unreadable value is unknown, but no reason to leave a process out.
    expect(closely.find(({ pid }) => pid === 11)).toMatchObject({ pid: 11, stat: undefined });
    host.write("proc/10", { stat: stat(66) });
    expect(table.refresh(processes).map(({ stat }) => stat?.residentPages)).toContain(66);
  });

  it("cannot be read without procfs", () => {
    const host = new TemporaryTree();
    host.remove("proc");
    expect(() => tableOf(host).read(20)).toThrow(FileUnavailable);
  });
});

describe("in each pass", () => {
  const manyPasses = 6;

  function settled(host: TemporaryTree, options?: Partial<ProcessTableOptions>): ProcessTable {
    const table = tableOf(host, options);
    for (let pass = 0; pass < manyPasses; pass++) table.read(1);
    return table;
  }

  it("processes come and go", () => {
    const host = new TemporaryTree();
    addProcess(host, 10);
    addProcess(host, 11);
    const table = settled(host);
    host.remove("proc/10");
    addProcess(host, 12);
    expect(pids(table.read(20).processes)).toEqual([12, 11]);
  });

  it("one that goes while its files are read is left out", () => {
    const host = new TemporaryTree();
    addProcess(host, 10);
    addProcess(host, 11);
    const table = settled(host);
    host.remove("proc/10/status");
    host.write("proc/10", { oom_score: 900 });
    expect(pids(table.read(20).processes)).toEqual([11]);
  });

  it("one whose score changed is read completely, whatever its rank", () => {
    const host = new TemporaryTree();
    for (let pid = 100; pid < 250; pid++) addProcess(host, pid, { score: 700, residentKb: pid });
    addProcess(host, 50, { score: 1, residentKb: 1 });
    const table = settled(host);
    addProcess(host, 50, { score: 2, residentKb: 77, name: "renamed" });
    const moved = table.read(1).processes.find(({ pid }) => pid === 50);
    expect(moved).toMatchObject({ score: 2, comm: "renamed" });
    expect(moved?.memory.residentBytes).toBe(77 * 1024);
  });

  it("the highest ranked and the unkillable are read whole, though no score moved", () => {
    const host = new TemporaryTree();
    for (let pid = 100; pid < 250; pid++) addProcess(host, pid, { residentKb: pid });
    addProcess(host, 50, { score: 0, scoreAdj: -1000 });
    const table = settled(host);
    addProcess(host, 249, { residentKb: 5000 });
    addProcess(host, 50, { score: 0, scoreAdj: -1000, residentKb: 6000 });
    const { processes } = table.read(1);
    const residentOf = (pid: number) =>
      processes.find((process) => process.pid === pid)?.memory.residentBytes;
    expect(residentOf(249)).toBe(5000 * 1024);
    expect(residentOf(50)).toBe(6000 * 1024);
  });

  it("those ranked right after them are read in every fourth pass", () => {
    const host = new TemporaryTree();
    for (let pid = 100; pid < 250; pid++) addProcess(host, pid, { residentKb: pid });
    const table = settled(host);
    for (let pid = 217; pid < 250; pid++) addProcess(host, pid, { residentKb: pid + 9000 });
    const stale = () =>
      table.read(1).processes.filter(({ pid, memory }) => memory.residentBytes === pid * 1024);
    expect(stale().length).toBeGreaterThan(117);
    for (let pass = 0; pass < 2; pass++) table.read(1);
    expect(stale().length).toBe(117);
  });

  it("all others have their turn, 8 at least in each pass", () => {
    const host = new TemporaryTree();
    for (let pid = 100; pid < 250; pid++) addProcess(host, pid, { residentKb: pid });
    const table = settled(host);
    for (let pid = 100; pid < 250; pid++) addProcess(host, pid, { residentKb: pid + 9000 });
    const stale = () =>
      table.read(1).processes.filter(({ memory }) => memory.residentBytes < 9000 * 1024).length;
    expect(stale()).toBeGreaterThan(0);
    for (let pass = 0; pass < 19; pass++) table.read(1);
    expect(stale()).toBe(0);
  });

  it("with all as leaders none is ever stale", () => {
    const host = new TemporaryTree();
    for (let pid = 100; pid < 250; pid++) addProcess(host, pid);
    const table = settled(host);
    for (let pid = 100; pid < 250; pid++) addProcess(host, pid, { residentKb: 9000 });
    const { processes } = table.read(Number.POSITIVE_INFINITY);
    expect(processes.every(({ memory }) => memory.residentBytes === 9000 * 1024)).toBe(true);
  });

  it("selected ones can be read again in between", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { cgroup: "/a" });
    addProcess(host, 11);
    const table = tableOf(host);
    const { processes } = table.read(20);
    addProcess(host, 10, { cgroup: "/b", residentKb: 7 });
    host.remove("proc/11");
    expect(table.refresh(processes)).toMatchObject([
      { pid: 10, cgroup: "/b", memory: { residentBytes: 7 * 1024 } },
    ]);
    expect(processes).toMatchObject([{ pid: 11 }, { pid: 10, cgroup: "/a" }]);
  });

  it("those that this user may not read are counted, and come back when he may", () => {
    const host = new TemporaryTree();
    addProcess(host, 10);
    addProcess(host, 11);
    const table = tableOf(host);
    table.read(20);
    chmodSync(host.path("proc/10/oom_score"), 0);
    const pass = withoutPrivilege(() => table.read(20));
    expect(pids(pass.processes)).toEqual([11]);
    expect(pass.denied).toBe(1);
    chmodSync(host.path("proc/10/oom_score"), 0o444);
    expect(table.read(20)).toMatchObject({ processes: [{ pid: 11 }, { pid: 10 }], denied: 0 });
  });
});

describe("a pid that another process took over", () => {
  it("is the new process at once, though its score is the same and no descriptor was kept", () => {
    const host = new TemporaryTree();
    for (let pid = 100; pid < 250; pid++) addProcess(host, pid, { residentKb: pid });
    addProcess(host, 50, { name: "old", cgroup: "/old", residentKb: 1 });
    const table = tableOf(host);
    for (let pass = 0; pass < 6; pass++) table.read(1);
    // A disk gives a freed inode number to the next file, procfs does not: keep it taken.
    linkSync(host.path("proc/50/oom_score"), host.path("taken"));
    host.remove("proc/50");
    addProcess(host, 50, { name: "new", cgroup: "/new", residentKb: 1 });
    const reused = table.read(1).processes.find(({ pid }) => pid === 50);
    expect(reused).toMatchObject({ comm: "new", cgroup: "/new" });
  });

  it("is found in its turn if it was a kernel thread's or a zombie's", () => {
    const host = new TemporaryTree();
    addMemoryless(host, 50, "kworker/1:2");
    addProcess(host, 10);
    const table = tableOf(host);
    for (let pass = 0; pass < 6; pass++) table.read(1);
    addProcess(host, 50, { name: "new" });
    for (let pass = 0; pass < 2; pass++) table.read(1);
    expect(table.read(1).processes).toMatchObject([{ comm: "new" }, { pid: 10 }]);
  });

  it("is not read through the open descriptor of a dead process", async () => {
    const descriptors = new DescriptorBudget(4096);
    const table = tableOf({ roots: realRoots }, { descriptors });
    const child = spawn("sleep", ["60"]);
    await once(child, "spawn");
    const find = () => table.read(20).processes.find(({ pid }) => pid === child.pid);
    expect(find()).toMatchObject({ parentPid: process.pid });
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(find()).toBeUndefined();
    table.close();
    let free = 0;
    while (descriptors.take()) free++;
    expect(free).toBe(4096);
  });
});

describe("procfs", () => {
  /** What the counter shows is set by hand. */
  function countedTable(host: TemporaryTree, isLastPid: boolean) {
    const counter = {
      shows: undefined as number | undefined,
      isLastPid,
      read: () => counter.shows,
    };
    const table = tableOf(host, { counter });
    return { counter, seen: () => pids(table.read(20).processes).sort() };
  }

  it("is listed again only if the process counter has changed", () => {
    const host = new TemporaryTree();
    addProcess(host, 7);
    const { counter, seen } = countedTable(host, false);
    counter.shows = 50;
    expect(seen()).toEqual([7]);
    addProcess(host, 8);
    expect(seen()).toEqual([7]);
    counter.shows = 51;
    expect(seen()).toEqual([7, 8]);
    host.remove("proc/7");
    expect(seen()).toEqual([8]);
  });

  it("is listed once more if the last pid is still missing", () => {
    const host = new TemporaryTree();
    addProcess(host, 7);
    const { counter, seen } = countedTable(host, true);
    counter.shows = 8;
    expect(seen()).toEqual([7]);
    addProcess(host, 8);
    expect(seen()).toEqual([7, 8]);
    // A thread, or a process that has ended already.
    counter.shows = 9;
    expect(seen()).toEqual([7, 8]);
    expect(seen()).toEqual([7, 8]);
    addProcess(host, 10);
    expect(seen()).toEqual([7, 8]);
  });

  it("is listed again if a kernel thread or zombie turns out to be a process, though the counter stands still", () => {
    const host = new TemporaryTree();
    addMemoryless(host, 50, "kworker/1:2");
    const { counter, seen } = countedTable(host, false);
    counter.shows = 50;
    for (let pass = 0; pass < 6; pass++) seen();
    addProcess(host, 50, { name: "new" });
    seen();
    expect(seen()).toEqual([50]);
  });

  it("is listed each time if the counter cannot be read", () => {
    const host = new TemporaryTree();
    addProcess(host, 7);
    const { seen } = countedTable(host, true);
    expect(seen()).toEqual([7]);
    addProcess(host, 8);
    expect(seen()).toEqual([7, 8]);
  });
});

describe("the process with a pid", () => {
  it("is remembered for a minute after it has gone", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { name: "gone", cgroup: "/g" });
    let nowMs = 0;
    const table = tableOf(host, { now: () => nowMs });
    table.read(20);
    host.remove("proc/10");
    table.read(20);
    nowMs = 59_999;
    table.readYoung();
    expect(table.remembered(10)).toMatchObject({ comm: "gone", uid: 33, cgroup: "/g" });
    nowMs = 60_000;
    table.readYoung();
    expect(table.remembered(10)).toBeUndefined();
  });

  it("is known from the first look at new pids, before any pass", () => {
    const host = new TemporaryTree();
    addProcess(host, 9);
    const table = tableOf(host);
    table.read(20);
    addProcess(host, 10, { name: "brief", cgroup: "/b" });
    table.readYoung();
    host.remove("proc/10");
    table.readYoung();
    expect(table.remembered(10)).toMatchObject({ comm: "brief", uid: 33, cgroup: "/b" });
  });

  it("stays known if procfs cannot be listed for a while", () => {
    const host = new TemporaryTree();
    addProcess(host, 7, { name: "web" });
    const table = tableOf(host);
    table.read(20);
    host.remove("proc");
    table.readYoung();
    expect(table.remembered(7)).toMatchObject({ comm: "web" });
  });

  it("follows what a process becomes in its first second: moved to its cgroup, another program", () => {
    const host = new TemporaryTree();
    addProcess(host, 9);
    let nowMs = 0;
    const table = tableOf(host, { now: () => nowMs });
    table.read(20);
    addProcess(host, 10, { name: "sh", cgroup: "/" });
    table.readYoung();
    nowMs = 1000;
    addProcess(host, 10, { name: "java", cgroup: "/app" });
    table.readYoung();
    expect(table.remembered(10)).toMatchObject({ comm: "java", cgroup: "/app" });
    nowMs = 2000;
    addProcess(host, 10, { name: "late" });
    table.readYoung();
    expect(table.remembered(10)).toMatchObject({ comm: "java" });
  });

  it("can be looked up now, and is absent if the pid is free", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { cgroup: "/now" });
    const table = tableOf(host);
    expect(table.lookUp(10)).toEqual({ comm: "p10", uid: 33, cgroup: "/now" });
    expect(table.lookUp(11)).toBeUndefined();
  });

  it("has no cgroup on a kernel without cgroups", () => {
    const host = new TemporaryTree();
    addProcess(host, 10);
    host.remove("proc/10/cgroup");
    expect(tableOf(host).read(20).processes).toMatchObject([{ pid: 10, cgroup: undefined }]);
  });
});

describe("a reader in its own cgroup namespace", () => {
  const readersPid = 500;
  const readersCgroup = "/kubepods/pod1/exporter";

  /** As a pod with the host's pids sees it: paths relative to its own cgroup. */
  function hostSeenFromPod(): TemporaryTree {
    const host = new TemporaryTree();
    addProcess(host, 1, { cgroup: "/../../../init.scope" });
    addProcess(host, 30, { cgroup: "/../pause" });
    addProcess(host, readersPid, { cgroup: "/" });
    symlinkSync(`${readersPid}`, host.path("proc/self"));
    return host;
  }

  const cgroupsOf = (table: ProcessTable) =>
    new Map(table.read(20).processes.map(({ pid, cgroup }) => [pid, cgroup]));

  it("finds its position from the cgroups' own lists, once, and then all others", () => {
    const host = hostSeenFromPod();
    let looks = 0;
    const cgroupsByPid = () => {
      looks++;
      return new Map([[readersPid, readersCgroup]]);
    };
    const table = tableOf(host, { cgroupsByPid });
    const expected = new Map([
      [1, "/init.scope"],
      [30, "/kubepods/pod1/pause"],
      [readersPid, readersCgroup],
    ]);
    expect(cgroupsOf(table)).toEqual(expected);
    expect(cgroupsOf(table)).toEqual(expected);
    expect(table.lookUp(30)?.cgroup).toBe("/kubepods/pod1/pause");
    expect(looks).toBe(1);
  });

  it("gives no cgroup instead of a wrong one if there are no lists", () => {
    let nowMs = 0;
    let looks = 0;
    const cgroupsByPid = () => {
      looks++;
      return new Map<number, string>();
    };
    const table = tableOf(hostSeenFromPod(), { now: () => nowMs, cgroupsByPid });
    expect([...cgroupsOf(table).values()]).toEqual([undefined, undefined, undefined]);
    table.read(20);
    expect(looks).toBe(1);
    nowMs = 10_000;
    table.read(20);
    expect(looks).toBe(2);
  });

  it("whose cgroup mount is as narrow as its namespace sees its own cgroup and none outside", () => {
    const table = tableOf(hostSeenFromPod(), { cgroupsByPid: () => new Map([[readersPid, "/"]]) });
    expect(cgroupsOf(table)).toEqual(
      new Map([
        [1, undefined],
        [30, undefined],
        [readersPid, "/"],
      ]),
    );
  });

  it("needs no lists if the paths are the host's", () => {
    const host = new TemporaryTree();
    addProcess(host, 1, { cgroup: "/init.scope" });
    addProcess(host, 10, { cgroup: "/a" });
    const cgroupsByPid = () => {
      throw new Error("not needed");
    };
    expect(cgroupsOf(tableOf(host, { cgroupsByPid }))).toEqual(
      new Map([
        [10, "/a"],
        [1, "/init.scope"],
      ]),
    );
  });
});

describe("the init that is never killed", () => {
  it("is pid 1 if pid 2 is kthreadd, because then procfs is the host's", () => {
    const host = new TemporaryTree();
    addMemoryless(host, 2, "kthreadd");
    expect(tableOf(host).seesHostInit()).toBe(true);
  });

  it("is not to be seen from a container, whatever its pid 2 is called", () => {
    const host = new TemporaryTree();
    expect(tableOf(host).seesHostInit()).toBe(false);
    addProcess(host, 2, { name: "kthreadd" });
    expect(tableOf(host).seesHostInit()).toBe(false);
  });
});

it("the real procfs names this process", () => {
  const host = openHost(realRoots);
  const self = host.table
    .read(20)
    .processes.find(({ pid }) => `${pid}` === readlinkSync("/proc/self"));
  host.close();
  expect(self).toMatchObject({ parentPid: process.ppid, uid: process.getuid?.() });
  expect(self?.memory.residentBytes).toBeGreaterThan(10 * 2 ** 20);
});
