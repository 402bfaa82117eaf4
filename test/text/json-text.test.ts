import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { jsonText } from "../../src/text/json-text.ts";

describe("jsonText", () => {
  it.each([
    ["an escape sequence", "\u001b[2J", '"\\u001b[2J"'],
    ["a C1 control", "\u009b31m", '"\\u009b31m"'],
    ["DEL", "\u007f", '"\\u007f"'],
    ["a right-to-left override", "a\u202eb", '"a\\u202eb"'],
    ["a line separator", "\u2028", '"\\u2028"'],
    ["a tag outside of the basic plane", "\u{e0041}", '"\\udb40\\udc41"'],
    ["letters of any language", "größe 日本 🐧", '"größe 日本 🐧"'],
  ])("escapes terminal control characters: %s", (_name, value, json) => {
    expect(jsonText(value)).toBe(json);
  });

  it("says the same as JSON.stringify, and nothing in it is unprintable", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "binary" }), (value) => {
        const text = jsonText(value);
        expect(JSON.stringify(JSON.parse(text))).toBe(JSON.stringify(value));
        expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
    );
  });
});
