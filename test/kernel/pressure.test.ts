import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePressure } from "../../src/kernel/pressure.ts";

describe("a pressure file", () => {
  it("returns the totals in seconds", () => {
    const text =
      "some avg10=0.22 avg60=0.17 avg300=1.11 total=58761459\nfull avg10=0.23 avg60=0.00 avg300=1.05 total=500000\n";
    expect(parsePressure(Buffer.from(text))).toEqual({ someSeconds: 58.761459, fullSeconds: 0.5 });
  });

  it("may have only a line for some", () => {
    expect(parsePressure(Buffer.from("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"))).toEqual({
      someSeconds: 0,
    });
  });

  it("returns nothing if it is empty", () => {
    expect(parsePressure(Buffer.from(""))).toEqual({});
  });

  it("reads only the given number of bytes, because an older file may follow in the buffer", () => {
    const text = Buffer.from(
      "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0 total=7\n",
    );
    expect(parsePressure(text, text.indexOf("full"))).toEqual({ someSeconds: 0.000005 });
  });

  it("never throws, whatever bytes it is given", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (noise, length) => {
        for (const value of Object.values(parsePressure(noise, Math.min(length, noise.length)))) {
          expect(value).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });
});
