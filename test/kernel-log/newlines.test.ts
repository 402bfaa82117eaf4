import { describe, expect, it } from "vitest";
import { newlinesByIndex, newlinesIn, vectorCounter } from "../../src/kernel-log/newlines.ts";

/** Of any length, a fixed pseudo-random choice of bytes, about one in eight of them a newline. */
function bytesOf(length: number): Buffer {
  let seed = length + 1;
  return Buffer.from(
    Array.from({ length }, () => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 16) % 8 === 0 ? 0x0a : (seed >>> 16) & 0xff;
    }),
  );
}

const lengths = [0, 1, 15, 16, 17, 4095, 4096, 4097, 65_535, 65_536, 65_537, 131_073, 200_000];
const countOf = (bytes: Buffer) => bytes.reduce((sum, byte) => sum + (byte === 0x0a ? 1 : 0), 0);

describe("newlines", () => {
  it.each(lengths)("in %i bytes", (length) => {
    const bytes = bytesOf(length);
    expect(newlinesIn(bytes)).toBe(countOf(bytes));
    expect(newlinesByIndex(bytes)).toBe(countOf(bytes));
    expect(vectorCounter()?.(bytes)).toBe(countOf(bytes));
  });

  it("of a part only", () => {
    const bytes = bytesOf(20_000);
    expect(newlinesIn(bytes, 3, 19_990)).toBe(countOf(bytes.subarray(3, 19_990)));
  });

  it("of a short text are not mixed up with those of a longer one before it", () => {
    newlinesIn(Buffer.alloc(65_536, "\n"));
    expect(newlinesIn(Buffer.alloc(5001, "x"))).toBe(0);
  });
});
