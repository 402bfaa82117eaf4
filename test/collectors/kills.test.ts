import { describe, expect, it } from "vitest";
import { KillsCollector } from "../../src/collectors/kills.ts";
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

describe("before the log has been read to its end", () => {
  it("the three counter families and the gap are absent, and what counts since the start is 0", () => {
    expect(samplesOf(new KillsCollector({ counting }), unread)).toEqual({
      oom_kill_timestamps_left_out: 0,
      oom_no_victim_total: 0,
      oom_state_persistent: 0,
      oom_state_save_failures_total: 0,
      oom_state_damaged_total: 0,
    });
  });
});

describe("events without a victim", () => {
  it("are shown as the log brought them", () => {
    const samples = samplesOf(
      new KillsCollector({ counting: { ...counting, noVictims: 37 } }),
      unread,
    );
    expect(samples).toMatchObject({ oom_no_victim_total: 37 });
  });
});
