import { describe, expect, it } from "vitest";
import { parseZram } from "../../src/kernel/zram.ts";

describe("mm_stat of a zram device", () => {
  it("returns stored bytes and memory used", () => {
    const text =
      "1208745984 284831744 301993984        0 612413440       85        0       12        3\n";
    expect(parseZram(text)).toEqual({ storedBytes: 1_208_745_984, usedBytes: 301_993_984 });
  });

  it("returns nothing for another format", () => {
    expect(parseZram("")).toBeUndefined();
    expect(parseZram("12 34")).toBeUndefined();
  });
});
