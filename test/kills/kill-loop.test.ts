import { describe, expect, it } from "vitest";
import type { Kill } from "../../src/kills/kill.ts";
import { loopOf, loopSentence } from "../../src/kills/kill-loop.ts";
import { unknownOwner } from "../../src/kills/owner.ts";
import { killOf, sighting } from "./sample-kill.ts";

const minute = 60;

/** A kill so many seconds after the first, of a process of that age. */
function at(seconds: number, ageSeconds: number | null = 400, more: Partial<Kill> = {}) {
  return { kill: killOf(sighting(), { ageSeconds, ...more }), timeMs: seconds * 1000 };
}

const pod = (cgroup: string, container: string, podUid = "u-1") => ({
  cgroup,
  owner: { ...unknownOwner, pod: "shop-1", podUid, namespace: "shop", container },
});

describe("kills of the same workload within an hour", () => {
  it("are counted, with the time from the first to the last and the age they all had", () => {
    const earlier = [at(0, 390), at(20 * minute, 420)];
    expect(loopOf(at(40 * minute, 400), earlier)).toEqual({
      count: 3,
      withinSeconds: 2400,
      ageSeconds: 400,
    });
  });

  it("are none where this is the first, or the others are older than an hour", () => {
    expect(loopOf(at(0), [])).toBeNull();
    expect(loopOf(at(61 * minute), [at(0)])).toBeNull();
    expect(loopOf(at(60 * minute), [at(0)])?.count).toBe(2);
  });

  it("have no common age where one is not known, or they differ", () => {
    expect(loopOf(at(1200, 400), [at(0, null)])?.ageSeconds).toBeNull();
    expect(loopOf(at(1200, 400), [at(0, 100)])?.ageSeconds).toBeNull();
  });

  it("count those that die together once", () => {
    const group = [at(0), at(1), at(2)];
    expect(loopOf(at(3), group)).toBeNull();
    expect(loopOf(at(600), group)?.count).toBe(2);
  });

  it("are those of one container of one pod, whatever its cgroup is called now", () => {
    const earlier = [at(0, 400, pod("/a/1", "api")), at(60, 400, pod("/a/2", "sidecar"))];
    expect(loopOf(at(600, 400, pod("/a/3", "api")), earlier)?.count).toBe(2);
    expect(loopOf(at(600, 400, pod("/b/1", "api", "u-2")), earlier)).toBeNull();
  });

  it("are not those of a user's unit and the system's of the same name", () => {
    const system = {
      cgroup: "/system.slice/app.service",
      owner: { ...unknownOwner, unit: "app.service" },
    };
    const user = {
      owner: { ...system.owner, platform: "systemd_user" as const },
      cgroup: "/user.slice/user-7.slice/user@7.service/app.slice/app.service",
    };
    expect(loopOf(at(600, 400, user), [at(0, 400, system)])).toBeNull();
    expect(loopOf(at(600, 400, user), [at(0, 400, user)])?.count).toBe(2);
  });

  it("are none where nobody knows whose they were", () => {
    const unknown = { cgroup: null, owner: unknownOwner };
    expect(loopOf(at(600, 400, unknown), [at(0, 400, unknown)])).toBeNull();
  });
});

describe("the loop as a sentence", () => {
  const sentenceOf = (loop: Kill["loop"], cause: Kill["cause"] = "cgroup_limit") =>
    loopSentence(killOf(sighting(), { loop, cause }));

  it("says how often, within what time and at what age", () => {
    expect(sentenceOf({ count: 3, withinSeconds: 2450, ageSeconds: 420 })).toBe(
      "The third kill of victim.service within 40 minutes, each time about 7 minutes after its start: it leaks, or its limit is too small.",
    );
    expect(sentenceOf({ count: 2, withinSeconds: 600, ageSeconds: 30 })).toContain(
      "both times about 30 s",
    );
    expect(sentenceOf({ count: 12, withinSeconds: 600, ageSeconds: null })).toBe(
      "The 12th kill of victim.service within 10 minutes: it leaks, or its limit is too small.",
    );
    for (const [count, nth] of [
      [11, "11th"],
      [21, "21st"],
      [22, "22nd"],
      [23, "23rd"],
    ] as const) {
      const sentence = sentenceOf({ count, withinSeconds: 3000, ageSeconds: null });
      expect(sentence).toContain(`The ${nth} kill of`);
    }
    expect(sentenceOf(null)).toBeUndefined();
  });

  it("blames the workload only if it reached its own limit, or filled the host", () => {
    const loop = { count: 2, withinSeconds: 600, ageSeconds: null };
    expect(sentenceOf(loop, "memory_hog")).toBe(
      "The second kill of victim.service within 10 minutes: it leaks, or it needs more memory than the host has.",
    );
    for (const cause of ["parent_cgroup_limit", "manual", "shmem", "unknown"] as const) {
      expect(sentenceOf(loop, cause)).toBe("The second kill of victim.service within 10 minutes.");
    }
  });
});
