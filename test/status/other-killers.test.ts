import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkOtherKillers } from "../../src/doctor/killer-check.ts";
import { HostFiles } from "../../src/sources/host-files.ts";
import {
  actsAt,
  firstToAct,
  type HostNow,
  nextOthers,
  otherKillers,
} from "../../src/status/other-killers.ts";

const MiB = 2 ** 20;
const memory = (availablePercent: number, swapFreePercent = 0) => ({
  totalBytes: 1000 * MiB,
  availableBytes: availablePercent * 10 * MiB,
  swapTotalBytes: 100 * MiB,
  swapFreeBytes: swapFreePercent * MiB,
});
const processes = [
  { pid: 4211, comm: "firefox", score: 700, scoreAdj: 0, memory: { residentBytes: 500 * MiB } },
  { pid: 77, comm: "postgres", score: 600, scoreAdj: 0, memory: { residentBytes: 400 * MiB } },
];

const host = (now: ReturnType<typeof memory>, cgroups: HostNow["cgroups"] = []): HostNow => ({
  memory: now,
  processes,
  cgroups,
  files,
});

let root: string;
let files: HostFiles;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "other-killers-"));
  files = new HostFiles({ procfs: join(root, "proc"), sysfs: join(root, "sys"), rootfs: root });
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, text = ""): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** earlyoom installed and running, with the arguments of its command line. */
function runEarlyoom(...words: string[]): void {
  put("usr/bin/earlyoom");
  put("sys/fs/cgroup/system.slice/earlyoom.service/cgroup.procs", "712\n");
  put("proc/712/cmdline", ["/usr/bin/earlyoom", ...words, ""].join("\0"));
}

describe("the killers of a host", () => {
  it("are those installed or running, with the limits of their configuration", () => {
    runEarlyoom("-m", "10", "-s", "100");
    put("usr/lib/systemd/systemd-oomd");
    put("usr/sbin/nohang");
    put("etc/nohang/nohang.conf", "soft_threshold_min_mem = 5 %\nsoft_threshold_min_swap = 10 %\n");
    put("etc/systemd/oomd.conf", "[OOM]\n#SwapUsedLimit=90%\n");
    put("usr/lib/systemd/oomd.conf", "[OOM]\nDefaultMemoryPressureLimit=10%\n");
    put("usr/local/lib/systemd/oomd.conf.d/10-x.conf", "[OOM]\nSwapUsedLimit=80%\n");
    put("usr/lib/systemd/system/-.slice.d/10-oomd.conf", "[Slice]\nManagedOOMSwap=kill\n");
    put(
      "usr/lib/systemd/system/user@.service.d/10-oomd.conf",
      "[Service]\nManagedOOMMemoryPressure=kill\nManagedOOMMemoryPressureLimit=50%\n",
    );
    const found = otherKillers(files).map((one) => [one.limits.killer, one.isRunning, actsAt(one)]);
    expect(found).toEqual([
      [
        "systemd-oomd",
        false,
        "acts at 20 % of memory available and 20 % of swap free below -.slice, and at memory pressure above 60 % for 30s below user@.service (50%)",
      ],
      ["earlyoom", true, "acts at 10 % of memory available and 100 % of swap free"],
      ["nohang", false, "acts at 5 % of memory available and 10 % of swap free"],
    ]);
  });

  it("are read from /etc/default where no process is seen", () => {
    put("usr/bin/earlyoom");
    put("etc/default/earlyoom", `EARLYOOM_ARGS="-m 4 -M 1048576 --avoid '^(init|X)$'"\n`);
    const [earlyoom] = otherKillers(files);
    expect(earlyoom && actsAt(earlyoom)).toBe(
      "acts at the lower of 4 % and 1 GiB of memory available and 10 % of swap free",
    );
    expect(earlyoom?.limits).toMatchObject({ memoryAvailable: { percent: 4 } });
    expect(earlyoom?.limits.ranking?.byName[0]?.pattern).toEqual(/^(init|X)$/u);
  });
});

describe("earlyoom's command line", () => {
  it("is not read while its lock may be held: what was known stays, else what /etc/default says", () => {
    runEarlyoom("-m", "4");
    put("etc/default/earlyoom", `EARLYOOM_ARGS="-m 7"\n`);
    const asked: unknown[] = [];
    const mayTakeLockOf = (process: unknown) => {
      asked.push(process);
      return false;
    };
    const percentsOf = (found: ReturnType<typeof otherKillers>) =>
      found.map(({ limits }) => limits.memoryAvailable?.percent);
    expect(percentsOf(otherKillers(files, { mayTakeLockOf }))).toEqual([7]);
    expect(asked).toEqual([{ pid: 712, cgroup: "/system.slice/earlyoom.service" }]);
    const before = otherKillers(files);
    expect(percentsOf(before)).toEqual([4]);
    expect(percentsOf(otherKillers(files, { mayTakeLockOf, before }))).toEqual([4]);
    rmSync(join(root, "sys"), { recursive: true });
    expect(percentsOf(otherKillers(files, { mayTakeLockOf, before }))).toEqual([7]);
  });
});

