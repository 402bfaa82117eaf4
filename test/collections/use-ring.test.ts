import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UseRing } from "../../src/collections/use-ring.ts";

const ring = (more: Partial<ConstructorParameters<typeof UseRing>[0]> = {}) =>
  new UseRing({ slots: 4, apartMs: 10, namesAtMost: 3, ...more });

describe("a ring of looks", () => {
  it("gives what each look saw of a name, oldest first", () => {
    const uses = ring();
    uses.note(0, [["a", 1]]);
    uses.note(10, [
      ["a", 2],
      ["b", 7],
    ]);
    uses.note(20, [["b", 8]]);
    expect(uses.uses("a")).toEqual([
      { atMs: 0, bytes: 1 },
      { atMs: 10, bytes: 2 },
    ]);
    expect(uses.uses("b").map(({ bytes }) => bytes)).toEqual([7, 8]);
    expect(uses.uses("c")).toEqual([]);
    expect([uses.firstMs, uses.lastMs]).toEqual([0, 20]);
  });

  it("ignores a look that follows too soon", () => {
    const uses = ring();
    uses.note(0, [["a", 1]]);
    uses.note(9, [["a", 2]]);
    expect(uses.uses("a")).toEqual([{ atMs: 0, bytes: 1 }]);
    expect([uses.isDue(9), uses.isDue(10)]).toEqual([false, true]);
  });

  it("is due, and reaches nowhere, before the first look", () => {
    expect([ring().isDue(-5), ring().firstMs, ring().lastMs]).toEqual([
      true,
      undefined,
      Number.NEGATIVE_INFINITY,
    ]);
  });

  it("leaves out names beyond its maximum, the first ones preferred", () => {
    const uses = ring();
    uses.note(
      0,
      ["a", "b", "c", "d"].map((name) => [name, 1]),
    );
    expect([...uses.names]).toEqual(["a", "b", "c"]);
    uses.note(
      10,
      ["d", "a", "c", "b"].map((name) => [name, 2]),
    );
    expect(["a", "b", "c", "d"].map((name) => uses.uses(name).length)).toEqual([2, 0, 2, 1]);
  });

  it("replaces the name not seen for the longest time by a new one", () => {
    const uses = ring();
    uses.note(0, [["a", 1]]);
    uses.note(10, [["b", 2]]);
    uses.note(20, [["c", 3]]);
    uses.note(30, [["d", 4]]);
    expect([...uses.names]).toEqual(["b", "c", "d"]);
    expect(uses.uses("d")).toEqual([{ atMs: 30, bytes: 4 }]);
  });

  it("forgets a name that no look in it has seen, or at once if asked to", () => {
    const uses = ring();
    uses.note(0, [
      ["a", 1],
      ["b", 1],
    ]);
    for (let at = 10; at <= 30; at += 10) uses.note(at, [["a", at]]);
    expect([...uses.names]).toEqual(["b", "a"]);
    uses.note(40, [["a", 40]]);
    expect([...uses.names]).toEqual(["a"]);
    uses.note(50, [["c", 50]], { forgetsUnseen: true });
    expect([...uses.names]).toEqual(["c"]);
  });

  it("is off by less than 1 in 16 million for more", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2 ** 36, max: 2 ** 52 }), (bytes) => {
        const uses = ring();
        uses.note(0, [["a", bytes]]);
        const { bytes: kept } = uses.uses("a")[0] as { bytes: number };
        expect(Math.abs(kept - bytes) / bytes).toBeLessThan(1 / 16e6);
      }),
    );
  });

  it("is, for multiples of a page up to 64 GiB, the last looks as a list would hold them", () => {
    const name = fc.constantFrom("a", "b", "c", "d", "e");
    const bytes = fc.nat(2 ** 24).map((pages) => pages * 4096);
    const look = fc.uniqueArray(fc.tuple(name, bytes), { selector: ([of]) => of });
    fc.assert(
      fc.property(fc.array(look, { maxLength: 20 }), (looks) => {
        const uses = ring({ namesAtMost: 5 });
        for (const [index, seen] of looks.entries()) uses.note(index * 10, seen);
        const kept = looks.map((seen, index) => ({ seen, atMs: index * 10 })).slice(-4);
        for (const of of ["a", "b", "c", "d", "e"]) {
          const expected = kept.flatMap(({ seen, atMs }) =>
            seen.filter(([other]) => other === of).map(([, bytes]) => ({ atMs, bytes })),
          );
          expect(uses.uses(of)).toEqual(expected);
          expect(uses.last(of)).toBe(expected.at(-1)?.bytes);
        }
      }),
    );
  });
});
