import { appendFileSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import type { DaemonKillRead } from "../../src/killers/daemon-log.ts";
import { type DaemonLogMode, DaemonLogs } from "../../src/log-sources/daemon-logs.ts";
import { HostFiles } from "../../src/sources/host-files.ts";
import { StandInJournal } from "../setup/stand-in-journalctl.ts";
import { waitUntil } from "../setup/wait-until.ts";

const boot = "0123456789abcdef0123456789abcdef";
const bootTimeMs = Date.parse("2026-11-20T00:00:00Z");
const nowMs = Date.parse("2026-11-21T00:00:00Z");

let root: string;
let monotonic = 0;
const running: DaemonLogs[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "daemon-logs-"));
  for (const path of ["usr/bin", "usr/sbin", "usr/lib/systemd", "var/log", "run/log/journal/m"]) {
    mkdirSync(join(root, path), { recursive: true });
  }
  monotonic = 0;
});
afterEach(() => {
  for (const logs of running.splice(0)) logs.stop();
  rmSync(root, { recursive: true });
});

const install = (path: string) => writeFileSync(join(root, path), "");
const keepJournal = () => writeFileSync(join(root, "run/log/journal/m/system.journal"), "");
const logged: string[] = [];

function logsOf(mode: DaemonLogMode, journal?: StandInJournal) {
  const files = new HostFiles({
    procfs: join(root, "proc"),
    sysfs: join(root, "sys"),
    rootfs: root,
  });
  const logs = new DaemonLogs({
    mode,
    files,
    rootfs: "/",
    clock: { nowMs: () => nowMs, zone: utcZone },
    monotonicMs: () => monotonic,
    boot,
    bootTimeMs: () => bootTimeMs,
    hasJournalctl: () => journal !== undefined,
    log: {
      info: (_fields, message) => logged.push(message),
      warn: (fields, message) => logged.push(`${message}: ${JSON.stringify(fields)}`),
    },
    journal: journal && { program: journal.program, backOffMs: { first: 1, most: 4 } },
  });
  running.push(logs);
  return logs;
}

interface Followed {
  logs: DaemonLogs;
  kills: DaemonKillRead[];
  caughtUp: () => boolean;
}

function follow(mode: DaemonLogMode, journal?: StandInJournal, position?: unknown): Followed {
  const logs = logsOf(mode, journal);
  const kills: DaemonKillRead[] = [];
  let hasCaughtUp = false;
  const listener = {
    kill: (kill: DaemonKillRead) => kills.push(kill),
    caughtUp: () => {
      hasCaughtUp = true;
    },
  };
  logs.start(listener, () => position);
  return { logs, kills, caughtUp: () => hasCaughtUp };
}

const killText = (pid: number) =>
  `sending SIGTERM to process ${pid} uid 0 "hog": badness 955, VmRSS 1640 MiB`;
const entry = (text: string, more: Record<string, unknown> = {}) => ({
  __REALTIME_TIMESTAMP: "1795181030671745",
  __MONOTONIC_TIMESTAMP: "8640407",
  _BOOT_ID: boot,
  _PID: "712",
  SYSLOG_IDENTIFIER: "earlyoom",
  _SYSTEMD_UNIT: "earlyoom.service",
  MESSAGE: text,
  ...more,
});
const pidsOf = ({ kills }: Followed) => kills.map(({ kill }) => kill.pid);
/** Lets what waited for a daemon's next line pass. */
const settle = ({ logs }: Followed) => {
  monotonic += 1000;
  logs.beat();
};

describe("without such a daemon on the host", () => {
  it("nothing is read, and it looks again every minute", () => {
    keepJournal();
    const journal = new StandInJournal(root);
    const { logs } = follow("auto", journal);
    expect([logs.watched, logs.states, journal.calls()]).toEqual([[], [], []]);
    install("usr/bin/earlyoom");
    monotonic = 59_000;
    logs.beat();
    expect(logs.watched).toEqual([]);
    monotonic = 60_000;
    logs.beat();
    expect(logs.watched).toEqual(["earlyoom"]);
  });
});

