import { describe, expect, it } from "vitest";
import { statusPage } from "../../src/http/status-page.ts";
import type { Bypass, StatusView } from "../../src/status/status-view.ts";
import { aCgroup, aKill, aLeak, aMemory, aStatusView, aVictim, nobody } from "./views.ts";

const site = { hostName: "web-03", version: "1.2.3", basePath: "", telemetryPath: "/metrics" };
const GiB = 2 ** 30;

const render = (changes: Partial<StatusView> = {}) => statusPage(aStatusView(changes), site).text;

/** The text of a section, without markup. */
function read(id: string, changes: Partial<StatusView>): string {
  const section = new RegExp(`<section[^>]*aria-labelledby="${id}">(.*?)</section>`, "s");
  return (section.exec(render(changes))?.[1] ?? "")
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ")
    .trim();
}

describe("the answer", () => {
  it("comes first, then its detail, then the other findings", () => {
    expect(read("answer", { cgroups: [aLeak()] })).toBe(
      "A process was killed 3 minutes ago: java (pid 4242) of checkout.service, at its own limit of 1 GiB checkout.service used all of its 1 GiB. Why this process, and what to do In danger: mysql.service reaches its 2 GiB limit in about 9 minutes; the kernel would kill mysqld (pid 812). What to do As of 03:47:10 UTC",
    );
  });

  it("is the title, and the icon has its tone", () => {
    const text = render({ kills: [] });
    expect(text).toContain("<title>Healthy: 10 GiB left, no limit is set - web-03</title>");
    expect(text).toContain("fill=&#39;%23334155&#39;");
    expect(render()).toContain("fill=&#39;%23b3261e&#39;");
  });
});

describe("a page", () => {
  it("names the version and leads to runbooks, metrics, API and documentation", () => {
    const footer = /<footer>(.*)<\/footer>/s.exec(render())?.[1] ?? "";
    expect(footer).toContain("oom-exporter 1.2.3");
    for (const path of [
      "/runbooks",
      "/software",
      "/metrics",
      "/api/v1/kills",
      "openapi.yaml",
      "#readme",
    ]) {
      expect(footer).toMatch(new RegExp(`href="[^"]*${path}"`));
    }
  });

  it("of a blind exporter says what to do next", () => {
    const sources = [{ name: "kmsg", path: "/dev/kmsg", up: false, reason: "permission denied" }];
    expect(render({ sources, kills: [] })).toContain("<pre><code>oom-exporter doctor</code></pre>");
    expect(render()).not.toContain("oom-exporter doctor");
  });

  it("says since when it watches where that is less than the hour", () => {
    const { atMs } = aStatusView();
    const points = (minutes: number) =>
      Array.from({ length: minutes * 4 }, (_, at) => ({
        atMs: atMs - at * 15_000,
        usedBytes: GiB,
      })).reverse();
    const short = points(20);
    const memory = aMemory({ lastHour: short.map((point) => ({ ...point, swapUsedBytes: 0 })) });
    expect(read("memory", { memory })).toContain("In use, watching since 03:27 UTC");
    expect(read("limits", { cgroups: [aCgroup(0.5, { lastHour: short })] })).toMatch(
      /^Closest to their limits watching since 03:27 UTC /,
    );
    expect(read("memory", {})).toContain("In use, last hour");
  });

  it("says how many earlier kills there are, and where those are that it does not list", () => {
    const kills = Array.from({ length: 150 }, (_, at) => aKill({ incident: `0-${at}-1` }));
    expect(read("kills", { kills: kills.slice(0, 59) })).toContain("54 earlier kills");
    expect(read("kills", { kills })).toMatch(/50 more: all kills as JSON$/);
  });
});

describe("the limits", () => {
  it("are in the order of the view, with page cache separate and without empty parts", () => {
    const cgroups = [
      aLeak(),
      aCgroup(0.97, { cgroup: "/a", owner: nobody }),
      aCgroup(0.2, { cgroup: "/b", owner: nobody, usedBytes: 0.9 * GiB, limitCgroup: "/top" }),
      aCgroup(0, { cgroup: "/empty" }),
    ];
    expect(read("limits", { cgroups })).toBe(
      "Closest to their limits mysql.service /shop.slice/mysql.service 1.5 GiB of 2 GiB, 75 % full in about 9 minutes /a 993 MiB of 1 GiB, 97 % not growing /b limit set by /top 205 MiB of 1 GiB, 20 %",
    );
    expect(render({ cgroups })).toContain(
      'aria-label="20 % of the limit is unreclaimable, and 70 % is page cache in use"',
    );
  });

  it("open on demand beyond the first", () => {
    const cgroups = Array.from({ length: 120 }, (_, i) => aCgroup(0.5, { cgroup: `/${i}` }));
    const text = read("limits", { cgroups });
    expect(text).toContain("94 more cgroups");
    expect(text).toContain("20 more not shown.");
    expect(read("limits", { cgroups: cgroups.slice(0, 7) })).toContain("1 more cgroup ");
    expect(read("limits", { cgroups: cgroups.slice(0, 6) })).not.toContain("more");
  });
});

