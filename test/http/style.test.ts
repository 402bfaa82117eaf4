import { describe, expect, it } from "vitest";
import { palette, style } from "../../src/http/style.ts";

/** WCAG 2.2, contrast ratio of two `#rrggbb`. */
function contrast(one: string, other: string): number {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a) as [
    number,
    number,
  ];
  return (light + 0.05) / (dark + 0.05);
}

function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((start) => {
    const channel = Number.parseInt(colour.slice(start, start + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

describe.each(Object.entries(palette))("the %s colours", (_, theme) => {
  const grounds = ["bg", "card"] as const;

  it.each(["ink", "muted", "link", "calm", "warning", "alarm"] as const)(
    "%s can be read on every ground",
    (text) => {
      for (const ground of grounds) {
        expect(contrast(theme[text], theme[ground]), ground).toBeGreaterThanOrEqual(4.5);
      }
    },
  );

  it.each(["memory", "swap", "warning-fill", "alarm-fill", "plain-fill"] as const)(
    "%s is distinguishable from the background and from the rest of a bar",
    (fill) => {
      for (const ground of [...grounds, "track"] as const) {
        expect(contrast(theme[fill], theme[ground]), ground).toBeGreaterThanOrEqual(3);
      }
    },
  );
});

describe("the style sheet", () => {
  it("names no colour variable that no theme has", () => {
    const used = [...style.matchAll(/var\(--([\w-]+)\)/g)].map(([, name]) => name as string);
    for (const theme of Object.values(palette)) {
      expect([...new Set(used)].filter((name) => !(name in theme))).toEqual([]);
      expect(Object.keys(theme).filter((name) => !used.includes(name))).toEqual([]);
    }
  });

  it("has no animation", () => {
    expect(style).not.toMatch(/transition|animation|scroll-behavior/);
  });

  it("asks for nothing from elsewhere", () => {
    expect(style).not.toMatch(/url\(|@import|@font-face/);
  });
});
