import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Attributed,
  Attribution,
  heldAtMostMs,
  type VictimFacts,
} from "../../src/kills/attribution.ts";

const victim: VictimFacts = { pid: 42, comm: "worker", uid: 1000, isMemcgKill: true };

function facts(more: Partial<VictimFacts>): VictimFacts {
  return { ...victim, ...more };
}

describe("evidence, in the order of its worth", () => {
  const seen = (cgroup: string) => ({ comm: "worker", uid: 1000, cgroup });

  it("prefers the constraint line", () => {
    const found = new Attribution().take(
      "k",
      facts({ victimCgroup: "/a", stillThere: seen("/b"), remembered: seen("/c") }),
      0,
    );
    expect(found).toEqual({ key: "k", cgroup: "/a" });
  });

  it("then the process that is still there under the same comm", () => {
    const found = new Attribution().take(
      "k",
      facts({ stillThere: seen("/b"), remembered: seen("/c") }),
      0,
    );
    expect(found).toMatchObject({ cgroup: "/b" });
  });

  it("strips the mark of a removed cgroup", () => {
    const found = new Attribution().take("k", facts({ stillThere: seen("/b (deleted)") }), 0);
    expect(found).toMatchObject({ cgroup: "/b" });
  });

  it("then uses the last reading of the pid", () => {
    const other = { comm: "other", uid: 1000, cgroup: "/b" };
    const found = new Attribution().take(
      "k",
      facts({ stillThere: other, remembered: seen("/c") }),
      0,
    );
    expect(found).toMatchObject({ cgroup: "/c" });
  });

  it.each([
    ["of another comm", { comm: "other", uid: 1000, cgroup: "/c" }],
    ["of another uid", { comm: "worker", uid: 0, cgroup: "/c" }],
    ["of no known uid", { comm: "worker", cgroup: "/c" }],
    ["in the root, of a memory cgroup kill", { comm: "worker", uid: 1000, cgroup: "/" }],
  ])("does not believe a remembered process %s", (_, remembered) => {
    expect(new Attribution().take("k", facts({ remembered }), 0)).toBeUndefined();
  });

  it("does not believe the `/` that v1 shows for an exiting process", () => {
    const stillThere = { comm: "worker", uid: 1000, cgroup: "/" };
    const found = new Attribution().take("k", facts({ stillThere, isMemcgKill: false }), 0);
    expect(found).toBeUndefined();
  });

  it("does not believe a process outside the killed group", () => {
    const stillThere = seen("/jobs");
    const found = new Attribution().take("k", facts({ stillThere, within: "/job" }), 0);
    expect(found).toBeUndefined();
  });

  it("accepts the last reading by comm if the kernel prints no uid", () => {
    const found = new Attribution().take("k", facts({ uid: undefined, remembered: seen("/c") }), 0);
    expect(found).toMatchObject({ cgroup: "/c" });
  });

  it("gives up on a kill as unknown after 500 ms", () => {
    const attribution = new Attribution();
    attribution.take("k", victim, 1000);
    expect(attribution.due(1000 + heldAtMostMs - 1)).toEqual([]);
    expect(attribution.due(1000 + heldAtMostMs)).toEqual([{ key: "k" }]);
    expect(attribution.due(9000)).toEqual([]);
  });
});

