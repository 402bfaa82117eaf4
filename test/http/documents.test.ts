import { readdirSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { packDocuments, readDocuments, renderDocument } from "../../scripts/documents.mjs";
import { buildApp } from "../../src/http/app.ts";
import { contentSecurityPolicy } from "../../src/http/pages.ts";
import { collectorNames } from "../../src/metrics/catalog.ts";
import { findings } from "../../src/status/findings.ts";
import { aCgroup, aKill, aLeak, aMemory, aStatusView, nowMs } from "./views.ts";

const documents = readDocuments();
const runbooks = documents.filter(({ folder }) => folder === "runbooks");
const alerts = readdirSync("docs/runbooks").map((file) => file.replace(/\.md$/, ""));

let app: ReturnType<typeof buildApp> | undefined;

afterEach(async () => {
  await app?.close();
});

function ask(
  url: string,
  changes: Partial<Parameters<typeof buildApp>[0]> = {},
  headers: Record<string, string> = {},
) {
  app = buildApp({
    scraper: { collectorNames, scrape: async () => Buffer.from("") },
    hostName: "web-03",
    isReady: () => true,
    kills: () => [aKill({ advice: ["Raise it.", "Runbook: docs/runbooks/OomHostExhausted.md"] })],
    victims: () => undefined,
    status: () => ({}),
    statusView: () => aStatusView({ sources: [] }),
    documents: () => documents,
    now: () => nowMs,
    onRefused: () => {},
    onError: () => {},
    ...changes,
  });
  return app.inject({ url, headers });
}

/** Addresses of links, without those to the web. */
function linksIn(page: string): string[] {
  return [...page.matchAll(/ href="([^"]*)"/g)]
    .map(([, address = ""]) => address)
    .filter((address) => !/^(https?|data):/.test(address));
}

describe("a rendered runbook", () => {
  it("shows HTML as text, refuses script addresses and carries no style of its own", () => {
    const { body } = renderDocument(
      "runbooks",
      "X",
      "# X\n\n## A\n\n<script>alert(1)</script> [a](javascript:alert(1)) [b](data:text/html,x)\n\n| a |\n|--:|\n| <b>1</b> |\n",
    );
    expect(body).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
    expect(body).toContain("<td>&lt;b&gt;1&lt;/b&gt;</td>");
    expect(body).not.toMatch(/<script|<b>|href=|style=/);
  });

  it("has the sections, the first sentence and links as GitHub makes them", () => {
    const markdown = [
      "# OomX",
      "",
      "## Meaning",
      "",
      "It is `x` 1.5 times",
      "too much. And more.",
      "",
      "## What the kernel's log says",
      "",
      "[other](OomKill.md), [part](OomKill.md#meaning), [here](#meaning), [more](../metrics.md), [web](https://example.org/)",
    ].join("\n");
    const { name, summary, headings, body } = renderDocument("runbooks", "OomX", markdown);
    expect(name).toBe("OomX");
    expect(summary).toBe("It is x 1.5 times too much.");
    expect(headings).toEqual([
      { id: "meaning", text: "Meaning" },
      { id: "what-the-kernels-log-says", text: "What the kernel's log says" },
    ]);
    expect(body).not.toContain("<h1");
    expect([...body.matchAll(/href="([^"]*)"/g)].map(([, address]) => address)).toEqual([
      "OomKill",
      "OomKill#meaning",
      "#meaning",
      "https://github.com/oom-exporter/oom-exporter/blob/main/docs/metrics.md",
      "https://example.org/",
    ]);
  });
});

