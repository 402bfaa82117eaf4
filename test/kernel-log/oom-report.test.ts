import { describe, expect, it } from "vitest";
import { parseConstraintLine } from "../../src/kernel-log/constraint-line.ts";
import { parseKillLine } from "../../src/kernel-log/kill-line.ts";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import { KernelMessageReader } from "../../src/kernel-log/log-line.ts";
import { parseLoss } from "../../src/kernel-log/log-loss.ts";
import { type KernelLogEvent, OomReportAssembler } from "../../src/kernel-log/oom-report.ts";

const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };
const sizes = "total-vm:8192kB, anon-rss:4096kB, file-rss:8kB";
const kb = 1024;

function eventsOf(...lines: string[]): KernelLogEvent[] {
  const events: KernelLogEvent[] = [];
  const reader = new KernelMessageReader(clock);
  const assembler = new OomReportAssembler((event) => events.push(event));
  for (const [index, line] of lines.entries()) {
    const message = reader.read(line);
    if (message !== undefined) assembler.push(message, index + 1);
  }
  assembler.end();
  return events;
}

function reportsOf(...lines: string[]) {
  return eventsOf(...lines).flatMap((event) => (event.kind === "kill" ? [event.report] : []));
}

describe("a kill line of", () => {
  const old = { totalVmBytes: 8192 * kb, anonRssBytes: 4096 * kb, fileRssBytes: 8 * kb };
  const shmem = { ...old, shmemRssBytes: 4 * kb };
  it.each<[string, string, object]>([
    ["2.4 to 2.6.15", "Out of Memory: Killed process 42 (java).", { prefix: "Out of Memory" }],
    ["2.6.16 to 2.6.23", "Out of memory: Killed process 42 (java).", { prefix: "Out of memory" }],
    [
      "2.6.16, memory policy",
      "No available memory (MPOL_BIND): Killed process 42 (java).",
      { prefix: "No available memory (MPOL_BIND)" },
    ],
    [
      "2.6.16, cpuset",
      "No available memory in cpuset: Killed process 42 (java).",
      { prefix: "No available memory in cpuset" },
    ],
    ["RHEL 5", "Out of memory: Killed process 42, UID 1000, (java).", { uid: 1000 }],
    ["2.6.24 to 2.6.32", "Killed process 42 (java)", {}],
    ["2.6.33 to 2.6.35", "Killed process 42 (java) vsz:8192kB, anon-rss:4096kB, file-rss:8kB", old],
    ["2.6.36 to 4.4", `Killed process 42 (java) ${sizes}`, old],
    ["RHEL 6", `Killed process 42, UID 1000, (java) ${sizes}`, { ...old, uid: 1000 }],
    [
      "RHEL 7",
      `Killed process 42 (java), UID 1000, ${sizes}, shmem-rss:4kB`,
      { ...shmem, uid: 1000 },
    ],
    ["4.5 to 5.0", `Killed process 42 (java) ${sizes}, shmem-rss:4kB`, shmem],
    [
      "5.1 to 5.3",
      `Memory cgroup out of memory: Killed process 42 (java) ${sizes}, shmem-rss:4kB`,
      shmem,
    ],
    [
      "RHEL 8.3",
      `Out of memory: Killed process 42 (java) ${sizes}, shmem-rss:4kB, UID:1000`,
      { ...shmem, uid: 1000 },
    ],
    [
      "5.4 and later",
      `Out of memory: Killed process 42 (java) ${sizes}, shmem-rss:4kB, UID:1000 pgtables:96kB oom_score_adj:-17`,
      { ...shmem, uid: 1000, pageTablesBytes: 96 * kb, oomScoreAdj: -17 },
    ],
    [
      "oom_kill_allocating_task",
      `Out of memory (oom_kill_allocating_task): Killed process 42 (java) ${sizes}, shmem-rss:4kB, UID:0 pgtables:96kB oom_score_adj:0`,
      { prefix: "Out of memory (oom_kill_allocating_task)" },
    ],
    [
      "a kernel to come, with one more field",
      `Out of memory: Killed process 42 (java) ${sizes}, shmem-rss:4kB, hugetlb-rss:0kB, UID:0 pgtables:96kB oom_score_adj:0`,
      shmem,
    ],
  ])("%s", (_era, text, fields) => {
    expect(parseKillLine(text)).toMatchObject({ pid: 42, comm: "java", ...fields });
  });

  it("5.4.0, whose page tables are bytes that it calls kB", () => {
    const line = `Out of memory: Killed process 42 (java) ${sizes}, shmem-rss:4kB, UID:0 pgtables:98304kB oom_score_adj:0`;
    expect(parseKillLine(line)?.pageTablesBytes).toBe(98304);
  });
});

