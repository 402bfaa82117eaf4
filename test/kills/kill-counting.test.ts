import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { killOfReport } from "../../src/kills/kill.ts";
import { KillCounting } from "../../src/kills/kill-counting.ts";
import type { LedgerChange, LedgerStore, SavedLedger } from "../../src/kills/kill-ledger.ts";
import type {
  KillLineRead,
  KillLog,
  KillLogListener,
  SavedFollowing,
} from "../../src/kills/kill-log.ts";
import type { KillWitness } from "../../src/kills/kill-recorder.ts";
import { ownerOfCgroup } from "../../src/kills/owner.ts";
import { bootA, bootB } from "./sample-kill.ts";

const startMs = Date.parse("2026-11-21T04:00:00Z");
const hourMs = 3_600_000;

/** A log of numbered kill lines: the line of pid n ends at position n. */
class NumberedLog implements KillLog {
  listener: KillLogListener | undefined;
  saved: SavedFollowing | undefined;
  at = 0;
  holdsBoot = false;
  isOn = true;
  isStopped = false;
  readonly ticks: (number | undefined)[] = [];
  readonly failures: unknown[] = [];

  start(listener: KillLogListener, saved: SavedFollowing): void {
    this.listener = listener;
    this.saved = saved;
    this.at = (saved.position("log") as number | undefined) ?? 0;
    this.holdsBoot = saved.position("log") !== undefined;
  }

  stop(): void {
    this.isStopped = true;
  }

  tick(unaccounted: number | undefined): void {
    this.ticks.push(unaccounted);
  }

  async drain(): Promise<void> {}

  positions(): Record<string, unknown> {
    return this.at === 0 ? {} : { log: this.at };
  }

  failed(_line: KillLineRead, error: unknown): void {
    this.failures.push(error);
  }

  bring(pid: number, more: Partial<KillLineRead> & { timeMs?: number } = {}): void {
    this.at = pid;
    const { timeMs = startMs, ...line } = more;
    this.listener?.killLine({
      report: {
        killLine: { text: `Killed process ${pid}`, origin: "kernel", printkMicros: pid, timeMs },
        prefix: "Memory cgroup out of memory",
        pid,
        comm: "worker",
        constraint: "memcg",
        victimCgroup: "/work",
        repeatsVictim: false,
        suppressed: false,
      },
      source: "log",
      sourcePath: "/var/log/kern.log",
      isLive: false,
      boot: bootA,
      isReread: false,
      position: pid,
      ...line,
    });
    this.listener?.batchEnd();
  }

  catchUp(): void {
    this.listener?.caughtUp();
  }
}

class Store implements LedgerStore {
  readonly changes: LedgerChange[] = [];
  isSaving = true;
  flushes = 0;
  compactions = 0;

  append(change: LedgerChange): void {
    if (this.isSaving) this.changes.push(structuredClone(change));
  }

  compact(): void {
    this.compactions++;
  }

  flush(): void {
    this.flushes++;
  }
}

let nowMs: number;
let oomKills: number | undefined;
let boot: string;
let store: Store;
/** What the next exporter finds. */
let saved: SavedLedger | undefined;
let running: KillCounting[];

beforeEach(() => {
  nowMs = startMs;
  oomKills = 1000;
  boot = bootA;
  saved = undefined;
  running = [];
});

afterEach(() => {
  for (const counting of running) counting.stop();
});

function start(log = new NumberedLog(), witness?: KillWitness) {
  store = new Store();
  const counting = new KillCounting({
    log,
    lookup: {
      lookUp: () => undefined,
      remembered: () => undefined,
      readYoung: () => {},
      killCounts: () => new Map(),
      kernelKills: () => oomKills,
    },
    witness,
    store,
    saved,
    boot,
    ownerOf: ownerOfCgroup,
    nowMs: () => nowMs,
    monotonicMs: () => nowMs - startMs,
    printkMs: () => nowMs - startMs + 1000,
    logger: { warn: () => {} },
    describe: (report, context) => {
      if (report.pid === 666) throw new RangeError("a mistake");
      return killOfReport(report, context);
    },
  });
  running.push(counting);
  counting.start();
  return { log, counting };
}

/** Ends as kill -9 does. */
function dies(): void {
  saved = {
    snapshot: saved?.snapshot,
    changes: [...(saved?.changes ?? []), ...structuredClone(store.changes)],
  };
}

