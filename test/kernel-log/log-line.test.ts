import { describe, expect, it } from "vitest";
import { type KernelMessage, parseKmsgRecord } from "../../src/kernel-log/kernel-message.ts";
import { decodeUtf8 } from "../../src/kernel-log/kernel-text.ts";
import { type LogClock, parsePosixZone, utcZone } from "../../src/kernel-log/local-time.ts";
import { KernelMessageReader } from "../../src/kernel-log/log-line.ts";

const kill = "Out of memory: Killed process 42 (java) total-vm:8kB, anon-rss:4kB, file-rss:0kB";
const clock: LogClock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };

function read(line: string, by: LogClock = clock): KernelMessage | undefined {
  return new KernelMessageReader(by).read(line);
}

const stamp = 12_345_678_901;
const [november, october] = [
  Date.parse("2026-11-20T13:23:50Z"),
  Date.parse("2026-10-02T14:14:07Z"),
];

describe("the envelope of a kernel message", () => {
  it.each<[string, string, Partial<KernelMessage>]>([
    [
      "traditional syslog",
      `Nov 20 13:23:50 web1 kernel: [12345.678901] ${kill}`,
      { printkMicros: stamp, timeMs: november },
    ],
    [
      "a blank-padded day",
      `Nov  2 13:23:50 web1 kernel: [12345.678901] ${kill}`,
      { timeMs: Date.parse("2026-11-02T13:23:50Z") },
    ],
    [
      "RFC 3339",
      `2026-11-20T13:23:50.663053+00:00 web1 kernel: [12345.678901] ${kill}`,
      { printkMicros: stamp, timeMs: november + 663 },
    ],
    [
      "RFC 3339 without printk stamp",
      `2026-11-20T14:23:50+01:00 web1 kernel: ${kill}`,
      { timeMs: november },
    ],
    [
      "RFC 5424",
      `<3>1 2026-11-20T13:23:50.663053+00:00 web1 kernel - - - [12345.678901] ${kill}`,
      { printkMicros: stamp, timeMs: november + 663, origin: "kernel" },
    ],
    [
      "a host with a domain",
      `Nov 20 13:23:50 web1.lan kernel: [12345.678901] ${kill}`,
      { origin: "unverified", printkMicros: stamp },
    ],
    ["RHEL messages", `Nov 20 13:23:50 web1 kernel: ${kill}`, { timeMs: november }],
    [
      "syslog without a host",
      `Nov 20 13:23:50 kernel: [12345.678901] ${kill}`,
      { printkMicros: stamp },
    ],
    [
      "busybox syslogd",
      `Nov 20 13:23:50 router kern.err kernel: [12345.678901] ${kill}`,
      { origin: "kernel" },
    ],
    [
      "OpenWrt logread",
      `Fri Nov 20 13:23:50 2026 kern.err kernel: [12345.678901] ${kill}`,
      { origin: "kernel", timeMs: november },
    ],
    ["dmesg", `[12345.678901] ${kill}`, { printkMicros: stamp }],
    ["dmesg of an old boot", `[    0.000000] ${kill}`, { printkMicros: 0 }],
    ["dmesg -T", `[Fri Nov 20 13:23:50 2026] ${kill}`, { timeMs: november }],
    ["dmesg -T in German", `[Fr Okt  2 14:14:07 2026] ${kill}`, { timeMs: october }],
    ["dmesg -T in Chinese", `[五 10月  2 14:14:07 2026] ${kill}`, { timeMs: october }],
    [
      "dmesg -x",
      `kern  :err   : [12345.678901] ${kill}`,
      { origin: "kernel", printkMicros: stamp },
    ],
    ["dmesg -x -T", `kern  :err   : [Fri Nov 20 13:23:50 2026] ${kill}`, { timeMs: november }],
    [
      "dmesg --time-format iso",
      `2026-11-20T13:23:50,626944+00:00 ${kill}`,
      { timeMs: november + 626 },
    ],
    [
      "dmesg -x --time-format iso",
      `kern  :err   : 2026-11-20T13:23:50,626944+00:00 ${kill}`,
      { timeMs: november + 626 },
    ],
    [
      "dmesg -r and /proc/kmsg",
      `<3>[12345.678901] ${kill}`,
      { origin: "kernel", printkMicros: stamp },
    ],
    ["dmesg -r without time", `<3>${kill}`, { origin: "kernel" }],
    ["dmesg -d", `[12345.678901 <    0.000002>] ${kill}`, { printkMicros: stamp }],
    ["dmesg -T -d", `[Fri Nov 20 13:23:50 2026 <    0.000002>] ${kill}`, { timeMs: november }],
    ["dmesg -H", `[  +0.002367] ${kill}`, {}],
    [
      "dmesg -H, first of a minute",
      `[Nov20 13:23] ${kill}`,
      { timeMs: Date.parse("2026-11-20T13:23:00Z") },
    ],
    ["crash's log -T", `[Fri Nov 20 13:23:50 UTC 2026] ${kill}`, { timeMs: november }],
    [
      "a printk caller",
      `[  828.865161][ T5241] ${kill}`,
      { printkMicros: 828_865_161, callerId: "T5241" },
    ],
    ["a printk caller in dmesg", `[71073.562109] [T13546] ${kill}`, { callerId: "T13546" }],
    ["a processor as caller", `[    0.000000][    C0] ${kill}`, { callerId: "C0" }],
    [
      "/dev/kmsg",
      `3,426,8640407,-,caller=T226;${kill}`,
      { origin: "kernel", sequence: 426, printkMicros: 8_640_407, callerId: "T226" },
    ],
    ["journalctl short in Russian", `ноя 20 13:23:50 web1 kernel: ${kill}`, { timeMs: november }],
    [
      "journalctl short-precise",
      `Nov 20 13:23:50.659379 web1 kernel: ${kill}`,
      { timeMs: november + 659 },
    ],
    ["journalctl short-iso", `2026-11-20T13:23:50+0000 web1 kernel: ${kill}`, { timeMs: november }],
    [
      "journalctl short-full",
      `Fri 2026-11-20 13:23:50 UTC web1 kernel: ${kill}`,
      { timeMs: november },
    ],
    [
      "journalctl short-full of another zone",
      `Fri 2026-11-20 14:23:50 CET web1 kernel: ${kill}`,
      { timeMs: november },
    ],
    [
      "journalctl short-delta",
      `[12345.678901 <    0.000002 >] web1 kernel: ${kill}`,
      { printkMicros: stamp },
    ],
    [
      "logcat of the kernel's buffer",
      `11-20 13:23:50.671     0     0 E ${kill}`,
      { origin: "kernel", timeMs: november + 671 },
    ],
    ["journalctl short-unix", `1795181030.659379 web1 kernel: ${kill}`, { timeMs: november + 659 }],
    ["journalctl short-monotonic", `[12345.678901] web1 kernel: ${kill}`, { printkMicros: stamp }],
    ["journalctl cat", kill, {}],
    [
      "Talos",
      `172.25.100.11: kern:     err: [2026-11-20T13:23:50.637727155Z]: ${kill}`,
      { origin: "kernel", timeMs: november + 637 },
    ],
    [
      "Talos, of one node",
      `kern:     err: [2026-11-20T13:23:50.637727155Z]: ${kill}`,
      { origin: "kernel", timeMs: november + 637 },
    ],
    [
      "a level before the tag",
      `2026-11-20T13:23:50.663+00:00 db-1     !    ERR | kernel: ${kill}`,
      { timeMs: november + 663 },
    ],
    [
      "Windows line ends",
      `Nov 20 13:23:50 web1 kernel: [12345.678901] ${kill}\r`,
      { printkMicros: stamp },
    ],
    ["NULs left by a crash", `\0\0\0\0Nov 20 13:23:50 web1 kernel: ${kill}`, { timeMs: november }],
    [
      "a shipper's JSON",
      JSON.stringify({ log: `Nov 20 13:23:50 web1 kernel: ${kill}\n` }),
      { timeMs: november },
    ],
    [
      "a shipper's JSON with a stamp of its own",
      JSON.stringify({ message: kill, "@timestamp": "2026-11-20T13:23:50.671Z" }),
      { timeMs: november + 671 },
    ],
    [
      "the journal in Google's logging",
      JSON.stringify({
        jsonPayload: { MESSAGE: kill, _TRANSPORT: "kernel", PRIORITY: "3" },
        timestamp: "2026-11-20T13:23:50.671Z",
      }),
      { origin: "kernel", timeMs: november + 671 },
    ],
  ])("%s", (_name, line, fields) => {
    const bytes = Buffer.from(line).toString("latin1");
    expect(read(bytes)).toMatchObject({ text: kill, ...fields });
  });

  it("of dmesg -H has the minute that was printed last", () => {
    const reader = new KernelMessageReader(clock);
    reader.read("[Nov20 13:23] usb 1-1: new device");
    expect(reader.read(`[  +0.000003] ${kill}`)).toMatchObject({
      text: kill,
      timeMs: Date.parse("2026-11-20T13:23:00Z"),
    });
  });

  it("reads journald's fields, and text that is not UTF-8", () => {
    const entry = {
      MESSAGE: [...Buffer.from("a\xff", "latin1")],
      _TRANSPORT: "kernel",
      SYSLOG_FACILITY: "0",
      PRIORITY: "3",
      _SOURCE_MONOTONIC_TIMESTAMP: "8626944",
      __REALTIME_TIMESTAMP: "1795181030659379",
      _BOOT_ID: "0a33fd95056e4f23b0aa878af2266e64",
    };
    expect(read(JSON.stringify(entry))).toEqual({
      text: "a\xff",
      origin: "kernel",
      printkMicros: 8_626_944,
      timeMs: november + 659,
      bootId: "0a33fd95056e4f23b0aa878af2266e64",
    });
    expect(read(JSON.stringify({ ...entry, MESSAGE: ["one", "two"] }))?.text).toBe("one");
    expect(read(JSON.stringify({ ...entry, MESSAGE: null }))?.origin).not.toBe("kernel");
  });
});