describe("a name in a kill line", () => {
  it.each([
    "(sd-pam)",
    ")",
    "",
    " ",
    "a\nb",
    "x) total-vm:9kB",
    "Killed process",
    ", UID:0",
    "[12.3] x",
    "a,pid=1,uid=0",
  ])("may be %j", (comm) => {
    expect(parseKillLine(`Out of memory: Killed process 42 (${comm}) ${sizes}`)?.comm).toBe(comm);
  });

  it("has at most 15 bytes: a longer one is in forged text", () => {
    expect(
      parseKillLine(`Out of memory: Killed process 42 (sixteen bytes 16) ${sizes}`),
    ).toBeUndefined();
  });

  it("is UTF-8, perhaps cut in the middle of a character", () => {
    expect(parseKillLine(`Killed process 42 (caf\xc3\xa9\xe2) ${sizes}`)?.comm).toBe("café�");
  });
});

describe("no kill is", () => {
  it.each([
    ["an announcement", "Out of memory: Kill process 42 (java) score 900 or sacrifice child"],
    ["an announcement of 2.6.24", "Out of memory: kill process 42 (java) score 900 or a child"],
    ["a process that shares the memory", "Kill process 43 (java) sharing same memory"],
    [
      "the reaper",
      "oom_reaper: reaped process 42 (java), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
    ],
    ["a reaper that fails", "oom_reaper: unable to reap pid:42 (java)"],
    [
      "a victim that is already exiting",
      "Out of memory: OOM victim 42 (java) is already exiting. Skip killing the task",
    ],
    ["pinned memory", "oom killer 42 (java) has mm pinned by 43 (java)"],
    ["suspend", "OOM killer disabled."],
    ["the group line", "Tasks in /job are going to be killed due to memory.oom.group set"],
    ["a panic", "Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled"],
    ["a deadlock", "Kernel panic - not syncing: System is deadlocked on memory"],
    ["a memcg dump without a task", "Memory limit reached of cgroup /job"],
    ["a leaked fault", "Huh VM_FAULT_OOM leaked out to the #PF handler. Retrying PF"],
    ["SysRq", "sysrq: Manual OOM execution"],
    ["SysRq refused", "sysrq: OOM request ignored because killer is disabled"],
    ["the secure attention key", "SAK: killed process 42 (java): by session"],
    [
      "an allocation failure",
      "java: page allocation failure: order:4, mode:0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO)",
    ],
    [
      "Android's low memory killer",
      "lowmemorykiller: Killing 'app' (42), adj 900, to free 51234kB on behalf of 'kswapd0' (60)",
    ],
    ["Android's older one", "send sigkill to 42 (app), adj 900, size 12345"],
    ["systemd-oomd", "Killed /user.slice/user-1000.slice due to memory pressure for /user.slice"],
    [
      "a segfault of a process of that name",
      "Killed process[3002]: segfault at 0 ip 0000 sp 0000 error 4",
    ],
    [
      "a quotation",
      `EXT4-fs (sda1): Unrecognized mount option "Out of memory: Killed process 42 (java) ${sizes}"`,
    ],
    [
      "a repetition by rsyslog",
      `message repeated 2 times: [ Out of memory: Killed process 42 (java) ${sizes}]`,
    ],
    ["a mixture of two eras", "Out of memory: Killed process 42 (java)"],
  ])("%s", (_name, text) => {
    const kills = eventsOf(`[   12.000000] ${text}`).filter((event) => event.kind === "kill");
    expect(kills).toEqual([]);
  });

  it("an event without a victim does not replace a later kill", () => {
    const events = eventsOf(
      "[   12.000000] java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
      "[   12.000001] Out of memory and no killable processes...",
      `[   12.000002] Memory cgroup out of memory: Killed process 42 (java) ${sizes}`,
    );
    expect(events.map((event) => event.kind)).toEqual(["no_victim", "kill"]);
    expect(events[1]).toMatchObject({ report: { suppressed: true } });
  });
});

