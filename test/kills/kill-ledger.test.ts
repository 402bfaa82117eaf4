import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Before, beforeLimit } from "../../src/kills/before.ts";
import { identityLimit, incidentOf, type KillSighting } from "../../src/kills/kill-deduplicator.ts";
import { recentLimit, storyLimit } from "../../src/kills/kill-history.ts";
import {
  type KillEntry,
  KillLedger,
  type LedgerChange,
  type LedgerStore,
  type SavedLedger,
} from "../../src/kills/kill-ledger.ts";
import { unknownOwner } from "../../src/kills/owner.ts";
import { heldBytes, mebibyte } from "../setup/held-memory.ts";
import { bootA, bootB, entry, killOf, sighting } from "./sample-kill.ts";

const hourMs = 3_600_000;
const nowMs = 1_700_000_100_000;

/** What a state directory would hold: JSON, and nothing that is not saved. */
class Saved implements LedgerStore {
  changes: string[] = [];
  snapshot: string | undefined;
  /** Of each change, whether it has to reach the disk soon. */
  syncs: boolean[] = [];
  flushes = 0;
  isSaving = true;

  append(change: LedgerChange, _snapshot: () => object, { sync }: { sync: boolean }): void {
    if (!this.isSaving) return;
    this.changes.push(JSON.stringify(change));
    this.syncs.push(sync);
  }

  compact(snapshot: () => object): void {
    this.snapshot = JSON.stringify(snapshot());
    this.changes = [];
    this.isSaving = true;
  }

  flush(): void {
    this.flushes++;
  }

  load(): SavedLedger {
    return {
      snapshot: this.snapshot === undefined ? undefined : JSON.parse(this.snapshot),
      changes: this.changes.map((change) => JSON.parse(change)),
    };
  }
}

function open(saved = new Saved(), isFirstStart = true): KillLedger {
  const ledger = new KillLedger({
    store: saved,
    saved: isFirstStart ? undefined : saved.load(),
    nowMs,
  });
  ledger.showCounts();
  return ledger;
}

function total(ledger: KillLedger): number {
  let sum = 0;
  for (const kills of ledger.counts(nowMs)?.kills.values() ?? []) sum += kills;
  return sum;
}

/** Kills one after the other, each with its own pid and second. */
function kills(count: number, more: (index: number) => Partial<KillEntry["kill"]> = () => ({})) {
  return Array.from({ length: count }, (_, index) =>
    entry({ pid: 100 + index, printkMicros: 1_000_000 * (index + 1) }, more(index)),
  );
}

