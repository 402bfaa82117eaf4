import { describe, expect, it } from "vitest";
import { ProcessesCollector } from "../../src/collectors/processes.ts";
import type { Meminfo } from "../../src/kernel/meminfo.ts";
import type { CgroupReading } from "../../src/sources/cgroup-reading.ts";
import { Snapshot } from "../../src/sources/snapshot.ts";
import { openHost } from "../setup/opened-host.ts";
import {
  addKthreadd,
  addProcess as addProcessFiles,
  type ProcessFiles,
} from "../setup/process-files.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";
import { samplesOf } from "./samples.ts";

const gib = 2 ** 30;

function addProcess(host: TemporaryTree, pid: number, shown: ProcessFiles = {}): void {
  addProcessFiles(host, pid, { swapKb: 8, ...shown });
}

interface Scene {
  top?: number;
  cgroups?: readonly CgroupReading[];
  looksAtCgroups?: boolean;
}

/** Collects from the host as it is now; its cgroups are as given. */
function passesOver(tree: TemporaryTree, { top = 20, cgroups = [], looksAtCgroups = true }: Scene) {
  const host = openHost(tree.roots);
  const collector = new ProcessesCollector(host, { top, looksAtCgroups });
  return () =>
    samplesOf(
      collector,
      new Snapshot({
        meminfo: () => ({ memTotalBytes: 8 * gib, memFreeBytes: 0 }) as Meminfo,
        cgroups: () => ({ readings: [...cgroups], filtered: 0, beyondLimit: 0, unreadable: 0 }),
        processes: () => host.table.read(top === 0 ? Number.POSITIVE_INFINITY : top),
      }),
    );
}

const collect = (tree: TemporaryTree, scene: Scene = {}) => passesOver(tree, scene)();

function cgroup(path: string, currentBytes: number, maxBytes: number): CgroupReading {
  const limit = { maxBytes, effectiveMaxBytes: maxBytes, limitingCgroup: path };
  return { path, currentBytes, ...limit, events: {}, pressure: {} };
}

const seriesOf = (samples: Record<string, number>, metric: string) =>
  Object.keys(samples).filter((series) => series.startsWith(`${metric}{`));

const victimsOf = (samples: Record<string, number>) =>
  Object.fromEntries(
    seriesOf(samples, "oom_next_victim_info").map((series) => {
      const [, scope, pid] = /scope=([^,]+),pid=(\d+)/.exec(series) ?? [];
      return [scope, Number(pid)];
    }),
  );