describe("a constraint line", () => {
  const line = (rest: string) => `oom-kill:constraint=${rest}`;

  it.each([
    ["CONSTRAINT_NONE", "none"],
    ["CONSTRAINT_MEMCG", "memcg"],
    ["CONSTRAINT_CPUSET", "cpuset"],
    ["CONSTRAINT_MEMORY_POLICY", "memory_policy"],
    ["CONSTRAINT_BPF_X", "unknown"],
  ])("%s is %s", (name, constraint) => {
    expect(
      parseConstraintLine(line(`${name},nodemask=(null),task=a,pid=1,uid=0`))?.constraint,
    ).toBe(constraint);
  });

  it("is read from both ends, for its fields are not quoted", () => {
    const odd = "a,task=evil,pid=1,uid=0";
    const text = line(
      `CONSTRAINT_MEMCG,nodemask=(null),cpuset=${odd},mems_allowed=0,oom_memcg=/${odd},task_memcg=/${odd}/b,task=java,pid=42,uid=7`,
    );
    expect(parseConstraintLine(text)).toEqual({
      constraint: "memcg",
      limitCgroup: `/${odd}`,
      victimCgroup: `/${odd}/b`,
      task: "java",
      pid: 42,
      uid: 7,
    });
  });

  it("without cpuset and memcg parts still names the task", () => {
    expect(
      parseConstraintLine(line("CONSTRAINT_NONE,nodemask=(null),task=java,pid=42,uid=0")),
    ).toEqual({
      constraint: "none",
      task: "java",
      pid: 42,
      uid: 0,
    });
  });

  it("that is truncated gives no cgroup that may be truncated too", () => {
    const cut = line(
      "CONSTRAINT_MEMCG,nodemask=(null),cpuset=b,mems_allowed=0,oom_memcg=/job,task_memcg=/job/b-lo",
    );
    expect(parseConstraintLine(cut)).toEqual({ constraint: "memcg", limitCgroup: "/job" });
  });
});

describe("an event of 4.14", () => {
  const [report] = reportsOf(
    "[  100.000000] java invoked oom-killer: gfp_mask=0x14000c0(GFP_KERNEL), nodemask=(null),  order=0, oom_score_adj=-5",
    "[  100.000001] java cpuset=abc mems_allowed=0",
    "[  100.000002] CPU: 1 PID: 40 Comm: java Not tainted 4.14.177 #1",
    "[  100.000003] Task in /docker/abc killed as a result of limit of /docker",
    "[  100.000004] memory: usage 1048576kB, limit 1048576kB, failcnt 77",
    "[  100.000005] memory+swap: usage 1048576kB, limit 9007199254740988kB, failcnt 0",
    "[  100.000006] kmem: usage 900kB, limit 9007199254740988kB, failcnt 0",
    "[  100.000007] Memory cgroup stats for /docker: cache:32KB rss:0KB shmem:16KB",
    "[  100.000008] Memory cgroup stats for /docker/abc: cache:64KB rss:524188KB",
    "[  100.000009] [ pid ]   uid  tgid total_vm      rss nr_ptes nr_pmds swapents oom_score_adj name",
    "[  100.000010] [   40]  1000    40     2048     1026      10       3        5            -5 java",
    "[  100.000011] [   42]  1001    42     2048      100      10       3        0           300 my thread",
    "[  100.000012] Memory cgroup out of memory: Kill process 40 (java) score 900 or sacrifice child",
    `[  100.000013] Killed process 42 (my thread) ${sizes}, shmem-rss:0kB`,
  );

  it("takes constraint and prefix from its announcement, whose pid may be the parent's", () => {
    expect(report).toMatchObject({
      pid: 42,
      constraint: "memcg",
      prefix: "Memory cgroup out of memory",
    });
  });

  it("takes cgroups from its Task in line", () => {
    expect(report).toMatchObject({ victimCgroup: "/docker/abc", limitCgroup: "/docker" });
  });

  it("takes uid and oom_score_adj from the victim's row", () => {
    expect(report).toMatchObject({ uid: 1001, oomScoreAdj: 300, lineNumber: 14 });
  });

  it("has usage, without limits that mean none", () => {
    expect(report?.dump?.memcg).toMatchObject({
      memory: { usageBytes: 2 ** 30, limitBytes: 2 ** 30 },
      memorySwap: { usageBytes: 2 ** 30 },
    });
    expect(report?.dump?.memcg?.memorySwap?.limitBytes).toBeUndefined();
    expect(report?.dump?.memcg?.stat).toEqual(
      new Map([
        ["cache", 32 * kb],
        ["rss", 0],
        ["shmem", 16 * kb],
      ]),
    );
  });

  it("has its trigger and its tasks", () => {
    expect(report?.dump?.trigger).toEqual({
      comm: "java",
      pid: 40,
      gfpMask: "0x14000c0(GFP_KERNEL)",
      order: 0,
      oomScoreAdj: -5,
    });
    expect(report?.dump?.tasks[0]).toMatchObject({
      pid: 40,
      comm: "java",
      rssBytes: 1026 * 4096,
      swapBytes: 5 * 4096,
      oomScoreAdj: -5,
    });
  });
});

