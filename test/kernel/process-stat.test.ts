import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseProcessStat } from "../../src/kernel/process-stat.ts";

const fields =
  "S 811 811 811 0 -1 4194624 1021 0 0 0 2 1 0 0 20 0 1 0 3412 11313152 1893 18446744073709551615 " +
  "94371840 94375936 140722511224608 0 0 0 0 4096 1260 0 0 0 17 1 0 0 0 0 0 94384128 94385152 " +
  "94412800 140722511229735 140722511229757 140722511229757 140722511233003 0";

describe("/proc/PID/stat", () => {
  it("has state, start time, resident pages and memory layout", () => {
    expect(parseProcessStat(`812 (nginx: worker) ${fields}\n`)).toEqual({
      state: "S",
      startTicks: 3412,
      residentPages: 1893,
      layout: "11313152 140722511224608 94412800 140722511229735",
    });
  });

  it.each(["a) S 1 2", "(x) (y", ") ) )", " ", "\n"])(
    "counts from the end of the name %j",
    (name) => {
      expect(parseProcessStat(`812 (${name}) ${fields}\n`)?.startTicks).toBe(3412);
    },
  );

  it("has no layout for a reader who may not see it", () => {
    const hidden = fields.replace("94371840 94375936 140722511224608", "1 1 0");
    expect(parseProcessStat(`812 (nginx) ${hidden}`)).toMatchObject({
      residentPages: 1893,
      layout: undefined,
    });
  });

  it.each(["", "812", "812 (nginx) S 811"])("is invalid if it is truncated: %j", (text) => {
    expect(parseProcessStat(text)).toBeUndefined();
  });

  it("matches the running kernel", () => {
    const stat = parseProcessStat(readFileSync("/proc/self/stat", "latin1"));
    expect(stat?.residentPages).toBeGreaterThan(100);
    expect(stat?.startTicks).toBeGreaterThan(0);
  });
});
