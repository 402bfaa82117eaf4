import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { type DoctorIo, doctor } from "../../src/commands/doctor.ts";
import { placeOf } from "../../src/commands/place.ts";
import type { ChecksAnswer, Place } from "../../src/doctor/check.ts";
import { groupFix } from "../../src/doctor/service-fixes.ts";
import { HostFiles } from "../../src/sources/host-files.ts";
import type { OwnScoreAdj } from "../../src/sources/own-score-adj.ts";
import { makeCertificates, openssl } from "../setup/certificates.ts";
import { startExporter, temporaryDirectory } from "../setup/exporter-process.ts";
import { needs } from "../setup/needs.ts";
import { addKthreadd, addProcess } from "../setup/process-files.ts";
import { TemporaryTree, withoutPrivilege } from "../setup/temporary-tree.ts";

const main = new URL("../../dist/oom-exporter.mjs", import.meta.url).pathname;
const now = Date.parse("2026-11-21T04:00:00Z");
const minute = 60_000;

/** A healthy host that booted an hour ago: cgroup v2, swap, a kern.log that was just written. */
class Host extends TemporaryTree {
  readonly kmsgPath = this.path("kmsg");
  readonly state = this.path("state");

  constructor() {
    super();
    mkdirSync(this.state);
    this.write("proc", {
      uptime: "3600.00 3000.00",
      meminfo: "MemTotal: 1048576 kB\nMemFree: 1024 kB\nSwapTotal: 2048 kB\nSwapFree: 1024 kB",
      vmstat: "nr_free_pages 1\noom_kill 3",
      "pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0",
      "sys/kernel/osrelease": "6.1.0-18-amd64",
      "sys/vm/overcommit_memory": 0,
      "sys/vm/panic_on_oom": 0,
      "sys/vm/oom_kill_allocating_task": 0,
    });
    this.process(1, "init");
    this.process(10, "mysqld");
    addKthreadd(this);
    this.write("sys/fs/cgroup", { "cgroup.controllers": "cpu memory" });
    this.write("sys/fs/cgroup/a.service", { "memory.current": 4096, "memory.max": "max" });
    this.log("var/log/kern.log", now - minute);
    this.write("etc", { group: "root:x:0:\nadm:x:4:syslog" });
  }

  process(pid: number, comm: string, cgroup = "/a.service"): void {
    addProcess(this, pid, { comm, cgroup });
  }

  log(path: string, lastMs: number, writtenMs = lastMs): void {
    const stamp = new Date(lastMs).toISOString().replace("Z", "+00:00");
    this.write(".", { [path]: `${stamp} db1 kernel: [ 3540.000000] usb 1-1: new device` });
    utimesSync(this.path(path), writtenMs / 1000, writtenMs / 1000);
  }

  /** A ring whose last record is from so many seconds after boot. */
  ring(lastSeconds: number): void {
    writeFileSync(this.kmsgPath, `6,7,${lastSeconds * 1e6},-;usb 1-1: new device\n`);
  }
}

interface Run {
  code: number;
  stdout: string;
  stderr: string;
}

async function run(
  host: Host,
  args: string[] = [],
  io: Partial<DoctorIo> = {},
  procfs = host.roots.procfs,
): Promise<Run> {
  let stdout = "";
  let stderr = "";
  const { rootfs, sysfs } = host.roots;
  const flags = [
    `--path.procfs=${procfs}`,
    `--path.sysfs=${sysfs}`,
    `--path.rootfs=${rootfs}`,
    ...(args.some((arg) => arg.startsWith("--state")) ? [] : [`--state.directory=${host.state}`]),
    ...(args.some((arg) => arg.startsWith("--web")) ? [] : ["--web.listen-address=127.0.0.1:0"]),
  ];
  const code = await doctor([...flags, ...args], {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    env: {},
    clock: () => now,
    user: "oom-exporter",
    userId: process.geteuid?.() ?? 0,
    place: "host",
    shipped: () => undefined,
    kmsgPath: host.kmsgPath,
    ownScoreAdj: { value: -900, mayLower: false },
    ...io,
  });
  return { code, stdout: stdout.replaceAll(rootfs, ""), stderr };
}

