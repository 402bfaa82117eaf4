import { describe, expect, it } from "vitest";
import { DecodedMail, isQuotedPrintable } from "../../src/kernel-log/quoted-printable.ts";

const mail = [
  ">=20",
  "> [   66.961150] test_maps invoked oom-killer: gfp_mask=3D0x100cca(GFP_HIGH=",
  "USER_MOVABLE), order=3D0, oom_score_adj=3D0",
  "> [   67.024726] Free swap  =3D 0kB",
  "",
].join("\n");

function decoded(pieces: readonly Uint8Array[]): { text: string; numbers: number[] } {
  const decoder = new DecodedMail();
  const bytes = Buffer.concat([...pieces.map((piece) => decoder.push(piece)), decoder.end()]);
  const text = bytes.toString("latin1");
  const numbers = text.split("\n").map((_, index) => decoder.lineNumber(index + 1));
  return { text, numbers: numbers.slice(0, -1) };
}

describe("a mail as it was transferred", () => {
  it("is decoded, and its lines keep their numbers", () => {
    expect(isQuotedPrintable(Buffer.from(mail))).toBe(true);
    const { text, numbers } = decoded([Buffer.from(mail)]);
    expect(text.split("\n")).toEqual([
      "> ",
      "> [   66.961150] test_maps invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=0",
      "> [   67.024726] Free swap  = 0kB",
      "",
    ]);
    expect(numbers).toEqual([1, 2, 4]);
  });

  it.each([
    ["a plain log", "[    1.000000] a invoked oom-killer: gfp_mask=0xcc0, order=0\n"],
    ["a line that ends with =", "export PATH=\n[    1.000000] x\n"],
    [
      "a log that a terminal broke behind =",
      "[    1.000000] greedy invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=\n0\n[    1.000001] Killed process 7 (a)\n",
    ],
  ])("is not seen in %s", (_name, text) => {
    expect(isQuotedPrintable(Buffer.from(text))).toBe(false);
  });

  it("is found by its soft breaks alone, in a quotation that was broken before", () => {
    const line =
      "> Jul 18 08:02:26 pi kernel: [70748.273405] Out of memory: Kill=\ned\n> process 13021 (a)";
    expect(isQuotedPrintable(Buffer.from(line))).toBe(true);
    expect(isQuotedPrintable(Buffer.from(line.replace("=\n", "")))).toBe(false);
  });

  it("comes out the same however the bytes are cut into pieces", () => {
    const whole = decoded([Buffer.from(mail)]).text;
    const bytes = Buffer.from(mail);
    for (let at = 1; at < bytes.length; at++) {
      const { text } = decoded([bytes.subarray(0, at), bytes.subarray(at)]);
      expect(text, `cut at ${at}`).toBe(whole);
    }
  });
});
