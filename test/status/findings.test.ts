import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Kill } from "../../src/kills/kill.ts";
import { findings } from "../../src/status/findings.ts";
import type { StatusView } from "../../src/status/status-view.ts";
import type { Refusal } from "../../src/status/time-left.ts";
import {
  aCgroup,
  aKill,
  aLeak,
  aMemory,
  aStatusView,
  aVictim,
  nobody,
  nowMs,
} from "../http/views.ts";

const GiB = 2 ** 30;
const MiB = 2 ** 20;

const answer = (changes: Partial<StatusView>) =>
  findings(aStatusView({ kills: [], ...changes }))[0];
const states = (changes: Partial<StatusView>) =>
  findings(aStatusView({ kills: [], ...changes })).map(({ state }) => state);
const killedAgo = (minutes: number, changes: Partial<Kill> = {}) =>
  aKill({ time: new Date(nowMs - minutes * 60_000).toISOString(), ...changes });
const reachedIn = (minutes: number) =>
  aLeak({ timeLeft: { seconds: minutes * 60, bytesPerSecond: MiB } });

describe("a cgroup on its way to its limit", () => {
  it("is a danger with its time and its victim", () => {
    expect(answer({ cgroups: [aLeak()] })).toEqual({
      state: "danger",
      tone: "alarm",
      sentence:
        "In danger: mysql.service reaches its 2 GiB limit in about 9 minutes; the kernel would kill mysqld (pid 812)",
      detail: "1.5 GiB in use, 75 % of the limit; growing by 56.8 MiB a minute",
      topic: "/shop.slice/mysql.service about 9 minutes",
      alert: "OomCgroupRunningOut",
    });
  });

  it("names the ancestor that sets the limit", () => {
    const { sentence } = answer({
      cgroups: [aLeak({ limitCgroup: "/shop.slice", nextVictim: undefined })],
    });
    expect(sentence).toBe(
      "In danger: mysql.service reaches the 2 GiB limit of /shop.slice in about 9 minutes",
    );
  });

  it.each([
    [
      aLeak(),
      "oom_kill_disable",
      "the kernel would kill nothing, and tasks that need memory would hang",
    ],
    [
      aCgroup(0.97),
      "oom_kill_disable",
      "the kernel would kill nothing, and tasks that need memory would hang",
    ],
    [aLeak(), "vm.panic_on_oom", "the machine would panic"],
  ] as const)("says what happens instead of a kill: %#", (cgroup, setting, instead) => {
    const bypass = { setting, cgroup: null };
    const { sentence } = answer({ cgroups: [{ ...cgroup, bypass }] });
    expect(sentence.split("; ")[1]).toBe(`${instead} (${setting})`);
  });

  it("is no danger yet while that is hours away", () => {
    expect(answer({ cgroups: [reachedIn(150)] })).toMatchObject({
      state: "tight",
      tone: "warning",
      sentence: "mysql.service reaches its 2 GiB limit in about 3 hours",
    });
  });

  it("names a pod's container", () => {
    const owner = { ...nobody, pod: "checkout-7d9", namespace: "shop", container: "app" };
    expect(answer({ cgroups: [aLeak({ owner })] }).sentence).toContain(
      "app in shop/checkout-7d9 reaches",
    );
  });
});

