import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { printable } from "../../src/text/printable.ts";

describe("printable text", () => {
  it.each([
    ["mysqld", "mysqld"],
    ["größe", "größe"],
    ["\x1b[31mred", "\\x1b[31mred"],
    ["two\nlines\tand a tab", "two\\nlines\\tand a tab"],
    ["\u202egnp.exe", "\\u{202e}gnp.exe"],
    ["a\u2028b", "a\\u{2028}b"],
    ["\x7f", "\\x7f"],
  ])("of %j is %s", (text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  it("has no character that moves a cursor or turns the direction of writing", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(printable(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
      }),
    );
  });
});
