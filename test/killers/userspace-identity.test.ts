import { describe, expect, it } from "vitest";
import {
  identityLimit,
  incidentOf,
  UserspaceIdentities,
  type UserspaceSighting,
} from "../../src/killers/userspace-identity.ts";

const boot = "0123456789abcdef0123456789abcdef";
const at = (seconds: number, more: Partial<UserspaceSighting> = {}): UserspaceSighting => ({
  killer: "earlyoom",
  boot,
  victim: "1234",
  comm: "hog",
  timeMs: 1_795_181_030_000 + seconds * 1000,
  ...more,
});

/** How many kills these announcements are of. */
function killsOf(...sightings: UserspaceSighting[]): number {
  const identities = new UserspaceIdentities();
  let kills = 0;
  for (const sighting of sightings) {
    if (identities.find(sighting) === undefined) {
      kills++;
      identities.add({ ...sighting, incident: incidentOf(sighting) });
    } else {
      identities.extend(sighting);
    }
  }
  return kills;
}

describe("one kill", () => {
  it("is announced again within a minute, and a minute from there", () => {
    expect(killsOf(at(0), at(50), at(100), at(160))).toBe(1);
    expect(killsOf(at(0), at(61))).toBe(2);
  });

  it("of a whole cgroup is announced again within seconds: its unit may be restarted and killed again", () => {
    const unit = { victim: "/system.slice/batch.service", comm: undefined };
    expect(killsOf(at(0, unit), at(1, unit), at(10, unit))).toBe(1);
    expect(killsOf(at(0, unit), at(16, unit), at(40, unit))).toBe(3);
  });

  it("is read again from an earlier place of the log", () => {
    expect(killsOf(at(0), at(50), at(0), at(50))).toBe(1);
  });

  it("is read again after many more of its unit, which is restarted and killed in a loop", () => {
    const unit = { victim: "/system.slice/batch.service", comm: undefined };
    const loop = Array.from({ length: 40 }, (_, kill) => at(20 * kill, unit));
    expect(killsOf(...loop, ...loop)).toBe(40);
  });

  it("is remembered for the newest 10,000 kills, and over a restart", () => {
    const identities = new UserspaceIdentities();
    const kills = Array.from({ length: identityLimit + 1 }, (_, kill) => at(61 * kill));
    for (const kill of kills) identities.add({ ...kill, incident: incidentOf(kill) });
    const restarted = new UserspaceIdentities();
    restarted.restore(JSON.parse(JSON.stringify(identities.save())));
    for (const known of [identities, restarted]) {
      expect(known.find(kills[0] as UserspaceSighting)).toBeUndefined();
      expect(known.find(kills[1] as UserspaceSighting)).toBeDefined();
      expect(known.save()).toHaveLength(identityLimit);
    }
  });

  it.each([
    ["another killer", { killer: "nohang" as const }],
    ["another process", { victim: "1235" }],
    ["another name of the same pid", { comm: "java" }],
    ["another boot", { boot: "f".repeat(32) }],
  ])("is not that of %s", (_case, more) => {
    expect(killsOf(at(0), at(1, more))).toBe(2);
  });

  it("is recognised by the boot clock if the wall clock was set", () => {
    expect(killsOf(at(0, { monotonicMs: 5000 }), at(7200, { monotonicMs: 6000 }))).toBe(1);
    expect(killsOf(at(0, { monotonicMs: 5000 }), at(1, { monotonicMs: 90_000 }))).toBe(2);
  });

  it("is the same in the journal and in a file that does not know its boot", () => {
    expect(killsOf(at(0, { monotonicMs: 5000 }), at(0, { boot: undefined }))).toBe(1);
    expect(killsOf(at(0), at(120, { boot: undefined }))).toBe(2);
  });

  it("is the same after a restart", () => {
    const before = new UserspaceIdentities();
    before.add({ ...at(0), incident: "a" });
    before.extend(at(50));
    const after = new UserspaceIdentities();
    after.restore(JSON.parse(JSON.stringify(before.save())));
    expect(after.find(at(100))?.incident).toBe("a");
    expect(after.find(at(111))).toBeUndefined();
  });
});

describe("an incident", () => {
  it("names boot, killer, second and victim", () => {
    expect(incidentOf(at(0))).toBe("01234567-earlyoom-1795181030-1234");
    expect(incidentOf(at(0, { boot: undefined, victim: "/a.service" }))).toMatch(
      /^0-earlyoom-1795181030-[0-9a-f]{8}$/,
    );
  });
});
