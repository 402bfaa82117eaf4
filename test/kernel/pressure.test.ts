import { describe, expect, it } from "vitest";
import { parsePressure } from "../../src/kernel/pressure.ts";

describe("a pressure file", () => {
  it("gives the totals in seconds", () => {
    const text =
      "some avg10=0.22 avg60=0.17 avg300=1.11 total=58761459\nfull avg10=0.23 avg60=0.00 avg300=1.05 total=500000\n";
    expect(parsePressure(text)).toEqual({ someSeconds: 58.761459, fullSeconds: 0.5 });
  });

  it("may have only a line for some", () => {
    expect(parsePressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")).toEqual({
      someSeconds: 0,
    });
  });

  it("tells nothing where it is empty", () => {
    expect(parsePressure("")).toEqual({});
  });
});
