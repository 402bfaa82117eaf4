import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import { MailLines, type MailWrap, mailWrapOf } from "../../src/kernel-log/mail-lines.ts";
import { rowsOf } from "./mailer.ts";

const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };

const log = [
  "[330319.251380] Out of memory: Killed process 541 (dbus-broker) total-vm:4400kB, anon-rss:892kB, file-rss:380kB, shmem-rss:0kB, UID:999 pgtables:44kB oom_score_adj:-900",
  "[330319.267587] oom_reaper: reaped process 541 (dbus-broker), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
  "[330319.766059] systemd invoked oom-killer: gfp_mask=0x40cc0(GFP_KERNEL|__GFP_COMP), order=1, oom_score_adj=0",
];

function broken(lines: readonly string[], width: number, { mark = "", end = "" } = {}): string {
  const parts = lines.flatMap((line) => {
    const rows = rowsOf(line, width);
    return rows.map((row, index) => `${mark}${row}${index < rows.length - 1 ? end : ""}\n`);
  });
  return parts.join("");
}

function joined(text: string, wrap: MailWrap): { lines: string[]; numbers: number[] } {
  const mail = new MailLines(wrap, clock);
  const bytes = Buffer.concat([mail.push(Buffer.from(text, "latin1")), mail.end()]);
  const lines = bytes.toString("latin1").split("\n").slice(0, -1);
  return { lines, numbers: lines.map((_, index) => mail.lineNumber(index + 1)) };
}

describe("lines that a mail broke at a blank", () => {
  it.each([
    [72, { end: " " }],
    [76, {}],
    [80, {}],
  ])("are joined again: at most %d columns, %o", (width, style) => {
    const text = broken(log, width, style);
    const wrap = mailWrapOf(Buffer.from(text), clock);
    expect(wrap?.width).toBeDefined();
    const { lines, numbers } = joined(text, wrap ?? {});
    expect(lines).toEqual(log);
    const all = text.split("\n");
    expect(numbers.map((number) => all[number - 1]?.slice(0, 15))).toEqual(
      log.map((line) => line.slice(0, 15)),
    );
  });

  it("are joined without the marks of a quotation", () => {
    const text = broken(log, 74, { mark: "> " });
    expect(joined(text, mailWrapOf(Buffer.from(text), clock) ?? {}).lines).toEqual(
      log.map((line) => `> ${line}`),
    );
  });

  it("are joined where somebody broke the constraint line by hand, also inside a path", () => {
    const text = [
      "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=user.slice,",
      "  mems_allowed=0-1,global_oom,task_memcg=/user.slice/user-1000.slice/",
      "  user@1000.service/app.slice/a.service,task=chrome,pid=3670881,uid=1000",
      "Out of memory: Killed process 3670881 (chrome) total-vm:9kB, anon-rss:8kB",
    ];
    const wrap = mailWrapOf(Buffer.from(text.join("\n")), clock);
    expect(joined(`${text.join("\n")}\n`, wrap ?? {}).lines).toEqual([
      "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=user.slice,mems_allowed=0-1,global_oom,task_memcg=/user.slice/user-1000.slice/user@1000.service/app.slice/a.service,task=chrome,pid=3670881,uid=1000",
      text[3],
    ]);
  });

  it("are joined where a terminal broke the constraint line anywhere before the mail did", () => {
    const text = [
      "[   56.419654] ",
      "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom",
      "_memcg=/test,task_m",
      "emcg=/test,task=stress,pid=1122,uid=0",
      "workload.service: Failed with result 'oom-kill'.",
      "[   56.419663] Memory cgroup out of memory: Killed process 1122 (stress) ",
      "total-vm:719740kB, anon-rss:522880kB",
      "",
    ].join("\n");
    const { lines } = joined(text, mailWrapOf(Buffer.from(text), clock) ?? {});
    expect(lines[1]).toBe(
      "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/test,task_memcg=/test,task=stress,pid=1122,uid=0",
    );
  });

  it("are joined where a constraint line was broken by backslashes", () => {
    const head = "[1.000000] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),";
    const rest = ["cpuset=a.scope,mems_allowed=0,", "oom_memcg=/a,", "task_memcg=/a/a.scope,"];
    const text = [head, ...rest].map((line) => `    ${line}\\`);
    const whole = `${head}${rest.join("")}task=tail,pid=7,uid=0`;
    const lines = [...text, "    task=tail,pid=7,uid=0", "    [1.000001] b", ""].join("\n");
    expect(mailWrapOf(Buffer.from(lines), clock)).toBeDefined();
    expect(joined(lines, {}).lines[0]?.trim()).toBe(whole);
  });

  it("are joined where somebody broke the kill line by hand", () => {
    const text = `> [Tue Sep 16 03:14:22] Out of memory: Killed process 2481 (python3)\n>   total-vm:8123400kB, anon-rss:7981200kB\n> \n> More.\n`;
    expect(mailWrapOf(Buffer.from(text), clock)).toEqual({});
    expect(joined(text, {}).lines[0]).toBe(
      "> [Tue Sep 16 03:14:22] Out of memory: Killed process 2481 (python3) total-vm:8123400kB, anon-rss:7981200kB",
    );
  });

  it("are joined inside a word that was broken behind its hyphen", () => {
    const text =
      "> [330319.251380] Out of memory: Killed process 541 (dbus-broker) total-\nvm:\n> 4400kB, anon-rss:892kB, UID:999 \npgtables:\n> 44kB\n";
    expect(joined(text, {}).lines[0]).toContain(
      "(dbus-broker) total-vm:4400kB, anon-rss:892kB, UID:999 pgtables:44kB",
    );
  });

  it("do not swallow a remark below a whole kill line", () => {
    const text = `${broken(log, 76)}${log[0]}\nWhat does this mean, and why was it this process of all?\n`;
    const { lines } = joined(text, { width: 76 });
    expect(lines.at(-1)).toBe("What does this mean, and why was it this process of all?");
  });

  it.each([
    ["whole lines", `${log.join("\n")}\n`],
    ["a dump with lines of its own", "[    1.0] active_anon:1\n active_file:2\n unevictable:3\n"],
    ["prose", "It was killed last night, and nobody knows why that could\nhappen at all.\n"],
  ])("are not seen in %s", (_name, text) => {
    expect(mailWrapOf(Buffer.from(text), clock)).toBeUndefined();
  });

  it("come out the same however the bytes are cut into pieces", () => {
    const bytes = Buffer.from(broken(log, 76, { mark: "> " }));
    const whole = joined(bytes.toString("latin1"), { width: 78 }).lines;
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }), (sizes) => {
        const mail = new MailLines({ width: 78 }, clock);
        const pieces: Buffer[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          pieces.push(mail.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(Buffer.concat([...pieces, mail.end()]).toString()).toBe(`${whole.join("\n")}\n`);
      }),
    );
  });
});
