import { describe, expect, it } from "vitest";
import { KilledUnits } from "../../src/commands/killed-units.ts";

const kernel = (unit?: string) => ({ unit, killer: "kernel" as const });
const at = (time: string) => Date.parse(`2026-11-20T${time}Z`);

describe("the units that lost processes", () => {
  it("are those of the victim's cgroup, about the time of the kill", () => {
    const units = new KilledUnits();
    units.add("/system.slice/shop.service/worker", at("13:00:30"));
    expect(units.explain(kernel("shop.service"), at("13:00:40"))).toBe(true);
    expect(units.explain(kernel("system.slice"), at("13:01:10"))).toBe(true);
    expect(units.explain(kernel("shop.service"), at("12:59:40"))).toBe(true);
    expect(units.explain(kernel("shop.service"), at("13:05:00"))).toBe(false);
    expect(units.explain(kernel("workshop.service"), at("13:00:40"))).toBe(false);
    expect(units.explain(kernel("worker"), at("13:00:40"))).toBe(false);
  });

  it("are those of a cgroup that has gone", () => {
    const units = new KilledUnits();
    units.add("/system.slice/shop.service (deleted)", at("13:00:30"));
    expect(units.explain(kernel("shop.service"), at("13:00:40"))).toBe(true);
  });

  it("may be any where the victim's cgroup is not known", () => {
    const units = new KilledUnits();
    units.add(null, at("13:00:30"));
    expect(units.explain(kernel("shop.service"), at("13:00:40"))).toBe(true);
    expect(units.explain(kernel("shop.service"), at("14:00:40"))).toBe(false);
  });

  it("are found without a time or a unit as far as what is known goes", () => {
    const units = new KilledUnits();
    expect(units.explain(kernel(), undefined)).toBe(false);
    units.add("/system.slice/shop.service", undefined);
    expect(units.explain(kernel("shop.service"), at("13:00:40"))).toBe(true);
    expect(units.explain(kernel(), at("13:00:40"))).toBe(true);
    expect(units.explain(kernel("batch.service"), undefined)).toBe(false);
  });

  it("are found without a unit also if the victim was in none", () => {
    const units = new KilledUnits();
    units.add("/docker/0074", at("13:00:30"));
    expect(units.explain(kernel(), at("13:00:40"))).toBe(true);
    expect(units.explain(kernel("docker.service"), at("13:00:40"))).toBe(false);
  });

  it("may log their result until an hour after the kill, when they have stopped", () => {
    const units = new KilledUnits();
    units.add("/system.slice/shop.service", at("10:00:59"));
    const result = { unit: "shop.service" };
    expect(units.explain(result, at("10:02:05"))).toBe(true);
    expect(units.explain(result, at("11:00:05"))).toBe(true);
    expect(units.explain(result, at("11:01:05"))).toBe(false);
    expect(units.explain(result, at("09:58:05"))).toBe(false);
    expect(units.explain({ unit: "batch.service" }, at("10:02:05"))).toBe(false);
    expect(units.explain(kernel("shop.service"), at("10:02:05"))).toBe(false);
  });
});
