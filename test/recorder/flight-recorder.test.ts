import { describe, expect, it } from "vitest";
import type { Meminfo } from "../../src/kernel/meminfo.ts";
import { growerLabel } from "../../src/kills/before.ts";
import type { Kill, KillTask } from "../../src/kills/kill.ts";
import { ownerOfCgroup } from "../../src/kills/owner.ts";
import { FlightRecorder } from "../../src/recorder/flight-recorder.ts";
import type { CgroupReading } from "../../src/sources/cgroup-reading.ts";
import type { ProcessReading } from "../../src/sources/process-table.ts";
import { killOf, sighting } from "../kills/sample-kill.ts";

const mib = 2 ** 20;
const total = 8192 * mib;

interface Process {
  pid: number;
  comm: string;
  cgroup: string;
  mib: number;
}

/** A host of 8 GiB whose cgroups and processes a test sets, in MiB. */
class RecordedHost {
  nowMs = 1_000_000;
  /** Of leaves: use and, where they have one, their limit. */
  cgroups: Record<string, { mib: number; limitMib?: number }> = {};
  limits: Record<string, number> = {};
  processes: Process[] = [];
  availableMib = 4096;
  beyondLimit = 0;
  readonly readAgain: string[] = [];
  processReads = 0;
  readonly recorder = new FlightRecorder({
    ownerOf: ownerOfCgroup,
    cgroupOf: (pid) => this.processes.find((process) => process.pid === pid)?.cgroup,
    useOf: (path) => {
      this.readAgain.push(path);
      const bytes = this.#useOf(path);
      return bytes === undefined ? undefined : { heldBytes: bytes, swapBytes: 0 };
    },
    readMeminfo: () => this.#meminfo(),
    readProcesses: () => {
      this.processReads++;
      this.#noteProcesses();
    },
    monotonicMs: () => this.nowMs,
  });

  /** A snapshot as scrapes bring one, and then the time until the next. */
  look(seconds = 30): void {
    this.recorder.noteMeminfo(this.#meminfo());
    this.recorder.noteCgroups({
      readings: this.#readings(),
      filtered: 0,
      beyondLimit: this.beyondLimit,
      unreadable: 0,
    });
    this.#noteProcesses();
    this.nowMs += seconds * 1000;
  }

  set(path: string, use: number): void {
    this.cgroups[path] = { ...this.cgroups[path], mib: use };
  }

  #useOf(path: string): number | undefined {
    const below = Object.entries(this.cgroups).filter(
      ([leaf]) => leaf === path || leaf.startsWith(`${path}/`),
    );
    return below.length === 0
      ? undefined
      : below.reduce((sum, [, leaf]) => sum + leaf.mib, 0) * mib;
  }

  #readings(): CgroupReading[] {
    const paths = new Set(["/", ...Object.keys(this.cgroups), ...Object.keys(this.limits)]);
    return [...paths].map((path) => {
      const limiting = [path, ...ancestors(path)].filter((above) => above in this.limits);
      const tightest = limiting.sort(
        (a, b) => (this.limits[a] as number) - (this.limits[b] as number),
      )[0];
      return {
        path,
        currentBytes: this.#useOf(path) ?? 0,
        effectiveMaxBytes:
          tightest === undefined
            ? Number.POSITIVE_INFINITY
            : (this.limits[tightest] as number) * mib,
        limitingCgroup: tightest,
        events: {},
        pressure: {},
      };
    });
  }

  #noteProcesses(): void {
    const processes = this.processes.map(
      ({ pid, comm, cgroup, mib: size }) =>
        ({
          pid,
          comm,
          cgroup,
          memory: { residentBytes: size * mib, swapBytes: 0, pageTablesBytes: 0 },
        }) as ProcessReading,
    );
    this.recorder.noteProcesses({ processes, denied: 0 });
  }

  #meminfo(): Meminfo {
    return {
      memTotalBytes: total,
      memFreeBytes: 0,
      memAvailableBytes: this.availableMib * mib,
    } as Meminfo;
  }
}

function ancestors(path: string): string[] {
  const above: string[] = [];
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    above.push(path.slice(0, end));
  }
  return above;
}

function task(pid: number, comm: string, sizeMib: number): KillTask {
  return { pid, comm, rssBytes: sizeMib * mib, swapBytes: 0, oomScoreAdj: 0, cgroup: null };
}

