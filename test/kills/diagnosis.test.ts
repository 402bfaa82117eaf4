import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { MemInfoDump, OomDump, OomTask } from "../../src/kernel-log/oom-dump.ts";
import type { OomKillReport } from "../../src/kernel-log/oom-report.ts";
import { diagnose, runbooks } from "../../src/kills/diagnosis.ts";
import { ownerOfCgroup } from "../../src/kills/owner.ts";

const mib = 1024 * 1024;
const gib = 1024 * mib;

let nextPid = 100;
function task(comm: string, rssBytes: number, more: Partial<OomTask> = {}): OomTask {
  nextPid += 1;
  return { pid: nextPid, comm, rssBytes, swapBytes: 0, oomScoreAdj: 0, ...more };
}

const victim = task("java", 300 * mib, { pid: 42 });

function host(memInfo: Partial<MemInfoDump> = {}, dump: Partial<OomDump> = {}): OomKillReport {
  return report("none", {
    memInfo: { totalBytes: 16 * gib, swapTotalBytes: 0, swapFreeBytes: 0, zones: [], ...memInfo },
    ...dump,
  });
}

function memcg(
  more: Partial<OomKillReport> = {},
  dump: Partial<OomDump> = {},
  stat: [string, number][] = [],
) {
  const limited = report("memcg", {
    memcg: { memory: { usageBytes: gib, limitBytes: gib }, stat: new Map(stat) },
    ...dump,
  });
  return { ...limited, victimCgroup: "/job", limitCgroup: "/job", ...more };
}

function report(constraint: OomKillReport["constraint"], dump?: Partial<OomDump>): OomKillReport {
  return {
    killLine: { text: "", origin: "kernel" },
    pid: 42,
    comm: "java",
    totalVmBytes: gib,
    anonRssBytes: 300 * mib,
    fileRssBytes: 0,
    shmemRssBytes: 0,
    constraint,
    repeatsVictim: false,
    suppressed: dump === undefined,
    dump: dump && {
      trigger: { comm: "java", pid: 42, gfpMask: "0xcc0(GFP_KERNEL)", order: 0, oomScoreAdj: 0 },
      tasks: [victim],
      pageSizeBytes: 4096,
      ...dump,
    },
  };
}

const told = (of: OomKillReport) => diagnose(of, ownerOfCgroup);
const causeOf = (of: OomKillReport) => told(of).cause;
const order = (value: number) => ({ trigger: { comm: "nginx", pid: 9, order: value } });
const crowd = (comm: string, count: number, each: number) =>
  Array.from({ length: count }, () => task(comm, each));