describe("counting", () => {
  it("has every constraint starting at 0, and the overflow series", () => {
    const counts = open().counts(nowMs);
    expect(Object.fromEntries(counts?.kills ?? [])).toEqual({
      none: 0,
      memcg: 0,
      cpuset: 0,
      memory_policy: 0,
      unknown: 0,
    });
    expect(counts?.workloads.map(({ labels, kills }) => [labels.cgroup, kills])).toEqual([
      ["", 0],
      ["other", 0],
    ]);
    expect(counts?.commands).toMatchObject([{ comm: "other", kills: 0 }]);
  });

  it("counts a kill by constraint, workload and command", () => {
    const ledger = open();
    ledger.record({ atMs: nowMs, entries: [entry()] });
    const counts = ledger.counts(nowMs);
    expect(counts?.kills.get("memcg")).toBe(1);
    expect(counts?.workloads).toContainEqual(
      expect.objectContaining({
        labels: expect.objectContaining({
          cgroup: "/limited/victim.service",
          unit: "victim.service",
        }),
        kills: 1,
      }),
    );
    expect(counts?.commands).toContainEqual(expect.objectContaining({ comm: "hog", kills: 1 }));
  });

  it("counts a kill of an unknown cgroup by the owner of its group, if that is known", () => {
    const ledger = open();
    const owner = { ...unknownOwner, container: "web" };
    ledger.record({
      atMs: nowMs,
      entries: [
        entry({}, { cgroup: null, owner }),
        entry({ pid: 43 }, { cgroup: null, owner: unknownOwner }),
      ],
    });
    expect(
      ledger.counts(nowMs)?.workloads.map(({ labels, kills }) => [labels.container, kills]),
    ).toEqual([
      ["", 1],
      ["", 0],
      ["web", 1],
    ]);
  });

  it("shows no counts before everything after the saved position has been read", () => {
    const saved = new Saved();
    open(saved).record({ atMs: nowMs, entries: [entry()] });
    const ledger = new KillLedger({ store: saved, saved: saved.load(), nowMs });
    expect(ledger.counts(nowMs)).toBeUndefined();
    ledger.record({ atMs: nowMs, entries: [entry({ pid: 43 })] });
    ledger.showCounts();
    expect(total(ledger)).toBe(2);
  });

  it("shows history, and never counts it, not even when another source brings it again", () => {
    const ledger = open();
    ledger.record({ atMs: nowMs, entries: [{ ...entry(), history: true }] });
    ledger.record({ atMs: nowMs, entries: [entry({ reread: true }), entry()] });
    expect(total(ledger)).toBe(0);
    expect(ledger.rawLines(bootA)).toBe(0);
    expect(ledger.kills()).toHaveLength(1);
    expect(ledger.lastKills().get("memcg")).toBe(sighting().timeMs);
  });

  it("treats kills from before the first start in another source as history", () => {
    const ledger = open();
    ledger.record({ atMs: nowMs, began: { boot: bootA, printkMicros: 5_000_000 } });
    const [before, after] = [4_000_000, 6_000_000].map((printkMicros) =>
      entry({ printkMicros, reread: true }),
    );
    ledger.record({ atMs: nowMs, entries: [before as KillEntry, after as KillEntry] });
    expect(total(ledger)).toBe(1);
    expect(ledger.kills()).toHaveLength(2);
  });

  it("ignores re-read lines older than what it remembers, but counts any line after the saved position", () => {
    const ledger = open();
    ledger.record({ atMs: nowMs, entries: kills(identityLimit + 1) });
    const [oldest] = kills(1);
    const { sighting: of, kill } = oldest as KillEntry;
    const again = { sighting: { ...of, reread: true }, kill, history: false };
    ledger.record({ atMs: nowMs, entries: [again] });
    expect(total(ledger)).toBe(identityLimit + 1);
    ledger.record({ atMs: nowMs, entries: [oldest as KillEntry] });
    expect(total(ledger)).toBe(identityLimit + 2);
  });

  it("saves a batch once, with its positions, before `record` returns", () => {
    const saved = new Saved();
    const ledger = open(saved);
    ledger.record({ atMs: nowMs, entries: kills(3), positions: { "kern.log": { offset: 300 } } });
    expect(saved.changes).toHaveLength(1);
    const restored = open(saved, false);
    expect(total(restored)).toBe(3);
    expect(restored.position("kern.log")).toEqual({ offset: 300 });
  });

  it("does not sync changes that are only positions, which reading can recover", () => {
    const saved = new Saved();
    const ledger = open(saved);
    const positions = { "kern.log": { offset: 300 } };
    ledger.record({ atMs: nowMs, positions });
    ledger.record({ atMs: nowMs, positions, entries: kills(1) });
    ledger.record({ atMs: nowMs, positions, notes: { kernelCount: null } });
    ledger.record({ atMs: nowMs, positions, amended: [] });
    expect(saved.syncs).toEqual([false, true, true, true]);
  });

  it("saves nothing for lines that add nothing", () => {
    const saved = new Saved();
    const ledger = open(saved);
    ledger.record({ atMs: nowMs, entries: [entry()] });
    ledger.record({ atMs: nowMs, entries: [entry({ reread: true })] });
    expect(saved.changes).toHaveLength(1);
  });

  it("keeps and forgets notes", () => {
    const saved = new Saved();
    open(saved).record({ atMs: nowMs, notes: { kept: { a: 1 }, forgotten: 2 } });
    open(saved, false).record({ atMs: nowMs, notes: { forgotten: null } });
    const restored = open(saved, false);
    expect(restored.note("kept")).toEqual({ a: 1 });
    expect(restored.note("forgotten")).toBeUndefined();
  });

  it("writes everything once saving has failed, as soon as it works again", () => {
    const saved = new Saved();
    const ledger = open(saved);
    saved.isSaving = false;
    ledger.record({ atMs: nowMs, entries: kills(3) });
    expect(saved.changes).toEqual([]);
    ledger.flush();
    expect(total(open(saved, false))).toBe(3);
    ledger.flush();
    expect(saved.flushes).toBe(2);
  });
});