describe("a header of", () => {
  it.each<[string, string, object]>([
    ["2.6.18", "oom-killer: gfp_mask=0x201d2, order=0", { comm: "", order: 0, gfpMask: "0x201d2" }],
    [
      "2.6.20",
      "java invoked oom-killer: gfp_mask=0x201d2, order=1, oomkilladj=0",
      { comm: "java", order: 1 },
    ],
    [
      "2.6.32",
      "java invoked oom-killer: gfp_mask=0x201d2, order=0, oom_adj=0",
      { comm: "java", order: 0 },
    ],
    [
      "RHEL 6",
      "java invoked oom-killer: gfp_mask=0x201da, order=0, oom_adj=0, oom_score_adj=3",
      { oomScoreAdj: 3 },
    ],
    [
      "SysRq",
      "kworker/0:1 invoked oom-killer: order=-1, oom_score_adj=0, gfp_mask=0x24200ca(GFP_HIGHUSER_MOVABLE)",
      { order: -1 },
    ],
    [
      "6.1",
      "java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=999",
      { oomScoreAdj: 999 },
    ],
  ])("%s", (_era, header, trigger) => {
    const [report] = reportsOf(
      `[    1.000000] ${header}`,
      `[    1.000001] Killed process 42 (java) ${sizes}`,
    );
    expect(report?.dump?.trigger).toMatchObject(trigger);
  });

  it("6.11 on names a UID before the PID: the trigger's", () => {
    const [report] = reportsOf(
      "[    1.000000] java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
      "[    1.000001] CPU: 1 UID: 104 PID: 77 Comm: java Not tainted 6.12.0 #1",
      `[    1.000002] Out of memory: Killed process 42 (java) ${sizes}`,
    );
    expect(report?.uid).toBeUndefined();
    expect(report?.dump?.trigger?.pid).toBe(77);
  });
});

describe("a task table", () => {
  const header =
    "[    1.000000] java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0";
  const kill = `[    1.000009] Out of memory: Killed process 42 (java) total-vm:131072kB, anon-rss:4096kB, file-rss:8kB`;
  it.each([
    [
      "2.6.2x",
      "[ pid ]   uid  tgid total_vm      rss cpu oom_adj name",
      "[   42]     7    42    32768     1026   1     -17 j a (v) 1",
    ],
    [
      "RHEL 6",
      "[ pid ]   uid  tgid total_vm      rss cpu oom_adj oom_score_adj name",
      "[   42]     7    42    32768     1026   1     -17         -1000 j a (v) 1",
    ],
    [
      "3.x",
      "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name",
      "[   42]     7    42    32768     1026      60        0             0 j a (v) 1",
    ],
    [
      "4.19",
      "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
      "[     42]     7    42    32768     1026   135168        0             0 j a (v) 1",
    ],
    [
      "6.8",
      "[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name",
      "[     42]     7    42    32768     1026     1000       26         0   135168        0             0 j a (v) 1",
    ],
    [
      "a patched kernel",
      "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
      "[     42]     7    42    32768 (01)1026   135168        0             0 j a (v) 1",
    ],
  ])("of %s is bound by its header", (_era, columns, row) => {
    const [report] = reportsOf(
      header,
      `[    1.000001] ${columns}`,
      `[    1.000002] ${row}`,
      `[    1.000003] ${row.replace("42]", "43]")}`,
      kill,
    );
    expect(report?.dump?.tasks[1]).toMatchObject({
      pid: 43,
      comm: "j a (v) 1",
      uid: 7,
      tgid: 42,
      rssBytes: 1026 * 4096,
    });
    expect(report?.dump?.tasks[0]?.comm).toBe("java");
  });

  it("has a task once, although a newline in its name splits the row", () => {
    const [report] = reportsOf(
      header,
      "[    1.000001] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
      "[    1.000002] [     43]     7    43    32768     1026   135168        0             0 a",
      "               b",
      kill,
    );
    expect(report?.dump?.tasks.map(({ pid, comm }) => [pid, comm])).toEqual([[43, "a\nb"]]);
  });

  it("of a kernel with 64 KiB pages is known by the victim's size", () => {
    const [report] = reportsOf(
      header,
      "[    1.000001] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
      "[    1.000002] [     42]     7    42     2048       64   135168        0             0 java",
      kill,
    );
    expect(report?.dump).toMatchObject({ pageSizeBytes: 65536, tasks: [{ rssBytes: 64 * 65536 }] });
  });
});

