import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { parseKmsgRecord } from "../../src/kernel-log/kernel-message.ts";
import { droppedBytes, KillScanner } from "../../src/kernel-log/kill-scanner.ts";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import { KernelMessageReader } from "../../src/kernel-log/log-line.ts";
import type { LogLoss } from "../../src/kernel-log/log-loss.ts";
import type { KernelLogEvent, OomKillReport } from "../../src/kernel-log/oom-report.ts";
import { heldBytes, mebibyte } from "../setup/held-memory.ts";

const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };
const fixture = (name: string) =>
  gunzipSync(readFileSync(new URL(`../fixtures/logs/${name}.gz`, import.meta.url)));

class Reading {
  readonly events: KernelLogEvent[] = [];
  readonly scanner = new KillScanner({ clock, firstLine: 1, losses: true }, (event) =>
    this.events.push(event),
  );

  push(text: string | Uint8Array): this {
    this.scanner.push(typeof text === "string" ? Buffer.from(text, "latin1") : text);
    return this;
  }

  end(): this {
    this.scanner.endOfInput();
    return this;
  }

  get reports(): OomKillReport[] {
    return this.events.flatMap((event) => (event.kind === "kill" ? [event.report] : []));
  }

  get losses(): LogLoss[] {
    return this.events.flatMap((event) => (event.kind === "loss" ? [event.loss] : []));
  }

  /** What must not depend on how the bytes came: losses and events without a victim are found apart. */
  get told(): KernelLogEvent[] {
    return this.events.filter(({ kind }) => kind !== "loss" && kind !== "no_victim");
  }
}

const noise = (lines: number) =>
  Array.from(
    { length: lines },
    (_, n) => `Nov 20 13:00:00 web1 kernel: [${String(n).padStart(5)}.000000] eth0: link up ${n}\n`,
  ).join("");
const header = (second: number, comm = "java") =>
  `Nov 20 13:00:00 web1 kernel: [${String(second).padStart(5)}.000000] ${comm} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n`;
const kill = (second: number, pid: number, comm = "java") =>
  `Nov 20 13:00:00 web1 kernel: [${String(second).padStart(5)}.500000] Out of memory: Killed process ${pid} (${comm}) total-vm:8192kB, anon-rss:4096kB, file-rss:8kB, shmem-rss:0kB, UID:0 pgtables:96kB oom_score_adj:0\n`;