describe("the processes collector", () => {
  it("gives no next victim, nor the number of hidden processes, if other users' processes are hidden", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { cgroup: "/job" });
    host.remove("proc/1");
    host.remove("proc/2");
    const samples = collect(host, { cgroups: [cgroup("/job", 95, 100)] });
    expect(victimsOf(samples)).toEqual({});
    expect(samples).not.toHaveProperty("oom_processes_unreadable");
    expect(seriesOf(samples, "oom_process_score").length).toBe(1);
  });

  it("names no next victim of the host in a container", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { cgroup: "/job" });
    host.write("run/systemd", { container: "lxc" });
    const samples = collect(host, { cgroups: [cgroup("/job", 95, 100)] });
    expect(victimsOf(samples)).toEqual({ "/job": 10 });
  });

  it.each([
    [1, {}],
    [0, { "/job": 10 }],
  ])("on v1, with oom_kill_disable %i, names as next victim of a cgroup: %j", (disabled, named) => {
    const host = new TemporaryTree();
    addProcess(host, 10, { cgroup: "/job" });
    host.write("sys/fs/cgroup/memory", { "memory.usage_in_bytes": 95 });
    host.write("sys/fs/cgroup/memory/job", {
      "memory.usage_in_bytes": 95,
      "memory.oom_control": `oom_kill_disable ${disabled}\nunder_oom 0`,
    });
    const { host: _, ...ofCgroups } = victimsOf(
      collect(host, { cgroups: [cgroup("/job", 95, 100)] }),
    );
    expect(ofCgroups).toEqual(named);
  });

  it.each([
    [
      { panic_on_oom: 0, oom_kill_allocating_task: 0 },
      { host: 10, "/job": 10 },
    ],
    [{ panic_on_oom: 1, oom_kill_allocating_task: 0 }, { "/job": 10 }],
    [{ panic_on_oom: 2, oom_kill_allocating_task: 0 }, {}],
    [{ panic_on_oom: 0, oom_kill_allocating_task: 1 }, { "/job": 10 }],
  ])("with %j names as next victims: %j", (settings, named) => {
    const host = new TemporaryTree();
    addProcess(host, 10, { cgroup: "/job" });
    host.write("proc/sys/vm", settings);
    expect(victimsOf(collect(host, { cgroups: [cgroup("/job", 95, 100)] }))).toEqual(named);
  });

  it("shows the highest-ranked processes with their sizes", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { score: 900, scoreAdj: 300, residentKb: 50, cgroup: "/a.service" });
    addProcess(host, 11, { score: 700, residentKb: 70 });
    addProcess(host, 12);
    const samples = collect(host, { top: 2 });
    const labels = "{pid=10,comm=p10,cgroup=/a.service,unit=a.service}";
    expect(samples).toMatchObject({
      [`oom_process_score${labels}`]: 900,
      [`oom_process_score_adj${labels}`]: 300,
      [`oom_process_resident_bytes${labels}`]: 50 * 1024,
      [`oom_process_swap_bytes${labels}`]: 8 * 1024,
    });
    expect(seriesOf(samples, "oom_process_score").length).toBe(2);
  });

  it("shows all if top is 0", () => {
    const host = new TemporaryTree();
    for (let pid = 100; pid < 160; pid++) addProcess(host, pid);
    const samples = collect(host, { top: 0 });
    expect(seriesOf(samples, "oom_process_score").length).toBe(60);
  });

  it("counts processes by how they are protected, and the memory that no kill can free", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { score: 0, scoreAdj: -1000, residentKb: 30 });
    addProcess(host, 11, { score: 0, scoreAdj: -1000, residentKb: 12 });
    addProcess(host, 12, { scoreAdj: -999 });
    addProcess(host, 13);
    addKthreadd(host);
    expect(collect(host)).toMatchObject({
      "oom_processes{protection=unkillable}": 2,
      "oom_processes{protection=protected}": 1,
      "oom_processes{protection=default}": 1,
      "oom_processes{protection=sacrificial}": 0,
      oom_unkillable_resident_bytes: 42 * 1024,
      oom_processes_unreadable: 0,
    });
  });
});

