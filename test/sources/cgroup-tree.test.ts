import { execFileSync } from "node:child_process";
import { chmodSync, closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { CgroupReading } from "../../src/sources/cgroup-reading.ts";
import {
  CgroupTree,
  type CgroupTreeOptions,
  findMemoryHierarchy,
} from "../../src/sources/cgroup-tree.ts";
import { DescriptorBudget, HostFiles } from "../../src/sources/host-files.ts";
import { TemporaryTree, withoutPrivilege } from "../setup/temporary-tree.ts";

const v2 = "sys/fs/cgroup";
const v1 = "sys/fs/cgroup/memory";
const unlimitedV1 = "9223372036854771712";

type Files = Record<string, string | number>;

/** A host whose v2 root has the memory controller. */
function unifiedHost(): TemporaryTree {
  const host = new TemporaryTree();
  host.write(v2, { "cgroup.controllers": "cpu io memory pids", "cgroup.procs": "1" });
  return host;
}

function addV2(host: TemporaryTree, path: string, files: Files = {}): void {
  host.write(`${v2}${path}`, { "memory.current": 1000, "memory.max": "max", ...files });
}

function legacyHost(): TemporaryTree {
  const host = new TemporaryTree();
  addV1(host, "/", { release_agent: "" });
  return host;
}

function addV1(host: TemporaryTree, path: string, files: Files = {}): void {
  host.write(`${v1}${path}`, {
    "memory.usage_in_bytes": 1000,
    "memory.limit_in_bytes": unlimitedV1,
    "memory.stat": `total_rss 1\nhierarchical_memory_limit ${unlimitedV1}`,
    ...files,
  });
}

/** Descriptors are not kept unless asked for: on a disk's files they outlive what a kernel removes. */
function treeOf(host: TemporaryTree, options: Partial<CgroupTreeOptions> = {}): CgroupTree {
  const files = new HostFiles(host.roots);
  const hierarchy = findMemoryHierarchy(files);
  if (hierarchy === undefined) throw new Error("no hierarchy");
  const descriptors = new DescriptorBudget(0);
  return new CgroupTree({ files, hierarchy, descriptors, max: 2000, ...options });
}

const paths = (readings: readonly CgroupReading[]) => readings.map(({ path }) => path);

function readingOf(tree: CgroupTree, path: string): CgroupReading | undefined {
  return tree.read().readings.find((reading) => reading.path === path);
}

/** An `include` that lets everything pass and does something as the walk reaches one cgroup. */
function whenReached(path: string, act: () => void): RegExp {
  const include = /^/;
  include.test = (candidate) => {
    if (candidate === path) act();
    return true;
  };
  return include;
}

describe("the hierarchy that accounts memory", () => {
  const find = (host: TemporaryTree) => findMemoryHierarchy(new HostFiles(host.roots));

  it("is the unified hierarchy, if that has the controller", () => {
    const host = unifiedHost();
    expect(find(host)).toEqual({ version: "v2", directory: host.path(v2) });
  });

  it("is v1's memory hierarchy, also beside a unified one without the controller", () => {
    const host = legacyHost();
    host.write(`${v2}/unified`, { "cgroup.controllers": "" });
    expect(find(host)).toEqual({ version: "v1", directory: host.path(v1) });
  });

  it("is a v1 hierarchy that memory shares with other controllers", () => {
    const host = new TemporaryTree();
    host.write(`${v2}/cpu,memory`, { "memory.usage_in_bytes": 1 });
    expect(find(host)).toEqual({ version: "v1", directory: host.path(`${v2}/cpu,memory`) });
  });

  it("is the unified hierarchy next to v1 if that has the controller", () => {
    const host = new TemporaryTree();
    host.write(`${v2}/pids`, { tasks: 1 });
    host.write(`${v2}/unified`, { "cgroup.controllers": "memory" });
    expect(find(host)).toEqual({ version: "v2", directory: host.path(`${v2}/unified`) });
  });

  it("is nowhere on a host without the controller, or without cgroups", () => {
    const host = new TemporaryTree();
    expect(find(host)).toBeUndefined();
    host.write(v2, { "cgroup.controllers": "cpu pids" });
    expect(find(host)).toBeUndefined();
  });
});

describe("a v2 cgroup", () => {
  it("has its values; values that its kernel does not report are absent", () => {
    const host = unifiedHost();
    addV2(host, "/full", {
      "memory.current": 5000,
      "memory.max": 8000,
      "memory.high": 7000,
      "memory.peak": 7900,
      "memory.swap.current": 10,
      "memory.swap.max": "max",
      "memory.stat": "anon 1\nfile 2\nshmem 3\ninactive_file 4",
      "memory.events.local": "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 0",
      "memory.events": "oom_kill 99",
      "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000",
    });
    addV2(host, "/plain");
    expect(treeOf(host).read().readings).toEqual([
      {
        path: "/full",
        currentBytes: 5000,
        maxBytes: 8000,
        highBytes: 7000,
        peakBytes: 7900,
        swapCurrentBytes: 10,
        swapMaxBytes: Number.POSITIVE_INFINITY,
        anonBytes: 1,
        fileBytes: 2,
        shmemBytes: 3,
        inactiveFileBytes: 4,
        events: { low: 0, high: 1, max: 2, oom: 3, oom_kill: 4, oom_group_kill: 0 },
        pressure: { someSeconds: 1.5 },
        effectiveMaxBytes: 8000,
        limitingCgroup: "/full",
      },
      {
        path: "/plain",
        currentBytes: 1000,
        maxBytes: Number.POSITIVE_INFINITY,
        events: {},
        pressure: {},
        effectiveMaxBytes: Number.POSITIVE_INFINITY,
      },
    ]);
  });

  it("takes its events from memory.events before 5.2, if there is no local file", () => {
    const host = unifiedHost();
    addV2(host, "/old", { "memory.events": "oom_kill 7" });
    expect(readingOf(treeOf(host), "/old")?.events).toEqual({ oom_kill: 7 });
  });

  it("is limited by the smallest limit of itself and its ancestors, and names that cgroup", () => {
    const host = unifiedHost();
    addV2(host, "/a", { "memory.max": 500 });
    addV2(host, "/a/b", { "memory.max": 800 });
    addV2(host, "/a/b/c", { "memory.max": 200 });
    addV2(host, "/a/b/d", { "memory.max": "max" });
    addV2(host, "/free");
    const limits = treeOf(host)
      .read()
      .readings.map(({ path, effectiveMaxBytes, limitingCgroup }) => [
        path,
        effectiveMaxBytes,
        limitingCgroup,
      ]);
    expect(limits).toEqual([
      ["/a", 500, "/a"],
      ["/free", Number.POSITIVE_INFINITY, undefined],
      ["/a/b", 500, "/a"],
      ["/a/b/c", 200, "/a/b/c"],
      ["/a/b/d", 500, "/a"],
    ]);
  });

  it("is the root itself if a container sees its own cgroup there", () => {
    const host = unifiedHost();
    addV2(host, "/", { "memory.max": 900 });
    addV2(host, "/child");
    expect(treeOf(host).read().readings).toMatchObject([
      { path: "/", maxBytes: 900, limitingCgroup: "/" },
      { path: "/child", effectiveMaxBytes: 900, limitingCgroup: "/" },
    ]);
  });

  it("is not searched below one with the controller disabled", () => {
    const host = unifiedHost();
    host.write(`${v2}/off`, { "cgroup.procs": "" });
    addV2(host, "/off/cannot-be");
    expect(treeOf(host).read().readings).toEqual([]);
  });
});

describe("a v1 cgroup", () => {
  it("has v1's values under the names of v2", () => {
    const host = legacyHost();
    addV1(host, "/job", {
      "memory.usage_in_bytes": 5000,
      "memory.limit_in_bytes": 8000,
      "memory.max_usage_in_bytes": 7900,
      "memory.memsw.limit_in_bytes": 9000,
      "memory.failcnt": 12,
      "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3",
      "memory.stat":
        "rss 9\ntotal_cache 2\ntotal_rss 1\ntotal_shmem 3\ntotal_inactive_file 4\ntotal_swap 5\nhierarchical_memory_limit 8000",
    });
    expect(treeOf(host).read().readings).toEqual([
      {
        path: "/job",
        currentBytes: 5000,
        maxBytes: 8000,
        peakBytes: 7900,
        swapCurrentBytes: 5,
        swapMaxBytes: 1000,
        anonBytes: 1,
        fileBytes: 2,
        shmemBytes: 3,
        inactiveFileBytes: 4,
        events: { max: 12, oom_kill: 3 },
        pressure: {},
        effectiveMaxBytes: 8000,
        limitingCgroup: "/job",
      },
    ]);
  });

  it("has no swap values if the kernel does not account swap, though memory.stat has the line", () => {
    const host = legacyHost();
    addV1(host, "/job", { "memory.stat": "total_swap 0" });
    const reading = readingOf(treeOf(host), "/job");
    expect(reading).toMatchObject({ swapCurrentBytes: undefined, swapMaxBytes: undefined });
  });

  it("is limited by its ancestors if memory.use_hierarchy is on", () => {
    const host = legacyHost();
    const below500 = "hierarchical_memory_limit 500";
    addV1(host, "/a", { "memory.limit_in_bytes": 500, "memory.stat": below500 });
    addV1(host, "/a/b", { "memory.limit_in_bytes": 800, "memory.stat": below500 });
    expect(readingOf(treeOf(host), "/a/b")).toMatchObject({
      effectiveMaxBytes: 500,
      limitingCgroup: "/a",
    });
  });

  it("is not limited by its ancestors if memory.use_hierarchy is off", () => {
    const host = legacyHost();
    addV1(host, "/a", { "memory.limit_in_bytes": 500 });
    addV1(host, "/a/own", {
      "memory.limit_in_bytes": 800,
      "memory.stat": "hierarchical_memory_limit 800",
    });
    addV1(host, "/a/none");
    const tree = treeOf(host);
    expect(readingOf(tree, "/a/own")).toMatchObject({
      effectiveMaxBytes: 800,
      limitingCgroup: "/a/own",
    });
    expect(readingOf(tree, "/a/none")).toMatchObject({
      effectiveMaxBytes: Number.POSITIVE_INFINITY,
      limitingCgroup: undefined,
    });
  });

  it("has the limit of an ancestor that the reader cannot see, without its name", () => {
    const host = new TemporaryTree();
    addV1(host, "/", { "memory.stat": "hierarchical_memory_limit 300" });
    expect(readingOf(treeOf(host), "/")).toMatchObject({
      maxBytes: Number.POSITIVE_INFINITY,
      effectiveMaxBytes: 300,
      limitingCgroup: undefined,
    });
  });

  it("is not the true root, which counts the host", () => {
    expect(treeOf(legacyHost()).read().readings).toEqual([]);
  });
});

describe("between two passes", () => {
  it("cgroups come and go", () => {
    const host = unifiedHost();
    addV2(host, "/a");
    addV2(host, "/b/c");
    addV2(host, "/b");
    const tree = treeOf(host);
    expect(paths(tree.read().readings)).toEqual(["/a", "/b", "/b/c"]);
    host.remove(`${v2}/b/c`);
    addV2(host, "/b/d");
    addV2(host, "/e");
    tree.read();
    expect(paths(tree.read().readings)).toEqual(["/a", "/b", "/e", "/b/d"]);
  });

  it("values change, including limits being set or removed", () => {
    const host = unifiedHost();
    addV2(host, "/a", { "memory.max": 500 });
    const tree = treeOf(host, { descriptors: new DescriptorBudget(100) });
    expect(readingOf(tree, "/a")).toMatchObject({ currentBytes: 1000, maxBytes: 500 });
    addV2(host, "/a", { "memory.current": 2000, "memory.max": "max" });
    expect(readingOf(tree, "/a")).toMatchObject({
      currentBytes: 2000,
      maxBytes: Number.POSITIVE_INFINITY,
      limitingCgroup: undefined,
    });
  });

  it("a limit that is near or has been met is read in each pass, any other within four", () => {
    const host = unifiedHost();
    const events = (max: number) =>
      `low 0\nhigh 0\nmax ${max}\noom 0\noom_kill 0\noom_group_kill 0`;
    const far = { "memory.current": 10, "memory.max": 1000, "memory.events.local": events(0) };
    addV2(host, "/far", far);
    addV2(host, "/met", far);
    addV2(host, "/near", { ...far, "memory.current": 800 });
    const tree = treeOf(host);
    for (let pass = 0; pass < 5; pass++) tree.read();
    for (const path of ["/far", "/met", "/near"]) {
      host.write(`${v2}${path}`, { "memory.max": 2000 });
    }
    host.write(`${v2}/met`, { "memory.events.local": events(1) });
    const { readings } = tree.read();
    const limitOf = (path: string) => readings.find((reading) => reading.path === path)?.maxBytes;
    expect([limitOf("/met"), limitOf("/near")]).toEqual([2000, 2000]);
    const farLimits = [limitOf("/far")];
    while (farLimits.length < 4) farLimits.push(readingOf(tree, "/far")?.maxBytes);
    expect(farLimits.at(-1)).toBe(2000);
  });

  it("the peak is read within four passes, and at once if usage exceeds it", () => {
    const host = unifiedHost();
    addV2(host, "/a", { "memory.current": 10, "memory.peak": 20 });
    const tree = treeOf(host);
    for (let pass = 0; pass < 5; pass++) tree.read();
    host.write(`${v2}/a`, { "memory.peak": 30 });
    const peaks = Array.from({ length: 4 }, () => readingOf(tree, "/a")?.peakBytes);
    expect(peaks.at(-1)).toBe(30);
    host.write(`${v2}/a`, { "memory.current": 40, "memory.peak": 45 });
    expect(readingOf(tree, "/a")?.peakBytes).toBe(45);
  });

  it("kills of v1 cgroups are read again only if the host may have counted one", () => {
    const host = legacyHost();
    const kills = (count: number) => ({ "memory.oom_control": `under_oom 0\noom_kill ${count}` });
    addV1(host, "/a", kills(1));
    const tree = treeOf(host);
    const killsAfter = (hasNoKills: boolean) =>
      tree.read(() => false, { hasNoKills }).readings[0]?.events.oom_kill;
    expect(killsAfter(true)).toBe(1);
    host.write(`${v1}/a`, kills(2));
    expect(killsAfter(true)).toBe(1);
    expect(killsAfter(false)).toBe(2);
  });

  it("swap of v2 cgroups is read again only if the host has some", () => {
    const host = unifiedHost();
    addV2(host, "/a", { "memory.swap.current": 0 });
    const tree = treeOf(host);
    const swapAfter = (hasNoSwap: boolean) =>
      tree.read(() => false, { hasNoSwap }).readings[0]?.swapCurrentBytes;
    expect(swapAfter(true)).toBe(0);
    host.write(`${v2}/a`, { "memory.swap.current": 4096 });
    expect(swapAfter(true)).toBe(0);
    expect(swapAfter(false)).toBe(4096);
    // Swap that has been switched off is read back.
    expect(swapAfter(true)).toBe(4096);
  });

  it("a v1 cgroup hidden by a dying one is found within four passes", () => {
    const host = legacyHost();
    host.write("proc", {
      cgroups: "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t9\t2\t1",
    });
    addV1(host, "/a");
    const tree = treeOf(host);
    for (let pass = 0; pass < 3; pass++) tree.read();
    addV1(host, "/b");
    const found = Array.from({ length: 4 }, () => paths(tree.read().readings));
    expect(found.at(-1)).toEqual(["/a", "/b"]);
    host.write("proc", { cgroups: "memory\t9\t3\t1" });
    addV1(host, "/c");
    expect(paths(tree.read().readings)).toEqual(["/a", "/b", "/c"]);
  });

  it("one that replaces another is found although the number of cgroups stays the same", () => {
    const host = unifiedHost();
    host.write(v2, { "cgroup.stat": "nr_descendants 3\nnr_dying_descendants 0" });
    addV2(host, "/a");
    addV2(host, "/b");
    addV2(host, "/b/c");
    const tree = treeOf(host);
    tree.read();
    tree.read();
    host.remove(`${v2}/b/c`);
    addV2(host, "/a/d");
    expect(paths(tree.read().readings)).toEqual(["/a", "/b", "/a/d"]);
  });

  it("a cgroup may be recreated under its name", () => {
    const host = unifiedHost();
    addV2(host, "/a", { "memory.max": 500, "memory.swap.max": 1 });
    const tree = treeOf(host);
    tree.read();
    host.remove(`${v2}/a`);
    addV2(host, "/a", { "memory.max": 700 });
    expect(readingOf(tree, "/a")).toMatchObject({ maxBytes: 700, swapMaxBytes: undefined });
  });

  it("the controller may be switched off and on again", () => {
    const host = unifiedHost();
    addV2(host, "/a", { "memory.swap.max": 5 });
    const tree = treeOf(host);
    expect(paths(tree.read().readings)).toEqual(["/a"]);
    host.remove(`${v2}/a/memory.current`);
    host.remove(`${v2}/a/memory.max`);
    host.remove(`${v2}/a/memory.swap.max`);
    expect(tree.read().readings).toEqual([]);
    addV2(host, "/a", { "memory.swap.max": 6 });
    expect(readingOf(tree, "/a")).toMatchObject({ swapMaxBytes: 6 });
  });
});

describe("in the midst of a pass", () => {
  it("a cgroup that vanishes costs its own reading, not the pass", () => {
    const host = unifiedHost();
    for (const path of ["/a", "/b", "/b/below", "/c"]) addV2(host, path);
    const include = whenReached("/a", () => host.remove(`${v2}/b`));
    const pass = treeOf(host, { include }).read();
    expect(paths(pass.readings)).toEqual(["/a", "/c"]);
    expect(pass).toMatchObject({ filtered: 0, beyondLimit: 0, unreadable: 0 });
  });

  it("one that vanishes while being read costs no more", () => {
    const host = unifiedHost();
    for (const path of ["/a", "/b"]) addV2(host, path);
    const include = whenReached("/a", () => host.remove(`${v2}/a`));
    const tree = treeOf(host, { include });
    expect(paths(tree.read().readings)).toEqual(["/b"]);
    expect(paths(tree.read().readings)).toEqual(["/b"]);
  });
});

describe("with descriptors to keep or without", () => {
  it.each([0, 3, 1000])("the readings are the same (%i)", (budget) => {
    const host = unifiedHost();
    for (const path of ["/a", "/a/b", "/c"]) {
      addV2(host, path, { "memory.high": 9, "memory.stat": "anon 7" });
    }
    const descriptors = new DescriptorBudget(budget);
    const tree = treeOf(host, { descriptors });
    const expected = treeOf(host).read();
    expect(tree.read()).toEqual(expected);
    expect(tree.read()).toEqual(expected);
    tree.close();
    let left = 0;
    while (descriptors.take()) left++;
    expect(left).toBe(budget);
  });
});

describe("cgroups left out of a pass", () => {
  it("are counted if filtered by include and exclude; limits above still apply", () => {
    const host = unifiedHost();
    addV2(host, "/system.slice", { "memory.max": 400 });
    addV2(host, "/system.slice/a.service");
    addV2(host, "/system.slice/b.service");
    addV2(host, "/user.slice");
    const pass = treeOf(host, { include: /\.service$/, exclude: /b\.service/ }).read();
    expect(pass.readings).toMatchObject([
      { path: "/system.slice/a.service", effectiveMaxBytes: 400 },
    ]);
    expect(pass.filtered).toBe(3);
  });

  it("is the deepest beyond max, and counted", () => {
    const host = unifiedHost();
    for (const path of ["/a", "/a/x", "/a/y", "/b"]) addV2(host, path);
    const pass = treeOf(host, { max: 3 }).read();
    expect(paths(pass.readings)).toEqual(["/a", "/b", "/a/x"]);
    expect(pass.beyondLimit).toBe(1);
  });

  it("include those that a walk through filtered cgroups does not reach: it ends at ten times max", () => {
    const host = unifiedHost();
    for (let i = 0; i < 30; i++) addV2(host, `/job-${i}`);
    const pass = treeOf(host, { max: 2, include: /^\/none$/ }).read();
    expect(pass.filtered).toBe(20);
    expect(pass.beyondLimit).toBe(10);
  });

  it("include those for which no time is left", () => {
    const host = unifiedHost();
    for (let i = 0; i < 100; i++) addV2(host, `/job-${i}`);
    let asked = 0;
    const pass = treeOf(host).read(() => ++asked > 0);
    expect(asked).toBe(1);
    expect(pass.readings.length + pass.beyondLimit).toBe(100);
    expect(pass.beyondLimit).toBeGreaterThan(0);
  });

  it("include those that this user may not read: the file, the directory, or what is below", () => {
    const host = unifiedHost();
    for (const path of ["/closed", "/open", "/secret", "/unlisted", "/unlisted/child"]) {
      addV2(host, path);
    }
    chmodSync(host.path(`${v2}/secret/memory.current`), 0);
    chmodSync(host.path(`${v2}/closed`), 0);
    chmodSync(host.path(`${v2}/unlisted`), 0o111);
    const pass = withoutPrivilege(() => treeOf(host).read());
    for (const name of ["closed", "unlisted"]) chmodSync(host.path(`${v2}/${name}`), 0o755);
    expect(paths(pass.readings)).toEqual(["/open", "/unlisted"]);
    expect(pass.unreadable).toBe(3);
  });

  it("include those that fail for other reasons, which are retried in the next pass", () => {
    const host = unifiedHost();
    mkdirSync(host.path(`${v2}/a/memory.current`), { recursive: true });
    const tree = treeOf(host);
    expect(tree.read()).toMatchObject({ readings: [], unreadable: 1 });
    host.remove(`${v2}/a/memory.current`);
    addV2(host, "/a");
    expect(tree.read()).toMatchObject({ readings: [{ path: "/a" }], unreadable: 0 });
  });

  it("is never the true root, which has nothing to read", () => {
    expect(treeOf(unifiedHost(), { include: /^\/none$/ }).read().filtered).toBe(0);
  });
});

describe("between passes", () => {
  it("kills are counted at the cgroup of the victim", () => {
    const host = unifiedHost();
    addV2(host, "/a", { "memory.events.local": "oom_kill 0", "memory.events": "oom_kill 2" });
    addV2(host, "/a/b", { "memory.events.local": "oom_kill 2" });
    const counts = treeOf(host).killCounts();
    expect(counts).toEqual(
      new Map([
        ["/a", 0],
        ["/a/b", 2],
      ]),
    );
  });

  it("kills are unknown if the kernel counts only whole subtrees, before 5.2", () => {
    const host = unifiedHost();
    addV2(host, "/a", { "memory.events": "oom_kill 2" });
    expect(treeOf(host).killCounts().size).toBe(0);
  });

  it("kills are in memory.oom_control on v1, since 4.13", () => {
    const host = legacyHost();
    addV1(host, "/new", { "memory.oom_control": "under_oom 0\noom_kill 5" });
    addV1(host, "/old", { "memory.oom_control": "under_oom 0" });
    expect(treeOf(host).killCounts()).toEqual(new Map([["/new", 5]]));
  });

  it("a cgroup that came while another went is counted from the next look on", () => {
    const host = unifiedHost();
    addV2(host, "/a", { "memory.events.local": "oom_kill 0" });
    const tree = treeOf(host);
    tree.killCounts();
    host.remove(`${v2}/a`);
    addV2(host, "/b", { "memory.events.local": "oom_kill 1" });
    tree.killCounts();
    expect(tree.killCounts()).toEqual(new Map([["/b", 1]]));
  });

  it("the cgroups' lists show the cgroup of each process", () => {
    const host = unifiedHost();
    addV2(host, "/a", { "cgroup.procs": "10\n11" });
    addV2(host, "/a/b", { "cgroup.procs": "12" });
    addV2(host, "/ab", { "cgroup.procs": "13" });
    const tree = treeOf(host);
    expect(tree.cgroupsByPid()).toEqual(
      new Map([
        [1, "/"],
        [10, "/a"],
        [11, "/a"],
        [12, "/a/b"],
        [13, "/ab"],
      ]),
    );
  });
});

describe("arbitrary names of cgroups", () => {
  /** A cgroup right below the root, named by bytes. */
  function addNamed(host: TemporaryTree, name: Buffer): void {
    const directory = Buffer.concat([Buffer.from(host.path(`${v2}/`)), name]);
    mkdirSync(directory);
    for (const [file, text] of [
      ["memory.current", "4096\n"],
      ["memory.max", "max\n"],
    ] as const) {
      writeFileSync(Buffer.concat([directory, Buffer.from(`/${file}`)]), text);
    }
  }

  it("are shown with escapes if they are not UTF-8, and still read", () => {
    const host = unifiedHost();
    addNamed(host, Buffer.from("caf\xe9-\xff", "latin1"));
    addNamed(host, Buffer.from("日本"));
    const pass = treeOf(host).read();
    expect(paths(pass.readings)).toEqual(["/caf\\xe9-\\xff", "/日本"]);
    expect(pass.readings.map(({ currentBytes }) => currentBytes)).toEqual([4096, 4096]);
    expect(pass.unreadable).toBe(0);
  });

  it("are counted if two look alike", () => {
    const host = unifiedHost();
    addNamed(host, Buffer.from("\xff", "latin1"));
    addNamed(host, Buffer.from("\\xff"));
    const tree = treeOf(host);
    for (const pass of [tree.read(), tree.read()]) {
      expect(paths(pass.readings)).toEqual(["/\\xff"]);
      expect(pass.unreadable).toBe(1);
    }
  });

  it("are counted if their path exceeds 4,096 bytes, which no system call accepts", () => {
    const host = unifiedHost();
    const name = "n".repeat(250);
    // Below a descriptor, for the whole path is too long to make anything in it.
    let directory = openSync(host.path(v2), "r");
    for (let level = 0; level < 4096 / 251 + 1; level++) {
      const below = `/proc/self/fd/${directory}/${name}`;
      mkdirSync(below);
      writeFileSync(`${below}/memory.current`, "1\n");
      writeFileSync(`${below}/memory.max`, "max\n");
      const next = openSync(below, "r");
      closeSync(directory);
      directory = next;
    }
    closeSync(directory);
    const pass = treeOf(host).read();
    execFileSync("rm", ["-rf", host.path(`${v2}/${name}`)]);
    expect(pass.readings.length).toBeGreaterThan(10);
    expect(pass.unreadable).toBe(1);
  });
});
