import { describe, expect, it } from "vitest";
import { CgroupsCollector } from "../../src/collectors/cgroups.ts";
import { NoData } from "../../src/collectors/collector.ts";
import type { HostOptions } from "../../src/sources/host.ts";
import { OwnerNames } from "../../src/sources/owner-names.ts";
import { Snapshot } from "../../src/sources/snapshot.ts";
import { heldBytes } from "../setup/held-memory.ts";
import { openHost } from "../setup/opened-host.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";
import { samplesOf } from "./samples.ts";

const hostTotalBytes = 10 * 1024;

function hostWith(cgroups: Record<string, Record<string, string | number>>): TemporaryTree {
  const host = new TemporaryTree();
  host.write("proc", { meminfo: "MemTotal: 10 kB\nMemFree: 4 kB\nSwapTotal: 7 kB" });
  host.write("sys/fs/cgroup", { "cgroup.controllers": "memory" });
  for (const [path, files] of Object.entries(cgroups)) {
    const current = { "memory.current": 1000, "memory.max": "max" };
    host.write(`sys/fs/cgroup${path}`, { ...current, ...files });
  }
  return host;
}

function collect(tree: TemporaryTree, cgroups: HostOptions["cgroups"] = {}) {
  const host = openHost(tree.roots, { cgroups });
  return samplesOf(new CgroupsCollector(host), host.snapshot());
}