describe("a line that is held back", () => {
  it("makes known the other source's copy and the group's second naming", () => {
    const ledger = open();
    const bare = { printkMicros: undefined, text: sighting().text };
    const repeat = { printkMicros: 1_050_000, repeatsVictim: true };
    const classify = (more: Partial<KillSighting>) => ledger.classify(sighting(more));
    expect([{}, bare, {}, repeat, repeat, { pid: 43 }].map(classify)).toEqual([
      "new",
      "copy",
      "copy",
      "further_line",
      "copy",
      "new",
    ]);
    ledger.record({ atMs: nowMs, entries: [entry(), entry(repeat)] });
    expect(total(ledger)).toBe(1);
    expect([{}, repeat].map(classify)).toEqual(["copy", "copy"]);
  });

  it("is distinguished from its copies where the kill itself is recorded", () => {
    const saved = new Saved();
    open(saved).record({ atMs: nowMs, entries: [entry()] });
    const ledger = open(saved, false);
    const repeat = sighting({ printkMicros: 1_050_000, repeatsVictim: true });
    expect([repeat, repeat].map((line) => ledger.classify(line))).toEqual(["further_line", "copy"]);
  });

  it("is no new kill if the ledger keeps only its watermark", () => {
    const ledger = open();
    ledger.record({ atMs: nowMs, entries: kills(identityLimit + 1) });
    const oldest = (kills(1)[0] as KillEntry).sighting;
    expect(ledger.classify({ ...oldest, reread: true })).toBe("copy");
    expect(ledger.classify(oldest)).toBe("new");
  });
});

describe("labels", () => {
  it("stay as they were shown, when more is known and after a restart", () => {
    const saved = new Saved();
    const ledger = open(saved);
    const first = entry({}, { cgroup: null, owner: unknownOwner, cause: "unknown" });
    ledger.record({ atMs: nowMs, entries: [first] });
    const shown = ledger.recent(nowMs).kills;
    const known = killOf(first.sighting, { cause: "memory_hog" });
    ledger.record({ atMs: nowMs, amended: [known] });
    expect(ledger.kill(known.incident)?.cause).toBe("memory_hog");
    expect(ledger.recent(nowMs).kills).toEqual(shown);
    const restored = open(saved, false);
    expect(restored.kill(known.incident)?.cause).toBe("memory_hog");
    expect(restored.recent(nowMs).kills).toEqual(shown);
  });

  it("name the trigger, the limit and the victim's protection", () => {
    const ledger = open();
    const trigger = { comm: "java", pid: 1, gfpMask: null, order: 0, oomScoreAdj: 0 };
    ledger.record({ atMs: nowMs, entries: [entry({}, { trigger, oomScoreAdj: -500 })] });
    expect(ledger.recent(nowMs).kills[0]?.labels).toEqual({
      incident: "aaaaaaaa-1000000-42",
      pid: "42",
      comm: "hog",
      program: "",
      grower: "",
      constraint: "memcg",
      cause: "cgroup_limit",
      trigger: "java",
      protection: "protected",
      cgroup: "/limited/victim.service",
      unit: "victim.service",
      container: "",
      pod: "",
      namespace: "",
      limit_cgroup: "/limited",
    });
  });
});

