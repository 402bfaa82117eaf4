import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type KernelMessage, parseKmsgRecord } from "../../src/kernel-log/kernel-message.ts";
import { decodeUtf8 } from "../../src/kernel-log/kernel-text.ts";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import { KernelMessageReader } from "../../src/kernel-log/log-line.ts";
import { messageOfObject } from "../../src/kernel-log/log-object.ts";
import type { OomKillReport } from "../../src/kernel-log/oom-report.ts";
import { readWholeLog } from "../../src/kernel-log/whole-log.ts";

/*
 * What shippers and stores of logs make of a kernel's lines: a kill's report says the same in all of
 * them, and its time is the store's.
 */

const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };
const bootMs = Date.parse("2024-12-29T17:38:22Z");

function recordsOf(sample: string): KernelMessage[] {
  const url = new URL(`../fixtures/logs/${sample}.kmsg.gz`, import.meta.url);
  const lines = gunzipSync(readFileSync(url)).toString("latin1").split("\n");
  return lines.flatMap((line) => parseKmsgRecord(line) ?? []);
}

async function reportsIn(text: string): Promise<OomKillReport[]> {
  const bytes = Buffer.from(text, "utf8");
  const reports: OomKillReport[] = [];
  await readWholeLog({ head: bytes.subarray(0, 65_536), chunks: [bytes] }, clock, (event) => {
    if (event.kind === "kill") reports.push(event.report);
  });
  return reports;
}

const ms = ({ printkMicros = 0 }: KernelMessage) => bootMs + Math.floor(printkMicros / 1000);
const iso = (message: KernelMessage) => new Date(ms(message)).toISOString();
const ns = (message: KernelMessage) => `${ms(message)}000000`;
const text = (message: KernelMessage) => decodeUtf8(message.text);
const printk = ({ printkMicros = 0 }: KernelMessage) =>
  `[${(printkMicros / 1e6).toFixed(6).padStart(12)}]`;
/** As written by syslog, without a year and in another time zone. */
const line = (message: KernelMessage) =>
  `Dec ${iso(message).slice(8, 10)} ${iso(message).slice(11, 19)} web1 kernel: ${printk(message)} ${text(message)}`;

type Records = readonly KernelMessage[];
const lines = (all: Records, object: (message: KernelMessage) => unknown) =>
  all.map((message) => `${JSON.stringify(object(message))}\n`).join("");