function killed(pid: number, comm: string, sizeMib: number, more: Partial<Kill> = {}): Kill {
  const memory = {
    totalVmBytes: null,
    anonRssBytes: sizeMib * mib,
    fileRssBytes: 0,
    shmemRssBytes: 0,
    pageTablesBytes: 0,
  };
  return killOf(sighting({ pid, comm }), { memory, tasks: [task(pid, comm, sizeMib)], ...more });
}

const parent = { constraint: "memcg", limitCgroup: "/shop", limitBytes: 1000 * mib } as const;
const growersIn = (before: ReturnType<FlightRecorder["before"]>) =>
  before?.growers.map(({ cgroup, pid, fromBytes, toBytes, seconds }) => [
    cgroup,
    pid,
    fromBytes / mib,
    toBytes / mib,
    seconds,
  ]);

describe("a limit of a parent that one cgroup fills and another pays for", () => {
  const host = () => {
    const host = new RecordedHost();
    host.limits = { "/shop": 1000 };
    host.cgroups = {
      "/shop/db.service": { mib: 500 },
      "/shop/web.service": { mib: 100 },
      "/other.service": { mib: 50 },
    };
    host.processes = [
      { pid: 1, comm: "postgres", cgroup: "/shop/db.service", mib: 490 },
      { pid: 2, comm: "node", cgroup: "/shop/web.service", mib: 90 },
    ];
    for (let at = 0; at < 6; at++) {
      host.look();
      host.set("/shop/web.service", 200 + at * 50);
      host.processes = host.processes.map((one) =>
        one.pid === 2 ? { ...one, mib: 190 + at * 50 } : one,
      );
      host.set("/other.service", 900);
    }
    return host;
  };
  const kill = killed(1, "postgres", 490, {
    ...parent,
    cgroup: "/shop/db.service",
    usageBytes: 1000 * mib,
    tasks: [task(1, "postgres", 490), task(2, "node", 440)],
  });

  it("names who grew, from when it began to, and the process that did", () => {
    const before = host().recorder.before(kill, 0);
    expect(growersIn(before)).toEqual([["/shop/web.service", 2, 100, 450, 180]]);
    expect(growerLabel(before)).toBe("web.service");
  });

  it("has the curve of that limit up to the kill", () => {
    const before = host().recorder.before(kill, 0);
    expect(before?.seconds).toBe(180);
    expect(before?.limitBytes).toBe(1000 * mib);
    expect(before?.limitUse.map(([seconds, use]) => [seconds, use / mib]).slice(-3)).toEqual([
      [60, 850],
      [30, 900],
      [0, 1000],
    ]);
  });

  it("counts from the kill and not from when it was read", () => {
    const recorded = host();
    recorded.nowMs += 400;
    expect(recorded.recorder.before(kill, 400)?.growers[0]?.seconds).toBe(180);
  });
});

describe("a host that runs out", () => {
  it("names who grew, of all, in bytes of at least 5 % of its memory", () => {
    const host = new RecordedHost();
    host.cgroups = { "/a.service": { mib: 1000 }, "/b.service": { mib: 3000 } };
    host.look();
    host.set("/a.service", 1500);
    host.set("/b.service", 3300);
    const kill = killed(9, "mysqld", 3000, {
      constraint: "none",
      limitCgroup: null,
      cgroup: "/b.service",
      tasks: [],
    });
    const before = host.recorder.before(kill, 0);
    expect(growersIn(before)).toEqual([["/a.service", null, 1000, 1500, 30]]);
    expect(before?.limitBytes).toBe(total);
    expect(before?.limitUse[0]?.[1]).toBe(4096 * mib);
  });

  it("names a process in no leaf by itself", () => {
    const host = new RecordedHost();
    host.processes = [{ pid: 5, comm: "leak", cgroup: "/", mib: 100 }];
    host.look();
    const kill = killed(5, "leak", 2000, { constraint: "none", limitCgroup: null, cgroup: "/" });
    const before = host.recorder.before(kill, 0);
    expect(growersIn(before)).toEqual([["/", 5, 100, 2000, 30]]);
    expect(growerLabel(before)).toBe("leak");
  });
});