describe("the cause of a kill", () => {
  it("says so where memory was free that the request could not use (32-bit HighMem, CMA)", () => {
    const { cause, summary } = told(host({ freeBytes: 9 * gib }));
    expect(cause).toBe("host_exhausted");
    expect(summary).toContain("9 GiB of the host's 16 GiB were free, but none that java may use");
    expect(told(host({ freeBytes: gib })).summary).toContain("The host's 16 GiB ran out");
  });

  it("is not told from a task table of which the log holds a part", () => {
    const rest = [task("cron", 4 * mib)];
    expect(causeOf(report("none", { tasks: rest }))).toBe("host_exhausted");
    expect(causeOf(report("none", { tasks: [...rest, victim] }))).toBe("memory_hog");
  });

  it("names the unit in a machine's container, and counts the container's limit as its own", () => {
    const inMachine = {
      victimCgroup: "/lxc/703/ns/system.slice/pulse.service",
      limitCgroup: "/lxc/703/ns/system.slice/pulse.service",
    };
    expect(told(memcg(inMachine)).summary).toContain("pulse.service in 703 reached its limit");
    const whole = told(memcg({ ...inMachine, limitCgroup: "/lxc/703" }));
    expect(whole.cause).toBe("cgroup_limit");
    expect(whole.summary).toContain("703 reached its limit");
  });

  it("is manual where SysRq asked for it, whatever else is true", () => {
    expect(causeOf(host({}, { ...order(-1), tasks: [task("db", 15 * gib)] }))).toBe("manual");
  });

  it("is the cpuset or node by the constraint", () => {
    const zones = [
      { node: 0, zone: "Normal", freeBytes: mib },
      { node: 1, zone: "Normal", freeBytes: 9 * gib },
    ];
    const { cause, summary } = told({ ...host({ zones }), constraint: "cpuset" });
    expect(cause).toBe("cpuset_or_node");
    expect(summary).toContain("free: 1 MiB on node 0, 9 GiB on node 1");
    expect(causeOf({ ...host(), constraint: "memory_policy" })).toBe("cpuset_or_node");
  });

  describe("is fragmentation", () => {
    const zone = (name: string, freeBytes: number) => ({
      node: 0,
      zone: name,
      freeBytes,
      minBytes: 10 * mib,
      lowBytes: 12 * mib,
    });

    it("where a larger block failed with memory free", () => {
      const { cause, summary } = told(host({ zones: [zone("Normal", 900 * mib)] }, order(3)));
      expect(cause).toBe("fragmentation");
      expect(summary).toContain("nginx needed 32 KiB in one piece (order 3)");
    });

    it.each([
      ["single pages failed", [zone("Normal", 900 * mib)], 0],
      ["nothing was free", [zone("Normal", 11 * mib)], 3],
      ["only the DMA reserve was free", [zone("DMA", 15 * mib), zone("Normal", 5 * mib)], 3],
      [
        "only memory was free that the kernel cannot use",
        [zone("Normal", 5 * mib), zone("HighMem", gib)],
        3,
      ],
    ])("but not where %s", (_name, zones, size) => {
      expect(causeOf(host({ zones }, order(size)))).toBe("host_exhausted");
    });
  });

  it("is a protected hog where what may not be killed holds most", () => {
    const db = task("postgres", 12 * gib, { oomScoreAdj: -1000 });
    const { cause, summary } = told(host({}, { tasks: [db, victim] }));
    expect(cause).toBe("protected_hog");
    expect(summary).toContain("postgres");
    expect(summary).toContain("12 GiB");
  });

  it("is no protected hog where the protected are a few small daemons among little", () => {
    const shell = task("sshd", 400 * mib, { oomScoreAdj: -1000 });
    expect(causeOf(host({ slabUnreclaimableBytes: 12 * gib }, { tasks: [shell, victim] }))).toBe(
      "kernel_memory",
    );
  });

  it("is the kernel's own memory, on the host and in a cgroup", () => {
    const slab = { slabUnreclaimableBytes: 9 * gib, pageTablesBytes: gib, kernelStackBytes: mib };
    expect(told(host(slab))).toMatchObject({
      cause: "kernel_memory",
      summary: expect.stringContaining("slab 9 GiB"),
    });
    expect(
      causeOf(
        memcg({}, {}, [
          ["anon", 100 * mib],
          ["slab_unreclaimable", 700 * mib],
        ]),
      ),
    ).toBe("kernel_memory");
  });

  it("is shared memory, told apart by who maps it", () => {
    const tmpfs = told(memcg({}, {}, [["shmem", 900 * mib]]));
    expect(tmpfs).toMatchObject({
      cause: "shmem",
      summary: expect.stringContaining("no task maps"),
    });
    const mapped = told(
      host(
        { shmemBytes: 9 * gib },
        { tasks: [task("postgres", 8 * gib, { shmemRssBytes: 8 * gib })] },
      ),
    );
    expect(mapped).toMatchObject({
      cause: "shmem",
      summary: expect.stringContaining("one task maps 8 GiB"),
    });
  });

  it("is many small tasks of one name, none of them large", () => {
    const { cause, summary } = told(
      host({}, { tasks: [...crowd("php-fpm", 80, 150 * mib), task("mysqld", gib)] }),
    );
    expect(cause).toBe("many_small");
    expect(summary).toContain("80 tasks called php-fpm hold 11.7 GiB together (92 %");
  });

  it.each([
    ["there are few", crowd("php-fpm", 4, gib)],
    ["one of them holds it", [...crowd("java", 10, mib), task("java", 9 * gib)]],
    ["another holds more", [...crowd("php-fpm", 20, 10 * mib), task("mysqld", gib)]],
  ])("is not many small tasks where %s", (_name, tasks) => {
    expect(causeOf(host({}, { tasks }))).not.toBe("many_small");
  });

  it("is an ancestor's limit where the limit is another's", () => {
    const pod = `/kubepods/burstable/pod${"0a1b2c3d-0000-4000-8000-000000000001"}`;
    const container = `${pod}/${"ab".repeat(32)}`;
    expect(causeOf(memcg({ limitCgroup: "/app", victimCgroup: "/app/big" }))).toBe(
      "parent_cgroup_limit",
    );
    expect(causeOf(memcg({ limitCgroup: pod, victimCgroup: container }))).toBe(
      "parent_cgroup_limit",
    );
  });

  it("is its own limit where the limit is its container's or unit's, though further up", () => {
    const container = `/docker/${"ab".repeat(32)}`;
    const unit = "/system.slice/app.service";
    expect(causeOf(memcg())).toBe("cgroup_limit");
    expect(causeOf(memcg({ limitCgroup: container, victimCgroup: `${container}/init` }))).toBe(
      "cgroup_limit",
    );
    expect(causeOf(memcg({ limitCgroup: unit, victimCgroup: `${unit}/worker` }))).toBe(
      "cgroup_limit",
    );
    expect(told(memcg({ limitCgroup: unit, victimCgroup: unit })).summary).toContain(
      "app.service reached its limit of 1 GiB (1 GiB in use)",
    );
  });

  it("is its own limit where the log has only the kill line", () => {
    const { cause, summary } = told(report("memcg"));
    expect(cause).toBe("cgroup_limit");
    expect(summary).toContain("which one, the log does not say");
  });

  it("is exhausted swap where there was some and none is left", () => {
    expect(causeOf(host({ swapTotalBytes: 2 * gib, swapFreeBytes: 10 * mib }))).toBe(
      "swap_exhausted",
    );
    expect(causeOf(host({ swapTotalBytes: 2 * gib, swapFreeBytes: gib }))).toBe("host_exhausted");
  });

  it("is one task that holds more than half of the host", () => {
    const { cause, summary } = told(host({}, { tasks: [task("chrome", 10 * gib), victim] }));
    expect(cause).toBe("memory_hog");
    expect(summary).toContain("10 GiB, 63 % of the host's 16 GiB; the kernel took java (pid 42)");
  });

  it("is the host where nothing stands out, with a dump or without", () => {
    expect(causeOf(host())).toBe("host_exhausted");
    expect(causeOf(report("none"))).toBe("host_exhausted");
  });

  it("is unknown where the log says nothing", () => {
    expect(causeOf(report("unknown"))).toBe("unknown");
  });
});