const journal = (message: KernelMessage) => ({
  _TRANSPORT: "kernel",
  SYSLOG_IDENTIFIER: "kernel",
  PRIORITY: "4",
  MESSAGE: text(message),
  __REALTIME_TIMESTAMP: `${ms(message)}000`,
});
const hit = (message: KernelMessage) => ({
  _index: ".ds-filebeat-8.11.0",
  _id: "Jx0bGpMB",
  _score: null,
  _source: {
    "@timestamp": iso(message),
    log: { file: { path: "/var/log/kern.log" }, offset: 48210 },
    message: line(message),
    tags: ["a", "b"],
  },
  fields: { message: [line(message)] },
  sort: [ms(message)],
});
const grafana = (message: KernelMessage) => ({
  line: line(message),
  timestamp: ns(message),
  date: iso(message),
  fields: { host: "web1", job: "systemd-journal" },
});
const otel = (message: KernelMessage) => ({
  timeUnixNano: ns(message),
  severityNumber: 17,
  body: { stringValue: text(message) },
  attributes: [{ key: "host.name", value: { stringValue: "web1" } }],
});
const kmsg = (message: KernelMessage) => ({
  priority: 4,
  sequence: 9,
  sec: Math.floor((message.printkMicros ?? 0) / 1e6),
  usec: (message.printkMicros ?? 0) % 1e6,
  msg: text(message).replaceAll("\n", "\\x0a"),
});
const ruby = (object: object) =>
  JSON.stringify(object)
    .replaceAll('":', '"=>')
    .replaceAll(/,(?=")/g, ", ");

const stores: [name: string, write: (records: Records) => string][] = [
  [
    "Filebeat",
    (all) => lines(all, (m) => ({ "@timestamp": iso(m), log: { offset: 7 }, message: line(m) })),
  ],
  [
    "Filebeat, journald input",
    (all) =>
      lines(all, (m) => ({
        "@timestamp": iso(m),
        message: text(m),
        log: { syslog: { appname: "kernel", priority: 4 } },
        event: { kind: "event" },
        journald: { custom: {} },
      })),
  ],
  ["Elasticsearch hits, a line each", (all) => lines(all, hit)],
  ["Elasticsearch's answer", (all) => JSON.stringify({ took: 3, hits: { hits: all.map(hit) } })],
  [
    "Elasticsearch's answer, newest first and pretty",
    (all) => JSON.stringify({ took: 3, hits: { hits: all.map(hit).reverse() } }, null, 2),
  ],
  [
    "logcli",
    (all) =>
      all
        .map((m) => `${iso(m)} {host="web1", job="journal"} ${line(m)}\n`)
        .reverse()
        .join(""),
  ],
  [
    "logcli, the journal's own text",
    (all) => all.map((m) => `${iso(m)} {transport="kernel"} ${text(m)}\n`).join(""),
  ],
  [
    "logcli -o jsonl",
    (all) => lines([...all].reverse(), (m) => ({ labels: {}, line: line(m), timestamp: iso(m) })),
  ],
  [
    "Loki's answer",
    (all) =>
      JSON.stringify({
        status: "success",
        data: {
          resultType: "streams",
          result: [{ stream: { job: "x" }, values: all.map((m) => [ns(m), line(m)]).reverse() }],
        },
      }),
  ],
  ["Grafana Explore", (all) => JSON.stringify(all.map(grafana).reverse())],
  ["Fluent Bit's kmsg input", (all) => lines(all, (m) => ({ date: ms(m) / 1000, ...kmsg(m) }))],
  [
    "Fluent Bit's kmsg input, an array",
    (all) => JSON.stringify(all.map((m) => ({ date: ms(m) / 1000, ...kmsg(m) }))),
  ],
  [
    "Fluent Bit's standard output",
    (all) =>
      all
        .map((m, n) => `[${n}] kmsg.0: [[${(ms(m) / 1000).toFixed(9)}, {}], ${ruby(kmsg(m))}]\n`)
        .join(""),
  ],
  [
    "Fluent Bit's standard output before 2.1",
    (all) =>
      all
        .map((m, n) => `[${n}] kmsg.0: [${(ms(m) / 1000).toFixed(9)}, ${ruby(kmsg(m))}]\n`)
        .join(""),
  ],
  [
    "Vector",
    (all) =>
      lines(all, (m) => ({
        PRIORITY: "4",
        SYSLOG_IDENTIFIER: "kernel",
        _TRANSPORT: "kernel",
        host: "web1",
        message: text(m),
        source_type: "journald",
        timestamp: iso(m),
      })),
  ],
  [
    "Fluentd's file",
    (all) =>
      all
        .map(
          (m) => `${iso(m)}\tkern.err\t${JSON.stringify({ ident: "kernel", message: text(m) })}\n`,
        )
        .join(""),
  ],
  [
    "Fluentd's standard output",
    (all) =>
      all
        .map(
          (m) =>
            `${iso(m).replace("T", " ").replace("Z", "000000 +0000")} kern.err: ${JSON.stringify({ message: text(m) })}\n`,
        )
        .join(""),
  ],
  [
    "CloudWatch get-log-events",
    (all) =>
      JSON.stringify(
        {
          events: all.map((m) => ({
            timestamp: ms(m),
            message: line(m),
            ingestionTime: ms(m) + 900,
          })),
          nextForwardToken: "f/1",
        },
        null,
        4,
      ),
  ],
  [
    "CloudWatch Logs Insights",
    (all) =>
      JSON.stringify({
        results: all.map((m) => [
          { field: "@timestamp", value: iso(m).replace("T", " ").replace("Z", "") },
          { field: "@message", value: line(m) },
          { field: "@ptr", value: "Cmo" },
        ]),
      }),
  ],
  [
    "Google Cloud Logging",
    (all) =>
      JSON.stringify(
        all
          .map((m) => ({
            insertId: "ddgxlefks8baq",
            jsonPayload: { MESSAGE: text(m), _TRANSPORT: "kernel", PRIORITY: "4" },
            resource: { type: "gce_instance", labels: { zone: "a" } },
            timestamp: iso(m),
            receiveTimestamp: iso(m),
          }))
          .reverse(),
        null,
        2,
      ),
  ],
  [
    "Google Cloud Logging by Fluent Bit, which leaves bytes behind",
    (all) =>
      lines(all, (m) => ({
        jsonPayload: {
          transport: "kernel",
          syslog_identifier: "kernel\u0001",
          message: text(m).startsWith("Memory cgroup out") ? `${text(m)}\u0003` : text(m),
        },
        timestamp: iso(m),
      })),
  ],
  [
    "Azure Monitor",
    (all) =>
      JSON.stringify(
        all.map((m) => ({
          TimeGenerated: iso(m),
          Computer: "web1",
          Facility: "kern",
          ProcessName: "kernel",
          SyslogMessage: `${printk(m)} ${text(m)}`,
        })),
      ),
  ],
  [
    "Azure Monitor's tables",
    (all) =>
      JSON.stringify({
        tables: [
          {
            name: "PrimaryResult",
            columns: [{ name: "TimeGenerated" }, { name: "Computer" }, { name: "SyslogMessage" }],
            rows: all.map((m) => [iso(m), "web1", `${printk(m)} ${text(m)}`]),
          },
        ],
      }),
  ],
  [
    "Papertrail",
    (all) =>
      JSON.stringify({
        events: all.map((m) => ({
          hostname: "web1",
          received_at: iso(m),
          program: "kernel",
          message: `${printk(m)} ${text(m)}`,
        })),
      }),
  ],
  [
    "Better Stack",
    (all) => lines(all, (m) => ({ dt: iso(m), message: text(m), syslog: { appname: "kernel" } })),
  ],
  [
    "Splunk",
    (all) => lines(all, (m) => ({ preview: false, result: { _time: iso(m), _raw: line(m) } })),
  ],
  [
    "Splunk HEC",
    (all) => lines(all, (m) => ({ time: ms(m) / 1000, host: "web1", event: line(m) })),
  ],
  [
    "OpenTelemetry",
    (all) =>
      JSON.stringify({
        resourceLogs: [{ resource: {}, scopeLogs: [{ logRecords: all.map(otel) }] }],
      }),
  ],
  [
    "OpenTelemetry's journald receiver",
    (all) =>
      JSON.stringify({
        resourceLogs: [
          {
            scopeLogs: [
              {
                logRecords: all.map((m) => ({
                  timeUnixNano: ns(m),
                  body: {
                    kvlistValue: {
                      values: Object.entries(journal(m)).map(([key, value]) => ({
                        key,
                        value: { stringValue: value },
                      })),
                    },
                  },
                })),
              },
            ],
          },
        ],
      }),
  ],
  [
    "GELF",
    (all) =>
      lines(all, (m) => ({
        version: "1.1",
        host: "web1",
        short_message: text(m),
        timestamp: ms(m) / 1000,
        level: 4,
        _program: "kernel",
      })),
  ],
  [
    "syslog-ng",
    (all) =>
      lines(all, (m) => ({
        PROGRAM: "kernel",
        PRIORITY: "err",
        MESSAGE: text(m),
        ISODATE: iso(m),
        HOST: "web1",
      })),
  ],
  [
    "rsyslog",
    (all) =>
      lines(all, (m) => ({
        timereported: iso(m),
        programname: "kernel",
        msg: ` ${printk(m)} ${text(m)}`,
      })),
  ],
  [
    "Docker's JSON around a relay's line",
    (all) => lines(all, (m) => ({ log: `${line(m)}\n`, time: iso(m) })),
  ],
  [
    "a list of pairs, named in another way",
    (all) =>
      lines(all, (m) => ({ data: { attributes: { message: text(m), "@timestamp": iso(m) } } })),
  ],
  [
    "journald, bytes",
    (all) => lines(all, (m) => ({ ...journal(m), MESSAGE: [...Buffer.from(m.text, "latin1")] })),
  ],
  [
    "journald, pretty bytes",
    (all) =>
      all
        .map(
          (m) =>
            `${JSON.stringify({ ...journal(m), MESSAGE: [...Buffer.from(m.text, "latin1")] }, null, "\t")}\n`,
        )
        .join(""),
  ],
];

const samples = ["memcg-v2-kube", "global-swap"];

describe.each(samples)("the kills of %s", (sample) => {
  const records = recordsOf(sample);
  const withoutEnvelope = ({
    killLine,
    lineNumber: _l,
    endOffset: _e,
    ...report
  }: OomKillReport) => ({
    ...report,
    text: killLine.text.trimEnd().replace("\u0003", ""),
  });

  it.each(stores)("say the same in the words of %s", async (_name, write) => {
    const truth = await reportsIn(
      records
        .map((m) => `${printk(m)} ${text(m).replaceAll("\n", `\n${" ".repeat(15)}`)}\n`)
        .join(""),
    );
    expect(truth.length).toBeGreaterThan(0);
    const found = await reportsIn(write(records));
    expect(found.map(withoutEnvelope)).toEqual(truth.map(withoutEnvelope));
    const kills = records.filter((m) => m.text.includes("Killed process"));
    for (const [index, { killLine }] of found.entries()) {
      const at = ms(kills[index] as KernelMessage);
      expect(Math.abs((killLine.timeMs ?? 0) - at)).toBeLessThanOrEqual(1000);
    }
  });
});

describe("an object", () => {
  it("may have the date of RFC 3164, which has no year", () => {
    const reader = new KernelMessageReader(clock, { copied: true });
    const record = { PROGRAM: "kernel", MESSAGE: "Mem-Info:", DATE: "Nov 20 13:23:50" };
    expect(reader.read(JSON.stringify(record))?.timeMs).toBe(Date.parse("2026-11-20T13:23:50Z"));
  });

  const kill = "Out of memory: Killed process 42 (java) total-vm:8kB, anon-rss:4kB, file-rss:0kB";
  const read = (object: unknown, copied = true) =>
    new KernelMessageReader(clock, { copied }).read(JSON.stringify(object));

  it.each([
    ["seconds", 1_735_493_910],
    ["seconds with a fraction", 1_735_493_910.28],
    ["milliseconds", 1_735_493_910_280],
    ["microseconds", "1735493910280000"],
    ["nanoseconds", "1735493910280174970"],
    ["text", "2024-12-29T17:38:30.280174970Z"],
  ])("may say its time in %s", (_unit, timestamp) => {
    const at = read({ timestamp, message: kill })?.timeMs ?? 0;
    expect(Math.floor(at / 1000)).toBe(1_735_493_910);
  });

  it("supplies year and zone for the line in it", () => {
    const message = `Dec 29 18:38:30 web1 kernel: ${kill}`;
    expect(read({ timestamp: 1_735_493_910_280, message })?.timeMs).toBe(1_735_493_910_280);
    expect(
      read({ timestamp: 1_735_493_999_280, message: message.replace("18:", "17:") })?.timeMs,
    ).toBe(1_735_493_910_000);
  });

  it.each([
    ["another program wrote it", { message: kill, SYSLOG_IDENTIFIER: "app" }],
    ["a service wrote it", { message: kill, _SYSTEMD_UNIT: "app.service" }],
    ["it came over syslog", { MESSAGE: kill, _TRANSPORT: "syslog", SYSLOG_IDENTIFIER: "kernel" }],
    ["root wrote it into the ring", { MESSAGE: kill, _TRANSPORT: "kernel", SYSLOG_FACILITY: "1" }],
    ["a process of another name", { message: kill, process: { name: "npd", pid: 7 } }],
  ])("is not the kernel's if %s", (_why, object) => {
    expect(read(object)?.origin).toBe("user");
    expect(read(object, false)?.origin).toBe("user");
  });

  it("of a container's output is an echo", () => {
    expect(read({ log: kill, stream: "stderr", time: "2026-11-20T13:23:50Z" })?.text).not.toBe(
      kill,
    );
  });

  it("is searched only if the log is a copy", () => {
    expect(read({ a: { message: kill } })?.text).toBe(kill);
    expect(read({ a: { message: kill } }, false)?.text).not.toBe(kill);
    expect(read({ anything: kill })?.text).toBe(kill);
    expect(read({ anything: kill }, false)?.text).not.toBe(kill);
  });

  it("may be anything at all, and deep", () => {
    const deep = JSON.parse(`${'{"a":['.repeat(5000)}1${"]}".repeat(5000)}`);
    expect(messageOfObject(deep, clock, { anyDepth: true })).toBeUndefined();
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.boolean(), (value, anyDepth) => {
        const message = messageOfObject(value, clock, { anyDepth });
        expect(message === undefined || typeof message.text === "string").toBe(true);
      }),
    );
  });
});

