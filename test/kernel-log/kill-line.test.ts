import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  beginsKill,
  constraintOfPrefix,
  looksLikeKill,
  parseCutKillLine,
  parseKillLine,
  quotedKill,
} from "../../src/kernel-log/kill-line.ts";

const kB = 1024;

describe("a vendor's kill line", () => {
  it("of OpenVZ 6 names the container, and resident memory in one figure", () => {
    const line =
      "Out of memory in UB 317592: OOM killed process 2946 (npm) score 0 vm:1506164kB, rss:237752kB, swap:120052kB";
    expect(parseKillLine(line)).toEqual({
      prefix: "Out of memory in UB 317592",
      pid: 2946,
      comm: "npm",
      veId: "317592",
      totalVmBytes: 1506164 * kB,
    });
    expect(constraintOfPrefix("Out of memory in UB 317592")).toBe("memcg");
  });

  it("of OpenVZ 6 for the whole host names none", () => {
    const line = "Out of memory: OOM killed process 601 (mysqld) score 0 vm:1kB, rss:1kB, swap:0kB";
    expect(parseKillLine(line)).toMatchObject({ pid: 601, comm: "mysqld" });
    expect(parseKillLine(line)?.veId).toBeUndefined();
    expect(constraintOfPrefix("Out of memory")).toBe("none");
  });

  it("may name a container behind the process", () => {
    const line =
      'Killed process 29 (php) in VE "7f3a-01", UID 48, total-vm:8kB, anon-rss:4kB, file-rss:0kB';
    expect(parseKillLine(line)).toMatchObject({ pid: 29, comm: "php", veId: "7f3a-01", uid: 48 });
  });

  it("of a phone may have the score behind the name", () => {
    const line = "Killed process 29 (a), adj 900, total-vm:8kB, anon-rss:4kB, file-rss:0kB";
    expect(parseKillLine(line)).toMatchObject({ pid: 29, comm: "a", oomScoreAdj: 900 });
  });

  it("that is broken inside its pid and cut has the whole pid, or none", () => {
    const cut = "Out of memory: Killed process 212569\n9 (debugedit) total-vm:8kB, anon-";
    expect(parseCutKillLine(cut)).toMatchObject({ pid: 2125699, comm: "debugedit" });
    expect(parseCutKillLine("Killed process 212569\nx 9 (debugedit) total-vm:8kB")).toBeUndefined();
  });

  it("that is cut has no sizes of the next one", () => {
    const cut = "Killed process 9 (a) total-vm:8kB, ano\nKilled process 10 (b) anon-rss:4kB";
    expect(parseCutKillLine(cut)).toMatchObject({ pid: 9, totalVmBytes: 8 * kB });
    expect(parseCutKillLine(cut)?.anonRssBytes).toBeUndefined();
  });

  it("is read though its end is cut, or a byte follows it", () => {
    const line =
      "Out of memory in UB 7: OOM killed process 2946 (npm) score 0 vm:1506164kB, rss:23";
    expect(parseKillLine(line)).toBeUndefined();
    expect(parseCutKillLine(line)).toMatchObject({ pid: 2946, comm: "npm" });
    for (const end of ["", " ", " to", " total-vm", " total-vm:1"]) {
      const cut = `Out of memory: Killed process 9 (a b)${end}`;
      expect(parseCutKillLine(cut)).toEqual({ pid: 9, comm: "a b", prefix: "Out of memory" });
    }
    expect(parseCutKillLine("Out of memory: Killed process 9 (a b) was here")).toBeUndefined();
    const whole =
      "Out of memory: Killed process 9 (a) total-vm:8kB, anon-rss:4kB, file-rss:0kB\x03";
    expect(parseKillLine(whole)).toMatchObject({ pid: 9, comm: "a" });
  });

  it.each([
    "OOM killed process mysqld (pid=601, ve=7) exited, free=1234.",
    "OOM killer in rage, 16 tasks killed in ub 1234",
    "SAK: killed process 12 (getty): by session",
    "Kill process 12 (a) sharing same memory",
    "lowmemorykiller: Killing 'com.app' (1234), adj 900,",
    "Killed process[3002]: segfault at 0 ip 0",
    "oom_reaper: reaped process 12 (a), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
  ])("is none of these: %s", (text) => {
    expect(parseKillLine(text)).toBeUndefined();
    expect(looksLikeKill(text)).toBe(false);
  });

  it.each([
    "vendor_lmk: Killed process 12 (a) adj=9 free=7",
    "[oom] killed process 12 (a)",
    "Killed process 12, UID 7, (a) in some other words",
  ])("in an unknown form still looks like one: %s", (text) => {
    expect(parseKillLine(text)).toBeUndefined();
    expect(looksLikeKill(text)).toBe(true);
  });
});

describe("a kill line that a mail broke", () => {
  it.each([
    "Memory cgroup out of memory: Killed",
    "Memory cgroup out of memory:",
    "Out of memory in UB 1234: OOM ",
    "Out of memory: Killed process",
    "Killed process",
  ])("begins with: %s", (text) => {
    expect(beginsKill(text)).toBe(true);
  });

  it.each(["Killed", "process", "", "Out of memory", "java: Killed process", "killed"])(
    "does not begin with: %s",
    (text) => {
      expect(beginsKill(text)).toBe(text === "Killed");
    },
  );
});

describe("a text that quotes a kill", () => {
  it("is cut to the kill, with the prefix of the line before it", () => {
    const kill = "Killed process 25169 (a) total-vm:8kB, anon-rss:4kB, file-rss:0kB";
    expect(quotedKill(`Message:"Out of memory: ${kill}"}] Conditions:[]`)).toBe(
      `Out of memory: ${kill}`,
    );
    expect(
      quotedKill(
        `Memory cgroup out of memory: Kill process 25169 (a) score 9 or sacrifice child\n${kill}`,
      ),
    ).toBe(`Memory cgroup out of memory: ${kill}`);
    expect(
      quotedKill("Memory cgroup out of memory: Kill process 25169 (a) score 9"),
    ).toBeUndefined();
    const old = "Out of Memory: Killed process 2592 (mysql).";
    expect(quotedKill(`It says ${old}In this case`)).toBe(old);
  });
});

describe("any text at all", () => {
  const piece = fc.constantFrom(
    ...["Out of memory", " in UB 7", ": ", "OOM k", "K", "illed ", "process ", "7", " (", "a", ")"],
    ...[" score 0", ", UID 7", " total-vm:8kB", ",", " vm:8kB", " rss:8kB", " ", "\n", "x:1kB"],
  );

  it("is read to its end", () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), fc.nat(400), (pieces, times) => {
        const text = `Killed process 7 (${pieces.join("").repeat(times)}`.slice(0, 16_384);
        for (const read of [parseKillLine, parseCutKillLine, beginsKill, looksLikeKill, quotedKill])
          read(text);
      }),
      { numRuns: 200 },
    );
  });
});
