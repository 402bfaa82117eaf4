import { describe, expect, it } from "vitest";
import { type CgroupSeen, judge, keyOf, outcomeSentence } from "../../src/kills/outcome.ts";

/** A php worker, killed 1,000 s after boot. */
const victim = { pid: 50, comm: "php", killedSeconds: 1000 };

const process = (pid: number, bornSeconds: number, comm = "php") => ({ pid, comm, bornSeconds });
const cgroup = (...processes: ReturnType<typeof process>[]): CgroupSeen => ({
  exists: true,
  processes,
});
const gone: CgroupSeen = { exists: false, processes: [] };

const master = process(7, 10, "master");
const sibling = process(8, 500);

/** The look that ends the two minutes. */
const atLast = (own: CgroupSeen, others: CgroupSeen[] = []) =>
  judge(victim, own, others, { isLast: true, seenBefore: new Set() });

/** A look before that, and the one that follows it. */
const early = (own: CgroupSeen, others: CgroupSeen[] = [], before = [own, ...others]) =>
  judge(victim, own, others, {
    isLast: false,
    seenBefore: new Set(before.flatMap(({ processes }) => processes.map(keyOf))),
  });

describe("two minutes after a kill", () => {
  it.each([
    ["removed", gone, "gone"],
    ["empty", cgroup(), "stopped"],
    ["one of older processes", cgroup(master), "lives_on"],
    ["one of older processes of the same name", cgroup(master, sibling), "lives_on"],
    ["one where another program was started", cgroup(master, process(60, 1001, "sh")), "lives_on"],
  ] as const)("a cgroup that is %s is %s", (_, own, outcome) => {
    expect(atLast(own)).toEqual({ outcome, restartSeconds: null });
    expect(early(own)).toBeUndefined();
  });

  it("does not take the victim that is still dying for a process that lives on", () => {
    expect(atLast(cgroup(process(50, 900)))?.outcome).toBe("stopped");
    // Its pid may have gone to a new process.
    expect(atLast(cgroup(process(50, 1002)))?.outcome).toBe("restarted");
  });
});

describe("a workload that comes back", () => {
  it("is restarted where all of its processes are younger than the kill", () => {
    const own = cgroup(process(61, 1005.25, "sh"), process(62, 1007));
    expect(early(own)).toEqual({ outcome: "restarted", restartSeconds: 5.25 });
  });

  it("is restarted where its owner has a new cgroup of young processes", () => {
    const renewed = cgroup(process(61, 1030));
    expect(early(gone, [renewed])).toEqual({ outcome: "restarted", restartSeconds: 30 });
    expect(early(cgroup(), [renewed])?.outcome).toBe("restarted");
  });

  it("is not restarted by another cgroup of the same owner that was there before", () => {
    const before = cgroup(process(61, 900), process(62, 1030));
    expect(atLast(gone, [before, cgroup()])?.outcome).toBe("gone");
  });

  it("is respawned if older processes live on and a young one has the victim's name", () => {
    const own = cgroup(master, sibling, process(61, 1003.5), process(62, 1004));
    expect(early(own)).toEqual({ outcome: "respawned", restartSeconds: 3.5 });
  });

  it("stays open before the last look if only one look has seen the process", () => {
    const helper = cgroup(process(61, 1001, "sh"));
    expect(early(helper, [], [cgroup()])).toBeUndefined();
    expect(early(cgroup(master, process(61, 1001)), [], [cgroup(master)])).toBeUndefined();
    expect(early(gone, [helper], [])).toBeUndefined();
    // Another process under the same pid.
    expect(early(helper, [], [cgroup(process(61, 1000.5, "sh"))])).toBeUndefined();
    expect(atLast(helper)?.outcome).toBe("restarted");
  });

  it("counts a process as younger that was made within the tick of the kill", () => {
    const exact = { ...victim, killedSeconds: 1000.456 };
    const look = { isLast: true, seenBefore: new Set<string>() };
    const settled = judge(exact, cgroup(process(61, 1000.45)), [], look);
    expect(settled).toEqual({ outcome: "restarted", restartSeconds: 0 });
    expect(judge(exact, cgroup(process(61, 1000.44)), [], look)?.outcome).toBe("lives_on");
  });
});

describe("the outcome as a sentence", () => {
  it.each([
    ["restarted", 5.2, "5 seconds after the kill, shop.service was started again."],
    [
      "respawned",
      0.4,
      "The rest of shop.service kept running, and another php was started less than a second after the kill.",
    ],
    [
      "lives_on",
      null,
      "Two minutes later the rest of shop.service was still running without it: no other php had been started.",
    ],
    ["stopped", null, "Two minutes later shop.service had no processes left."],
    [
      "gone",
      null,
      "Two minutes later shop.service was gone from this host and had not been started again.",
    ],
  ] as const)("%s", (outcome, restartSeconds, sentence) => {
    expect(outcomeSentence({ outcome, restartSeconds }, "php", "shop.service")).toBe(sentence);
  });

  it("is none while it is not known", () => {
    expect(outcomeSentence({ outcome: null, restartSeconds: null }, "php", "x")).toBeUndefined();
  });
});
