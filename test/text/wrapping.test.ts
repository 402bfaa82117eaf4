import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { columns, shortened, wrap } from "../../src/text/wrapping.ts";

describe("wrapped text", () => {
  it("breaks between words", () => {
    expect(wrap("the kernel would kill java", 12)).toEqual(["the kernel", "would kill", "java"]);
  });

  it("indents all lines except the first for a hanging indent", () => {
    expect(wrap("one two three four", 9, 2)).toEqual(["one two", "  three", "  four"]);
  });

  it("shortens a word that is longer than a line in its middle, a path between its names", () => {
    const path = "/kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice/cri-1.scope";
    expect(wrap(`in ${path}`, 50)).toEqual([
      "in",
      "/kubepods.slice/…/kubepods-pod1.slice/cri-1.scope",
    ]);
    expect(shortened(path, 35)).toBe("/kubepods.slice/…/cri-1.scope");
    expect(shortened(path, 20)).toBe("…/cri-1.scope");
    expect(shortened(path, 8)).toBe("/k…scope");
    expect(shortened("a-name-that-has-no-slash", 10)).toBe("a-n…-slash");
  });

  it("leaves the address of a page whole, so that it can be opened", () => {
    const address = "https://web-03.example.org:10137/runbooks/OomKill";
    expect(wrap(`See ${address} now.`, 20)).toEqual(["See", address, "now."]);
  });

  it("counts no column for colours, and tears none of them", () => {
    const red = "\x1b[1;31mjava\x1b[0m";
    expect(columns(red)).toBe(4);
    expect(wrap(`kill ${red} now`, 9)).toEqual([`kill ${red}`, "now"]);
  });

  it("has no line that is too long, and loses only the middle of long words", () => {
    const words = fc.array(fc.stringMatching(/^[a-z/.]{1,40}$/), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(words, fc.integer({ min: 1, max: 30 }), (list, limit) => {
        const lines = wrap(list.join(" "), limit);
        expect(lines.filter((line) => line.length > limit)).toEqual([]);
        const words = lines.join(" ").split(" ");
        expect(words).toEqual(list.map((word) => shortened(word, limit)));
      }),
    );
  });
});
