import { describe, expect, it } from "vitest";
import { parseKmsgRecord } from "../../src/kernel-log/kernel-message.ts";

describe("a record of /dev/kmsg", () => {
  it("has sequence, time and caller before its text, and properties behind it", () => {
    const record = "3,426,8640407,-,caller=T226;Out of memory: ...\n SUBSYSTEM=cpu\n";
    expect(parseKmsgRecord(record)).toMatchObject({
      text: "Out of memory: ...",
      origin: "kernel",
      sequence: 426,
      printkMicros: 8_640_407,
      callerId: "T226",
    });
  });

  it("is a user's if its facility is not 0, which only the kernel can use", () => {
    expect(parseKmsgRecord("12,387,8331455,-;x")?.origin).toBe("user");
  });

  it("is not any other text", () => {
    expect(parseKmsgRecord("Nov 20 13:23:50 web1 kernel: x")).toBeUndefined();
    expect(parseKmsgRecord("3,426;x")).toBeUndefined();
  });
});
