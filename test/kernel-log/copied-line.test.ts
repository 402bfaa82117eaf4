import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type LogClock, utcZone } from "../../src/kernel-log/local-time.ts";
import { KernelMessageReader } from "../../src/kernel-log/log-line.ts";

const kill = "Out of memory: Killed process 42 (java) total-vm:8kB, anon-rss:4kB, file-rss:0kB";
const clock: LogClock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };
const november = Date.parse("2026-11-20T13:23:50Z");

/** The lines as a reader of a copy has them; without `copied`, of a log that is followed. */
function read(lines: readonly string[], copied = true) {
  const reader = new KernelMessageReader(clock, { copied });
  return lines.map((line) => {
    const message = reader.read(line);
    return message && { ...message, isInText: undefined };
  });
}

const envelopes: [name: string, line: string][] = [
  ["dmesg", `[12345.678901] ${kill}`],
  ["dmesg -T", `[Fri Nov 20 13:23:50 2026] ${kill}`],
  ["dmesg -H", `[  +0.000004] ${kill}`],
  ["dmesg -r", `<3>[12345.678901] ${kill}`],
  ["kern.log", `Nov 20 13:23:50 web1 kernel: [12345.678901] ${kill}`],
  ["messages", `Nov 20 13:23:50 web1 kernel: ${kill}`],
  ["journalctl -o short-iso", `2026-11-20T13:23:50+0000 web1 kernel: ${kill}`],
  ["a tag alone", `kernel: ${kill}`],
  ["OpenWrt", `Fri Nov 20 13:23:50 2026 kern.err kernel: [12345.678901] ${kill}`],
];

const marks: [name: string, mark: string][] = [
  ["indentation", "    "],
  ["a tab", "\t"],
  ["a mail's quote mark", "> "],
  ["a list's mark", "* "],
  ["a comment's mark", "# "],
  ["grep's file name", "/var/log/kern.log.1:"],
  ["grep's file name and line", "kern.log:123:"],
  ["grep -A's line", "124-"],
  ["cat -n's line", "   123\t"],
  ["a numbered list", "  12. "],
  ["another numbered list", "7) "],
  ["a host", "10.1.2.3: "],
  ["a compose service", "node1  | "],
  ["a test's machine", "machine # "],
  ["a name in brackets", "[pod/npd-x7k2p/npd] "],
  ["a byte order mark", "\xef\xbb\xbf"],
  ["a quoted line of grep", "> /var/log/messages:"],
  ["a template of rsyslog", "err|kernel[-]|"],
  ["a console that was too slow", "** 23 printk messages dropped ** "],
  ["awslogs", "/var/log/messages i-0123456789abcdef0 "],
  ["Splunk's column of times", "11/20/26 1:23:50.000 PM "],
  ["Buildkite's time", "\x1b_bk;t=1795181030000\x07"],
];

it.each([
  ["F5's level", `Nov 20 13:23:50 web1 err kernel: ${kill}`],
  ["an old name of the kernel", `Nov 20 13:23:50 web1 vmunix: ${kill}`],
])("a copy's tag with %s is the kernel's", (_name, line) => {
  expect(read([line])).toEqual(read([`Nov 20 13:23:50 web1 kernel: ${kill}`]));
  expect(read([line], false)).toMatchObject([{ origin: "user" }]);
});

it.each([
  ["blanks before it", `Nov 20 13:23:50 web1 kernel:   [12345.678901] ${kill}`],
  ["a tab behind it", `Nov 20 13:23:50 web1 kernel: [12345.678901]\t${kill}`],
  ["the date in it", `Nov 20 13:23:50 web1 kernel: [12345.678901 / 11-20 13:23:50.671] ${kill}`],
])("a copy's printk stamp with %s is read", (_name, line) => {
  expect(read([line])).toEqual(read([`Nov 20 13:23:50 web1 kernel: [12345.678901] ${kill}`]));
});

it.each([
  ["JSON", [`  "[12345.678901] ${kill}",`]],
  ["JSON, at its end", [`"[12345.678901] ${kill}"]`]],
  ["YAML", [`  - '[12345.678901] ${kill}'`]],
])("a string with the kernel's stamp in a list of %s is a line", (_name, lines) => {
  expect(read(lines)).toEqual(read([`[12345.678901] ${kill}`]));
  expect(read(lines, false)).toMatchObject([{ text: lines[0] }]);
});

it("netconsole's release before its record is passed over", () => {
  const record = `6,1234,12345678901,-;${kill}`;
  expect(read([`6.8.0-31-generic,${record}`])).toEqual(read([record]));
});

it("a report's head behind a program's unfinished line on a serial console is read", () => {
  const head = "[   35.419377] mkfs.ext4 invoked oom-killer: gfp_mask=0x101cc0(GFP_USER), order=0";
  expect(read([`Creating journal (262144 blocks): ${head}`])).toEqual(read([head]));
});

describe.each(envelopes)("a copied line of %s", (_name, line) => {
  const [plain] = read([line]);

  it.each(marks)("means the same behind %s", (_mark, mark) => {
    expect(read([`${mark}${line}`])).toEqual([plain]);
  });

  it("means the same in a terminal's colours", () => {
    expect(read([`\x1b[32m${line.replace("Killed", "\x1b[1mKilled")}\x1b[0m`])).toEqual([plain]);
  });
});