describe("a time beyond the range of dates", () => {
  it("is none", () => {
    const entry = { MESSAGE: "a", __REALTIME_TIMESTAMP: "9".repeat(20) };
    expect(read(JSON.stringify(entry))?.timeMs).toBeUndefined();
  });
});

describe("who wrote a message", () => {
  it.each([
    ["a tag with a pid", `Nov 20 13:23:50 web1 kernel[123]: ${kill}`],
    ["another tag", `Nov 20 13:23:50 web1 logger: ${kill}`],
    ["what journald could not attribute", `Nov 20 13:23:50 web1 unknown: ${kill}`],
    ["another tag that quotes the kernel's", `Nov 20 13:23:50 sshd: kernel: ${kill}`],
    ["another RFC 5424 app", `<3>1 2026-11-20T13:23:50Z web1 app - - - ${kill}`],
    ["an RFC 5424 process id", `<3>1 2026-11-20T13:23:50Z web1 kernel 77 - - ${kill}`],
    ["kmsg's facility", `12,387,8331455,-;${kill}`],
    ["dmesg -r's facility", `<11>[    8.332321] ${kill}`],
    ["dmesg -x's facility", `user  :err   : [    8.332321] ${kill}`],
    ["busybox' facility", `Nov 20 13:23:50 web1 user.err kernel: ${kill}`],
    [
      "journald's transport",
      JSON.stringify({ MESSAGE: kill, _TRANSPORT: "syslog", SYSLOG_IDENTIFIER: "kernel" }),
    ],
    [
      "journald's facility",
      JSON.stringify({ MESSAGE: kill, _TRANSPORT: "kernel", SYSLOG_FACILITY: "1" }),
    ],
    [
      "a shipper's JSON",
      JSON.stringify({ ident: "app", message: `Nov 20 13:23:50 web1 kernel: ${kill}` }),
    ],
    ["a Python program's stamp", `2026-11-20 13:23:50,626 ${kill}`],
    ["sizes that no process has", `[    8.331455] ${kill.replace("total-vm:8kB", "total-vm:1kB")}`],
  ])("%s reveals user space", (_name, line) => {
    expect(read(line)?.origin).toBe("user");
  });

  it("stays unknown if nothing in the envelope shows it", () => {
    expect(read(`Nov 20 13:23:50 web1 kernel: ${kill}`)?.origin).toBe("unverified");
    expect(read(`[    8.331455] ${kill}`)?.origin).toBe("unverified");
  });

  it("has no message in a container's output", () => {
    const line = JSON.stringify({ log: kill, stream: "stdout" });
    expect(read(line)?.text).toBe(line);
  });
});

