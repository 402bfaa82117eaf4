import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hasJsonStrings, JsonStrings } from "../../src/kernel-log/json-strings.ts";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import type { OomKillReport } from "../../src/kernel-log/oom-report.ts";
import { readWholeLog } from "../../src/kernel-log/whole-log.ts";

const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };

async function killsIn(text: string): Promise<OomKillReport[]> {
  const bytes = Buffer.from(text, "utf8");
  const kills: OomKillReport[] = [];
  await readWholeLog(
    { head: bytes.subarray(0, 65_536), chunks: [bytes.subarray(0, 100), bytes.subarray(100)] },
    clock,
    (event) => {
      if (event.kind === "kill") kills.push(event.report);
    },
  );
  return kills;
}

/** What a report says, without its place in the log. */
function told({ pid, comm, constraint, limitCgroup, groupCgroup, dump }: OomKillReport) {
  return { pid, comm, constraint, limitCgroup, groupCgroup, dump };
}

const log = gunzipSync(
  readFileSync(new URL("../fixtures/logs/memcg-v2-group.kern.log.gz", import.meta.url)),
).toString("latin1");
/** One report, from its header to its kill line. */
const stamped = /^.*oom-killer: (?:.*\n)+?.*Killed process.*\n/m.exec(log)?.[0] ?? "";
const bare = stamped.replace(/^.*kernel: \[ *\d+\.\d+\] /gm, "");

describe.each([
  ["a report", stamped],
  ["a report without stamps", bare],
])("%s", (_, report) => {
  const lines = report.trim().split("\n");
  const forms: [string, string][] = [
    ["a member", JSON.stringify({ message: report })],
    [
      "a member among text",
      JSON.stringify({ body: `It says:\n${report}Why? (caffè, 火)` }, null, 2),
    ],
    ["a string", JSON.stringify(report)],
    ["a string in a string", JSON.stringify({ log: JSON.stringify(report) })],
    ["a member in a string", JSON.stringify({ log: JSON.stringify({ text: report }) })],
    ["a deep member", JSON.stringify({ items: [{ kind: "Event", note: report }] }, null, 1)],
    ["a list of lines", JSON.stringify(lines)],
    ["a list on many lines", JSON.stringify({ lines }, null, 2)],
    ["a list of lines with newlines", JSON.stringify(lines.map((line) => `${line}\n`))],
    ["what was printed of a string", report.replaceAll("\n", "\\n")],
    ["what was printed of a string twice", report.replaceAll("\n", "\\\\n")],
    ["with carriage returns", JSON.stringify({ message: report.replaceAll("\n", "\r\n") })],
  ];

  it.each(forms)("is read whole from %s", async (_, text) => {
    expect((await killsIn(text)).map(told)).toEqual((await killsIn(report)).map(told));
    expect((await killsIn(text))[0]?.dump?.tasks?.length).toBe(5);
  });
});

it("is read whole from a document of any size", async () => {
  const many = stamped.repeat(20);
  const kills = await killsIn(JSON.stringify({ body: many }));
  expect(kills.map(told)).toEqual((await killsIn(many)).map(told));
  expect(kills).toHaveLength(20);
});

it("tells the line of the document where a kill stands", async () => {
  const text = JSON.stringify({ lines: stamped.trim().split("\n") }, null, 2);
  const [kill] = await killsIn(text);
  expect(text.split("\n")[(kill?.lineNumber ?? 0) - 1]).toContain("Killed process 226 (greedy)");
});

describe("what is no such document", () => {
  const killLine = stamped.trim().split("\n").at(-1) ?? "";
  const records = stamped
    .trim()
    .split("\n")
    .map((message) => ({ timestamp: 1_795_181_030_671, message }));

  it.each([
    ["records on lines of their own", records.map((record) => JSON.stringify(record)).join("\n")],
    ["a list of records", JSON.stringify({ events: records })],
    [
      "pairs of a time and a message",
      JSON.stringify(records.map((r) => [`${r.timestamp}`, r.message])),
    ],
    [
      "a record whose process has a newline in its name",
      JSON.stringify({ dmesg: [...records, { message: "Killed process 7 (a\nb) total-vm:8kB" }] }),
    ],
    ["a log", stamped],
    ["a line of a program that quotes a kill", `app[7]: "seen:\\n${killLine}\\nand more"`],
    ["a document about something else", JSON.stringify({ body: "first\nsecond" })],
  ])("is left to others: %s", (_, text) => {
    expect(hasJsonStrings(Buffer.from(text))).toBe(false);
  });

  it("is returned as it came if it is cut off", () => {
    const text = JSON.stringify({ body: stamped }).slice(0, -2);
    const strings = new JsonStrings();
    strings.push(Buffer.from(text));
    expect(strings.end().toString("latin1")).toBe(text);
  });
});

it("never throws, and does not depend on how the bytes are cut", () => {
  const piece = fc.constantFrom(
    '{"a":"',
    "\\n",
    "oom-killer: ",
    '"',
    "}",
    "[",
    ",",
    "\\",
    "é",
    "\n",
  );
  fc.assert(
    fc.property(fc.array(piece), fc.nat(40), (pieces, cut) => {
      const bytes = Buffer.from(pieces.join(""));
      hasJsonStrings(bytes);
      const read = (...chunks: Buffer[]) => {
        const strings = new JsonStrings();
        return Buffer.concat([...chunks.map((chunk) => strings.push(chunk)), strings.end()]);
      };
      expect(read(bytes.subarray(0, cut), bytes.subarray(cut))).toEqual(read(bytes));
    }),
  );
});
