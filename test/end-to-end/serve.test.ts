import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type ExporterProcess,
  eventually,
  main,
  sampleOf,
  startExporter,
  temporaryDirectory,
} from "../setup/exporter-process.ts";
import { copyOfHost, fixtureHost } from "../setup/fixture-host.ts";

const run = (...argv: string[]) =>
  spawnSync(process.execPath, [main, ...argv], { encoding: "utf8", timeout: 120_000 });

let directory: ReturnType<typeof temporaryDirectory>;
let exporter: ExporterProcess | undefined;

beforeEach(() => {
  directory = temporaryDirectory();
});

afterEach(async () => {
  await exporter?.end();
  exporter = undefined;
  directory.remove();
});

const whatToDo = "| kills are not seen, oom-exporter doctor with the same flags says what to do";

const onHost = (name: Parameters<typeof fixtureHost>[0], ...flags: string[]) => {
  const { procfs, sysfs, rootfs } = fixtureHost(name);
  const paths = [`--path.procfs=${procfs}`, `--path.sysfs=${sysfs}`, `--path.rootfs=${rootfs}`];
  return startExporter([...paths, ...flags]);
};

describe("the command line", () => {
  it("refuses an unknown flag with one line and exit code 2", () => {
    const { status, stderr, stdout } = run("--web.listen-adress=:1");
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toBe(
      "oom-exporter: unknown flag --web.listen-adress; did you mean --web.listen-address?\n",
    );
  });

  it("refuses a missing web configuration with one line and exit code 1", () => {
    const { status, stderr } = run("--web.config.file=/nonexistent/web.yml");
    expect(status).toBe(1);
    expect(stderr).toBe("oom-exporter: /nonexistent/web.yml: no such file\n");
  });

  it("takes help and version as words", () => {
    expect(run("help")).toMatchObject({ status: 0, stdout: run("--help").stdout });
    expect(run("version").stdout).toBe(run("--version").stdout);
    expect(run("help", "explain").stdout).toBe(run("explain", "--help").stdout);
  });

  it("refuses an unknown command with one line and exit code 2", () => {
    const { status, stderr } = run("serv");
    expect(status).toBe(2);
    expect(stderr).toMatch(/^oom-exporter: unknown command "serv"; commands are .*\n$/);
  });

  it("gives the reason as JSON with --log.format=json", () => {
    for (const flags of [
      ["--log.format=json", "--web.listn-address=:1"],
      ["--log.format", "json", "--web.config.file=/nonexistent/web.yml"],
    ]) {
      const { stdout, stderr } = run(...flags);
      expect(stdout).toBe("");
      expect(JSON.parse(stderr)).toEqual({
        level: "error",
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        msg: expect.stringMatching(/listn-address|web\.yml/),
      });
    }
  });

  it("says which port is taken and what to do, and exits with 1", async () => {
    const blocker = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => blocker.once("listening", resolve));
    const { port } = blocker.address() as { port: number };
    const { status, stderr } = run(`--web.listen-address=127.0.0.1:${port}`);
    blocker.close();
    expect(status).toBe(1);
    expect(stderr).toContain(`cannot listen on 127.0.0.1:${port}: another process is using it`);
  });
});

