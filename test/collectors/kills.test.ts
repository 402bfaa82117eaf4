import { describe, expect, it } from "vitest";
import { KillsCollector, type KillsCollectorOptions } from "../../src/collectors/kills.ts";
import type { KillLabels } from "../../src/kills/kill-history.ts";
import { Snapshot } from "../../src/sources/snapshot.ts";
import { samplesOf } from "./samples.ts";

/** Kills come from the log: no part of the host is read for them. */
const never = () => {
  throw new Error("read");
};
const unread = new Snapshot({ meminfo: never, cgroups: never, processes: never });

const counting = {
  counts: () => undefined,
  recent: () => ({ kills: [], leftOut: 0 }),
  lastKills: () => new Map(),
  unaccounted: undefined,
  noVictims: 0,
};
const userspace = { counts: () => undefined, recent: () => [] };

describe("before the log has been read to its end", () => {
  it("the three counter families and the gap are absent, and what counts since the start is 0", () => {
    expect(samplesOf(new KillsCollector({ counting, userspace }), unread)).toEqual({
      oom_kill_timestamps_left_out: 0,
      oom_no_victim_total: 0,
      oom_state_persistent: 0,
      oom_state_save_failures_total: 0,
      oom_state_damaged_total: 0,
    });
  });
});

describe("the state", () => {
  const healthy = { isSaving: true, saveFailures: 0, damagedFiles: 0 };
  const persistent = (...states: NonNullable<KillsCollectorOptions["states"]>) =>
    samplesOf(new KillsCollector({ counting, userspace, states }), unread);

  it("is kept where both ledgers are, and failures of both count", () => {
    expect(persistent(healthy, healthy)).toMatchObject({ oom_state_persistent: 1 });
    expect(persistent(healthy, undefined)).toMatchObject({ oom_state_persistent: 0 });
    const full = { isSaving: false, saveFailures: 3, damagedFiles: 1 };
    expect(persistent({ ...healthy, saveFailures: 2 }, full)).toMatchObject({
      oom_state_persistent: 0,
      oom_state_save_failures_total: 5,
      oom_state_damaged_total: 1,
    });
  });
});

describe("events without a victim", () => {
  it("are shown as the log brought them", () => {
    const samples = samplesOf(
      new KillsCollector({ counting: { ...counting, noVictims: 37 }, userspace }),
      unread,
    );
    expect(samples).toMatchObject({ oom_no_victim_total: 37 });
  });
});

describe("kills by programs outside the kernel", () => {
  it("are counted for each that is watched, from 0 on", () => {
    const samples = samplesOf(
      new KillsCollector({
        counting,
        userspace: {
          counts: () =>
            new Map([
              ["earlyoom", 2],
              ["nohang", 0],
            ]),
          recent: () => [
            {
              timestampMs: 1_795_181_030_000,
              labels: {
                incident: "01234567-earlyoom-1795181030-1234",
                killer: "earlyoom",
                pid: "1234",
                comm: "java",
                program: "billing.jar",
                reason: "memory_available",
                cgroup: "/system.slice/billing.service",
                unit: "billing.service",
                container: "",
                pod: "",
                namespace: "",
              },
            },
          ],
        },
      }),
      unread,
    );
    expect(samples).toMatchObject({
      "oom_userspace_kills_total{killer=earlyoom}": 2,
      "oom_userspace_kills_total{killer=nohang}": 0,
      "oom_userspace_kill_timestamp_seconds{incident=01234567-earlyoom-1795181030-1234,killer=earlyoom,pid=1234,comm=java,program=billing.jar,reason=memory_available,cgroup=/system.slice/billing.service,unit=billing.service}": 1_795_181_030,
    });
  });
});

describe("the outcome of a kill", () => {
  it("has a series as soon as it is known, beside the kill's own", () => {
    const labels = { incident: "a-1-1", comm: "java" } as KillLabels;
    const kills = [
      { timestampMs: 5000, labels, outcome: "lives_on" as const },
      { timestampMs: 6000, labels: { ...labels, incident: "a-2-2" }, outcome: null },
    ];
    const recent = () => ({ kills, leftOut: 0 });
    const samples = samplesOf(
      new KillsCollector({ counting: { ...counting, recent }, userspace }),
      unread,
    );
    const shown = Object.keys(samples).filter((series) => series.includes("outcome"));
    expect(shown).toEqual(["oom_kill_outcome_info{incident=a-1-1,outcome=lives_on}"]);
  });
});