function counted(counting: KillCounting): number | undefined {
  return counting.counts()?.kills.get("memcg");
}

const pids = (counting: KillCounting) => counting.kills().map(({ pid }) => pid);

function live(counting: KillCounting, seconds: number): void {
  for (let second = 0; second < seconds; second++) {
    nowMs += 1000;
    counting.tick();
  }
}

describe("the first start", () => {
  it("shows existing kills in the log, and counts none of them", () => {
    const { log, counting } = start();
    log.bring(1);
    log.bring(2);
    log.catchUp();
    expect(pids(counting)).toEqual([2, 1]);
    expect(counted(counting)).toBe(0);
    log.bring(3, { isLive: true });
    expect(counted(counting)).toBe(1);
  });

  it("shows no count before the log has been read to its end", () => {
    const { log, counting } = start();
    log.bring(1);
    expect(counting.counts()).toBeUndefined();
    expect(counting.hasCaughtUp).toBe(false);
    log.catchUp();
    expect(counting.counts()).toBeDefined();
    expect(counting.hasCaughtUp).toBe(true);
  });

  it("saves the moment from which kills count, and its position", () => {
    const { log } = start();
    log.bring(7);
    log.catchUp();
    const began = store.changes.filter((change) => change.began !== undefined);
    expect(began).toMatchObject([
      { began: { boot: bootA, printkMicros: 1_000_000 }, notes: { firstStartMs: startMs } },
    ]);
    dies();
    expect(start().log.saved?.position("log")).toBe(7);
  });

  it("is left to the next process if this one dies first", () => {
    const first = start();
    first.log.bring(1);
    dies();
    const second = start();
    second.log.bring(2);
    second.log.catchUp();
    expect(counted(second.counting)).toBe(0);
    expect(pids(second.counting)).toEqual([2, 1]);
  });
});

describe("a later start", () => {
  beforeEach(() => {
    const { log } = start();
    log.catchUp();
    log.bring(1, { isLive: true });
    dies();
  });

  it("counts everything after the saved position before it publishes a count", () => {
    const { log, counting } = start();
    log.bring(2);
    log.bring(3);
    expect(counting.counts()).toBeUndefined();
    log.catchUp();
    expect(counted(counting)).toBe(3);
  });

  it("counts such a line whatever its timestamp is", () => {
    const { log, counting } = start();
    log.bring(2, { timeMs: startMs - hourMs });
    log.catchUp();
    expect(counted(counting)).toBe(2);
  });

  it("treats kills from before the first start in a new source as history", () => {
    const { log, counting } = start();
    log.bring(2_000_000, { isReread: true, timeMs: startMs - 1 });
    log.bring(2_000_001, { isReread: true, timeMs: startMs + 1 });
    log.catchUp();
    expect(counted(counting)).toBe(2);
    expect(pids(counting)).toContain(2_000_000);
  });

  it("does not begin a second time", () => {
    const { log } = start();
    log.catchUp();
    expect(store.changes.every(({ began }) => began === undefined)).toBe(true);
  });
});

describe("the kernel's own count", () => {
  it("is compared from the moment the log was read to its end", () => {
    const { log, counting } = start();
    log.catchUp();
    expect(counting.unaccounted).toBe(0);
    oomKills = 1002;
    live(counting, 9);
    expect(counting.unaccounted).toBe(0);
    live(counting, 2);
    expect(counting.unaccounted).toBe(2);
    expect(log.ticks.at(-1)).toBe(2);
  });

  it("is compared from the same baseline after a restart in this boot", () => {
    const { log } = start();
    log.catchUp();
    log.bring(1, { isLive: true });
    dies();
    oomKills = 1003;
    const second = start();
    second.log.catchUp();
    live(second.counting, 11);
    expect(second.counting.unaccounted).toBe(2);
  });

  it("is not compared if no log is read, or the kernel has no such count", () => {
    const off = new NumberedLog();
    off.isOn = false;
    const without = start(off);
    off.catchUp();
    expect(without.counting.unaccounted).toBeUndefined();

    oomKills = undefined;
    const { log, counting } = start();
    log.catchUp();
    live(counting, 20);
    expect(counting.unaccounted).toBeUndefined();
  });
});