describe("which dump is whose", () => {
  const header = (time: number, comm: string, caller = "") =>
    `[${time.toFixed(6).padStart(12)}]${caller} ${comm} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0`;
  const kill = (time: number, pid: number, caller = "", prefix = "Out of memory: ") =>
    `[${time.toFixed(6).padStart(12)}]${caller} ${prefix}Killed process ${pid} (java) ${sizes}`;
  const triggers = (...lines: string[]) =>
    reportsOf(...lines).map((report) => report.dump?.trigger?.comm);

  it("a dump serves one kill", () => {
    expect(triggers(header(1, "a"), kill(1.1, 41), kill(1.2, 42))).toEqual(["a", undefined]);
  });

  it("a dump never serves a kill before it", () => {
    expect(triggers(kill(1, 41), header(1.1, "a"), kill(1.2, 42))).toEqual([undefined, "a"]);
  });

  it("the printk caller separates interleaved events", () => {
    expect(
      triggers(
        header(1, "a", "[ T1]"),
        header(1.1, "b", "[ T2]"),
        kill(1.2, 41, "[ T1]"),
        kill(1.3, 42, "[ T2]"),
      ),
    ).toEqual(["a", "b"]);
  });

  it("without it the nearest one before, and for old kernels the other one next", () => {
    expect(
      triggers(header(1, "a"), header(1.1, "b"), kill(1.2, 41, "", ""), kill(1.3, 42, "", "")),
    ).toEqual(["b", "a"]);
    expect(triggers(header(1, "a"), header(1.1, "b"), kill(1.2, 41), kill(1.3, 42))).toEqual([
      "b",
      undefined,
    ]);
  });

  it("a host's dump is not used for a cgroup's kill", () => {
    expect(
      triggers(
        header(1, "a"),
        "[    1.050000] Mem-Info:",
        kill(1.1, 41, "", "Memory cgroup out of memory: "),
      ),
    ).toEqual([undefined]);
  });

  it("an old dump is not used for a much later kill", () => {
    expect(triggers(header(1, "a"), kill(500, 41))).toEqual([undefined]);
  });

  it("a Task in line that other output tore apart is put together", () => {
    const [report] = reportsOf(
      header(1, "a"),
      "[    1.010000] Task in /a",
      "[    1.020000]  killed as a result of limit of /b",
      kill(1.1, 41, "", ""),
    );
    expect(report).toMatchObject({ victimCgroup: "/a", limitCgroup: "/b", constraint: "memcg" });
  });
});

