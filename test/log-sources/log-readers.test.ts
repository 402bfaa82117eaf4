import { appendFileSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type LogClock, utcZone } from "../../src/kernel-log/local-time.ts";
import type { KernelLogEvent } from "../../src/kernel-log/oom-report.ts";
import { killOfReport } from "../../src/kills/kill.ts";
import { unknownOwner } from "../../src/kills/owner.ts";
import {
  FileReader,
  KmsgDeviceReader,
  type ReaderListener,
} from "../../src/log-sources/log-readers.ts";

const nowMs = Date.parse("2026-11-21T04:00:00Z");
const message = (pid: number) =>
  `Out of memory: Killed process ${pid} (worker) total-vm:9000kB, anon-rss:8000kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:44kB oom_score_adj:0`;
const line = (pid: number, stamp = "2026-11-20T03:00:00+00:00") =>
  `${stamp} host kernel: [${pid}.000000] ${message(pid)}\n`;

let directory: string;
let path: string;
let pids: number[];
let failures: unknown[];
/** The pid at which the listener throws. */
let poison: number;
let listener: ReaderListener;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "log-readers-"));
  path = join(directory, "kern.log");
  pids = [];
  failures = [];
  poison = 0;
  listener = {
    event: (event: KernelLogEvent) => {
      if (event.kind !== "kill") return;
      if (event.report.pid === poison) throw new TypeError("poison");
      pids.push(event.report.pid);
    },
    batchEnd: () => {},
    caughtUp: () => {},
    stateChanged: () => {},
    lost: () => {},
    failed: (error) => {
      failures.push(error);
    },
  };
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

const plainClock: LogClock = { nowMs: () => nowMs, zone: utcZone };

function follow(clock = plainClock) {
  const options = { clock, monotonicMs: () => 0, watch: false };
  const reader = new FileReader(path, "start", options);
  reader.start(listener);
  return reader;
}

async function readFile(text: string, clock = plainClock) {
  appendFileSync(path, text);
  const reader = follow(clock);
  await reader.drain();
  return reader;
}

function readRing(records: readonly string[]) {
  let next = 0;
  const reader = new KmsgDeviceReader(
    "/dev/kmsg",
    {
      open: () => ({
        read: (buffer) => buffer.write(records[next++] ?? "", "latin1"),
        close: () => {},
      }),
      bootId: "b".repeat(32),
      from: "start",
      bootTimeMs: () => nowMs - 3_600_000,
    },
    { clock: plainClock, monotonicMs: () => 0, watch: false },
  );
  reader.start(listener);
  return reader;
}

describe("a line that looks like a kill in words of no known kernel", () => {
  const vendors = "vendor: Killed process 12 (a) adj=9 free=7";

  it("is counted, in a file and in the ring", async () => {
    const reader = await readFile(`Nov 20 13:23:50 web1 kernel: ${vendors}\n`);
    expect(reader.tally.unparsedKills).toBe(1);
    reader.stop();
    const ring = readRing([`3,1,1000,-;${vendors}\n`]);
    await ring.drain();
    expect(ring.tally.unparsedKills).toBe(1);
    ring.stop();
  });

  it("is ignored if a program wrote it", async () => {
    const reader = await readFile(`Nov 20 13:23:50 web1 app[7]: ${vendors}\n`);
    expect(reader.tally.unparsedKills).toBe(0);
    reader.stop();
  });
});

describe("a kill of OpenVZ's kernel", () => {
  it("is read in a log that is followed", async () => {
    const reader = await readFile(
      "Nov 20 13:23:50 web1 kernel: Out of memory in UB 7: OOM killed process 42 (npm) score 0 vm:8kB, rss:4kB, swap:0kB\n",
    );
    expect(pids).toEqual([42]);
    reader.stop();
  });
});

