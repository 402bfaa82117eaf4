import { chmodSync, mkdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { chooseLogSource } from "../../src/log-sources/log-choice.ts";
import { HostFiles } from "../../src/sources/host-files.ts";
import { LoggingHost } from "../setup/logging-host.ts";
import { withoutPrivilege } from "../setup/temporary-tree.ts";

let host: LoggingHost;

beforeEach(() => {
  host = new LoggingHost();
});

afterEach(() => {
  host.remove();
});

describe("the choice of auto", () => {
  it("is kern.log if it was written to since boot", async () => {
    host.print("Linux version 6.1.0");
    const following = await host.follow();
    expect(following.sources).toEqual(["file up"]);
    following.end();
  });

  it("is /dev/kmsg if kern.log is left over from an earlier boot", async () => {
    host.print("Linux version 6.1.0");
    host.reboot();
    const following = await host.follow();
    expect(following.sources).toEqual(["kmsg up"]);
    expect(following.kernelLog.passedOver).toEqual([
      {
        source: { kind: "file", path: host.path("kern.log") },
        obstacle: "not written to since boot",
      },
    ]);
    following.end();
  });

  it("is made by opening: an unreadable source is skipped", () => {
    host.print("Linux version 6.1.0");
    chmodSync(host.rootfs, 0o755);
    chmodSync(host.path("kern.log"), 0o000);
    const { source, passedOver } = withoutPrivilege(() =>
      chooseLogSource({
        files: new HostFiles({ procfs: "/proc", sysfs: "/sys", rootfs: host.rootfs }),
        kmsg: { path: "/dev/kmsg", open: () => ({ read: () => 0, close: () => {} }) },
        bootTimeMs: host.bootTimeMs,
        isContainer: false,
      }),
    );
    expect(source?.kind).toBe("kmsg");
    expect(passedOver.map(({ obstacle }) => obstacle)).toEqual([
      "permission denied, add this user to the group that owns it, often adm",
    ]);
  });

  it("is never /dev/kmsg in a container, whose kills it does not show", async () => {
    host.print("Linux version 6.1.0", "messages");
    const following = await host.follow({ isContainer: true });
    expect(following.sources).toEqual(["file up"]);
    expect(following.kernelLog.passedOver.at(-1)).toEqual({
      source: { kind: "kmsg", path: "/dev/kmsg" },
      obstacle: "it shows the host's kills, and this is a container",
    });
    following.end();
  });

  it("is /dev/kmsg if kern.log is no file", async () => {
    mkdirSync(host.path("kern.log"), { recursive: true });
    const following = await host.follow();
    expect(following.sources).toEqual(["kmsg up"]);
    expect(following.kernelLog.passedOver[0]?.obstacle).toBe("not a regular file");
    following.end();
  });

  it("is messages if neither can be read", async () => {
    host.isRingReadable = false;
    host.print("Linux version 6.1.0", "messages");
    const following = await host.follow();
    expect(following.kernelLog.states).toEqual([
      { name: "file", path: host.path("messages"), up: true, reason: undefined },
    ]);
    following.end();
  });

  it("is nothing if nothing can be read, with the reasons", async () => {
    host.isRingReadable = false;
    const following = await host.follow();
    expect(following.kernelLog.states).toEqual([
      { name: "file", path: host.path("kern.log"), up: false, reason: "not there" },
      {
        name: "kmsg",
        path: "/dev/kmsg",
        up: false,
        reason: expect.stringMatching(
          /^permission denied, run as root or with CAP_SYSLOG while kernel.dmesg_restrict=1/,
        ),
      },
    ]);
    following.end();
  });

  it("is kern.log as soon as it exists, if nothing could be read before", async () => {
    host.isRingReadable = false;
    const following = await host.follow();
    host.kill(101);
    await following.live(2);
    expect(following.sources).toEqual(["file up"]);
    expect(following.counted).toBe(1);
    following.end();
  });
});

describe.each(["file", "kmsg"] as const)("kills read from %s", (mode) => {
  it("before the first start are history: shown, never counted", async () => {
    host.kill(101);
    host.kill(102);
    const following = await host.follow({ mode });
    expect(following.counted).toBe(0);
    expect(following.pids).toEqual([101, 102]);

    host.kill(103);
    await following.read();
    expect(following.counted).toBe(1);
    following.end();
  });

  it("are also history for the start after a first one that died before it had read the log", async () => {
    host.kill(101);
    const first = await host.follow({ mode });
    first.endBeforeCaughtUp();

    host.kill(102);
    const second = await host.follow({ mode });
    expect(second.counted).toBe(0);
    expect(second.pids).toEqual([101, 102]);

    host.kill(103);
    await second.read();
    expect(second.counted).toBe(1);
    second.end();
  });

  it("are counted on over a restart, those of the downtime included", async () => {
    host.print("syslogd starts");
    const first = await host.follow({ mode });
    host.kill(101);
    await first.read();
    first.end();

    host.kill(102);
    host.kill(103);
    const second = await host.follow({ mode });
    expect(second.counted).toBe(3);
    expect(second.pids).toEqual([101, 102, 103]);
    second.end();
  });

  it("are counted on over a reboot, and a pid that comes again is another kill", async () => {
    host.print("syslogd starts");
    const first = await host.follow({ mode });
    host.kill(101);
    await first.read();
    first.end();

    host.reboot();
    host.kill(101);
    const second = await host.follow({ mode });
    expect(second.counted).toBe(2);
    second.end();
  });
});

describe("kills of the dying boot", () => {
  it("are read from the file after the reboot and counted", async () => {
    host.print("syslogd starts");
    const first = await host.follow({ mode: "file" });
    first.end();
    host.kill(101);
    host.reboot();
    const second = await host.follow({ mode: "file" });
    expect(second.counted).toBe(1);
    second.end();
  });
});

describe("a log that shows fewer kills than the kernel counted", () => {
  it("is held against the ring after 10 s: each missing kill is counted once, and the file is marked down", async () => {
    host.kill(100);
    const following = await host.follow();
    host.kill(101);
    await following.live(3);

    host.syslogWorks = false;
    host.kill(102);
    host.kill(103);
    await following.live(8);
    expect(following.counted).toBe(1);
    expect(following.unaccounted).toBe(0);

    await following.live(6);
    expect(following.counted).toBe(3);
    expect(following.pids).toEqual([100, 101, 102, 103]);
    expect(following.sources).toEqual(["file down", "kmsg up"]);
    expect(host.logged).toEqual([
      {
        level: "warn",
        message: "the kernel counted kills that are not in the log: now also reading /dev/kmsg",
      },
    ]);
    following.end();
  });

  it("is read together with the ring from then on: a kill that both show counts once", async () => {
    host.print("syslogd starts");
    const following = await host.follow();
    host.syslogWorks = false;
    host.kill(101);
    await following.live(14);
    host.syslogWorks = true;
    host.kill(102);
    await following.live(14);
    expect(following.counted).toBe(2);
    expect(following.unaccounted).toBe(0);
    following.end();
  });

  describe("over a restart", () => {
    beforeEach(async () => {
      host.print("syslogd starts");
      const first = await host.follow();
      host.syslogWorks = false;
      host.kill(101);
      await first.live(14);
      expect(first.sources).toEqual(["file down", "kmsg up"]);
      first.end();
    });

    it("is read together with the ring, and still marked down", async () => {
      const second = await host.follow();
      expect(second.sources).toEqual(["file down", "kmsg up"]);
      expect(second.counted).toBe(1);
      second.end();
    });

    it("is the only source once the ring buffer cannot be read", async () => {
      host.isRingReadable = false;
      const second = await host.follow();
      expect(second.sources).toEqual(["file up"]);
      expect(second.counted).toBe(1);
      second.end();
    });

    it("has a new chance in the next boot", async () => {
      host.reboot();
      host.syslogWorks = true;
      host.print("Linux version 6.1.0");
      const second = await host.follow();
      expect(second.sources).toEqual(["file up"]);
      second.end();
    });
  });

  it("stays blind, and says so, if the ring buffer cannot be read", async () => {
    host.print("syslogd starts");
    const following = await host.follow();
    host.isRingReadable = false;
    host.syslogWorks = false;
    host.kill(101);
    await following.live(14);
    expect(following.counted).toBe(0);
    expect(following.unaccounted).toBe(1);
    expect(host.logged.map(({ message }) => message)).toContain(
      "the kernel counted kills that are not in the log, and /dev/kmsg cannot be read either",
    );
    following.end();
  });

  it("is left alone if the operator chose the file", async () => {
    host.print("syslogd starts");
    const following = await host.follow({ mode: "file" });
    host.syslogWorks = false;
    host.kill(101);
    await following.live(14);
    expect(following.sources).toEqual(["file up"]);
    expect(following.unaccounted).toBe(1);
    following.end();
  });
});

describe("a log without the kernel's own stamps", () => {
  beforeEach(() => {
    host.hasPrintkStamps = false;
    host.print("syslogd starts");
  });

  it("hides no missing kill by lines that a restarted syslogd writes again", async () => {
    const following = await host.follow({ mode: "file" });
    host.kill(101);
    await following.live(3);
    const before = readFileSync(host.path("kern.log"), "utf8");
    host.write("kern.log", before);
    host.syslogWorks = false;
    host.kill(102);
    await following.live(14);
    expect(following.counted).toBe(1);
    expect(following.unaccounted).toBe(1);
    following.end();
  });

  it("shows a group's first victim twice, as the kernel counts it", async () => {
    const following = await host.follow({ mode: "file" });
    host.kill(101);
    host.print("Tasks in /work are going to be killed due to memory.oom.group set");
    host.kill(101);
    host.kill(102);
    await following.live(14);
    expect(following.counted).toBe(2);
    expect(following.unaccounted).toBe(0);
    following.end();
  });
});

describe("a kill that the program fails to describe", () => {
  it("is counted as unparsed, logged once, and those after it are read", async () => {
    host.print("syslogd starts");
    const following = await host.follow();
    for (const pid of [101, 102, 103]) {
      following.indescribable.add(pid);
      host.kill(pid);
    }
    host.kill(104);
    await following.live(1);
    expect(following.pids).toEqual([104]);
    expect(following.kernelLog.tally.unparsedKills).toBe(3);
    expect(host.logged).toEqual([
      {
        level: "warn",
        message: expect.stringMatching(/^failed to process a kernel log line/),
      },
    ]);
    following.end();
  });
});

describe("a second choice", () => {
  it("is made 60 s after the start: kern.log takes over from the ring, and nothing counts twice", async () => {
    const following = await host.follow();
    host.syslogWorks = false;
    host.kill(101);
    await following.read();
    host.syslogWorks = true;
    host.kill(102);
    await following.live(61);
    expect(following.sources).toEqual(["file up"]);
    host.kill(103);
    await following.live(2);
    expect(following.counted).toBe(3);
    following.end();
  });

  it("is made when the file has been gone longer than rotation takes", async () => {
    host.print("syslogd starts");
    const following = await host.follow();
    host.kill(101);
    await following.read();
    host.rename("kern.log", "moved-away");
    host.syslogWorks = false;
    await following.live(30);
    host.kill(102);
    await following.live(2);
    expect(following.sources).toContain("kmsg up");
    expect(following.counted).toBe(2);
    following.end();
  });
});

describe("events without a victim", () => {
  const nobody = "Out of memory and no killable processes...";

  beforeEach(() => {
    host.print("syslogd starts");
    host.print(nobody);
  });

  it("count when they happen, not when they are found in the log", async () => {
    const following = await host.follow({ mode: "file" });
    expect(following.counting.noVictims).toBe(0);
    host.print(nobody);
    await following.read();
    expect(following.counting.noVictims).toBe(1);
    following.end();
  });

  it("count once if both the file and the ring buffer show them", async () => {
    const following = await host.follow();
    host.syslogWorks = false;
    host.kill(101);
    await following.live(14);
    host.syslogWorks = true;
    host.print(nobody);
    await following.live(2);
    expect(following.sources).toEqual(["file down", "kmsg up"]);
    expect(following.counting.noVictims).toBe(1);
    following.end();
  });
});

describe("a ring that is overwritten again and again", () => {
  it("is logged once when it begins, and once when it ends, with the number of lost records", async () => {
    const logged: object[] = [];
    const note = (fields: object, message: string) => logged.push({ ...fields, message });
    host.ring.push("6,0,1000000,-;first\n");
    const following = await host.follow({ mode: "kmsg", log: { info: note, warn: note } });
    for (let sequence = 10; sequence <= 100; sequence += 10) {
      host.ring.push(`6,${sequence},1000000,-;flood\n`);
      await following.live(1);
    }
    await following.live(10);
    expect(logged).toEqual([
      {
        path: "/dev/kmsg",
        reason:
          "the kernel's ring buffer overflowed: 9 records were overwritten before they were read",
        message: "kernel log records lost",
      },
      { path: "/dev/kmsg", records: 90, message: "no more kernel log records are lost" },
    ]);
    following.end();
  });
});