describe("/runbooks", () => {
  it("lists every runbook with what its alert means, under the same policy as all pages", async () => {
    const { statusCode, headers, body } = await ask("/runbooks");
    expect(statusCode).toBe(200);
    expect(headers["content-security-policy"]).toBe(contentSecurityPolicy);
    for (const alert of alerts) expect(linksIn(body)).toContain(`/runbooks/${alert}`);
    for (const { summary } of runbooks) expect(summary).toMatch(/^[A-Z].*\.$/s);
  });

  it.each(alerts)("serves %s, and every link in it leads somewhere", async (alert) => {
    const { statusCode, headers, body } = await ask(`/runbooks/${alert}`);
    expect(statusCode).toBe(200);
    expect(headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(body).toContain(`<h1 id="answer">${alert}</h1>`);
    expect(body).not.toMatch(/ style=/);
    const ids = [...body.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const address of linksIn(body)) {
      const [path = "", anchor] = address.split("#");
      if (path === "") expect(ids, address).toContain(anchor);
      else if (!path.startsWith("/")) expect(alerts, address).toContain(path);
    }
  });

  it("keeps links inside the path of a reverse proxy", async () => {
    const { body } = await ask("/runbooks", { basePath: "/oom" });
    expect(linksIn(body)).toContain("/oom/runbooks/OomKill");
  });

  it("answers to the name with .md, and 404 to a name that it does not have", async () => {
    expect((await ask("/runbooks/OomKill.md")).statusCode).toBe(200);
    const unknown = await ask("/runbooks/%3Cscript%3E");
    expect(unknown.statusCode).toBe(404);
    expect(unknown.body).not.toContain("<script>");
  });

  it("is refused under a foreign host name, as every page is", async () => {
    const hostNames = ["web-03"];
    expect(
      (await ask("/runbooks/OomKill", { hostNames }, { host: "evil.example" })).statusCode,
    ).toBe(403);
    expect((await ask("/runbooks", { hostNames }, { host: "evil.example" })).statusCode).toBe(403);
    expect(
      (await ask("/runbooks/OomKill", { hostNames }, { host: "web-03:10137" })).statusCode,
    ).toBe(200);
  });

  it("goes with the pages", async () => {
    expect((await ask("/runbooks", { ui: false })).statusCode).toBe(404);
  });

  it("is linked from a kill's page and from what the status page finds", async () => {
    const kill = await ask(`/kills/${aKill().incident}`, { basePath: "/oom" });
    expect(linksIn(kill.body)).toContain("/oom/runbooks/OomHostExhausted");
    expect(kill.body).not.toContain("docs/runbooks");
    expect(linksIn((await ask("/")).body)).toContain("/runbooks/OomLogSourceDown");
  });
});

describe("/software", () => {
  it("lists every program, and serves its page with links that lead somewhere", async () => {
    const { body } = await ask("/software");
    const programs = readdirSync("docs/software").map((file) => file.replace(/\.md$/, ""));
    for (const program of programs) {
      expect(linksIn(body)).toContain(`/software/${program}`);
      const page = await ask(`/software/${program}`);
      expect(page.statusCode).toBe(200);
      for (const address of linksIn(page.body)) {
        const [path = ""] = address.split("#");
        if (path !== "" && !path.startsWith("/")) expect(programs, address).toContain(path);
      }
    }
    expect((await ask("/software/cobol")).statusCode).toBe(404);
  });

  it("is linked from the advice on a kill", async () => {
    const advice = ["Python: fewer workers. More: docs/software/python.md"];
    const { body } = await ask(`/kills/${aKill().incident}`, { kills: () => [aKill({ advice })] });
    expect(body).toContain('Python: fewer workers. More: <a href="/software/python">python</a>');
  });
});

describe("what is not found", () => {
  it.each(["/nothing", "/kills/0-0-0", "/runbooks/Nothing", "/software/nothing"])(
    "%s is a page with a way back in a browser, and a line elsewhere",
    async (url) => {
      const page = await ask(
        url,
        { basePath: "/oom" },
        { accept: "text/html,application/xhtml+xml" },
      );
      expect(page.statusCode).toBe(404);
      expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
      expect(page.headers["content-security-policy"]).toBe(contentSecurityPolicy);
      expect(linksIn(page.body)).toContain("/oom/");
      const line = await ask(url, {}, { accept: "*/*" });
      expect([line.statusCode, line.headers["content-type"]]).toEqual([
        404,
        "text/plain; charset=utf-8",
      ]);
      expect(line.body.split("\n")).toHaveLength(2);
    },
  );

  it("stays a line below /api, and where pages are off", async () => {
    const type = async (url: string, changes = {}) =>
      (await ask(url, changes, { accept: "text/html" })).headers["content-type"];
    expect(await type("/api/v1/nothing")).toBe("text/plain; charset=utf-8");
    expect(await type("/nothing", { ui: false })).toBe("text/plain; charset=utf-8");
  });
});

it("every finding that is no kill and no good news names an alert that has a runbook", () => {
  const views = [
    aStatusView({ sources: [], kills: [], unaccountedKills: 2, cgroups: [aLeak()] }),
    aStatusView({ cgroups: [aCgroup(0.93)], memory: aMemory({ availableBytes: 2 ** 30 }) }),
    aStatusView({ memory: aMemory({ availableBytes: 1, swapFreeBytes: 0 }) }),
    aStatusView({ troubles: [{ collector: "cgroups", reason: "x" }] }),
  ];
  const bad = views
    .flatMap(findings)
    .filter(({ state, kill }) => kill === undefined && state !== "healthy" && state !== "unknown");
  expect(bad.length).toBeGreaterThan(5);
  for (const { alert, sentence } of bad) expect(alerts, sentence).toContain(alert);
});

it("takes little room in the program", () => {
  expect(packDocuments().length).toBeLessThan(JSON.stringify(documents).length / 2);
});
