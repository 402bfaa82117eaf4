import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CgroupReading } from "../../src/sources/cgroup-reading.ts";
import { limitsIn, limitsInForce } from "../../src/status/limits-in-force.ts";

const unlimited = Number.POSITIVE_INFINITY;

/** Readings of cgroups by path, each with what it holds and its own limit, as a walk gives them. */
function readingsOf(cgroups: Record<string, [usedBytes: number, maxBytes: number]>) {
  return Object.entries(cgroups).map(([path, [usedBytes, maxBytes]]): CgroupReading => {
    const chain = Object.keys(cgroups).filter((above) => `${path}/`.startsWith(`${above}/`));
    const [limitingCgroup, effectiveMaxBytes] = chain
      .map((above) => [above, (cgroups[above] as [number, number])[1]] as const)
      .reduce((tightest, next) => (next[1] < tightest[1] ? next : tightest));
    const limit = { maxBytes, effectiveMaxBytes };
    const use = { currentBytes: usedBytes + 50, fileBytes: 70, shmemBytes: 20 };
    const none = { events: {}, pressure: {} };
    return effectiveMaxBytes === unlimited
      ? { path, ...use, ...limit, ...none }
      : { path, ...use, ...limit, limitingCgroup, ...none };
  });
}

function pathsInForce(readings: readonly CgroupReading[]): string[] {
  return limitsInForce(limitsIn(readings)).map(({ reading }) => reading.path);
}

describe("limits", () => {
  it("are measured by unreclaimable memory", () => {
    const [limit] = limitsIn(readingsOf({ "/a": [600, 1000] }));
    expect(limit).toMatchObject({ unreclaimableBytes: 600, limitBytes: 1000 });
  });

  it("are those of the cgroups that set one, not of cgroups below", () => {
    expect(pathsInForce(readingsOf({ "/a": [10, 100], "/a/b": [10, unlimited] }))).toEqual(["/a"]);
    expect(pathsInForce(readingsOf({ "/a": [10, unlimited] }))).toEqual([]);
  });

  it("are the topmost cgroups' below one that is filtered out", () => {
    const readings = readingsOf({
      "/a": [10, 100],
      "/a/b": [10, unlimited],
      "/a/b/c": [10, unlimited],
      "/a/d": [10, 500],
    }).slice(1);
    expect(limitsIn(readings)).toMatchObject([
      { reading: { path: "/a/b" }, limitBytes: 100, limitCgroup: "/a" },
      { reading: { path: "/a/d" }, limitBytes: 100, limitCgroup: "/a" },
    ]);
  });

  it("are not in force if an ancestor runs out first, even with a larger limit", () => {
    const full = { "/a": [290, 300], "/a/b": [100, 200], "/a/c": [190, unlimited] } as const;
    expect(pathsInForce(readingsOf(full as never))).toEqual(["/a"]);
    const roomy = { "/a": [190, 300], "/a/b": [100, 200] } as const;
    expect(pathsInForce(readingsOf(roomy as never))).toEqual(["/a", "/a/b"]);
  });

  it("of ancestors do not apply if v1's memory.use_hierarchy is off", () => {
    const [above, below] = readingsOf({ "/a": [290, 300], "/a/b": [100, 400] });
    const alone = { ...below, effectiveMaxBytes: 400, limitingCgroup: "/a/b" } as CgroupReading;
    expect(pathsInForce([above as CgroupReading, alone])).toEqual(["/a", "/a/b"]);
  });

  it("are in force exactly if growth inside reaches them first", () => {
    const share = fc.integer({ min: 0, max: 100 });
    const limit = fc.oneof(fc.constant(unlimited), fc.integer({ min: 300, max: 900 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(share, limit), { minLength: 3, maxLength: 3 }), (own) => {
        const paths = ["/a", "/a/b", "/a/b/c"];
        const used = paths.map((_, depth) =>
          own.slice(depth).reduce((sum, [bytes]) => sum + bytes, 0),
        );
        const cgroups = Object.fromEntries(
          paths.map((path, depth) => [path, [used[depth], own[depth]?.[1]] as [number, number]]),
        );
        const left = (depth: number) => (own[depth]?.[1] as number) - (used[depth] as number);
        const hitFirst = paths.filter(
          (_, depth) =>
            left(depth) < unlimited &&
            paths.slice(0, depth).every((_, above) => left(above) > left(depth)),
        );
        expect(pathsInForce(readingsOf(cgroups))).toEqual(hitFirst);
      }),
    );
  });
});
