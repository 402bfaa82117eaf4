import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type KernelMessage, parseKmsgRecord } from "../../src/kernel-log/kernel-message.ts";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import { readWholeLog } from "../../src/kernel-log/whole-log.ts";

/*
 * An envelope never changes what a kill's report says: what a real kernel wrote, put into the
 * envelopes of many tools and copied in the ways in which people copy logs.
 */

const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };
const bootMs = Date.parse("2026-11-20T13:23:42Z");

const samples = ["memcg-v2-kube", "memcg-v1-parent", "global-swap", "memcg-v2-group", "threads"];

function recordsOf(sample: string): KernelMessage[] {
  const url = new URL(`../fixtures/logs/${sample}.kmsg.gz`, import.meta.url);
  const lines = gunzipSync(readFileSync(url)).toString("latin1").split("\n");
  return lines.flatMap((line) => parseKmsgRecord(line) ?? []);
}

/** The reports in a log, without what only an envelope shows. */
async function reportsIn(text: string) {
  const bytes = Buffer.from(text, "latin1");
  const reports: unknown[] = [];
  const log = { head: bytes.subarray(0, 65_536), chunks: [bytes] };
  await readWholeLog(log, clock, (event) => {
    if (event.kind !== "kill") return;
    const { killLine, lineNumber: _line, endOffset: _end, ...report } = event.report;
    reports.push({ ...report, text: killLine.text });
  });
  return reports;
}

const level = 4;
const seconds = ({ printkMicros = 0 }: KernelMessage) => (printkMicros / 1e6).toFixed(6);
const printk = (message: KernelMessage) => `[${seconds(message).padStart(12)}] `;
const wall = ({ printkMicros = 0 }: KernelMessage) => new Date(bootMs + printkMicros / 1000);
const iso = (message: KernelMessage) => wall(message).toISOString().slice(0, 23);
const day = (message: KernelMessage) => wall(message).toUTCString().slice(5, 7);
const hour = (message: KernelMessage) => iso(message).slice(11, 19);
const syslog = (message: KernelMessage) => `Nov ${day(message)} ${hour(message)} web1 kernel: `;
const ctime = (message: KernelMessage) => `[Fri Nov ${day(message)} ${hour(message)} 2026] `;

/** Each line of a record behind the same prefix, as syslog daemons do. */
function prefixed(records: readonly KernelMessage[], prefix: (message: KernelMessage) => string) {
  return records
    .flatMap((message) => message.text.split("\n").map((line) => `${prefix(message)}${line}\n`))
    .join("");
}

/** Further lines of a record indented, as dmesg and journalctl do. */
function indented(records: readonly KernelMessage[], prefix: (message: KernelMessage) => string) {
  return records
    .map((message) => {
      const before = prefix(message);
      return `${before}${message.text.replaceAll("\n", `\n${" ".repeat(before.length)}`)}\n`;
    })
    .join("");
}

const fieldsOf = (message: KernelMessage) => ({
  _TRANSPORT: "kernel",
  PRIORITY: String(level),
  MESSAGE: Buffer.from(message.text, "latin1").toString("utf8"),
  SYSLOG_FACILITY: "0",
});

