import { describe, expect, it } from "vitest";
import type { Kill } from "../../src/kills/kill.ts";
import { HostWitness, type HostWitnessOptions } from "../../src/recorder/kill-witness.ts";
import { HostFiles } from "../../src/sources/host-files.ts";
import { killOf, sighting } from "../kills/sample-kill.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";

/** Asked 1,000 s after boot. */
function witnessOn(host: TemporaryTree, more: Partial<HostWitnessOptions> = {}): HostWitness {
  return new HostWitness({
    files: new HostFiles(host.roots),
    table: { firstSeenMs: () => undefined },
    recorder: { before: () => null },
    programs: { killBegan: () => {}, programOf: () => "", startTicksOf: () => undefined },
    bootSeconds: () => 1000,
    monotonicMs: () => 500_000,
    printkMs: () => 990_000,
    ...more,
  });
}

const aKill = (more: Partial<Kill> = {}) => killOf(sighting({ comm: "java" }), more);

describe("when a kill happened", () => {
  const killedSeconds = (uptimeSeconds: number | null) =>
    witnessOn(new TemporaryTree()).factsOf(aKill({ uptimeSeconds })).killedSeconds;

  it("is taken from its stamp, even if the clock of stamps stood still in suspend", () => {
    expect(killedSeconds(989.5)).toBe(999.5);
  });

  it("is shortly before it was read where there is no stamp, or one of a clock that drifts", () => {
    expect([killedSeconds(null), killedSeconds(950), killedSeconds(1020)]).toEqual([999, 999, 999]);
  });
});

describe("how long the victim had run", () => {
  const stat = (comm: string, startTicks: number) =>
    `42 (${comm}) ${["S", ...new Array(18).fill(0), startTicks, 0, 0].join(" ")}`;
  const age = (host: TemporaryTree, more: Partial<HostWitnessOptions> = {}) =>
    witnessOn(host, more).factsOf(aKill({ uptimeSeconds: 990 })).facts.ageSeconds;

  it("is read of itself while it is still there", () => {
    const host = new TemporaryTree();
    host.write("proc/42", { stat: stat("java", 60_000) });
    expect(age(host)).toBe(400);
  });

  it("is known of those whose program was read, and where its pid was taken since", () => {
    const host = new TemporaryTree();
    host.write("proc/42", { stat: stat("bash", 99_900) });
    const programs = {
      killBegan: () => {},
      programOf: () => "",
      startTicksOf: () => 70_000,
    };
    expect(age(host, { programs })).toBe(300);
  });

  it("is known of those that came while processes were watched, else not", () => {
    expect(age(new TemporaryTree(), { table: { firstSeenMs: () => 480_000 } })).toBe(20);
    expect(age(new TemporaryTree())).toBeNull();
  });
});

it("says what the victim ran, where that is known", () => {
  const programOf = ({ comm }: { comm: string }) => (comm === "java" ? "billing.jar" : "");
  const programs = { killBegan: () => {}, programOf, startTicksOf: () => undefined };
  const witness = witnessOn(new TemporaryTree(), { programs });
  expect(witness.factsOf(aKill()).facts.program).toBe("billing.jar");
  expect(witness.factsOf({ ...aKill(), comm: "sh" }).facts.program).toBeNull();
});
