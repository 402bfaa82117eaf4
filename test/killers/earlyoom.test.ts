import { describe, expect, it } from "vitest";
import { fieldsOf, killsIn, syslog } from "./daemon-log.ts";

const earlyoom = (...texts: string[]) => fieldsOf(killsIn(syslog("earlyoom[712]", ...texts)));

/** Printed by earlyoom 1.7 of Debian 12. */
const status = "mem avail:   101 of  1987 MiB ( 5.11%), swap free:    0 of    0 MiB ( 0.00%)";
const limits = "low memory! at or below SIGTERM limits: mem 10.00%, swap 10.00%";
const kill = 'sending SIGTERM to process 1234 uid 1000 "hog": badness 955, VmRSS 1640 MiB';

describe("earlyoom's lines", () => {
  it("are a kill with the numbers by which it decided", () => {
    expect(earlyoom(status, limits, kill, "process exited after 0.1 seconds")).toEqual([
      {
        killer: "earlyoom",
        reason: "memory_available",
        pid: 1234,
        comm: "hog",
        uid: 1000,
        badness: 955,
        signal: "SIGTERM",
        rssBytes: 1640 * 1024 * 1024,
        readings: {
          memoryAvailablePercent: 5.11,
          swapFreePercent: 0,
          memoryLimitPercent: 10,
          swapLimitPercent: 10,
        },
      },
    ]);
  });

  it.each([
    ["1.2, without a user", 'sending SIGKILL to process 42 "java": badness 900, VmRSS 17 MiB'],
    [
      "1.8",
      'sending SIGKILL to process 42 uid 0 "java": oom_score 900, VmRSS 17 MiB, cmdline "java -jar x"',
    ],
    [
      "1.9",
      'sending SIGKILL to process 42 uid 0 "java": oom_score 900, oom_score_adj 200, VmRSS 17 MiB, cmdline "java"',
    ],
  ])("of version %s are read", (_version, line) => {
    expect(earlyoom(line)).toMatchObject([
      { pid: 42, comm: "java", signal: "SIGKILL", badness: 900, rssBytes: 17 * 1024 * 1024 },
    ]);
  });

  it("never expose a command line", () => {
    const secret = "--password=hunter2";
    const kills = killsIn(
      syslog(
        "earlyoom[712]",
        `sending SIGTERM to process 7 uid 0 "mysqld": oom_score 700, VmRSS 80 MiB, cmdline "mysqld ${secret}"`,
        `process 7 cmdline "mysqld ${secret}"`,
      ),
    );
    expect(kills).toHaveLength(1);
    expect(JSON.stringify(kills)).not.toContain("hunter2");
  });

  it.each([
    ["a dry run", "dryrun, not actually sending any signal"],
    ["a signal that was not allowed", "kill failed: Operation not permitted"],
    ["a process that was gone", "kill failed: No such process"],
  ])("are no kill after %s", (_case, next) => {
    expect(earlyoom(status, limits, kill, next, status)).toEqual([]);
  });

  it("are a kill if the victim outlives the signal", () => {
    expect(earlyoom(kill, "kill failed: Timer expired")).toHaveLength(1);
  });

  it("of the self-test at the start are no kill", () => {
    expect(
      earlyoom('sending 0 (no-op signal) to process 9 uid 0 "init": badness 1, VmRSS 1 MiB'),
    ).toEqual([]);
  });

  it("keep a name apart that looks like the rest of the line", () => {
    const name = '": badness 1, V';
    expect(
      earlyoom(`sending SIGTERM to process 5 uid 1 "${name}": badness 9, VmRSS 3 MiB`),
    ).toMatchObject([{ pid: 5, comm: name, badness: 9 }]);
  });
});
