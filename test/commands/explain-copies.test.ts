import { spawnSync } from "node:child_process";
import * as zlib from "node:zlib";
import { describe, expect, it } from "vitest";
import { explain } from "../../src/commands/explain.ts";
import type { Kill } from "../../src/kills/kill.ts";

/* Texts as people hand them over: filtered, quoted, pasted, packed. */

const sizes = "total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB";
const kill = `Memory cgroup out of memory: Killed process 42 (java) ${sizes}, UID:0 pgtables:4kB oom_score_adj:0`;
const constraint =
  "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/docker/0074,task_memcg=/docker/0074,task=java,pid=7134,uid=0";

async function run(args: string[], text: string | Uint8Array) {
  let [stdout, stderr] = ["", ""];
  const code = await explain([...args, "-"], {
    stdout: { write: (part) => (stdout += part), columns: 200 },
    stderr: { write: (part) => (stderr += part) },
    stdin: (async function* () {
      yield typeof text === "string" ? Buffer.from(text) : text;
    })(),
    clock: () => Date.parse("2026-11-21T00:00:00Z"),
    rootfs: "/no/such/root",
    env: {},
  });
  return { code, stdout, stderr };
}

async function killsIn(text: string | Uint8Array): Promise<Kill[]> {
  const { stdout } = await run(["--json"], text);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

const shown = (kills: Kill[]) =>
  kills.map(({ pid, comm, time, source }) => ({ pid, comm, time, line: source.line }));

describe("a report without its kill line", () => {
  it("is reported as such, and does not count as a kill", async () => {
    const { code, stdout } = await run([], `Nov 20 13:23:50 web1 kernel: ${constraint}\n`);
    expect(code).toBe(0);
    expect(stdout).toBe(
      "An OOM report without its kill line: java (pid 7134) in cgroup /docker/0074; the rest was filtered out or lost [standard input:1]\n",
    );
  });

  it("of an older kernel names the cgroup, and the victim if that is left", async () => {
    const task = "Task in /docker/0074 killed as a result of limit of /docker";
    expect((await run([], `[1.000000] ${task}\n`)).stdout).toBe(
      "An OOM report without its kill line in cgroup /docker/0074; the rest was filtered out or lost [standard input:1]\n",
    );
    const announced = "Memory cgroup out of memory: Kill process 7 (a) score 9 or sacrifice child";
    const { stderr } = await run(["--json"], `[1.000000] ${task}\n[1.000001] ${announced}\n`);
    expect(JSON.parse(stderr).fragment).toMatchObject({
      pid: 7,
      comm: "a",
      cgroup: "/docker/0074",
      limitCgroup: "/docker",
    });
  });

  it("cannot rewrite the screen by a name, with --json either", async () => {
    const line =
      "Memory cgroup out of memory: Kill process 7 (a\u202eb) score 9 or sacrifice child";
    const { stderr } = await run(["--json"], `[1.000001] ${line}\n`);
    expect(stderr).not.toContain("\u202e");
    expect(JSON.parse(stderr).fragment.comm).toBe("a\u202eb");
  });

  it("is an object on standard error with --json", async () => {
    const { code, stdout, stderr } = await run(["--json"], `[1.000000] ${constraint}\n`);
    expect([code, stdout]).toEqual([0, ""]);
    expect(JSON.parse(stderr)).toEqual({
      fragment: {
        pid: 7134,
        comm: "java",
        cgroup: "/docker/0074",
        limitCgroup: "/docker/0074",
        source: { name: "-", line: 1 },
      },
    });
  });

  it.each([
    [
      "only who asked",
      "[1.000000] java invoked oom-killer: gfp_mask=0xd0, order=0\n",
      "asked for by java",
    ],
    [
      "whom the reaper took",
      "[1.0000] oom_reaper: reaped process 7 (php), now anon-rss:0kB, file-rss:0kB\n",
      "php (pid 7)",
    ],
    [
      "whom an old kernel chose",
      "[1.000] Out of memory: Kill process 7 (php) score 9 or sacrifice child\n",
      "php (pid 7)",
    ],
  ])("may say %s", async (_what, text, words) => {
    expect((await run([], text)).stdout).toContain(words);
  });

  it("is one report, however many of its lines are left", async () => {
    const text = `[1.000000] java invoked oom-killer: gfp_mask=0xd0, order=0\n[1.000001] ${constraint}\n[1.000002] oom_reaper: reaped process 7134 (java), now anon-rss:0kB\n`;
    expect((await run([], text)).stdout.trim().split("\n")).toHaveLength(1);
  });

  it("may end in a panic, which kills nobody", async () => {
    const head = "[1.000000] java invoked oom-killer: gfp_mask=0xd0, order=0\n";
    const panic = (why: string) => `[1.000001] Kernel panic - not syncing: ${why}\n`;
    const chosen = panic("Out of memory: compulsory panic_on_oom is enabled");
    expect((await run([], `${head}${chosen}`)).stdout).toBe(
      "The kernel ran out of memory, asked for by java and panicked as vm.panic_on_oom demands; set it to 0 and the kernel kills a process [standard input:1]\n",
    );
    const nobody = "Out of memory and no killable processes...";
    for (const end of [
      panic(nobody),
      `[1.000001] ${nobody}\n${panic("System is deadlocked on memory")}`,
    ]) {
      const { stderr } = await run(["--json"], `${head}${end}`);
      expect(JSON.parse(stderr).fragment).toMatchObject({ trigger: "java", panic: "no_victim" });
    }
  });

  it("ends with the panic: its traces are about the same report", async () => {
    const trace = "  oom_kill_process+0x110/0x240\n";
    const line = (at: string, text: string) => `[${at}] ${text}\n`;
    const text = [
      line("90.000001", "java invoked oom-killer: gfp_mask=0xd0, order=0"),
      line(
        "90.000002",
        "Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled",
      ),
      line("90.000003", "CPU: 2 PID: 7 Comm: java Not tainted 5.4.74 #14"),
      line("90.000004", trace.trimEnd()),
    ];
    const { stderr } = await run(["--json"], text.join(""));
    expect(stderr.trim().split("\n")).toHaveLength(1);
    const next = [
      line("30.000001", "CPU: 0 PID: 9 Comm: php Not tainted 5.4.74 #14"),
      line("30.000002", trace.trimEnd()),
    ];
    const boots = await run(["--json"], [...text, ...next].join(""));
    expect(boots.stderr.trim().split("\n")).toHaveLength(2);
  });

  it("may end in a panic after kills, which is told beside them", async () => {
    const panic = "Kernel panic - not syncing: Out of memory and no killable processes...";
    const text = `[1.000001] ${kill}\n[2.000001] ${panic}\n`;
    expect(await killsIn(text)).toHaveLength(1);
    const { stderr } = await run(["--json"], text);
    expect(JSON.parse(stderr).fragment).toMatchObject({ panic: "no_victim", source: { line: 2 } });
    const ofApp = await run(
      ["--json"],
      `[1.000001] ${kill}\nNov 20 13:23:50 web1 app[7]: ${panic}\n`,
    );
    expect(ofApp.stderr).toBe("");
  });

  it("of 2.6.12 and before has a header without a name", async () => {
    const { stdout } = await run([], "Nov 20 13:23:50 web1 kernel: oom-killer: gfp_mask=0xd2\n");
    expect(stdout).toBe(
      "An OOM report without its kill line; the rest was filtered out or lost [standard input:1]\n",
    );
  });

  it("is not reported if there is a kill line, no victim, or a program wrote it", async () => {
    expect((await run([], `[1.000000] ${constraint}\n[1.000001] ${kill}\n`)).stdout).not.toContain(
      "without its kill line",
    );
    expect(
      (
        await run(
          [],
          "[1.000000] a invoked oom-killer: gfp_mask=0xd0, order=0\n[1.000001] Out of memory and no killable processes...\n",
        )
      ).stdout,
    ).toContain("No out-of-memory kill");
    expect((await run([], `Nov 20 13:23:50 web1 app[7]: ${constraint}\n`)).stdout).toContain(
      "No out-of-memory kill",
    );
  });
});

describe("an event of Kubernetes that quotes the kernel", () => {
  const event = {
    metadata: { name: "node.17683ea4", managedFields: [{ manager: "npd" }] },
    involvedObject: { kind: "Node", name: "node" },
    reason: "OOMKilling",
    message: kill,
    source: { component: "kernel-monitor", host: "node" },
    lastTimestamp: "2026-11-20T13:23:50Z",
  };
  const said = [{ pid: 42, comm: "java", time: "2026-11-20T13:23:50.000Z", line: 1 }];

  it.each([
    ["flat", JSON.stringify(event)],
    ["nested", JSON.stringify({ verb: "ADDED", event })],
    ["in a container's output", JSON.stringify({ log: JSON.stringify(event), stream: "stdout" })],
  ])("is a kill at second hand: %s", async (_form, text) => {
    const kills = await killsIn(`${text}\n`);
    expect(shown(kills)).toEqual(said);
    expect(kills[0]?.source.secondHand).toBe(true);
    expect(kills[0]?.constraint).toBe("memcg");
  });

  it("is one in kubectl's list, and in its description", async () => {
    for (const text of [
      `LAST SEEN   TYPE      REASON       OBJECT      MESSAGE\n2m          Warning   OOMKilling   node/web1   ${kill}\n`,
      `Events:\n  Type     Reason      Age  From            Message\n  Warning  OOMKilling  2m   kernel-monitor  ${kill}\n`,
      `  Warning  OOMKilling  2m  kernel-monitor, node  Memory cgroup out of memory: Kill process 42 (java) score 9 or sacrifice child\nKilled process 42 (java) ${sizes}\n`,
    ]) {
      const [first, ...others] = await killsIn(text);
      expect(first).toMatchObject({ pid: 42, comm: "java", source: { secondHand: true } });
      expect(others).toEqual([]);
    }
  });

  it("is merged with the kernel's own kill if that is in the log too, before or after it", async () => {
    const own = `Nov 20 13:23:50 web1 kernel: ${kill}\n`;
    const quoted = `2m  Warning  OOMKilling  node/web1  ${kill}\n`;
    for (const text of [own + quoted, quoted + own, quoted + own + quoted]) {
      const kills = await killsIn(text);
      expect(kills).toHaveLength(1);
      expect(kills[0]?.source.secondHand).toBeUndefined();
    }
    expect(await killsIn(quoted + quoted)).toHaveLength(1);
  });

  it("that is not of a kill is none", async () => {
    const system = { ...event, message: "System OOM encountered, victim process: java, pid: 42" };
    expect(await killsIn(JSON.stringify(system))).toEqual([]);
  });
});

describe("a text of journalctl that hides messages", () => {
  it("is said to, with a kill or without", async () => {
    const hidden = "Nov 20 13:23:50 web1 kernel: [95B blob data]\n";
    const said =
      '2 kernel messages are hidden as "blob data", and a kill may be among them. Export the log again:\n    journalctl -k -a\n';
    expect((await run([], hidden.repeat(2))).stdout).toBe(
      `No out-of-memory kill in standard input.\n${said}`,
    );
    expect((await run([], `Nov 20 13:23:50 web1 kernel: ${kill}\n${hidden}`)).stdout).toContain(
      '1 kernel message is hidden as "blob data"',
    );
    expect((await run([], hidden.replace("kernel", "app[7]"))).stdout).not.toContain("blob");
  });
});

describe("a pasted text", () => {
  const line = `Nov 20 13:23:50 web1 kernel: ${kill}`;
  const said = [{ pid: 42, comm: "java", time: "2026-11-20T13:23:50.000Z", line: 1 }];

  it.each(["\u00a0", "\u202f", "\u3000"])("may have blanks of another kind: %j", async (blank) => {
    expect(shown(await killsIn(`${line.replaceAll(" ", blank)}\n`))).toEqual(said);
  });

  it("may have every second blank of another kind, as pages keep them", async () => {
    const line = `[    8.640407]  web1 kernel:  ${kill}`.replaceAll("  ", " \u00a0");
    expect(shown(await killsIn(`${line}\n`))).toMatchObject([{ pid: 42, comm: "java" }]);
  });

  it("may be one line of a page, broken by tags alone", async () => {
    const stamp = "Nov 20 13:23:50 web1 kernel: ";
    const text = [constraint, kill].map((message) => `${stamp}${message}`).join("<br>");
    expect(await killsIn(text)).toMatchObject([{ pid: 42, limitCgroup: "/docker/0074" }]);
  });

  it("may have tabs in its stamps", async () => {
    for (const [stamp, time] of [
      ["Nov 20\t13:23:50\tweb1\tkernel:\t", "2026-11-20T13:23:50.000Z"],
      ["[\t8.640407]\t", null],
    ]) {
      const text = [constraint, kill].map((message) => `${stamp}${message}\n`).join("");
      expect(await killsIn(text)).toMatchObject([
        { pid: 42, time, limitCgroup: "/docker/0074", source: { line: 2 } },
      ]);
    }
  });

  it("may have carriage returns alone, and be in UTF-16 of either order, with and without its mark", async () => {
    const said = [{ pid: 42, source: { line: 2 } }];
    const lines = `Nov 20 13:23:50 web1 kernel: usb 1-1: new\n${line}\n`;
    expect(await killsIn(lines.replaceAll("\n", "\r"))).toMatchObject(said);
    for (const text of [`\ufeff${lines}`, lines]) {
      const little = Buffer.from(text, "utf16le");
      expect(await killsIn(little)).toMatchObject(said);
      expect(await killsIn(Buffer.from(little).swap16())).toMatchObject(said);
    }
  });

  it("may have the edge of a terminal's pane before its lines", async () => {
    const text = ["[    8.640407] usb 1-1: new", `[    8.640409] ${kill}`];
    const kills = await killsIn(text.map((part) => `\u2502${part}\n`).join(""));
    expect(kills).toMatchObject([{ pid: 42, uptimeSeconds: 8.640409, source: { line: 2 } }]);
  });

  it("may have numbers before the kernel's bare lines, or before lines with tags", async () => {
    const announced = "Out of memory: Kill process 7 (php) score 31 or sacrifice child";
    const killed = "Killed process 7 (php) total-vm:90kB, anon-rss:80kB, file-rss:4kB";
    for (const text of [
      `  41  ${announced}\n  42  ${killed}\n`,
      `  41  web1 kernel: ${announced}${" ".repeat(40)}web1 kernel: ${killed}\n`,
    ]) {
      expect((await killsIn(text)).map(({ pid, constraint: of }) => [pid, of])).toEqual([
        [7, "none"],
      ]);
    }
  });

  it("may have blanks between the stamp and the message", async () => {
    const text = line.replace("kernel: ", "kernel:   ");
    expect(shown(await killsIn(`${text}\n`))).toEqual(said);
    expect(
      await killsIn(`[1.000000]  \t${kill}\n[2.000000]    ${kill.replace("42", "43")}\n`),
    ).toHaveLength(2);
  });

  it.each([
    ["behind Killed", line.replace("Killed process", "Killed\nprocess")],
    ["behind Killed, quoted", `> ${line.replace("Killed process", "Killed\n> process")}`],
    ["behind process", line.replace("process 42", "process\n42")],
    ["behind the prefix", line.replace(": Killed", ":\nKilled")],
    ["behind the name", line.replace("(java) ", "(java)\n")],
    ["twice", line.replace("Killed process", "Killed\nprocess").replace(", anon", ",\nanon")],
    [
      "in OpenVZ's words",
      "Nov 20 13:23:50 web1 kernel: Out of memory in UB 7: OOM \nkilled process 42 (java) score 0 vm:8kB, rss:4kB, swap:0kB",
    ],
  ])("may be broken by a mail %s", async (_where, text) => {
    expect(shown(await killsIn(`${text}\n`))).toEqual(said);
  });

  it("may have a stamp of another tool before the kernel's bare lines", async () => {
    const text = `Timestamp:2020-07-01 10:04:39\nKilled process 300907 (java) ${sizes}\n`;
    expect(shown(await killsIn(text))).toEqual([
      { pid: 300907, comm: "java", time: "2020-07-01T10:04:39.000Z", line: 2 },
    ]);
    expect(await killsIn(`2020-07-01 10:04:39\n${kill}\n${constraint}\n`)).toHaveLength(1);
  });

  it("may have lines that only blanks separate, each with its tag", async () => {
    const announced =
      "web1 kernel: Out of memory: Kill process 7 (php) score 31 or sacrifice child";
    const killed = "web1 kernel: Killed process 7 (php) total-vm:90kB, anon-rss:80kB, file-rss:4kB";
    const kills = await killsIn(`${announced}${" ".repeat(50)}${killed}\n`);
    expect(kills.map(({ pid, comm, constraint: of }) => [pid, comm, of])).toEqual([
      [7, "php", "none"],
    ]);
  });

  it("may have two reports of 2.6.12 below each other, without stamps and names", async () => {
    const report = (pid: number, gfp: string) =>
      `oom-killer: gfp_mask=${gfp}\nOut of Memory: Killed process ${pid} (php).\n`;
    const kills = await killsIn(`${report(7, "0xd0")}${report(8, "0x1d2")}`);
    expect(kills.map(({ pid, trigger }) => [pid, trigger?.gfpMask])).toEqual([
      [7, "0xd0"],
      [8, "0x1d2"],
    ]);
  });

  it("may quote a kill in a sentence, which is the same kill as its own line", async () => {
    const sentence = `I found \`${kill}\` in it, and wonder.`;
    expect(shown(await killsIn(`${sentence}\n`))).toEqual([{ ...said[0], time: null }]);
    expect(await killsIn(`${sentence}\n${line}\n`)).toHaveLength(1);
    expect(await killsIn(`${line}\nAs you see, ${kill}.\n`)).toHaveLength(1);
    expect(await killsIn(`Nov 20 13:23:50 web1 app[7]: I quote\n  here ${kill}\n`)).toEqual([]);
  });

  it.each([
    ["by a blank", " "],
    ["by a terminal that pads them", "                    "],
  ])("may have its lines joined %s", async (_how, blanks) => {
    const other = line.replace("42", "43");
    expect(shown(await killsIn(`${line}${blanks}${other}\n`))).toEqual([
      said[0],
      { ...said[0], pid: 43 },
    ]);
    const stamped = `[    1.000001] ${constraint}${blanks} [    1.000002] ${kill}`;
    const [joined] = await killsIn(`${stamped}\n`);
    expect(joined).toMatchObject({ pid: 42, limitCgroup: "/docker/0074" });
  });

  it("may have lost the head of its task table", async () => {
    const row =
      "[ 7.000000] [  77]     0    77  4383314  3919808 31670272        0          0 loki";
    const host = kill.replace("Memory cgroup out", "Out");
    const [cut] = await killsIn(`${row}\n[ 7.000001] ${host}\n`);
    expect(cut?.summary).toContain("in the rest of the table was loki (pid 77) with 15 GiB");
    expect(cut?.cause).toBe("host_exhausted");
  });

  it("that a program quotes behind a stamp and words of its own is no kill", async () => {
    const text = `2020-07-01 10:04:39 web1 app[7]: dmesg says\nKilled process 300907 (java) ${sizes}\n`;
    expect(await killsIn(text)).toEqual([]);
  });
});

describe("a line that looks like a kill in a vendor's words", () => {
  it("is reported with its position", async () => {
    const { stdout } = await run([], "[1.000000] lmk: Killed process 12 (a) adj=9 free=7\n");
    expect(stdout).toContain(
      "1 line looks like a kill but does not match any known kernel's format: standard input:1\n",
    );
  });
});

describe("a compressed log", () => {
  const text = `Nov 20 13:23:50 web1 kernel: ${kill}\n`;
  const has = (program: string) => spawnSync(program, ["--version"]).error === undefined;
  const unpacksZstd = "createZstdDecompress" in zlib || has("zstd");

  it.runIf(has("xz"))("may be xz's", async () => {
    expect(await killsIn(spawnSync("xz", ["-c"], { input: text }).stdout)).toHaveLength(1);
  });

  it.runIf(has("bzip2"))("may be bzip2's", async () => {
    expect(await killsIn(spawnSync("bzip2", ["-c"], { input: text }).stdout)).toHaveLength(1);
  });

  it.runIf(unpacksZstd && has("zstd"))("may be zstd's", async () => {
    expect(await killsIn(spawnSync("zstd", ["-c"], { input: text }).stdout)).toHaveLength(1);
  });

  it("that is damaged, or has no program to decompress it, is reported", async () => {
    const { code, stderr } = await run(
      [],
      Buffer.from("\xfd7zXZ\x00 and nothing of the kind", "latin1"),
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^oom-exporter explain: standard input: (?:xz failed: |compressed with xz, and that program is not installed)/,
    );
  });
});

describe("a line that somebody shortened", () => {
  const asked = "[Tue Oct  6 02:11:09 2026] postgres invoked oom-killer: ...";

  it.each([
    [
      "dots in the place of its sizes",
      "Memory cgroup out of memory: Killed process 7 (php) ...",
      null,
    ],
    ["dots right behind the name", "Out of memory: Killed process 7 (php)...", null],
    ["an ellipsis", "Out of memory: Killed process 7 (php) total-vm:90kB … oom_score_adj:0", null],
    ["one size", "Out of memory: Killed process 7 (php) anon-rss:80kB", 80 * 1024],
    ["dots between sizes", "Killed process 7 (php) anon-rss:80kB, [...] pgtables:4kB", 80 * 1024],
  ])("is a kill with %s", async (_how, line, anonRssBytes) => {
    const kills = await killsIn(`${asked}\n${line}\n`);
    expect(kills.map(({ pid, comm, memory }) => [pid, comm, memory.anonRssBytes])).toEqual([
      [7, "php", anonRssBytes],
    ]);
  });

  it("without sizes is a kill at second hand in a text, and none in a log, which may be forged", async () => {
    const line = "[   12.345678] Out of memory: Killed process 7 (php)";
    const inText = await killsIn(`Look:\n\`\`\`\n${line}\n\`\`\`\n`);
    expect(inText).toMatchObject([{ pid: 7, comm: "php", source: { line: 3, secondHand: true } }]);
    for (const forged of [line, `${line} anon-rss:80kB`, `${line} ... oom_score_adj:0`]) {
      expect(await killsIn(`${forged}\n`)).toEqual([]);
    }
  });

  it("with one size is a kill at second hand in a sentence", async () => {
    const text = "It died by OOM, `Killed process 7 (php) anon-rss:80kB`, on a small host.\n";
    expect(await killsIn(text)).toMatchObject([
      {
        pid: 7,
        constraint: "unknown",
        memory: { anonRssBytes: 80 * 1024 },
        source: { secondHand: true },
      },
    ]);
  });

  it("may have lost blanks", async () => {
    const text =
      "Out of memory: Killed process 7(php) total-vm:90kB, anon-rss:80kB, shmem-rss:0kB,UID:9 pgtables:4kB oom_score_adj:0\n";
    expect(await killsIn(text)).toMatchObject([{ pid: 7, comm: "php", uid: 9 }]);
  });

  it("waits for its rest where it ends in a comma", async () => {
    const text =
      "Out of memory: Killed process 7 (php) total-vm:90kB,\nanon-rss:80kB, file-rss:4kB\n";
    const kills = await killsIn(text);
    expect(kills.map(({ memory }) => memory.fileRssBytes)).toEqual([4 * 1024]);
  });

  it.each([
    ["the whole name of a unit", "/system.slice/a.service", "/system.slice/a.service"],
    ["a path that may be cut", "/system.slice/a", null],
  ])(
    "has its limit although the constraint line ends behind it: %s",
    async (_what, path, limit) => {
      const text = `oom-kill:constraint=CONSTRAINT_MEMCG, oom_memcg=${path}\nKilled process 7 (php) total-vm:90kB anon-rss:80kB\n`;
      const kills = await killsIn(text);
      expect(kills.map(({ limitCgroup }) => limitCgroup)).toEqual([limit]);
    },
  );

  it("has its victim's cgroup although somebody broke and shortened the constraint line", async () => {
    const lines = (task: string) => [
      "```",
      "oom-kill:constraint=CONSTRAINT_NONE, nodemask=(null), cpuset=qemu.slice,",
      `         mems_allowed=0, global_oom, task_memcg=/qemu.slice/105.scope, task=${task}`,
      "Out of memory: Killed process 7 (kvm)",
      "         total-vm:90kB, anon-rss:80kB",
      "```",
      "",
    ];
    const cgroupOf = async (task: string) =>
      (await killsIn(lines(task).join("\n"))).map(({ pid, cgroup }) => [pid, cgroup]);
    expect(await cgroupOf("kvm")).toEqual([[7, "/qemu.slice/105.scope"]]);
    expect(await cgroupOf("php")).toEqual([[7, null]]);
  });

  it("has its trigger although the header ends behind its words", async () => {
    const kills = await killsIn(
      "php invoked oom-killer\nOut of memory: Killed process 7 (php) ...\n",
    );
    expect(kills.map(({ trigger }) => trigger?.comm)).toEqual(["php"]);
  });

  it("has its victim's cgroup although the uid of the constraint line is left out", async () => {
    const line =
      "oom-kill: constraint=CONSTRAINT_MEMCG, oom_memcg=/a, task_memcg=/a/b, task=php,pid=7";
    const kills = await killsIn(
      `${line}\nMemory cgroup out of memory: Killed process 7 (php) ...\n`,
    );
    expect(kills.map(({ cgroup, limitCgroup }) => [cgroup, limitCgroup])).toEqual([["/a/b", "/a"]]);
  });
});

describe("a report with its envelope on the first line only", () => {
  const lines = [
    "memory: usage 2097152kB, limit 2097152kB, failcnt 5512",
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=a,mems_allowed=0,oom_memcg=/system.slice/a.service,task_memcg=/system.slice/a.service,task=postgres,pid=48213,uid=113",
    "Memory cgroup out of memory: Killed process 48213 (postgres) total-vm:2713448kB, anon-rss:1842200kB, file-rss:9216kB, shmem-rss:131072kB, UID:113 pgtables:4212kB oom_score_adj:0",
  ];

  it.each([
    ["dmesg -T", "[Tue Oct  6 02:11:09 2026] ", "2026-10-06T02:11:09.000Z"],
    ["syslog", "Oct  6 02:11:09 web1 kernel: ", "2026-10-06T02:11:09.000Z"],
    ["dmesg", "[    8.640407] ", null],
  ])("of %s is read whole, at the time of its first line", async (_form, envelope, time) => {
    const head = `${envelope}postgres invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0`;
    const kills = await killsIn(`${[head, ...lines].join("\n")}\n`);
    expect(kills).toMatchObject([
      {
        pid: 48213,
        time,
        limitBytes: 2 ** 31,
        cgroup: "/system.slice/a.service",
        source: { line: 4 },
      },
    ]);
    expect(kills[0]?.trigger?.comm).toBe("postgres");
  });

  it("is a program's text after a program's line", async () => {
    const { stdout } = await run([], `Oct  6 02:11:09 web1 app[7]: it said\n${lines.join("\n")}\n`);
    expect(stdout).toContain("No out-of-memory kill");
  });
});