describe("escapes", () => {
  it("are undone as each writer makes them", () => {
    expect(parseKmsgRecord("3,1,2,-;(a\\x0ab\\x5c\\xc3\\xa9)\n SUBSYSTEM=x\n")?.text).toBe(
      "(a\nb\\\xc3\xa9)",
    );
    expect(read("Nov 20 13:23:50 h kernel: (a#012b#033#011)")?.text).toBe("(a\nb\x1b\t)");
    expect(read("Nov 20 13:23:50 h kernel: (caf#303#251)")?.text).toBe("(caf\xc3\xa9)");
    expect(read("Nov 20 13:23:50 h kernel: (GC Thread#9) (pool#200)")?.text).toBe(
      "(GC Thread#9) (pool#200)",
    );
    expect(read("[    1.000000] (\\xff\\x1b back\\slash \\x41)")?.text).toBe(
      "(\xff\x1b back\\slash \\x41)",
    );
  });

  it("decode to what people read, invalid bytes to U+FFFD", () => {
    expect(decodeUtf8("caf\xc3\xa9")).toBe("café");
    expect(decodeUtf8("\xff\xfe")).toBe("��");
  });
});

describe("an empty message", () => {
  it("does not change how the lines after it are read", () => {
    const reader = new KernelMessageReader(clock);
    reader.read("Nov 20 13:23:50 web1 kernel:");
    expect(reader.read(`Nov 20 13:23:50 web1 kernel: ${kill}`)?.text).toBe(kill);
  });
});