describe("the cgroups collector", () => {
  it("shows only what the kernel reports of a cgroup, and its owner", () => {
    const host = hostWith({ "/system.slice/a.service": {} });
    host.write("sys/fs/cgroup/system.slice", { "memory.current": 1 });
    const samples = collect(host, { include: /service/ });
    const owner = "{cgroup=/system.slice/a.service,unit=a.service}";
    expect(samples).toEqual({
      [`oom_cgroup_memory_current_bytes${owner}`]: 1000,
      [`oom_cgroup_memory_effective_max_bytes${owner}`]: hostTotalBytes,
      oom_cgroups: 2,
      "oom_cgroups_left_out{reason=filter}": 1,
      "oom_cgroups_left_out{reason=limit}": 0,
      "oom_cgroups_left_out{reason=bytes}": 0,
      "oom_cgroups_left_out{reason=unreadable}": 0,
    });
  });

  it("has no series for an unset limit, nor for events that need a limit", () => {
    const files = {
      "memory.high": "max",
      "memory.swap.max": "max",
      "memory.events.local": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0",
    };
    const samples = collect(
      hostWith({
        "/free": files,
        "/limited": { ...files, "memory.max": 4096 },
        "/braked": { ...files, "memory.high": 4096 },
        "/formerly-limited": { ...files, "memory.events.local": "max 7\noom 0" },
      }),
    );
    const of = (cgroup: string) =>
      Object.keys(samples).flatMap((series) => {
        const [, metric, event] =
          new RegExp(`^oom_cgroup_(\\w+)\\{cgroup=/${cgroup}(?:,event=(\\w+))?`).exec(series) ?? [];
        return metric === undefined ? [] : [event ?? metric];
      });
    const sizes = ["memory_current_bytes", "memory_effective_max_bytes"];
    const always = ["low", "oom_kill", "oom_group_kill"];
    expect(of("free").sort()).toEqual([...sizes, ...always].sort());
    expect(of("limited").sort()).toEqual(
      [...sizes, ...always, "memory_max_bytes", "max", "oom"].sort(),
    );
    expect(of("braked").sort()).toEqual([...sizes, ...always, "memory_high_bytes", "high"].sort());
    // What was counted is not lost with the limit.
    expect(of("formerly-limited").sort()).toEqual([...sizes, "max"].sort());
  });

  it("has no swap use on a host without swap", () => {
    const host = hostWith({ "/job": { "memory.swap.current": 0 } });
    const metric = "oom_cgroup_swap_current_bytes{cgroup=/job}";
    expect(collect(host)).toHaveProperty([metric], 0);
    host.write("proc", { meminfo: "MemTotal: 10 kB\nMemFree: 4 kB\nSwapTotal: 0 kB" });
    expect(collect(host)).not.toHaveProperty([metric]);
  });

  it("has an info to join on for containers and pods only", () => {
    const id = "0123456789abcdef".repeat(4);
    const samples = collect(hostWith({ "/docker": {}, [`/docker/${id}`]: {}, "/job": {} }));
    const infos = Object.keys(samples).filter((series) => series.startsWith("oom_cgroup_info"));
    expect(infos).toEqual([
      `oom_cgroup_info{cgroup=/docker/${id},container_id=${id},runtime=docker,version=2}`,
    ]);
  });

  it("has no effective limit above what the host has", () => {
    const samples = collect(
      hostWith({ "/wide": { "memory.max": 99_999 }, "/narrow": { "memory.max": 99 } }),
    );
    expect(samples).toMatchObject({
      "oom_cgroup_memory_max_bytes{cgroup=/wide}": 99_999,
      "oom_cgroup_memory_effective_max_bytes{cgroup=/wide}": hostTotalBytes,
      "oom_cgroup_memory_effective_max_bytes{cgroup=/narrow}": 99,
    });
  });

  it("never has a negative working set, although the two files are read one after the other", () => {
    const samples = collect(
      hostWith({
        "/usual": { "memory.stat": "inactive_file 400" },
        "/race": { "memory.stat": "inactive_file 1400" },
      }),
    );
    expect(samples).toMatchObject({
      "oom_cgroup_memory_working_set_bytes{cgroup=/usual}": 600,
      "oom_cgroup_memory_working_set_bytes{cgroup=/race}": 0,
    });
  });

  it("shows events and stalls that the kernel counts", () => {
    const samples = collect(
      hostWith({
        "/job": {
          "memory.events.local": "max 26\noom_kill 0",
          "memory.pressure": "some total=1000000",
        },
      }),
    );
    expect(samples).toMatchObject({
      "oom_cgroup_memory_events_total{cgroup=/job,event=max}": 26,
      "oom_cgroup_memory_events_total{cgroup=/job,event=oom_kill}": 0,
      "oom_cgroup_memory_stall_seconds_total{cgroup=/job,kind=some}": 1,
    });
    expect(samples).not.toHaveProperty("oom_cgroup_memory_events_total{cgroup=/job,event=oom}");
    expect(samples).not.toHaveProperty(
      "oom_cgroup_memory_stall_seconds_total{cgroup=/job,kind=full}",
    );
  });

  it("has no data on a machine without the memory controller", () => {
    expect(() => collect(new TemporaryTree())).toThrow(NoData);
  });

  it("does not lower the effective limit if the host's memory cannot be read", () => {
    const host = hostWith({ "/job": { "memory.max": 99_999 } });
    host.remove("proc/meminfo");
    expect(collect(host)).toMatchObject({
      "oom_cgroup_memory_effective_max_bytes{cgroup=/job}": 99_999,
    });
  });

  it("ends at the deadline, and counts and reports what it left out", () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`/job-${i}`, {}]));
    const host = openHost(hostWith(many).roots, { monotonicMs: () => 11 });
    const late = samplesOf(new CgroupsCollector(host), host.snapshot(10));
    expect(late["oom_cgroups_left_out{reason=limit}"]).toBeGreaterThan(0);
    expect(late.oom_cgroups).toBe(100);
    const inTime = samplesOf(new CgroupsCollector(host), host.snapshot(20));
    expect(inTime["oom_cgroups_left_out{reason=limit}"]).toBe(0);
  });
});

it("keeps no labels of cgroups that are gone", () => {
  const owners = new OwnerNames({ rootfs: "/nonexistent", now: () => 0 });
  const collector = new CgroupsCollector({ tree: undefined, owners });
  const pass = (path: string) => {
    const reading = { path, currentBytes: 1, effectiveMaxBytes: 1, events: {}, pressure: {} };
    const snapshot = new Snapshot({
      meminfo: () => ({ memTotalBytes: 1, memFreeBytes: 0 }),
      cgroups: () => ({ readings: [reading], filtered: 0, beyondLimit: 0, unreadable: 0 }),
      processes: () => ({ processes: [], denied: 0 }),
    });
    collector.collect({ snapshot, sink: { add: () => {}, addPrinted: () => {} } });
  };
  const churn = () => {
    for (let n = 0; n < 4000; n++) pass(`/system.slice/${"x".repeat(200)}-${n}.service`);
    return [collector, owners];
  };
  // The owners take some 0.6 KiB each.
  expect(heldBytes(churn)).toBeLessThan(4000 * 850);
});
