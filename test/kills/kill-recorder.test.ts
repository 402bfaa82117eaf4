import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { OomKillReport } from "../../src/kernel-log/oom-report.ts";
import { killOfReport } from "../../src/kills/kill.ts";
import { KillLedger, type LedgerChange } from "../../src/kills/kill-ledger.ts";
import type { KillLineRead } from "../../src/kills/kill-log.ts";
import { KillReconciler } from "../../src/kills/kill-reconciler.ts";
import { KillRecorder } from "../../src/kills/kill-recorder.ts";
import { ownerOfCgroup } from "../../src/kills/owner.ts";

const boot = "b".repeat(32);
const startMs = Date.parse("2026-11-21T04:00:00Z");

let saved: LedgerChange[];
let ledger: KillLedger;
let recorder: KillRecorder;
/** The kernel: which cgroup has counted how many kills, and how many there were in all. */
let counters: Map<string, number>;
let kernelKills: number;
let read: Record<string, unknown>;
let lookTakesMs: number;
let looks: number;
let logged: string[];
/** What the host does when it is asked: nothing, or it throws. */
let trouble: (question: string) => void;
let describeKill: typeof killOfReport;
let failed: unknown[];
/** Kills that the host's watcher was asked about, and the number of kill starts reported to it. */
let asked: string[];
let begun: number;

beforeEach(() => {
  vi.useFakeTimers({ now: startMs });
  saved = [];
  counters = new Map([
    ["/a", 0],
    ["/b", 0],
  ]);
  kernelKills = 0;
  read = { ring: 0 };
  lookTakesMs = 0;
  looks = 0;
  logged = [];
  trouble = () => {};
  describeKill = killOfReport;
  failed = [];
  asked = [];
  begun = 0;
  const store = {
    append: (change: LedgerChange) => saved.push(change),
    isSaving: true,
    compact: () => {},
    flush: () => {},
  };
  ledger = new KillLedger({ store, nowMs: startMs });
  const reconciler = new KillReconciler();
  recorder = new KillRecorder({
    ledger,
    reconciler,
    log: {
      positions: () => ({ ...read }),
      drain: async () => trouble("drain"),
      failed: (_line, error) => failed.push(error),
    },
    lookup: {
      lookUp: () => void trouble("lookUp"),
      remembered: () => void trouble("remembered"),
      readYoung: () => trouble("readYoung"),
      killCounts: () => {
        trouble("killCounts");
        looks++;
        vi.setSystemTime(Date.now() + lookTakesMs);
        return new Map(counters);
      },
      kernelKills: () => {
        trouble("kernelKills");
        return kernelKills;
      },
    },
    witness: {
      killBegan: () => {
        trouble("killBegan");
        begun++;
      },
      factsOf: ({ incident, comm }) => {
        trouble("factsOf");
        asked.push(incident);
        return { facts: { program: `${comm}.jar` } };
      },
    },
    boot,
    ownerOf: ownerOfCgroup,
    describe: (report, context) => describeKill(report, context),
    nowMs: () => Date.now(),
    monotonicMs: () => Date.now() - startMs,
    logger: { warn: (_fields, message) => logged.push(message) },
  });
  ledger.showCounts();
  // The baseline is trusted after two seconds.
  const reading = () => ({ boot, rawLines: recorder.rawLines, oomKill: kernelKills });
  reconciler.begin({ ...reading(), nowMs: -5000 }, { logHoldsBoot: true });
  for (let nowMs = -4000; nowMs < 0; nowMs += 1000) reconciler.read({ ...reading(), nowMs });
  recorder.readCounters();
});

afterEach(() => {
  recorder.stop();
  vi.useRealTimers();
});

/** A line of the ring, as the kernel prints it after it has counted. */
function line(sequence: number, facts: Partial<OomKillReport> = {}): KillLineRead {
  kernelKills = Math.max(kernelKills, sequence);
  read = { ring: sequence };
  const printkMicros = sequence * 1000;
  const text = `Memory cgroup out of memory: Killed process ${sequence} (worker)`;
  return {
    report: {
      killLine: { text, origin: "kernel", printkMicros, timeMs: Date.now() },
      prefix: "Memory cgroup out of memory",
      pid: sequence,
      comm: "worker",
      constraint: "memcg",
      repeatsVictim: false,
      suppressed: facts.victimCgroup === undefined,
      ...facts,
    },
    source: "ring",
    sourcePath: "/dev/kmsg",
    isLive: true,
    boot,
    isReread: false,
    position: sequence,
  };
}