describe("the kills of a log", () => {
  const files = [
    "memcg-v2-group.kern.log",
    "memcg-v2-group.journal-json",
    "comm-odd.dmesg",
    "comm-odd.kern-rfc3339.log",
    "burst-200.kmsg",
    "global-group.dmesg-T",
  ];

  it.each(files)("are the same however the bytes are cut into chunks: %s", (file) => {
    const bytes = fixture(file);
    const whole = new Reading().push(bytes).end().told;
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1 }), (sizes) => {
        const reading = new Reading();
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          reading.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(reading.end().told).toEqual(whole);
      }),
      { numRuns: 15 },
    );
  });

  it("come out the same byte by byte", () => {
    const bytes = Buffer.from(noise(3) + header(10) + kill(10, 42, "a\nb") + kill(11, 43));
    const reading = new Reading();
    for (const byte of bytes) reading.push(Uint8Array.of(byte));
    expect(reading.end().told).toEqual(new Reading().push(bytes).end().told);
  });

  it("never throw and never hang, whatever the bytes", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .constantFrom(
          "Killed process ",
          "Killed process 1 (",
          ") total-vm:1kB, anon-rss:1kB",
          "\n",
          "Out of memory: ",
          " invoked oom-killer: ",
          "oom-kill:constraint=",
          "Tasks in / are going to be killed",
          "Mem-Info:\n",
          '{"MESSAGE":"',
          '{"MESSAGE":[75,105,108,108,101,100,32,112,114,111,99,101,115,115,32,',
          "3,1,2,-;",
          "[ 1.000000] ",
          "Nov 20 13:00:00 h kernel: ",
          "[ pid ] uid name\n",
          "[ 1 ] 1 1\n",
          "Memory cgroup stats for /:",
          "Task in ",
          " callbacks suppressed",
        )
        .map((text) => new Uint8Array(Buffer.from(text, "latin1"))),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const reading = new Reading();
        for (const bytes of pieces) reading.push(bytes);
        reading.end();
        expect(reading.scanner.offset).toBe(pieces.reduce((sum, bytes) => sum + bytes.length, 0));
      }),
      { numRuns: 500 },
    );
  });

  it("are found or not, but never throw, wherever the log is cut off", () => {
    const text = noise(1) + header(2) + kill(2, 42);
    const number = text.indexOf("(java)", text.indexOf("Killed")) - 1;
    for (let end = 0; end <= text.length; end++) {
      const { reports } = new Reading().push(text.slice(0, end)).end();
      expect(reports.length, text.slice(0, end)).toBeLessThanOrEqual(end < number ? 0 : 1);
    }
  });

  it("know their line", () => {
    const reading = new Reading().push(
      noise(100) + header(200) + noise(10) + kill(201, 42) + noise(5) + kill(301, 43),
    );
    expect(reading.reports.map((report) => report.lineNumber)).toEqual([112, 118]);
  });

  it("are found with their dump a mebibyte behind other lines", () => {
    const reading = new Reading().push(header(1) + noise(15_000) + kill(2, 42)).end();
    expect(reading.reports[0]?.dump?.trigger?.comm).toBe("java");
  });

  it("are found behind a line without end, and that line costs no memory", () => {
    const reading = new Reading();
    const endless = Buffer.alloc(1 << 20, "x");
    for (let n = 0; n < 40; n += 1) reading.push(endless);
    reading.push(`\n${kill(1, 42)}`).end();
    expect(reading.reports).toHaveLength(1);
  });

  it("are found in a last line without newline", () => {
    expect(new Reading().push(kill(1, 42).trimEnd()).reports).toHaveLength(0);
    expect(new Reading().push(kill(1, 42).trimEnd()).end().reports).toHaveLength(1);
  });

  it("are found if the newline between two records is lost", () => {
    const joined = noise(1).trimEnd() + kill(1, 42).trimEnd() + kill(2, 43);
    expect(
      new Reading()
        .push(joined)
        .end()
        .reports.map((report) => report.pid),
    ).toEqual([42, 43]);
    const dmesg =
      "[    1.000000] usb 1-1: new device[    1.500000] Killed process 42 (java) total-vm:8kB, anon-rss:4kB, file-rss:0kB\n";
    expect(new Reading().push(dmesg).end().reports).toHaveLength(1);
  });

  it.each([
    ["bare lines", ""],
    ["a tag alone", "kernel: "],
  ])("are read without reading the lines before them again and again: %s", (_form, envelope) => {
    const read = vi.spyOn(KernelMessageReader.prototype, "read");
    const one = (pid: number) =>
      ["a", "b", "c", kill(0, pid).slice(45)].map((line) => `${envelope}${line.trimEnd()}\n`);
    const lines = Array.from({ length: 500 }, (_, pid) => one(pid + 1)).flat();
    try {
      const scanner = new KillScanner({ clock, copied: true }, () => {});
      scanner.push(Buffer.from(lines.join("")));
      scanner.endOfInput();
      expect(read.mock.calls.length).toBeLessThan(4 * lines.length);
    } finally {
      read.mockRestore();
    }
  });

  it("are not found in a program's quotation over several lines", () => {
    const quoted = `${noise(1)}Nov 20 13:00:00 web1 app[7]: the log says\nhere it is:\n${kill(1, 42).split("] ")[1]}`;
    expect(new Reading().push(quoted).end().told).toEqual([]);
  });
});