/** The exit code, and the checks by name. */
async function checksOf(host: Host, args: string[] = [], io: Partial<DoctorIo> = {}) {
  const { code, stdout } = await run(host, ["--json", ...args], io);
  const { checks } = JSON.parse(stdout) as ChecksAnswer;
  return { code, checks, of: (name: string) => checks.find((check) => check.name === name) };
}

describe("oom-exporter doctor", () => {
  it("gives the answer first, then one line per check, then problems and fixes", async () => {
    const host = new Host();
    host.ring(3600);
    host.write("proc", { meminfo: "MemTotal: 1048576 kB\nMemFree: 1024 kB" });
    const { code, stdout } = await run(host);
    expect(code).toBe(0);
    // These three name paths below the test's own directory, and may be cut.
    const text = stdout.replace(/^(ok +(?:kernel log|memory cgroups|state directory)) .*/gm, "$1");
    expect(`\n${text}`).toBe(`
Kills are seen here; 1 of 14 checks needs attention, see below.

ok       kernel log
ok       /dev/kmsg                   1 record, the kernel's last one just now
ok       other killers               none on this host
ok       kernel's kill count         oom_kill 3 in /proc/vmstat since boot
ok       memory cgroups
ok       view of the host            the host's own: 2 processes, including kthreadd
ok       memory pressure             /proc/pressure/memory
partial  swap                        none
ok       vm.overcommit_memory        0: heuristic overcommit
ok       vm.panic_on_oom             0: OOM killer, no panic
ok       vm.oom_kill_allocating_task 0: the process with the highest score
ok       own oom_score_adj           -900: killed late
ok       state directory
ok       port 0                      free

swap: partial
  Found   none
  Impact  no room to swap at a peak: kills come early and without warning
  Fix     If the disk has room (Btrfs and ZFS need extra steps):
            fallocate -l 2G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile

Checked as user oom-exporter on the host. Run doctor as the exporter's user and with its flags to
see what the exporter sees.
`);
  });

  it("fits 100 columns however much is wrong", async () => {
    const host = new Host();
    host.remove("proc/pressure");
    host.remove("sys/fs/cgroup");
    host.remove("var/log");
    host.write("proc/sys/vm", {
      panic_on_oom: 2,
      oom_kill_allocating_task: 1,
      overcommit_memory: 1,
    });
    const { code, stdout } = await run(host, [], { place: "container", user: "x".repeat(40) });
    expect(code).toBe(1);
    // Commands are not wrapped, so that they can be copied.
    const prose = stdout.split("\n").filter((line) => !/^ {12}\S/.test(line));
    for (const line of prose) expect([...line].length).toBeLessThanOrEqual(100);
  });

  it("uses colours only on a terminal, and not if NO_COLOR is set", async () => {
    const painted = async (env: Record<string, string>) => {
      let stdout = "";
      const tty = { write: (text: string) => (stdout += text), isTTY: true };
      await run(new Host(), [], { stdout: tty, env });
      return stdout.includes("\x1b[");
    };
    expect(await painted({})).toBe(true);
    expect(await painted({ NO_COLOR: "1" })).toBe(false);
  });

  it("prints the contract's JSON, null if nothing is lost", async () => {
    const host = new Host();
    const { checks } = await checksOf(host);
    expect(checks[0]).toEqual({
      name: "kernel log",
      state: "ok",
      found: "/var/log/kern.log: last line 1 minute ago",
      costs: null,
      fix: null,
    });
    for (const check of checks) {
      expect(Object.keys(check)).toEqual(["name", "state", "found", "costs", "fix"]);
      expect([check.costs === null, check.fix === null]).toEqual(
        Array(2).fill(check.state === "ok"),
      );
    }
  });

  it.each([
    ["--colour"],
    ["extra"],
    ["--kernel-log.source=journal"],
    ["--kernel-log.source=kmsg --kernel-log.file=/k"],
  ])("refuses %s with one line and exit code 2", async (line) => {
    const { code, stdout, stderr } = await run(new Host(), line.split(" "));
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^oom-exporter doctor: .+\n$/);
  });

  it("detects its environment by the markers of container runtimes", () => {
    expect(placeOf({ KUBERNETES_SERVICE_HOST: "10.0.0.1" })).toBe("pod");
    expect(placeOf({ container: "podman" })).toBe("container");
  });
});