const shown = () =>
  ledger.recent(Date.now()).kills.map(({ labels }) => [labels.pid, labels.cgroup]);
const positions = () => saved.flatMap(({ positions }) => positions?.ring ?? []);

describe("a kill whose cgroup the log names", () => {
  it("is shown at once", () => {
    recorder.take(line(1, { victimCgroup: "/a" }), false);
    recorder.commit();
    expect(shown()).toEqual([["1", "/a"]]);
    expect(positions()).toEqual([1]);
  });

  it("needs no reading of the counters, and their increase is not taken for a later kill", async () => {
    looks = 0;
    for (const [sequence, count] of [
      [1, 1],
      [2, 2],
    ] as const) {
      counters.set("/a", count);
      recorder.take(line(sequence, { victimCgroup: "/a" }), false);
      recorder.commit();
      await vi.advanceTimersByTimeAsync(2000);
    }
    expect(looks).toBe(0);
    counters.set("/b", 1);
    recorder.take(line(3), false);
    await vi.advanceTimersByTimeAsync(1);
    expect(looks).toBe(1);
    expect(shown()[0]).toEqual(["3", "/b"]);
  });
});

describe("a kill whose cgroup the log does not name", () => {
  it("is held back until a counter attributes it", async () => {
    counters.set("/b", 1);
    recorder.take(line(1), false);
    recorder.commit();
    expect(shown()).toEqual([]);
    await vi.advanceTimersByTimeAsync(50);
    expect(shown()).toEqual([["1", "/b"]]);
  });

  it("is shown as unknown after 500 ms, and later information changes only its details", async () => {
    counters.set("/a", 1).set("/b", 1);
    kernelKills = 2;
    recorder.take(line(1), false);
    await vi.advanceTimersByTimeAsync(490);
    expect(shown()).toEqual([]);
    await vi.advanceTimersByTimeAsync(40);
    expect(shown()).toEqual([["1", ""]]);

    // The line of the other rise is late; it leaves one cgroup for the first.
    recorder.take(line(2, { victimCgroup: "/b" }), false);
    await vi.advanceTimersByTimeAsync(50);
    expect(shown()).toEqual([
      ["2", "/b"],
      ["1", ""],
    ]);
    expect(ledger.kills()[1]?.cgroup).toBe("/a");
  });

  it("is published before the next one with a known cgroup, and no later position is saved until then", async () => {
    recorder.take(line(1, { victimCgroup: "/a" }), false);
    recorder.take(line(2), false);
    recorder.take(line(3, { victimCgroup: "/a" }), false);
    recorder.commit();
    expect(shown()).toEqual([["1", "/a"]]);
    expect(positions()).toEqual([1]);
    recorder.savePositions();
    expect(positions()).toEqual([1]);

    await vi.advanceTimersByTimeAsync(600);
    expect(shown().map(([pid]) => pid)).toEqual(["3", "2", "1"]);
    expect(positions()).toEqual([1, 3]);
  });

  it("is published unchanged when the exporter stops", () => {
    recorder.take(line(1), false);
    recorder.stop();
    expect(shown()).toEqual([["1", ""]]);
    expect(positions()).toEqual([1]);
  });
});

describe("the group line, which comes after its first victim", () => {
  it("reaches a story that has been published", () => {
    const first = line(1, { victimCgroup: "/a/job" });
    recorder.take(first, false);
    recorder.commit();
    recorder.amend({ ...first.report, groupCgroup: "/a" });
    expect(ledger.kills()[0]?.group).toBe("/a");
  });
});

describe("lines of this boot", () => {
  it("are counted from the moment they are read, held back or not", () => {
    recorder.take(line(1, { victimCgroup: "/a" }), false);
    recorder.take(line(2), false);
    expect(recorder.rawLines).toBe(2);
    recorder.commit();
    expect(recorder.rawLines).toBe(2);
  });
});