describe("a group event", () => {
  const kill = (time: string, pid: number, comm = "java") =>
    `[${time.padStart(12)}] Memory cgroup out of memory: Killed process ${pid} (${comm}) ${sizes}`;
  const group = "[    1.000001] Tasks in /job are going to be killed due to memory.oom.group set";
  const header =
    "[    0.900000] java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0";

  it("names its first victim twice and counts it once", () => {
    const reports = reportsOf(
      header,
      kill("1.000000", 41),
      group,
      kill("1.000002", 42),
      kill("1.000003", 41),
    );
    expect(reports.map((report) => [report.pid, report.repeatsVictim, report.groupCgroup])).toEqual(
      [
        [41, false, "/job"],
        [42, false, "/job"],
        [41, true, "/job"],
      ],
    );
    expect(reports.every((report) => !report.suppressed)).toBe(true);
  });

  it("reports the group after its first victim", () => {
    const events = eventsOf(header, kill("1.000000", 41), group);
    expect(events[1]).toMatchObject({ kind: "group", cgroup: "/job", report: { pid: 41 } });
  });

  it("of 4.19 has one prefix, in the first one's announcement", () => {
    const kill = (at: number, pid: number) =>
      `[   52.${at}] Killed process ${pid} (allocate) total-vm:8192kB, anon-rss:4096kB, file-rss:4kB, shmem-rss:0kB`;
    const reports = reportsOf(
      "[   52.835327] Out of memory: Kill process 1221 (allocate) score 241 or sacrifice child",
      kill(836625, 1221),
      "[   52.841431] Tasks in /A1 are going to be killed due to memory.oom.group set",
      kill(869439, 1217),
      kill(903770, 1221),
      kill(905574, 1222),
    );
    expect(reports.map(({ pid, repeatsVictim }) => [pid, repeatsVictim])).toEqual([
      [1221, false],
      [1217, false],
      [1221, true],
      [1222, false],
    ]);
    for (const report of reports) {
      expect(report).toMatchObject({ constraint: "none", groupCgroup: "/A1" });
    }
  });

  it("ends with the next event: the same pid is then a new victim", () => {
    const reports = reportsOf(
      header,
      kill("1.000000", 41),
      group,
      header.replace("0.9", "1.5"),
      kill("1.600000", 41),
    );
    expect(reports.map((report) => report.repeatsVictim)).toEqual([false, false]);
  });

  it("is another process if the name differs, or a minute has passed", () => {
    expect(
      reportsOf(header, kill("1.000000", 41), group, kill("1.000003", 41, "x")).map(
        (report) => report.repeatsVictim,
      ),
    ).toEqual([false, false]);
    expect(
      reportsOf(header, kill("1.000000", 41), group, kill("90.000000", 41)).map(
        (report) => report.repeatsVictim,
      ),
    ).toEqual([false, false]);
  });

  it("passes its cgroup to no other kill once the kernel may have skipped the next event's dump", () => {
    const storm = Array.from({ length: 10 }, (_, index) => [
      header.replace("0.900000", `0.${index}00000`),
      kill(`0.${index}00001`, 100 + index),
    ]).flat();
    const reports = reportsOf(...storm, group, kill("1.000002", 200));
    expect(reports.at(-2)?.groupCgroup).toBe("/job");
    expect(reports.at(-1)?.groupCgroup).toBeUndefined();
    expect(reports.at(-1)?.suppressed).toBe(true);
  });
});

describe("a torn kill line", () => {
  const header =
    "Nov 20 13:23:50 h kernel: [    1.000000] java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0";
  const named =
    "Nov 20 13:23:50 h kernel: [    1.000001] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=java,pid=42,uid=0";
  const cut =
    "Nov 20 13:23:50 h kernel: [    1.000002] Out of memory: Killed process 42 (java) total-vm:8192kB, anon-rss:40";

  it("counts if the dump before it names the same victim, with what is left of its numbers", () => {
    const [report] = reportsOf(header, named, cut);
    expect(report).toMatchObject({
      pid: 42,
      comm: "java",
      totalVmBytes: 8192 * kb,
      anonRssBytes: undefined,
    });
  });

  it("counts if its first size is whole", () => {
    expect(reportsOf(cut)).toMatchObject([{ pid: 42, comm: "java", totalVmBytes: 8192 * kb }]);
  });

  it("is reported as unparsed if nothing else confirms it", () => {
    const head = cut.slice(0, cut.indexOf("92kB"));
    expect(eventsOf(head)).toMatchObject([{ kind: "unparsed", lineNumber: 1 }]);
    expect(reportsOf(header, named, head)).toMatchObject([{ pid: 42, totalVmBytes: undefined }]);
  });

  it("by a newline in the name is put together again", () => {
    const prefix = "Nov 20 13:23:50 h kernel: [    1.000002] ";
    const [report] = reportsOf(
      `${prefix}Out of memory: Killed process 42 (a`,
      `${prefix}b) ${sizes}`,
    );
    expect(report).toMatchObject({ comm: "a\nb", lineNumber: 1 });
  });
});