describe("who acts first", () => {
  it("is the one with the highest limit, named with its victim and the time left", () => {
    runEarlyoom("-m", "10", "-s", "100");
    put("usr/sbin/nohang");
    put("sys/fs/cgroup/hostcritical.slice/nohang.service/cgroup.procs", "402\n");
    const now = memory(12);
    const next = nextOthers(otherKillers(files), host(now));
    expect(next.map(({ killer, atBytes }) => [killer, atBytes])).toEqual([
      ["earlyoom", 100 * MiB],
      ["nohang", 50 * MiB],
    ]);
    expect(firstToAct(next, now, 24 * 60)).toBe(
      "earlyoom acts at 10 % of memory available and 100 % of swap free, the kernel at 0: with 12 % left earlyoom kills firefox (pid 4211) in about 4 minutes.",
    );
  });

  it("says nothing of a time that is not known, and of swap that is still free", () => {
    runEarlyoom();
    const now = memory(12, 50);
    const next = nextOthers(otherKillers(files), host(now));
    expect(firstToAct(next, now)).toBe(
      "earlyoom acts at 10 % of memory available and 10 % of swap free, the kernel at 0: with 12 % left earlyoom kills firefox (pid 4211) first, once swap is used up as far.",
    );
    expect(firstToAct(next, memory(9))).toContain("kills firefox (pid 4211) at any moment");
  });

  it("is systemd-oomd where a unit has ManagedOOMSwap=kill, with the cgroup it would take", () => {
    put("usr/lib/systemd/systemd-oomd");
    put("sys/fs/cgroup/system.slice/systemd-oomd.service/cgroup.procs", "402\n");
    const cgroups = [
      { path: "/system.slice", swapCurrentBytes: 60 * MiB },
      { path: "/system.slice/a.service", swapCurrentBytes: 20 * MiB },
      { path: "/system.slice/b.service", swapCurrentBytes: 40 * MiB },
    ];
    const now = host(memory(12), cgroups);
    const [oomd] = otherKillers(files);
    expect(oomd && actsAt(oomd)).toBe(
      "kills nothing: no unit of the system has ManagedOOMSwap=kill or ManagedOOMMemoryPressure=kill",
    );
    expect(nextOthers(otherKillers(files), now)).toEqual([]);
    put("etc/systemd/system/system.slice.d/swap.conf", "[Slice]\nManagedOOMSwap=kill\n");
    const next = nextOthers(otherKillers(files), now);
    expect(next).toMatchObject([
      { killer: "systemd-oomd", cgroup: "/system.slice/b.service", pid: null },
    ]);
    expect(firstToAct(next, memory(12))).toContain(
      "systemd-oomd kills /system.slice/b.service first",
    );
    put("etc/systemd/system/b.service", "[Service]\nManagedOOMPreference=omit\n");
    expect(nextOthers(otherKillers(files), now)).toMatchObject([
      { cgroup: "/system.slice/a.service" },
    ]);
  });

  it("is nobody where earlyoom only says what it would kill", () => {
    runEarlyoom("-m", "10", "--dryrun");
    const [earlyoom] = otherKillers(files);
    expect(earlyoom && actsAt(earlyoom)).toBe("kills nothing: it runs with --dryrun");
    expect(nextOthers(otherKillers(files), host(memory(12)))).toEqual([]);
  });

  it("is nobody where none runs", () => {
    put("usr/bin/earlyoom");
    expect(nextOthers(otherKillers(files), host(memory(12)))).toEqual([]);
    expect(firstToAct([], memory(12))).toBeUndefined();
  });
});

describe("doctor", () => {
  const check = (more: Partial<Parameters<typeof checkOtherKillers>[0]> = {}) =>
    checkOtherKillers({
      files,
      daemonLog: "auto",
      bootTimeMs: 0,
      hasJournalctl: true,
      user: "oom",
      ...more,
    });

  it("finds none, or says at what limits they act and where their kills are read", () => {
    expect(check()).toMatchObject({ state: "ok", found: "none on this host" });
    runEarlyoom();
    put("var/log/syslog");
    expect(check()).toMatchObject({
      state: "ok",
      found: `earlyoom acts at 10 % of memory available and 10 % of swap free; read from ${join(root, "var/log/syslog")}, into which any user may write`,
    });
    put("run/log/journal/m/system.journal");
    expect(check().found).toMatch(/; read from the journal$/);
  });

  it("says what is missing, and how to mend it", () => {
    runEarlyoom();
    expect(check()).toMatchObject({
      state: "partial",
      fix: { commands: ["apt-get install rsyslog"] },
    });
    put("run/log/journal/m/system.journal");
    expect(check()).toMatchObject({ state: "ok" });
    expect(check({ hasJournalctl: false })).toMatchObject({
      state: "partial",
      fix: { commands: ["apt-get install systemd"] },
    });
    expect(check({ daemonLog: "none" })).toMatchObject({
      state: "partial",
      fix: { commands: ["--daemon-log.source=auto"] },
    });
  });
});
