import { describe, expect, it } from "vitest";
import type { MemInfoDump, OomDump, OomTask } from "../../src/kernel-log/oom-dump.ts";
import type { OomKillReport } from "../../src/kernel-log/oom-report.ts";
import { diagnose } from "../../src/kills/diagnosis.ts";
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

const diagnosisOf = (of: OomKillReport) => diagnose(of, ownerOfCgroup);
const causeOf = (of: OomKillReport) => diagnosisOf(of).cause;
const order = (value: number) => ({ trigger: { comm: "nginx", pid: 9, order: value } });
const crowd = (comm: string, count: number, each: number) =>
  Array.from({ length: count }, () => task(comm, each));

describe("the cause of a kill", () => {
  it("gives the reason that free memory did not help only if the dump shows it", () => {
    const free = diagnosisOf(host({ freeBytes: 9 * gib }));
    expect(free.cause).toBe("host_exhausted");
    expect(free.summary).toContain(
      "9 GiB of the host's 16 GiB was free, and the report does not show why",
    );
    expect(diagnosisOf(host({ freeBytes: 9 * gib, freeCmaBytes: 8 * gib })).summary).toContain(
      "8 GiB of that in CMA, which only movable allocations may use",
    );
    expect(diagnosisOf(host({ freeBytes: gib })).summary).toContain("The host's 16 GiB ran out");
  });

  describe("is a page fault", () => {
    const zone = { node: 0, zone: "DMA32", freeBytes: 12 * gib, minBytes: mib, lowBytes: 2 * mib };
    const asked = (gfpMask: string) => ({ trigger: { comm: "app", pid: 9, gfpMask, order: 0 } });

    it("if it came without any flags while memory was free", () => {
      const { cause, summary, causeBasis } = diagnosisOf(
        host({ freeBytes: 12 * gib, zones: [zone] }, asked("0x0()")),
      );
      expect([cause, causeBasis]).toEqual(["page_fault", "concluded"]);
      expect(summary).toContain(
        "page fault of app triggered the kill (gfp_mask 0, order 0) while 12 GiB of",
      );
    });

    it("by the watermarks, not by the share that is free (a report to linux-mm, 2019)", () => {
      const dma32 = { ...zone, freeBytes: 1_111_400 * 1024, lowBytes: 16_208 * 1024 };
      const normal = {
        ...zone,
        zone: "Normal",
        freeBytes: 118_328 * 1024,
        lowBytes: 68_180 * 1024,
      };
      const free = { freeBytes: 311_407 * 4096, totalBytes: 4_061_249 * 4096 };
      expect(causeOf(host({ ...free, zones: [dma32, normal] }, asked("0x0()")))).toBe("page_fault");
    });

    it("if a tenth of memory was page cache that nobody had taken back", () => {
      const low = { ...zone, freeBytes: mib };
      const memInfo = { freeBytes: mib, zones: [low], fileBytes: 4 * gib, swapFreeBytes: 8 * gib };
      const { cause, summary } = diagnosisOf(host(memInfo, asked("0x0")));
      expect(cause).toBe("page_fault");
      expect(summary).toContain(
        "while 4 GiB of page cache and 8 GiB of swap could be used: memory",
      );
      expect(causeOf(host({ ...memInfo, fileBytes: gib }, asked("0x0")))).toBe("host_exhausted");
    });

    it.each([
      ["memory had run out", { freeBytes: mib, zones: [{ ...zone, freeBytes: mib }] }, "0x0()"],
      ["the request had flags", { freeBytes: 12 * gib, zones: [zone] }, "0xcc0(GFP_KERNEL)"],
      [
        "the free memory is in CMA",
        { freeBytes: 12 * gib, zones: [{ ...zone, freeCmaBytes: 12 * gib }] },
        "0x0",
      ],
      ["the dump is missing", undefined, "0x0()"],
    ])("but not if %s", (_name, memInfo, gfpMask) => {
      const of =
        memInfo === undefined ? report("none", asked(gfpMask)) : host(memInfo, asked(gfpMask));
      expect(causeOf(of)).toBe("host_exhausted");
    });

    it("by the share that is free, if the lines of the zones are left out", () => {
      expect(causeOf(host({ freeBytes: 6 * gib }, asked("0x0")))).toBe("page_fault");
      expect(causeOf(host({ freeBytes: gib }, asked("0x0")))).toBe("host_exhausted");
    });

    it("in a text from which somebody left out the numbers, which it says", () => {
      const of = report("none", asked("0x0()"));
      of.killLine.isInText = true;
      const { cause, summary, advice } = diagnosisOf(of);
      expect(cause).toBe("page_fault");
      expect(summary).toContain("the log does not show how much memory was free");
      expect(advice.map(({ text }) => text).join()).not.toContain("it was not to blame");
      of.constraint = "memcg";
      expect(causeOf(of)).not.toBe("page_fault");
    });
  });

  describe("is unaccounted memory", () => {
    const sums = {
      totalBytes: 2 * gib,
      freeBytes: 500 * mib,
      anonBytes: 100 * mib,
      fileBytes: 10 * mib,
      slabReclaimableBytes: 10 * mib,
      slabUnreclaimableBytes: 30 * mib,
      pageTablesBytes: 2 * mib,
    };

    it("if the largest share appears in none of the kernel's totals", () => {
      const { cause, summary } = diagnosisOf(host(sums));
      expect(cause).toBe("unaccounted");
      expect(summary).toContain("1.4 GiB of 2 GiB appears in none of the kernel's totals");
    });

    it.each([
      ["huge pages", { hugetlbBytes: 1300 * mib }],
      ["locked pages", { unevictableBytes: 1300 * mib }],
      ["pages that the kernel can reclaim", { miscReclaimableBytes: 1300 * mib }],
      ["page tables of virtual machines", { secondaryPageTablesBytes: 1300 * mib }],
    ])("but not if %s explain it", (_name, more) => {
      expect(causeOf(host({ ...sums, ...more }))).toBe("host_exhausted");
    });

    it.each([["anonBytes"], ["fileBytes"], ["slabUnreclaimableBytes"], ["totalBytes"]])(
      "but not if the log lacks %s",
      (missing) => {
        expect(causeOf(host({ ...sums, [missing]: undefined }))).not.toBe("unaccounted");
      },
    );

    it("but not if processes use more", () => {
      expect(causeOf(host({ ...sums, freeBytes: 0, anonBytes: 1100 * mib }))).toBe(
        "host_exhausted",
      );
    });
  });

  describe("names a zone that ran out", () => {
    const normal = {
      node: 0,
      zone: "Normal",
      freeBytes: 3 * mib,
      minBytes: 3 * mib,
      lowBytes: 4 * mib,
      managedBytes: 370 * mib,
    };
    const highMem = { ...normal, zone: "HighMem", freeBytes: 600 * mib, lowBytes: mib };
    const asked = (gfpMask: string) => ({ trigger: { comm: "dd", pid: 9, gfpMask, order: 0 } });
    const pi = { totalBytes: gib, freeBytes: 603 * mib };

    it("for a kernel request while HighMem is free", () => {
      const { cause, summary } = diagnosisOf(
        host({ ...pi, zones: [normal, highMem] }, asked("0xd0(GFP_KERNEL)")),
      );
      expect(cause).toBe("host_exhausted");
      expect(summary).toContain(
        "Zone Normal, which had to serve the request of dd, ran out (3 MiB of 370 MiB free); 600 MiB was free in HighMem",
      );
    });

    it("as kernel memory if slab fills it", () => {
      const { cause, summary } = diagnosisOf(
        host({ ...pi, zones: [normal, highMem], slabUnreclaimableBytes: 300 * mib }, asked("0xd0")),
      );
      expect(cause).toBe("kernel_memory");
      expect(summary).toContain("of the 370 MiB in zone Normal");
    });

    it("rather than a task that uses half of the host", () => {
      const big = task("chrome", 600 * mib);
      expect(
        diagnosisOf(
          host({ ...pi, zones: [normal, highMem] }, { ...asked("0xcc0"), tasks: [big, victim] }),
        ).summary,
      ).toContain("Zone Normal, which had to serve the request of dd, ran out");
    });

    it.each([
      ["the request may use HighMem", [normal, highMem], "0x14200ca(GFP_HIGHUSER_MOVABLE)"],
      ["HighMem is full too", [normal, { ...highMem, freeBytes: mib }], "0xd0"],
      ["there is no other zone", [normal], "0xd0"],
      ["Normal has room", [{ ...normal, freeBytes: 90 * mib }, highMem], "0xd0"],
    ])("but not if %s", (_name, zones, gfpMask) => {
      expect(diagnosisOf(host({ ...pi, zones }, asked(gfpMask))).summary).not.toContain(
        "ran out (",
      );
    });
  });

  it("is not taken from an incomplete task table", () => {
    const rest = crowd("cron", 5, 4 * mib);
    expect(causeOf(report("none", { tasks: rest }))).toBe("host_exhausted");
    expect(causeOf(report("none", { tasks: [...rest, victim] }))).toBe("memory_hog");
  });

  it("names the unit in a machine's container, and counts the container's limit as its own", () => {
    const inMachine = {
      victimCgroup: "/lxc/703/ns/system.slice/pulse.service",
      limitCgroup: "/lxc/703/ns/system.slice/pulse.service",
    };
    expect(diagnosisOf(memcg(inMachine)).summary).toContain(
      "pulse.service in 703 reached its limit",
    );
    const whole = diagnosisOf(memcg({ ...inMachine, limitCgroup: "/lxc/703" }));
    expect(whole.cause).toBe("cgroup_limit");
    expect(whole.summary).toContain("703 reached its limit");
  });

  it("is manual if SysRq requested it, whatever else is true", () => {
    expect(causeOf(host({}, { ...order(-1), tasks: [task("db", 15 * gib)] }))).toBe("manual");
  });

  it("is the cpuset or node by the constraint", () => {
    const zones = [
      { node: 0, zone: "Normal", freeBytes: mib },
      { node: 1, zone: "Normal", freeBytes: 9 * gib },
    ];
    const { cause, summary } = diagnosisOf({ ...host({ zones }), constraint: "cpuset" });
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

    it("if a larger block failed while memory was free", () => {
      const { cause, summary } = diagnosisOf(
        host({ zones: [zone("Normal", 900 * mib)] }, order(3)),
      );
      expect(cause).toBe("fragmentation");
      expect(summary).toContain("nginx asked for 32 KiB of contiguous memory (order 3)");
    });

    it.each([
      ["single pages failed", [zone("Normal", 900 * mib)], 0],
      ["nothing was free", [zone("Normal", 11 * mib)], 3],
      ["only the DMA reserve was free", [zone("DMA", 15 * mib), zone("Normal", 5 * mib)], 3],
      [
        "the only free memory is memory that the kernel cannot use",
        [zone("Normal", 5 * mib), zone("HighMem", gib)],
        3,
      ],
    ])("but not if %s", (_name, zones, size) => {
      expect(causeOf(host({ zones }, order(size)))).toBe("host_exhausted");
    });
  });

  it("is a protected hog if exempt tasks use most of the memory", () => {
    const db = task("postgres", 12 * gib, { oomScoreAdj: -1000 });
    const { cause, summary } = diagnosisOf(host({}, { tasks: [db, victim] }));
    expect(cause).toBe("protected_hog");
    expect(summary).toContain("postgres");
    expect(summary).toContain("12 GiB");
  });

  it("is no protected hog if the exempt tasks are a few small daemons", () => {
    const shell = task("sshd", 400 * mib, { oomScoreAdj: -1000 });
    expect(causeOf(host({ slabUnreclaimableBytes: 12 * gib }, { tasks: [shell, victim] }))).toBe(
      "kernel_memory",
    );
  });

  it("is the kernel's own memory, on the host and in a cgroup", () => {
    const slab = { slabUnreclaimableBytes: 9 * gib, pageTablesBytes: gib, kernelStackBytes: mib };
    expect(diagnosisOf(host(slab))).toMatchObject({
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

  it.each([
    ["a fifth of the slab", 2 * gib, "slab 9 GiB, 2 GiB of it in cache kmalloc-256, page tables"],
    ["less", gib, "slab 9 GiB, page tables"],
  ])(
    "is the kernel's own memory, and its largest cache is named if it has %s",
    (_, size, words) => {
      const largestCache = { name: "kmalloc-256", totalBytes: size };
      const slab = { slabUnreclaimableBytes: 9 * gib, pageTablesBytes: gib, largestCache };
      expect(diagnosisOf(host(slab)).summary).toContain(words);
    },
  );

  it("is shared memory, with or without a task that maps it", () => {
    const tmpfs = diagnosisOf(memcg({}, {}, [["shmem", 900 * mib]]));
    expect(tmpfs).toMatchObject({
      cause: "shmem",
      summary: expect.stringContaining("no task maps"),
    });
    const mapped = diagnosisOf(
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

  it("is shared memory on kernels that do not print it, if the cache is on no list of files", () => {
    const cache = (inactiveFile: number) =>
      memcg({}, {}, [
        ["cache", 900 * mib],
        ["rss", 100 * mib],
        ["active_file", 0],
        ["inactive_file", inactiveFile],
        ["unevictable", 0],
      ]);
    expect(causeOf(cache(mib))).toBe("shmem");
    expect(causeOf(cache(800 * mib))).toBe("cgroup_limit");
  });

  it("is not that memory ran out if several pages were asked for and the log has no numbers", () => {
    const { summary, advice } = diagnosisOf(
      report("none", { trigger: { comm: "make", pid: 9, order: 2 }, tasks: [] }),
    );
    expect(summary).toContain("make asked for 16 KiB of contiguous memory (order 2)");
    expect(summary).toContain("does not show whether memory had run out or was fragmented");
    expect(advice.map(({ command }) => command)).toContain("cat /proc/buddyinfo");
    expect(advice.map(({ text }) => text).join()).not.toContain("MemoryMax");
  });

  it("is many small tasks with one name, none of them large", () => {
    const { cause, summary } = diagnosisOf(
      host({}, { tasks: [...crowd("php-fpm", 80, 150 * mib), task("mysqld", gib)] }),
    );
    expect(cause).toBe("many_small");
    expect(summary).toContain("80 tasks named php-fpm use 11.7 GiB together (92 %");
  });

  it.each([
    ["there are few", crowd("php-fpm", 4, gib)],
    ["one of them uses most", [...crowd("java", 10, mib), task("java", 9 * gib)]],
    ["another task uses more", [...crowd("php-fpm", 20, 10 * mib), task("mysqld", gib)]],
  ])("is not many small tasks if %s", (_name, tasks) => {
    expect(causeOf(host({}, { tasks }))).not.toBe("many_small");
  });

  it("is an ancestor's limit if the limit belongs to an ancestor", () => {
    const pod = `/kubepods/burstable/pod${"0a1b2c3d-0000-4000-8000-000000000001"}`;
    const container = `${pod}/${"ab".repeat(32)}`;
    expect(causeOf(memcg({ limitCgroup: "/app", victimCgroup: "/app/big" }))).toBe(
      "parent_cgroup_limit",
    );
    expect(causeOf(memcg({ limitCgroup: pod, victimCgroup: container }))).toBe(
      "parent_cgroup_limit",
    );
  });

  it("is its own limit if the limit is that of its container or unit, even further up", () => {
    const container = `/docker/${"ab".repeat(32)}`;
    const unit = "/system.slice/app.service";
    expect(causeOf(memcg())).toBe("cgroup_limit");
    expect(causeOf(memcg({ limitCgroup: container, victimCgroup: `${container}/init` }))).toBe(
      "cgroup_limit",
    );
    expect(causeOf(memcg({ limitCgroup: unit, victimCgroup: `${unit}/worker` }))).toBe(
      "cgroup_limit",
    );
    expect(diagnosisOf(memcg({ limitCgroup: unit, victimCgroup: unit })).summary).toContain(
      "app.service reached its limit of 1 GiB (1 GiB in use)",
    );
  });

  it("is an unknown limit if the log does not say which it was", () => {
    const { cause, summary, causeBasis } = diagnosisOf(report("memcg"));
    expect([cause, causeBasis]).toEqual(["unknown_limit", "read"]);
    expect(summary).toContain("the log does not say which cgroup");
    const attributed = diagnosisOf({
      ...report("memcg"),
      victimCgroup: "/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service",
    });
    expect(attributed.cause).toBe("unknown_limit");
    expect(attributed.summary).toContain("at or above shop.service of user 1000 was reached");
    expect(diagnosisOf({ ...report("memcg"), groupCgroup: "/jobs" }).cause).toBe("unknown_limit");
  });

  it("names a pod only once if the pod's own limit was hit", () => {
    const pod = "/kubepods/burstable/pod0a1b2c3d-0000-4000-8000-000000000001";
    const container = `${pod}/${"ab".repeat(32)}`;
    const { cause, summary } = diagnosisOf(memcg({ limitCgroup: pod, victimCgroup: container }));
    expect(cause).toBe("parent_cgroup_limit");
    expect(summary.match(/0a1b2c3d-0000/g)).toHaveLength(1);
    expect(summary).toContain("as a whole reached its limit of 1 GiB");
    expect(summary).toContain("in container abababababab");
  });

  it("is shared memory if memory.stat of cgroup v1 is all that is left of the report", () => {
    const of = {
      ...report("memcg", {
        memcg: {
          stat: new Map([
            ["cache", 35 * mib],
            ["rss", 5 * mib],
            ["shmem", 35 * mib],
          ]),
        },
      }),
      limitCgroup: "/nomad/de25a563-2409-843f-08ad-5bc6053df174",
    };
    const { cause, summary } = diagnosisOf(of);
    expect(cause).toBe("shmem");
    expect(summary).toContain("35 MiB of 40 MiB charged to a Nomad task (executor de25a563)");
    const alloc = "/nomad.slice/share.slice/de25a563-2409-843f-08ad-5bc6053df174.web.scope";
    expect(diagnosisOf({ ...of, limitCgroup: alloc }).summary).toContain(
      "charged to Nomad task web (allocation de25a563)",
    );
  });

  it("is exhausted swap if there is swap and none is left", () => {
    expect(causeOf(host({ swapTotalBytes: 2 * gib, swapFreeBytes: 10 * mib }))).toBe(
      "swap_exhausted",
    );
    expect(causeOf(host({ swapTotalBytes: 2 * gib, swapFreeBytes: gib }))).toBe("host_exhausted");
  });

  it("is one task that uses more than half of the host", () => {
    const { cause, summary } = diagnosisOf(host({}, { tasks: [task("chrome", 10 * gib), victim] }));
    expect(cause).toBe("memory_hog");
    expect(summary).toContain("10 GiB, 63 % of the host's 16 GiB; the kernel killed java (pid 42)");
  });

  it("is no such task if a filter left only a few rows of the table, and no size of the host", () => {
    const rows = (count: number) => [task("db", 9 * gib), ...crowd("sh", count - 1, mib)];
    const filtered = diagnosisOf(report("none", { tasks: rows(4) }));
    expect(filtered.cause).toBe("host_exhausted");
    expect(filtered.summary).not.toContain("tasks used");
    expect(causeOf(report("none", { tasks: rows(5) }))).toBe("memory_hog");
  });

  it("is the host, whose memory is reserved for huge pages", () => {
    const memInfo = { freeBytes: 100 * mib, hugetlbBytes: 15 * gib, hugetlbFreeBytes: 14 * gib };
    const { cause, summary, advice } = diagnosisOf(host(memInfo));
    expect(cause).toBe("host_exhausted");
    expect(summary).toContain(
      "15 GiB of the host's 16 GiB is reserved for huge pages, 14 GiB of it free; the rest ran out",
    );
    const text = advice.map((item) => item.text).join("\n");
    expect(text).toContain("vm.nr_hugepages");
    expect(text).not.toContain("MemoryMax");
    const full = diagnosisOf(host(memInfo, { tasks: [victim, task("app", 600 * mib)] }));
    expect(full.advice.map((item) => item.text).join()).toContain("MemoryMax");
    const few = diagnosisOf(host({ ...memInfo, hugetlbBytes: 7 * gib }));
    expect(few.summary).not.toContain("huge pages");
    expect(few.advice.map((item) => item.text).join()).toContain("MemoryMax");
  });

  it("is the host although most of it was page cache that the kernel did not reclaim", () => {
    const memInfo = { freeBytes: 20 * mib, fileBytes: 14 * gib, shmemBytes: gib, anonBytes: gib };
    const { cause, summary, advice } = diagnosisOf(host(memInfo));
    expect(cause).toBe("host_exhausted");
    expect(summary).toContain(
      "although 14 GiB of it was page cache that the kernel did not reclaim",
    );
    expect(advice.map((item) => item.text).join()).not.toContain("MemoryMax");
  });

  it("names the largest row that is left of the table only if the victim held less", () => {
    const rest = (rssBytes: number) => ({ tasks: [task("sh", rssBytes)], isTaskTableCut: true });
    expect(diagnosisOf(report("none", rest(4 * mib))).summary).not.toContain("sh (pid");
    expect(diagnosisOf(report("none", rest(gib))).summary).toContain("sh (pid");
  });

  it("is the host if nothing else matches, with or without a dump", () => {
    expect(causeOf(host())).toBe("host_exhausted");
    expect(causeOf(report("none"))).toBe("host_exhausted");
  });

  it("is unknown if the log says nothing", () => {
    expect(causeOf(report("unknown"))).toBe("unknown");
  });
});

describe("a request for DMA32", () => {
  const kb = 1024;
  const zone = (name: string, freeBytes: number, lowBytes: number) => ({
    ...{ node: 0, zone: name, freeBytes, minBytes: lowBytes / 2, lowBytes, highBytes: lowBytes },
  });
  const asked = { trigger: { comm: "Xorg", gfpMask: "0x24200d4(GFP_USER|GFP_DMA32)", order: 0 } };
  const [dma, normal, high] = [
    zone("DMA", 4116 * kb, 984 * kb),
    zone("Normal", 42_404 * kb, 53_020 * kb),
    zone("HighMem", 120_916 * kb, 28_168 * kb),
  ];

  it("is served from Normal by a kernel without that zone, and low memory is what ran out", () => {
    const { cause, summary } = diagnosisOf(host({ zones: [dma, normal, high] }, asked));
    expect(cause).toBe("host_exhausted");
    expect(summary).toContain("Zone Normal, which had to serve the request of Xorg, ran out");
  });

  it("is served from DMA32 where the zone exists", () => {
    const dma32 = zone("DMA32", 8 * kb, 16 * kb);
    const roomy = zone("Normal", 9_000_000 * kb, 60_000 * kb);
    expect(diagnosisOf(host({ zones: [dma, dma32, roomy] }, asked)).summary).toContain(
      "Zone DMA32, which had to serve",
    );
  });
});

describe("a report of 2.6 or of a patched kernel", () => {
  const kb = 1024;
  const lowmem = { node: 0, zone: "Normal", freeBytes: 5072 * kb, minBytes: 3736 * kb };

  it("is not fragmentation where blocks of the order were free", () => {
    const zone = { ...lowmem, lowBytes: 4668 * kb };
    const blocks = (large: number) => ({
      zones: [{ ...zone, freeBlocksBytes: [1108 * kb, 200 * kb, large] }],
    });
    expect(causeOf(host(blocks(0), order(1)))).toBe("fragmentation");
    expect(causeOf(host(blocks(3700 * kb), order(1)))).not.toBe("fragmentation");
  });

  it("counts the totals that were not split yet", () => {
    const memInfo = { totalBytes: 1024 * mib, freeBytes: 100 * mib, pageTablesBytes: 0 };
    const { cause, summary } = diagnosisOf(
      host({ ...memInfo, lruBytes: 300 * mib, slabBytes: 100 * mib }),
    );
    expect(cause).toBe("unaccounted");
    expect(summary).toContain("524 MiB of 1 GiB");
    expect(summary).toContain("processes and page cache use 300 MiB");
  });

  it("was requested by a BPF program if the constraint is none of the kernel's", () => {
    const kill = memcg({ customConstraint: "CONSTRAINT_BPF_PSI_MEM" });
    const { cause, causeBasis, summary, advice } = diagnosisOf(kill);
    expect([cause, causeBasis]).toEqual(["manual", "read"]);
    expect(summary).toContain("A BPF program requested the kill");
    expect(advice[0]?.command).toContain("bpftool");
  });

  it("is no page fault if a kernel thread asked", () => {
    const trigger = { comm: "kworker/1:2", pid: 77, gfpMask: "0x0()", order: 0 };
    const free = { freeBytes: 8 * gib, zones: [{ ...lowmem, freeBytes: 8 * gib, lowBytes: mib }] };
    expect(causeOf(host(free, { trigger }))).not.toBe("page_fault");
    expect(causeOf(host(free, { trigger: { ...trigger, comm: "stat" } }))).toBe("page_fault");
  });

  it("says that the allowed nodes have movable memory only", () => {
    const trigger = { comm: "runc:[2:INIT]", pid: 8291, gfpMask: "0x500cc2", order: 0 };
    const zones = [{ node: 4, zone: "Movable", freeBytes: 124 * gib, lowBytes: mib }];
    const { memInfo } = host({ zones }, { trigger }).dump ?? {};
    const { cause, summary, advice } = diagnosisOf(report("cpuset", { trigger, memInfo }));
    expect(cause).toBe("cpuset_or_node");
    expect(summary).toContain("zone Movable only (free: 124 GiB on node 4)");
    expect(advice[0]?.text).toContain("cpuset.mems");
  });

  it("names vm.oom_kill_allocating_task where it was set", () => {
    const kill = { ...host(), prefix: "Out of memory (oom_kill_allocating_task)" };
    expect(diagnosisOf(kill).advice.map(({ command }) => command)).toContain(
      "sysctl vm.oom_kill_allocating_task=0",
    );
  });
});
