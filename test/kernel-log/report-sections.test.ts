import { describe, expect, it } from "vitest";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import type { KernelLogEvent, OomKillReport } from "../../src/kernel-log/oom-report.ts";
import { isInSections, ReportSections } from "../../src/kernel-log/report-sections.ts";
import { readWholeLog } from "../../src/kernel-log/whole-log.ts";

const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };

const killLine =
  "[  100.000002] Memory cgroup out of memory: Killed process 226 (greedy) total-vm:50304kB, anon-rss:48516kB, file-rss:4kB, shmem-rss:708kB, UID:0 pgtables:132kB oom_score_adj:0";
const usage = "memory: usage 65536kB, limit 65536kB, failcnt 26";
const rows = [
  "[  100.000001] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
  "[  100.000001] [    226]     0   226    12576    12307   135168        0             0 greedy",
];
const sections = [
  "## The kill",
  "```",
  killLine,
  "```",
  "## Its limit",
  "```",
  usage,
  "```",
  ...rows,
];

async function reportsIn(lines: readonly string[]): Promise<OomKillReport[]> {
  const text = Buffer.from(`${lines.join("\n")}\n`);
  const events: KernelLogEvent[] = [];
  await readWholeLog({ head: text, chunks: [text] }, clock, (event) => events.push(event));
  return events.flatMap((event) => (event.kind === "kill" ? [event.report] : []));
}

const isMoved = (lines: readonly string[]): boolean =>
  isInSections(Buffer.from(lines.join("\n")), clock);

describe("a report in sections", () => {
  it("is read whole although its kill line comes first", async () => {
    const [report] = await reportsIn(sections);
    expect(report?.dump?.memcg?.memory).toEqual({
      usageBytes: 65_536 * 1024,
      limitBytes: 65_536 * 1024,
    });
    expect(report?.dump?.tasks.map(({ comm }) => comm)).toEqual(["greedy"]);
    expect(report?.lineNumber).toBe(3);
  });

  it("keeps the numbers of the lines that it moves", () => {
    const text = Buffer.from(sections.join("\n"));
    const maker = new ReportSections(clock);
    const bytes = Buffer.concat([
      maker.push(text.subarray(0, 50)),
      maker.push(text.subarray(50)),
      maker.end(),
    ]);
    const lines = bytes.toString().split("\n").slice(0, -1);
    expect(lines.map((_, index) => sections[maker.lineNumber(index + 1) - 1])).toEqual(lines);
    expect(lines.at(-1)).toBe(killLine);
  });

  it("may name the limit of a host's kill as well: only its Mem-Info is its own", () => {
    const ofHost =
      "[  100.000002] Out of memory: Killed process 226 (greedy) total-vm:50304kB, anon-rss:48516kB, file-rss:4kB, shmem-rss:708kB, UID:0 pgtables:132kB oom_score_adj:0";
    expect(isMoved([ofHost, usage])).toBe(false);
    expect(isMoved([ofHost, "Free swap  = 0kB"])).toBe(true);
  });

  it.each([
    ["a log in the kernel's order", [usage, ...rows, killLine]],
    [
      "a kill and the head of the next report",
      [
        killLine,
        "[  101.000000] a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
        usage,
      ],
    ],
    ["two kills", [killLine, usage, killLine.replaceAll("226", "227")]],
    ["numbers of another time", [killLine, `[  160.000000] ${usage}`]],
    ["a failed allocation after a kill", [killLine, "a: page allocation failure: order:4", usage]],
    ["a text without a kill", [usage, ...rows]],
  ])("is not found in %s", (_, lines) => {
    expect(isMoved(lines)).toBe(false);
  });

  it("of a text longer than it may hold is passed on as it comes", () => {
    const maker = new ReportSections(clock);
    const long = Buffer.from(`${sections.join("\n")}\n`.repeat(300));
    const bytes = Buffer.concat([
      maker.push(long.subarray(0, 999)),
      maker.push(long.subarray(999)),
    ]);
    expect(Buffer.concat([bytes, maker.end()]).equals(long)).toBe(true);
    expect(bytes.length).toBeGreaterThan(0);
  });
});

describe("a line without an envelope after a fence", () => {
  it("is no rest of the record before the fence", async () => {
    const lines = [
      "[  100.000000] greedy invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
      "```",
      "```",
      usage,
      "```",
      "```",
      killLine,
    ];
    const [report] = await reportsIn(lines);
    expect(report?.dump?.memcg?.memory?.usageBytes).toBe(65_536 * 1024);
    expect(report?.dump?.trigger?.comm).toBe("greedy");
  });
});
