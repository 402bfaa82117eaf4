import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { StatusView } from "../../src/status/status-view.ts";
import { aCgroup, aKill, aLeak, aMemory, aStatusView, aVictim, nobody } from "../http/views.ts";
import { needs } from "../setup/needs.ts";
import { chromiumObstacle, startChromium } from "./chromium.ts";
import {
  accessibilityFaults,
  openPage,
  type PageServer,
  servePages,
  type WatchedPage,
} from "./page-server.ts";

const describePage = needs(describe, chromiumObstacle);
const GiB = 2 ** 30;
const long = "0123456789abcdef".repeat(4);
const pod: StatusView["cgroups"][number] = aCgroup(0.4, {
  cgroup: `/kubepods.slice/kubepods-burstable.slice/cri-containerd-${long}.scope`,
  owner: { ...nobody, namespace: "shop", pod: "checkout-7d9f8b6c5-x2v4z", container: "app" },
  usedBytes: 0.6 * GiB,
  limitCgroup: "/kubepods.slice/kubepods-burstable.slice",
});
const host = {
  cgroups: [pod, ...Array.from({ length: 9 }, (_, i) => aCgroup(0.2, { cgroup: `/idle-${i}` }))],
  victims: Array.from({ length: 9 }, (_, i) => aVictim({ pid: 100 + i, scoreAdj: -i })),
  unkillable: { count: 2, residentBytes: GiB },
};
const old = aKill({ incident: "old", time: "2026-11-18T03:43:58.000Z" });

const states = {
  healthy: aStatusView({ ...host, kills: [] }),
  danger: aStatusView({ ...host, cgroups: [aLeak(), ...host.cgroups], kills: [old] }),
  killed: aStatusView({ ...host, kills: [aKill(), old] }),
  blind: aStatusView({
    memory: undefined,
    kills: [],
    sources: [{ name: "kmsg", path: "/dev/kmsg", up: false, reason: `grant ${long} CAP_SYSLOG` }],
    troubles: [{ collector: "processes", reason: "/proc is mounted with hidepid=2" }],
  }),
} satisfies Record<string, StatusView>;

let browser: Browser;
let server: PageServer;
let opened: WatchedPage | undefined;

beforeAll(async () => {
  browser = await startChromium();
  server = await servePages(states.healthy);
});

