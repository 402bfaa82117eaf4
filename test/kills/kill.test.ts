import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KillScanner } from "../../src/kernel-log/kill-scanner.ts";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import type { KernelLogEvent } from "../../src/kernel-log/oom-report.ts";
import { type Kill, killOfReport } from "../../src/kills/kill.ts";
import { ownerOfCgroup } from "../../src/kills/owner.ts";

const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };

function killsOf(log: string): Kill[] {
  const kills: Kill[] = [];
  const scanner = new KillScanner({ clock }, (event: KernelLogEvent) => {
    if (event.kind !== "kill") return;
    kills.push(
      killOfReport(event.report, { incident: "0-1-1", sourceName: "log", ownerOf: ownerOfCgroup }),
    );
  });
  scanner.push(Buffer.from(log));
  scanner.endOfInput();
  return kills;
}

describe("a kill", () => {
  it("has null for whatever its log does not say, never 0", () => {
    const [kill] = killsOf("Killed process 42 (java)\n");
    expect(kill).toMatchObject({
      time: null,
      uptimeSeconds: null,
      uid: null,
      constraint: "unknown",
      limitCgroup: null,
      cgroup: null,
      trigger: null,
      memory: {
        totalVmBytes: null,
        anonRssBytes: null,
        fileRssBytes: null,
        shmemRssBytes: null,
        pageTablesBytes: null,
      },
      oomScoreAdj: null,
      limitBytes: null,
      usageBytes: null,
      swapFreeBytes: null,
      cause: "unknown",
      tasks: [],
      group: null,
      suppressed: true,
      source: { name: "log", line: null },
    });
  });

  it("keeps the ten largest tasks by memory and swap together", () => {
    const rows = Array.from(
      { length: 30 },
      (_, n) =>
        `[    ${100 + n}]     0   ${100 + n}  9999  ${n}  1  1  ${n === 3 ? 500 : 0}  0 task-${n}`,
    );
    const [kill] = killsOf(
      `a invoked oom-killer: order=0\n[ pid ]   uid  tgid total_vm      rss nr_ptes nr_pmds swapents oom_score_adj name\n${rows.join("\n")}\nKilled process 129 (task-29) total-vm:4kB, anon-rss:4kB, file-rss:0kB\n`,
    );
    expect(kill?.tasks.map((task) => task.comm)).toEqual([
      "task-3",
      "task-29",
      "task-28",
      "task-27",
      "task-26",
      "task-25",
      "task-24",
      "task-23",
      "task-22",
      "task-21",
    ]);
  });
});

/** What an event of 6.1 consists of, to be written in each envelope. */
const events = fc.record({
  comm: fc.stringMatching(/^[A-Za-z0-9():=,._ -]{1,15}$/),
  pid: fc.integer({ min: 1, max: 4_194_304 }),
  uid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
  cgroup: fc.stringMatching(/^(\/[a-z0-9 @:._=-]{1,20}){1,4}$/),
  anonPages: fc.integer({ min: 1, max: 2 ** 30 }),
  adj: fc.integer({ min: -999, max: 1000 }),
  micros: fc.integer({ min: 0, max: 2 ** 40 }),
});

type Event = typeof events extends fc.Arbitrary<infer Value> ? Value : never;

function messagesOf({ comm, pid, uid, cgroup, anonPages, adj }: Event): string[] {
  const kilobytes = anonPages * 4;
  return [
    `${comm} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=${adj}`,
    `CPU: 0 PID: ${pid} Comm: ${comm} Not tainted 6.1.0 #1`,
    `memory: usage ${kilobytes}kB, limit ${kilobytes}kB, failcnt 7`,
    "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
    `[${String(pid).padStart(7)}] ${uid} ${pid} ${anonPages} ${anonPages} 4096 0 ${adj} ${comm}`,
    `oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=${cgroup},task_memcg=${cgroup},task=${comm},pid=${pid},uid=${uid}`,
    `Memory cgroup out of memory: Killed process ${pid} (${comm}) total-vm:${kilobytes}kB, anon-rss:${kilobytes}kB, file-rss:0kB, shmem-rss:0kB, UID:${uid} pgtables:4kB oom_score_adj:${adj}`,
  ];
}

const seconds = (micros: number) =>
  `${String(Math.floor(micros / 1e6)).padStart(5)}.${String(micros % 1e6).padStart(6, "0")}`;
const envelopes: Record<string, (text: string, micros: number) => string> = {
  "kern.log": (text, micros) => `Nov 20 13:23:50 web1 kernel: [${seconds(micros)}] ${text}\n`,
  "RFC 3339": (text, micros) =>
    `2026-11-20T13:23:50.663053+00:00 web1 kernel: [${seconds(micros)}] ${text}\n`,
  "RFC 5424": (text, micros) =>
    `<3>1 2026-11-20T13:23:50.663053+00:00 web1 kernel - - - [${seconds(micros)}] ${text}\n`,
  messages: (text) => `Nov 20 13:23:50 web1 kernel: ${text}\n`,
  dmesg: (text, micros) => `[${seconds(micros)}] ${text}\n`,
  "dmesg -T": (text) => `[Fri Nov 20 13:23:50 2026] ${text}\n`,
  "dmesg -x": (text, micros) => `kern  :err   : [${seconds(micros)}] ${text}\n`,
  "dmesg -r": (text, micros) => `<3>[${seconds(micros)}] ${text}\n`,
  "dmesg with callers": (text, micros) => `[${seconds(micros)}][  T226] ${text}\n`,
  kmsg: (text, micros) => `3,7,${micros},-;${text.replaceAll("\\", "\\x5c")}\n`,
  "journal json": (text, micros) =>
    `${JSON.stringify({ MESSAGE: text, _TRANSPORT: "kernel", _SOURCE_MONOTONIC_TIMESTAMP: String(micros) })}\n`,
  "journal bytes": (text) =>
    `${JSON.stringify({ _TRANSPORT: "kernel", MESSAGE: [...Buffer.from(text)] })}\n`,
  "journal cat": (text) => `${text}\n`,
  Talos: (text) => `10.0.0.1: kern:     err: [2026-11-20T13:23:50.637727155Z]: ${text}\n`,
};

describe("any event", () => {
  it.each(Object.keys(envelopes))("comes whole out of %s", (name) => {
    fc.assert(
      fc.property(events, (event) => {
        const envelope = envelopes[name];
        if (envelope === undefined) throw new Error(name);
        const log = messagesOf(event)
          .map((text) => envelope(text, event.micros))
          .join("");
        const { comm, pid, uid, cgroup, adj } = event;
        const size = event.anonPages * 4096;
        expect(killsOf(log)).toMatchObject([
          {
            pid,
            comm,
            uid,
            cgroup,
            limitCgroup: cgroup,
            oomScoreAdj: adj,
            constraint: "memcg",
            limitBytes: size,
            usageBytes: size,
            memory: { totalVmBytes: size, anonRssBytes: size },
            trigger: { comm, pid, order: 0, oomScoreAdj: adj },
            tasks: [{ pid, comm, rssBytes: size, oomScoreAdj: adj }],
            suppressed: false,
          },
        ]);
      }),
      { numRuns: 60 },
    );
  });
});
