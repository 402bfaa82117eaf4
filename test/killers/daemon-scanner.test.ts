import { describe, expect, it } from "vitest";
import type { DaemonKill } from "../../src/killers/daemon-kill.ts";
import { parseDaemonLine } from "../../src/killers/daemon-line.ts";
import { DaemonScanner } from "../../src/killers/daemon-scanner.ts";
import { heldBytes, mebibyte } from "../setup/held-memory.ts";
import { clock, killsIn, syslog } from "./daemon-log.ts";

const kill = (pid: number) =>
  `sending SIGTERM to process ${pid} uid 0 "hog": badness 955, VmRSS 1640 MiB`;
const stamp = "2026-11-20T13:23:50.671745+00:00";
const journal = (fields: object) =>
  `${JSON.stringify({
    __CURSOR: "s=1",
    __REALTIME_TIMESTAMP: "1795181030671745",
    __MONOTONIC_TIMESTAMP: "8640407",
    _BOOT_ID: "0123456789abcdef0123456789abcdef",
    _PID: "712",
    SYSLOG_IDENTIFIER: "earlyoom",
    _SYSTEMD_UNIT: "earlyoom.service",
    ...fields,
  })}\n`;

describe("envelopes", () => {
  it.each([
    ["RFC 3164", `Nov 20 13:23:50 web1 earlyoom[712]: ${kill(7)}`],
    ["RFC 3339", `${stamp} web1 earlyoom[712]: ${kill(7)}`],
    ["RFC 5424", `<30>1 ${stamp} web1 earlyoom 712 - - ${kill(7)}`],
    ["journalctl -o short-unix", `1795181030.671745 web1 earlyoom[712]: ${kill(7)}`],
    ["the journal's JSON", journal({ MESSAGE: kill(7) }).trimEnd()],
  ])("%s", (_name, line) => {
    const [one, ...others] = killsIn(`${line}\n`);
    expect(others).toEqual([]);
    expect(one).toMatchObject({ killer: "earlyoom", pid: 7 });
    expect(Math.floor((one?.timeMs ?? 0) / 1000)).toBe(1795181030);
  });

  it("of what is not UTF-8 are an array of bytes", () => {
    const bytes = [...Buffer.from(kill(7).replace("hog", "h\xffg"), "latin1")];
    const line = parseDaemonLine(journal({ MESSAGE: bytes }).trimEnd(), { clock });
    expect(line).toMatchObject({ killer: "earlyoom", unit: "earlyoom.service", writerPid: 712 });
    expect(line?.text).toContain('"h\xffg"');
  });

  it("of the journal carry boot and time since boot", () => {
    expect(killsIn(journal({ MESSAGE: kill(7) }))).toMatchObject([
      { bootId: "0123456789abcdef0123456789abcdef", monotonicMicros: 8640407 },
    ]);
  });

  it.each([
    ["logger -t web", `Nov 20 13:23:50 web1 web[9]: earlyoom[712]: ${kill(7)}`],
    [
      "a text that quotes a line",
      `Nov 20 13:23:50 web1 app[9]: Nov 20 13:23:50 web1 earlyoom[712]: ${kill(7)}`,
    ],
    ["a container's object", `{"log":"${kill(7).replaceAll('"', '\\"')}","stream":"stdout"}`],
    ["no envelope", kill(7)],
    [
      "another identifier in the journal",
      journal({ SYSLOG_IDENTIFIER: "web", MESSAGE: kill(7) }).trimEnd(),
    ],
  ])("are not taken from %s", (_case, line) => {
    expect(killsIn(`${line}\n`)).toEqual([]);
  });

  it("may be missing in a copy", () => {
    expect(killsIn(`${kill(7)}\n`, { copied: true })).toMatchObject([{ pid: 7 }]);
  });
});