describe("kills whose outcome is watched", () => {
  const one = { ...entry(), killedSeconds: 1000.25 };
  const settled = { ...one.kill, outcome: "lives_on" as const };

  it("are watched until it is known, over restarts as well", () => {
    const saved = new Saved();
    open(saved).record({ atMs: nowMs, entries: [one, entry({ pid: 43 })] });
    expect(open(saved, false).watched()).toEqual([
      { kill: expect.objectContaining({ pid: 42 }), killedSeconds: 1000.25 },
    ]);
    open(saved, false).record({ atMs: nowMs, amended: [settled] });
    const restored = open(saved, false);
    expect(restored.watched()).toEqual([]);
    expect(restored.recent(nowMs).kills.map(({ outcome }) => outcome)).toEqual([null, "lives_on"]);
  });

  it("are watched no longer where it will not be known", () => {
    const ledger = open();
    ledger.record({ atMs: nowMs, entries: [one] });
    ledger.unwatch(one.kill.incident);
    expect(ledger.watched()).toEqual([]);
    expect(ledger.kill(one.kill.incident)?.outcome).toBeNull();
  });

  it("are the newest hundred", () => {
    const ledger = open();
    const entries = Array.from({ length: 150 }, (_, index) => ({
      ...entry({ pid: index + 1 }),
      killedSeconds: index,
    }));
    ledger.record({ atMs: nowMs, entries });
    const pids = ledger.watched().map(({ kill }) => kill.pid);
    expect([pids.length, pids[0], pids.at(-1)]).toEqual([100, 51, 150]);
  });
});

describe("what came before a kill", () => {
  const before: Before = { seconds: 60, limitBytes: null, limitUse: [[60, 1]], growers: [] };

  it("is kept of the newest hundred, over restarts as well", () => {
    const saved = new Saved();
    const ledger = open(saved);
    for (let pid = 1; pid <= beforeLimit + 20; pid++) {
      ledger.record({ atMs: nowMs, entries: [entry({ pid, printkMicros: pid }, { before })] });
    }
    const withBefore = (of: KillLedger) =>
      of.kills().flatMap(({ pid, before }) => (before === null ? [] : [pid]));
    expect(withBefore(ledger).length).toBe(beforeLimit);
    expect(Math.min(...withBefore(ledger))).toBe(21);
    expect(withBefore(open(saved, false))).toEqual(withBefore(ledger));
  });

  it("gives the label grower, which stays", () => {
    const grower = { ...unknownOwner, unit: "leak.service" };
    const growers = [
      {
        cgroup: "/leak.service",
        owner: grower,
        pid: null,
        comm: null,
        fromBytes: 1,
        toBytes: 9,
        seconds: 5,
      },
    ];
    const saved = new Saved();
    const one = entry({}, { before: { ...before, growers } });
    open(saved).record({ atMs: nowMs, entries: [one] });
    const ledger = open(saved, false);
    ledger.record({ atMs: nowMs, amended: [{ ...one.kill, before: null }] });
    expect(ledger.recent(nowMs).kills[0]?.labels.grower).toBe("leak.service");
  });
});

describe("a kill of a workload that was killed within the hour", () => {
  it("is one of a loop, saved with the kill; history is not", () => {
    const saved = new Saved();
    const ledger = open(saved);
    const at = (minutes: number) => entry({ printkMicros: minutes * 60_000_000, pid: minutes });
    ledger.record({ atMs: nowMs, entries: [{ ...at(1), history: true }] });
    ledger.record({ atMs: nowMs, entries: [at(11)] });
    ledger.record({ atMs: nowMs, entries: [at(21)] });
    const loops = (of: KillLedger) => of.kills().map(({ loop }) => loop?.count ?? null);
    expect(loops(ledger)).toEqual([3, 2, null]);
    expect(loops(open(saved, false))).toEqual([3, 2, null]);
  });
});

describe("a kill that an older version saved", () => {
  it("has newer fields as unknown, empty in its labels", () => {
    const saved = new Saved();
    open(saved).record({ atMs: nowMs, entries: [entry()] });
    saved.changes = saved.changes.map((change) =>
      change.replaceAll('"program":null,', "").replaceAll('"program":"",', ""),
    );
    const ledger = open(saved, false);
    expect(ledger.kills()[0]?.program).toBe(null);
    expect(ledger.recent(nowMs).kills[0]?.labels.program).toBe("");
  });
});