describe("the kernel log", () => {
  it("is the ring if there is no kern.log", async () => {
    const host = new Host();
    host.remove("var/log/kern.log");
    host.ring(3000);
    const { code, of } = await checksOf(host);
    expect(code).toBe(0);
    expect(of("kernel log")?.found).toBe("/kmsg: 1 record, the kernel's last one 10 minutes ago");
  });

  it("is not a FIFO, which would block", async () => {
    const host = new Host();
    const path = host.path("var/log/kern.log");
    host.remove("var/log/kern.log");
    execFileSync("mkfifo", [path]);
    const { of } = await checksOf(host, [`--kernel-log.file=${path}`]);
    expect(of("kernel log")).toMatchObject({
      state: "missing",
      found: "/var/log/kern.log: not a regular file",
    });
  });

  it("is missing, and kills go unseen, if nothing can be read", async () => {
    const host = new Host();
    host.remove("var/log/kern.log");
    const { code, of } = await checksOf(host);
    expect(code).toBe(1);
    expect(of("kernel log")).toMatchObject({ state: "missing" });
    expect(of("kernel log")?.found).toMatch(/kern\.log: not there; .*messages: not there; /);
    expect(of("/dev/kmsg")).toMatchObject({ state: "missing", found: "not there" });
  });

  it.each<[Place, string]>([
    [
      "host",
      "From the next login on, and for a service after its restart:\nusermod -aG adm oom-exporter",
    ],
    ["container", "Add to docker run:\n--group-add 4"],
    ["pod", "In the pod's spec:\nsecurityContext: {supplementalGroups: [4]}"],
  ])("names the group that a file on a %s wants", async (place, fix) => {
    const host = new Host();
    const path = host.path("var/log/kern.log");
    // Whose group a file is, only root may choose.
    const gid = process.getuid?.() === 0 ? 4 : process.getgid?.();
    chownSync(path, process.getuid?.() ?? 0, gid ?? 0);
    host.write("etc", {
      group: `adm:x:${gid}:syslog`,
      passwd: "oom-exporter:x:990:990::/:/usr/sbin/nologin",
    });
    chmodSync(path, 0);
    const args = ["--json", `--kernel-log.file=${path}`];
    const { stdout, code } = await withoutPrivilege(() => run(host, args, { place }));
    const check = (JSON.parse(stdout) as ChecksAnswer).checks[0];
    expect(code).toBe(1);
    expect(check).toMatchObject({ state: "missing", fix: fix.replace("4", `${gid}`) });
  });

  it("names the shipped drop-in for the ring buffer, in place or to be copied", async () => {
    const host = new Host();
    host.ring(3600);
    chmodSync(host.kmsgPath, 0);
    const fixWith = (path: string) =>
      withoutPrivilege(async () => {
        const shipped = (name: string) => (name === "kmsg.conf" ? path : undefined);
        return (await checksOf(host, [], { shipped })).of("/dev/kmsg")?.fix;
      });
    const folder = "/etc/systemd/system/oom-exporter.service.d";
    expect(
      (await fixWith("/opt/oom-exporter/systemd/oom-exporter.service.d/kmsg.conf"))?.split("\n"),
    ).toEqual([
      "By hand, run as root. For the service:",
      `mkdir -p ${folder}`,
      `cp /opt/oom-exporter/systemd/oom-exporter.service.d/kmsg.conf ${folder}/`,
      "systemctl daemon-reload && systemctl restart oom-exporter",
    ]);
    expect(await fixWith("/usr/lib/systemd/system/oom-exporter.service.d/kmsg.conf")).toMatch(
      /^The service has it from .*\nsystemctl cat oom-exporter$/,
    );
  });

  it("adds the service's own user to a group by a drop-in, as it is in no passwd", () => {
    const host = new Host();
    const files = new HostFiles(host.roots);
    expect(groupFix("adm", "oom-exporter", files).commands).toEqual([
      "mkdir -p /etc/systemd/system/oom-exporter.service.d",
      "printf '[Service]\\nSupplementaryGroups=adm\\n' > /etc/systemd/system/oom-exporter.service.d/adm.conf",
      "systemctl daemon-reload && systemctl restart oom-exporter",
    ]);
    host.write("etc", { passwd: "alice:x:1000:1000::/home/alice:/bin/bash" });
    expect(groupFix("adm", "alice", files).commands).toEqual(["usermod -aG adm alice"]);
  });

  it("leaves swap on a Kubernetes node to who runs the cluster", async () => {
    const host = new Host();
    host.write("proc", { meminfo: "MemTotal: 1048576 kB\nMemFree: 1024 kB" });
    expect((await checksOf(host)).of("swap")?.fix).toContain("swapon");
    expect((await checksOf(host, [], { place: "pod" })).of("swap")?.fix).not.toContain("swapon");
    host.write("var/lib/kubelet", { "config.yaml": "" });
    expect((await checksOf(host)).of("swap")?.fix).toMatch(/^This is a Kubernetes node: ask /);
  });

  it("is doubtful if it has no line from this boot, or the ring buffer is ahead of it", async () => {
    const host = new Host();
    host.log("var/log/kern.log", now - 120 * minute, now);
    expect((await checksOf(host)).of("kernel log")).toMatchObject({
      state: "partial",
      found: "/var/log/kern.log: last line 2 hours ago, none since boot",
      fix: "systemctl restart rsyslog",
    });
    host.log("var/log/kern.log", now - 30 * minute);
    host.ring(3540);
    expect((await checksOf(host)).of("kernel log")).toMatchObject({
      state: "partial",
      found: "/var/log/kern.log: last line 30 minutes ago, but the kernel last wrote 1 minute ago",
    });
    // Told to read this file alone, the exporter would not look at the ring.
    const file = `--kernel-log.file=${host.path("var/log/kern.log")}`;
    expect((await checksOf(host, [file])).code).toBe(1);
  });

  it("is doubtful if it is empty, as after rotation, without a claim that kills go unseen", async () => {
    const host = new Host();
    const path = host.path("var/log/kern.log");
    writeFileSync(path, "");
    utimesSync(path, now / 1000, now / 1000);
    const { code, of } = await checksOf(host, [`--kernel-log.file=${path}`]);
    expect(code).toBe(0);
    expect(of("kernel log")).toMatchObject({
      state: "partial",
      found: "/var/log/kern.log: no line with a timestamp",
    });
  });

  it("is doubtful if users can write to it", async () => {
    const host = new Host();
    host.remove("var/log/kern.log");
    host.log("var/log/syslog", now - minute);
    const { code, of } = await checksOf(host);
    expect(code).toBe(0);
    expect(of("kernel log")).toMatchObject({ state: "partial" });
    expect(of("kernel log")?.costs).toContain("users can write lines into it");
  });

  it("is missing if it is disabled", async () => {
    const { code, of } = await checksOf(new Host(), ["--kernel-log.source=none"]);
    expect(code).toBe(1);
    expect(of("kernel log")?.fix).toBe("Start oom-exporter without --kernel-log.source=none.");
  });
});

