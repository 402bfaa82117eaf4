import { beforeEach, describe, expect, it } from "vitest";
import type { DaemonKill } from "../../src/killers/daemon-kill.ts";
import type { DaemonLog, DaemonLogListener } from "../../src/killers/daemon-log.ts";
import { type SignalledProcess, UserspaceCounting } from "../../src/killers/userspace-counting.ts";
import type {
  SavedUserspaceLedger,
  UserspaceChange,
  UserspaceSnapshot,
} from "../../src/killers/userspace-ledger.ts";
import { ownerOfCgroup } from "../../src/kills/owner.ts";
import { heldBytes, mebibyte } from "../setup/held-memory.ts";

const boot = "0123456789abcdef0123456789abcdef";
const startMs = Date.parse("2026-11-20T13:00:00Z");

/** A log that says what the test makes it say. */
class SpokenLog implements DaemonLog {
  readonly watched = ["earlyoom", "nohang"] as const;
  readonly states = [];
  readonly losses = 0;
  listener: DaemonLogListener | undefined;
  from: unknown;
  cursor: string | undefined;
  hasCaughtUp = false;

  start(listener: DaemonLogListener, position: (key: string) => unknown): void {
    this.listener = listener;
    this.from = position("journal");
  }
  stop(): void {}
  beat(): void {}
  positions(): Record<string, unknown> {
    return this.cursor === undefined ? {} : { journal: this.cursor };
  }
  catchUp(): void {
    this.hasCaughtUp = true;
    this.listener?.caughtUp();
  }
  say(kill: Partial<DaemonKill>, cursor: string): void {
    this.cursor = cursor;
    this.listener?.kill({
      kill: {
        killer: "earlyoom",
        reason: "memory_available",
        pid: 1234,
        comm: "java",
        signal: "SIGTERM",
        readings: {},
        timeMs: nowMs,
        bootId: boot,
        ...kill,
      },
      sourcePath: "journal",
      isLive: this.hasCaughtUp,
      isReread: this.from === undefined,
    });
  }
}

/** The saved state as on a disk: whole changes, of which the last may be lost. */
class Disk {
  readonly changes: UserspaceChange[] = [];
  snapshot: UserspaceSnapshot | undefined;
  readonly isSaving = true;
  append(change: UserspaceChange): void {
    this.changes.push(JSON.parse(JSON.stringify(change)));
  }
  compact(snapshot: () => UserspaceSnapshot): void {
    this.snapshot = JSON.parse(JSON.stringify(snapshot()));
    this.changes.length = 0;
  }
  flush(): void {}
  saved(): SavedUserspaceLedger {
    return { snapshot: this.snapshot, changes: this.changes };
  }
}

let nowMs: number;
let log: SpokenLog;
let disk: Disk;
beforeEach(() => {
  nowMs = startMs;
  disk = new Disk();
});

type Processes = Record<number, SignalledProcess>;

function begin(processes: Processes = {}, disk_ = disk, remembered: Processes = {}) {
  log = new SpokenLog();
  const counting = new UserspaceCounting({
    log,
    lookup: {
      lookUp: (pid) => processes[pid],
      remembered: (pid) => remembered[pid],
      programOf: () => "",
    },
    store: disk_,
    saved: disk_.saved(),
    ownerOf: ownerOfCgroup,
    nowMs: () => nowMs,
    logger: { warn: (_fields, message) => expect.fail(message) },
  });
  counting.start();
  return counting;
}

const counts = (counting: UserspaceCounting) => Object.fromEntries(counting.counts() ?? []);

describe("on the first start", () => {
  it("no count is shown before the log has been read to its end; then each watched daemon has 0", () => {
    const counting = begin();
    expect(counting.counts()).toBeUndefined();
    log.catchUp();
    expect(counts(counting)).toEqual({ earlyoom: 0, nohang: 0 });
  });

  it("existing kills are shown and never counted", () => {
    const counting = begin();
    log.say({}, "c1");
    log.catchUp();
    expect(counts(counting)).toEqual({ earlyoom: 0, nohang: 0 });
    expect(counting.kills()).toHaveLength(1);
    nowMs += 1000;
    log.say({}, "c2");
    expect(counts(counting)).toMatchObject({ earlyoom: 0 });
    log.say({ pid: 99 }, "c3");
    expect(counts(counting)).toMatchObject({ earlyoom: 1 });
  });
});

it("counts what stands after the saved position, although the clock was ahead when counting began", () => {
  const first = begin();
  log.catchUp();
  log.say({ pid: 1 }, "c1");
  first.stop();
  const counting = begin();
  expect(log.from).toBe("c1");
  log.say({ pid: 2, timeMs: startMs - 86_400_000 }, "c2");
  log.catchUp();
  expect(counts(counting)).toMatchObject({ earlyoom: 2 });
});

describe("a log that is read for the first time after counting began", () => {
  it("holds history, and the kills since", () => {
    begin();
    log.catchUp();
    nowMs += 60_000;
    const counting = begin();
    log.say({ pid: 7, timeMs: startMs - 86_400_000 }, "c1");
    log.say({ pid: 8, timeMs: startMs + 1000 }, "c2");
    log.catchUp();
    expect(counts(counting)).toMatchObject({ earlyoom: 1 });
    expect(counting.kills().map(({ pid }) => pid)).toEqual([8, 7]);
    expect(counting.recent().map(({ labels }) => labels.pid)).toEqual(["8"]);
  });
});

