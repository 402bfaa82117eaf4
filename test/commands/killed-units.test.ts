import { describe, expect, it } from "vitest";
import { KilledUnits } from "../../src/commands/killed-units.ts";

const at = (time: string) => Date.parse(`2026-11-20T${time}Z`);

describe("the units that lost processes", () => {
  it("are those of the victim's cgroup, about the time of the kill", () => {
    const units = new KilledUnits();
    units.add("/system.slice/shop.service/worker", at("13:00:30"));
    expect(units.has("shop.service", at("13:00:40"))).toBe(true);
    expect(units.has("system.slice", at("13:01:10"))).toBe(true);
    expect(units.has("shop.service", at("12:59:40"))).toBe(true);
    expect(units.has("shop.service", at("13:05:00"))).toBe(false);
    expect(units.has("workshop.service", at("13:00:40"))).toBe(false);
    expect(units.has("worker", at("13:00:40"))).toBe(false);
  });

  it("are those of a cgroup that has gone", () => {
    const units = new KilledUnits();
    units.add("/system.slice/shop.service (deleted)", at("13:00:30"));
    expect(units.has("shop.service", at("13:00:40"))).toBe(true);
  });

  it("may be any where the victim's cgroup is not known", () => {
    const units = new KilledUnits();
    units.add(null, at("13:00:30"));
    expect(units.has("shop.service", at("13:00:40"))).toBe(true);
    expect(units.has("shop.service", at("14:00:40"))).toBe(false);
  });

  it("are found without a time or a unit as far as what is known goes", () => {
    const units = new KilledUnits();
    expect(units.has(undefined, undefined)).toBe(false);
    units.add("/system.slice/shop.service", undefined);
    expect(units.has("shop.service", at("13:00:40"))).toBe(true);
    expect(units.has(undefined, at("13:00:40"))).toBe(true);
    expect(units.has("batch.service", undefined)).toBe(false);
  });
});