describe("a cgroup close to its limit without a time", () => {
  it.each<[Refusal, number, string, string | undefined]>([
    ["no_line", 0.96, "alarm", "Going up and down"],
    ["not_growing", 0.96, "warning", "Not growing"],
    ["watched_too_short", 0.91, "warning", "Not watched long enough for a trend"],
  ])("%s at %d is shown as %s", (refused, share, tone, detail) => {
    const found = answer({ cgroups: [aCgroup(share, { timeLeft: { refused } })] });
    expect(found).toMatchObject({ state: "tight", tone, detail });
    expect(found.sentence).toBe(`web.service is at ${share * 100} % of its 1 GiB limit`);
  });

  it("counts the others", () => {
    const cgroups = [aCgroup(0.94), aCgroup(0.93), aCgroup(0.92), aCgroup(0.2)];
    expect(answer({ cgroups }).sentence).toBe(
      "web.service is at 94 % of its 1 GiB limit; 2 more are close to theirs",
    );
    expect(answer({ cgroups: cgroups.slice(0, 2) }).sentence).toBe(
      "web.service is at 94 % of its 1 GiB limit; 1 more is close to its limit",
    );
  });

  it("is no finding if page cache fills it", () => {
    const cache = aCgroup(0.99, { unreclaimableBytes: 0.1 * GiB });
    const unknown = aCgroup(0.99, {
      unreclaimableBytes: undefined,
      timeLeft: { refused: "page_cache" },
    });
    expect(states({ cgroups: [cache, unknown] })).toEqual(["healthy"]);
  });
});

describe("a kill", () => {
  it.each<[string, Partial<Kill>]>([
    [", at its own limit of 1 GiB", {}],
    [", at the limit of 8 GiB on /shop.slice", { limitCgroup: "/shop.slice", limitBytes: 8 * GiB }],
    [", at a limit", { limitCgroup: null, limitBytes: null }],
    [", when the host ran out of memory", { constraint: "none", limitCgroup: null }],
    [", when its memory node was full", { constraint: "cpuset" }],
    [", requested with SysRq f", { constraint: "none", cause: "manual" }],
    ["", { constraint: "unknown" }],
  ])("is shown with what ran out: %j", (what, changes) => {
    expect(answer({ kills: [aKill(changes)] }).sentence).toBe(
      `A process was killed 3 minutes ago: java (pid 4242) of checkout.service${what}`,
    );
  });

  it("is shown as the latest of those within an hour", () => {
    const kills = [killedAgo(2), killedAgo(59), killedAgo(61)];
    expect(answer({ kills }).sentence).toMatch(
      /^2 processes were killed in the last hour, the latest 2 minutes ago: java/,
    );
  });

  it("is no finding an hour later, nor without a time", () => {
    expect(answer({ kills: [killedAgo(61)] })).toMatchObject({
      state: "healthy",
      detail: "The last kill was 1 hour ago",
    });
    expect(states({ kills: [aKill({ time: null })] })).toEqual(["healthy"]);
  });

  it("in the future, after the clock was set back, is not shown as just now", () => {
    const { sentence } = answer({ kills: [killedAgo(-5)] });
    expect(sentence).toContain("A process was killed before the clock was set back: ");
    expect(answer({ kills: [killedAgo(-61)] }).state).toBe("healthy");
  });
});

describe("the host", () => {
  const short = { availableBytes: 0.5 * GiB };

  it("is in danger when memory and swap run out within the hour", () => {
    const memory = aMemory({ timeLeft: { seconds: 720, bytesPerSecond: 10 * MiB } });
    expect(answer({ memory, victims: [aVictim()] })).toMatchObject({
      state: "danger",
      sentence:
        "In danger: the host runs out of memory and swap in about 10 minutes; the kernel would kill postgres (pid 9)",
      detail: "10 GiB of 16 GiB left, 3 GiB of swap; growing by 600 MiB a minute",
    });
  });

  it("is in danger when hardly anything is left, swap counted", () => {
    const memory = aMemory({ ...short, swapTotalBytes: 0, swapFreeBytes: 0 });
    expect(answer({ memory, victims: [aVictim()] })).toMatchObject({
      state: "danger",
      sentence:
        "In danger: the host has almost no memory left; the kernel would kill postgres (pid 9)",
      detail: "512 MiB of 16 GiB left, no swap",
    });
  });

  it("is short when it lives off its swap", () => {
    expect(answer({ memory: aMemory(short) })).toMatchObject({
      state: "tight",
      tone: "warning",
      sentence: "Short of memory: 512 MiB of 16 GiB left, 3 GiB of swap",
    });
  });

  it("is well", () => {
    expect(answer({ cgroups: [aCgroup(0.4)] })).toMatchObject({
      state: "healthy",
      tone: "calm",
      sentence: "Healthy: 10 GiB left, nothing is near its limit",
      detail: "No kills known",
    });
    expect(answer({}).sentence).toBe("Healthy: 10 GiB left, no limit is set");
  });

  it("is not called healthy if its memory cannot be read", () => {
    expect(answer({ memory: undefined }).state).toBe("unknown");
  });
});

