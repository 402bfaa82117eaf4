import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type EntryForm, EntryLines, entryFormOf } from "../../src/kernel-log/entry-lines.ts";

const fixture = (name: string) =>
  gunzipSync(readFileSync(new URL(`../fixtures/logs/${name}.gz`, import.meta.url)));

function linesOf(form: EntryForm, text: string | Uint8Array): Record<string, unknown>[] {
  const entries = new EntryLines(form);
  const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : text;
  return jsonOf(Buffer.concat([entries.push(bytes), entries.end()]));
}

function jsonOf(lines: Buffer): Record<string, unknown>[] {
  return lines
    .toString("utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line.replace(/,$/, "")));
}

describe("the form of a log's entries", () => {
  it.each([
    ["journalctl -o export", "__CURSOR=s=1;i=2\nMESSAGE=x\n\n", "export"],
    ["journalctl -o json-pretty", '{\n\t"MESSAGE" : "x"\n}\n', "json"],
    ["dmesg --json", '{\n   "dmesg": [\n      {\n         "pri": 3', "json"],
    ["an array of entries", '[\n  {\n    "MESSAGE": "x"\n  }\n]\n', "json"],
    [
      "journalctl -o verbose",
      "-- Logs begin at Fri 2026-11-20 --\nFri 2026-11-20 13:23:50.671745 UTC [s=1f0c;i=2]\n",
      "verbose",
    ],
    ["journalctl -o json", '{"MESSAGE":"x"}\n', undefined],
    ["a log of lines", "Nov 20 13:23:50 web1 kernel: x\n", undefined],
  ])("is recognised by its beginning: %s", (_name, head, form) => {
    expect(entryFormOf(Buffer.from(head))).toBe(form);
  });
});

describe("entries as lines", () => {
  it("keep an array of bytes, which journald writes for text that is not UTF-8", () => {
    const pretty =
      '{\n\t"PRIORITY" : "3",\n\t"MESSAGE" : [\n\t\t75,\n\t\t255\n\t]\n}\n{\n\t"MESSAGE" : "b"\n}\n';
    expect(linesOf("json", pretty)).toEqual([
      { PRIORITY: "3", MESSAGE: [75, 255] },
      { MESSAGE: "b" },
    ]);
    const exported = "__CURSOR=1\nMESSAGE\n\x02\0\0\0\0\0\0\0K\xff\n\n__CURSOR=2\nMESSAGE=b\n\n";
    expect(linesOf("export", exported)).toEqual([
      { __CURSOR: "1", MESSAGE: [75, 255] },
      { __CURSOR: "2", MESSAGE: "b" },
    ]);
  });

  it("keep objects in an entry", () => {
    const pretty =
      '[\n  {\n    "jsonPayload": {\n      "MESSAGE": "x"\n    },\n    "timestamp": "t"\n  }\n]\n';
    expect(linesOf("json", pretty)).toEqual([{ jsonPayload: { MESSAGE: "x" }, timestamp: "t" }]);
  });

  it("of journalctl -o verbose have their stamp, and all lines of a value", () => {
    const verbose =
      "Fri 2026-11-20 13:23:50.671745 UTC [s=1f0c;i=2]\n" +
      "    _TRANSPORT=kernel\n    MESSAGE=anon 1\n            file 2\n    PRIORITY=6\n";
    expect(linesOf("verbose", verbose)).toEqual([
      {
        "@timestamp": "2026-11-20 13:23:50.671745 UTC",
        _TRANSPORT: "kernel",
        MESSAGE: "anon 1\nfile 2",
        PRIORITY: "6",
      },
    ]);
  });

  it("know the log line of their message", () => {
    const bytes = fixture("comm-odd.journal-export");
    const entries = new EntryLines("export");
    const lines = jsonOf(Buffer.concat([entries.push(bytes), entries.end()]));
    const log = bytes.toString("latin1").split("\n");
    for (const [index, { MESSAGE }] of lines.entries()) {
      const line = log[entries.lineNumber(index + 1) - 1] ?? "";
      const text = typeof MESSAGE === "string" ? Buffer.from(MESSAGE).toString("latin1") : "";
      if (!text.includes("\n") && text !== "") expect(line).toBe(`MESSAGE=${text}`);
    }
  });

  it.each<[EntryForm, string]>([
    ["export", "comm-odd.journal-export"],
    ["json", "comm-odd.dmesg-json"],
  ])("are the same however the bytes are cut into pieces: %s", (form, file) => {
    const bytes = fixture(file).subarray(0, 60_000);
    const whole = linesOf(form, bytes);
    expect(whole.length).toBeGreaterThan(20);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1 }), (sizes) => {
        const entries = new EntryLines(form);
        const pieces: Buffer[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          pieces.push(entries.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(jsonOf(Buffer.concat([...pieces, entries.end()]))).toEqual(whole);
      }),
      { numRuns: 15 },
    );
  });
});
