import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { columns, wrap } from "../../src/text/wrapping.ts";

describe("wrapped text", () => {
  it("breaks between words", () => {
    expect(wrap("the kernel would kill java", 12)).toEqual(["the kernel", "would kill", "java"]);
  });

  it("indents all lines except the first for a hanging indent", () => {
    expect(wrap("one two three four", 9, 2)).toEqual(["one two", "  three", "  four"]);
  });

  it("breaks a word that is longer than a line, as a cgroup path may be", () => {
    expect(wrap("at /system.slice/a.service", 10)).toEqual([
      "at",
      "/system.sl",
      "ice/a.serv",
      "ice",
    ]);
  });

  it("counts no column for colours, and tears none of them", () => {
    const red = "\x1b[1;31mjava\x1b[0m";
    expect(columns(red)).toBe(4);
    expect(wrap(`kill ${red} now`, 9)).toEqual([`kill ${red}`, "now"]);
  });

  it("has no line that is too long, and loses nothing", () => {
    const words = fc.array(fc.stringMatching(/^[a-z/.]{1,40}$/), { maxLength: 20 });
    fc.assert(
      fc.property(words, fc.integer({ min: 1, max: 30 }), (list, limit) => {
        const lines = wrap(list.join(" "), limit);
        expect(lines.filter((line) => line.length > limit)).toEqual([]);
        expect(lines.join("").replaceAll(" ", "")).toBe(list.join(""));
      }),
    );
  });
});
