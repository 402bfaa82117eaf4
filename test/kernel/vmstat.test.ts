import { describe, expect, it } from "vitest";
import { parseVmstat } from "../../src/kernel/vmstat.ts";

describe("/proc/vmstat", () => {
  it("returns the counters about memory shortage", () => {
    const text =
      "nr_free_pages 9\npswpin 7\npswpout 8\nallocstall_dma 0\nallocstall_dma32 1\nallocstall_normal 12\nallocstall_movable 5\npgmajfault 1523\noom_kill 3\n";
    expect(parseVmstat(Buffer.from(text))).toEqual({
      oomKills: 3,
      swapInPages: 7,
      swapOutPages: 8,
      majorFaults: 1523,
      directReclaimStalls: 18,
    });
  });

  it("before 4.10 has one allocstall for all zones, and before 4.13 no oom_kill", () => {
    const vmstat = parseVmstat(Buffer.from("pgmajfault 4\nallocstall 30\n"));
    expect(vmstat.directReclaimStalls).toBe(30);
    expect(vmstat.oomKills).toBeUndefined();
  });

  it("has no direct reclaim stalls if the kernel prints none", () => {
    expect(parseVmstat(Buffer.from("oom_kill 0\n"))).toEqual({ oomKills: 0 });
  });
});
