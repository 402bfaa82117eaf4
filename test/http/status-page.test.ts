import { describe, expect, it } from "vitest";
import { type CgroupView, findings, statusPage } from "../../src/http/status-page.ts";
import { aKill, aStatusView, nobody, nowMs } from "./views.ts";

const site = { hostName: "web-03", basePath: "", telemetryPath: "/metrics" };
const GiB = 2 ** 30;

/** What the page says first: its tag, its sentence, and what follows until the cards. */
function answerOf(view: ReturnType<typeof aStatusView>): string {
  return statusPage(view, site)
    .text.replace(/^.*<section class="answer">(.*?)<\/section>.*$/s, "$1")
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ")
    .trim();
}

function aCgroup(usedShare: number, cgroup = "/web"): CgroupView {
  return {
    cgroup,
    owner: nobody,
    usedBytes: usedShare * GiB,
    limitBytes: GiB,
    limitCgroup: undefined,
  };
}

const memory = aStatusView().memory as NonNullable<ReturnType<typeof aStatusView>["memory"]>;
const short = { ...memory, availableBytes: 0.5 * GiB };

describe("the answer", () => {
  it("is a recent kill before all else", () => {
    expect(answerOf(aStatusView({ memory: short }))).toBe(
      "Out of memory The kernel killed java (pid 4242) 3 minutes ago. checkout.service used all of its 1 GiB. Why, and what to do The host is short of memory: 512 MiB of 16 GiB memory is left, and 3 GiB of swap.",
    );
  });

  it("counts the kills of the last hour", () => {
    const kills = [aKill(), aKill({ pid: 1 }), aKill({ pid: 2, time: "2026-11-21T02:00:00Z" })];
    expect(answerOf(aStatusView({ kills }))).toContain("the last of 2 kills within an hour.");
  });

  it("is the host that runs out of memory and swap, and who goes first", () => {
    const view = aStatusView({
      kills: [],
      memory: { ...short, swapTotalBytes: 0, swapFreeBytes: 0 },
      victims: [
        {
          pid: 9,
          comm: "postgres",
          cgroup: null,
          owner: nobody,
          score: 1067,
          scoreAdj: 0,
          residentBytes: 9 * GiB,
          swapBytes: 0,
        },
      ],
    });
    expect(answerOf(view)).toBe(
      "Running out The host is about to run out: 512 MiB of 16 GiB memory is left and no swap. The kernel would kill postgres (pid 9) first, which holds 9 GiB.",
    );
  });

  it("is a cgroup close to its limit", () => {
    const view = aStatusView({
      kills: [],
      cgroups: [aCgroup(0.96), aCgroup(0.9, "/db"), aCgroup(0.2, "/idle")],
    });
    expect(answerOf(view)).toBe(
      "Close to a limit /web is at 96 % of its limit of 1 GiB. 1 more is close to theirs.",
    );
    expect(findings(view)[0]?.tone).toBe("alarm");
    expect(findings(aStatusView({ kills: [], cgroups: [aCgroup(0.9)] }))[0]?.tone).toBe("warning");
  });

  it("is that kills would go unseen", () => {
    const sources = [
      { name: "kmsg", path: "/dev/kmsg", up: false, reason: "run as root, or grant CAP_SYSLOG" },
    ];
    expect(answerOf(aStatusView({ kills: [], sources }))).toBe(
      "Blind Kills would go unseen here: no kernel log is being read. run as root, or grant CAP_SYSLOG",
    );
  });

  it("is kills that the log did not show", () => {
    expect(answerOf(aStatusView({ kills: [], unaccountedKills: 2 }))).toBe(
      "Kills missed The kernel counted 2 kills that its log did not show.",
    );
  });

  it("is that all is well", () => {
    const old = aKill({ time: new Date(nowMs - 3 * 86_400_000).toISOString() });
    expect(answerOf(aStatusView({ kills: [old] }))).toBe(
      "Healthy Nothing is short of memory: 10 GiB of 16 GiB is available. The last kill was 3 days ago.",
    );
    expect(answerOf(aStatusView({ kills: [], memory: undefined }))).toBe(
      "Quiet No kill within the last hour. No kill is known here.",
    );
  });
});

describe("the status page", () => {
  it("draws the memory as parts that fill the bar", () => {
    const { text } = statusPage(aStatusView(), site);
    const widths = [...text.matchAll(/class="fill (\w+)" x="([\d.]+)%" width="([\d.]+)%"/g)];
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
    expect(text).toContain("Cannot be read here.");
    expect(text).toContain("No kernel log is read");
    expect(text).toContain("/proc is mounted with hidepid=2");
  });

  it("gives every time to people and to machines", () => {
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
        cgroups: [{ ...aCgroup(0.99, evil), owner, limitCgroup: evil }],
        victims: [
          {
            pid: 1,
            comm: evil,
            cgroup: evil,
            owner,
            score: 1,
            scoreAdj: 1,
            residentBytes: 1,
            swapBytes: 1,
          },
        ],
        sources: [{ name: evil, path: evil, up: false, reason: evil }],
        troubles: [{ collector: evil, reason: evil }],
      }),
      { ...site, hostName: evil },
    );
    expect(text).not.toContain("<img");
    expect(text).not.toMatch(/<script|style="|\son\w+="/);
  });
});