describe("a copied line", () => {
  it.each([
    ["what runs containers", `2026-11-20T13:23:51.123456789Z [12345.678901] ${kill}`],
    ["a relay", `Nov 20 13:23:51 loghost Nov 20 13:23:50 web1 kernel: [12345.678901] ${kill}`],
    [
      "a virtual machine",
      `2026-11-20T13:23:50.127Z In(05) vcpu-5 - Guest: <3>[12345.678901] ${kill}`,
    ],
    [
      "an older virtual machine",
      `2026-11-20T13:23:50.127Z| vcpu-0| I005: Guest: <3>[12345.678901] ${kill}`,
    ],
  ])(
    "with a second timestamp by %s keeps its own, or uses the second if it has none",
    (_name, line) => {
      const [message] = read([line]);
      expect(message).toMatchObject({ text: kill, printkMicros: 12_345_678_901 });
      expect(Math.abs((message?.timeMs ?? 0) - november)).toBeLessThan(2000);
    },
  );

  it("has the rest of its record without the mail's quote marks", () => {
    const [first, rest] = read([
      ">> [201169.028888] Memory cgroup out of memory: Killed process 1887079",
      ">> (qemu-kata-syste) total-vm:8kB, anon-rss:4kB, file-rss:0kB",
    ]);
    expect(first?.text).toBe("Memory cgroup out of memory: Killed process 1887079");
    expect(rest).toMatchObject({
      text: "(qemu-kata-syste) total-vm:8kB, anon-rss:4kB, file-rss:0kB",
      continues: true,
    });
  });

  it("in bold means the same", () => {
    const line = `Nov 20 13:23:50 web1 kernel: ${kill}`;
    expect(read([`**${line}**`])).toEqual(read([line]));
    expect(read([`\`${line}\``])).toEqual(read([line]));
  });

  it("may have lost its first bracket", () => {
    expect(read([`12345.678901] ${kill}`])[0]).toMatchObject({ printkMicros: 12_345_678_901 });
  });

  it.each(["[ XXXX.YYYYYY] ", "[xxxxx.xxxxxx] ", "> [***.***] "])(
    "may have a stamp that somebody replaced: %s",
    (stamp) => {
      const [message] = read([`${stamp}${kill}`]);
      expect(message).toMatchObject({ text: kill, printkMicros: undefined });
    },
  );

  it("may have its tag although its time stands in brackets", () => {
    for (const tag of ["kernel: ", "web1 kernel: "]) {
      expect(read([`[2026-11-20 13:23:50 UTC] ${tag}${kill}`])[0]).toMatchObject({
        text: kill,
        timeMs: november,
      });
    }
  });

  it.each([
    ["12:00:52 "],
    ["12:00:52.123456 kernel: "],
    ["> > 12:00:52 "],
    ["[12:00:52] web1 kernel: "],
    ["[OOM Killer] "],
    ["  [kernel log] "],
  ])("may have only the time of day, or words in the place of a stamp: %s", (stamp) => {
    const reader = new KernelMessageReader(clock, { copied: true });
    expect(reader.read(`${stamp}${kill}`)).toMatchObject({ text: kill, origin: "unverified" });
  });

  it("after a fence, or behind a mark of text, stands in a text that people wrote", () => {
    const isInText = (lines: string[]) => {
      const reader = new KernelMessageReader(clock, { copied: true });
      return lines.map((line) => reader.read(line)?.isInText === true).at(-1);
    };
    const line = `[12345.678901] ${kill}`;
    expect([[line], [`  ${line}`], [`kern.log:${line}`]].map(isInText)).toEqual([
      false,
      false,
      false,
    ]);
    expect([["```", line], [`# ${line}`], [`> ${line}`]].map(isInText)).toEqual([true, true, true]);
  });

  it("of a phone may name processor and task", () => {
    expect(read([`<3>[12345.678901]  (0)[226:java]${kill}`])[0]?.text).toBe(kill);
    expect(read([`[12345.678901]  [3:           java:  226] ${kill}`])[0]?.text).toBe(kill);
  });

  it.each([
    ["C1 [12345.678901] ", 12_345_678_901],
    ["[12345.678901][ C1] ", 12_345_678_901],
    ["[12345.678] C1 ", 12_345_678_000],
    ["<3>[12345.678901] c0 226 ", 12_345_678_901],
  ])("of a board's console may name the processor: %s", (stamp, printkMicros) => {
    expect(read([`${stamp}${kill}`])[0]).toMatchObject({ text: kill, printkMicros });
    const row = "[    226]     0   226    12576    12307   135168        0             0 java";
    expect(read([`${stamp}${row}`])[0]?.text).toBe(row);
  });

  it.each(["c1", "C2 CompilerThre"])("keeps the name of a task like a processor: %s", (comm) => {
    const header = `${comm} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0`;
    for (const stamp of ["[12345.678901] ", "[12345.678901][ C1] ", "<3>[12345.678901] c0 226 "]) {
      expect(read([`${stamp}${header}`])[0]?.text).toBe(header);
    }
  });

  it.each([
    ["11-20 13:23:50.671   142   142 I KERNEL  : [12345.678901] ", november + 671],
    ["11-20 13:23:50.671 I/KERNEL  (  142): <3>[12345.678901] ", november + 671],
    ["E/KERNEL(142): [12345.678901] ", undefined],
  ])("of a phone may stand in another buffer of logcat: %s", (head, timeMs) => {
    const [message] = read([`${head}${kill}`]);
    expect(message).toMatchObject({
      text: kill,
      printkMicros: 12_345_678_901,
      origin: "unverified",
    });
    expect(message?.timeMs).toBe(timeMs);
    expect(read([`${head}${kill}`], false)[0]?.printkMicros).toBeUndefined();
  });

  it("under an app's tag of logcat is the app's", () => {
    const line = `11-20 13:23:50.671  1000  1000 I Shop    : [12345.678901] ${kill}`;
    expect(read([line])[0]).toMatchObject({ isQuoted: true });
  });

  it.each([
    "[  OK    386.369228][  T709] ",
    "0m] Started   386.369228][  T709] ",
    "[  OK    386.369228] ",
  ])("of a serial console may have a stamp that a program's line broke: %s", (stamp) => {
    const row = "[    985]     0   985    10709      317   122880        0             0 dhcp";
    expect(read([`${stamp}${row}`])[0]).toMatchObject({ text: row, printkMicros: 386_369_228 });
  });

  it("of a log without tags for the kernel is known by the kernel's words", () => {
    const stamp = "Nov 20 13:23:50 web1 ";
    const [head, zone, other, buddy, last] = read([
      `${stamp}java invoked oom-killer: gfp_mask=0xd0, order=0, oomkilladj=0`,
      `${stamp}Normal free:3648kB min:3744kB low:4680kB high:5616kB`,
      `${stamp}sshd[7]: Accepted publickey`,
      `${stamp}Normal: 44*4kB 18*8kB = 3648kB`,
      `${stamp}${kill}`,
    ]);
    expect([head, zone, buddy, last].map((message) => message?.origin)).toEqual(
      Array(4).fill("unverified"),
    );
    expect(zone?.text).toMatch(/^Normal free:/);
    expect(last).toMatchObject({ text: kill, timeMs: november });
    expect(other?.origin).toBe("user");
    expect(read([`${stamp}Normal free:3648kB min:3744kB`])[0]?.origin).toBe("user");
    expect(read([`${stamp}app: ${kill}`])[0]?.origin).toBe("user");
    expect(read([`${stamp}${kill}`], false)[0]?.origin).toBe("user");
  });

  it("that the journal hands on for a container is at second hand, if the kernel's tag is in it", () => {
    for (const tag of ["journal: kernel: ", "journal[7]: node3 kernel: [12345.678901] "]) {
      const [message] = read([`Nov 20 13:23:50 web1 ${tag}${kill}`]);
      expect(message).toMatchObject({ text: kill, isQuoted: true, timeMs: november });
    }
    for (const tag of [
      "journal: ",
      "journal: app: ",
      "app: kernel: ",
      "journal: app[7]: kernel: ",
    ]) {
      expect(read([`Nov 20 13:23:50 web1 ${tag}${kill}`])[0]).toMatchObject({ origin: "user" });
    }
    expect(read([`Nov 20 13:23:50 web1 journal: kernel: ${kill}`], false)[0]?.origin).toBe("user");
  });

  it("may have its task's name in bold", () => {
    const bold = kill.replace("(java)", "(**java**)");
    expect(read([`[12345.678901] ${bold}`, bold]).map((message) => message?.text)).toEqual([
      kill,
      kill,
    ]);
  });

  it.each(["...", "[...]", "  (...)", "> ..."])(
    "is none if it only stands for others: %s",
    (dots) => {
      expect(read([`[12345.678901] ${kill}`, dots])[1]).toBeUndefined();
    },
  );

  it("after a program's line is text quoted by that program", () => {
    const [, quoted] = read([
      "Nov 20 13:23:50 web1 app[7]: dmesg says",
      `                             [12345.678901] ${kill}`,
    ]);
    expect(quoted).toMatchObject({ origin: "user", continues: true });
    const [, other] = read([
      "Nov 20 13:23:50 web1 sshd[7]: x",
      `Nov 20 13:23:51 web1 sshd[7]: [1.000000] ${kill}`,
    ]);
    expect(other?.origin).toBe("user");
  });

  it("is not looked for in a log that is followed", () => {
    for (const [, mark] of marks) {
      const [message] = read([`${mark}[12345.678901] ${kill}`], false);
      expect(message?.printkMicros).toBeUndefined();
    }
  });

  it("is read to its end, whatever it contains", () => {
    const piece = fc.constantFrom("a", ":", "-", " ", "[", ">", "|", "1", "#", "kernel: ", "\t");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 3000 }), (pieces) => {
        read([pieces.join("")]);
      }),
      { numRuns: 100 },
    );
  });
});