describe("a burst between two looks", () => {
  it("of a process that was there is taken from the kernel's report", () => {
    const host = new RecordedHost();
    host.limits = { "/job.service": 1000 };
    host.cgroups = { "/job.service": { mib: 60 } };
    host.processes = [{ pid: 3, comm: "java", cgroup: "/job.service", mib: 50 }];
    host.look(12);
    // By the time that the kill is read all is freed.
    host.set("/job.service", 5);
    const kill = killed(3, "java", 990, {
      ...parent,
      limitCgroup: "/job.service",
      cgroup: "/job.service",
      usageBytes: 1000 * mib,
    });
    expect(growersIn(host.recorder.before(kill, 0))).toEqual([["/job.service", 3, 60, 1000, 12]]);
  });

  it("of a neighbour is read again when the kill comes", () => {
    const host = new RecordedHost();
    host.limits = { "/shop": 1000 };
    host.cgroups = { "/shop/a.service": { mib: 100 }, "/shop/b.service": { mib: 500 } };
    host.look(8);
    host.set("/shop/a.service", 480);
    host.set("/shop/b.service", 0);
    const kill = killed(9, "db", 500, { ...parent, cgroup: "/shop/b.service" });
    expect(growersIn(host.recorder.before(kill, 0))).toEqual([
      ["/shop/a.service", null, 100, 480, 8],
    ]);
  });

  it("of a cgroup that no look has seen starts at nothing", () => {
    const host = new RecordedHost();
    host.limits = { "/shop": 1000 };
    host.cgroups = { "/shop/b.service": { mib: 500 } };
    host.look(8);
    host.cgroups = { ...host.cgroups, "/shop/new.scope": { mib: 450 } };
    host.processes = [{ pid: 77, comm: "job", cgroup: "/shop/new.scope", mib: 440 }];
    const kill = killed(9, "db", 500, {
      ...parent,
      cgroup: "/shop/b.service",
      tasks: [task(9, "db", 500), task(77, "job", 440)],
    });
    expect(growersIn(host.recorder.before(kill, 0))).toEqual([["/shop/new.scope", 77, 0, 450, 8]]);
  });
});

describe("a steady host", () => {
  it("has nobody who grew, and its kill no label", () => {
    const host = new RecordedHost();
    host.limits = { "/shop": 1000 };
    host.cgroups = { "/shop/a.service": { mib: 450 }, "/shop/b.service": { mib: 500 } };
    host.processes = [{ pid: 9, comm: "db", cgroup: "/shop/b.service", mib: 480 }];
    for (let at = 0; at < 10; at++) {
      host.set("/shop/a.service", 450 + (at % 3) * 10);
      host.look();
    }
    const kill = killed(9, "db", 490, { ...parent, cgroup: "/shop/b.service" });
    const before = host.recorder.before(kill, 0);
    expect(growersIn(before)).toEqual([]);
    expect(growerLabel(before)).toBe("");
  });
});

describe("what the recorder has not seen", () => {
  it("at an earlier look has grown from nothing since", () => {
    const host = new RecordedHost();
    host.limits = { "/job.service": 64 };
    host.look();
    host.cgroups = { "/job.service": { mib: 53 } };
    host.look(6);
    const kill = killed(3, "java", 63, {
      ...parent,
      limitCgroup: "/job.service",
      limitBytes: 64 * mib,
      usageBytes: 64 * mib,
      cgroup: "/job.service",
    });
    expect(growersIn(host.recorder.before(kill, 0))).toMatchObject([
      ["/job.service", 3, 0, 64, 36],
    ]);
  });

  it("is not the limit of a kill whose log names none", () => {
    const host = new RecordedHost();
    host.cgroups = { "/job.service": { mib: 850 } };
    host.look();
    host.look();
    const kill = killed(3, "java", 990, {
      constraint: "memcg",
      limitCgroup: null,
      cgroup: "/job.service",
    });
    expect(host.recorder.before(kill, 0)).toBeNull();
  });

  it("has not grown from nothing, where not all cgroups are read", () => {
    const host = new RecordedHost();
    host.limits = { "/shop": 1000 };
    host.cgroups = { "/shop/a.service": { mib: 100 } };
    host.processes = [{ pid: 9, comm: "db", cgroup: "/shop/b.service", mib: 880 }];
    const kill = killed(9, "db", 900, { ...parent, cgroup: "/shop/b.service" });
    const growersOf = () => growersIn(host.recorder.before(kill, 0))?.map(([cgroup]) => cgroup);
    host.look();
    expect(growersOf()).toContain("/shop/b.service");
    host.beyondLimit = 1;
    host.look();
    expect(growersOf()).toEqual([]);
  });
});