describe("recent kills", () => {
  it("are those of the last hour", () => {
    const ledger = open();
    ledger.record({ atMs: nowMs, entries: [entry({ timeMs: nowMs })] });
    expect(ledger.recent(nowMs + hourMs).kills).toHaveLength(1);
    expect(ledger.recent(nowMs + hourMs + 1).kills).toHaveLength(0);
  });

  it("and those first read in it after downtime, under the time they happened", () => {
    const ledger = open();
    const timeMs = nowMs - 20 * hourMs;
    ledger.record({ atMs: nowMs, entries: [entry({ timeMs })] });
    expect(ledger.recent(nowMs + hourMs).kills[0]?.timestampMs).toBe(timeMs);
  });

  it("but of history only the last hour", () => {
    const ledger = open();
    const old = { ...entry({ timeMs: nowMs - 2 * hourMs }), history: true };
    const young = { ...entry({ pid: 43, timeMs: nowMs - 1000 }), history: true };
    ledger.record({ atMs: nowMs, entries: [old, young] });
    expect(ledger.recent(nowMs).kills.map(({ labels }) => labels.pid)).toEqual(["43"]);
  });

  it("are at most 100, each workload's newest kept first, the rest counted", () => {
    const saved = new Saved();
    const ledger = open(saved);
    const quiet = kills(3, (index) => ({ cgroup: `/quiet/${index}` }));
    const storm = kills(storyLimit + 500).slice(3);
    ledger.record({ atMs: nowMs, entries: [...quiet, ...storm] });
    const journalled = open(saved, false);
    saved.compact(() => ledger.snapshot());
    for (const each of [ledger, journalled, open(saved, false)]) {
      const { kills: shown, leftOut } = each.recent(nowMs);
      expect(shown).toHaveLength(recentLimit);
      expect(shown.slice(0, 4).map(({ labels }) => labels.cgroup)).toEqual([
        "/limited/victim.service",
        "/quiet/2",
        "/quiet/1",
        "/quiet/0",
      ]);
      expect(shown.length + leftOut).toBe(storyLimit + 500);
    }
  });
});

describe("the stories", () => {
  it("are shown newest first", () => {
    const ledger = open();
    ledger.record({ atMs: nowMs, entries: kills(5) });
    expect(ledger.kills().map(({ pid }) => pid)).toEqual([104, 103, 102, 101, 100]);
  });

  it("are bounded; the counts are not", () => {
    const ledger = open();
    ledger.record({ atMs: nowMs, entries: kills(5000) });
    expect(ledger.kills().length).toBeLessThan(storyLimit + 100);
    expect(total(ledger)).toBe(5000);
  });
});

describe("lines for the check against the kernel", () => {
  it("include a group's repeats, but no re-read lines", () => {
    const ledger = open();
    const first = entry();
    const repeat = entry({ printkMicros: 1_050_000, repeatsVictim: true });
    ledger.record({ atMs: nowMs, entries: [first, repeat] });
    expect([total(ledger), ledger.rawLines(bootA)]).toEqual([1, 2]);
    ledger.record({ atMs: nowMs, entries: [first, repeat] });
    expect([total(ledger), ledger.rawLines(bootA)]).toEqual([1, 2]);
  });

  it("are recognised when a log without printk times delivers them in addition to kmsg", () => {
    const ledger = open();
    const text = sighting().text;
    const bare = { printkMicros: undefined, text };
    const record = (more: Partial<KillSighting>) =>
      ledger.record({ atMs: nowMs, entries: [entry(more)] });
    record({});
    record(bare);
    record({ ...bare, repeatsVictim: true });
    record({ printkMicros: 1_050_000, text, repeatsVictim: true });
    expect([total(ledger), ledger.rawLines(bootA)]).toEqual([1, 2]);
  });

  it("are not those that a log without printk times has read again", () => {
    const ledger = open();
    const bare = { printkMicros: undefined };
    const again = { ...bare, reread: true };
    ledger.record({ atMs: nowMs, entries: [entry(bare), entry(again), entry(again)] });
    expect([total(ledger), ledger.rawLines(bootA)]).toEqual([1, 1]);
  });

  it("are counted by boot", () => {
    const ledger = open();
    ledger.record({ atMs: nowMs, entries: [entry(), entry({ boot: bootB })] });
    expect([ledger.rawLines(bootA), ledger.rawLines(bootB)]).toEqual([1, 1]);
  });
});

