import { describe, expect, it } from "vitest";
import { fieldsOf, killsIn, syslog } from "./daemon-log.ts";

const oomd = (...texts: string[]) => fieldsOf(killsIn(syslog("systemd-oomd[611]", ...texts)));
const slice = "/user.slice/user-1000.slice/user@1000.service/app.slice/snap.firefox.scope";

describe("systemd-oomd's lines", () => {
  it.each([
    ["to 259", `Killed ${slice} due to`],
    ["since 260", `Marked ${slice} for killing due to`],
  ])("about pressure are a kill of a whole cgroup (%s)", (_version, head) => {
    expect(
      oomd(
        `${head} memory pressure for /user.slice/user-1000.slice/user@1000.service being 66.32% > 50.00% for > 20s with reclaim activity`,
      ),
    ).toEqual([
      {
        killer: "systemd-oomd",
        reason: "memory_pressure",
        cgroup: slice,
        signal: "SIGKILL",
        readings: {
          pressurePercent: 66.32,
          pressureLimitPercent: 50,
          pressureCgroup: "/user.slice/user-1000.slice/user@1000.service",
          pressureDuration: "20s",
        },
      },
    ]);
  });

  it.each([
    ["Killed", ""],
    ["Marked", " for killing"],
  ])("about swap name the exhausted resource (%s)", (verb, more) => {
    expect(
      oomd(
        `${verb} ${slice}${more} due to memory used (16260780032) / total (16419115008) and swap used (7800000000) / total (8000000000) being more than 90.00%`,
      ),
    ).toEqual([
      {
        killer: "systemd-oomd",
        reason: "swap",
        cgroup: slice,
        signal: "SIGKILL",
        readings: {
          memoryAvailablePercent: 0.96,
          memoryLimitPercent: 10,
          swapFreePercent: 2.5,
          swapLimitPercent: 10,
        },
      },
    ]);
  });

  it("have their limit in percent, without digits of the subtraction", () => {
    const [kill] = killsIn(
      syslog(
        "systemd-oomd[611]",
        "Killed /a.slice due to swap used (95) / total (100) being more than 90.10%",
      ),
    );
    expect(kill?.readings).toMatchObject({ swapFreePercent: 5, swapLimitPercent: 9.9 });
  });

  it("of a rule with kill-all are a kill", () => {
    expect(
      oomd(
        "Rule 'full' conditions met for cgroup /system.slice/b.service for 5s, taking action kill-all",
      ),
    ).toMatchObject([{ reason: "other", cgroup: "/system.slice/b.service" }]);
  });

  it.each([
    "oomd dry-run: Would have tried to kill /a.slice/b.service with recurse=true",
    "oomd dry-run: Would have tried to kill /sys/fs/cgroup/a.slice/b.service and all its descendants",
  ])("of a dry run are no kill, nor is the line that early versions write after it: %s", (line) => {
    const kill =
      "Killed /a.slice/b.service due to memory pressure for /a.slice being 66.32% > 50.00% for > 20s with reclaim activity";
    expect(oomd(line, kill)).toEqual([]);
    expect(oomd(line, kill, kill)).toHaveLength(1);
  });

  it("that only consider a kill are none", () => {
    expect(
      oomd(
        "Considered 21 cgroups for killing, top candidates were:",
        "\tPath: /system.slice/packagekit.service",
        "Memory pressure for /a being 66.32% > 50.00% for > 20s with reclaim activity",
      ),
    ).toEqual([]);
  });

  it("keep a cgroup apart whose name looks like the rest of the line", () => {
    const name =
      "/a/b due to memory pressure for /c being 1.00% > 0.00% for > 1s with reclaim activity";
    expect(
      oomd(
        `Killed /a/b.service due to memory pressure for ${name} being 66.32% > 50.00% for > 20s with reclaim activity`,
      ),
    ).toMatchObject([
      { cgroup: "/a/b.service", readings: { pressurePercent: 66.32, pressureCgroup: name } },
    ]);
  });
});