describe("a kill", () => {
  it("counts once, however often it is announced, and again after a minute", () => {
    const counting = begin();
    log.catchUp();
    for (const seconds of [0, 1, 50, 100]) {
      nowMs = startMs + seconds * 1000;
      log.say({ signal: "SIGKILL" }, `c${seconds}`);
    }
    expect(counts(counting)).toMatchObject({ earlyoom: 1 });
    nowMs += 61_000;
    log.say({}, "c9");
    expect(counts(counting)).toMatchObject({ earlyoom: 2 });
  });

  it("is of the cgroup last read while cgroup v1 shows / for the exiting process", () => {
    const cgroup = "/system.slice/billing.service";
    const exiting = { 1234: { comm: "java", cgroup: "/" }, 5: { comm: "java", cgroup: "/" } };
    const counting = begin(exiting, disk, { 1234: { comm: "java", cgroup } });
    log.catchUp();
    log.say({}, "c1");
    log.say({ pid: 5 }, "c2");
    expect(counting.kills().map((kill) => kill.cgroup)).toEqual([null, cgroup]);
  });

  it("is of the unit whose cgroup was removed with its last process", () => {
    const cgroup = "/system.slice/billing.service (deleted)";
    const counting = begin({ 1234: { comm: "java", cgroup } });
    log.catchUp();
    log.say({}, "c1");
    expect(counting.kills()[0]?.cgroup).toBe("/system.slice/billing.service");
  });

  it("is not of the cgroup of a process of the same name that runs as another user", () => {
    const counting = begin({
      1234: { comm: "java", uid: 1000, cgroup: "/system.slice/web.service" },
    });
    log.catchUp();
    log.say({ uid: 0 }, "c1");
    expect(counting.kills()[0]?.cgroup).toBeNull();
    log.say({ uid: 1000, timeMs: startMs + 120_000 }, "c2");
    expect(counting.kills()[0]?.cgroup).toBe("/system.slice/web.service");
  });

  it("is of the cgroup in which the process is, where its name is the same", () => {
    const unit = "/system.slice/billing.service";
    const counting = begin({
      1234: { comm: "java", cgroup: unit },
      5: { comm: "sh", cgroup: unit },
    });
    log.catchUp();
    log.say({}, "c1");
    log.say({ pid: 5, comm: "gone" }, "c2");
    const labels = counting.recent().map((kill) => kill.labels);
    expect(labels.find(({ pid }) => pid === "1234")).toMatchObject({
      cgroup: unit,
      unit: "billing.service",
    });
    expect(labels.find(({ pid }) => pid === "5")).toMatchObject({ cgroup: "", unit: "" });
  });

  it("of a cgroup has neither pid nor name", () => {
    const counting = begin();
    log.catchUp();
    log.say(
      { killer: "systemd-oomd", pid: undefined, comm: undefined, cgroup: "/a.slice/b.service" },
      "c1",
    );
    expect(counting.recent()).toMatchObject([
      { labels: { pid: "", comm: "", cgroup: "/a.slice/b.service", unit: "b.service" } },
    ]);
  });

  it("is recent for an hour", () => {
    const counting = begin();
    log.catchUp();
    log.say({}, "c1");
    nowMs += 3_600_000;
    expect(counting.recent()).toHaveLength(1);
    nowMs += 1;
    expect(counting.recent()).toEqual([]);
    expect(counting.kills()).toHaveLength(1);
  });
});

describe("over a restart", () => {
  it("counts continue, reading starts at the saved position, and lines read again are recognised", () => {
    const first = begin();
    log.catchUp();
    log.say({}, "c1");
    first.stop();
    nowMs += 5000;
    const second = begin();
    expect(log.from).toBe("c1");
    log.say({ timeMs: nowMs - 5000 }, "c1");
    log.say({ pid: 99 }, "c2");
    expect(second.counts()).toBeUndefined();
    log.catchUp();
    expect(counts(second)).toEqual({ earlyoom: 2, nohang: 0 });
  });

  it("is exact if the process died between two kills that were read together", () => {
    begin();
    log.catchUp();
    for (const pid of [1, 2]) log.say({ pid }, "c2");
    for (let kept = 1; kept <= disk.changes.length; kept++) {
      const cut = new Disk();
      cut.changes.push(...disk.changes.slice(0, kept));
      const counting = begin({}, cut);
      if (log.from !== "c2") for (const pid of [1, 2]) log.say({ pid }, "c2");
      log.catchUp();
      expect(counts(counting)).toMatchObject({ earlyoom: 2 });
    }
  });

  it("is exact wherever the process died: unsaved kills were not published, and are read again", () => {
    begin();
    log.catchUp();
    for (const pid of [1, 2, 3]) log.say({ pid }, `c${pid}`);
    for (let kept = 1; kept <= disk.changes.length; kept++) {
      const cut = new Disk();
      cut.changes.push(...disk.changes.slice(0, kept));
      const counting = begin({}, cut);
      const position = Number(String(log.from ?? "c0").slice(1));
      for (const pid of [1, 2, 3]) if (pid > position) log.say({ pid }, `c${pid}`);
      log.catchUp();
      expect(counts(counting)).toMatchObject({ earlyoom: 3 });
    }
  });
});

it("keeps a kill without the text that its names were cut from", () => {
  const counting = begin();
  const say = () => {
    for (let pid = 1; pid <= 200; pid++) {
      const text = `${"x".repeat(30_000)}a-long-name-${1000 + pid}`;
      log.say({ pid, comm: text.slice(30_000) }, `c${pid}`);
      disk.changes.length = 0;
    }
    return counting;
  };
  expect(heldBytes(say)).toBeLessThan(2 * mebibyte);
  expect(counting.kills()).toHaveLength(200);
});