describe("the close look on a host with many cgroups", () => {
  beforeEach(async () => {
    lookTakesMs = 45;
    looks = 0;
    counters.set("/a", 1);
    recorder.take(line(1), false);
    recorder.commit();
    await vi.advanceTimersByTimeAsync(2000);
  });

  it("takes at most a tenth of the time once there was no kill for a second", async () => {
    looks = 0;
    const fromMs = Date.now();
    await vi.advanceTimersByTimeAsync(5000);
    expect(looks).toBeGreaterThan(0);
    expect((looks * lookTakesMs) / (Date.now() - fromMs)).toBeLessThanOrEqual(0.11);
  });

  it("comes at once for the next kill", async () => {
    looks = 0;
    counters.set("/b", 1);
    recorder.take(line(2), false);
    await vi.advanceTimersByTimeAsync(1);
    expect(looks).toBe(1);
    expect(shown()[0]).toEqual(["2", "/b"]);
  });

  it("ends ten seconds after the last kill", async () => {
    await vi.advanceTimersByTimeAsync(12_000);
    looks = 0;
    await vi.advanceTimersByTimeAsync(5000);
    expect(looks).toBe(0);
  });
});

describe("what the host's watcher saw of a kill", () => {
  it("is asked for only of a kill that is read as it happens", () => {
    recorder.take({ ...line(1, { victimCgroup: "/a" }), isLive: false }, false);
    recorder.take(line(2, { victimCgroup: "/a" }), false);
    recorder.commit();
    expect(ledger.kills().map(({ pid, program }) => [pid, program])).toEqual([
      [2, "worker.jar"],
      [1, null],
    ]);
    expect([begun, asked.length]).toEqual([1, 1]);
  });
});

describe("a mistake of this program", () => {
  const questions = ["lookUp", "remembered", "readYoung", "drain", "killCounts", "kernelKills"];

  it.each(["killBegan", "factsOf"])("in %s costs a kill only these details", async (bad) => {
    trouble = (question) => {
      if (question === bad) throw new TypeError("a mistake");
    };
    recorder.take(line(1, { victimCgroup: "/a" }), false);
    recorder.commit();
    expect(shown()).toEqual([["1", "/a"]]);
    expect(ledger.kills()[0]?.program).toBe(bad === "factsOf" ? null : "worker.jar");
    expect(logged.length).toBe(1);
  });

  it.each(questions)(
    "in %s costs a kill its cgroup, not its count, and is logged once",
    async (bad) => {
      trouble = (question) => {
        if (question === bad) throw new TypeError("a mistake");
      };
      recorder.take(line(1), false);
      recorder.take(line(2, { victimCgroup: "/a" }), false);
      await vi.advanceTimersByTimeAsync(600);
      expect(shown()).toEqual([
        ["2", "/a"],
        ["1", ""],
      ]);
      expect(logged).toEqual([expect.stringMatching(/^failed to look up a victim/)]);
      expect(failed).toEqual([]);
    },
  );

  it("in one reading does not stop further readings", async () => {
    trouble = () => {
      throw new TypeError("a mistake");
    };
    recorder.take(line(1), false);
    await vi.advanceTimersByTimeAsync(100);
    trouble = () => {};
    counters.set("/b", 1);
    await vi.advanceTimersByTimeAsync(100);
    expect(shown()).toEqual([["1", "/b"]]);
  });

  it("in the description of one kill loses only that kill, and is logged", () => {
    describeKill = (report, context) => {
      if (report.pid === 2) throw new RangeError("Invalid time value");
      return killOfReport(report, context);
    };
    for (const pid of [1, 2, 3]) recorder.take(line(pid, { victimCgroup: "/a" }), false);
    recorder.commit();
    expect(shown().map(([pid]) => pid)).toEqual(["3", "1"]);
    expect(failed).toEqual([new RangeError("Invalid time value")]);
    expect(positions()).toEqual([3]);
  });

  it("in the ledger loses only its input, and each is logged", async () => {
    const record = vi.spyOn(ledger, "record").mockImplementation(() => {
      throw new TypeError("a mistake");
    });
    recorder.take(line(1), false);
    recorder.take(line(2), false);
    await vi.advanceTimersByTimeAsync(600);
    expect(failed).toHaveLength(2);
    record.mockRestore();
    recorder.take(line(3, { victimCgroup: "/a" }), false);
    recorder.commit();
    expect(shown()).toEqual([["3", "/a"]]);
  });
});