describe("following a log", () => {
  it("reports a kill at the newline of its line, not at the next line", () => {
    const reading = new Reading().push(header(1) + kill(1, 42));
    expect(reading.reports).toHaveLength(1);
    expect(reading.reports[0]?.endOffset).toBe((header(1) + kill(1, 42)).length);
  });

  it("can go on from an offset that loses nothing of an open report and repeats no kill", () => {
    const before = noise(3) + header(1) + kill(1, 41) + noise(2);
    const reading = new Reading().push(before);
    expect(reading.scanner.resumeOffset).toBe(before.length);
    reading.push(header(2).slice(0, 30));
    expect(reading.scanner.resumeOffset).toBe(before.length);
    reading.push(header(2).slice(30) + noise(4));
    const resume = reading.scanner.resumeOffset;
    expect(resume).toBeLessThanOrEqual(before.length);
    expect(resume).toBeGreaterThanOrEqual((noise(3) + header(1) + kill(1, 41)).length);

    const again = new Reading()
      .push((before + header(2) + noise(4)).slice(resume) + kill(3, 43))
      .end();
    expect(again.reports.map((report) => [report.pid, report.suppressed])).toEqual([[43, false]]);
    reading.push(kill(3, 43));
    expect(reading.scanner.resumeOffset).toBe(reading.scanner.offset);
  });

  it("continues in the next file, with a dump that the rotation separated from its kill", () => {
    const reading = new Reading().push(noise(2) + header(1));
    reading.scanner.nextFile();
    reading.push(kill(1, 42));
    expect(reading.reports[0]).toMatchObject({ suppressed: false, endOffset: kill(1, 42).length });
    expect(reading.scanner.offset).toBe(kill(1, 42).length);
  });

  it("reports the same kills, losses and empty-handed events whatever stands between them", () => {
    const nobody =
      "Nov 20 13:00:00 web1 kernel: [    9.000000] Out of memory and no killable processes...\n";
    const lost = "Nov 20 13:00:00 web1 kernel: [    9.000000] printk: 12 messages dropped\n";
    const lines = fc.integer({ min: 0, max: 5000 });
    fc.assert(
      fc.property(fc.array(fc.tuple(lines, lines), { minLength: 2, maxLength: 5 }), (gaps) => {
        const reading = new Reading();
        gaps.forEach(([before, within], n) => {
          reading.push(noise(before) + lost + nobody + header(n) + noise(within) + kill(n, n));
          reading.push(
            `Nov 20 13:00:00 web1 kernel: [    9.000000] Tasks in /a/${n} are going to be killed`,
          );
          reading.push(" due to memory.oom.group set\n");
        });
        reading.end();
        const found = reading.reports.map(({ pid, suppressed }) => [pid, suppressed]);
        expect(found).toEqual(gaps.map((_, n) => [n, false]));
        const of = (kind: string) => reading.events.filter((event) => event.kind === kind).length;
        expect([of("loss"), of("no_victim"), of("group")]).toEqual([
          gaps.length,
          gaps.length,
          gaps.length,
        ]);
      }),
      { numRuns: 6 },
    );
  });

  it("keeps no more of it than a report still to come can need", () => {
    const reading = new Reading();
    const lines = noise(9000);
    for (let n = 0; n < 9; n++) reading.push(lines + header(n) + kill(n, n) + lines);
    expect(reading.scanner.heldBytes).toBeLessThan(mebibyte / 2);
    reading.push(header(10) + lines + lines);
    expect(reading.scanner.heldBytes).toBeGreaterThan(2 * lines.length);
    reading.push(kill(10, 10));
    for (let n = 0; n < 9; n++) reading.push(lines);
    expect(reading.scanner.heldBytes).toBeLessThan(mebibyte / 2);
  });

  it("takes records of /dev/kmsg one at a time", () => {
    const reading = new Reading();
    for (const line of fixture("memcg-v2-group.kmsg").toString("latin1").split("\n")) {
      const message = parseKmsgRecord(line);
      if (message !== undefined) reading.scanner.pushMessage(message, message.sequence);
    }
    expect(reading.reports.map((report) => report.pid)).toEqual([226, 208, 210, 214, 226]);
    expect(reading.reports[0]).toMatchObject({
      lineNumber: 426,
      groupCgroup: "/job",
      victimCgroup: "/job/b",
    });
  });
});

