import { randomBytes } from "node:crypto";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type ExporterProcess,
  eventually,
  sampleOf,
  startExporter,
  temporaryDirectory,
} from "../setup/exporter-process.ts";
import { makeMemoryCgroup, memoryCgroupObstacle, type TestCgroup } from "../setup/memory-cgroup.ts";

const obstacle = memoryCgroupObstacle();
const limitBytes = 12 << 20;
const memcgKills = 'oom_kills_total{constraint="memcg"}';

/** A kill in a memory cgroup, by the kernel of the machine that the test runs on. */
describe.skipIf(obstacle !== undefined)(`a real kill (${obstacle ?? "as root"})`, () => {
  let cgroup: TestCgroup;
  let directory: ReturnType<typeof temporaryDirectory>;
  let exporter: ExporterProcess;
  let greedy: string;

  beforeEach(async () => {
    directory = temporaryDirectory();
    cgroup = makeMemoryCgroup();
    // Under a name of this test's own, so that no other kill on this machine is taken for ours.
    greedy = `oom-${randomBytes(4).toString("hex")}`;
    copyFileSync("/usr/bin/tail", join(directory.path, greedy));
    exporter = await startExporter([`--state.directory=${join(directory.path, "state")}`]);
    await eventually("the counters are shown", async () =>
      (await exporter.metrics()).includes(memcgKills),
    );
  });

  afterEach(async () => {
    await exporter.end();
    cgroup.remove();
    directory.remove();
  });

  const killIn = (victimCgroup: TestCgroup) =>
    victimCgroup.run(`${join(directory.path, greedy)} /dev/zero`);
  const ourKills = async () => (await exporter.kills()).filter(({ comm }) => comm === greedy);

  it("is counted once within 2 s and names victim, cgroup and limit", async () => {
    const before = sampleOf(await exporter.metrics(), memcgKills) as number;
    const { pid, signal } = await killIn(cgroup.child("worker", limitBytes));
    expect(signal).toBe("SIGKILL");

    const kill = await eventually(
      "the kill is visible",
      async () => (await ourKills()).find((candidate) => candidate.pid === pid),
      2000,
    );
    const path = `${cgroup.path}/worker`;
    expect(kill).toMatchObject({ comm: greedy, constraint: "memcg", cgroup: path });
    expect(kill.limitCgroup).toBe(kill.suppressed ? null : path);
    expect(kill.limitBytes).toBe(kill.suppressed ? null : limitBytes);

    const metrics = await exporter.metrics();
    expect(sampleOf(metrics, memcgKills)).toBeGreaterThan(before);
    expect(sampleOf(metrics, `oom_command_kills_total{comm="${greedy}"}`)).toBe(1);
    const labels = `cgroup="${path}",unit="",container="",pod="",namespace=""`;
    expect(sampleOf(metrics, `oom_workload_kills_total{${labels}}`)).toBe(1);
    expect(metrics).toMatch(
      new RegExp(`^oom_kill_timestamp_seconds\\{[^}]*pid="${pid}",comm="${greedy}"[^}]*\\}`, "m"),
    );
  });

  // Who was where has to be seen within milliseconds: a machine busy with other things may deny it.
  const storm = { retry: 2 };
  it(
    "in a storm of 60 in 60 cgroups is counted 60 times, and no victim gets a wrong cgroup",
    storm,
    async () => {
      const cgroups = Array.from({ length: 60 }, (_, i) => cgroup.child(`c${i}`, limitBytes));
      // In its first two seconds the exporter does not yet trust its baseline of the kernel's count.
      await new Promise((resolve) => setTimeout(resolve, 2500));
      const victims = await Promise.all(
        cgroups.map(async (victimCgroup, i) => {
          await new Promise((resolve) => setTimeout(resolve, i * 33));
          return { path: victimCgroup.path, ...(await killIn(victimCgroup)) };
        }),
      );
      const pathOf = new Map(victims.map(({ pid, path }) => [pid, path]));

      const kills = await eventually("all are shown", async () => {
        const seen = await ourKills();
        return seen.length >= 60 && seen;
      });
      expect(kills.map(({ pid }) => pid).sort()).toEqual([...pathOf.keys()].sort());
      const metrics = await exporter.metrics();
      expect(sampleOf(metrics, `oom_command_kills_total{comm="${greedy}"}`)).toBe(60);

      const shown = [...metrics.matchAll(/^oom_kill_timestamp_seconds\{(.*)\} /gm)]
        .map(([, labels = ""]) => ({
          pid: Number(/pid="(\d+)"/.exec(labels)?.[1]),
          comm: /comm="([^"]*)"/.exec(labels)?.[1],
          cgroup: /,cgroup="([^"]*)"/.exec(labels)?.[1],
        }))
        .filter(({ comm }) => comm === greedy);
      const named = shown.filter(({ cgroup: shownCgroup }) => shownCgroup !== "");
      expect(
        named.filter(({ pid, cgroup: shownCgroup }) => pathOf.get(pid) !== shownCgroup),
      ).toEqual([]);
      expect(named.length).toBeGreaterThanOrEqual(57);
    },
  );

  it("is counted exactly once each when the exporter is killed with -9 in the middle of a storm", async () => {
    const state = `--state.directory=${join(directory.path, "state")}`;
    const total = 40;
    const cgroups = Array.from({ length: total }, (_, i) => cgroup.child(`r${i}`, limitBytes));
    const victims = Promise.all(
      cgroups.map(async (victimCgroup, i) => {
        await new Promise((resolve) => setTimeout(resolve, i * 50));
        return killIn(victimCgroup);
      }),
    );
    for (const lifeMs of [300, 500, 450]) {
      await new Promise((resolve) => setTimeout(resolve, lifeMs));
      await exporter.end("SIGKILL");
      exporter = await startExporter([state]);
    }
    await victims;
    const count = () =>
      exporter
        .metrics()
        .then((text) => sampleOf(text, `oom_command_kills_total{comm="${greedy}"}`));
    await eventually("all are counted", async () => ((await count()) ?? 0) >= total);
    expect(await count()).toBe(total);
    expect(await ourKills()).toHaveLength(total);
  });
});
