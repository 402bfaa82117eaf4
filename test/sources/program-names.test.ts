import { execFileSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Meminfo } from "../../src/kernel/meminfo.ts";
import type { CgroupReading } from "../../src/sources/cgroup-reading.ts";
import { HostFiles } from "../../src/sources/host-files.ts";
import type { ProcessReading } from "../../src/sources/process-table.ts";
import {
  ProgramNames,
  type ProgramNamesOptions,
  type ReadCommandLine,
  readingAtOnce,
} from "../../src/sources/program-names.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";

const gib = 2 ** 30;

/** A host whose command lines are read at once, and counted. */
class WatchedHost {
  readonly tree = new TemporaryTree();
  readonly files = new HostFiles(this.tree.roots);
  readonly read: string[] = [];
  nowMs = 0;
  readonly programs: ProgramNames;
  readonly #processes: ProcessReading[] = [];

  constructor(options: Partial<ProgramNamesOptions> = {}) {
    const readAtOnce = readingAtOnce(() => this.files);
    this.programs = new ProgramNames({
      files: this.files,
      top: 20,
      hasCgroups: true,
      monotonicMs: () => this.nowMs,
      readCommandLine: (path, done) => {
        this.read.push(path.replace(/.*\/proc\//, ""));
        readAtOnce(path, done);
      },
      ...options,
    });
  }

  /** Adds a process, the highest ranked first, or changes one. */
  add(
    pid: number,
    args: string[],
    {
      comm = "java",
      startTicks = 100,
      cgroup = "/",
      sinceMs,
    }: { comm?: string; startTicks?: number; cgroup?: string; sinceMs?: number } = {},
  ): void {
    const fields = ["S", ...new Array(18).fill(0), startTicks, 0, 0];
    this.tree.write(`proc/${pid}`, {
      cmdline: args.map((argument) => `${argument}\0`).join(""),
      stat: `${pid} (${comm}) ${fields.join(" ")}`,
    });
    const process = { pid, comm, cgroup, sinceMs } as ProcessReading;
    const known = this.#processes.findIndex((other) => other.pid === pid);
    if (known < 0) this.#processes.push(process);
    else this.#processes[known] = process;
  }

  /** A snapshot: the host has a half of its memory available. */
  look({ availableBytes = 4 * gib, cgroups = [] as CgroupReading[] } = {}): void {
    const meminfo = { memTotalBytes: 8 * gib, memFreeBytes: 0, memAvailableBytes: availableBytes };
    this.programs.noteMeminfo(meminfo as Meminfo);
    this.programs.noteCgroups({ readings: cgroups, filtered: 0, beyondLimit: 0, unreadable: 0 });
    this.programs.noteProcesses({ processes: this.#processes, denied: 0 });
  }

  programOf(pid: number, comm = "java"): string {
    return this.programs.programOf({ pid, comm });
  }
}

function limited(path: string, currentBytes: number): CgroupReading {
  const limit = { maxBytes: gib, effectiveMaxBytes: gib, limitingCgroup: path };
  return { path, currentBytes, ...limit, events: {}, pressure: {} };
}

describe("programs of processes", () => {
  it("is read once, however many processes are wanted", () => {
    const host = new WatchedHost({ top: Number.POSITIVE_INFINITY });
    for (let pid = 1; pid <= 3000; pid++) host.add(pid, ["/usr/bin/java", "-jar", "a.jar"]);
    host.look();
    const first = host.read.length;
    host.look();
    expect([first, host.read.length]).toEqual([1024, 1024]);
  });

  it("is read once for a process, and again when its comm or the process changes", () => {
    const host = new WatchedHost();
    host.add(7, ["sh", "start.sh"], { comm: "sh" });
    host.look();
    host.look();
    expect([host.programOf(7, "sh"), host.read]).toEqual(["start.sh", ["7/cmdline"]]);
    host.add(7, ["java", "-jar", "billing.jar"]);
    host.look();
    host.look();
    expect([host.programOf(7), host.programOf(7, "sh")]).toEqual(["billing.jar", ""]);
    host.add(7, ["java", "-jar", "other.jar"], { startTicks: 900 });
    host.look();
    expect(host.programOf(7)).toBe("other.jar");
    expect(host.read.length).toBe(3);
  });

  it("is not looked for again while the table says that it is the same process", () => {
    const host = new WatchedHost();
    host.add(7, ["java", "-jar", "billing.jar"], { sinceMs: 5 });
    host.look();
    // Another one's, if it were read: the table knows better.
    host.add(7, ["java", "-jar", "other.jar"], { sinceMs: 5, startTicks: 900 });
    host.look();
    expect([host.programOf(7), host.read.length]).toEqual(["billing.jar", 1]);
    host.add(7, ["java", "-jar", "other.jar"], { sinceMs: 6, startTicks: 900 });
    host.look();
    expect([host.programOf(7), host.read.length]).toEqual(["other.jar", 2]);
  });

  it("is read of the first of the ranking, and of the first below each limit", () => {
    const host = new WatchedHost({ top: 2 });
    for (const pid of [1, 2, 3, 4, 5]) {
      const cgroup = pid === 4 || pid === 5 ? "/limited/inner" : "/";
      host.add(pid, ["java", "-jar", `${pid}.jar`], { cgroup });
    }
    host.look({ cgroups: [limited("/limited", 0.5 * gib)] });
    expect([1, 2, 3, 4, 5].map((pid) => host.programOf(pid))).toEqual([
      "1.jar",
      "2.jar",
      "",
      "4.jar",
      "",
    ]);
  });

  it("is not read of a process whose limit is near, its own or one above", () => {
    const host = new WatchedHost();
    host.add(7, ["java", "-jar", "a.jar"], { cgroup: "/limited/inner" });
    host.add(8, ["java", "-jar", "b.jar"], { cgroup: "/other" });
    host.look({ cgroups: [limited("/limited", 0.85 * gib)] });
    expect(host.read).toEqual(["8/cmdline"]);
    host.look({ cgroups: [limited("/limited", 0.5 * gib)] });
    expect(host.programOf(7)).toBe("a.jar");
  });

  it("is not read while little of the host's memory is available", () => {
    const host = new WatchedHost();
    host.add(7, ["java", "-jar", "a.jar"]);
    host.look({ availableBytes: 0.7 * gib });
    expect(host.read).toEqual([]);
    host.look();
    expect(host.programOf(7)).toBe("a.jar");
  });

  it("is not read while the host stalls for memory", () => {
    const host = new WatchedHost();
    host.add(7, ["java", "-jar", "a.jar"]);
    const pressure = (full: string) =>
      host.tree.write("proc/pressure", {
        memory: `some avg10=9.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=${full} avg60=0.00 avg300=0.00 total=1`,
      });
    pressure("1.25");
    host.look();
    expect(host.read).toEqual([]);
    pressure("0.00");
    host.look();
    expect(host.programOf(7)).toBe("a.jar");
  });

  it("is not read for ten seconds after a kill has begun", () => {
    const host = new WatchedHost();
    host.add(7, ["java", "-jar", "a.jar"]);
    host.programs.killBegan();
    host.nowMs = 9_999;
    host.look();
    expect(host.read).toEqual([]);
    host.nowMs = 10_000;
    host.look();
    expect(host.programOf(7)).toBe("a.jar");
  });

  it("is not read before the cgroups, because a limit may be near", () => {
    const host = new WatchedHost();
    host.programs.noteMeminfo({ memTotalBytes: gib, memFreeBytes: gib } as Meminfo);
    host.add(7, ["java", "-jar", "a.jar"]);
    host.programs.noteProcesses({
      processes: [{ pid: 7, comm: "java" } as ProcessReading],
      denied: 0,
    });
    expect(host.read).toEqual([]);
  });

  it("is not known of a process that was replaced while it was read", () => {
    const host: WatchedHost = new WatchedHost({
      readCommandLine: (_, done) => {
        host.add(7, [], { startTicks: 900 });
        done({ bytes: Buffer.from("java\0-jar\0a.jar\0"), isWhole: true });
      },
    });
    host.add(7, ["java", "-jar", "a.jar"]);
    host.look();
    expect(host.programOf(7)).toBe("");
  });
});

describe("a process that holds its mmap lock", () => {
  it("delays no other read while it blocks, and is not read a second time", () => {
    let release: Parameters<ReadCommandLine>[1] | undefined;
    const begun: string[] = [];
    const host = new WatchedHost({
      readCommandLine: (path, done) => {
        begun.push(path);
        release = done;
      },
    });
    host.add(7, ["java", "-jar", "a.jar"]);
    host.add(8, ["java", "-jar", "b.jar"]);
    host.look();
    host.look();
    expect([begun.length, host.programs.isReading, host.programOf(7)]).toEqual([1, true, ""]);
    release?.({ bytes: Buffer.from("java\0-jar\0a.jar\0"), isWhole: true });
    expect([begun.length, host.programOf(7)]).toEqual([2, "a.jar"]);
  });

  it("is waited for at the end, and nothing further is read", async () => {
    let release: Parameters<ReadCommandLine>[1] | undefined;
    let begun = 0;
    const host = new WatchedHost({
      readCommandLine: (_, done) => {
        begun++;
        release = done;
      },
    });
    host.add(7, ["java", "-jar", "a.jar"]);
    host.add(8, ["java", "-jar", "b.jar"]);
    host.look();
    const closed = host.programs.close();
    release?.(undefined);
    await closed;
    host.look();
    expect([begun, host.programs.isReading]).toEqual([1, false]);
  });

  it("blocks nothing but a thread of the pool", async () => {
    const host = new WatchedHost({ readCommandLine: undefined });
    host.add(7, []);
    host.tree.remove("proc/7/cmdline");
    // Opening a pipe waits for its writer, as reading cmdline waits for the lock.
    execFileSync("mkfifo", [host.tree.path("proc/7/cmdline")]);
    host.look();
    expect(host.programs.isReading).toBe(true);
    appendFileSync(host.tree.path("proc/7/cmdline"), "java\0-jar\0a.jar\0");
    while (host.programs.isReading) await new Promise((resolve) => setImmediate(resolve));
    // A pipe has no positions: what counts is that the read came to its end.
    expect(host.programOf(7)).toBe("");
  });
});
