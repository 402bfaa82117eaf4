import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { badnessRules } from "../../src/kernel/badness.ts";
import { memoryUse, parseMeminfo } from "../../src/kernel/meminfo.ts";
import { parseVmstat } from "../../src/kernel/vmstat.ts";
import { CgroupTree, findMemoryHierarchy } from "../../src/sources/cgroup-tree.ts";
import { DescriptorBudget, HostFiles } from "../../src/sources/host-files.ts";
import { type ProcessReading, ProcessTable } from "../../src/sources/process-table.ts";
import { rankVictims } from "../../src/victims/next-victim.ts";
import { makeMemoryCgroup, memoryCgroupObstacle } from "../setup/memory-cgroup.ts";
import { needs } from "../setup/needs.ts";
import { openHost } from "../setup/opened-host.ts";

/* The values of the machine that the tests run on, against other looks at the same files. */

const files = new HostFiles({ procfs: "/proc", sysfs: "/sys", rootfs: "/" });
const mib = 2 ** 20;

function processTable(descriptors: number): ProcessTable {
  const table = new ProcessTable({
    files,
    descriptors: new DescriptorBudget(descriptors),
    now: () => performance.now(),
    cgroupsByPid: () => new Map(),
  });
  onTestFinished(() => table.close());
  return table;
}

function fieldsOf(text: string): Map<string, number> {
  const rows = text.matchAll(/^(\w+):?\s+(\d+)/gm);
  return new Map([...rows].map(([, name, value]) => [name as string, Number(value)]));
}

