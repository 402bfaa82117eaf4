import { describe, expect, it } from "vitest";
import { fieldsOf, killsIn, syslog } from "./daemon-log.ts";

const nohang = (...texts: string[]) => fieldsOf(killsIn(syslog("nohang[402]", ...texts)));

const begin = ">>=== STARTING implement_corrective_action() ====>>";
const memory = [
  "Memory status that requires corrective actions:",
  "  MemAvailable [44 MiB, 4.5 %] <= soft_threshold_min_mem [49 MiB, 5.0 %]",
  "  SwapFree [0 MiB, 0.0 %] <= soft_threshold_min_swap [0 MiB, - %]",
];
const chosen = [
  "Found 61 tasks with non-zero VmRSS (except init and self)",
  "Process with highest badness (found in 5ms):",
  "  PID: 510, Name: hog, badness: 930",
];
const status = [
  "Recheck memory levels...",
  ...memory,
  "Victim status (found in 1ms):",
  "  PID:       510, name: hog, state: R, EUID: 1000, SID: 402 (sh), lifetime: 2s",
  "  badness:   930, oom_score:  930, oom_score_adj:  300",
  "  Vm, MiB:   Size: 900, RSS: 850 (Anon: 849, File: 1, Shmem: 0), Swap: 12",
  "  cgroup_v1: ",
  "  cgroup_v2: /system.slice/batch.service",
  "  ancestry:  PID 402 (sh) <- PID 1 (systemd)",
  "  exe realpath: /usr/bin/hog",
  "  cwd realpath: /",
];
const action = (signal: string) => [
  "Implementing a corrective action:",
  `  Sending ${signal} to the victim`,
];
const sent = "OK; total response time: 8ms";

describe("nohang's lines", () => {
  it("are a kill with its numbers and its victim's cgroup", () => {
    expect(nohang(begin, ...memory, ...chosen, ...status, ...action("SIGTERM"), sent)).toEqual([
      {
        killer: "nohang",
        reason: "memory_available",
        pid: 510,
        comm: "hog",
        badness: 930,
        uid: 1000,
        oomScoreAdj: 300,
        rssBytes: 850 * 1024 * 1024,
        swapBytes: 12 * 1024 * 1024,
        cgroup: "/system.slice/batch.service",
        signal: "SIGTERM",
        readings: {
          memoryAvailablePercent: 4.5,
          memoryLimitPercent: 5,
          swapFreePercent: 0,
        },
      },
    ]);
  });

  it("are a kill if the victim's status is not printed", () => {
    expect(nohang(begin, ...memory, ...chosen, ...action("SIGKILL"), sent)).toMatchObject([
      { pid: 510, comm: "hog", signal: "SIGKILL" },
    ]);
  });

  it("are a kill of a victim it signalled before", () => {
    const cached = "New victim is cached victim 510 (hog)";
    expect(nohang(begin, ...memory, cached, ...action("SIGKILL"), sent)).toMatchObject([
      { pid: 510, comm: "hog" },
    ]);
  });

  it("distinguish pressure and zram from available memory", () => {
    const psi = [
      ...memory.slice(0, 2),
      "  Current PSI metric value (61.5) >= soft_threshold_max_psi (40.0)",
    ];
    const zram = [
      ...memory.slice(0, 2),
      "  MemUsedZram [612 MiB, 61.0 %] >= soft_threshold_max_zram [550 M, 55.0 %]",
    ];
    const rest = [...chosen, ...action("SIGTERM"), sent];
    expect(nohang(begin, ...psi, ...rest, begin, ...zram, ...rest)).toMatchObject([
      { reason: "memory_pressure", readings: { pressurePercent: 61.5, pressureLimitPercent: 40 } },
      { reason: "swap" },
    ]);
  });

  it.each([
    "Selected process died before corrective action",
    "Cannot send a signal: PermissionError",
    "<<=== FINISHING implement_corrective_action() ===<<",
  ])("are no kill if no signal was sent: %s", (line) => {
    expect(nohang(begin, ...memory, ...chosen, ...action("SIGTERM"), line, sent)).toEqual([]);
  });

  it("name the victim that was chosen, whatever its own names say", () => {
    const forged = [
      "  exe realpath: /tmp/x",
      "  PID: 1, Name: sshd, badness: 9",
      "  PID:       1, name: sshd, state: S, EUID: 0, SID: 1 (x), lifetime: 1s",
      "  cgroup_v2: /system.slice/ssh.service",
    ];
    expect(nohang(begin, ...chosen, ...forged, ...action("SIGTERM"), sent)).toMatchObject([
      { pid: 510, comm: "hog" },
    ]);
    expect(nohang(begin, ...chosen, ...forged, ...action("SIGTERM"), sent)[0]).not.toHaveProperty(
      "cgroup",
    );
  });

  it("never expose a command line", () => {
    const line = "  cmdline:   hog --password=hunter2";
    const kills = nohang(begin, ...chosen, ...status, line, ...action("SIGTERM"), sent);
    expect(kills).toHaveLength(1);
    expect(JSON.stringify(kills)).not.toContain("hunter2");
  });
});
