import { describe, expect, it } from "vitest";
import { parseArcSize } from "../../src/kernel/arcstats.ts";

const text = `13 1 0x01 147 39984 7183251735 1260583172
name                            type data
hits                            4    1234
arc_meta_size                   4    77
size                            4    8438104704
compressed_size                 4    99
c_max                           4    16777216000
`;

describe("arcstats", () => {
  it("has the size of the whole cache, not that of a part", () => {
    expect(parseArcSize(text)).toBe(8_438_104_704);
  });

  it("has none if the line is missing", () => {
    expect(parseArcSize("")).toBeUndefined();
    expect(parseArcSize(text.replace(/^size .*\n/m, ""))).toBeUndefined();
  });
});
