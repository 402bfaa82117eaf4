import { describe, expect, it } from "vitest";
import { HostHour } from "../../src/status/host-hour.ts";
import { HostStatus } from "../../src/status/host-status.ts";
import type { VictimsAnswer } from "../../src/victims/scope-victims.ts";
import { openHost } from "../setup/opened-host.ts";
import { addProcess, addSharing, setState } from "../setup/process-files.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";

const MiB = 2 ** 20;
const noon = Date.parse("2026-11-21T12:00:00Z");

/** A small host on which time passes only on request. */
class WatchedHost extends TemporaryTree {
  wallMs = noon;
  monotonicMs = 0;
  looks = 0;
  readonly switchedOff = new Set<string>();
  status: HostStatus;

  constructor() {
    super();
    this.write("proc", { "1/status": "Name:\tinit", "2/comm": "kthreadd" });
    this.memory({ usedMiB: 400 });
    this.write("proc", { vmstat: "pgmajfault 0" });
    this.write("sys/fs/cgroup", { "cgroup.controllers": "memory" });
    this.status = this.#watch();
  }

  /** As an exporter finds it that starts now. */
  reopened(): this {
    this.status = this.#watch();
    return this;
  }

  #watch(): HostStatus {
    const monotonicMs = () => this.monotonicMs;
    const hour = new HostHour(monotonicMs);
    const host = openHost(this.roots, { monotonicMs, programs: { top: 0 } });
    return new HostStatus({
      host,
      hour,
      keepers: [hour, host.programs ?? {}, { noteMeminfo: () => this.looks++ }],
      nowMs: () => this.wallMs,
      monotonicMs,
      kills: () => [],
      unaccounted: () => 0,
      sources: () => [],
      daemonLogs: () => [],
      troubles: () => [],
      watches: (collector) => !this.switchedOff.has(collector),
      own: { version: "1.2.3", revision: "abc" },
    });
  }

  /** 1,000 MiB of memory and 100 MiB of swap, so much of them in use for good. */
  memory({ usedMiB, swapUsedMiB = 0 }: { usedMiB: number; swapUsedMiB?: number }): void {
    const kib = (mib: number) => `${Math.round(mib * 1024)} kB`;
    this.write("proc", {
      meminfo: [
        `MemTotal: ${kib(1000)}`,
        `MemFree: ${kib(10)}`,
        `MemAvailable: ${kib(1000 - usedMiB)}`,
        `SwapTotal: ${kib(100)}`,
        `SwapFree: ${kib(100 - swapUsedMiB)}`,
      ].join("\n"),
    });
  }

  /** A cgroup that holds so much for good, and page cache besides. */
  cgroup(path: string, usedMiB: number, maxMiB?: number, cacheMiB = 0): void {
    this.write(`sys/fs/cgroup${path}`, {
      "memory.current": Math.round((usedMiB + cacheMiB) * MiB),
      "memory.max": maxMiB === undefined ? "max" : maxMiB * MiB,
      "memory.stat": `file ${cacheMiB * MiB}\nshmem 0\ninactive_file ${cacheMiB * MiB}`,
    });
  }

  process(pid: number, comm: string, residentMiB: number, cgroup: string): void {
    addProcess(this, pid, { comm, residentKb: residentMiB * 1024, swapKb: 0, cgroup });
  }

  /** The exporter's tick, each second, while the host changes three times a minute. */
  live(minutes: number, change: (minute: number) => void = () => {}): void {
    for (let second = 1; second <= minutes * 60; second++) {
      this.wallMs += 1000;
      this.monotonicMs += 1000;
      if (second % 20 === 0) change(second / 60);
      this.status.look();
    }
  }

  cgroupView(path: string) {
    return this.status.view().cgroups.find(({ cgroup }) => cgroup === path);
  }
}

describe("processes in one address space", () => {
  it("are shown as dying together, but their memory is not looked at while that may block", () => {
    const host = new WatchedHost();
    for (const pid of [20, 21]) addSharing(host, pid, 77, "/shop");
    host.cgroup("/shop", 10, 100);
    const diesWith = () => {
      host.monotonicMs += 2000;
      const answer = host.status.victims({ cgroup: undefined, top: 2 }) as VictimsAnswer;
      return answer.victims.map((victim) => victim.diesWith);
    };
    const stall = (percent: string) =>
      host.write("proc/pressure", {
        memory: `full avg10=${percent} avg60=0.00 avg300=0.00 total=1`,
      });
    const shortages = [
      { begin: () => stall("3.00"), end: () => stall("0.00") },
      { begin: () => host.cgroup("/shop", 95, 100), end: () => host.cgroup("/shop", 10, 100) },
      { begin: () => host.memory({ usedMiB: 950 }), end: () => host.memory({ usedMiB: 400 }) },
    ];
    for (const { begin, end } of shortages) {
      expect(diesWith()).toEqual([[20], [21]]);
      begin();
      // While it sleeps it waits for no memory.
      expect(diesWith()).toEqual([[20], [21]]);
      for (const state of ["R", "D"]) {
        setState(host, 20, state);
        expect(diesWith()).toEqual([[], []]);
      }
      end();
      expect(diesWith()).toEqual([[20], [21]]);
      setState(host, 20, "S");
    }
  });
});