describe("advice", () => {
  it("ends with a runbook that there is", () => {
    for (const page of Object.values(runbooks)) {
      expect(existsSync(new URL(`../../${page}`, import.meta.url)), page).toBe(true);
    }
    expect(told(host()).advice.at(-1)).toBe("Runbook: docs/runbooks/OomHostExhausted.md");
    expect(told(memcg()).advice.at(-1)).toBe("Runbook: docs/runbooks/OomKill.md");
  });

  it("names missing swap, which is never a cause", () => {
    expect(told(host()).advice.join("\n")).toContain("There is no swap");
    expect(told(host({ swapTotalBytes: gib, swapFreeBytes: gib })).advice.join("\n")).not.toContain(
      "There is no swap",
    );
  });

  it.each([
    ["/system.slice/app.service", "systemctl set-property app.service MemoryMax=1536M"],
    [`/docker/${"ab".repeat(32)}`, "docker update --memory 1536M --memory-swap 1536M abababababab"],
    ["/odd name", "echo 1536M > '/sys/fs/cgroup/odd name/memory.max'"],
    ["/it's", "echo 1536M > '/sys/fs/cgroup/it'\\''s/memory.max'"],
  ])("raises the limit of %s in its owner's way, safe to paste", (cgroup, command) => {
    expect(told(memcg({ limitCgroup: cgroup, victimCgroup: cgroup })).advice.join("\n")).toContain(
      command,
    );
  });

  it("says that the dump is missing", () => {
    expect(told(report("memcg")).advice.join("\n")).toContain("wrote no report");
  });
});