describe("a tick", () => {
  it("saves positions alone every fifth time, and starts the disk's part each time", () => {
    const { log, counting } = start();
    log.catchUp();
    log.at = 50;
    const before = store.changes.length;
    live(counting, 4);
    expect(store.changes).toHaveLength(before);
    live(counting, 1);
    expect(store.changes.slice(before)).toMatchObject([{ positions: { log: 50 } }]);
    expect(store.flushes).toBe(5);
  });

  it("tries to save everything after saving has failed", () => {
    const { counting } = start();
    store.isSaving = false;
    live(counting, 1);
    expect(store.compactions).toBe(1);
  });

  it("leaves the log alone until it has been read to its end", () => {
    const { log, counting } = start();
    live(counting, 3);
    expect(log.ticks).toEqual([]);
  });
});

describe("files in which kills are missing", () => {
  it("are known to the log after a restart, in the same boot", () => {
    const { log } = start();
    log.catchUp();
    log.listener?.blindFiles(["/var/log/kern.log"]);
    dies();
    expect(start().log.saved?.blindFiles()).toEqual(["/var/log/kern.log"]);
    boot = bootB;
    expect(start().log.saved?.blindFiles()).toEqual([]);
  });
});

describe("a kill that the program fails to describe", () => {
  it("is reported to the log, and those around it are counted", () => {
    const { log, counting } = start();
    log.catchUp();
    for (const pid of [1, 666, 2]) log.bring(pid, { isLive: true });
    expect(counted(counting)).toBe(2);
    expect(log.failures).toEqual([new RangeError("a mistake")]);
  });
});

describe("events without a victim", () => {
  it("are counted since the start of the process", () => {
    const { log, counting } = start();
    expect(counting.noVictims).toBe(0);
    log.listener?.noVictim();
    log.listener?.noVictim();
    expect(counting.noVictims).toBe(2);
  });
});

describe("workloads", () => {
  let counting: KillCounting;

  beforeEach(() => {
    const started = start();
    started.log.catchUp();
    counting = started.counting;
  });

  /** What one look at the cgroups found. */
  function look(paths: readonly string[], beyondLimit = 0): void {
    counting.noteCgroups({ readings: paths.map((path) => ({ path })), beyondLimit });
  }

  const shown = () =>
    counting
      .counts()
      ?.workloads.map(({ labels: { cgroup, unit }, kills }) => [cgroup, unit, kills])
      .slice(2);

  it("start at 0 if the cgroup has an owner, and leave after it is gone", () => {
    look(["/system.slice", "/system.slice/a.service", "/b.service"]);
    expect(shown()).toEqual([
      ["/system.slice/a.service", "a.service", 0],
      ["/b.service", "b.service", 0],
    ]);
    look(["/b.service"]);
    nowMs += hourMs;
    expect(shown()).toEqual([["/b.service", "b.service", 0]]);
  });

  it("are not gone because a look ended early, and are still known after it", () => {
    look(["/a.service"]);
    look(["/b.service"], 1);
    nowMs += hourMs;
    expect(shown()).toHaveLength(2);
    look([]);
    nowMs += hourMs;
    expect(shown()).toEqual([]);
  });
});

describe("the outcome of a kill", () => {
  it("is saved with its story, once, and nobody watches it then", () => {
    const { log, counting } = start(new NumberedLog(), {
      killBegan: () => {},
      factsOf: () => ({ facts: {}, killedSeconds: 7 }),
    });
    log.catchUp();
    log.bring(1, { isLive: true });
    const [watched] = counting.watched();
    const incident = watched?.kill.incident ?? "";
    counting.settle(incident, { outcome: "restarted", restartSeconds: 5 });
    counting.settle(incident, { outcome: "gone", restartSeconds: null });
    expect(counting.kills()[0]).toMatchObject({ outcome: "restarted", restartSeconds: 5 });
    expect(counting.recent().kills[0]?.outcome).toBe("restarted");
    expect(counting.watched()).toEqual([]);
    expect(store.changes.at(-1)?.amended?.[0]?.outcome).toBe("restarted");
  });
});

describe("the end", () => {
  it("stops the log, then saves how far it was read", () => {
    const { log, counting } = start();
    log.catchUp();
    log.at = 9;
    counting.stop();
    expect(log.isStopped).toBe(true);
    expect(store.changes.at(-1)?.positions).toEqual({ log: 9 });
  });
});