describe("the scanner", () => {
  const chatter = Array.from(
    { length: 400 },
    (_, i) => `Nov 20 13:23:50 web1 cron[${i}]: (root) CMD (Killed time, VmRSS-like words)\n`,
  ).join("");
  const limits = "low memory! at or below SIGTERM limits: mem 10.00%, swap 10.00%";
  const log =
    chatter +
    syslog("earlyoom[712]", limits, kill(7)) +
    chatter +
    syslog("earlyoom[712]", limits, kill(8), "dryrun, not actually sending any signal") +
    syslog("nohang[402]", "Process with highest badness (found in 5ms):") +
    syslog(
      "nohang[402]",
      "  PID: 510, Name: hog, badness: 930",
      "  Sending SIGTERM to the victim",
    ) +
    chatter +
    syslog("nohang[402]", "OK; total response time: 8ms");

  it.each([1, 7, 64, 1000, 65_536])("finds the same in pieces of %i bytes", (pieceBytes) => {
    const kills = killsIn(log, { pieceBytes });
    expect(kills.map(({ killer, pid, lineNumber }) => [killer, pid, lineNumber])).toEqual([
      ["earlyoom", 7, 402],
      ["nohang", 510, 1209],
    ]);
    expect(kills[0]?.readings).toEqual({ memoryLimitPercent: 10, swapLimitPercent: 10 });
  });

  it("reads a log larger than its window", () => {
    const large = chatter.repeat(60);
    expect(large.length).toBeGreaterThan(1024 * 1024);
    const kills = killsIn(large + syslog("earlyoom[712]", kill(7)) + large + log);
    expect(kills.map(({ pid, lineNumber }) => [pid, lineNumber])).toEqual([
      [7, 24_001],
      [7, 24_001 + 24_000 + 402],
      [510, 24_001 + 24_000 + 1209],
    ]);
  });

  it("goes past a line without end", () => {
    expect(killsIn(`${"x".repeat(3_000_000)}\n${syslog("earlyoom", kill(7))}`)).toHaveLength(1);
  });

  it("keeps a kill back until its next line, or until nothing more comes", () => {
    const kills: DaemonKill[] = [];
    const scanner = new DaemonScanner({ clock }, (one) => kills.push(one));
    scanner.push(Buffer.from(syslog("earlyoom[712]", kill(7))));
    expect(kills).toEqual([]);
    scanner.settle();
    expect(kills).toHaveLength(1);
    scanner.push(Buffer.from(syslog("earlyoom[712]", kill(8))));
    scanner.push(Buffer.from(syslog("earlyoom[712]", "kill failed: No such process")));
    scanner.settle();
    expect(kills).toHaveLength(1);
  });

  it("resumes before the lines of an action that is not over", () => {
    const begun = syslog(
      "nohang[402]",
      "  PID: 510, Name: hog, badness: 930",
      "  Sending SIGTERM to the victim",
    );
    const first = new DaemonScanner({ clock }, () => {});
    first.push(Buffer.from(chatter + begun));
    const kills: DaemonKill[] = [];
    const second = new DaemonScanner({ clock }, (one) => kills.push(one));
    const whole = Buffer.from(
      chatter + begun + syslog("nohang[402]", "OK; total response time: 8ms"),
    );
    second.nextFile(first.resumeOffset);
    second.push(whole.subarray(first.resumeOffset));
    expect(kills).toMatchObject([{ pid: 510 }]);
    expect(second.offset).toBe(whole.length);
  });

  it("leaves out daemons that are not asked for", () => {
    expect(killsIn(log, { killers: ["nohang"] }).map(({ killer }) => killer)).toEqual(["nohang"]);
  });
});

it("loses no kill of a daemon that ended with it, however often others are started then", () => {
  const others = Array.from({ length: 40 }, (_, n) => syslog(`earlyoom[${n}]`, "earlyoom 1.7"));
  const log = [syslog("earlyoom[712]", kill(7)), ...others, syslog("earlyoom[713]", kill(8))];
  expect(killsIn(log.join("")).map(({ pid }) => pid)).toEqual([7, 8]);
});

it("keeps a kill without the log around it", () => {
  const noise = "Nov 20 13:23:49 web1 cron[9]: something else\n".repeat(1000);
  const kills = () =>
    Array.from({ length: 200 }, (_, pid) =>
      killsIn(`${noise}${syslog("earlyoom[712]", kill(pid).replace("hog", "a-long-name-123"))}`),
    );
  expect(heldBytes(kills)).toBeLessThan(mebibyte);
});
