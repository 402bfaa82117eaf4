import { describe, expect, it } from "vitest";
import { mayHoldNotice, parseUnitNotice } from "../../src/kernel-log/unit-notice.ts";

const latin1 = (text: string) => Buffer.from(text).toString("latin1");

describe("what systemd says of a unit after an out-of-memory kill", () => {
  it.each([
    [
      "systemd-oomd, with the number of processes",
      "web1 systemd[1]: shop.service: systemd-oomd killed 79 process(es) in this unit.",
      { unit: "shop.service", killer: "systemd-oomd", processes: 79 },
    ],
    [
      "systemd-oomd, without a number",
      "web1 systemd[1398]: app-shop-7806.scope: systemd-oomd killed some process(es) in this unit.",
      { unit: "app-shop-7806.scope", killer: "systemd-oomd" },
    ],
    [
      "the kernel",
      "systemd[1]: shop.service: A process of this unit has been killed by the OOM killer.",
      { unit: "shop.service", killer: "kernel" },
    ],
    [
      "the kernel, in a syslog without the manager's pid",
      "web1 systemd: shop.service: A process of this unit has been killed by the OOM killer.",
      { unit: "shop.service", killer: "kernel" },
    ],
    [
      "the kernel, in the words of newer versions",
      "shop.service: The kernel OOM killer killed some processes in this unit.",
      { unit: "shop.service", killer: "kernel" },
    ],
    [
      "nobody, only the result",
      "web1 systemd[1]: run-p58-i57.scope: Failed with result 'oom-kill'.",
      { unit: "run-p58-i57.scope" },
    ],
    [
      "journalctl's mark before a unit",
      "web1 systemd[1]: [🡕] shop.service: systemd-oomd killed 2 process(es) in this unit.",
      { unit: "shop.service", killer: "systemd-oomd", processes: 2 },
    ],
    [
      "a unit with colons in its name",
      "systemd[1]: dbus-:1.2-org.example@0.service: Failed with result 'oom-kill'.",
      { unit: "dbus-:1.2-org.example@0.service" },
    ],
    [
      "a quoted line of Markdown without its unit",
      "> `systemd-oomd killed 468 process(es) in this unit.",
      { killer: "systemd-oomd", processes: 468 },
    ],
    [
      "a unit with letters outside of ASCII",
      "systemd[1]: café.service: A process of this unit has been killed by the OOM killer.",
      { unit: "café.service", killer: "kernel" },
    ],
  ])("is read from %s", (_name, text, notice) => {
    expect(parseUnitNotice(latin1(text))).toEqual(notice);
    expect(mayHoldNotice(latin1(text))).toBe(true);
  });

  it.each([
    ["another result", "systemd[1]: shop.service: Failed with result 'exit-code'."],
    ["a result that names no unit", "Failed with result 'oom-kill'."],
    [
      "an assertion of a test",
      `assert evidence == "systemd-oomd killed 12 process(es) in this unit."`,
    ],
    ["a sentence", "Then systemd-oomd killed 12 process(es) in this unit."],
    [
      "the daemon's own line",
      "systemd-oomd[588]: Killed /system.slice/shop.service due to memory used",
    ],
  ])("is not %s", (_name, text) => {
    expect(parseUnitNotice(text)).toBeUndefined();
  });

  it("may be in a line that grep coloured, and is in none that only has a word of it", () => {
    const coloured =
      "systemd[1]: shop.service: Failed with \x1b[01;31m\x1b[Kresult\x1b[m\x1b[K 'oom-kill'.";
    expect(mayHoldNotice(coloured)).toBe(true);
    expect(mayHoldNotice("app[7]: the OOM killer was here, with 'oom-kill'.")).toBe(false);
  });
});
