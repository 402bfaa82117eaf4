import { describe, expect, it } from "vitest";
import { statusPage } from "../../src/http/status-page.ts";
import { nearLimits, statusAnswer } from "../../src/status/status-answer.ts";
import { aCgroup, aLeak, aMemory, aStatusView } from "../http/views.ts";

const own = { version: "1.2.3", revision: "abc", uptimeSeconds: 90 };

describe("the status", () => {
  it("is the page's verdict, word for word", () => {
    const site = { hostName: "web-03", version: "1.2.3", basePath: "", telemetryPath: "/metrics" };
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

  it("gives the memory left, and the time left or why there is no forecast", () => {
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

  it("lists a cgroup near its limit with its next victim", () => {
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
        nextVictim: { pid: 812, comm: "mysqld", program: null },
        bypass: null,
      },
    ]);
  });

  it("has null for unknown values", () => {
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
  it("are those that are 80 % full or have a forecast, 20 at most", () => {
    const timeLeft = { seconds: 60, bytesPerSecond: 1 };
    const cgroups = [aCgroup(0.8), aCgroup(0.79), aCgroup(0.6, { timeLeft })];
    expect(nearLimits(cgroups)).toEqual([cgroups[0], cgroups[2]]);
    expect(nearLimits(Array.from({ length: 30 }, () => aCgroup(0.9)))).toHaveLength(20);
  });
});
