import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { explain } from "../../src/commands/explain.ts";
import type { Kill } from "../../src/kills/kill.ts";

const fixtures = new URL("../fixtures/logs/", import.meta.url);
const packed = (name: string) => readFileSync(new URL(`${name}.gz`, fixtures));
const fixture = (name: string) => gunzipSync(packed(name));
const now = Date.parse("2026-11-21T00:00:00Z");

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "explain-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

interface Run {
  code: number;
  stdout: string;
  stderr: string;
}

async function run(
  args: string[],
  options: {
    stdin?: Uint8Array;
    isTTY?: boolean;
    columns?: number;
    env?: Record<string, string>;
    rootfs?: string;
  } = {},
): Promise<Run> {
  let stdout = "";
  let stderr = "";
  const code = await explain(args, {
    stdout: { write: (text) => (stdout += text), isTTY: options.isTTY, columns: options.columns },
    stderr: { write: (text) => (stderr += text) },
    stdin: (async function* () {
      if (options.stdin !== undefined) yield options.stdin;
    })(),
    clock: () => now,
    rootfs: options.rootfs ?? directory,
    env: options.env ?? {},
    kmsgPath: join(directory, "no-such-device"),
  });
  return { code, stdout, stderr };
}

async function killsOf(...args: string[]): Promise<Kill[]> {
  const { stdout } = await run(["--json", ...args]);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

describe("explain --json", () => {
  it("prints one kill per line, with every documented field", async () => {
    const [kill, ...others] = await killsOf(file("kern.log", fixture("memcg-v2-group.kern.log")));
    expect(others.map((other) => other.pid)).toEqual([208, 210, 214]);
    expect(kill).toEqual({
      incident: "0-8640407-226",
      killer: "kernel",
      linkedIncident: null,
      time: "2026-11-20T13:23:50.000Z",
      uptimeSeconds: 8.640407,
      ageSeconds: null,
      before: null,
      loop: null,
      outcome: null,
      restartSeconds: null,
      pid: 226,
      comm: "greedy",
      program: null,
      uid: 0,
      constraint: "memcg",
      limitCgroup: "/job",
      cgroup: "/job/b",
      owner: {
        unit: null,
        container: null,
        containerId: null,
        runtime: null,
        pod: null,
        podUid: null,
        namespace: null,
        platform: null,
        task: null,
      },
      trigger: { comm: "greedy", pid: 226, gfpMask: "0xcc0(GFP_KERNEL)", order: 0, oomScoreAdj: 0 },
      memory: {
        totalVmBytes: 51511296,
        anonRssBytes: 49680384,
        fileRssBytes: 4096,
        shmemRssBytes: 724992,
        pageTablesBytes: 135168,
      },
      oomScoreAdj: 0,
      limitBytes: 67108864,
      usageBytes: 67108864,
      swapFreeBytes: null,
      cause: "parent_cgroup_limit",
      causeBasis: "read",
      summary: expect.stringContaining("reached its limit of 64 MiB"),
      advice: expect.arrayContaining([expect.stringContaining("docs/runbooks/")]),
      tasks: [
        {
          pid: 226,
          comm: "greedy",
          rssBytes: 50409472,
          swapBytes: 0,
          oomScoreAdj: 0,
          cgroup: "/job/b",
        },
        {
          pid: 210,
          comm: "member-two",
          rssBytes: 4722688,
          swapBytes: 0,
          oomScoreAdj: 0,
          cgroup: null,
        },
        {
          pid: 214,
          comm: "member-three",
          rssBytes: 4722688,
          swapBytes: 0,
          oomScoreAdj: 0,
          cgroup: null,
        },
        {
          pid: 218,
          comm: "exempt",
          rssBytes: 4722688,
          swapBytes: 0,
          oomScoreAdj: -1000,
          cgroup: null,
        },
        {
          pid: 208,
          comm: "member-one",
          rssBytes: 4718592,
          swapBytes: 0,
          oomScoreAdj: 0,
          cgroup: null,
        },
      ],
      group: "/job",
      suppressed: false,
      source: { name: "kern.log", line: 68 },
    });
  });

  it("knows uptime and no time of a log without wall clock", async () => {
    const [kill] = await killsOf(file("dmesg", fixture("global-swap.dmesg")));
    expect(kill).toMatchObject({
      time: null,
      uptimeSeconds: 19.022237,
      swapFreeBytes: 0,
      limitBytes: null,
    });
  });

  it("says that the report is missing for a kill without a dump", async () => {
    const kills = await killsOf(file("burst", fixture("burst-200.kern.log")));
    expect(kills).toHaveLength(200);
    expect(kills.filter((kill) => kill.suppressed)).toHaveLength(150);
    const missing = kills.find((kill) => kill.suppressed);
    expect(missing).toMatchObject({
      trigger: null,
      cgroup: null,
      limitBytes: null,
      tasks: [],
      constraint: "memcg",
    });
  });

  it("prints a kill once, although a restart of syslog repeated it and it is in two files", async () => {
    const log = fixture("threads.kern.log");
    const twice = file("twice.log", Buffer.concat([log, log]));
    expect(await killsOf(twice)).toHaveLength(2);
    expect(await killsOf(twice, file("iso.log", fixture("threads.kern-rfc3339.log")))).toHaveLength(
      2,
    );
  });

  it("reads a copy as people make it: quoted, from grep, broken by a terminal, in UTF-16", async () => {
    const text = fixture("memcg-v2-kube.kern.log").toString("latin1");
    const truth = await killsOf(file("kern.log", Buffer.from(text, "latin1")));
    const withoutSource = (kills: Kill[]) => kills.map(({ source: _, ...kill }) => kill);
    for (const copy of [
      Buffer.from(text.replaceAll(/^(?=.)/gm, "> "), "latin1"),
      Buffer.from(text.replaceAll(/^(?=.)/gm, "/var/log/kern.log.1:"), "latin1"),
      Buffer.from(text.replaceAll(/.{120}(?=.)/g, "$&\n"), "latin1"),
      Buffer.from(`\ufeff${text}`, "utf16le"),
    ]) {
      expect(withoutSource(await killsOf(file("copy.log", copy)))).toEqual(withoutSource(truth));
    }
  });

  it("reads compressed logs and standard input", async () => {
    expect(await killsOf(file("kern.log.1", packed("threads.kern.log")))).toHaveLength(2);
    const { stdout } = await run(["--json", "-"], { stdin: fixture("threads.journal-json") });
    expect(stdout.trim().split("\n")).toHaveLength(2);
    expect(JSON.parse(stdout.split("\n")[0] ?? "").source.name).toBe("-");
  });

  it.each([
    "threads.journal-short-precise",
    "threads.journal-json",
    "threads.journal-export",
    "comm-odd.journal-json",
  ])("reads a log that runs backwards: %s", async (name) => {
    const text = fixture(name).toString("latin1");
    const isExport = name.endsWith("export");
    const entries = isExport ? text.split(/(?<=\n\n)(?=__CURSOR=)/) : text.split(/(?<=\n)(?!\s)/);
    const reversed = await killsOf(
      file("reversed", Buffer.from(entries.reverse().join(""), "latin1")),
    );
    const forward = await killsOf(file("forward", text === "" ? "" : Buffer.from(text, "latin1")));
    const withoutSource = (kills: Kill[]) => kills.map(({ source: _, ...kill }) => kill);
    expect(withoutSource(reversed)).toEqual(withoutSource(forward));
    const lines = entries.join("").split("\n");
    for (const kill of reversed) {
      expect(lines[(kill.source.line ?? 0) - 1]).toMatch(/Killed process|75,105,108/);
    }
  });

  it("leaves out what is older than --since", async () => {
    const log = file("since.log", fixture("threads.kern.log"));
    expect(await killsOf("--since", "2026-11-20T00:00:00Z", log)).toHaveLength(2);
    expect(await killsOf("--since", "2026-11-20T23:00:00Z", log)).toHaveLength(0);
    expect(await killsOf("--since", "1d", log)).toHaveLength(2);
    expect(await killsOf("--since", "30m", log)).toHaveLength(0);
  });

  it("without FILE passes over a kern.log that was not written to since boot, as the exporter does", async () => {
    const rootfs = join(directory, "rebooted");
    mkdirSync(join(rootfs, "var/log"), { recursive: true });
    mkdirSync(join(rootfs, "proc"));
    writeFileSync(join(rootfs, "proc/uptime"), "3600.00 3600.00\n");
    const write = (name: string, log: string, writtenMs: number) => {
      const path = join(rootfs, "var/log", name);
      writeFileSync(path, fixture(log));
      utimesSync(path, writtenMs / 1000, writtenMs / 1000);
    };
    write("kern.log", "global-swap.kern.log", now - 2 * 3_600_000);
    write("messages", "threads.kern.log", now - 60_000);
    const ofThreads = await killsOf(file("threads.log", fixture("threads.kern.log")));
    const { stdout } = await run(["--json"], { rootfs });
    const kills = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(kills.map(({ pid }) => pid)).toEqual(ofThreads.map(({ pid }) => pid));
    expect(kills[0].source.name).toBe("messages");
  });

  it("reads stamps in the machine's own zone", async () => {
    const rootfs = join(directory, "tokyo");
    mkdirSync(join(rootfs, "etc"), { recursive: true });
    const block = Buffer.alloc(44 + 6 + 4);
    block.write("TZif2", "latin1");
    block.writeUInt32BE(1, 36);
    block.writeUInt32BE(4, 40);
    block.writeInt32BE(9 * 3600, 44);
    writeFileSync(
      join(rootfs, "etc/localtime"),
      Buffer.concat([block, block, Buffer.from("\nJST-9\n")]),
    );
    const { stdout } = await run(["--json", file("zone.log", fixture("global-swap.kern.log"))], {
      rootfs,
    });
    expect(JSON.parse(stdout).time).toBe("2026-11-20T04:23:09.000Z");
  });
});

describe("explain for people", () => {
  it("gives the answer first", async () => {
    const { code, stdout } = await run([
      file("global-swap.kern.log", fixture("global-swap.kern.log")),
    ]);
    expect(code).toBe(0);
    const lines = stdout.split("\n");
    expect(lines[0]).toBe(
      "swaphog (pid 208) was killed at 2026-11-20 13:23:09 UTC [global-swap.kern.log:71]",
    );
    expect(lines[1]).toMatch(/^ {2}Why {6}470 MiB of memory and 96 MiB of swap were used up/);
    expect(lines).toContain(`${" ".repeat(15)}free -h`);
  });

  it.each([60, 80, 100, 140, 200])(
    "fits %i columns, but for commands and paths to copy",
    async (columns) => {
      const names = [
        "memcg-v2-kube.journal-json",
        "cgroup-odd-names.kern.log",
        "global-swap.kern.log",
      ];
      const paths = names.map((name) => file(name, fixture(name)));
      const { stdout } = await run(paths, { columns });
      const lines = stdout.split("\n").filter((line) => !/^ {15}\S/.test(line));
      const longest = Math.max(...lines.map((line) => line.length));
      expect(longest).toBeLessThanOrEqual(columns);
      expect(longest).toBeGreaterThan(columns * 0.9);
      // As COLUMNS has it, for a pager.
      expect((await run(paths, { env: { COLUMNS: `${columns}` } })).stdout).toBe(stdout);
    },
  );

  it("begins with a table of the kills, one line each", async () => {
    const { stdout } = await run([file("threads.log", fixture("threads.kern.log"))]);
    expect(stdout.split("\n").slice(0, 6)).toMatchInlineSnapshot(`
      [
        "2 kills: alive-thread, main-name.",
        "",
        "time (UTC)           victim        pid    memory  cause         of",
        "2026-11-20 13:25:33  alive-thread  200  32.5 MiB  cgroup_limit  /threads",
        "2026-11-20 13:25:33  main-name     203  31.2 MiB  cgroup_limit  /threads",
        "",
      ]
    `);
    const { stdout: one } = await run([file("one.log", fixture("global-swap.kern.log"))]);
    expect(one).not.toContain("time (UTC)");
  });

  it("tells a storm once, and how many of its kills have no report", async () => {
    const { stdout } = await run([file("burst", fixture("burst-200.kern.log"))]);
    expect(stdout).toMatch(/^200 kills: /);
    expect(stdout.match(/^\d{4}-.* burst-\d+ /gm)).toHaveLength(200);
    const stories = stdout.match(/^ {2}Why /gm) ?? [];
    expect(stories.length).toBeLessThan(10);
    expect(stdout.match(/at most ten reports in 5 s/g)?.length).toBeLessThan(10);
    const flat = stdout.replace(/\n {11}(?=\S)/g, " ");
    const sizes = [...flat.matchAll(/^ {2}Storm {4}(\d+) kills in \d+ s, /gm)].map(([, n]) =>
      Number(n),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(200);
    expect(sizes).toHaveLength(stories.length);
  });

  it("says of a storm that took little that the memory is elsewhere", async () => {
    const line = (at: number, pid: number) =>
      `Nov 20 13:00:0${at} web kernel: [ 10${at}.000000] Memory cgroup out of memory: Killed process ${pid} (sh) total-vm:9000kB, anon-rss:2048kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:60kB oom_score_adj:0`;
    const report = [
      "Nov 20 13:00:00 web kernel: [ 100.000000] sh invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
      "Nov 20 13:00:00 web kernel: [ 100.000000] memory: usage 1048576kB, limit 1048576kB, failcnt 5",
      "Nov 20 13:00:00 web kernel: [ 100.000000] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/job,task_memcg=/job,task=sh,pid=PID,uid=0",
    ];
    const text = [0, 1, 1, 1, 1]
      .flatMap((at, index) => [
        ...report.map((part) =>
          part.replaceAll("PID", `${200 + index}`).replaceAll("[ 100.", `[ 10${at}.`),
        ),
        line(at, 200 + index),
      ])
      .join("\n");
    const { stdout } = await run([file("little.log", `${text}\n`)]);
    expect(stdout.replace(/\n {11}(?=\S)/g, " ")).toContain(
      "5 kills in 1 s, 10 MiB together: the memory is elsewhere (1 GiB was in use). By name: sh 5.",
    );
    expect(stdout.match(/^ {2}Why /gm)).toHaveLength(1);
  });

  it("explains a group that died together once, and names its other members", async () => {
    const path = file("group", fixture("memcg-v2-group.kern.log"));
    const { stdout } = await run([path]);
    expect(stdout.match(/^ {2}Why /gm)).toHaveLength(1);
    expect(stdout).not.toContain("time (UTC)");
    expect(stdout.replace(/\n {11}(?=\S)/g, " ")).toContain(
      "memory.oom.group of /job: 4 processes died together; the others were member-one (pid 208), member-two (pid 210), member-three (pid 214).",
    );
  });

  it("has the table alone with --brief", async () => {
    const path = file("brief.log", fixture("threads.kern.log"));
    const { stdout } = await run(["--brief", path]);
    expect(stdout).toContain("time (UTC)");
    expect(stdout).not.toContain("Why");
    const { stdout: one } = await run([
      "--brief",
      file("one.log", fixture("global-swap.kern.log")),
    ]);
    expect(one.split("\n")[0]).toBe("1 kill: swaphog.");
    expect((await run(["--brief", "--json", path])).code).toBe(2);
  });

  it("shows the latest kills with --limit, from whichever file they are", async () => {
    const paths = [
      file("b.log", fixture("burst-200.kern.log")),
      file("t.log", fixture("threads.kern.log")),
    ];
    const pids = async (...args: string[]) => {
      const { stdout } = await run(["--json", ...args, ...paths]);
      return stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).pid);
    };
    const all = await pids();
    expect(await pids("--limit=0")).toEqual(all);
    // The burst is the newer one.
    expect(await pids("--limit=3")).toEqual(all.slice(197, 200));
    const { stdout } = await run(["--limit=3", ...paths]);
    expect(stdout.match(/^\d{4}-/gm)).toHaveLength(3);
    expect(stdout).toContain("199 earlier not shown; --limit=0 shows all.");
    expect((await run(["--limit=-1", ...paths])).code).toBe(2);
  });

  const killAt = (stamp: string, seconds: string, pid: number, rest = "") =>
    `${stamp} web kernel: [ ${seconds}] Memory cgroup out of memory: Killed process ${pid} (sh) total-vm:9000kB, anon-rss:2048kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:60kB oom_score_adj:0${rest}\n`;
  const atLimit = (stamp: string, seconds: string, pid: number, limit: string) =>
    `${stamp} web kernel: [ ${seconds}] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=${limit},task_memcg=${limit},task=sh,pid=${pid},uid=0\n${killAt(stamp, seconds, pid)}`;

  it("takes kills at the same uptime of different boots for no storm", async () => {
    const text = ["Nov 10", "Nov 12", "Nov 15"]
      .map((day, index) => killAt(`${day} 13:00:0${index}`, `4${index}.100000`, 200 + index))
      .join("");
    const { stdout } = await run([file("boots.log", text)]);
    expect(stdout).not.toContain("Storm");
    expect(stdout.match(/^ {2}Why /gm)).toHaveLength(3);
  });

  it("explains the newest kill, also at a limit whose earlier kills are left out", async () => {
    const others = Array.from({ length: 130 }, (_, index) =>
      atLimit(
        "Nov 20 13:00:01",
        `101.${String(index).padStart(6, "0")}`,
        300 + index,
        `/c${index}`,
      ),
    );
    const text = [
      atLimit("Nov 20 13:00:00", "100.000000", 200, "/a"),
      ...others,
      atLimit("Nov 20 13:00:02", "102.000000", 201, "/a"),
    ].join("");
    const { stdout } = await run(["--limit=1", file("last.log", text)]);
    expect(stdout).toMatch(/^sh \(pid 201\) was killed/m);
  });

  it("shows the same kills with --limit as text and as JSON, where a log has no clock", async () => {
    const paths = [
      file("timed.log", killAt("Nov 20 13:00:00", "100.000000", 1)),
      file("untimed.log", killAt("", "200.000000", 2).replace(" web kernel: ", "")),
    ];
    const { stdout: text } = await run(["--limit=1", "--brief", ...paths]);
    const { stdout: json } = await run(["--limit=1", "--json", ...paths]);
    expect(text).toMatch(/ sh +2 /);
    expect(JSON.parse(json).pid).toBe(2);
  });

  it("says how many are older than --since", async () => {
    const path = file("older.log", fixture("threads.kern.log"));
    expect((await run(["--since=30m", path])).stdout.replace(/\s+/g, " ")).toBe(
      `No out-of-memory kill since 2026-11-20 23:30:00 UTC in ${path}. 2 kills are older than 2026-11-20 23:30:00 UTC. `,
    );
  });

  it("says which log is empty", async () => {
    const empty = file("empty.log", "");
    expect((await run([empty])).stdout).toBe(`No out-of-memory kill: ${empty} is empty.\n`);
    expect((await run(["-"])).stdout).toBe("No out-of-memory kill: standard input is empty.\n");
    const other = file("other.log", "nothing\n");
    expect((await run([other, empty])).stdout.replace(/\s+/g, " ")).toBe(
      `No out-of-memory kill in ${other}, ${empty}. Empty: ${empty}. `,
    );
  });

  it("calls standard input by its name", async () => {
    const { stdout } = await run(["-"], { stdin: Buffer.from("nothing\n") });
    expect(stdout).toBe("No out-of-memory kill in standard input.\n");
    const story = await run(["-"], { stdin: fixture("global-swap.kern.log") });
    expect(story.stdout).toContain("[standard input:71]");
  });

  it("shows colours to a terminal that wants them", async () => {
    const path = file("colours.log", fixture("threads.kern.log"));
    expect((await run([path])).stdout).not.toContain("\x1b");
    expect((await run([path], { isTTY: true })).stdout).toContain("\x1b[1;31m");
    expect((await run([path], { isTTY: true, env: { NO_COLOR: "1" } })).stdout).not.toContain(
      "\x1b",
    );
  });

  it("lets no name write to the terminal", async () => {
    const { stdout } = await run([file("odd", fixture("comm-odd.kern.log"))]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not come through
    expect(stdout.replaceAll("\n", "")).not.toMatch(/[\x00-\x1f\x7f\u2028]/);
    expect(stdout).toMatch(/ esc\\x1b\[31m +240 /);
    expect(stdout).toMatch(/ a\\nb +210 /);
  });

  it("lets no name of a file write to the terminal", async () => {
    const there = file("\x1b[31mred\u202e", fixture("threads.kern.log"));
    for (const path of [there, file("\x1b[2Jempty", ""), join(directory, "\x1b[2Jabsent")]) {
      const { stdout, stderr } = await run([path]);
      expect(stdout + stderr).toMatch(/\\x1b\[(?:31mred\\u\{202e\}|2J)/);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not come through
      expect((stdout + stderr).replaceAll("\n", "")).not.toMatch(/[\x00-\x1f\x7f\u202e]/);
    }
  });

  it("says that there are no kills, and what it could not read", async () => {
    const { stdout } = await run([file("forged", fixture("forged.journal-short"))]);
    expect(stdout).toBe(
      "No out-of-memory kill in " +
        join(directory, "forged") +
        ".\n1 line looks like a kill but does not match any known kernel's format: forged:4\n",
    );
  });

  it("counts no forged line if the log reveals it", async () => {
    for (const form of [
      "kmsg",
      "dmesg",
      "dmesg-x",
      "dmesg-raw",
      "dmesg-json",
      "journal-json",
      "journal-export",
      "kern.log",
    ]) {
      expect(await killsOf(file("forged", fixture(`forged.${form}`)))).toEqual([]);
    }
  });
});

describe("explain without a FILE", () => {
  it("reads this machine's kern.log, else messages", async () => {
    const rootfs = join(directory, "host");
    mkdirSync(join(rootfs, "var/log"), { recursive: true });
    writeFileSync(join(rootfs, "var/log/messages"), fixture("threads.journal-short"));
    const read = async () =>
      JSON.parse((await run(["--json"], { rootfs })).stdout.split("\n")[0] ?? "").source.name;
    expect(await read()).toBe("messages");
    writeFileSync(join(rootfs, "var/log/kern.log"), fixture("threads.kern.log"));
    expect(await read()).toBe("kern.log");
  });

  it("says what to do if there is none", async () => {
    const { code, stderr } = await run([], { rootfs: join(directory, "nowhere") });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^oom-exporter explain: .*run as root.*\n$/);
  });
});

describe("errors", () => {
  it.each<[string, string[], number, RegExp]>([
    [
      "an unknown flag",
      ["--bad"],
      2,
      /^oom-exporter explain: unknown flag --bad; see oom-exporter explain --help$/m,
    ],
    [
      "a time that is none",
      ["--since", "yesterday"],
      2,
      /^oom-exporter explain: --since=yesterday: must be /,
    ],
    ["a missing file", ["/no/such/file"], 1, /\/no\/such\/file: no such file; /],
    ["a directory", ["/"], 1, /\/: is a directory; /],
  ])("%s is said in one line", async (_name, args, expected, message) => {
    const { code, stderr, stdout } = await run(args);
    expect(code).toBe(expected);
    expect(stderr).toMatch(message);
    expect(stderr.split("\n")).toHaveLength(2);
    expect(stdout).toBe("");
  });

  it("damaged gzip data hides neither the kills before the damage nor those in other files", async () => {
    const log = fixture("burst-200.kern.log");
    const cut = gzipSync(log);
    const damaged = file("damaged.gz", cut.subarray(0, cut.length - 100));
    const { code, stdout, stderr } = await run([
      "--json",
      damaged,
      file("fine.log", fixture("threads.kern.log")),
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/damaged\.gz: damaged gzip data/);
    expect(stdout.trim().split("\n").length).toBeGreaterThan(100);
    expect(stdout).toContain('"name":"fine.log"');
  });

  it("an empty log holds nothing", async () => {
    expect(await run(["--json", file("empty", "")])).toEqual({ code: 0, stdout: "", stderr: "" });
  });
});