describe("counters", () => {
  const cgroups = ["/a", "/b", "/c"];
  function watching(): Attribution {
    const attribution = new Attribution();
    for (const cgroup of cgroups) attribution.counterRead(cgroup, 0);
    return attribution;
  }

  it("attributes the only pending kill to the only cgroup with an increase", () => {
    const attribution = watching();
    attribution.take("k", victim, 0);
    attribution.counterRead("/a", 1);
    expect(attribution.allLinesRead(0)).toEqual([{ key: "k", cgroup: "/a" }]);
    expect(attribution.due(heldAtMostMs)).toEqual([]);
  });

  it("waits while the kernel has counted kills whose lines are not read", () => {
    const attribution = watching();
    attribution.take("first", victim, 0);
    // The kill in /a that is under way in the log, not `first`, whose cgroup is gone.
    attribution.counterRead("/a", 1);
    attribution.take("second", victim, 10);
    expect(attribution.allLinesRead(0)).toEqual([]);
  });

  it("leaves two kills unknown that two cgroups could exchange", () => {
    const attribution = watching();
    attribution.take("one", victim, 0);
    attribution.take("two", victim, 0);
    attribution.counterRead("/a", 1);
    attribution.counterRead("/b", 1);
    expect(attribution.allLinesRead(0)).toEqual([]);
    expect(attribution.due(heldAtMostMs).map(({ key }) => key)).toEqual(["one", "two"]);
  });

  it("attributes as many kills to one cgroup as it counted", () => {
    const attribution = watching();
    for (const key of ["one", "two", "three"]) attribution.take(key, victim, 0);
    attribution.counterRead("/b", 3);
    expect(attribution.allLinesRead(0).map(({ key, cgroup }) => [key, cgroup])).toEqual([
      ["one", "/b"],
      ["two", "/b"],
      ["three", "/b"],
    ]);
  });

  it("uses up a cgroup's increase for a kill attributed otherwise", () => {
    const attribution = watching();
    attribution.take("known", facts({ victimCgroup: "/a" }), 0);
    attribution.take("pending", victim, 0);
    attribution.counterRead("/a", 1);
    attribution.counterRead("/b", 1);
    expect(attribution.allLinesRead(0)).toMatchObject([{ key: "pending", cgroup: "/b" }]);
  });

  it("attributes an increase only to lines read after the previous reading", () => {
    const attribution = watching();
    attribution.take("gone", victim, 0);
    for (const cgroup of cgroups) attribution.counterRead(cgroup, 0);
    attribution.take("here", victim, 10);
    attribution.counterRead("/c", 1);
    expect(attribution.allLinesRead(0)).toMatchObject([{ key: "here", cgroup: "/c" }]);
  });

  it("counts a group's repeated line too", () => {
    const attribution = watching();
    attribution.take("first", facts({ victimCgroup: "/a" }), 0);
    attribution.take("member", facts({ within: "/a" }), 0);
    attribution.takeFurtherLine({ within: "/a" });
    attribution.counterRead("/a", 3);
    expect(attribution.allLinesRead(0)).toMatchObject([{ key: "member", cgroup: "/a" }]);
  });

  it("looks for a group's members only below the group", () => {
    const attribution = watching();
    attribution.take("member", facts({ within: "/a" }), 0);
    attribution.take("other", victim, 0);
    attribution.counterRead("/a", 1);
    attribution.counterRead("/b", 1);
    expect(attribution.allLinesRead(0)).toMatchObject([
      { key: "member", cgroup: "/a" },
      { key: "other", cgroup: "/b" },
    ]);
  });

  it("reckons with lines that are lost", () => {
    const attribution = watching();
    attribution.take("k", victim, 0);
    attribution.counterRead("/a", 1);
    expect(attribution.allLinesRead(1)).toEqual([]);
  });

  it("names the cgroup of a kill that was due before, once the counters prove it", () => {
    const attribution = watching();
    attribution.take("k", victim, 0);
    attribution.due(heldAtMostMs);
    attribution.counterRead("/a", 1);
    expect(attribution.allLinesRead(0)).toEqual([{ key: "k", cgroup: "/a" }]);
  });

  it("names no cgroup if the counters contradict the lines", () => {
    const attribution = watching();
    attribution.take("k", victim, 0);
    attribution.counterRead("/a", 2);
    expect(attribution.allLinesRead(0)).toEqual([]);
  });
});

/** What the exporter would see of a storm, by a machine that knows the truth. */
type Step =
  | { do: "kill"; cgroup: number; evidence: "line" | "memory" | "stale" | "none"; twice: boolean }
  | { do: "read_line" }
  | { do: "lose_line" }
  | { do: "read_counter"; cgroup: number }
  | { do: "sweep" }
  | { do: "remove"; cgroup: number }
  | { do: "wait" };

