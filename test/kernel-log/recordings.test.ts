import { readdirSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import type { KernelLogEvent, OomKillReport } from "../../src/kernel-log/oom-report.ts";
import { readWholeLog } from "../../src/kernel-log/whole-log.ts";

/*
 * What a real 6.1 kernel said, written by real rsyslog, journald and dmesg, against what the harness
 * that caused the kills knew: who died by wait status, in which cgroup.
 */

const logs = new URL("../fixtures/logs/", import.meta.url);
const names = readdirSync(logs);
const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };

interface Truth {
  victims: { pid: number; comm: string; cgroup?: string }[];
  observed: { killed_process_lines: number; oom_kill_lines: number; invoked_lines: number };
}

async function eventsOf(file: string): Promise<{ events: KernelLogEvent[]; lines: string[] }> {
  const bytes = gunzipSync(readFileSync(new URL(file, logs)));
  return { events: await scanned(bytes), lines: bytes.toString("latin1").split("\n") };
}

/** The contents of a log, whatever the form of its entries. */
async function scanned(bytes: Buffer): Promise<KernelLogEvent[]> {
  const events: KernelLogEvent[] = [];
  const log = { head: bytes.subarray(0, 65_536), chunks: [bytes] };
  await readWholeLog(log, clock, (event) => events.push(event));
  return events;
}

function killsOf(events: readonly KernelLogEvent[]): OomKillReport[] {
  return events.flatMap((event) => (event.kind === "kill" ? [event.report] : []));
}

/** What a format or a scenario does not contain, so that it cannot be known. */
function heldBy(file: string, truth: Truth): { lines: number; cgroups: number } {
  const { killed_process_lines: lines, oom_kill_lines: cgroups } = truth.observed;
  // The ring had wrapped before dmesg was run.
  if (file === "burst-200.dmesg.gz") return { lines: 152, cgroups: 35 };
  // journalctl prints `[155B blob data]` for a message that is not UTF-8.
  if (/^comm-odd\.journal-short/.test(file)) return { lines: lines - 1, cgroups };
  return { lines, cgroups };
}

/** journalctl expands tabs and takes escape sequences out. */
function asShown(file: string, text: string): string {
  if (!file.includes(".journal-short")) return text;
  return text.replaceAll("\t", "        ").replaceAll("\u001b[31m", "");
}

const scenarios = names.filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -5));

describe.each(scenarios)("%s", (scenario) => {
  const truth: Truth = JSON.parse(readFileSync(new URL(`${scenario}.json`, logs), "utf8"));
  const files = names.filter((name) => name.startsWith(`${scenario}.`) && name.endsWith(".gz"));

  it.each(files)("%s", async (file) => {
    const { events, lines } = await eventsOf(file);
    const kills = killsOf(events);
    const held = heldBy(file, truth);
    expect(kills).toHaveLength(held.lines);

    const victims = new Map(truth.victims.map((victim) => [victim.pid, victim]));
    const first = kills.filter((kill) => !kill.repeatsVictim);
    expect(new Set(first.map((kill) => kill.pid)).size).toBe(first.length);
    for (const kill of first) {
      expect(lines[(kill.lineNumber ?? 0) - 1]).toMatch(/Killed process \d|75,105,108,108,101,100/);
      // In `threads` the kernel names a thread, the harness its leader; the cgroup is the same.
      const victim = scenario === "threads" ? truth.victims[0] : victims.get(kill.pid);
      expect(victim).toBeDefined();
      if (scenario !== "threads") expect(kill.comm).toBe(asShown(file, victim?.comm ?? ""));
      if (kill.victimCgroup !== undefined && victim?.cgroup !== undefined) {
        expect(kill.victimCgroup).toBe(asShown(file, victim.cgroup));
      }
      expect(kill.suppressed).toBe(kill.dump === undefined);
      if (kill.dump !== undefined) {
        expect(kill.dump.trigger?.pid).toBeGreaterThan(0);
        expect(kill.dump.tasks.length).toBeGreaterThan(0);
        expect(kill.dump.pageSizeBytes).toBe(4096);
      }
    }
    expect(first.filter((kill) => kill.victimCgroup !== undefined)).toHaveLength(held.cgroups);
  });
});