describe("the next victim", () => {
  it("of the host is the highest-ranked process that may be killed: neither init nor an exempt one", () => {
    const host = new TemporaryTree();
    addKthreadd(host);
    addProcess(host, 1, { score: 700, residentKb: 9000 });
    addProcess(host, 10, { score: 0, scoreAdj: -1000, residentKb: 9000 });
    addProcess(host, 11, { residentKb: 200 });
    addProcess(host, 12, { residentKb: 300 });
    expect(victimsOf(collect(host))).toEqual({ host: 12 });
  });

  it("of the host is, among equal scores, the one with the highest badness", () => {
    const host = new TemporaryTree();
    addProcess(host, 11, { residentKb: 300 });
    addProcess(host, 12, { residentKb: 200, scoreAdj: 1 });
    expect(victimsOf(collect(host))).toEqual({ host: 12 });
  });

  it("is absent if no process may be killed", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { scoreAdj: -1000 });
    expect(victimsOf(collect(host))).toEqual({});
  });

  it("is also exported for each cgroup near its own limit, among the processes in it", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { score: 900, residentKb: 9000, cgroup: "/b" });
    addProcess(host, 11, { residentKb: 40, cgroup: "/a" });
    addProcess(host, 12, { residentKb: 50, cgroup: "/a/below" });
    addProcess(host, 13, { residentKb: 99, cgroup: "/ab" });
    const cgroups = [
      cgroup("/a", 90, 100),
      cgroup("/b", 70, 100),
      cgroup("/empty", 100, 100),
      { ...cgroup("/a/below", 90, 100), limitingCgroup: "/a" },
    ];
    expect(victimsOf(collect(host, { cgroups }))).toEqual({ host: 10, "/a": 12 });
  });

  it("of a cgroup is measured against that cgroup's limit", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { residentKb: 90 * 1024, cgroup: "/a" });
    addProcess(host, 11, { residentKb: 20 * 1024, cgroup: "/a", scoreAdj: 100 });
    const cgroups = [cgroup("/a", 120 * 2 ** 20, 128 * 2 ** 20)];
    expect(victimsOf(collect(host, { cgroups }))).toEqual({ host: 11, "/a": 10 });
  });

  it("of a container that sees only itself is found at the root", () => {
    const host = new TemporaryTree();
    addProcess(host, 1, { residentKb: 50 });
    addProcess(host, 7, { residentKb: 40, cgroup: "/sub" });
    const cgroups = [cgroup("/", 90, 100)];
    expect(victimsOf(collect(host, { cgroups }))).toEqual({ "/": 1 });
  });

  it("of a cgroup uses sizes from the same pass, even if no score changed", () => {
    const host = new TemporaryTree();
    for (let pid = 100; pid < 250; pid++) addProcess(host, pid, { residentKb: 9000 });
    addProcess(host, 50, { residentKb: 40, cgroup: "/a" });
    addProcess(host, 51, { residentKb: 41, cgroup: "/a" });
    const cgroups = [cgroup("/a", 90, 100)];
    const pass = passesOver(host, { cgroups, top: 1 });
    for (let count = 0; count < 6; count++) {
      expect(victimsOf(pass())["/a"]).toBe(51);
    }
    addProcess(host, 50, { residentKb: 99, cgroup: "/a" });
    expect(victimsOf(pass())["/a"]).toBe(50);
  });

  it("is exported for the twenty cgroups closest to their limits", () => {
    const host = new TemporaryTree();
    const cgroups = Array.from({ length: 30 }, (_, i) => {
      addProcess(host, 100 + i, { cgroup: `/job-${i}` });
      return cgroup(`/job-${i}`, 900 + i, 1000);
    });
    const scopes = Object.keys(victimsOf(collect(host, { cgroups })));
    expect(scopes.length).toBe(21);
    expect(scopes).toContain("/job-29");
    expect(scopes).not.toContain("/job-9");
  });

  it("is exported for cgroups full of unreclaimable memory, not for full caches", () => {
    const host = new TemporaryTree();
    const cgroups = Array.from({ length: 30 }, (_, i) => {
      addProcess(host, 100 + i, { cgroup: `/job-${i}` });
      const [currentBytes, fileBytes] = i === 7 ? [850, 0] : [1000, 900];
      return { ...cgroup(`/job-${i}`, currentBytes, 1000), fileBytes, shmemBytes: 0 };
    });
    expect(victimsOf(collect(host, { cgroups }))).toEqual({ host: 129, "/job-7": 107 });
  });

  it("is exported for the host only if the cgroups collector is disabled", () => {
    const host = new TemporaryTree();
    addProcess(host, 10, { cgroup: "/a" });
    const cgroups = [cgroup("/a", 90, 100)];
    expect(victimsOf(collect(host, { cgroups, looksAtCgroups: false }))).toEqual({ host: 10 });
  });

  it("is ranked by the limits of this very scrape, though no other collector runs", () => {
    const tree = new TemporaryTree();
    tree.write("proc", { meminfo: "MemTotal: 8388608 kB\nMemFree: 4 kB" });
    tree.write("sys/fs/cgroup", { "cgroup.controllers": "memory" });
    addProcess(tree, 10, { cgroup: "/a" });
    const current = (bytes: number) =>
      tree.write("sys/fs/cgroup/a", { "memory.current": bytes, "memory.max": 1000 });
    const host = openHost(tree.roots);
    const collector = new ProcessesCollector(host, { top: 20, looksAtCgroups: true });
    const scrape = () => victimsOf(samplesOf(collector, host.snapshot()));
    current(100);
    expect(scrape()).toEqual({ host: 10 });
    current(900);
    expect(scrape()).toEqual({ host: 10, "/a": 10 });
    tree.remove("sys/fs/cgroup/a");
    expect(scrape()).toEqual({ host: 10 });
  });
});