const envelopes: [name: string, write: (records: readonly KernelMessage[]) => string][] = [
  ["dmesg -r", (all) => indented(all, (message) => `<${level}>${printk(message)}`)],
  ["dmesg -x -T", (all) => indented(all, (message) => `kern  :warn  : ${ctime(message)}`)],
  [
    "dmesg -d",
    (all) => indented(all, (message) => printk(message).replace("]", " <    0.000002>]")),
  ],
  [
    "dmesg -H",
    (all) =>
      indented(all, (_message) => "[  +0.000002] ").replace("[  +0.000002]", "[Nov20 13:23]"),
  ],
  [
    "dmesg --time-format iso",
    (all) => indented(all, (message) => `${iso(message)}000+00:00 `.replace(".", ",")),
  ],
  [
    "dmesg with callers",
    (all) => indented(all, (message) => `${printk(message).trimEnd()}[ T226] `),
  ],
  ["kern.log", (all) => prefixed(all, (message) => syslog(message) + printk(message))],
  ["messages", (all) => prefixed(all, syslog)],
  [
    "RFC 5424",
    (all) =>
      prefixed(
        all,
        (message) => `<${level}>1 ${iso(message)}Z web1 kernel - - - ${printk(message)}`,
      ),
  ],
  [
    "rsyslog's #012",
    (all) => all.map((m) => `${syslog(m)}${m.text.replaceAll("\n", "#012")}\n`).join(""),
  ],
  [
    "journalctl -o short-full",
    (all) => indented(all, (m) => `Fri ${iso(m).slice(0, 19).replace("T", " ")} UTC web1 kernel: `),
  ],
  ["journalctl -o short-monotonic", (all) => indented(all, (m) => `${printk(m)}web1 kernel: `)],
  ["journalctl -o json", (all) => all.map((m) => `${JSON.stringify(fieldsOf(m))}\n`).join("")],
  [
    "journalctl -o json-pretty",
    (all) => all.map((m) => `${JSON.stringify(fieldsOf(m), null, "\t")}\n`).join(""),
  ],
  [
    "journalctl -o export",
    (all) =>
      all
        .map((m, index) => {
          const text = Buffer.from(m.text, "latin1");
          const length = Buffer.alloc(8);
          length.writeBigUInt64LE(BigInt(text.length));
          return `__CURSOR=s;i=${index}\n_TRANSPORT=kernel\nPRIORITY=${level}\nMESSAGE\n${length.toString("latin1")}${m.text}\n\n`;
        })
        .join(""),
  ],
  [
    "journalctl -o verbose",
    (all) =>
      all
        .map(
          (m, index) =>
            `Fri ${iso(m).replace("T", " ")}000 UTC [s=1f;i=${index}]\n    PRIORITY=${level}\n    MESSAGE=${m.text.replaceAll("\n", `\n${" ".repeat(12)}`)}\n    _TRANSPORT=kernel\n`,
        )
        .join(""),
  ],
  ["Windows line ends", (all) => indented(all, printk).replaceAll("\n", "\r\n")],
  ["blank lines between", (all) => prefixed(all, syslog).replaceAll("\n", "\n\n")],
  ["a mail's quotation", (all) => prefixed(all, syslog).replaceAll(/^/gm, "> ").slice(0, -2)],
  ["Markdown's indentation", (all) => indented(all, printk).replaceAll(/^/gm, "    ").slice(0, -4)],
  ["grep in files", (all) => prefixed(all, syslog).replaceAll(/^(?=.)/gm, "/var/log/messages:")],
  ["a terminal's colours", (all) => prefixed(all, (m) => `\x1b[32m${printk(m)}\x1b[0m`)],
  ["a terminal of 100 columns", (all) => prefixed(all, syslog).replaceAll(/.{100}(?=.)/g, "$&\n")],
  ["a serial console's log", (all) => prefixed(all, (m) => `${iso(m)}Z ${printk(m)}`)],
  [
    "each line twice",
    (all) =>
      prefixed(all, syslog).replaceAll(/^.*\n/gm, (line) =>
        line.includes("Killed process") ? line : line + line,
      ),
  ],
  [
    "a storm of other messages",
    (all) =>
      prefixed(all, syslog).replaceAll(
        /^.*\n/gm,
        (line) => `${line}${line.slice(0, 15)} web1 kernel: IPVS: no destination available\n`,
      ),
  ],
];

describe.each(samples)("the kills of %s", (sample) => {
  const records = recordsOf(sample);
  const truth = reportsIn(indented(records, printk));

  it("are there", async () => {
    expect((await truth).length).toBeGreaterThan(0);
  });

  it.each(envelopes)("say the same in %s", async (_name, write) => {
    expect(await reportsIn(write(records))).toEqual(await truth);
  });
});

describe("a kill line behind a stamp and a host, without a tag", () => {
  const line =
    "Nov 20 13:23:50 web1 Out of memory: Killed process 42 (java) total-vm:8kB, anon-rss:4kB\n";

  it("is the kernel's in a log whose kernel lines have no tag", async () => {
    expect(await reportsIn(`Nov 20 13:23:49 web1 eth0: link up\n${line}`)).toHaveLength(1);
  });

  it.each([
    ["plain", ""],
    ["in a mail", "> "],
    ["from grep", "/var/log/messages:"],
  ])("is another program's in a log whose kernel lines have one, %s", async (_how, mark) => {
    for (const time of ["13:23:49", "13:23:49.671745"]) {
      const link = `Nov 20 ${time} web1 kernel: eth0: link up`;
      expect(await reportsIn(`${mark}${link}\n${mark}${line}`)).toHaveLength(0);
    }
  });
});