it("says at a limit what happens there instead of a kill", () => {
  const own = "/system.slice/web.service";
  const text = (setting: Bypass["setting"], cgroup: string | null) =>
    read("limits", { cgroups: [aCgroup(0.9, { bypass: { setting, cgroup } })] });
  expect(text("oom_kill_disable", own)).toContain(
    "web.service at the limit the kernel would kill nothing, and tasks that need memory would hang (oom_kill_disable) 922 MiB",
  );
  expect(text("oom_kill_disable", "/top")).toContain("(oom_kill_disable of /top) 922 MiB");
  expect(text("vm.panic_on_oom", null)).toContain(
    "at the limit the machine would panic (vm.panic_on_oom)",
  );
});

describe("the next victim", () => {
  it.each([
    ["vm.panic_on_oom", "is set: the machine would panic."],
    [
      "vm.oom_kill_allocating_task",
      "is set: the kernel would kill the task that asks for memory at that moment.",
    ],
  ] as const)("is not the first if %s is set", (setting, instead) => {
    const text = read("victims", { bypass: { setting, cgroup: null } });
    expect(text).toContain(`But ${setting} ${instead}`);
  });

  it("is shown with the kernel's criteria and the memory that a kill frees", () => {
    const text = read("victims", {
      victims: [
        aVictim({ scoreAdj: 500, freesBytes: 7 * GiB, diesWith: [10, 11] }),
        aVictim({ pid: 10, comm: "", cgroup: null, owner: nobody }),
      ],
      unkillable: { count: 2, residentBytes: GiB },
    });
    expect(text).toContain(
      "postgres pid 9, postgres.service 500 7 GiB with 2 others (no name) pid 10 0 3 GiB",
    );
    expect(text).toContain("Exempt from kills: 2 processes with 1 GiB (oom_score_adj -1000).");
  });
});

describe("the status page", () => {
  it("draws the memory as parts that fill the bar", () => {
    const widths = [...render().matchAll(/class="fill (\w+)" x="([\d.]+)%" width="([\d.]+)%"/g)];
    expect(widths.slice(0, 3).map(([, kind, x, width]) => [kind, x, width])).toEqual([
      ["anon", "0.00", "31.25"],
      ["page_cache", "31.25", "43.75"],
      ["free", "75.00", "25.00"],
    ]);
  });

  it("says what it cannot read", () => {
    const { text } = statusPage(
      aStatusView({
        memory: undefined,
        sources: [],
        troubles: [{ collector: "processes", reason: "/proc is mounted with hidepid=2" }],
      }),
      site,
    );
    expect(text).toContain("Not available on this host.");
    expect(text).toContain("No kernel log is being read");
    expect(text).toContain("/proc is mounted with hidepid=2");
  });

  it("shows every time for people and for machines", () => {
    expect(statusPage(aStatusView(), site).text).toContain(
      '<time datetime="2026-11-21T03:43:58.000Z" title="2026-11-21 03:43:58 UTC">3 minutes ago</time>',
    );
  });

  it("escapes whatever a process, a path or a log can put into it", () => {
    const evil = `"><img src=x onerror=alert(1)>`;
    const owner = { ...nobody, unit: evil };
    const { text } = statusPage(
      aStatusView({
        kills: [aKill({ comm: evil, incident: evil, summary: evil, owner, cgroup: evil })],
        cgroups: [
          aLeak({
            cgroup: evil,
            owner,
            limitCgroup: evil,
            nextVictim: { pid: 1, comm: evil, program: evil },
          }),
        ],
        victims: [aVictim({ comm: evil, cgroup: evil, owner })],
        sources: [{ name: evil, path: evil, up: false, reason: evil }],
        troubles: [{ collector: evil, reason: evil }],
      }),
      { ...site, hostName: evil },
    );
    expect(text).not.toContain("<img");
    expect(text.match(/<script>/g)).toHaveLength(1);
    expect(text).not.toMatch(/<script[^>]|style="|\son\w+="/);
  });
});