describe("a running exporter", () => {
  it("says in one line what it serves, reads and cannot read", async () => {
    exporter = await onHost("no-psi-no-swap", "--kernel-log.source=none");
    expect(exporter.startUpLine).toMatch(
      /^oom-exporter \d+\.\d+\.\d+ serves http:\/\/127\.0\.0\.1:\d+ \| kernel log: none \| cgroups: v2 \| collectors: host, cgroups, processes, kills, log \| state: .* \| cannot read: .*memory pressure: needs Linux 4\.20/,
    );
  });

  it("says in that line why it cannot read the log it was given", async () => {
    exporter = await startExporter([`--kernel-log.file=${directory.path}`]);
    expect(exporter.startUpLine).toContain(`cannot read ${directory.path}: not a regular file`);
    expect(exporter.startUpLine).toContain(whatToDo);
  });

  it("names no log that does not exist while another one is read, and what to do if none is", async () => {
    const logs = join(directory.path, "var/log");
    mkdirSync(logs, { recursive: true });
    writeFileSync(join(logs, "messages"), "");
    exporter = await startExporter([`--path.rootfs=${directory.path}`]);
    expect(exporter.startUpLine).not.toMatch(/log\/\S+: not there|kills are not seen/);
    await exporter.end();
    exporter = await startExporter([`--kernel-log.file=${logs}/none.log`]);
    expect(exporter.startUpLine).toContain(`${logs}/none.log does not exist; waiting for it`);
    expect(exporter.startUpLine).toContain(whatToDo);
  });

  it("lowers its own oom_score_adj if permitted and not already set, and logs the value", async () => {
    const ofProcess = (pid: number | "self") =>
      readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim();
    const status = readFileSync("/proc/self/status", "utf8");
    const capabilities = BigInt(`0x${/^CapEff:\s*(\w+)$/m.exec(status)?.[1]}`);
    const mayLower = ((capabilities >> 24n) & 1n) === 1n;
    const inherited = ofProcess("self");
    exporter = await startExporter(["--kernel-log.source=none"]);
    const own = ofProcess(exporter.pid);
    expect(own).toBe(inherited === "0" && mayLower ? "-900" : inherited);
    const isProtected = Number(own) < 0;
    expect(exporter.startUpLine).toContain(
      `| ${isProtected ? "" : "not "}protected from the OOM killer: oom_score_adj ${own}`,
    );
  });

  it("shows existing kills as history and counts new ones", async () => {
    const log = join(directory.path, "kern.log");
    const kill = (pid: number) =>
      `${new Date().toISOString()} host kernel: [${pid}.000001] Out of memory: Killed process ${pid} (mysqld) total-vm:9000kB, anon-rss:8000kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:44kB oom_score_adj:0\n`;
    writeFileSync(log, kill(71));
    const state = join(directory.path, "state");
    exporter = await startExporter([`--kernel-log.file=${log}`, `--state.directory=${state}`]);
    const total = async () =>
      sampleOf((await exporter?.metrics()) ?? "", 'oom_kills_total{constraint="none"}');
    await eventually("the counters are shown", async () => (await total()) === 0);
    expect((await exporter.kills()).map(({ pid }) => pid)).toEqual([71]);

    writeFileSync(log, kill(72), { flag: "a" });
    await eventually("the kill is counted", async () => (await total()) === 1);
    const [newest] = await exporter.kills();
    const story = await fetch(`${exporter.url}/kills/${newest?.incident}`);
    expect(story.status).toBe(200);
    expect(await story.text()).toContain("mysqld");
  });

  it("shows the URL that it was given and has the runbooks inside", async () => {
    exporter = await onHost("v2-systemd", "--web.external-url=http://fd00::7:10137/oom/");
    expect(await exporter.metrics()).toContain(
      '\noom_exporter_web_info{url="http://[fd00::7]:10137/oom"} 1\n',
    );
    const runbook = await fetch(`${exporter.url}/runbooks/OomKill`);
    expect(runbook.status).toBe(200);
    expect(await runbook.text()).toContain('href="/oom/runbooks"');
    await exporter.end();

    exporter = await onHost("v2-systemd");
    expect(await exporter.metrics()).not.toContain("oom_exporter_web_info");
  });

  it("ends on SIGTERM with exit code 0 and its state saved", async () => {
    const log = join(directory.path, "kern.log");
    const state = join(directory.path, "state");
    writeFileSync(log, "");
    const flags = [`--kernel-log.file=${log}`, `--state.directory=${state}`];
    exporter = await startExporter(flags);
    expect(await exporter.end("SIGTERM")).toBe(0);
    exporter = await startExporter(flags);
    await eventually("it goes on", async () =>
      (await exporter?.metrics())?.includes("oom_state_persistent 1"),
    );
  });

  it("serves and ends while a process that it reads holds its mmap lock", async () => {
    const host = await copyOfHost("v2-systemd");
    // Opening a pipe waits for its writer, as reading cmdline waits for the lock.
    const pipe = join(host.procfs, "1802", "cmdline");
    rmSync(pipe, { force: true });
    spawnSync("mkfifo", [pipe]);
    const paths = [`--path.procfs=${host.procfs}`, `--path.sysfs=${host.sysfs}`];
    exporter = await startExporter([...paths, `--path.rootfs=${host.rootfs}`]);
    expect(await exporter.metrics()).toContain('comm="worker-2"');
    expect(await exporter.end("SIGTERM")).toBe(null);
    await host.dispose();
  });

  it("keeps counting if its state cannot be saved, and says so once", async () => {
    const log = join(directory.path, "kern.log");
    writeFileSync(log, "");
    const blocked = join(directory.path, "blocked");
    writeFileSync(blocked, "a file where a directory should be");
    exporter = await startExporter([
      `--kernel-log.file=${log}`,
      `--state.directory=${join(blocked, "state")}`,
    ]);
    const metrics = await eventually("it serves", async () => exporter?.metrics());
    expect(sampleOf(metrics, "oom_state_persistent")).toBe(0);
    expect(exporter.log().match(/state directory/g)).toHaveLength(1);
  });

  it("reads a log that becomes readable later", async () => {
    const folder = join(directory.path, "later");
    const log = join(folder, "kern.log");
    exporter = await startExporter([`--kernel-log.file=${log}`]);
    const up = async () =>
      sampleOf((await exporter?.metrics()) ?? "", 'oom_log_source_up{source="file"}');
    expect(await up()).toBe(0);
    expect(exporter.log()).toBe("");
    mkdirSync(folder);
    writeFileSync(log, "");
    chmodSync(log, 0o640);
    await eventually("the source is up", async () => (await up()) === 1);
    expect(exporter.log().match(/the kernel log is being read/g)).toHaveLength(1);
  });
});