describe("a document of records", () => {
  const kill = (pid: number) =>
    `Out of memory: Killed process ${pid} (java) total-vm:8kB, anon-rss:4kB, file-rss:0kB`;
  const pieces = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 });
  const documents = fc.constantFrom(
    JSON.stringify({ events: [1, 2, 3].map((pid) => ({ message: kill(pid), timestamp: pid })) }),
    JSON.stringify([{ x: { y: [{ message: kill(1) }] } }, { message: kill(2) }], null, 2),
    `{"broken": "\n{"message":"${kill(3)}"}\n{"message":"${kill(4)}"}\n`,
    `[["1735493910280174970",${JSON.stringify(`"]}[{ ${kill(5)}`.slice(6))}]]`,
  );

  it("holds the same kills however its bytes are cut", async () => {
    await fc.assert(
      fc.asyncProperty(documents, pieces, async (document, sizes) => {
        const bytes = Buffer.from(document);
        const chunks: Buffer[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          chunks.push(bytes.subarray(at, at + size));
          at += size;
        }
        const pids: number[] = [];
        await readWholeLog({ head: bytes, chunks }, clock, (event) => {
          if (event.kind === "kill") pids.push(event.report.pid);
        });
        const named = document.match(/Killed process \d/g)?.map((words) => Number(words.at(-1)));
        expect(pids).toEqual(named);
      }),
    );
  });

  it("is read to its end, whatever its brackets", async () => {
    const hostile = fc.constantFrom(
      "[",
      "{",
      '{"a":',
      "]",
      "}",
      '"',
      "\\",
      "\n",
      ",",
      '{"message":"',
    );
    await fc.assert(
      fc.asyncProperty(hostile, hostile, async (one, other) => {
        const bytes = Buffer.from(`{"a":1}\n${(one + other).repeat(200_000)}`);
        await readWholeLog({ head: bytes.subarray(0, 65_536), chunks: [bytes] }, clock, () => {});
      }),
      { numRuns: 10 },
    );
  });
});
