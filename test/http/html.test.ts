import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { escapeHtml, html } from "../../src/http/html.ts";

describe("html", () => {
  it("escapes every value and keeps HTML", () => {
    const item = html`<li>${"<b>"}</li>`;
    expect(
      html`<ul title="${`"'&`}">${[item, item]}${undefined}${false}${null}${0}</ul>`.text,
    ).toBe('<ul title="&quot;&#39;&amp;"><li>&lt;b&gt;</li><li>&lt;b&gt;</li>0</ul>');
  });

  it("lets no text out of its place", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(escapeHtml(text)).not.toMatch(/[<>"']|&(?!(amp|lt|gt|quot|#39);)/);
      }),
    );
  });

  it("makes invisible characters visible", () => {
    expect(escapeHtml("a\u001b[31m\nb\u0000\u202ec\u2028\ud800\u{e0001}")).toBe(
      String.raw`a\x1b[31m\x0ab\x00\u202ec\u2028\ud800\ue0001`,
    );
  });
});