const cgroupCount = 6;
const cgroupIndex = fc.nat(cgroupCount - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("kill" as const),
      cgroup: cgroupIndex,
      evidence: fc.constantFrom("line", "memory", "stale", "none", "none", "none"),
      twice: fc.boolean(),
    }) as fc.Arbitrary<Step>,
  },
  { weight: 8, arbitrary: fc.constant<Step>({ do: "read_line" }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: "lose_line" }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("read_counter" as const), cgroup: cgroupIndex }),
  },
  { weight: 4, arbitrary: fc.constant<Step>({ do: "sweep" }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("remove" as const), cgroup: cgroupIndex }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: "wait" }) },
);

interface PrintedLine {
  key: string;
  cgroup: string;
  evidence: string;
  isFurther: boolean;
}

class Storm {
  readonly truth = new Map<string, string>();
  readonly named: Attributed[] = [];
  private readonly attribution = new Attribution();
  private readonly unread: PrintedLine[] = [];
  private readonly counters = new Map<string, number>();
  private readonly seen = new Map<string, number>();
  private readonly paths: string[] = [];
  private kernelCount = 0;
  private linesRead = 0;
  private linesLost = 0;
  private nowMs = 0;
  private serial = 0;

  constructor(count: number) {
    for (let index = 0; index < count; index++) this.make(index);
    this.sweep();
  }

  run(step: Step): void {
    if (step.do === "kill") this.kill(step);
    else if (step.do === "read_line") this.readLine();
    else if (step.do === "lose_line") this.linesLost += this.unread.shift() === undefined ? 0 : 1;
    else if (step.do === "read_counter") this.readCounter(this.paths[step.cgroup] as string);
    else if (step.do === "sweep") this.sweep();
    else if (step.do === "remove") this.remove(step.cgroup);
    else this.nowMs += 200;
    this.named.push(...this.attribution.due(this.nowMs));
  }

  kill({ cgroup: index, evidence, twice }: Extract<Step, { do: "kill" }>): void {
    const cgroup = this.paths[index] as string;
    const key = `kill ${this.truth.size}`;
    this.truth.set(key, cgroup);
    for (const isFurther of twice ? [false, true] : [false]) {
      this.counters.set(cgroup, (this.counters.get(cgroup) ?? 0) + 1);
      this.kernelCount++;
      this.unread.push({ key, cgroup, evidence, isFurther });
    }
  }

  readLine(): void {
    const line = this.unread.shift();
    if (line === undefined) return;
    this.linesRead++;
    if (line.isFurther) {
      this.attribution.takeFurtherLine({});
      return;
    }
    const { key, cgroup, evidence } = line;
    const stale = { comm: "worker", uid: 0, cgroup: "/wrong" };
    const remembered = { comm: "worker", uid: 1000, cgroup };
    const attributed = this.attribution.take(
      key,
      facts({
        victimCgroup: evidence === "line" ? cgroup : undefined,
        remembered: evidence === "stale" ? stale : evidence === "memory" ? remembered : undefined,
      }),
      this.nowMs,
    );
    if (attributed !== undefined) this.named.push(attributed);
  }

  /** Reads every counter, then the kernel's own count. */
  sweep(): void {
    for (const cgroup of this.counters.keys()) this.readCounter(cgroup);
    if (this.kernelCount !== this.linesRead + this.linesLost) return;
    this.named.push(...this.attribution.allLinesRead(this.linesLost));
  }

  private readCounter(cgroup: string): void {
    const value = this.counters.get(cgroup) ?? 0;
    this.attribution.counterRead(cgroup, value - (this.seen.get(cgroup) ?? 0));
    this.seen.set(cgroup, value);
  }

