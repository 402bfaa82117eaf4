import { existsSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MemInfoDump, OomDump, OomTask } from "../../src/kernel-log/oom-dump.ts";
import type { OomKillReport } from "../../src/kernel-log/oom-report.ts";
import { readAdvice, runbooks, writeAdvice } from "../../src/kills/advice.ts";
import { diagnose } from "../../src/kills/diagnosis.ts";
import { killOfReport } from "../../src/kills/kill.ts";
import { ownerOfCgroup } from "../../src/kills/owner.ts";

const mib = 1024 * 1024;
const gib = 1024 * mib;

const task = (
  pid: number,
  comm: string,
  rssBytes: number,
  more: Partial<OomTask> = {},
): OomTask => ({
  pid,
  comm,
  rssBytes,
  swapBytes: 0,
  oomScoreAdj: 0,
  ...more,
});
const victim = task(42, "mysqld", 9 * gib);

function kill(more: Partial<OomKillReport> = {}, dump?: Partial<OomDump>): OomKillReport {
  return {
    killLine: { text: "", origin: "kernel" },
    pid: 42,
    comm: "mysqld",
    anonRssBytes: 9 * gib,
    fileRssBytes: 0,
    shmemRssBytes: 0,
    constraint: "none",
    repeatsVictim: false,
    suppressed: dump === undefined,
    dump: dump && { tasks: [victim], pageSizeBytes: 4096, ...dump },
    ...more,
  };
}

function host(memInfo: Partial<MemInfoDump>, dump: Partial<OomDump> = {}): OomKillReport {
  const sums = { totalBytes: 16 * gib, freeBytes: 100 * mib, swapTotalBytes: 0, swapFreeBytes: 0 };
  return kill({}, { memInfo: { ...sums, zones: [], ...memInfo }, ...dump });
}

const adviceOf = (of: OomKillReport) => diagnose(of, ownerOfCgroup).advice;
const text = (of: OomKillReport) => adviceOf(of).map(writeAdvice).join("\n");

describe("advice", () => {
  it("ends with a runbook that there is", () => {
    for (const page of Object.values(runbooks)) {
      expect(existsSync(new URL(`../../${page}`, import.meta.url)), page).toBe(true);
    }
    expect(adviceOf(host({})).at(-1)?.text).toBe("Runbook: docs/runbooks/OomHostExhausted.md");
    expect(adviceOf(kill({ constraint: "memcg" })).at(-1)?.text).toBe(
      "Runbook: docs/runbooks/OomKill.md",
    );
  });

  it("comes back from its line in the JSON as it was", () => {
    const line = fc.string().filter((value) => !value.includes("\n"));
    fc.assert(
      fc.property(line, fc.option(fc.string(), { nil: undefined }), (said, command) => {
        const advice = command === undefined ? { text: said } : { text: said, command };
        expect(readAdvice(writeAdvice(advice))).toEqual(advice);
      }),
    );
  });
});

describe("a process with a line feed in its name", () => {
  it("puts no command of its own into the advice on its kill", () => {
    const hog = {
      ...victim,
      pid: 7,
      comm: "x\nrm -rf ~ #",
      rssBytes: 12 * gib,
      oomScoreAdj: -1000,
    };
    const { advice } = killOfReport(host({ anonBytes: 12 * gib }, { tasks: [victim, hog] }), {
      incident: "a-1-2",
      sourceName: "kern.log",
      ownerOf: ownerOfCgroup,
    });
    const commands = advice.map((line) => readAdvice(line).command ?? "");
    expect(advice.join("\n")).toContain("x\\nrm -rf ~ #");
    expect(commands.filter((command) => command.includes("rm -rf"))).toEqual([]);
  });
});

describe("swap", () => {
  const anon = { anonBytes: 12 * gib };

  it("is advised if there is none and anonymous memory is the larger part", () => {
    expect(text(host(anon))).toContain("There is no swap");
  });

  it.each<[string, OomKillReport]>([
    ["there is some", host({ ...anon, swapTotalBytes: gib, swapFreeBytes: gib })],
    ["the page cache holds more", host({ anonBytes: 2 * gib })],
    ["the dump does not say what is anonymous", host({})],
    ["the kubelet runs there", host(anon, { tasks: [victim, task(7, "kubelet", 90 * mib)] })],
    [
      "the victim is a pod's",
      { ...host(anon), victimCgroup: "/kubepods/pod1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11" },
    ],
    [
      "the kernel holds the memory",
      host({ ...anon, slabUnreclaimableBytes: 9 * gib }, { tasks: [] }),
    ],
    ["somebody asked by SysRq f", host(anon, { trigger: { comm: "kworker", order: -1 } })],
  ])("is not advised if %s", (_name, of) => {
    expect(text(of)).not.toContain("swapfile");
  });
});

