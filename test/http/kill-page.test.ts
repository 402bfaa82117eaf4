import { describe, expect, it } from "vitest";
import { killPage } from "../../src/http/kill-page.ts";
import type { Kill } from "../../src/kills/kill.ts";
import { aKill, nobody, nowMs } from "./views.ts";

const site = { hostName: "web-03", version: "1.2.3", basePath: "", telemetryPath: "/metrics" };

/** The text of the page below its header, without markup. */
function read(kill: Kill): string {
  return killPage(kill, site, nowMs)
    .text.replace(/^.*<main[^>]*>/s, "")
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ");
}

describe("the page of a kill", () => {
  it("begins with the answer", () => {
    expect(read(aKill()).trim()).toMatch(
      /^It hit its own limit: the kernel killed java \(pid 4242\) of checkout\.service checkout\.service used all of its 1 GiB\. 3 minutes ago , at 2026-11-21 03:43:58 UTC What to do Raise MemoryMax=/,
    );
  });

  it("says why it was this process", () => {
    expect(read(aKill())).toContain(
      "A cgroup reached its limit, so the kernel chose among the processes in it. The limit was its own cgroup&#39;s, 1 GiB. An allocation by C2 Compiler (pid 4260) triggered the kill. It used more memory than any other process in the kernel&#39;s list.",
    );
  });

  it.each<[Kill["causeBasis"], string]>([
    ["read", "Cause was named by the kernel Cgroup"],
    ["concluded", "Cause was concluded from the report Cgroup"],
    [null, "Cause cgroup_limit Cgroup"],
  ])("says how the cause is known: %s", (causeBasis, text) => {
    expect(read(aKill({ causeBasis }))).toContain(text);
  });

  it.each<[string, Partial<Kill>, string]>([
    [
      "another's limit",
      { limitCgroup: "/system.slice" },
      "The limit was that of /system.slice, 1 GiB.",
    ],
    [
      "a larger one that is exempt",
      {
        tasks: [
          { pid: 9, comm: "db", rssBytes: 2 ** 31, swapBytes: 0, oomScoreAdj: -1000, cgroup: null },
          { pid: 4242, comm: "java", rssBytes: 1, swapBytes: 0, oomScoreAdj: 0, cgroup: null },
        ],
      },
      "1 process used more memory; the largest was db (pid 9), which is exempt from kills, with 2 GiB.",
    ],
    ["a high oom_score_adj", { oomScoreAdj: 900 }, "oom_score_adj of 900 moved it up"],
    [
      "a low oom_score_adj",
      { oomScoreAdj: -500 },
      "although an oom_score_adj of -500 protected it",
    ],
    ["a group", { group: "/job" }, "memory.oom.group is set on /job"],
    [
      "its own allocation",
      { trigger: { comm: "java", pid: 4242, gfpMask: null, order: 3, oomScoreAdj: null } },
      "Its own allocation of 2^3 pages triggered the kill.",
    ],
    ["an unknown reason", { constraint: "unknown" }, "The log does not say what ran out."],
  ])("names %s", (_, changes, sentence) => {
    expect(read(aKill(changes))).toContain(sentence);
  });

  it("shows what was using the memory, with the victim marked", () => {
    expect(read(aKill())).toContain(
      "java pid 4242 killed 998 MiB, 99 % agent pid 77 exempt 2 MiB, under 1 %",
    );
  });

  it("says when the kernel printed no report", () => {
    const text = read(aKill({ suppressed: true, tasks: [], trigger: null, limitBytes: null }));
    expect(text).toContain("The log has no report of this kill");
    expect(text).not.toContain("null");
  });

  it("works with almost no data", () => {
    const text = read(
      aKill({
        time: null,
        comm: "",
        owner: nobody,
        cgroup: null,
        limitCgroup: null,
        constraint: "unknown",
        trigger: null,
        cause: "unknown",
        advice: [],
        tasks: [],
        uid: null,
        uptimeSeconds: null,
        oomScoreAdj: null,
        limitBytes: null,
        usageBytes: null,
        swapFreeBytes: null,
        memory: {
          totalVmBytes: null,
          anonRssBytes: null,
          fileRssBytes: null,
          shmemRssBytes: null,
          pageTablesBytes: null,
        },
        source: { name: "kmsg", line: null },
      }),
    );
    expect(text).toContain("the kernel killed (no name) (pid 4242)");
    expect(text).toContain("The log does not say when.");
    expect(text).toContain("The log contains none.");
    expect(text).not.toMatch(/null|undefined|NaN/);
  });

  it("draws the way to the limit with the kill marked, and names who grew", () => {
    const before = {
      seconds: 300,
      limitBytes: 2 ** 30,
      limitUse: [
        [300, 2 ** 28],
        [30, 2 ** 29],
        [0, 2 ** 30],
      ] as [number, number][],
      growers: [
        {
          cgroup: "/system.slice/leak.service",
          owner: { ...nobody, unit: "<b>leak</b>.service" },
          pid: 9,
          comm: "<i>leak</i>",
          fromBytes: 2 ** 20,
          toBytes: 2 ** 29,
          seconds: 300,
        },
      ],
    };
    const { text } = killPage(aKill({ before }), site, nowMs);
    expect(text).toContain("Memory below the limit in the 5 minutes before the kill: from 256 MiB");
    expect(text).toContain('class="kill"');
    expect(text).toContain("The exporter had been watching for 5 minutes.");
    expect(text).toContain("Who grew");
    expect(text).toContain("1 MiB to 512 MiB in 5 minutes");
    expect(text).toContain("the kernel took java, which had not grown.");
    expect(text).not.toMatch(/<b>leak|<i>leak|NaN|undefined/);
    expect(killPage(aKill(), site, nowMs).text).not.toContain("Before the kill");
  });

  it("says what became of the workload, and whether it was killed before", () => {
    const { text } = killPage(
      aKill({
        outcome: "respawned",
        restartSeconds: 4,
        loop: { count: 3, withinSeconds: 2400, ageSeconds: 400 },
        ageSeconds: 400,
      }),
      site,
      nowMs,
    );
    expect(text).toContain(
      "The rest of checkout.service kept running, and another java was started 4 seconds after the kill.",
    );
    expect(text).toContain("The third kill of checkout.service within 40 minutes");
    expect(text).toContain("respawned");
    expect(killPage(aKill(), site, nowMs).text).not.toContain("After the kill");
  });

  it("makes web addresses in advice links, and nothing else", () => {
    const { text } = killPage(
      aKill({ advice: [`See https://example.org/a?b=1&c=2. Not javascript:alert(1) "<b>"`] }),
      site,
      nowMs,
    );
    expect(text).toContain(
      'See <a href="https://example.org/a?b=1&amp;c=2">https://example.org/a?b=1&amp;c=2</a>. Not javascript:alert(1) &quot;&lt;b&gt;&quot;',
    );
  });

  it("escapes whatever a log can put into it", () => {
    const evil = `"><img src=x onerror=alert(1)>`;
    const { text } = killPage(
      aKill({
        comm: evil,
        summary: evil,
        cgroup: evil,
        limitCgroup: `${evil}2`,
        group: evil,
        advice: [evil, `https://x/${evil}`],
        trigger: { comm: evil, pid: 1, gfpMask: evil, order: 0, oomScoreAdj: 0 },
        tasks: [{ pid: 1, comm: evil, rssBytes: 1, swapBytes: 0, oomScoreAdj: 0, cgroup: evil }],
        source: { name: evil, line: 1 },
      }),
      site,
      nowMs,
    );
    expect(text).not.toContain("<img");
  });
});