describe("auto", () => {
  beforeEach(() => {
    install("usr/bin/earlyoom");
    keepJournal();
  });

  it("reads the journal if it can, since any user may write into syslog under a daemon's name", async () => {
    const syslog = join(root, "var/log/syslog");
    writeFileSync(syslog, `Nov 20 13:23:50 web1 earlyoom[712]: ${killText(7)}\n`);
    const journal = new StandInJournal(root);
    journal.write(entry(killText(8), { _SYSTEMD_UNIT: "user@1000.service" }));
    journal.write(entry(killText(9)));
    const followed = follow("auto", journal);
    await waitUntil(() => expect(followed.caughtUp()).toBe(true));
    appendFileSync(syslog, `Nov 20 13:23:51 web1 earlyoom[712]: ${killText(10)}\n`);
    journal.write(entry(killText(11)));
    journal.write(entry("process exited after 0.1 seconds"));
    await waitUntil(() => expect(pidsOf(followed)).toEqual([9, 11]));
    expect(followed.logs.states).toMatchObject([{ name: "journal", up: true }]);
  });

  it("takes syslog only after a minute without the journal that it reads", async () => {
    writeFileSync(join(root, "var/log/syslog"), "");
    const journal = new StandInJournal(root);
    journal.failWith("No space left on device");
    const followed = follow("auto", journal);
    await waitUntil(() => expect(followed.logs.states[0]?.reason).toContain("No space"));
    monotonic = 59_999;
    followed.logs.beat();
    expect(followed.logs.states).toMatchObject([{ name: "journal", up: false }]);
    monotonic = 120_000;
    followed.logs.beat();
    await waitUntil(() => expect(followed.logs.states).toMatchObject([{ name: "file", up: true }]));
  });

  it("follows syslog if it is written to and there is no journalctl", async () => {
    writeFileSync(join(root, "var/log/syslog"), "");
    const followed = follow("auto");
    await waitUntil(() => expect(followed.caughtUp()).toBe(true));
    expect(followed.logs.states).toEqual([
      { name: "file", path: join(root, "var/log/syslog"), up: true },
    ]);
    appendFileSync(
      join(root, "var/log/syslog"),
      `Nov 20 13:23:50 web1 earlyoom[712]: ${killText(7)}\nNov 20 13:23:50 web1 web[9]: earlyoom[712]: ${killText(8)}\n`,
    );
    await waitUntil(() => {
      settle(followed);
      expect(pidsOf(followed)).toEqual([7]);
    });
    expect(followed.kills[0]).toMatchObject({ isLive: true, boot });
  });

  it("says what part of syslog is lost", async () => {
    writeFileSync(join(root, "var/log/syslog"), "Nov 20 13:23:50 web1 cron[1]: hello\n");
    logged.length = 0;
    const gone = { headHash: "0".repeat(32), headLength: 20, offset: 20 };
    const followed = follow("auto", undefined, gone);
    await waitUntil(() => expect(followed.caughtUp()).toBe(true));
    expect(logged).toEqual([
      expect.stringMatching(/^kills by daemons may be missing.*the file read last is no longer/),
    ]);
    expect(followed.logs.losses).toBe(1);
  });

  it("reads the journal if syslog was last written to before this boot", async () => {
    writeFileSync(join(root, "var/log/syslog"), "");
    utimesSync(join(root, "var/log/syslog"), 1, bootTimeMs / 1000 - 60);
    const journal = new StandInJournal(root);
    const followed = follow("auto", journal);
    await waitUntil(() => expect(followed.caughtUp()).toBe(true));
    expect(followed.logs.states).toMatchObject([{ name: "journal", up: true }]);
  });

  it("takes up syslog where there is no journal to read, once syslogd writes", async () => {
    rmSync(join(root, "run/log/journal"), { recursive: true });
    const journal = new StandInJournal(root);
    const followed = follow("auto", journal);
    await waitUntil(() =>
      expect(followed.logs.states).toMatchObject([{ name: "journal", up: false }]),
    );
    const syslog = join(root, "var/log/syslog");
    writeFileSync(syslog, `Nov 20 13:23:50 web1 earlyoom[712]: ${killText(7)}\n`);
    monotonic = 60_000;
    followed.logs.beat();
    await waitUntil(() => {
      settle(followed);
      expect(pidsOf(followed)).toEqual([7]);
    });
    expect(followed.kills[0]).toMatchObject({ isLive: false, sourcePath: syslog });
    await waitUntil(() => expect(followed.caughtUp()).toBe(true));
  });

  it("does not follow the kubelet, and journal does", () => {
    install("usr/bin/kubelet");
    writeFileSync(join(root, "var/log/syslog"), "");
    expect(follow("auto").logs.watched).toEqual(["earlyoom"]);
    expect(follow("journal", new StandInJournal(root)).logs.watched).toEqual([
      "earlyoom",
      "kubelet",
    ]);
  });
});

