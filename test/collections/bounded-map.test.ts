import { describe, expect, it } from "vitest";
import { BoundedMap, LeastRecentMap } from "../../src/collections/bounded-map.ts";

describe("a bounded map", () => {
  it("drops the entry that was set longest ago", () => {
    const map = new BoundedMap<string, number>(2);
    map.set("a", 1).set("b", 2).set("a", 3).set("c", 4);
    expect([...map]).toEqual([
      ["a", 3],
      ["c", 4],
    ]);
  });

  it("does not count a look as use", () => {
    const map = new BoundedMap<string, number>(2);
    map.set("a", 1).set("b", 2);
    expect(map.get("a")).toBe(1);
    map.set("c", 3);
    expect([...map.keys()]).toEqual(["b", "c"]);
  });
});

describe("a least recent map", () => {
  it("drops the least recently used entry", () => {
    const map = new LeastRecentMap<string, number>(2);
    map.set("a", 1).set("b", 2);
    expect(map.get("a")).toBe(1);
    expect(map.get("nobody")).toBeUndefined();
    map.set("c", 3);
    expect([...map.keys()]).toEqual(["a", "c"]);
  });
});