describe("events without a victim", () => {
  const nobody = "Out of memory and no killable processes...";
  const line = (text: string, tag = "kernel: [    1.000000]") =>
    `Nov 20 13:00:00 web1 ${tag} ${text}\n`;

  it("are reported once each, among kills and far from them, but not if a user wrote them", () => {
    const log =
      noise(50) +
      line(nobody) +
      noise(50) +
      header(1) +
      line(nobody) +
      kill(1, 42) +
      line(nobody, "app[7]:") +
      line(`he said: ${nobody}`) +
      line(nobody);
    const kinds = new Reading()
      .push(log)
      .end()
      .events.map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === "no_victim")).toHaveLength(3);
    expect(kinds).toContain("kill");
  });
});

describe("losses", () => {
  it("are reported once each, among kills and far from them", () => {
    const lost = (text: string) => `Nov 20 13:00:00 web1 kernel: [    1.000000] ${text}\n`;
    const log =
      noise(50) +
      lost("printk: 12 messages dropped") +
      noise(50) +
      header(1) +
      lost("oom_kill_process: 34 callbacks suppressed") +
      kill(1, 42) +
      noise(9) +
      "Nov 20 13:00:00 web1 systemd-journald[1]: Missed 7 kernel messages\n";
    expect(
      new Reading()
        .push(log)
        .end()
        .losses.map((loss) => loss.count),
    ).toEqual([12, 34, 7]);
    expect(
      new Reading()
        .push(fixture("burst-200.kern.log"))
        .end()
        .losses.map((loss) => loss.count),
    ).toEqual([34, 34, 39, 32]);
  });
});

describe("what systemd says of a unit in a copied log", () => {
  const notice =
    "Nov 20 13:00:00 web1 systemd[1]: shop.service: A process of this unit has been killed by the OOM killer.\n";
  const events = (log: Buffer): KernelLogEvent[] => {
    const found: KernelLogEvent[] = [];
    const scanner = new KillScanner({ clock, copied: true, firstLine: 1 }, (event) =>
      found.push(event),
    );
    scanner.push(log);
    scanner.endOfInput();
    return found;
  };

  it("is read whole wherever the window is cut", () => {
    // Just enough for the window to be full and to drop what stands before the cut.
    const filler = Buffer.alloc(droppedBytes + 1.25 * mebibyte, `${"x".repeat(255)}\n`);
    for (let before = 0; before <= notice.length; before++) {
      const start = droppedBytes - before;
      filler[start - 1] = 0x0a;
      const log = Buffer.concat([
        filler.subarray(0, start),
        Buffer.from(notice),
        filler.subarray(start),
      ]);
      expect(events(log), `cut at byte ${before}`).toMatchObject([
        {
          kind: "fragment",
          fragment: {
            notice: { unit: "shop.service", killer: "kernel" },
            timeMs: Date.parse("2026-11-20T13:00:00Z"),
          },
        },
      ]);
      filler[start - 1] = 0x78;
    }
  });

  it.each([
    ["name the OOM killer", "x OOM killer\n", ""],
    ["end with the result", "x 'oom-kill'.\n", "y\n"],
    ["are notices without an envelope", "a.service: Failed with result 'oom-kill'.\n", ""],
    ["are such notices among others", "a.service: Failed with result 'oom-kill'.\n", "y\nz\n"],
  ])("costs a few reads a line where lines %s", (_name, line, other) => {
    const count = 2000;
    const log = Buffer.from((line + other).repeat(count) + kill(1, 42));
    const read = vi.spyOn(KernelMessageReader.prototype, "read");
    try {
      events(log);
      const lines = count * (1 + newlines(other));
      expect(read.mock.calls.length).toBeLessThan(3 * lines);
    } finally {
      read.mockRestore();
    }
  });

  const newlines = (text: string) => text.split("\n").length - 1;
});

it("keeps the line of a kill without the report around it", () => {
  const lines = () =>
    Array.from({ length: 200 }, (_, pid) => {
      const report = `${header(pid)}${noise(600)}${kill(pid, 1000 + pid, "a-long-name-123")}`;
      const [first] = new Reading().push(report).end().reports;
      return { comm: first?.comm, line: first?.killLine };
    });
  expect(heldBytes(lines)).toBeLessThan(2 * mebibyte);
});