describe("a constraint line of 5.0 to 5.2, which says none whatever it was", () => {
  const line = (more: string) =>
    `[   37.123371] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,${more},task=a.out,pid=9188,uid=0`;

  it("is a cgroup's if it names the cgroup of a limit", () => {
    const [report] = reportsOf(
      line("oom_memcg=/test1,task_memcg=/test1"),
      `[   37.128158] Memory cgroup out of memory: Killed process 9188 (a.out) ${sizes}`,
    );
    expect(report).toMatchObject({ constraint: "memcg", limitCgroup: "/test1" });
  });

  it("is the host's where it does not", () => {
    const [report] = reportsOf(
      line("global_oom,task_memcg=/test1"),
      `[   37.128158] Out of memory: Killed process 9188 (a.out) ${sizes}`,
    );
    expect(report).toMatchObject({ constraint: "none", limitCgroup: undefined });
  });
});

describe("a log that does not begin with its dump's header", () => {
  const pod =
    "/kubepods/pod951f6bc5-c5a5-11ea-8707-80e455f266a2/024952d653ef1cd852f875a61bd27cf45cb1fd6cab3659ca7e5f12f037d99aa9";

  it("has what is left of it, in a cgroup", () => {
    const [report] = reportsOf(
      "[337533.314322] memory: usage 524288kB, limit 524288kB, failcnt 1240247",
      "[337533.314332] Tasks state (memory values in pages):",
      "[337533.314333] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
      "[337533.314407] [  23793]     0 23793   655928   126942  5226496   519670             0 leaker",
      "[337533.314408] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/leaker,task_memcg=/leaker,task=leaker,pid=23793,uid=0",
      "[337533.314412] Memory cgroup out of memory: Killed process 23793 (leaker) total-vm:2623712kB, anon-rss:506500kB, file-rss:1268kB, shmem-rss:0kB",
    );
    expect(report).toMatchObject({ limitCgroup: "/leaker", uid: 0, suppressed: false });
    expect(report?.dump?.memcg?.memory?.limitBytes).toBe(524288 * kb);
    expect(report?.dump?.tasks).toHaveLength(1);
  });

  it("has what is left of it, on the host", () => {
    const [report] = reportsOf(
      "[ 1630.146921][T14021] Free swap  = 0kB",
      "[ 1630.148627][T14021] Total swap = 2097148kB",
      "[ 1630.150298][T14021] 2096998 pages RAM",
      "[ 1630.158028][T14021] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),global_oom,task_memcg=/,task=a.out,pid=23173,uid=0",
      "[ 1630.161867][T14021] Out of memory: Killed process 23173 (a.out) total-vm:4228kB, anon-rss:88kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:52kB oom_score_adj:1000",
    );
    expect(report?.dump?.memInfo).toMatchObject({ swapFreeBytes: 0, swapTotalBytes: 2097148 * kb });
  });

  it("is not confused with a failed allocation's Mem-Info", () => {
    const [report] = reportsOf(
      "[   10.000000] eth0: page allocation failure: order:4, mode:0x20",
      "[   10.000001] Mem-Info:",
      "[   10.000002] Free swap  = 0kB",
      `[   12.000000] Out of memory: Killed process 42 (java) ${sizes}`,
    );
    expect(report?.suppressed).toBe(true);
  });

  it("has the limit's path though a pager broke it", () => {
    const [report] = reportsOf(
      `[5193605.506728] Task in ${pod} killed as a result of limit of ${pod.slice(0, 7)}`,
      pod.slice(7),
      "[5193605.506956] Memory cgroup out of memory: Kill process 62685 (bash) score 0 or sacrifice child",
      "[5193605.508964] Killed process 62769 (cp) total-vm:17528kB, anon-rss:240kB, file-rss:1404kB, shmem-rss:0kB",
    );
    expect(report).toMatchObject({ limitCgroup: pod, victimCgroup: pod });
  });
});