/** A machine that boots, kills and prints, and what happens to the exporter in the meantime. */
type Step =
  | {
      do: "kill";
      pid: number;
      comm: string;
      apartMs: number;
      hasPrintk: boolean;
      knowsBoot: boolean;
    }
  | { do: "group_kill"; isFlagged: boolean }
  | { do: "print_again"; line: number; hasPrintk: boolean; reread: boolean }
  | { do: "reboot" }
  | { do: "read"; lines: number; ends: "well" | "killed" | "torn" }
  | { do: "compact" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("kill" as const),
      pid: fc.nat(3),
      comm: fc.constantFrom("hog", "worker"),
      apartMs: fc.constantFrom(1, 61_000),
      hasPrintk: fc.boolean(),
      knowsBoot: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("group_kill" as const), isFlagged: fc.boolean() }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("print_again" as const),
      line: fc.nat(200),
      hasPrintk: fc.boolean(),
      reread: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: "reboot" }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("read" as const),
      lines: fc.nat(6),
      ends: fc.constantFrom("well", "killed", "torn"),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: "compact" }) },
);

interface Printed {
  kill: number;
  sighting: KillSighting;
  history: boolean;
}

class Machine {
  readonly log: Printed[] = [];
  private readonly saved = new Saved();
  private ledger: KillLedger;
  private killCount = 0;
  private boots = 1;
  private uptimeMs = 8000;
  private timeMs = nowMs;
  private groupPid = 1000;
  private readonly labels = new Map<string, string>();
  private highest = { total: 0, comm: new Map<string, number>() };

  constructor(history: readonly Step[]) {
    this.ledger = open(this.saved);
    for (const each of history) if (each.do !== "read") this.run(each);
    for (const line of this.log) line.history = true;
    this.read(this.log.length, "well");
  }

  run(step: Step): void {
    if (step.do === "kill") this.kill(step);
    else if (step.do === "group_kill") this.groupKill(step.isFlagged);
    else if (step.do === "print_again") this.printAgain(step);
    else if (step.do === "reboot") this.reboot();
    else if (step.do === "read") this.read(step.lines, step.ends);
    else this.saved.compact(() => this.ledger.snapshot());
  }

  read(count: number, ends: "well" | "killed" | "torn"): void {
    const from = (this.ledger.position("log") ?? 0) as number;
    const lines = this.log.slice(from, from + count);
    const batch = {
      atMs: this.timeMs,
      entries: lines.map(({ sighting: of, history }) => ({
        sighting: of,
        kill: killOf(of, { cgroup: `/${of.comm}` }),
        history,
      })),
      positions: { log: from + lines.length },
    };
    this.ledger.record(batch);
    // A torn line is cut off: as if nothing of the batch had been written, and nothing was shown.
    if (ends === "torn") this.saved.changes.pop();
    if (ends !== "well") this.ledger = open(this.saved, false);
    this.check();
  }

  check(): void {
    const position = (this.ledger.position("log") ?? 0) as number;
    const read = this.log.slice(0, position);
    const old = new Set(read.filter(({ history }) => history).map(({ kill }) => kill));
    const counted = new Set(read.map(({ kill }) => kill).filter((kill) => !old.has(kill)));
    expect(total(this.ledger)).toBe(counted.size);
    const stories = this.ledger.kills().map(({ incident }) => incident);
    expect(stories.sort()).toEqual(incidents(read));

    const counts = this.ledger.counts(this.timeMs);
    for (const series of [counts?.workloads, counts?.commands]) {
      const sum = series?.reduce((before, { kills: count }) => before + count, 0);
      expect(sum).toBe(counted.size);
    }
    expect(total(this.ledger)).toBeGreaterThanOrEqual(this.highest.total);
    this.highest.total = total(this.ledger);
    for (const { comm, kills: count } of counts?.commands ?? []) {
      expect(count).toBeGreaterThanOrEqual(this.highest.comm.get(comm) ?? 0);
      this.highest.comm.set(comm, count);
    }
    for (const { labels } of this.ledger.recent(this.timeMs).kills) {
      const before = this.labels.get(labels.incident) ?? JSON.stringify(labels);
      expect(JSON.stringify(labels)).toBe(before);
      this.labels.set(labels.incident, before);
    }
  }

  private kill({ pid, comm, apartMs, hasPrintk, knowsBoot }: Extract<Step, { do: "kill" }>): void {
    this.pass(apartMs);
    const printed = this.print(this.killCount++, { pid, comm });
    if (!hasPrintk) printed.sighting.printkMicros = undefined;
    if (!knowsBoot) printed.sighting.boot = undefined;
  }

