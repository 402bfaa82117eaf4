import { describe, expect, it } from "vitest";
import { firstForSwap, type OomdHost, oomdSettings } from "../../src/killers/oomd-rule.ts";

const MiB = 2 ** 20;

describe("what units tell systemd-oomd", () => {
  it("is in their files and drop-ins, the last one counts", () => {
    expect(
      oomdSettings([
        "[Slice]\nManagedOOMSwap=kill\nManagedOOMPreference=omit\n",
        "[Slice]\n  ManagedOOMSwap = auto\nManagedOOMMemoryPressure=kill\nManagedOOMMemoryPressureLimit=50%\nManagedOOMPreference=avoid",
      ]),
    ).toEqual({
      killsForSwap: false,
      killsForPressure: true,
      pressureLimit: "50%",
      preference: "avoid",
    });
    expect(oomdSettings([])).toMatchObject({ killsForSwap: false, preference: "none" });
  });
});

describe("the cgroup that systemd-oomd kills for swap", () => {
  /** Unit files by unit. */
  const first = (
    units: Record<string, string>,
    swapMiB: Record<string, number>,
    groups: readonly string[] = [],
  ) => {
    const host: OomdHost = {
      cgroups: Object.entries(swapMiB).map(([path, mib]) => ({ path, swapBytes: mib * MiB })),
      swapTotalBytes: 1000 * MiB,
      settingsOf: (unit) => oomdSettings([units[unit] ?? ""]),
      isKilledAsGroup: (path) => groups.includes(path),
    };
    return firstForSwap(host);
  };
  const everywhere = { "-.slice": "ManagedOOMSwap=kill" };

  it("is unknown if no unit asks for it", () => {
    expect(first({}, { "/a.service": 500 })).toBeUndefined();
  });

  it("is the one without children that has the most swap, and more than 5 % of all", () => {
    const swap = { "/a.slice": 170, "/a.slice/b.service": 90, "/a.slice/c.service": 80 };
    expect(first(everywhere, swap)?.path).toBe("/a.slice/b.service");
    expect(first(everywhere, { "/a.service": 50 })).toBeNull();
  });

  it("is below a unit with ManagedOOMSwap=kill", () => {
    const units = { "a.slice": "ManagedOOMSwap=kill" };
    expect(
      first(units, { "/a.slice/b.service": 90, "/c.service": 300, "/a.slice": 90 })?.path,
    ).toBe("/a.slice/b.service");
  });

  it("is the whole of one with memory.oom.group", () => {
    const swap = { "/a.slice": 200, "/a.slice/pod": 200, "/a.slice/pod/x": 120, "/b.service": 190 };
    expect(first(everywhere, swap, ["/a.slice/pod"])).toEqual({
      path: "/a.slice/pod",
      swapBytes: 200 * MiB,
    });
  });

  it("is a group with more than 5 % of all, in whose children less is", () => {
    const units = { "a.slice": "ManagedOOMSwap=kill" };
    const group = "/a.slice/g.service";
    const swap = { "/a.slice": 80, [group]: 80, [`${group}/x`]: 40, [`${group}/y`]: 40 };
    expect(first(units, swap, [group])?.path).toBe(group);
    expect(first(units, swap)).toBeNull();
  });

  it("is none that is to be omitted, and one to be avoided last", () => {
    const units = {
      ...everywhere,
      "omitted.service": "ManagedOOMPreference=omit",
      "avoided.service": "ManagedOOMPreference=avoid",
    };
    const swap = { "/omitted.service": 400, "/avoided.service": 300, "/other.service": 100 };
    expect(first(units, swap)?.path).toBe("/other.service");
    expect(first(units, { "/omitted.service": 400, "/avoided.service": 300 })?.path).toBe(
      "/avoided.service",
    );
  });
});