describe("what is near its limit", () => {
  it("is read every two seconds, and then drawn by that", () => {
    const host = new RecordedHost();
    host.limits = { "/job.service": 1000 };
    host.cgroups = { "/job.service": { mib: 850 } };
    host.look(0);
    for (let second = 0; second < 10; second++) {
      host.recorder.look();
      host.nowMs += 1000;
    }
    expect(host.readAgain.length).toBe(5);
    const kill = killed(3, "java", 990, {
      ...parent,
      limitCgroup: "/job.service",
      cgroup: "/job.service",
    });
    const seconds = host.recorder.before(kill, 0)?.limitUse.map(([before]) => before);
    expect(seconds).toEqual([10, 8, 6, 4, 2]);
  });

  it("keeps the curve of the time since, when it was near for a while only", () => {
    const host = new RecordedHost();
    host.limits = { "/job.service": 1000 };
    host.cgroups = { "/job.service": { mib: 850 } };
    host.look(0);
    host.recorder.look();
    host.nowMs += 30_000;
    host.set("/job.service", 300);
    for (let at = 0; at < 4; at++) host.look();
    const kill = killed(3, "java", 990, {
      ...parent,
      limitCgroup: "/job.service",
      cgroup: "/job.service",
    });
    const points = host.recorder.before(kill, 0)?.limitUse;
    expect(points?.map(([seconds, bytes]) => [seconds, bytes / mib])).toEqual([
      [150, 850],
      [120, 300],
      [90, 300],
      [60, 300],
      [30, 300],
    ]);
  });

  it("is read no more when it is not near any longer", () => {
    const host = new RecordedHost();
    host.limits = { "/job.service": 1000 };
    host.cgroups = { "/job.service": { mib: 850 } };
    host.look();
    host.set("/job.service", 300);
    host.look();
    host.recorder.look();
    expect(host.readAgain).toEqual([]);
  });
});

describe("the recorder", () => {
  it("takes a look at the processes itself where nobody scrapes", () => {
    const host = new RecordedHost();
    host.look(0);
    for (let second = 0; second < 95; second++) {
      host.nowMs += 1000;
      host.recorder.look();
    }
    expect(host.processReads).toBe(3);
  });

  it("has nothing to tell before it has looked", () => {
    const host = new RecordedHost();
    expect(host.recorder.before(killed(1, "x", 5), 0)).toBeNull();
  });

  it("reaches back fifteen minutes, however often it is scraped", () => {
    const host = new RecordedHost();
    host.cgroups = { "/a.service": { mib: 10 } };
    for (let at = 0; at < 400; at++) host.look(5);
    const before = host.recorder.before(killed(1, "x", 5, { constraint: "none" }), 0);
    expect(before?.seconds).toBeGreaterThanOrEqual(900);
    expect(before?.seconds).toBeLessThanOrEqual(935);
  });

  it("fits into 4 KiB, whatever cgroups are called", () => {
    const host = new RecordedHost();
    host.limits = { "/shop": 1000 };
    const names = ["a", "b", "c", "d", "e", "f"].map((letter) => `/shop/${letter.repeat(900)}`);
    for (const name of names) host.set(name, 1);
    for (let at = 0; at < 31; at++) host.look();
    for (const name of names) host.set(name, 150);
    const kill = killed(1, "x", 100, { ...parent, cgroup: names[0] as string });
    const before = host.recorder.before(kill, 0);
    expect(JSON.stringify(before).length).toBeLessThanOrEqual(4096);
    expect(before?.growers.length).toBeGreaterThan(0);
    expect(before?.limitUse.length).toBeGreaterThan(9);
  });

  it("reads cgroups once for the kills of a storm, and no more than 300", () => {
    const host = new RecordedHost();
    for (let at = 0; at < 500; at++) host.set(`/c${at}.service`, at);
    host.look(5);
    const kill = killed(1, "x", 5, { constraint: "none", cgroup: "/c7.service" });
    for (let at = 0; at < 20; at++) {
      host.recorder.before(kill, 0);
      host.nowMs += 20;
    }
    expect(host.readAgain.length).toBeLessThanOrEqual(301);
  });
});