describe("the other checks", () => {
  it("says what an old kernel lacks", async () => {
    const host = new Host();
    host.write("proc", { vmstat: "nr_free_pages 1", "sys/kernel/osrelease": "3.10.0-1160" });
    host.remove("proc/pressure");
    const { code, of } = await checksOf(host);
    expect(code).toBe(0);
    expect(of("kernel's kill count")).toMatchObject({
      state: "missing",
      fix: "Boot Linux 4.13 or newer.",
    });
    expect(of("memory pressure")?.fix).toBe("Boot Linux 4.20 or newer; this is 3.10.0-1160.");
  });

  it("names the boot parameter in the distribution's own way", async () => {
    const host = new Host();
    host.remove("proc/pressure");
    expect((await checksOf(host)).of("memory pressure")?.fix).toBe(
      `From the next boot on:\nsed -i 's/^GRUB_CMDLINE_LINUX="/&psi=1 /' /etc/default/grub && update-grub`,
    );
    host.write("usr/sbin", { grubby: "" });
    expect((await checksOf(host)).of("memory pressure")?.fix).toBe(
      "From the next boot on:\ngrubby --update-kernel=ALL --args=psi=1",
    );
  });

  it("distinguishes cgroups without the memory controller from no cgroups, and v1 from v2", async () => {
    const host = new Host();
    host.write("sys/fs/cgroup", { "cgroup.controllers": "cpu" });
    expect((await checksOf(host)).of("memory cgroups")).toMatchObject({
      state: "missing",
      found: "cgroup v2 without the memory controller",
    });
    host.remove("sys/fs/cgroup");
    expect((await checksOf(host)).of("memory cgroups")?.found).toBe(
      "no memory hierarchy below /sys/fs/cgroup",
    );
    host.write("sys/fs/cgroup/memory", { "memory.usage_in_bytes": 0, release_agent: "" });
    host.write("sys/fs/cgroup/memory/a", { "memory.usage_in_bytes": 4096 });
    expect((await checksOf(host)).of("memory cgroups")).toMatchObject({
      state: "partial",
      found: "cgroup v1 at /sys/fs/cgroup/memory: 1 account memory",
    });
  });

  it.each<[Place, RegExp]>([
    ["container", /^Add to docker run.*\n--pid=host --cgroupns=host .*\n--path.procfs/],
    ["pod", /\nhostPID: true$/],
  ])("says how a %s can see the host", async (place, fix) => {
    const host = new Host();
    host.remove("proc/2");
    const view = (await checksOf(host, [], { place })).of("view of the host");
    expect(view).toMatchObject({ state: "partial", fix: expect.stringMatching(fix) });
  });

  it("notices processes and cgroups that are out of sight", async () => {
    const host = new Host();
    host.write("proc/10", { cgroup: "0::/../../other.scope" });
    expect((await checksOf(host)).of("view of the host")?.found).toContain(
      "1 of them in cgroups that are not visible",
    );
    host.remove("proc/1");
    expect((await checksOf(host)).of("view of the host")).toMatchObject({
      state: "partial",
      found: "other users' processes are hidden",
    });
  });

  it.each([
    ["overcommit_memory", 1],
    ["panic_on_oom", 1],
    ["oom_kill_allocating_task", 1],
  ])("calls vm.%s = %i partial, with the sysctl that fixes it", async (name, value) => {
    const host = new Host();
    host.write("proc/sys/vm", { [name]: value });
    const check = (await checksOf(host)).of(`vm.${name}`);
    expect(check).toMatchObject({
      state: "partial",
      fix: expect.stringContaining(`sysctl -w vm.${name}=0`),
    });
  });

  it("says that oom_kill_allocating_task can kill the exporter too", async () => {
    const host = new Host();
    host.write("proc/sys/vm", { oom_kill_allocating_task: 1 });
    const check = (await checksOf(host)).of("vm.oom_kill_allocating_task");
    expect(check?.costs).toContain("oom-exporter itself is killed if it is the task that asks");
  });

  it.each<[OwnScoreAdj, Place, Partial<ChecksAnswer["checks"][number]>]>([
    [{ value: -900, mayLower: false }, "host", { state: "ok", found: "-900: killed late" }],
    [{ value: 0, mayLower: true }, "host", { state: "ok", found: "0: serve lowers it to -900" }],
    [
      { value: 0, mayLower: false },
      "container",
      { state: "partial", fix: "Add to docker run:\n--oom-score-adj -900" },
    ],
    [
      { value: 984, mayLower: true },
      "pod",
      { state: "partial", fix: "In the pod's spec:\npriorityClassName: system-node-critical" },
    ],
    [
      { value: 0, mayLower: false },
      "host",
      { state: "partial", fix: expect.stringContaining("OOMScoreAdjust=-900") },
    ],
  ])(
    "says for %j in a %s whether it protects the exporter, and how to",
    async (ownScoreAdj, place, expected) => {
      const { of } = await checksOf(new Host(), [], { ownScoreAdj, place });
      expect(of("own oom_score_adj")).toMatchObject(expected);
    },
  );

  it("calls full swap partial", async () => {
    const host = new Host();
    host.write("proc", {
      meminfo: "MemTotal: 9 kB\nMemFree: 1 kB\nSwapTotal: 2048 kB\nSwapFree: 4 kB",
    });
    expect((await checksOf(host)).of("swap")).toMatchObject({
      state: "partial",
      found: "2 MiB, under 1 % free",
    });
  });

  it("wants a state directory", async () => {
    const host = new Host();
    expect(
      (await checksOf(host, [`--state.directory=${host.state}/a/b`])).of("state directory"),
    ).toMatchObject({ state: "ok", found: "/state/a/b: can be created" });
    // root may write everywhere except where there is no directory
    const file = host.path("etc/group");
    expect(
      (await checksOf(host, [`--state.directory=${file}`])).of("state directory"),
    ).toMatchObject({
      state: "missing",
      found: "/etc/group: /etc/group is not a directory",
    });
  });

  it.each([
    ["/proc/oom-exporter", "no file can be made in procfs"],
    ["/sys/a/b", "no file can be made in sysfs"],
    [`/var/lib/${"x".repeat(256)}/state`, "the name is too long for a file system"],
    [`/var/lib/${"x/".repeat(2050)}state`, "the name is too long for a file system"],
  ])("does not promise one where none can be made: %s", async (path, why) => {
    const check = (await checksOf(new Host(), [`--state.directory=${path}`])).of("state directory");
    expect(check).toMatchObject({ state: "missing", found: `${path}: ${why}` });
  });

  it("does not take a link to nothing for a place that can be made", async () => {
    const host = new Host();
    symlinkSync(`${host.state}/gone`, `${host.state}/link`);
    const check = await checksOf(host, [`--state.directory=${host.state}/link/a`]);
    expect(check.of("state directory")).toMatchObject({
      state: "missing",
      found: "/state/link/a: /state/link is a link to nothing",
    });
  });

  it("wants it to outlive the container", async () => {
    const host = new Host();
    const isOwnLayer = statSync(host.state).dev === statSync("/").dev;
    const check = (await checksOf(host, [], { place: "container" })).of("state directory");
    expect(check).toMatchObject(
      isOwnLayer
        ? { state: "partial", fix: expect.stringContaining("-v oom-exporter-state:") }
        : { state: "ok" },
    );
  });

  it("wants it closed to other users, on a host", async () => {
    const host = new Host();
    const check = async (io: Partial<DoctorIo> = {}) =>
      (await checksOf(host, [], io)).of("state directory");
    expect(await check()).toMatchObject({ state: "ok" });
    expect(await check({ userId: 12_345 })).toMatchObject(
      statSync(host.state).uid === 0 ? { state: "ok" } : { fix: expect.stringMatching(/^chown /) },
    );
    chmodSync(host.state, 0o777);
    expect(await check()).toEqual({
      name: "state directory",
      state: "partial",
      found: "/state: every user can write to it",
      costs: "other users can change the counts saved there",
      fix: "chmod o-w /state",
    });
    expect((await check({ place: "pod" }))?.found).not.toContain("every user");
  });

  it("wants it writable for the user", () => {
    const host = new Host();
    chmodSync(host.state, 0o555);
    const [uid, gid] = process.getuid?.() === 0 ? [65534, 65534] : [];
    // Another user may not enter the home that the project is in.
    const copy = host.path("oom-exporter.mjs");
    cpSync(main, copy);
    const { stdout } = spawnSync(
      process.execPath,
      [copy, "doctor", "--json", `--state.directory=${host.state}`],
      { encoding: "utf8", uid, gid, cwd: "/" },
    );
    const checks = (JSON.parse(stdout) as ChecksAnswer).checks;
    expect(checks.find(({ name }) => name === "state directory")).toMatchObject({
      state: "missing",
      found: expect.stringMatching(/: not writable for \S+$/),
    });
  });
});

