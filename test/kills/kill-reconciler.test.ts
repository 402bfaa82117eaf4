import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KillReconciler } from "../../src/kills/kill-reconciler.ts";

const boot = "a".repeat(32);

interface Second {
  kills?: number;
  /** Defaults to `kills`. */
  read?: number;
  seconds?: number;
}

/** A kernel that counts and a log that is read, second by second. */
class Host {
  oomKill: number | undefined = 1000;
  rawLines = 0;
  nowMs = 0;
  count = new KillReconciler();

  begin(logHoldsBoot = false): this {
    this.count.begin(this.reading(), { logHoldsBoot });
    return this;
  }

  /** `kills`, with `read` of their lines read, then time passes. */
  second({ kills = 0, read = kills, seconds = 1 }: Second = {}): number | undefined {
    this.oomKill = (this.oomKill ?? 0) + kills;
    this.rawLines += read;
    for (let second = 0; second < seconds; second++) {
      this.count.read(this.reading());
      this.nowMs += 1000;
    }
    this.count.read(this.reading());
    return this.count.unaccounted;
  }

  reading() {
    const { oomKill, rawLines, nowMs } = this;
    return { boot, oomKill, rawLines, nowMs };
  }
}

describe("oom_kills_unaccounted", () => {
  it("is 0 while every kill has its line", () => {
    const host = new Host().begin();
    expect(host.second({ kills: 5, seconds: 60 })).toBe(0);
  });

  it("does not report a log that lags until a gap has lasted 10 s", () => {
    const host = new Host().begin();
    host.nowMs += 1000;
    expect(host.second({ kills: 3, read: 1, seconds: 9 })).toBe(0);
    expect(host.second({ seconds: 1 })).toBe(2);
  });

  it("falls as soon as lines come", () => {
    const host = new Host().begin();
    host.second({ kills: 3, read: 0, seconds: 20 });
    expect(host.second({ read: 1 })).toBe(2);
    expect(host.second({ read: 2 })).toBe(0);
  });

  it("does not waver while further kills come with their lines", () => {
    const host = new Host().begin();
    host.second({ kills: 3, read: 0, seconds: 20 });
    for (let second = 0; second < 30; second++) expect(host.second({ kills: 5 })).toBe(3);
  });

  it("does not alarm in a storm whose log is always a second behind", () => {
    const host = new Host().begin();
    expect(host.second({ kills: 100, read: 0 })).toBe(0);
    for (let second = 0; second < 60; second++) expect(host.second({ kills: 100 })).toBe(0);
    expect(host.second({ read: 100 })).toBe(0);
  });

  it("forgives lines that were under way when following began, and hides no later gap by it", () => {
    const host = new Host().begin();
    host.second({ read: 2, seconds: 3 });
    expect(host.second({ kills: 1, read: 0, seconds: 11 })).toBe(1);
  });

  it("keeps the baseline over a restart in the same boot", () => {
    const before = new Host().begin();
    before.second({ kills: 7, seconds: 20 });
    const host = new Host();
    host.oomKill = 1009;
    host.rawLines = 7;
    host.count = new KillReconciler(before.count.baseline);
    host.begin();
    expect(host.second({ seconds: 11 })).toBe(2);
  });

  it("expects every kill of a new boot in a log that covers that boot from its start", () => {
    const saved = { boot: "b".repeat(32), oomKill: 50, rawLines: 3 };
    const host = new Host();
    host.oomKill = 4;
    host.rawLines = 3;
    host.count = new KillReconciler(saved);
    host.begin(true);
    expect(host.second({ seconds: 11 })).toBe(1);
  });

  it.each([
    [
      "the log does not hold this boot",
      new KillReconciler({ boot: "b", oomKill: 5, rawLines: 3 }),
      false,
    ],
    ["it is the first start", new KillReconciler(), true],
  ])("starts at the current count if %s", (_, count, logHoldsBoot) => {
    const host = new Host();
    host.count = count;
    host.begin(logHoldsBoot);
    expect(host.second({ seconds: 20 })).toBe(0);
    expect(count.baseline).toEqual({ boot, oomKill: 1000, rawLines: 0 });
  });

  it("is absent if the kernel has no such counter", () => {
    const host = new Host();
    host.oomKill = undefined;
    host.begin();
    host.count.read(host.reading());
    expect(host.count.unaccounted).toBeUndefined();
    expect(host.count.outstanding).toBeUndefined();
  });

  it("starts again when the counter goes back, because it belongs to another kernel", () => {
    const host = new Host().begin();
    host.second({ kills: 3, read: 0, seconds: 20 });
    host.oomKill = 10;
    expect(host.second({ seconds: 20 })).toBe(0);
    expect(host.second({ kills: 1, read: 0, seconds: 11 })).toBe(1);
  });
});

describe("lines outstanding", () => {
  it("are those of counted kills, except lost ones", () => {
    const host = new Host().begin();
    host.second({ seconds: 3 });
    expect(host.count.outstanding).toBe(0);
    host.second({ kills: 2, read: 0 });
    expect(host.count.outstanding).toBe(2);
    host.second({ seconds: 11 });
    expect(host.count.outstanding).toBe(0);
  });

  it("are not known in the first two seconds: the baseline may have been too high", () => {
    const host = new Host().begin();
    expect(host.count.outstanding).toBeUndefined();
  });
});

const second = fc.record({ kills: fc.nat(5), lag: fc.nat(9), lost: fc.nat(2), quiet: fc.nat(3) });

describe("whatever the log's lag", () => {
  it("a kill whose line arrives within 10 s is never unaccounted, whatever else is killed in between", () => {
    fc.assert(
      fc.property(fc.array(second, { maxLength: 60 }), (seconds) => {
        run(
          seconds.map((each) => ({ ...each, lost: 0 })),
          (unaccounted) => {
            expect(unaccounted).toBe(0);
          },
        );
      }),
    );
  });

  it("once the kernel has been silent for 10 s, `unaccounted` is the number of kills since the baseline without a line", () => {
    fc.assert(
      fc.property(fc.array(second, { maxLength: 60 }), (seconds) => {
        const { host, lost } = run(seconds, (unaccounted, lostYet) => {
          expect(unaccounted).toBeLessThanOrEqual(lostYet);
        });
        expect(host.second({ seconds: 21 })).toBe(lost);
      }),
    );
  });

  it("a lead of the log hides no later gap", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), (lead, lost) => {
        const host = new Host().begin();
        host.second({ read: lead, seconds: 3 });
        expect(host.second({ kills: lost, read: 0, seconds: 11 })).toBe(lost);
      }),
    );
  });
});

/** Every kill's line comes `lag` seconds later, but for those that are lost. */
function run(
  seconds: readonly { kills: number; lag: number; lost: number; quiet: number }[],
  check: (unaccounted: number, lostYet: number) => void,
): { host: Host; lost: number } {
  const host = new Host().begin();
  const arriving: number[] = [];
  let lost = 0;
  const pass = (kills: number) => {
    check(host.second({ kills, read: arriving.shift() ?? 0 }) as number, lost);
  };
  for (const { kills, lag, lost: losing, quiet } of seconds) {
    const gone = Math.min(losing, kills);
    lost += gone;
    arriving[lag] = (arriving[lag] ?? 0) + kills - gone;
    pass(kills);
    for (let second = 0; second < quiet; second++) pass(0);
  }
  while (arriving.length > 0) pass(0);
  return { host, lost };
}
