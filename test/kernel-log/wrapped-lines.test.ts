import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import { WrappedLines, wrapWidthOf } from "../../src/kernel-log/wrapped-lines.ts";

const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };

const log = [
  "Mar 26 12:32:37 pi kernel: [126764.421946] python3 invoked oom-killer: gfp_mask=0x15080c0(GFP_KERNEL_ACCOUNT|__GFP_ZERO), nodemask=(null),  order=1, oom_score_adj=0",
  "Mar 26 12:32:37 pi kernel: [126764.421959] python3 cpuset=/ mems_allowed=0",
  "Mar 26 12:32:37 pi kernel: [126764.423000] Out of memory: Kill process 1020 (python3) score 613 or sacrifice child",
  "Mar 26 12:32:37 pi kernel: [126764.423021] Killed process 1020 (python3) total-vm:632468kB, anon-rss:580212kB, file-rss:4032kB, shmem-rss:0kB",
];

function broken(lines: readonly string[], width: number, mark = ""): string {
  const pattern = new RegExp(`.{1,${width - mark.length}}`, "g");
  return lines
    .map((line) => (line.match(pattern) ?? []).map((part) => `${mark}${part}\n`).join(""))
    .join("");
}

function joined(text: string, width: number): { lines: string[]; numbers: number[] } {
  const wrapped = new WrappedLines(width, clock);
  const bytes = Buffer.concat([wrapped.push(Buffer.from(text, "latin1")), wrapped.end()]);
  const lines = bytes.toString("latin1").split("\n").slice(0, -1);
  return { lines, numbers: lines.map((_, index) => wrapped.lineNumber(index + 1)) };
}

describe("lines broken at the right margin", () => {
  it.each([80, 100, 120])("are joined again: %d columns", (width) => {
    const text = broken(log, width);
    expect(wrapWidthOf(Buffer.from(text), clock)).toBe(width);
    const { lines, numbers } = joined(text, width);
    expect(lines).toEqual(log);
    const all = text.split("\n");
    expect(numbers.map((number) => all[number - 1])).toEqual(
      log.map((line) => line.slice(0, width)),
    );
  });

  it("are joined without the mark that quotes them", () => {
    const text = broken(log, 90, "> ");
    expect(wrapWidthOf(Buffer.from(text), clock)).toBe(90);
    expect(joined(text, 90).lines).toEqual(log.map((line) => `> ${line}`));
  });

  it("are found in a text whose own lines are longer, and shorter", () => {
    const prose =
      "It died in the night, and this is all that the journal of that host has of it: ".repeat(3);
    const text = `${prose}\nshort\nlines\n\n\`\`\`\n${broken(log, 80)}\`\`\`\nWhy?\nWhat\nnow?\n`;
    expect(wrapWidthOf(Buffer.from(text), clock)).toBe(80);
  });

  it("are found though the last line of a block is as long by chance", () => {
    const last = "Mar 26 12:32:37 pi kernel: [126764.423] x".padEnd(80, "x");
    expect(wrapWidthOf(Buffer.from(`${broken(log, 80)}${last}\n\nWhy?\n`), clock)).toBe(80);
  });

  it("get back the blank that the margin took", () => {
    const text = broken(log, 80).replaceAll(/ \n/g, "\n");
    expect(joined(text, 80).lines).toEqual(log);
  });

  it.each([
    ["whole lines", `${log.join("\n")}\n`],
    [
      "lines of other lengths that go on",
      "[    1.000000] active_anon:1\n active_file:2\n unevictable:3\n",
    ],
    [
      "lines of equal length whose stamps begin with the weekday",
      [1, 2, 3]
        .map(
          (n) =>
            `Mon Nov 30 02:16:48 2015 kern.info kernel: [ 152${n}]     0  152${n}      329       43       4        0             0 hostapd\n`,
        )
        .join(""),
    ],
    ["one long line before a remark", `${log[3]}\nThis means that python3 was killed.\n`],
  ])("are not seen in %s", (_name, text) => {
    expect(wrapWidthOf(Buffer.from(text), clock)).toBeUndefined();
  });

  it("come out the same however the bytes are cut into pieces", () => {
    const bytes = Buffer.from(broken(log, 80));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }), (sizes) => {
        const wrapped = new WrappedLines(80, clock);
        const pieces: Buffer[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          pieces.push(wrapped.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(Buffer.concat([...pieces, wrapped.end()]).toString()).toBe(`${log.join("\n")}\n`);
      }),
    );
  });
});
