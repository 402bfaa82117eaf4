import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BadRequest, listKills, nearLimits, statusAnswer } from "../../src/http/api.ts";
import { statusPage } from "../../src/http/status-page.ts";
import type { Kill } from "../../src/kills/kill.ts";
import { aCgroup, aKill, aLeak, aMemory, aStatusView, nowMs } from "./views.ts";

/** Kills one minute apart, newest first, the first a minute ago. */
function history(count: number): Kill[] {
  return Array.from({ length: count }, (_, index) =>
    aKill({
      incident: `7f3a91c2-0-${index}`,
      time: new Date(nowMs - (index + 1) * 60_000).toISOString(),
    }),
  );
}

function list(kills: readonly Kill[], query: Record<string, string | string[]>) {
  return listKills(kills, query, "/api/v1/kills", nowMs);
}

function queryOf(next: string): Record<string, string> {
  return Object.fromEntries(new URL(next, "http://localhost").searchParams);
}

describe("listKills", () => {
  it("leads through every kill once, whatever the page size", () => {
    fc.assert(
      fc.property(fc.nat(40), fc.integer({ min: 1, max: 15 }), (count, limit) => {
        const kills = history(count);
        const seen: Kill[] = [];
        let answer = list(kills, { limit: String(limit) });
        seen.push(...answer.kills);
        while (answer.next !== null) {
          answer = list(kills, queryOf(answer.next));
          expect(answer.kills.length).toBeGreaterThan(0);
          seen.push(...answer.kills);
        }
        expect(seen).toEqual(kills);
      }),
    );
  });

  it("shifts nothing when a kill happens while somebody reads on", () => {
    const kills = history(4);
    const { next } = list(kills.slice(1), { limit: "2" });
    expect(list(kills, queryOf(next as string)).kills).toEqual(kills.slice(3));
  });

  it.each([
    ["3m", 3],
    ["2h", 10],
    [new Date(nowMs - 180_000).toISOString(), 3],
    [String((nowMs - 180_000) / 1000), 3],
    ["2026-11-21", 10],
    ["0s", 0],
  ])("takes since=%s", (since, count) => {
    expect(list(history(10), { since }).kills).toHaveLength(count);
  });

  it("keeps to the same since from page to page", () => {
    const first = list(history(10), { since: "3m", limit: "2" });
    expect(list(history(10), queryOf(first.next as string))).toEqual({
      kills: history(10).slice(2, 3),
      next: null,
    });
  });

  it("leaves kills without a time out of a since", () => {
    expect(list([aKill({ time: null })], { since: "1d" }).kills).toEqual([]);
    expect(list([aKill({ time: null })], {}).kills).toHaveLength(1);
  });

  it("gives 100 where no limit is given", () => {
    expect(list(history(101), {}).kills).toHaveLength(100);
  });

  it("refuses what it cannot understand and never fails otherwise", () => {
    fc.assert(
      fc.property(
        fc.record(
          { since: fc.string(), limit: fc.string(), before: fc.string() },
          { requiredKeys: [] },
        ),
        (query) => {
          try {
            list(history(3), query);
          } catch (error) {
            expect(error).toBeInstanceOf(BadRequest);
          }
        },
      ),
    );
  });
});

const own = { version: "1.2.3", revision: "abc", startedMs: nowMs - 90_000 };

describe("the status", () => {
  it("is the page's verdict, word for word", () => {
    const site = { hostName: "web-03", basePath: "", telemetryPath: "/metrics" };
    const views = [
      aStatusView(),
      aStatusView({ kills: [] }),
      aStatusView({ kills: [], cgroups: [aLeak()] }),
      aStatusView({ kills: [], memory: undefined }),
    ];
    const answers = views.map((view) => statusAnswer(view, own));
    expect(answers.map(({ state }) => state)).toEqual(["killed", "healthy", "danger", "unknown"]);
    for (const [index, view] of views.entries()) {
      const heading = /<h1[^>]*>(.*?)<\/h1>/s.exec(statusPage(view, site).text)?.[1];
      const words = heading?.replace(/<[^>]*>/g, "").replaceAll("\u00a0", " ");
      expect(words).toBe(answers[index]?.sentence);
    }
  });

  it("tells what is left and that no time is told, or the time", () => {
    const { memory } = statusAnswer(aStatusView(), own);
    expect(memory).toMatchObject({
      headroomBytes: 13 * 2 ** 30,
      timeLeftSeconds: null,
      refused: "plenty_left",
    });
    const timeLeft = { seconds: 600, bytesPerSecond: 1 };
    expect(statusAnswer(aStatusView({ memory: aMemory({ timeLeft }) }), own).memory).toMatchObject({
      timeLeftSeconds: 600,
      refused: null,
    });
  });

  it("lists a cgroup near its limit with whom the kernel would kill", () => {
    const { nearLimits } = statusAnswer(aStatusView({ cgroups: [aLeak(), aCgroup(0.2)] }), own);
    expect(nearLimits).toEqual([
      {
        cgroup: "/shop.slice/mysql.service",
        owner: aLeak().owner,
        usedBytes: 1.6 * 2 ** 30,
        unreclaimableBytes: 1.5 * 2 ** 30,
        limitBytes: 2 * 2 ** 30,
        limitCgroup: null,
        timeLeftSeconds: 541,
        refused: null,
        nextVictim: { pid: 812, comm: "mysqld" },
      },
    ]);
  });

  it("says null of what is not known", () => {
    const view = aStatusView({
      memory: undefined,
      cgroups: [aCgroup(0.9, { unreclaimableBytes: undefined })],
      unaccountedKills: undefined,
      sources: [{ name: "kmsg", path: undefined, up: false, reason: undefined }],
    });
    expect(statusAnswer(view, own)).toMatchObject({
      memory: null,
      nearLimits: [{ unreclaimableBytes: null, nextVictim: null }],
      killsUnaccounted: null,
      sources: [{ name: "kmsg", path: null, up: false, reason: null }],
      uptimeSeconds: 90,
    });
  });
});

describe("near limits", () => {
  it("are those of which 80 % are in use, or for which a time is told, 20 at most", () => {
    const timeLeft = { seconds: 60, bytesPerSecond: 1 };
    const cgroups = [aCgroup(0.8), aCgroup(0.79), aCgroup(0.6, { timeLeft })];
    expect(nearLimits(cgroups)).toEqual([cgroups[0], cgroups[2]]);
    expect(nearLimits(Array.from({ length: 30 }, () => aCgroup(0.9)))).toHaveLength(20);
  });
});