describe("an event of Kubernetes that quotes a kill", () => {
  it("is no kill of a log that is followed", async () => {
    const kill = "Out of memory: Killed process 42 (a) total-vm:8kB, anon-rss:4kB, file-rss:0kB";
    const reader = await readFile(
      [
        `${JSON.stringify({ reason: "OOMKilling", message: kill })}\n`,
        `${JSON.stringify({ event: { reason: "OOMKilling", message: kill } })}\n`,
        `2m  Warning  OOMKilling  node/web1  ${kill}\n`,
      ].join(""),
    );
    expect(pids).toEqual([]);
    reader.stop();
  });
});

describe("a line that makes this program throw", () => {
  const pidsAround = [1, 2, 4, 5];

  it("while its kill is processed is counted and reported, and those around it are read", async () => {
    poison = 3;
    const reader = await readFile([1, 2, 3, 4, 5].map((pid) => line(pid)).join(""));
    expect(pids).toEqual(pidsAround);
    expect(reader.tally).toMatchObject({ unparsedKills: 1, lines: 5 });
    expect(failures).toEqual([new TypeError("poison")]);
    reader.stop();
  });

  it("while it is parsed is counted and reported, and those around it are read", async () => {
    const zone = {
      offsetSeconds(utcSeconds: number) {
        if (utcSeconds < 0) throw new RangeError("poison");
        return 0;
      },
    };
    const lines = [1, 2, 3, 4, 5].map((pid) =>
      line(pid, pid === 3 ? "1969-01-01T00:00:00" : undefined),
    );
    const reader = await readFile(lines.join(""), { nowMs: () => nowMs, zone });
    expect(pids).toEqual(pidsAround);
    expect(reader.tally.unparsedKills).toBe(1);
    expect(failures).toEqual([new RangeError("poison")]);
    reader.stop();
  });

  it("does not stop what is written after it", async () => {
    poison = 1;
    const reader = await readFile(line(1));
    poison = 0;
    appendFileSync(path, line(2));
    await reader.drain();
    expect(pids).toEqual([2]);
    expect(reader.position()?.offset).toBe(2 * line(1).length);
    reader.stop();
  });

  it("does not stop the ring", () => {
    poison = 3;
    const reader = readRing(
      [1, 2, 3, 4, 5].map((pid) => `3,${pid},${pid}000000,-;${message(pid)}\n`),
    );
    expect(pids).toEqual(pidsAround);
    expect(reader.tally).toMatchObject({ unparsedKills: 1, lines: 5 });
    expect(failures).toHaveLength(1);
    expect(reader.position()?.sequence).toBe(5);
    reader.stop();
  });
});