describe("the journal", () => {
  let journal: StandInJournal;
  beforeEach(() => {
    install("usr/bin/earlyoom");
    install("usr/sbin/nohang");
    keepJournal();
    journal = new StandInJournal(root);
  });

  it("is asked for entries of the daemons' units under the daemons' names", async () => {
    const followed = follow("journal", journal);
    await waitUntil(() => expect(journal.calls()).toHaveLength(2));
    expect(journal.calls()[0]).toEqual([
      "--output=json",
      "--quiet",
      "--no-pager",
      "--lines=1000",
      "SYSLOG_IDENTIFIER=earlyoom",
      "_SYSTEMD_UNIT=earlyoom.service",
      "+",
      "SYSLOG_IDENTIFIER=nohang",
      "SYSLOG_IDENTIFIER=nohang-desktop",
      "_SYSTEMD_UNIT=nohang.service",
      "_SYSTEMD_UNIT=nohang-desktop.service",
    ]);
    expect(journal.calls()[1]).toContain("--follow");
    expect(followed.caughtUp()).toBe(true);
  });

  it("delivers existing entries first, then new ones", async () => {
    journal.write(entry(killText(1)));
    const followed = follow("journal", journal);
    await waitUntil(() => expect(followed.caughtUp()).toBe(true));
    expect(followed.kills).toMatchObject([{ kill: { pid: 1, bootId: boot }, isLive: false }]);
    await waitUntil(() => expect(journal.follower()).toBeGreaterThan(0));
    journal.write(entry(killText(2)));
    journal.write(entry("process exited after 0.1 seconds"));
    await waitUntil(() => expect(pidsOf(followed)).toEqual([1, 2]));
    expect(followed.kills[1]).toMatchObject({ isLive: true });
  });

  it.each([
    ["another unit", { _SYSTEMD_UNIT: "user@1000.service" }],
    ["no unit", { _SYSTEMD_UNIT: undefined }],
    ["another name", { SYSLOG_IDENTIFIER: "logger" }],
    ["the unit of another daemon", { _SYSTEMD_UNIT: "nohang.service" }],
  ])("is not believed if %s wrote", async (_case, more) => {
    journal.write(entry(killText(1), more));
    journal.write(entry(killText(2)));
    const followed = follow("journal", journal);
    await waitUntil(() => expect(followed.caughtUp()).toBe(true));
    expect(pidsOf(followed)).toEqual([2]);
  });

  it("continues after the saved position", async () => {
    const cursor = journal.write(entry(killText(1)));
    journal.write(entry(killText(2)));
    const followed = follow("journal", journal, cursor);
    await waitUntil(() => expect(followed.caughtUp()).toBe(true));
    expect(followed.kills).toMatchObject([{ kill: { pid: 2 }, isReread: false }]);
    expect(followed.logs.positions()).toEqual({ journal: "s=2" });
  });

  it("is read from its newest entries if journalctl rejects the saved position, which is one loss", async () => {
    logged.length = 0;
    journal.write(entry(killText(1)));
    journal.write(entry("process exited after 0.1 seconds"));
    const followed = follow("journal", journal, "of another machine");
    await waitUntil(() => expect(followed.caughtUp()).toBe(true));
    expect(followed.kills).toMatchObject([{ kill: { pid: 1 }, isReread: true }]);
    expect(followed.logs.losses).toBe(1);
    expect(followed.logs.states).toMatchObject([{ up: true }]);
    expect(followed.logs.positions()).toEqual({ journal: "s=2" });
    await waitUntil(() => expect(journal.follower()).toBeGreaterThan(0));
    journal.write(entry(killText(2)));
    journal.write(entry("process exited after 0.1 seconds"));
    await waitUntil(() => expect(pidsOf(followed)).toEqual([1, 2]));
    expect(logged).toEqual([
      expect.stringMatching(/^kills by daemons may be missing.*Failed to seek to cursor/),
    ]);
  });

  it("is read again, but not as if it were new, if journalctl rejects the position later", async () => {
    journal.write(entry(killText(1)));
    journal.write(entry("process exited after 0.1 seconds"));
    const followed = follow("journal", journal);
    await waitUntil(() => expect(journal.follower()).toBeGreaterThan(0));
    expect(followed.kills).toMatchObject([{ kill: { pid: 1 }, isLive: false }]);
    journal.failWith("Failed to seek to cursor: Invalid argument");
    process.kill(journal.follower(), "SIGKILL");
    await waitUntil(() => expect(followed.logs.losses).toBe(1));
    journal.failWith(undefined);
    await waitUntil(() => expect(pidsOf(followed)).toEqual([1, 1]));
    expect(followed.kills[1]).toMatchObject({ isLive: false, isReread: true });
  });

  it("forgets a rejected position although there is no entry yet", async () => {
    const followed = follow("journal", journal, "of another machine");
    await waitUntil(() => expect(followed.caughtUp()).toBe(true));
    expect(followed.logs.positions()).toEqual({ journal: null });
    followed.logs.stop();
    const restarted = follow("journal", journal, null);
    await waitUntil(() => expect(restarted.caughtUp()).toBe(true));
    expect(restarted.logs.losses).toBe(0);
  });

  it("keeps the position before an action that is not over", async () => {
    const nohang = { SYSLOG_IDENTIFIER: "nohang", _SYSTEMD_UNIT: "nohang.service", _PID: "402" };
    journal.write(entry("Found 61 tasks", nohang));
    journal.write(entry("  PID: 510, Name: hog, badness: 930", nohang));
    journal.write(entry("  Sending SIGTERM to the victim", nohang));
    const first = follow("journal", journal);
    await waitUntil(() => expect(first.caughtUp()).toBe(true));
    expect(first.logs.positions()).toEqual({ journal: "s=1" });
    first.logs.stop();
    journal.write(entry("OK; total response time: 8ms", nohang));
    const second = follow("journal", journal, "s=1");
    await waitUntil(() => expect(pidsOf(second)).toEqual([510]));
    expect(second.logs.positions()).toEqual({ journal: "s=4" });
  });

  it("is read on when journalctl dies, without a gap", async () => {
    const followed = follow("journal", journal);
    await waitUntil(() => expect(journal.follower()).toBeGreaterThan(0));
    const dead = journal.follower();
    process.kill(dead, "SIGKILL");
    await waitUntil(() => expect(journal.calls().length).toBeGreaterThanOrEqual(4));
    journal.write(entry(killText(3)));
    journal.write(entry("process exited after 0.1 seconds"));
    await waitUntil(() => expect(pidsOf(followed)).toEqual([3]));
    expect(journal.follower()).not.toBe(dead);
    expect(followed.logs.states).toMatchObject([{ up: true }]);
    expect(logged.join()).toContain("SIGKILL");
  });

  it("is down while journalctl fails, with its words, and up again after", async () => {
    journal.failWith("Failed to open journal: No such file");
    const followed = follow("journal", journal);
    await waitUntil(() => expect(journal.calls().length).toBeGreaterThan(2));
    expect(followed.logs.states).toEqual([
      {
        name: "journal",
        path: "journal",
        up: false,
        reason: "journalctl ended (exit code 1): Failed to open journal: No such file",
      },
    ]);
    expect(followed.caughtUp()).toBe(false);
    journal.failWith(undefined);
    await waitUntil(() => expect(followed.caughtUp()).toBe(true));
    expect(followed.logs.states).toMatchObject([{ up: true }]);
  });

  it("is down without journalctl, and says so", async () => {
    rmSync(journal.program);
    const followed = follow("journal", journal);
    await waitUntil(() =>
      expect(followed.logs.states[0]?.reason).toContain(
        "is not there, install systemd's journalctl",
      ),
    );
    expect(followed.logs.states[0]?.up).toBe(false);
  });

  it("is down without a journal", () => {
    rmSync(join(root, "run/log/journal"), { recursive: true });
    const followed = follow("journal", journal);
    expect(followed.logs.states).toMatchObject([
      { up: false, reason: "no journal is kept on this host" },
    ]);
    expect(journal.calls()).toEqual([]);
  });

  it("follows a daemon that is installed later", async () => {
    rmSync(join(root, "usr/sbin/nohang"));
    const followed = follow("journal", journal);
    await waitUntil(() => expect(journal.follower()).toBeGreaterThan(0));
    install("usr/sbin/nohang");
    monotonic = 60_000;
    followed.logs.beat();
    await waitUntil(() => {
      const last = journal.calls().at(-1) ?? [];
      expect(last).toContain("--follow");
      expect(last).toContain("SYSLOG_IDENTIFIER=nohang");
    });
    expect(followed.logs.watched).toEqual(["earlyoom", "nohang"]);
  });
});

describe("none", () => {
  it("reads nothing", () => {
    install("usr/bin/earlyoom");
    const { logs } = follow("none");
    expect([logs.watched, logs.states]).toEqual([[], []]);
  });
});