describe("the process to restart", () => {
  const full = { swapTotalBytes: 2 * gib, swapFreeBytes: 0 };

  it("is never the process that was just killed", () => {
    expect(diagnose(host(full), ownerOfCgroup).cause).toBe("swap_exhausted");
    expect(text(host(full))).not.toMatch(/^Restart or/m);
    // The kill line names a thread; the task table has its process.
    const thread = host(full, { tasks: [task(40, "mysqld", 9 * gib, { tgid: 42 })] });
    expect(text(thread)).not.toMatch(/^Restart or/m);
  });

  it("is never that process whatever else the report holds", () => {
    const tasks = fc.array(
      fc.record({
        pid: fc.integer({ min: 1, max: 60 }),
        comm: fc.constantFrom("mysqld", "java", "postgres"),
        size: fc.integer({ min: 1, max: 12 * 1024 }),
        adj: fc.constantFrom(-1000, 0, 300),
        swap: fc.integer({ min: 0, max: 4096 }),
      }),
      { maxLength: 20 },
    );
    const swap = fc.constantFrom(0, 2 * gib);
    fc.assert(
      fc.property(tasks, swap, fc.boolean(), (rows, swapTotalBytes, isCut) => {
        const table = rows.map(({ pid, comm, size, adj, swap: swapped }) =>
          task(pid, comm, size * mib, { oomScoreAdj: adj, swapBytes: swapped * mib }),
        );
        const of = host(
          { swapTotalBytes },
          { tasks: [victim, ...table.filter(({ pid }) => pid !== 42)], isTaskTableCut: isCut },
        );
        expect(text(of)).not.toMatch(/^Restart .*\(pid 42\)/m);
      }),
    );
  });

  it("is the largest remaining process, if that is large", () => {
    const tasks = [victim, task(50, "java", 3 * gib), task(51, "cron", mib)];
    expect(text(host(full, { tasks }))).toContain(
      "Restart or limit the largest process still running: java (pid 50), 3 GiB.",
    );
    expect(text(host(full, { tasks: [victim, task(51, "cron", mib)] }))).not.toMatch(
      /^Restart or/m,
    );
  });
});

describe("a report that is missing", () => {
  it("is blamed on the rate limit only if ten reports came before the kill", () => {
    const limited = kill({ constraint: "memcg", isRateLimited: true });
    expect(text(limited)).toContain("at most ten reports in 5 s");
    expect(text(kill({ constraint: "memcg" }))).not.toContain("at most ten");
  });

  it("is otherwise called filtered or truncated, with the command that reads the full log", () => {
    expect(text(kill({ constraint: "memcg" }))).toContain(
      "This log is filtered or truncated: it has the kill line but no report. Read the full log:\njournalctl -k -o short-iso | oom-exporter explain -",
    );
    expect(text(kill({}, { tasks: [] }))).toContain("the numbers of the report are missing");
    expect(text(host({}))).not.toContain("filtered");
  });
});

describe("advice for the program", () => {
  it("is for the program that is to blame, once", () => {
    const chrome = task(60, "chrome", 13 * gib);
    const said = text(host({}, { tasks: [chrome, victim] }));
    expect(said.match(/docs\/software\//g)).toHaveLength(1);
    expect(said).toContain("docs/software/browsers.md");
    const limit = { constraint: "memcg", limitCgroup: "/job", victimCgroup: "/job" } as const;
    expect(text(kill(limit))).toContain("docs/software/mysql.md");
  });

  it.each<[string, OomKillReport]>([
    ["of a limit", kill({ constraint: "memcg", anonRssBytes: 8 * mib })],
    ["of a host", kill({ anonRssBytes: 18 * mib })],
    [
      "among much larger ones",
      host({}, { tasks: [task(42, "mysqld", 90 * mib), task(50, "java", 100 * mib)] }),
    ],
  ])("is not given to a small victim %s", (_name, of) => {
    expect(text({ ...of, anonRssBytes: Math.min(of.anonRssBytes ?? 0, 90 * mib) })).not.toContain(
      "docs/software/",
    );
  });

  it("is not given if no program is to blame", () => {
    expect(text(host({ slabUnreclaimableBytes: 9 * gib }, { tasks: [] }))).not.toContain(
      "docs/software/",
    );
  });
});

describe("an unknown limit", () => {
  it("is looked for from the victim's cgroup upwards", () => {
    expect(text(kill({ constraint: "memcg", victimCgroup: "/a/b" }))).toContain(
      "oom-exporter victims --cgroup /a/b",
    );
  });
});