async function sleeper(command: string, ...options: string[]): Promise<ChildProcess> {
  const child = spawn(command, options, { stdio: "ignore" });
  await once(child, "spawn");
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

describe("the host's memory", () => {
  const read = () => {
    const meminfo = parseMeminfo(files.text(files.procfs("meminfo")));
    return { meminfo, vmstat: parseVmstat(files.bytes, files.read(files.procfs("vmstat"))) };
  };

  it("matches /proc/meminfo", () => {
    // One reading for both, because others use memory in the meantime.
    const text = files.text(files.procfs("meminfo"));
    const fields = fieldsOf(text);
    const bytes = (name: string) => (fields.get(name) as number) * 1024;
    expect(parseMeminfo(text)).toMatchObject({
      memTotalBytes: bytes("MemTotal"),
      memFreeBytes: bytes("MemFree"),
      memAvailableBytes: bytes("MemAvailable"),
      swapTotalBytes: bytes("SwapTotal"),
      anonPagesBytes: bytes("AnonPages"),
      cachedBytes: bytes("Cached"),
      committedAsBytes: bytes("Committed_AS"),
    });
  });

  it("is split without a rest that the kernel cannot explain", () => {
    const { meminfo } = read();
    const use = memoryUse(meminfo);
    const used = meminfo.memTotalBytes - meminfo.memFreeBytes;
    expect(use.other).toBeLessThan(used / 2);
  });

  it("has counters between those read before and after", () => {
    const before = fieldsOf(readFileSync("/proc/vmstat", "utf8"));
    const { vmstat } = read();
    const after = fieldsOf(readFileSync("/proc/vmstat", "utf8"));
    const counters = [
      ["pgmajfault", vmstat.majorFaults],
      ["pswpin", vmstat.swapInPages],
      ["pswpout", vmstat.swapOutPages],
      ["oom_kill", vmstat.oomKills],
    ] as const;
    for (const [name, value] of counters) {
      expect(value !== undefined, name).toBe(before.has(name));
      if (value === undefined) continue;
      expect(value, name).toBeGreaterThanOrEqual(before.get(name) as number);
      expect(value, name).toBeLessThanOrEqual(after.get(name) as number);
    }
  });
});

describe("the processes", () => {
  it("are those that have memory, each by its kernel's score", async () => {
    const child = await sleeper("sleep", "60");
    const hasMemory = (pid: string) => {
      try {
        return readFileSync(`/proc/${pid}/status`, "utf8").includes("\nVmRSS:");
      } catch {
        return false;
      }
    };
    const usersNow = () =>
      readdirSync("/proc").filter((name) => /^\d+$/.test(name) && hasMemory(name));
    const before = new Set(usersNow());
    const { processes } = processTable(4096).read(20);
    const stayed = usersNow().filter((pid) => before.has(pid));
    const seen = new Set(processes.map(({ pid }) => `${pid}`));
    expect(stayed.filter((pid) => !seen.has(pid))).toEqual([]);
    const found = processes.find(({ pid }) => pid === child.pid);
    expect(found).toMatchObject({
      comm: "sleep",
      parentPid: process.pid,
      score: Number(readFileSync(`/proc/${child.pid}/oom_score`, "utf8")),
    });
  });

  it("are ranked by badness like the kernel's oom_score, except for rounding", () => {
    const { totalBytes } = openHost(files.roots).snapshot().totals;
    const table = processTable(4096);
    const earlier = new Map(
      table
        .read(Number.POSITIVE_INFINITY)
        .processes.map((process) => [process.pid, structuredClone(process.memory)]),
    );
    // A process that grows or shrinks in between is read in two states, its score in one and its memory in another.
    const isStill = ({ pid, memory }: ProcessReading) =>
      isDeepStrictEqual(earlier.get(pid), memory);
    const { processes } = table.read(Number.POSITIVE_INFINITY);
    const scope = {
      totalBytes,
      pageBytes: 4096,
      hostInit: table.seesHostInit(),
      rules: badnessRules(files.text(files.procfs("sys/kernel/osrelease"))),
    };
    // Who has just been forked shares its parent's memory until it execs, and is spared: score 0.
    const ranked = rankVictims(
      processes.filter((process) => process.score > 0 && isStill(process)),
      scope,
    );
    expect(ranked.length).toBeGreaterThan(1);
    let lowest = Number.POSITIVE_INFINITY;
    for (const { score, comm } of ranked) {
      expect(score, comm).toBeLessThanOrEqual(lowest + 3);
      lowest = Math.min(lowest, score);
    }
  });
});

const canChoosePids = (() => {
  try {
    accessSync("/proc/sys/kernel/ns_last_pid", constants.W_OK);
    return process.getuid?.() === 0;
  } catch {
    return false;
  }
})();

needs(describe, canChoosePids ? undefined : "cannot choose pids: no write access to ns_last_pid")(
  "a pid that the kernel gives out again",
  () => {
    /** Starts a process until it gets the pid; absent if something else on the machine keeps it. */
    async function sleeperWithPid(pid: number): Promise<ChildProcess | undefined> {
      for (let attempt = 0; attempt < 50; attempt++) {
        writeFileSync("/proc/sys/kernel/ns_last_pid", `${pid - 1}`);
        const child = await sleeper("tail", "-f", "/dev/null");
        if (child.pid === pid) return child;
        await end(child);
      }
      return undefined;
    }

    /** The pid of a `sleep` that the table knows and that has ended, given out again to a `tail`. */
    async function pidGivenOutAgain(table: ProcessTable): Promise<number> {
      for (;;) {
        const old = await sleeper("sleep", "60");
        for (let pass = 0; pass < 5; pass++) table.read(1);
        await end(old);
        const now = await sleeperWithPid(old.pid as number);
        if (now?.pid !== undefined) return now.pid;
      }
    }

    it.each([0, 4096])("is never the old process (%i descriptors to keep)", async (descriptors) => {
      const table = processTable(descriptors);
      const taken = await pidGivenOutAgain(table);
      const comm = () => table.read(1).processes.find(({ pid }) => pid === taken)?.comm;
      const first = comm();
      if (descriptors === 0) expect(first).toBe("tail");
      else expect(first).not.toBe("sleep");
      expect(comm()).toBe("tail");
    });
  },
);

needs(describe, memoryCgroupObstacle())("a memory cgroup of the test's own", () => {
  function treeFor(path: string): CgroupTree {
    const hierarchy = findMemoryHierarchy(files);
    if (hierarchy === undefined) throw new Error("no memory hierarchy");
    const descriptors = new DescriptorBudget(64);
    const include = new RegExp(`^${path}$`);
    const tree = new CgroupTree({ files, hierarchy, descriptors, max: 2000, include });
    onTestFinished(() => tree.close());
    return tree;
  }

  function limitFile(directory: string, tree: CgroupTree): string {
    const { version } = tree.hierarchy;
    return join(directory, version === "v2" ? "memory.max" : "memory.limit_in_bytes");
  }

  it("has its limit, its usage and the times the limit was hit", async () => {
    const cgroup = makeMemoryCgroup(16 * mib);
    onTestFinished(() => cgroup.remove());
    const scratch = mkdtempSync(join(tmpdir(), "oom-exporter-cgroup-"));
    onTestFinished(() => rmSync(scratch, { recursive: true }));
    const tree = treeFor(cgroup.path);
    const [before] = tree.read().readings;
    expect(before).toMatchObject({
      path: cgroup.path,
      maxBytes: 16 * mib,
      effectiveMaxBytes: 16 * mib,
      limitingCgroup: cgroup.path,
      events: { max: 0, oom_kill: 0 },
    });
    await cgroup.run(`dd if=/dev/zero of=${join(scratch, "file")} bs=1M count=48`);
    const [after] = tree.read().readings;
    expect(after?.events.max).toBeGreaterThan(0);
    expect(after?.events.oom_kill).toBe(0);
    expect(after?.currentBytes).toBeGreaterThan(mib);
    expect(after?.currentBytes).toBeLessThanOrEqual(16 * mib);
    expect(after?.fileBytes).toBeGreaterThan(mib / 2);
    expect(after?.peakBytes ?? 16 * mib).toBeGreaterThan(8 * mib);
  });

  it("that is recreated under its name is read in the same pass, with its new values", () => {
    const cgroup = makeMemoryCgroup(16 * mib);
    const tree = treeFor(cgroup.path);
    expect(tree.read().readings).toMatchObject([{ maxBytes: 16 * mib }]);
    cgroup.remove();
    mkdirSync(cgroup.directory);
    try {
      writeFileSync(limitFile(cgroup.directory, tree), `${24 * mib}`);
      expect(tree.read().readings).toMatchObject([{ path: cgroup.path, maxBytes: 24 * mib }]);
      expect(tree.killCounts().get(cgroup.path)).toBe(0);
    } finally {
      rmdirSync(cgroup.directory);
    }
    expect(tree.read()).toMatchObject({ readings: [], unreadable: 0 });
    expect(tree.killCounts().has(cgroup.path)).toBe(false);
  });
});