describe("the same event in every format", () => {
  const files = names.filter((name) => name.startsWith("memcg-v2-group.") && name.endsWith(".gz"));

  it.each(files)("%s shows everything", async (file) => {
    const [first, ...others] = killsOf((await eventsOf(file)).events);
    expect(first).toMatchObject({
      pid: 226,
      comm: "greedy",
      uid: 0,
      prefix: "Memory cgroup out of memory",
      totalVmBytes: 50304 * 1024,
      anonRssBytes: 48516 * 1024,
      fileRssBytes: 4096,
      shmemRssBytes: 708 * 1024,
      pageTablesBytes: 132 * 1024,
      oomScoreAdj: 0,
      constraint: "memcg",
      victimCgroup: "/job/b",
      limitCgroup: "/job",
      groupCgroup: "/job",
      suppressed: false,
      repeatsVictim: false,
    });
    expect(first?.dump).toMatchObject({
      trigger: { comm: "greedy", pid: 226, gfpMask: "0xcc0(GFP_KERNEL)", order: 0, oomScoreAdj: 0 },
      memcg: { memory: { usageBytes: 65536 * 1024, limitBytes: 65536 * 1024 } },
    });
    expect(first?.dump?.memcg?.stat.get("anon")).toBe(66625536);
    expect(first?.dump?.tasks).toHaveLength(5);
    expect(others.map((kill) => [kill.pid, kill.repeatsVictim, kill.groupCgroup])).toEqual([
      [208, false, "/job"],
      [210, false, "/job"],
      [214, false, "/job"],
      [226, true, "/job"],
    ]);
  });
});

describe("a storm", () => {
  it("counts every kill and marks those without a kernel report", async () => {
    const { events } = await eventsOf("burst-200.kmsg.gz");
    const kills = killsOf(events);
    expect(kills.filter((kill) => !kill.suppressed)).toHaveLength(50);
    expect(kills.filter((kill) => kill.suppressed && kill.dump === undefined)).toHaveLength(150);
    expect(kills.every((kill) => kill.constraint === "memcg")).toBe(true);
  });
});

describe("forms generated from a recording", () => {
  const killed = async (bytes: Buffer): Promise<(number | string | undefined)[][]> => {
    return killsOf(await scanned(bytes)).map(({ pid, victimCgroup, groupCgroup }) => [
      pid,
      victimCgroup,
      groupCgroup,
    ]);
  };
  const truth = [
    [226, "/job/b", "/job"],
    [208, undefined, "/job"],
    [210, undefined, "/job"],
    [214, undefined, "/job"],
    [226, "/job/b", "/job"],
  ];
  const recording = (form: string) =>
    gunzipSync(readFileSync(new URL(`memcg-v2-group.${form}.gz`, logs))).toString("latin1");

  it("journalctl -o json-pretty", async () => {
    const entries = recording("journal-json").trim().split("\n");
    const pretty = entries.map((line) =>
      JSON.stringify(JSON.parse(line), null, "\t").replaceAll('": ', '" : '),
    );
    expect(await killed(Buffer.from(`${pretty.join("\n")}\n`))).toEqual(truth);
  });

  it("Windows line ends", async () => {
    for (const form of ["kern.log", "dmesg", "kmsg", "journal-json"]) {
      expect(await killed(Buffer.from(recording(form).replaceAll("\n", "\r\n"), "latin1"))).toEqual(
        truth,
      );
    }
  });

  it("only lines at level err or worse", async () => {
    const errors = recording("dmesg-raw")
      .split("\n")
      .filter((line) => line.startsWith("<3>"));
    const pids = (await killed(Buffer.from(`${errors.join("\n")}\n`, "latin1"))).map(
      ([pid]) => pid,
    );
    expect(pids).toEqual([226, 208, 210, 214, 226]);
  });
});

describe("a boot without a kill", () => {
  it.each(["forged", "unkillable"])("as in %s has no kill", async (scenario) => {
    expect(killsOf((await eventsOf(`${scenario}.kmsg.gz`)).events)).toEqual([]);
  });
});