  /** The first victim and a member, then the first victim again. */
  private groupKill(isFlagged: boolean): void {
    this.pass(61_000);
    const first = this.killCount++;
    const pid = this.groupPid;
    this.groupPid += 2;
    this.print(first, { pid, comm: "hog" });
    this.pass(1);
    this.print(this.killCount++, { pid: pid + 1, comm: "worker", inGroup: true });
    this.pass(1);
    this.print(first, { pid, comm: "hog", inGroup: isFlagged, repeatsVictim: isFlagged });
    this.pass(61_000);
  }

  private printAgain({ line, hasPrintk, reread }: Extract<Step, { do: "print_again" }>): void {
    const printed = this.log[line % Math.max(1, this.log.length)];
    if (printed === undefined) return;
    const again = { ...printed.sighting, reread };
    if (!hasPrintk) again.printkMicros = undefined;
    this.log.push({ ...printed, sighting: again, history: false });
  }

  /** The next boot's clock and pids start as this one's did. */
  private reboot(): void {
    this.boots++;
    this.uptimeMs = 8000;
    this.pass(61_000);
    this.uptimeMs = 8000;
  }

  private pass(ms: number): void {
    this.uptimeMs += ms;
    this.timeMs += ms;
  }

  private print(kill: number, of: Partial<KillSighting>): Printed {
    const printed = {
      kill,
      history: false,
      sighting: sighting({
        boot: String(this.boots).repeat(32),
        printkMicros: this.uptimeMs * 1000,
        timeMs: this.timeMs,
        text: `Killed process ${of.pid} (${of.comm}) total-vm:${kill}kB`,
        ...of,
      }),
    };
    this.log.push(printed);
    return printed;
  }
}

/** Of the first line of each kill; two kills of unknown boots may have the same. */
function incidents(lines: readonly Printed[]): string[] {
  const firstOfKill = new Map<number, string>();
  for (const { kill, sighting: of } of lines) {
    if (!firstOfKill.has(kill)) firstOfKill.set(kill, incidentOf(of));
  }
  return [...new Set(firstOfKill.values())].sort();
}

describe("whatever happens", () => {
  it("the sum of oom_kills_total is the number of distinct kills read since the first start, no count ever decreases, and the labels of a kill never change once shown", () => {
    const steps = fc.array(step, { maxLength: 60 });
    const history = fc.array(step, { maxLength: 5 });
    fc.assert(
      fc.property(history, steps, (before, after) => {
        const machine = new Machine(before);
        for (const each of after) machine.run(each);
        machine.read(machine.log.length, "killed");
      }),
      { numRuns: 1000 },
    );
  });

  it("if the end of the saved state is lost, the rest is the ledger after some batch", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(5), { minLength: 1, maxLength: 12 }),
        fc.nat(12),
        (sizes, cut) => {
          const saved = new Saved();
          const ledger = open(saved);
          const stood = [JSON.stringify(ledger.snapshot())];
          let line = 0;
          for (const size of sizes) {
            const entries = kills(line + size).slice(line);
            line += size;
            ledger.record({ atMs: nowMs, entries, positions: { log: line } });
            stood.push(JSON.stringify(ledger.snapshot()));
          }
          const keep = Math.min(cut, saved.changes.length);
          saved.changes.length = keep;
          expect(JSON.stringify(open(saved, false).snapshot())).toBe(stood[keep]);
        },
      ),
    );
  });
});

it("keeps a kill without the text that its names were cut from", () => {
  const ledger = open();
  const record = () => {
    for (let pid = 1; pid <= 200; pid++) {
      const text = `${"x".repeat(30_000)}a-long-name-${1000 + pid}`;
      const name = text.slice(30_000);
      const one = entry({ pid, comm: name, printkMicros: pid }, { comm: name, cgroup: name });
      ledger.record({ atMs: nowMs, entries: [one] });
      ledger.record({ atMs: nowMs, amended: [{ ...one.kill, group: name }] });
    }
    return ledger;
  };
  expect(heldBytes(record)).toBeLessThan(3 * mebibyte);
  expect(ledger.kills()).toHaveLength(200);
});