afterEach(async () => {
  await opened?.close();
  opened = undefined;
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

async function open(
  view: StatusView,
  options: BrowserContextOptions = {},
  prepare?: (page: Page) => Promise<unknown>,
): Promise<WatchedPage> {
  server.view = view;
  opened = await openPage(browser, server.url, options, prepare);
  return opened;
}

const stories = Object.entries(states);

describePage.each(["runbooks", "runbooks/OomKill", "software", "software/python"])(
  "the page /%s",
  (path) => {
    it("meets WCAG A and AA, in light and in dark, and fits a phone", async () => {
      opened = await openPage(browser, `${server.url}${path}`);
      const { page, wrongs } = opened;
      expect(await accessibilityFaults(page)).toEqual([]);
      await page.emulateMedia({ colorScheme: "dark" });
      expect(await accessibilityFaults(page)).toEqual([]);
      await page.setViewportSize({ width: 320, height: 700 });
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(320);
      expect(await accessibilityFaults(page)).toEqual([]);
      expect(wrongs).toEqual([]);
    });
  },
);

describePage.each(stories)("the page of a host that is %s", (_, view) => {
  it("meets WCAG A and AA, in light and in dark", async () => {
    const { page, wrongs } = await open(view);
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.emulateMedia({ colorScheme: "dark" });
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(wrongs).toEqual([]);
  });

  it("fits a phone, down to 320 pixels, all of it opened", async () => {
    const { page } = await open(view, { viewport: { width: 320, height: 700 } });
    for (const details of await page.locator("details > summary").all()) await details.click();
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(320);
  });

  it("shows the same without JavaScript, and reloads itself", async () => {
    const { page, wrongs } = await open(view, { javaScriptEnabled: false });
    const refresh = page.locator("meta[http-equiv=refresh]");
    expect(await refresh.getAttribute("content")).toBe("30");
    const text = ((await page.textContent("main")) ?? "").replace(/\s+/g, " ");
    await opened?.close();
    const scripted = await open(view);
    expect(await scripted.page.locator("meta[http-equiv=refresh]").count()).toBe(0);
    expect(((await scripted.page.textContent("main")) ?? "").replace(/\s+/g, " ")).toBe(text);
    expect(wrongs).toEqual([]);
  });
});

describePage("the page", () => {
  it("has landmarks, headings and pictures with names", async () => {
    const { page } = await open(states.danger);
    const names = [
      /^In danger: mysql\.service reaches its 2\sGiB limit in about 9\sminutes; the kernel would kill mysqld \(pid\s812\)$/,
      "Host memory",
      "Closest to their limits",
      /^Who dies next/,
      "Latest kills",
      "Monitoring",
    ];
    for (const name of names) {
      expect(await page.getByRole("region", { name }).count(), String(name)).toBe(1);
      expect(await page.getByRole("heading", { name }).count(), String(name)).toBe(1);
    }
    const levels = await page.getByRole("heading").evaluateAll((all) => all.map((h) => h.nodeName));
    expect(levels).toEqual(["H1", "H2", "H2", "H2", "H2", "H2"]);
    for (const role of ["banner", "main", "contentinfo"] as const) {
      expect(await page.getByRole(role).count(), role).toBe(1);
    }
    const pictures = page.getByRole("img");
    const labels = await pictures.evaluateAll((all) => all.map((img) => img.ariaLabel));
    expect(labels).toContain(
      "Memory used by mysql.service in the last 20 minutes: from 410 MiB to 1.5 GiB, lowest 410 MiB, highest 1.5 GiB. Limit 2 GiB.",
    );
    expect(labels).toContain("75 % of the limit is unreclaimable, and 5 % is page cache in use");
    expect(labels.filter((label) => !label)).toEqual([]);
    const next = page.getByRole("row", { name: /^postgres pid 100/ });
    expect(await next.getByRole("rowheader").count()).toBe(1);
    expect(await page.getByRole("columnheader", { name: "A kill frees" }).count()).toBe(1);
  });

  it("can be used by keyboard from top to bottom, with visible focus", async () => {
    const { page } = await open(states.killed);
    const walked: string[] = [];
    let lastTop = -1;
    for (;;) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate<{ text: string; top: number; isSeen: boolean }>(`(() => {
        const element = document.activeElement;
        const { top, height, left } = element.getBoundingClientRect();
        const { outlineStyle, outlineWidth } = getComputedStyle(element);
        return {
          text: element === document.body ? "" : element.innerText,
          top: top + scrollY,
          isSeen: height > 0 && left >= 0 && top >= 0 && outlineStyle === "solid",
          outlineWidth,
        };
      })()`);
      if (at.text === "") break;
      expect(at, at.text).toMatchObject({ isSeen: true, outlineWidth: "2px" });
      expect(at.top).toBeGreaterThanOrEqual(lastTop - 20);
      lastTop = at.top;
      walked.push(at.text);
    }
    expect(walked).toEqual([
      "Skip to content",
      "oom-exporter",
      "Why this process, and what to do",
      "4 more cgroups",
      "The next 4",
      "java",
      "java",
      "Runbooks",
      "Software",
      "Metrics",
      "Kills as JSON",
      "Victims as JSON",
      "Status as JSON",
      "API",
      "Documentation",
    ]);
  });

  it("has a link that skips to the answer", async () => {
    const { page } = await open(states.killed);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    expect(await page.evaluate("document.activeElement.id")).toBe("main");
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe(
      "Why this process, and what to do",
    );
  });

  it("runs nothing that a process, a path or a log put into it", async () => {
    const evil = `</title></script><script>alert(1)</script><img src=x onerror=alert(2)>`;
    const owner = { ...nobody, unit: evil };
    const { page, wrongs } = await open(
      aStatusView({
        kills: [aKill({ comm: evil, incident: evil, summary: evil, owner, cgroup: evil })],
        cgroups: [
          aLeak({ cgroup: evil, owner, nextVictim: { pid: 1, comm: evil, program: evil } }),
        ],
        victims: [aVictim({ comm: evil, owner })],
        sources: [{ name: evil, path: evil, up: true, reason: evil }],
      }),
    );
    expect(await page.locator("main").textContent()).toContain("<script>alert(1)</script>");
    await page.getByRole("link", { name: "Why this process" }).click();
    await page.getByRole("heading", { level: 1, name: /the kernel killed/ }).waitFor();
    expect(wrongs).toEqual([]);
  });

  it("prints dark on white", async () => {
    const { page } = await open(states.killed, { colorScheme: "dark" });
    await page.emulateMedia({ media: "print", colorScheme: "dark" });
    const colours = await page.evaluate(`(() => {
      const { backgroundColor, color } = getComputedStyle(document.body);
      return { backgroundColor, color };
    })()`);
    expect(colours).toEqual({ backgroundColor: "rgb(255, 255, 255)", color: "rgb(22, 27, 34)" });
    expect(await page.locator("footer").isVisible()).toBe(false);
  });
});

describePage("the story of a kill", () => {
  it("meets WCAG A and AA, in light and in dark, and fits a phone", async () => {
    const { page, wrongs } = await open(states.killed, { viewport: { width: 320, height: 700 } });
    await page.getByRole("link", { name: "Why this process" }).click();
    await page.getByRole("region", { name: "What to do" }).waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.emulateMedia({ colorScheme: "dark" });
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(320);
    expect(wrongs).toEqual([]);
  });
});

describePage("the page that stays open", () => {
  const later: StatusView = {
    ...states.killed,
    atMs: states.killed.atMs + 10_000,
    memory: aMemory({ availableBytes: 9 * GiB }),
    cgroups: [aLeak(), ...host.cgroups.toReversed()],
    kills: [aKill({ incident: "new", pid: 5555, comm: "ruby" }), ...states.killed.kills],
  };
  /** Open, and with time at a standstill. */
  const openStill = (view: StatusView) =>
    open(view, {}, async ({ clock }) => {
      await clock.install({ time: 0 });
      // An hour later: it has been running since, and cannot be paused in its past.
      await clock.pauseAt(3_600_000);
    });

  it("shows changes every 10 seconds", async () => {
    const { page, wrongs, requests } = await openStill(states.healthy);
    server.view = states.danger;
    await page.clock.runFor(9_900);
    expect(await page.locator("h1").textContent()).toContain("Healthy");
    await page.clock.runFor(200);
    await page.getByRole("heading", { name: /In danger/ }).waitFor();
    expect(await page.title()).toMatch(/^In danger: mysql\.service .* - web-03$/);
    expect(await page.getAttribute("link[rel=icon]", "href")).toContain("%23b3261e");
    expect(await page.getAttribute("body", "class")).toBe("alarm");
    expect(await page.getByText("full in about 9 minutes").isVisible()).toBe(true);
    server.view = states.healthy;
    await page.clock.runFor(10_000);
    await page.getByRole("heading", { name: /Healthy/ }).waitFor();
    expect(requests.filter((url) => url === server.url)).toHaveLength(3);
    expect(wrongs).toEqual([]);
  });

  it("keeps focus, scroll position, opened details and selection", async () => {
    const { page } = await openStill(states.killed);
    await page.getByText("The next 4").click();
    await page.evaluate(`(() => {
      window.link = document.querySelector('[data-key="old"] a');
      window.link.focus();
      window.scrollTo(0, 900);
      const note = document.querySelector("#victims ~ .note").firstChild;
      const count = note.data.indexOf("2 processes");
      getSelection().setBaseAndExtent(note, count, note, count + 11);
    })()`);
    const look = () =>
      page.evaluate<{ linkTop: number }>(`({
        focused: document.activeElement === window.link,
        linkTop: Math.round(window.link.getBoundingClientRect().top),
        selected: String(getSelection()),
        opened: document.querySelector("#victims ~ details").open,
      })`);
    const before = await look();
    expect(before).toMatchObject({ focused: true, selected: "2 processes", opened: true });
    server.view = later;
    await page.clock.runFor(10_000);
    await page.getByText("9 GiB left of 16 GiB").waitFor();
    const order = await page
      .locator("#limits ~ ol > li")
      .evaluateAll((rows) => rows.map((row) => row.getAttribute("data-key")));
    expect(order.slice(0, 2)).toEqual(["/shop.slice/mysql.service", "/idle-8"]);
    // Of all that was put in above, only the new kill right before it moves the old one.
    const box = await page.locator('[data-key="new"]').boundingBox();
    const { linkTop, ...others } = await look();
    expect(Math.abs(linkTop - before.linkTop - (box?.height ?? 0))).toBeLessThan(25);
    expect(others).toEqual({ focused: true, selected: "2 processes", opened: true });
  });

  it("keeps a selection next to a changing number", async () => {
    const { page } = await openStill(states.healthy);
    const select = `(() => {
      const text = document.querySelector("h1").lastChild;
      getSelection().setBaseAndExtent(text, text.data.indexOf("nothing"), text, text.length);
    })()`;
    await page.evaluate(select);
    server.view = { ...states.healthy, memory: aMemory({ availableBytes: 9.5 * GiB }) };
    await page.clock.runFor(10_000);
    await page.getByRole("heading", { name: /Healthy: 9\.5\sGiB left/ }).waitFor();
    expect(await page.evaluate("String(getSelection())")).toBe("nothing is near its limit");
  });

  it("speaks up for a new answer, not for a number that moved", async () => {
    const { page } = await openStill(states.healthy);
    const said = page.getByRole("status");
    server.view = { ...states.healthy, memory: aMemory({ availableBytes: 9 * GiB }) };
    await page.clock.runFor(10_000);
    await page.getByRole("heading", { name: /Healthy: 9\sGiB left/ }).waitFor();
    expect(await said.textContent()).toBe("");
    server.view = states.killed;
    await page.clock.runFor(10_000);
    await page.getByRole("heading", { name: /was killed/ }).waitFor();
    expect(await said.textContent()).toMatch(/^A process was killed 3\sminutes ago: java/);
    server.view = { ...states.killed, atMs: states.killed.atMs + 60_000 };
    await page.clock.runFor(10_000);
    await page.getByRole("heading", { name: /4\sminutes ago/ }).waitFor();
    expect(await said.textContent()).toMatch(/^A process was killed 3\sminutes ago: java/);
  });

  it("shows a lost connection, retries less and less often, and recovers", async () => {
    const { page, requests } = await openStill(states.healthy);
    const asked = () => requests.filter((url) => url === server.url).length;
    /** What is so a second later: that a request was made, or failed, is heard of with a delay. */
    const passes = async (look: () => unknown) => {
      await page.clock.runFor(1000);
      return look();
    };
    await page.route(server.url, (route) => route.abort());
    await page.clock.runFor(10_000);
    const lost = /^Connection lost since \d\d:\d\d:\d\d UTC; data is 10 s old$/;
    await page.locator("#as-of").getByText(lost).waitFor();
    expect(await page.getByRole("status").textContent()).toMatch(lost);
    expect(await page.getAttribute("body", "class")).toBe("calm stale");
    for (const seconds of [20, 40, 80, 80]) {
      const before = asked();
      await page.clock.fastForward((seconds - 10) * 1000);
      expect(asked()).toBe(before);
      await expect.poll(() => passes(asked)).toBe(before + 1);
    }
    await page.unroute(server.url);
    await page.clock.fastForward(70_000);
    const isBack = () => page.getByText("As of 03:47:10 UTC").count();
    await expect.poll(() => passes(isBack)).toBe(1);
    expect(await page.getAttribute("body", "class")).toBe("calm");
  });

  it("ignores a page that is not the status page", async () => {
    const { page } = await openStill(states.healthy);
    await page.route(server.url, (route) =>
      route.fulfill({ body: "<main><h1>Sign in</h1></main>" }),
    );
    await page.clock.runFor(10_000);
    await page
      .getByText(/Connection lost since/)
      .first()
      .waitFor();
    expect(await page.locator("h1").textContent()).toContain("Healthy");
  });

  it("asks nothing while it is hidden, and at once when it is seen again", async () => {
    const { page, requests } = await openStill(states.healthy);
    const setHidden = (hidden: boolean) =>
      page.evaluate(`
        Object.defineProperty(document, "hidden", { value: ${hidden}, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      `);
    await setHidden(true);
    server.view = states.killed;
    await page.clock.runFor(120_000);
    expect(requests.filter((url) => url === server.url)).toHaveLength(1);
    await setHidden(false);
    await page.getByRole("heading", { name: /was killed/ }).waitFor();
  });
});