  private remove(index: number): void {
    const cgroup = this.paths[index] as string;
    this.counters.delete(cgroup);
    this.attribution.counterGone(cgroup);
    this.make(index);
  }

  private make(index: number): void {
    const path = `/cgroup-${this.serial++}`;
    this.paths[index] = path;
    this.counters.set(path, 0);
  }
}

describe("storms", () => {
  it("attribution by counters never names a cgroup that the facts do not force", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const storm = new Storm(cgroupCount);
        for (const each of steps) storm.run(each);
        for (const { key, cgroup } of storm.named) {
          if (cgroup !== undefined) expect([key, cgroup]).toEqual([key, storm.truth.get(key)]);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("names exactly the cgroup that all assignments share, and no other", () => {
    const smallStorm = fc.record({
      rises: fc.array(fc.nat(3), { minLength: 3, maxLength: 3 }),
      known: fc.array(fc.option(fc.nat(2), { nil: undefined }), { maxLength: 5 }),
    });
    fc.assert(
      fc.property(smallStorm, ({ rises, known }) => {
        const names = ["/a", "/b", "/c"];
        const attribution = new Attribution();
        for (const name of names) attribution.counterRead(name, 0);
        known.forEach((index, line) => {
          const victimCgroup = index === undefined ? undefined : names[index];
          attribution.take(String(line), facts({ victimCgroup }), 0);
        });
        for (const [index, rise] of rises.entries()) {
          attribution.counterRead(names[index] as string, rise);
        }
        const found = new Map(
          attribution.allLinesRead(0).map(({ key, cgroup }) => [key, cgroup] as const),
        );
        expect(found).toEqual(sharedByAll(known, rises, names));
      }),
      { numRuns: 2000 },
    );
  });

  it("attributes 60 kills in 60 cgroups as their counters are read in slices of 25 ms", () => {
    const storm = new Storm(60);
    for (let kill = 0; kill < 60; kill++) {
      storm.run({ do: "kill", cgroup: kill, evidence: "none", twice: false });
      storm.run({ do: "read_line" });
      // 60 kills in 1.5 s: one per slice.
      storm.run({ do: "sweep" });
    }
    expect(storm.named).toHaveLength(60);
    for (const { key, cgroup } of storm.named) expect(cgroup).toBe(storm.truth.get(key));
  });

  it("names the cgroup of all 125 kills per interval, interval after interval", () => {
    const attribution = new Attribution();
    attribution.counterRead("/hog", 0);
    let named = 0;
    for (let slice = 0; slice < 40; slice++) {
      for (let kill = 0; kill < 125; kill++) {
        attribution.take(`${slice}-${kill}`, victim, slice * 25);
      }
      attribution.counterRead("/hog", 125);
      named += attribution.allLinesRead(0).length;
      expect(attribution.due(slice * 25)).toEqual([]);
    }
    expect(named).toBe(5000);
  });
});

/** By trying every assignment: which lines without a cgroup have the same one in all of them. */
function sharedByAll(
  known: readonly (number | undefined)[],
  rises: readonly number[],
  names: readonly string[],
): Map<string, string> {
  const choices = [...names.keys(), undefined];
  let assignments: (number | undefined)[][] = [[]];
  for (let line = 0; line < known.length; line++) {
    assignments = assignments.flatMap((before) =>
      choices
        // A line whose cgroup is known may have been counted there or before, nowhere else.
        .filter(
          (choice) => known[line] === undefined || choice === undefined || choice === known[line],
        )
        .map((choice) => [...before, choice]),
    );
  }
  const possible = assignments.filter((assignment) =>
    rises.every((rise, index) => assignment.filter((choice) => choice === index).length === rise),
  );
  const shared = new Map<string, string>();
  known.forEach((cgroup, line) => {
    const first = possible[0]?.[line];
    if (cgroup !== undefined || first === undefined) return;
    if (possible.every((assignment) => assignment[line] === first)) {
      shared.set(String(line), names[first] as string);
    }
  });
  return shared;
}
