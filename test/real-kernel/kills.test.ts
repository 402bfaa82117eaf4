import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type ExporterProcess,
  eventually,
  sampleOf,
  startExporter,
  temporaryDirectory,
} from "../setup/exporter-process.ts";
import { makeMemoryCgroup, memoryCgroupObstacle, type TestCgroup } from "../setup/memory-cgroup.ts";
import { needs } from "../setup/needs.ts";
import { GreedyProgram } from "../setup/victim.ts";

const limitBytes = 12 << 20;
const memcgKills = 'oom_kills_total{constraint="memcg"}';

/** A kill in a memory cgroup, by the kernel of the machine that the test runs on. */
needs(describe, memoryCgroupObstacle())("a real kill", () => {
  let cgroup: TestCgroup;
  let directory: ReturnType<typeof temporaryDirectory>;
  let exporter: ExporterProcess;
  let greedy: GreedyProgram;

  beforeEach(async () => {
    directory = temporaryDirectory();
    cgroup = makeMemoryCgroup();
    greedy = new GreedyProgram(directory.path);
    exporter = await startExporter([
      `--state.directory=${join(directory.path, "state")}`,
      // Whatever else runs on this machine leaves room for ours.
      "--collector.cgroups.max=50000",
    ]);
    await eventually("the counters are shown", async () =>
      (await exporter.metrics()).includes(memcgKills),
    );
  });

  afterEach(async () => {
    await exporter.end();
    cgroup.remove();
    directory.remove();
  });

  const ourKills = async () => (await exporter.kills()).filter(({ comm }) => comm === greedy.comm);
  const ourCount = async () =>
    sampleOf(await exporter.metrics(), `oom_command_kills_total{comm="${greedy.comm}"}`) ?? 0;
  const cgroupsNamed = (letter: string, count: number) =>
    Array.from({ length: count }, (_, i) => cgroup.child(`${letter}${i}`, limitBytes));

  it("says who grew before it, and that the workload was started again", async () => {
    const worker = cgroup.child("worker", limitBytes);
    const { pid } = await greedy.runIn(worker);
    worker.start("sleep 1000");
    const kill = await eventually("the outcome is known", async () =>
      (await ourKills()).find((candidate) => candidate.pid === pid && candidate.outcome !== null),
    );
    expect(kill).toMatchObject({ outcome: "restarted", loop: null });
    expect(kill.restartSeconds).toBeGreaterThanOrEqual(0);
    // Without a report nobody says that the limit was the worker's own.
    expect(kill.before?.growers[0]?.cgroup).toBe(kill.suppressed ? undefined : worker.path);
    const grower = kill.suppressed ? "" : "worker";
    const metrics = await exporter.metrics();
    expect(metrics).toMatch(
      new RegExp(`^oom_kill_timestamp_seconds\\{[^}]*pid="${pid}"[^}]*grower="${grower}"`, "m"),
    );
    expect(metrics).toContain(
      `oom_kill_outcome_info{incident="${kill.incident}",outcome="restarted"} 1`,
    );
  });

  it("is counted once and names victim, cgroup and limit", async () => {
    const before = sampleOf(await exporter.metrics(), memcgKills) as number;
    const { pid, signal } = await greedy.runIn(cgroup.child("worker", limitBytes));
    expect(signal).toBe("SIGKILL");

    const kill = await eventually("the kill is visible", async () =>
      (await ourKills()).find((candidate) => candidate.pid === pid),
    );
    const path = `${cgroup.path}/worker`;
    expect(kill).toMatchObject({ comm: greedy.comm, constraint: "memcg", cgroup: path });
    expect(kill.limitCgroup).toBe(kill.suppressed ? null : path);
    expect(kill.limitBytes).toBe(kill.suppressed ? null : limitBytes);

    const metrics = await exporter.metrics();
    expect(sampleOf(metrics, memcgKills)).toBeGreaterThan(before);
    expect(await ourCount()).toBe(1);
    const labels = `cgroup="${path}",unit="",container="",pod="",namespace=""`;
    expect(sampleOf(metrics, `oom_workload_kills_total{${labels}}`)).toBe(1);
    expect(metrics).toMatch(
      new RegExp(
        `^oom_kill_timestamp_seconds\\{[^}]*pid="${pid}",comm="${greedy.comm}"[^}]*\\}`,
        "m",
      ),
    );
  });

  // How many get their cgroup's name depends on how soon the exporter is let run: a bench measures it.
  it.each([
    ["within 2 s", 33],
    ["at once", 0],
  ])(
    "in a storm of 60 in 60 new cgroups, %s, is counted 60 times, and no victim gets a wrong cgroup",
    async (_within, apartMs) => {
      const victims = await greedy.holdIn(cgroupsNamed("c", 60));
      // They live for 1.5 s. Of kills so close together the kernel prints a dump for 10 only.
      await wait(1500);
      for (const { release } of victims) {
        release();
        if (apartMs > 0) await wait(apartMs);
      }
      await Promise.all(victims.map(({ ended }) => ended));
      const cgroupOf = new Map(victims.map((victim) => [victim.pid, victim.cgroup]));

      const kills = await eventually("all are shown", async () => {
        // The ring buffer kept all of them: otherwise none could count them.
        expect(sampleOf(await exporter.metrics(), "oom_log_lost_records_total")).toBe(0);
        const seen = await ourKills();
        return seen.length >= victims.length && seen;
      });
      expect(kills.map(({ pid }) => pid).sort()).toEqual([...cgroupOf.keys()].sort());
      expect(await ourCount()).toBe(victims.length);

      const shown = [
        ...(await exporter.metrics()).matchAll(/^oom_kill_timestamp_seconds\{(.*)\} /gm),
      ]
        .map(([, labels = ""]) => ({
          pid: Number(/pid="(\d+)"/.exec(labels)?.[1]),
          comm: /comm="([^"]*)"/.exec(labels)?.[1],
          cgroup: /,cgroup="([^"]*)"/.exec(labels)?.[1],
        }))
        .filter(({ comm }) => comm === greedy.comm);
      const wrong = shown.filter(
        (kill) => kill.cgroup !== "" && kill.cgroup !== cgroupOf.get(kill.pid),
      );
      expect(wrong).toEqual([]);
      const wrongInStory = kills.filter(
        (kill) => kill.cgroup !== null && kill.cgroup !== cgroupOf.get(kill.pid),
      );
      expect(wrongInStory).toEqual([]);
    },
  );

  it("is counted exactly once each when the exporter is killed with -9 in the middle of a storm", async () => {
    const state = `--state.directory=${join(directory.path, "state")}`;
    const victims = await greedy.holdIn(cgroupsNamed("r", 40));
    const release = (from: number, to: number) => {
      for (const victim of victims.slice(from, to)) victim.release();
    };
    for (const round of [0, 1, 2]) {
      release(round * 10, round * 10 + 10);
      await eventually("the storm is being counted", async () => (await ourCount()) > round * 10);
      await exporter.end("SIGKILL");
      exporter = await startExporter([state]);
    }
    release(30, 40);
    await Promise.all(victims.map(({ ended }) => ended));
    await eventually("all are counted", async () => (await ourCount()) >= victims.length);
    expect(await ourCount()).toBe(victims.length);
    expect(await ourKills()).toHaveLength(victims.length);
  });
});