describe("whatever a line contains, the lines after it are read", () => {
  const number = fc.constantFrom(
    "0",
    "-1",
    "4294967296",
    "18446744073709551616",
    "9".repeat(400),
    "",
  );
  const stamp = fc.constantFrom(
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59+99:99",
    "0000-00-00T00:00:00",
    "Feb 31 99:99:99",
    "99999999999.999999",
  );
  const comm = fc.oneof(fc.constantFrom(") total-vm:1kB", "", "a\0b", "a\nb"), fc.string());
  const kill = fc
    .tuple(number, comm, number, number)
    .map(
      ([pid, name, size, adj]) =>
        `Out of memory: Killed process ${pid} (${name}) total-vm:${size}kB, anon-rss:${size}kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:${size}kB oom_score_adj:${adj}`,
    );
  const lineOfFile = fc
    .tuple(stamp, number, kill, fc.constantFrom("\n", "\r\n", "\0\n", ""))
    .map(([time, printk, text, end]) => `${time} host kernel: [${printk}.000000] ${text}${end}`);
  const entry = fc
    .tuple(kill, number)
    .map(([MESSAGE, time]) => `${JSON.stringify({ MESSAGE, __REALTIME_TIMESTAMP: time })}\n`);
  const bytes = fc
    .uint8Array({ maxLength: 200 })
    .map((some) => Buffer.from(some).toString("latin1"));
  const anything = fc.oneof(lineOfFile, entry, bytes, fc.constant("x".repeat(70_000)));
  const known = 4242;

  beforeEach(() => {
    const { event } = listener;
    listener.event = (read, position) => {
      if (read.kind === "kill") {
        const context = { incident: "", sourceName: "", ownerOf: () => unknownOwner };
        JSON.stringify(killOfReport(read.report, context));
      }
      event(read, position);
    };
  });

  it("in a file", async () => {
    const property = fc.asyncProperty(fc.array(anything), async (pieces) => {
      [pids, failures] = [[], []];
      const reader = await readFile("a line\n");
      for (const piece of pieces) {
        appendFileSync(path, piece, "latin1");
        await reader.drain();
      }
      appendFileSync(path, `\n${line(known)}`);
      await reader.drain();
      expect(pids.filter((pid) => pid === known)).toEqual([known]);
      expect(reader.tally.unparsedKills).toBeGreaterThanOrEqual(failures.length);
      reader.stop();
      rmSync(path);
    });
    await fc.assert(property, { numRuns: 200 });
  });

  it("though it begins as a kill's and never ends", async () => {
    const envelope = "2026-11-20T03:00:00Z host kernel: ";
    const cut = `${envelope}Out of memory: Killed process 1 (a) total-vm:8kB, anon-`;
    const words = Array.from({ length: 20 }, () => `${envelope}${"x".repeat(16_000)}`);
    const reader = await readFile(`${[cut, ...words].join("\n")}\n${line(known)}`);
    expect(pids.at(-1)).toBe(known);
    reader.stop();
  });

  it("in the ring", () => {
    const record = fc.oneof(
      anything.map((text) => `\n${text.slice(0, 8000)}`),
      fc.tuple(number, number, kill).map(([some, other, text]) => `3,${some},${other},-;${text}\n`),
    );
    fc.assert(
      fc.property(fc.array(record), (records) => {
        pids = [];
        readRing([...records, `3,${10 ** 14},1,-;${message(known)}\n`]).stop();
        expect(pids.at(-1)).toBe(known);
      }),
    );
  });
});

describe("the time of the last record", () => {
  it("is the timestamp of the last line, whatever it says and however it arrived", async () => {
    const reader = await readFile(
      `${line(1, "2026-11-19T01:00:00Z")}2026-11-19T02:00:00Z host app: hi\n`,
    );
    expect(reader.tally.lastRecordMs).toBe(Date.parse("2026-11-19T02:00:00Z"));
    appendFileSync(path, "2026-11-19T03:00:00Z host");
    await reader.drain();
    expect(reader.tally.lastRecordMs).toBe(Date.parse("2026-11-19T02:00:00Z"));
    appendFileSync(path, " kernel: x\n2026-11-19T04:00:00Z host");
    await reader.drain();
    expect(reader.tally.lastRecordMs).toBe(Date.parse("2026-11-19T03:00:00Z"));
    reader.stop();
  });

  it("is not put together from two files", async () => {
    const reader = await readFile(`${line(1)}2026-11-19T03:00:00Z ho`);
    renameSync(path, `${path}.1`);
    appendFileSync(path, "2026-11-19T05:00:00Z host kernel: x\n");
    await reader.drain();
    expect(reader.tally.lastRecordMs).toBe(Date.parse("2026-11-19T05:00:00Z"));
    reader.stop();
  });

  it("is the time of reading if the line has none", async () => {
    const reader = await readFile("without a stamp\n");
    expect(reader.tally.lastRecordMs).toBe(nowMs);
    reader.stop();
  });

  it("is that of the record if it was in the ring buffer before", () => {
    const reader = readRing(["3,1,60000000,-;x\n"]);
    expect(reader.tally.lastRecordMs).toBe(nowMs - 3_600_000 + 60_000);
    reader.stop();
  });

  it("is absent before the first record", () => {
    expect(readRing([]).tally.lastRecordMs).toBeUndefined();
  });
});
