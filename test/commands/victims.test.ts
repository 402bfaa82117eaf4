import { chmodSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { victims } from "../../src/commands/victims.ts";
import type { HostRoots } from "../../src/sources/host-files.ts";
import { startExporter, temporaryDirectory } from "../setup/exporter-process.ts";
import { fixtureHost } from "../setup/fixture-host.ts";
import { addKthreadd, addProcess, addSharing } from "../setup/process-files.ts";
import { TemporaryTree, withoutPrivilege } from "../setup/temporary-tree.ts";

interface Run {
  code: number;
  stdout: string;
  stderr: string;
}

function run({ rootfs, procfs, sysfs }: HostRoots, args: string[] = [], isTTY = false): Run {
  let stdout = "";
  let stderr = "";
  const paths = [`--path.procfs=${procfs}`, `--path.sysfs=${sysfs}`, `--path.rootfs=${rootfs}`];
  const code = victims([...paths, ...args], {
    stdout: { write: (text) => (stdout += text), isTTY },
    stderr: { write: (text) => (stderr += text) },
    env: {},
    monotonicMs: () => 0,
  });
  return { code, stdout, stderr };
}

/** A host of 1 GiB with kthreadd and a sleeping init. */
function smallHost(): TemporaryTree {
  const host = new TemporaryTree();
  host.write("proc", { meminfo: "MemTotal: 1048576 kB\nMemFree: 1024 kB" });
  addKthreadd(host);
  addProcess(host, 1, { comm: "init" });
  return host;
}

function addCgroup(host: TemporaryTree, path: string, files: Record<string, string | number>) {
  host.write("sys/fs/cgroup", { "cgroup.controllers": "memory" });
  host.write(`sys/fs/cgroup${path}`, { "memory.current": 4096, "memory.max": "max", ...files });
}

describe("oom-exporter victims", () => {
  it("answers first, ranks as the kernel does, and ends with the exempt", () => {
    const { code, stdout, stderr } = run(fixtureHost("v2-systemd"));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(`\n${stdout}`).toBe(`
If the host ran out of memory now, the kernel would kill worker-2 (pid 1802, worker@2.service) and
free 70.7 MiB.

 #   pid  comm             owner                              memory   adj  score     frees  with
 1  1802  worker-2         worker@2.service                 70.5 MiB   300    876  70.7 MiB
 2   811  mysqld           mariadb.service                   1.1 GiB     0    814   1.1 GiB
 3  2377  Web Content      browser                          45.5 MiB   200    806  45.6 MiB
 4  2301  notes-sync       notes-sync.service of user 1000   8.6 MiB   100    734   8.7 MiB
 5  1502  node             shop-web-1                        191 MiB     0    692   191 MiB
 6  1801  worker-1         worker@1.service                 90.6 MiB     0    678  90.8 MiB
 7  1618  py "odd" \\ job   shop-import-1                    30.5 MiB     0    670  30.6 MiB
 8   941  postgres         postgresql@15-main.service        6.6 MiB     0    667   6.6 MiB
 9  2254  new\\nline        session-3.scope                   3.7 MiB     0    666   3.8 MiB
10  2210  bash             session-3.scope                   2.7 MiB     0    666   2.7 MiB
11   318  systemd-journal  systemd-journald.service         12.5 MiB  -250    502  12.6 MiB
12   934  postgres         postgresql@15-main.service        210 MiB  -500    362   211 MiB

Exempt (oom_score_adj -1000): sshd (pid 702) uses 1.7 MiB, under 1 % of the host's memory.
`);
  });

  it("shows pods by namespace, pod and container, and which processes die together", () => {
    const { stdout } = run(fixtureHost("kubernetes-node"), ["--top=4"]);
    expect(stdout).toMatch(
      /\n4 +1244 +postgres +shop\/db-0\/postgres +721 MiB +-997 +125 +735 MiB +\+1\n/,
    );
    expect(stdout).toContain(
      "\npostgres (pid 1244) takes others with it (memory.oom.group or shared memory): postgres (pid 1290).\n",
    );
  });

  it.each(["v2-systemd", "v1-systemd", "kubernetes-node", "container-view", "old-kernel"] as const)(
    "fits 100 columns on %s",
    (name) => {
      for (const line of run(fixtureHost(name)).stdout.split("\n")) {
        expect([...line].length).toBeLessThanOrEqual(100);
      }
    },
  );

  it("says so if only a container's own processes are visible", () => {
    const { stdout } = run(fixtureHost("container-view"));
    expect(stdout).toContain("Only the processes of this container are visible, not the host's");
    expect(run(fixtureHost("v2-systemd")).stdout).not.toContain("Only the processes");
  });

  it("never lets a name write to the terminal", () => {
    const host = smallHost();
    addProcess(host, 10, { comm: "\x1b[2J\u202Eevil", residentKb: 500, cgroup: "/a\x1b]0;x\x07" });
    const { stdout } = run(host.roots);
    expect(stdout).toContain("\\x1b[2J\\u{202e}evil");
    expect(stdout.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  it("paints for a terminal only", () => {
    expect(run(fixtureHost("v2-systemd"), [], true).stdout).toContain("\x1b[1;31mworker-2\x1b[0m");
  });

  it("says so if the machine would panic, or kill the allocating task", () => {
    const host = smallHost();
    addProcess(host, 10);
    host.write("proc/sys/vm", { panic_on_oom: 0, oom_kill_allocating_task: 1 });
    expect(run(host.roots).stdout).toContain("But vm.oom_kill_allocating_task is set");
    host.write("proc/sys/vm", { panic_on_oom: 1 });
    expect(run(host.roots).stdout).toContain("But vm.panic_on_oom is set: the machine would panic");
  });

  it("says that the host would panic if all processes are exempt", () => {
    const host = smallHost();
    addProcess(host, 10, { scoreAdj: -1000, residentKb: 2048 });
    addProcess(host, 11, { scoreAdj: -1000, residentKb: 1024 });
    expect(run(host.roots).stdout.replaceAll("\n", " ")).toBe(
      "If the host ran out of memory now, the kernel would find no process it may kill and would panic.  " +
        "Exempt (oom_score_adj -1000): 2 processes use 3 MiB, under 1 % of the host's memory; " +
        "the largest: p10 (pid 10) 2 MiB, p11 (pid 11) 1 MiB. ",
    );
  });
});

describe("oom-exporter victims --cgroup", () => {
  function hostWithLimits(): TemporaryTree {
    const host = smallHost();
    addCgroup(host, "/", {});
    addCgroup(host, "/shop", { "memory.max": 64 * 2 ** 20, "memory.current": 60 * 2 ** 20 });
    addCgroup(host, "/shop/web", {});
    addCgroup(host, "/shop/db", { "memory.max": 8 * 2 ** 20 });
    addCgroup(host, "/free", {});
    addProcess(host, 10, { cgroup: "/shop/web", residentKb: 30_000 });
    addProcess(host, 11, { cgroup: "/shop/db", residentKb: 7_000, scoreAdj: 100 });
    addProcess(host, 12, { cgroup: "/shop/db", scoreAdj: -1000 });
    addProcess(host, 13, { cgroup: "/shopping", residentKb: 900_000 });
    return host;
  }

  it("ranks the processes in the cgroup, with oom_score_adj scaled to its limit", () => {
    const { roots } = hostWithLimits();
    const pidsIn = (...args: string[]) =>
      JSON.parse(run(roots, ["--json", ...args]).stdout).victims.map(
        ({ pid }: { pid: number }) => pid,
      );
    expect(pidsIn()).toEqual([13, 11, 10]);
    expect(pidsIn("--cgroup=/shop")).toEqual([10, 11]);
    expect(pidsIn("--cgroup", "/shop/")).toEqual([10, 11]);
    expect(pidsIn("--cgroup=/")).toEqual([13, 11, 10]);
  });

  it("names the limit, and counts the exempt in it only", () => {
    const { stdout } = run(hostWithLimits().roots, ["--cgroup=/shop"]);
    expect(stdout).toContain(
      "If /shop reached its limit of 64 MiB (94 % in use) now, the kernel would kill p10",
    );
    expect(stdout).toContain("Exempt here (oom_score_adj -1000): p12 (pid 12) uses 100 KiB");
  });

  it("names the cgroup above whose limit it is", () => {
    const { stdout } = run(hostWithLimits().roots, ["--cgroup=/shop/web"]);
    expect(stdout).toContain("If /shop/web alone ran out at the 64 MiB of /shop now");
    expect(stdout).toContain("oom-exporter victims --cgroup /shop\n");
  });

  it.each([
    [0, "/shop", false],
    [1, "/shop", true],
    [1, "/shop/web", true],
  ])(
    "on v1, with oom_kill_disable %i, says of %s whether its tasks would hang: %s",
    (disabled, path, hangs) => {
      const host = smallHost();
      const [none, limit] = [2 ** 60, 64 * 1024 ** 2];
      for (const [cgroup, ownBytes, effectiveBytes] of [
        ["/", none, none],
        ["/shop", limit, limit],
        ["/shop/web", none, limit],
      ] as const) {
        host.write(`sys/fs/cgroup/memory${cgroup}`, {
          "memory.usage_in_bytes": 4096,
          "memory.limit_in_bytes": ownBytes,
          "memory.stat": `total_rss 1\nhierarchical_memory_limit ${effectiveBytes}`,
          "memory.oom_control": `oom_kill_disable ${cgroup === "/shop" ? disabled : 0}\nunder_oom 0`,
        });
      }
      addProcess(host, 10);
      host.write("proc/10", { cgroup: "4:memory:/shop/web" });
      const { stdout } = run(host.roots, [`--cgroup=${path}`]);
      const text = stdout.replace(/\s+/g, " ");
      expect(text).toContain("the kernel would kill p10");
      const note =
        "But oom_kill_disable is set in memory.oom_control of /shop: the kernel would kill nothing, and tasks that need memory would hang.";
      expect(text.includes(note)).toBe(hangs);
      expect(stdout.includes("    echo 0 > /sys/fs/cgroup/memory/shop/memory.oom_control\n")).toBe(
        hangs,
      );
      const json = JSON.parse(run(host.roots, ["--json", `--cgroup=${path}`]).stdout);
      expect(json.bypass).toEqual(hangs ? { setting: "oom_kill_disable", cgroup: "/shop" } : null);
    },
  );

  it("says so if there is no limit, or no process in it", () => {
    const host = hostWithLimits();
    const { stdout } = run(host.roots, ["--cgroup=/free"]);
    expect(stdout.split("\n")[0]).toBe("No process is visible in /free.");
    addProcess(host, 14, { cgroup: "/free" });
    expect(run(host.roots, ["--cgroup=/free"]).stdout).toContain(
      "/free has no limit and runs out only with the host; among its own tasks, the kernel would kill",
    );
  });

  it("counts a group's victims and the memory that all of them free", () => {
    const host = hostWithLimits();
    addCgroup(host, "/shop", { "memory.max": 64 * 2 ** 20, "memory.oom.group": 1 });
    const [first] = JSON.parse(run(host.roots, ["--json", "--cgroup=/shop"]).stdout).victims;
    expect(first).toMatchObject({ pid: 10, diesWith: [11], freesBytes: 37_000 * 1024 });
    // A kill within /shop/db alone does not reach the group above it.
    const [inner] = JSON.parse(run(host.roots, ["--json", "--cgroup=/shop/db"]).stdout).victims;
    expect(inner).toMatchObject({ pid: 11, diesWith: [] });
  });

  describe("for processes in one address space", () => {
    it("says that they die together, wherever they are, and counts their memory once", () => {
      const host = hostWithLimits();
      addSharing(host, 20, 77, "/shop/web");
      addSharing(host, 21, 77, "/free");
      // With the same size and layout, like a fork, but with its own stack.
      addSharing(host, 22, 78, "/free");
      const { victims: found } = JSON.parse(run(host.roots, ["--json", "--cgroup=/shop"]).stdout);
      const [, , sharing] = found;
      expect(sharing).toMatchObject({ pid: 20, diesWith: [21], freesBytes: 5_000 * 1024 });
    });

    it("counts their memory once in a group kill", () => {
      const host = hostWithLimits();
      addCgroup(host, "/free", { "memory.max": 64 * 2 ** 20, "memory.oom.group": 1 });
      for (const [pid, frame] of [20, 21, 22].map((pid) => [pid, pid < 22 ? 77 : 78] as const)) {
        addSharing(host, pid, frame, "/free");
      }
      const [first] = JSON.parse(run(host.roots, ["--json", "--cgroup=/free"]).stdout).victims;
      expect(first.diesWith).toHaveLength(2);
      expect(first.freesBytes).toBe(2 * 5_000 * 1024);
    });
  });

  it("fails with one line if there is no such cgroup, or no memory controller", () => {
    const unknown = run(hostWithLimits().roots, ["--cgroup=/gone"]);
    expect(unknown).toMatchObject({ code: 1, stdout: "" });
    expect(unknown.stderr).toMatch(/^oom-exporter victims: --cgroup=\/gone: no such cgroup.*\n$/);
    const none = run(smallHost().roots, ["--cgroup=/gone"]);
    expect(none).toMatchObject({ code: 1, stdout: "" });
    expect(none.stderr).toMatch(/^oom-exporter victims: --cgroup: no memory controller.*\n$/);
  });
});

describe("oom-exporter victims --json", () => {
  it("prints the contract's shape", () => {
    const { stdout } = run(fixtureHost("v2-systemd"), ["--json", "--top", "1"]);
    expect(stdout.endsWith("}\n")).toBe(true);
    expect(JSON.parse(stdout)).toEqual({
      scope: "host",
      killers: [],
      victims: [
        {
          rank: 1,
          pid: 1802,
          comm: "worker-2",
          program: null,
          owner: {
            unit: "worker@2.service",
            container: null,
            containerId: null,
            runtime: null,
            pod: null,
            podUid: null,
            namespace: null,
            platform: "systemd",
            task: null,
          },
          cgroup: "/system.slice/system-worker.slice/worker@2.service",
          score: 876,
          scoreAdj: 300,
          residentBytes: 73_928_704,
          swapBytes: 0,
          pageTablesBytes: 184_320,
          freesBytes: 74_113_024,
          diesWith: [],
        },
      ],
      unkillable: { count: 1, residentBytes: 1_748_992 },
      bypass: null,
    });
  });
});

describe("victims --json and /api/v1/victims", () => {
  it.each(["v2-systemd", "v1-systemd", "kubernetes-node"] as const)(
    "are the same bytes on %s, for the host and for each cgroup",
    async (name) => {
      const host = fixtureHost(name);
      const paths = Object.entries(host).map(([root, path]) => `--path.${root}=${path}`);
      const state = temporaryDirectory();
      const exporter = await startExporter([...paths, `--state.directory=${state.path}`]);
      try {
        const exposition = await exporter.metrics("?collect[]=cgroups");
        const cgroups = [
          ...exposition.matchAll(/^oom_cgroup_memory_current_bytes\{cgroup="([^"]+)"/gm),
        ];
        expect(cgroups.length).toBeGreaterThan(5);
        const scopes = cgroups.map(([, label = ""]) => label.replaceAll("\\\\", "\\"));
        for (const scope of [undefined, ...scopes]) {
          const query = scope === undefined ? "" : `?cgroup=${encodeURIComponent(scope)}`;
          const answer = await fetch(`${exporter.url}/api/v1/victims${query}`);
          const args = scope === undefined ? [] : [`--cgroup=${scope}`];
          expect(run(host, ["--json", ...args]).stdout).toBe(`${await answer.text()}\n`);
        }
      } finally {
        await exporter.end();
        state.remove();
      }
    },
  );
});

describe("missing information", () => {
  it("says that processes may not be read, and ranks the others", () => {
    const host = smallHost();
    addProcess(host, 10);
    addProcess(host, 11, { residentKb: 9000 });
    chmodSync(host.path("proc/11/status"), 0);
    const { code, stdout } = withoutPrivilege(() => run(host.roots));
    expect(code).toBe(0);
    expect(stdout).toContain("would kill p10");
    expect(stdout).toContain(
      "1 process is not ranked because this user may not read it. Run as root.",
    );
  });

  it("names no next victim if other users' processes are hidden", () => {
    const host = smallHost();
    addProcess(host, 10);
    host.remove("proc/1");
    host.remove("proc/2");
    const { code, stdout, stderr } = run(host.roots);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("other users' processes are hidden (hidepid)");
  });

  it("fails with one line without a procfs", () => {
    const { code, stderr } = run({ procfs: "/nowhere", sysfs: "/sys", rootfs: "/" });
    expect(code).toBe(1);
    expect(stderr).toBe(
      "oom-exporter victims: /nowhere/meminfo: not found; pass its mount point with --path.procfs\n",
    );
  });

  it.each([["--top=0"], ["--cgroup=web"], ["--color"], ["extra"]])(
    "refuses %s with one line and exit code 2",
    (argument) => {
      const { code, stdout, stderr } = run(fixtureHost("v2-systemd"), [argument]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toMatch(/^oom-exporter victims: .+\n$/);
    },
  );
});

describe("a meminfo that cannot be understood", () => {
  it.each(["", "garbage", "MemTotal: 1 kB"])("%j is one line and exit code 1", (text) => {
    const host = smallHost();
    host.write("proc", { meminfo: text });
    const { code, stdout, stderr } = run(host.roots);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toBe(
      `oom-exporter victims: ${host.path("proc/meminfo")}: no MemTotal and MemFree lines; see oom-exporter doctor\n`,
    );
  });

  it("leaves page and API of a running exporter answering, without a victim", async () => {
    const host = smallHost();
    host.write("proc", { meminfo: "garbage" });
    const { procfs, sysfs, rootfs } = host.roots;
    const exporter = await startExporter([
      `--path.procfs=${procfs}`,
      `--path.sysfs=${sysfs}`,
      `--path.rootfs=${rootfs}`,
      "--kernel-log.source=none",
    ]);
    try {
      await exporter.metrics();
      for (const path of ["/", "/api/v1/status", "/api/v1/victims"]) {
        expect((await fetch(exporter.url + path)).status, path).toBe(200);
      }
      const answer = await (await fetch(`${exporter.url}/api/v1/victims`)).json();
      expect(answer).toMatchObject({ victims: [] });
      expect(await (await fetch(`${exporter.url}/api/v1/status`)).json()).toMatchObject({
        memory: null,
        troubles: [{ collector: "host", reason: expect.stringContaining("no MemTotal") }],
      });
    } finally {
      await exporter.end();
    }
  });
});

it("--json escapes terminal control characters", () => {
  const host = smallHost();
  addProcess(host, 7, { comm: "a\u202eb\u001b" });
  const { stdout } = run(host.roots, ["--json"]);
  expect(stdout).toMatch(/^[^\p{Cc}\p{Cf}]+\n$/u);
  expect(JSON.parse(stdout).victims[0].comm).toContain("\u202e");
});