describe("missing data", () => {
  const unread = { name: "kmsg", path: "/dev/kmsg", up: false, reason: "grant CAP_SYSLOG" };

  it("is reported", () => {
    expect(answer({ sources: [unread] })).toMatchObject({
      state: "blind",
      sentence: "Blind: no kernel log is being read, so kills go unseen",
      detail: "grant CAP_SYSLOG",
    });
    expect(answer({ unaccountedKills: 2 })).toMatchObject({
      state: "missed",
      sentence: "Missed: the kernel counted 2 kills that did not appear in its log",
    });
    expect(answer({ troubles: [{ collector: "cgroups", reason: "EACCES" }] })).toMatchObject({
      state: "blind",
      sentence: "Partly blind: cgroups cannot be read",
      detail: "EACCES",
    });
  });

  it("is not reported while one log is read", () => {
    const file = { name: "file", path: "/var/log/kern.log", up: true, reason: undefined };
    expect(states({ sources: [unread, file] })).toEqual(["healthy"]);
  });
});

describe("the order", () => {
  it.each([
    ["a danger that is nearer than the kill", 9, 50, ["danger", "killed"]],
    ["a kill that is nearer than the danger", 9, 3, ["killed", "danger"]],
  ])("has %s first", (_, ahead, back, order) => {
    expect(states({ cgroups: [reachedIn(ahead)], kills: [killedAgo(back)] })).toEqual(order);
  });

  it("has the host that is out of room before all else", () => {
    const memory = aMemory({ availableBytes: 0, swapFreeBytes: 0 });
    const found = findings(
      aStatusView({ memory, cgroups: [reachedIn(1)], kills: [killedAgo(0.1)] }),
    );
    expect(found[0].topic).toBe("host");
  });

  it("has findings with a time first, then lasting conditions", () => {
    const found = states({
      kills: [killedAgo(59)],
      cgroups: [reachedIn(58), aCgroup(0.97, { timeLeft: { refused: "no_line" } }), aCgroup(0.91)],
      sources: [],
      unaccountedKills: 1,
      memory: aMemory({ availableBytes: GiB }),
      troubles: [{ collector: "processes", reason: "hidepid" }],
    });
    expect(found).toEqual([
      "danger",
      "killed",
      "tight",
      "blind",
      "missed",
      "tight",
      "tight",
      "blind",
    ]);
  });

  it("lists three dangers, soonest first", () => {
    const cgroups = [40, 20, 10, 30].map(reachedIn);
    expect(findings(aStatusView({ kills: [], cgroups })).map(({ topic }) => topic)).toEqual([
      "/shop.slice/mysql.service about 10 minutes",
      "/shop.slice/mysql.service about 20 minutes",
      "/shop.slice/mysql.service about 30 minutes",
    ]);
  });

  it("is that of nearness to now, whatever is ahead and back", () => {
    const minutes = fc.integer({ min: 1, max: 60 });
    fc.assert(
      fc.property(minutes, minutes, minutes, (host, cgroup, kill) => {
        const memory = aMemory({ timeLeft: { seconds: host * 60, bytesPerSecond: MiB } });
        const found = findings(
          aStatusView({ memory, cgroups: [reachedIn(cgroup)], kills: [killedAgo(kill)] }),
        );
        const away = found.map(({ state, topic }) =>
          state === "killed" ? kill : topic.startsWith("host") ? host : cgroup,
        );
        expect(away).toEqual([...away].sort((a, b) => a - b));
        expect(found).toHaveLength(3);
      }),
    );
  });
});