describe("lines that continue a record", () => {
  it("lose only the indentation that dmesg and journalctl add", () => {
    const reader = new KernelMessageReader(clock);
    reader.read("[    8.634950] anon 50176000");
    expect(reader.read("                file 0")).toMatchObject({
      text: " file 0",
      continues: true,
      printkMicros: 8_634_950,
    });
  });

  it("are never separate messages, whatever they say", () => {
    const reader = new KernelMessageReader(clock);
    reader.read("Nov 20 13:23:50 web1 app: first line");
    expect(reader.read(kill)).toMatchObject({ continues: true, origin: "user" });
  });

  it("are properties after a record of /dev/kmsg", () => {
    const reader = new KernelMessageReader(clock);
    reader.read("6,1,2,-;usb 1-1: new device");
    expect(reader.read(" SUBSYSTEM=usb")).toBeUndefined();
  });
});

describe("a stamp without a year or a zone", () => {
  it("is of the latest year in which it is not of the future", () => {
    expect(read("Nov 21 13:00:00 h kernel: x")?.timeMs).toBe(Date.parse("2026-11-21T13:00:00Z"));
    expect(read("Nov 23 13:00:00 h kernel: x")?.timeMs).toBe(Date.parse("2025-11-23T13:00:00Z"));
    expect(read("Feb 29 13:00:00 h kernel: x")?.timeMs).toBe(Date.parse("2024-02-29T13:00:00Z"));
  });

  it("is of the zone of the machine, summer time included", () => {
    const zone = parsePosixZone("CET-1CEST,M3.5.0,M10.5.0/3") ?? utcZone;
    const berlin = { ...clock, zone };
    expect(read("Nov 20 13:00:00 h kernel: x", berlin)?.timeMs).toBe(
      Date.parse("2026-11-20T12:00:00Z"),
    );
    expect(read("Jul 20 13:00:00 h kernel: x", berlin)?.timeMs).toBe(
      Date.parse("2026-07-20T11:00:00Z"),
    );
    expect(read("[Mon Jul 20 13:00:00 2026] x", berlin)?.timeMs).toBe(
      Date.parse("2026-07-20T11:00:00Z"),
    );
  });
});

describe("stamps and tags of other tools", () => {
  const stated = "Out of memory: Killed process 226 (greedy) total-vm:50304kB, anon-rss:48516kB";

  it.each([
    `[    8.640407,2] ${stated}`,
    `[    8.640407@2] ${stated}`,
    `[2026-11-20T13:23:50.123Z] [web1] [kernel] ${stated}`,
    `[kern.err] [2026-11-20 13:23:50] ${stated}`,
    `Nov 20 13:23:50 web1 kern.err kernel[0]: [    8.640407] ${stated}`,
    `2026-11-20T13:23:50.671745+00:00 web1 kernel[-]: ${stated}`,
    `[Kernel dmesg] [    8.640407] ${stated}`,
    `[Fri Nov 20 13:23:50] ${stated}`,
  ])("are taken off a copied line: %s", (line) => {
    const reader = new KernelMessageReader(
      { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone },
      { copied: true },
    );
    expect(reader.read(line)?.text).toBe(stated);
  });

  it("are not believed in a log that is followed", () => {
    const reader = new KernelMessageReader({ nowMs: () => 0, zone: utcZone });
    expect(reader.read(`Nov 20 13:23:50 web1 kernel[7]: ${stated}`)?.origin).toBe("user");
  });
});