describe("the port", () => {
  it("is missing if another program uses it, because the exporter would not start", async () => {
    const server = createServer((socket) => socket.end("hello\n")).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const address = `--web.listen-address=127.0.0.1:${port}`;
      const { code, of } = await checksOf(new Host(), [address]);
      expect(code).toBe(1);
      expect(of(`port ${port}`)).toMatchObject({ state: "missing" });
      expect(of(`port ${port}`)?.found).toMatch(
        /another process is using it \(find it with ss -ltnp/,
      );
    } finally {
      server.close();
    }
  });

  it("is ok if this exporter serves it", async () => {
    const state = temporaryDirectory();
    const exporter = await startExporter([`--state.directory=${state.path}`]);
    try {
      const { port, host } = new URL(exporter.url);
      const { code, of } = await checksOf(new Host(), [`--web.listen-address=${host}`]);
      expect(code).toBe(0);
      expect(of(`port ${port}`)?.found).toMatch(/^served by oom-exporter \d+\.\d+\.\d+$/);
    } finally {
      await exporter.end();
      state.remove();
    }
  });

  needs(it, openssl.obstacle)(
    "may be served by this exporter if TLS or a password is asked for there",
    async () => {
      const files = temporaryDirectory();
      makeCertificates(files.path);
      const pair = {
        cert: readFileSync(`${files.path}/server.pem`),
        key: readFileSync(`${files.path}/server.key`),
      };
      const servers = [
        createHttpServer((_request, response) => response.writeHead(401).end()),
        createTlsServer(pair, (_request, response) => response.end()),
        createTlsServer({ ...pair, requestCert: true, ca: pair.cert }, (_, response) =>
          response.end(),
        ),
      ];
      try {
        for (const server of servers) {
          await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
          const { port } = server.address() as AddressInfo;
          const { code, of } = await checksOf(new Host(), [
            `--web.listen-address=127.0.0.1:${port}`,
          ]);
          expect(of(`port ${port}`)).toMatchObject({
            state: "partial",
            found: "in use by a server that asks for TLS or a password, perhaps this exporter",
          });
          expect(code).toBe(0);
        }
      } finally {
        for (const server of servers) server.close();
        files.remove();
      }
    },
  );
});

it("exits with 1 if there is no procfs at the given path", async () => {
  const host = new Host();
  host.ring(3540);
  const { code, stdout } = await run(host, ["--json"], {}, "/nonexistent");
  const { checks } = JSON.parse(stdout) as ChecksAnswer;
  expect(code).toBe(1);
  expect(checks.find(({ name }) => name === "view of the host")).toMatchObject({
    state: "missing",
    fix: "Pass the mount point of procfs with --path.procfs.",
  });
  // Without /proc/uptime no stamp of the ring buffer is a time.
  const ring = checks.find(({ name }) => name === "/dev/kmsg");
  expect(ring).toMatchObject({ state: "ok", found: "1 record" });
});
