import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { readDocuments } from "../../scripts/documents.mjs";
import { buildApp } from "../../src/http/app.ts";
import { collectorNames } from "../../src/metrics/catalog.ts";
import type { StatusView } from "../../src/status/status-view.ts";
import { patienceMs } from "../setup/exporter-process.ts";

const documents = readDocuments();
const { version } = JSON.parse(readFileSync("package.json", "utf8"));

/** The app on a free loopback port, showing whatever `view` is. */
export interface PageServer {
  url: string;
  view: StatusView;
  close(): Promise<void>;
}

export async function servePages(view: StatusView): Promise<PageServer> {
  const app = buildApp({
    hostName: "web-03",
    version,
    scraper: { collectorNames, scrape: async () => Buffer.from("") },
    isReady: () => true,
    kills: () => server.view.kills,
    victims: () => ({}),
    status: () => ({}),
    statusView: () => server.view,
    documents: () => documents,
    now: () => server.view.atMs,
    onRefused() {},
    onError(error) {
      throw error;
    },
  });
  const server: PageServer = { url: "", view, close: () => app.close() };
  await app.listen({ host: "127.0.0.1", port: 0 });
  server.url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`;
  return server;
}

/** A page with a new profile that records everything a page should not do. */
export interface WatchedPage {
  page: Page;
  /** Console messages, errors, violations of the policy and requests to others, one line each. */
  wrongs: string[];
  requests: string[];
  close(): Promise<void>;
}

export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
  prepare: (page: Page) => Promise<unknown> = async () => {},
): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: { width: 1000, height: 700 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(patienceMs);
  const wrongs: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => wrongs.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrongs.push(`error: ${error}`));
  page.on("dialog", (dialog) => wrongs.push(`dialog: ${dialog.message()}`));
  page.on("request", (request) => {
    const { origin } = new URL(request.url());
    requests.push(request.url());
    if (origin !== new URL(url).origin && !request.url().startsWith("data:")) {
      wrongs.push(`request: ${request.url()}`);
    }
  });
  await prepare(page);
  await page.goto(url);
  return { page, wrongs, requests, close: () => context.close() };
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe-core has against the page by WCAG 2, A and AA: rule and element, one line each. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(`axe
    .run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })
    .then(({ violations }) =>
      violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html)))`);
}