describe("other killers on the page", () => {
  it("are as last known while the host stalls: their files and command lines are not read then", () => {
    const host = new WatchedHost();
    const setLimit = (percent: number) => {
      host.write("proc/712", { cmdline: `/usr/bin/earlyoom\0-m\0${percent}\0` });
    };
    host.write("sys/fs/cgroup/system.slice/earlyoom.service", { "cgroup.procs": "712\n" });
    setLimit(4);
    const limitAfterAMinute = () => {
      host.monotonicMs += 60_000;
      return host.status.view().otherKillers[0]?.split(" of memory")[0];
    };
    const stall = (percent: string) =>
      host.write("proc/pressure", {
        memory: `full avg10=${percent} avg60=0.00 avg300=0.00 total=1`,
      });
    expect(limitAfterAMinute()).toBe("earlyoom acts at 4 %");
    stall("3.00");
    setLimit(5);
    expect(limitAfterAMinute()).toBe("earlyoom acts at 4 %");
    stall("0.00");
    expect(limitAfterAMinute()).toBe("earlyoom acts at 5 %");
  });
});

describe("the state of a host", () => {
  it("has run as long as it has, whatever was done to the clock", () => {
    const host = new WatchedHost();
    host.monotonicMs += 5000;
    host.wallMs -= 3_600_000;
    expect(host.status.status().uptimeSeconds).toBe(5);
  });

  it("names no next victim if other users' processes are hidden, and says why", () => {
    const host = new WatchedHost();
    host.cgroup("/job", 95, 100);
    host.process(10, "visible", 50, "/job");
    host.remove("proc/1");
    host.remove("proc/2");
    const { status } = host.reopened();
    const reason = expect.stringContaining("hidepid");
    expect(status.victims({ cgroup: undefined, top: 5 })).toEqual({
      scope: "host",
      victims: [],
      killers: [],
      bypass: null,
      unkillable: null,
    });
    expect(status.view()).toMatchObject({
      victims: [],
      unkillable: undefined,
      troubles: [{ collector: "processes", reason }],
      cgroups: [{ cgroup: "/job", nextVictim: undefined }],
    });
  });

  it("names no next victim of the host in a container, but those of its cgroups", () => {
    const host = new WatchedHost();
    host.cgroup("/job", 95, 100);
    host.process(10, "contained", 50, "/job");
    host.write("proc/2", { comm: "bash" });
    const view = host.reopened().status.view();
    expect(view).toMatchObject({
      victims: [],
      troubles: [{ collector: "processes", reason: expect.stringContaining("container") }],
      cgroups: [{ cgroup: "/job", nextVictim: { pid: 10 } }],
    });
  });

  it("has the last hour even without scrapes: one reading every 20 seconds, and no more", () => {
    const host = new WatchedHost();
    host.live(90, (minute) => host.memory({ usedMiB: 300 + minute, swapUsedMiB: 20 }));
    expect(host.looks).toBe(90 * 3);
    const points = host.status.view().memory?.lastHour ?? [];
    expect(points).toHaveLength(180 + 1);
    expect(points[0]?.atMs).toBe(host.wallMs - 3_600_000 + 1000);
    expect(points.at(-1)).toEqual({
      atMs: host.wallMs,
      usedBytes: 390 * MiB,
      swapUsedBytes: 20 * MiB,
    });
  });

  it("takes no extra reading while others read often enough, nor for a disabled collector", () => {
    const host = new WatchedHost();
    host.cgroup("/a", 10, 100);
    for (let pass = 0; pass < 20; pass++) {
      host.live(0.25);
      host.status.view();
    }
    // The first second's reading, before any request.
    expect(host.looks).toBe(20 + 1);
    host.switchedOff.add("host");
    host.live(5);
    expect(host.looks).toBe(20 + 1);
    expect(host.cgroupView("/a")?.lastHour).toHaveLength(20 + 1 + 15);
  });

  it("says when memory and swap together run out", () => {
    const host = new WatchedHost();
    host.live(60, (minute) => host.memory({ usedMiB: 400 + minute * 8, swapUsedMiB: minute }));
    const left = host.status.view().memory?.timeLeft;
    expect(left).toEqual({
      seconds: expect.closeTo(((1100 - 400 - 60 * 9) / 9) * 60, -1),
      bytesPerSecond: expect.closeTo((9 * MiB) / 60, -3),
    });
  });

  it("says when a cgroup reaches its limit, and which process would be killed", () => {
    const host = new WatchedHost();
    host.process(1, "systemd", 10, "/init.scope");
    host.process(812, "mysqld", 150, "/system.slice/mysql.service");
    host.process(813, "backup", 20, "/system.slice/mysql.service/backup");
    host.process(900, "hog", 300, "/system.slice/other.service");
    host.cgroup("/system.slice", 600);
    host.live(20, (minute) =>
      host.cgroup("/system.slice/mysql.service", 100 + minute * 4, 216, 20),
    );
    expect(host.cgroupView("/system.slice/mysql.service")).toMatchObject({
      unreclaimableBytes: 180 * MiB,
      limitBytes: 216 * MiB,
      timeLeft: { seconds: expect.closeTo(9 * 60, -1) },
      nextVictim: { pid: 812, comm: "mysqld", program: null },
    });
  });

  it("says if page cache fills a cgroup", () => {
    const host = new WatchedHost();
    host.live(20, (minute) => host.cgroup("/a", 40, 200, minute * 7));
    expect(host.cgroupView("/a")?.timeLeft).toEqual({ refused: "page_cache" });
    host.cgroup("/a", 40, 200, 10);
    host.live(1);
    expect(host.cgroupView("/a")?.timeLeft).toEqual({ refused: "plenty_left" });
  });

  it("ranks victims only for cgroups near their limit", () => {
    const host = new WatchedHost();
    host.process(7, "small", 10, "/a");
    host.cgroup("/a", 79, 100);
    expect(host.cgroupView("/a")?.nextVictim).toBeUndefined();
    host.cgroup("/a", 81, 100);
    host.live(1);
    expect(host.cgroupView("/a")?.nextVictim).toEqual({ pid: 7, comm: "small", program: null });
  });

  it("says where oom_kill_disable of v1 lets tasks hang, and names no victim there", () => {
    const host = new WatchedHost();
    host.remove("sys/fs/cgroup/cgroup.controllers");
    const v1 = (path: string, limitBytes: number, disabled: number) =>
      host.write(`sys/fs/cgroup/memory${path}`, {
        "memory.usage_in_bytes": 95 * MiB,
        "memory.limit_in_bytes": limitBytes,
        "memory.stat": `total_rss 1\nhierarchical_memory_limit ${limitBytes}`,
        "memory.oom_control": `oom_kill_disable ${disabled}\nunder_oom 0`,
      });
    const bypass = { setting: "oom_kill_disable", cgroup: "/job" };
    v1("/", 2 ** 60, 0);
    v1("/job", 100 * MiB, 1);
    host.process(7, "hog", 90, "/job");
    host.write("proc/7", { cgroup: "4:memory:/job" });
    const { status } = host.reopened();
    expect(status.view().cgroups).toMatchObject([
      { cgroup: "/job", nextVictim: undefined, bypass },
    ]);
    expect(status.victims({ cgroup: "/job", top: 1 })).toMatchObject({
      victims: [{ pid: 7 }],
      bypass,
    });
    v1("/job", 100 * MiB, 0);
    host.monotonicMs += 2000;
    expect(status.view().cgroups).toMatchObject([{ nextVictim: { pid: 7 }, bypass: undefined }]);
  });

  it("counts the ancestor that runs out first, not the smallest number", () => {
    const host = new WatchedHost();
    host.process(7, "greedy", 190, "/a/c");
    host.process(8, "modest", 100, "/a/b");
    host.cgroup("/a", 290, 300);
    host.cgroup("/a/b", 100, 200);
    host.cgroup("/a/c", 190);
    const { cgroups } = host.status.view();
    expect(cgroups).toMatchObject([
      {
        cgroup: "/a",
        limitBytes: 300 * MiB,
        nextVictim: { pid: 7, comm: "greedy", program: null },
      },
    ]);
  });

  it("lists limits reached within the hour first, then the fullest", () => {
    const host = new WatchedHost();
    host.cgroup("/full", 95, 100);
    host.cgroup("/half", 50, 100);
    host.live(20, (minute) => host.cgroup("/leak", 60 + minute, 100));
    expect(host.status.view().cgroups.map(({ cgroup }) => cgroup)).toEqual([
      "/leak",
      "/full",
      "/half",
    ]);
  });

  it("forgets a cgroup that is gone", () => {
    const host = new WatchedHost();
    host.cgroup("/a", 60, 100);
    host.live(2);
    host.remove("sys/fs/cgroup/a");
    host.live(1);
    host.cgroup("/a", 60, 100);
    host.live(1);
    const points = host.cgroupView("/a")?.lastHour ?? [];
    expect(points[0]?.atMs).toBeGreaterThan(host.wallMs - 60_000);
  });

  it("keeps reading if files are unreadable or invalid", () => {
    const host = new WatchedHost();
    host.cgroup("/a", 60, 100);
    host.live(1);
    host.write("proc", { meminfo: "nonsense" });
    host.live(1);
    host.remove("proc/meminfo");
    host.live(1);
    host.memory({ usedMiB: 500 });
    host.live(1);
    const { memory, cgroups } = host.status.view();
    expect(memory?.lastHour).toHaveLength(3 + 3 + 1);
    expect(cgroups[0]?.lastHour).toHaveLength(12 + 1);
  });

  it("has no last hour for a host that does not distinguish page cache", () => {
    const host = new WatchedHost();
    host.write("proc", { meminfo: "MemTotal: 1000 kB\nMemFree: 100 kB" });
    host.live(20);
    expect(host.status.view().memory).toMatchObject({
      lastHour: [],
      timeLeft: { refused: "watched_too_short" },
    });
  });
});