describe("a log with each line twice", () => {
  const twice = (lines: readonly string[]) => reportsOf(...lines.flatMap((line) => [line, line]));

  it("has one kill with its dump", () => {
    const at = "Nov 20 13:23:50 h kernel: ";
    const reports = twice([
      `${at}java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0`,
      `${at}CPU: 0 PID: 41 Comm: java Not tainted 6.1.0`,
      `${at}[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name`,
      `${at}[     42]     0    42     2048     1026    98304        0             0 java`,
      `${at}oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=b,mems_allowed=0,oom_memcg=/job,task_memcg=/job/b,task=java,pid=42,uid=0`,
      `${at}Memory cgroup out of memory: Killed process 42 (java) ${sizes}, shmem-rss:0kB, UID:0 pgtables:96kB oom_score_adj:0`,
    ]);
    expect(reports.map((report) => report.repeatsVictim)).toEqual([false, true]);
    expect(reports[0]).toMatchObject({ victimCgroup: "/job/b", limitCgroup: "/job" });
    expect(reports[0]?.dump?.trigger).toMatchObject({ comm: "java", pid: 41 });
    expect(reports[0]?.dump?.tasks).toHaveLength(1);
  });
});

describe("a machine without NUMA", () => {
  it("names no node before its zones", () => {
    const [report] = reportsOf(
      "[  492.640000] php invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
      "[  492.645000] Mem-Info:",
      "[  492.659081] DMA free:519112kB boost:7216kB min:10428kB low:11228kB high:12028kB reserved_highatomic:0KB",
      "[  492.661151] lowmem_reserve[]: 0 0 3188 3188",
      "[  492.661500] HighMem free:3160712kB min:512kB low:4000kB high:7488kB",
      "[  492.662208] DMA: 142*4kB (UEC) 161*8kB (UEC) = 519120kB",
      `[  492.680000] Out of memory: Killed process 42 (java) ${sizes}`,
    );
    expect(report?.dump?.memInfo?.zones).toEqual([
      {
        node: 0,
        zone: "DMA",
        freeBytes: 519112 * kb,
        minBytes: 10428 * kb,
        lowBytes: 11228 * kb,
        highBytes: 12028 * kb,
        freeBlocksBytes: [142 * 4 * kb, 161 * 8 * kb],
      },
      {
        node: 0,
        zone: "HighMem",
        freeBytes: 3160712 * kb,
        minBytes: 512 * kb,
        lowBytes: 4000 * kb,
        highBytes: 7488 * kb,
      },
    ]);
  });
});

describe("a kill line that a mail or a pager broke", () => {
  it("is put together again in the middle of a number", () => {
    expect(
      reportsOf(
        "[   37.128158] Memory cgroup out of memory: Killed process 76630 (br) total-vm:22239",
        "788kB, anon-rss:13884820kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:28052kB oom_score_adj:-997",
      ),
    ).toMatchObject([{ pid: 76630, totalVmBytes: 22239788 * kb, oomScoreAdj: -997 }]);
  });

  it("is put together again at a blank", () => {
    expect(
      reportsOf(
        "Jul 22 10:42:40 h kernel: Out of memory: Killed process 3035",
        "(oomprocs) total-vm:1056800kB, anon-rss:8kB, file-rss:4kB,",
        "shmem-rss:0kB",
      ),
    ).toMatchObject([{ pid: 3035, comm: "oomprocs", shmemRssBytes: 0, lineNumber: 1 }]);
  });
});

describe("a loss reported in the log", () => {
  it.each([
    [
      "oom_kill_process: 34 callbacks suppressed",
      "kernel",
      { what: "callbacks_suppressed", count: 34 },
    ],
    ["printk: 12 messages dropped", "kernel", { what: "printk_dropped", count: 12 }],
    ["** 5 printk messages dropped **", "kernel", { what: "printk_dropped", count: 5 }],
    [
      "h systemd-journald[211]: Missed 99 kernel messages",
      "user",
      { what: "journal_missed", count: 99 },
    ],
    [
      "h rsyslogd: imuxsock[pid: 7, name: x] lost 40 messages from pid 7 due to rate-limiting",
      "user",
      { what: "syslog_lost", count: 40 },
    ],
    ["net_ratelimit: many callbacks suppressed", "kernel", undefined],
  ] as const)("%s", (text, origin, loss) => {
    expect(parseLoss({ text, origin })).toEqual(loss);
  });
});
