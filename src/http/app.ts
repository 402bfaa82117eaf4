import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { ScrapeEncoding, ScrapeRequest } from "../collectors/scrape.ts";
import type { AnyKill } from "../killers/linked-kills.ts";
import { type CollectorName, collectorNames } from "../metrics/catalog.ts";
import { contentTypes, type ExpositionFormat } from "../metrics/exposition.ts";
import type { StatusView } from "../status/status-view.ts";
import { jsonText } from "../text/json-text.ts";
import { BadRequest, listKills, type Query, single, wholeNumber } from "./api.ts";
import { type Document, documentPage, folderPage, servedFolders } from "./documents.ts";
import { isAcceptedHost } from "./host-name.ts";
import { contentSecurityPolicy, missingPage, type Site } from "./pages.ts";
import { statusPage } from "./status-page.ts";
import { UnsentAnswers } from "./unsent-answers.ts";
import { pageOfKill } from "./userspace-kill-page.ts";

/** Everything the app serves, passed in: the app itself reads no files and keeps no state. */
export interface AppOptions {
  scraper: {
    readonly collectorNames: readonly CollectorName[];
    scrape(request: ScrapeRequest, encoding: ScrapeEncoding): Promise<Buffer>;
  };
  /** Name of the monitored machine. */
  hostName: string;
  /** Of this program. */
  version?: string;
  /** Default `/metrics`. */
  telemetryPath?: string;
  /** Maximum number of concurrent scrapes; 0 means no limit. */
  maxRequests?: number;
  /** Host names under which pages and API may be requested; any if absent. */
  hostNames?: readonly string[];
  /** Headers from the web configuration; an empty value removes the header. */
  configuredHeaders?(): Readonly<Record<string, string>>;
  /** Path under which a reverse proxy serves this app, without a trailing slash. */
  basePath?: string;
  /** Served under `/runbooks` and `/software`. */
  documents?(): readonly Document[];
  /** Whether `/`, `/kills/:incident`, `/runbooks` and `/software` are served. */
  ui?: boolean;
  /** True after the first pass. */
  isReady(): boolean;
  /** Every known kill, by the kernel or by another killer, newest first. */
  kills(): readonly AnyKill[];
  /** Body of `/api/v1/victims`; nothing where there is no such cgroup. */
  victims(query: { cgroup: string | undefined; top: number }): object | undefined;
  /** Body of `/api/v1/status`. */
  status(): object;
  statusView(): StatusView;
  /** Wall clock, milliseconds since 1970. */
  now(): number;
  /** Called when a scrape is answered 503 because there are too many. */
  onRefused(): void;
  /** Called when a client that reads its answer too slowly is cut off. */
  onCut?(): void;
  /** Called when a request fails because of an internal error; the client sees only that it failed. */
  onError(error: unknown, path: string): void;
}

const securityHeaders = {
  "content-security-policy": contentSecurityPolicy,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

const nothingHere = "there is nothing at this path";

interface AppSite extends Site {
  /** Whether there are pages for people. */
  hasPages: boolean;
}

/** Builds the routes; does not listen. */
export function buildApp(options: AppOptions): FastifyInstance {
  const { hostName, version = "", basePath = "", telemetryPath = "/metrics", ui = true } = options;
  const site = { hostName, version, basePath, telemetryPath, hasPages: ui };
  const headers = () => ({ ...securityHeaders, ...lowerCased(options.configuredHeaders?.()) });
  const app = Fastify({
    logger: false,
    bodyLimit: 1024,
    frameworkErrors: (error, _request, reply) => {
      setHeaders(reply, headers());
      sendLine(reply, error.statusCode ?? 400, "the path of the request is malformed");
    },
  });
  app.addHook("onRequest", async (request, reply) => {
    setHeaders(reply, headers());
    const path = pathOf(request);
    if (options.hostNames === undefined || path === telemetryPath || path.startsWith("/-/")) return;
    const host = request.headers.host ?? String(request.headers[":authority"] ?? "");
    if (!isAcceptedHost(host, options.hostNames)) {
      sendLine(reply, 403, "unknown host name; set it with --web.external-url");
      return reply;
    }
  });
  app.setReplySerializer((payload) => jsonText(payload));
  const unsent = new UnsentAnswers(() => options.onCut?.());
  app.addHook<string | Buffer>("onSend", (_request, { raw }, payload, done) => {
    // As bytes a waiting answer takes its length once, as a string twice or more.
    const body = typeof payload === "string" ? Buffer.from(payload) : payload;
    if (Buffer.isBuffer(body) && !isClosed(raw)) unsent.add(body, raw);
    done(null, body);
  });
  refuseWrites(app, site);
  addErrors(app, options, site);
  addMetrics(app, options, telemetryPath);
  addHealth(app, options);
  addApi(app, options, basePath);
  if (site.hasPages) addPages(app, options, site);
  return app;
}

/** Answers other methods at once: waiting for a body would let a client that never sends it hold a connection. */
function refuseWrites(app: FastifyInstance, site: AppSite): void {
  const served = new Set<string>();
  app.addHook("onRoute", ({ url }) => {
    served.add(url);
  });
  app.addHook("onRequest", async (request, reply) => {
    if (request.method === "GET" || request.method === "HEAD") return;
    const path = pathOf(request);
    if (![...served].some((route) => isRouteOf(path, route))) {
      return sendMissing(request, reply, nothingHere, site);
    }
    reply.header("allow", "GET, HEAD");
    return sendLine(reply, 405, "only GET and HEAD are supported");
  });
}

function addErrors(app: FastifyInstance, options: AppOptions, site: AppSite): void {
  app.setNotFoundHandler((request, reply) => sendMissing(request, reply, nothingHere, site));
  app.setErrorHandler((error, request, reply) => {
    const status = (error as { statusCode?: number }).statusCode ?? 500;
    if (error instanceof BadRequest || (status >= 400 && status < 500)) {
      return sendLine(reply, error instanceof BadRequest ? 400 : status, (error as Error).message);
    }
    options.onError(error, request.url);
    return sendLine(reply, 500, "internal error; the exporter's log has the reason");
  });
}

function addMetrics(app: FastifyInstance, options: AppOptions, path: string): void {
  const { maxRequests = 0 } = options;
  let scrapes = 0;
  app.get(path, async (request, reply) => {
    if (maxRequests > 0 && scrapes >= maxRequests) {
      options.onRefused();
      const why = `too many concurrent scrapes (limit ${maxRequests}, see --web.max-requests)`;
      return sendLine(reply, 503, why);
    }
    const encoding = negotiate(request);
    const scrape = readScrape(request, options);
    scrapes++;
    let body: Buffer;
    try {
      body = await options.scraper.scrape(scrape, encoding);
    } finally {
      scrapes--;
    }
    reply.headers({
      "content-type": contentTypes[encoding.format],
      vary: "accept, accept-encoding",
    });
    if (encoding.gzip) {
      reply.header("content-encoding", "gzip");
    }
    return body;
  });
}

function addHealth(app: FastifyInstance, options: AppOptions): void {
  app.get("/-/healthy", async (_request, reply) => sendLine(reply, 200, "healthy"));
  app.get("/-/ready", async (_request, reply) =>
    options.isReady()
      ? sendLine(reply, 200, "ready")
      : sendLine(reply, 503, "not ready: the first pass over the collectors is not done"),
  );
}

function addApi(app: FastifyInstance, options: AppOptions, basePath: string): void {
  app.get("/api/v1/kills", async (request) =>
    listKills(options.kills(), request.query as Query, `${basePath}/api/v1/kills`, options.now()),
  );
  app.get("/api/v1/victims", async (request, reply) => {
    const query = request.query as Query;
    const answer = options.victims({
      cgroup: single(query, "cgroup"),
      top: wholeNumber(query, "top", 20, 100_000),
    });
    return answer ?? sendLine(reply, 404, "cgroup: there is no such cgroup");
  });
  app.get("/api/v1/status", async () => options.status());
}

function addPages(app: FastifyInstance, options: AppOptions, site: AppSite): void {
  app.get<{ Params: { incident: string } }>("/kills/:incident", async (request, reply) => {
    const { incident } = request.params;
    const page = pageOfKill(incident, options.kills(), site, options.now());
    return page === undefined
      ? sendMissing(request, reply, "there is no kill with this incident", site)
      : sendPage(reply, page.text);
  });
  addDocuments(app, options.documents ?? (() => []), site);
  if (site.telemetryPath !== "/") {
    app.get("/", async (_request, reply) =>
      sendPage(reply, statusPage(options.statusView(), site).text),
    );
  }
}

const documentParameters = { runbooks: "alert", software: "program" } as const;

function addDocuments(
  app: FastifyInstance,
  documents: () => readonly Document[],
  site: AppSite,
): void {
  for (const folder of servedFolders) {
    const parameter = documentParameters[folder];
    app.get(`/${folder}`, async (_request, reply) =>
      sendPage(reply, folderPage(folder, documents(), site).text),
    );
    app.get<{ Params: Record<string, string> }>(
      `/${folder}/:${parameter}`,
      async (request, reply) => {
        // With .md too: an alert's runbook_url keeps it when only its base is replaced.
        const name = request.params[parameter]?.replace(/\.md$/, "");
        const document = documents().find(
          (candidate) => candidate.folder === folder && candidate.name === name,
        );
        return document === undefined
          ? sendMissing(request, reply, `there is no such page; /${folder} lists them`, site)
          : sendPage(reply, documentPage(document, site).text);
      },
    );
  }
}

/** Whether its client is gone; then there is no `close` to come. */
function isClosed(response: FastifyReply["raw"] & { stream?: { destroyed: boolean } }): boolean {
  return response.destroyed || response.closed || response.stream?.destroyed === true;
}

/** A page for people in a browser, a line for programs. */
function sendMissing(
  request: FastifyRequest,
  reply: FastifyReply,
  line: string,
  site: AppSite,
): FastifyReply {
  return site.hasPages && isForBrowser(request)
    ? sendPage(reply.code(404), missingPage(line, site).text)
    : sendLine(reply, 404, line);
}

function sendLine(reply: FastifyReply, status: number, line: string): FastifyReply {
  return reply.code(status).type("text/plain; charset=utf-8").send(`${line}\n`);
}

function sendPage(reply: FastifyReply, page: string): FastifyReply {
  return reply.type("text/html; charset=utf-8").send(page);
}

/** An empty value removes a header. */
function setHeaders(reply: FastifyReply, headers: Record<string, string>): void {
  for (const [name, value] of Object.entries(headers)) {
    if (value !== "") reply.header(name, value);
  }
}

function lowerCased(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
}

function isForBrowser(request: FastifyRequest): boolean {
  const { accept = "" } = request.headers;
  return accept.includes("text/html") && !pathOf(request).startsWith("/api/");
}

function pathOf({ url }: FastifyRequest): string {
  return url.split("?", 1)[0] as string;
}

/** Whether a path matches a route such as `/kills/:incident`. */
function isRouteOf(path: string, route: string): boolean {
  const segments = path.split("/");
  const patterns = route.split("/");
  return (
    segments.length === patterns.length &&
    patterns.every((pattern, index) => pattern.startsWith(":") || pattern === segments[index])
  );
}

function readScrape(request: FastifyRequest, { scraper }: AppOptions): ScrapeRequest {
  const query = request.query as Query;
  const collect = readNames(query, "collect[]", scraper.collectorNames);
  const exclude = readNames(query, "exclude[]", scraper.collectorNames);
  if (collect !== undefined && exclude !== undefined) {
    throw new BadRequest("collect[] and exclude[] cannot be combined");
  }
  const collectors =
    exclude === undefined
      ? collect
      : scraper.collectorNames.filter((name) => !exclude.includes(name));
  return { collectors, budgetMs: readBudget(request) };
}

function readNames(
  query: Query,
  parameter: string,
  enabled: readonly CollectorName[],
): CollectorName[] | undefined {
  const given = query[parameter];
  if (given === undefined) {
    return undefined;
  }
  return [given].flat().map((text) => {
    const name = collectorNames.find((known) => known === text);
    if (name === undefined || !enabled.includes(name)) {
      const why = name === undefined ? "no such collector" : "this collector is disabled";
      throw new BadRequest(`${parameter}: ${why}; available are ${enabled.join(", ")}`);
    }
    return name;
  });
}

/**
 * The scraper's timeout for the whole scrape, minus 5 % (at most half a second) for printing, compressing and
 * sending.
 */
function readBudget(request: FastifyRequest): number | undefined {
  const timeoutMs = Number(request.headers["x-prometheus-scrape-timeout-seconds"]) * 1000;
  return timeoutMs > 0 ? timeoutMs - Math.min(500, timeoutMs * 0.05) : undefined;
}

function negotiate(request: FastifyRequest): ScrapeEncoding {
  return {
    format: chooseFormat(request.headers.accept ?? ""),
    gzip: acceptsGzip(String(request.headers["accept-encoding"] ?? "")),
  };
}

interface Preference {
  name: string;
  parameters: ReadonlyMap<string, string>;
  weight: number;
}

/** Parses an Accept or Accept-Encoding header. */
function readPreferences(header: string): Preference[] {
  return header.split(",").map((part) => {
    const [name = "", ...rest] = part.split(";").map((piece) => piece.trim().toLowerCase());
    const parameters = new Map(
      rest
        .map((pair) => pair.split("=", 2) as [string, string | undefined])
        .map(([key, value]) => [key.trim(), (value ?? "").trim().replace(/^"(.*)"$/, "$1")]),
    );
    const weight = Number(parameters.get("q") ?? 1);
    return { name, parameters, weight: Number.isNaN(weight) ? 0 : weight };
  });
}

/**
 * The client's preferred format; text if it accepts neither. Clients that ask for OpenMetrics without a version or
 * with 1.0.0 get OpenMetrics 1.0.0; those that ask for the draft 0.0.1 or for 2.0 do not.
 */
function chooseFormat(accept: string): ExpositionFormat {
  let best: ExpositionFormat = "text";
  let bestWeight = 0;
  for (const { name, parameters, weight } of readPreferences(accept)) {
    const format = formatOf(name, parameters.get("version"));
    if (format !== undefined && weight > bestWeight) {
      best = format;
      bestWeight = weight;
    }
  }
  return best;
}

function formatOf(mediaType: string, version = "1.0.0"): ExpositionFormat | undefined {
  if (mediaType === "application/openmetrics-text") {
    return version === "1.0.0" ? "openmetrics" : undefined;
  }
  return ["text/plain", "text/*", "*/*"].includes(mediaType) ? "text" : undefined;
}

function acceptsGzip(acceptEncoding: string): boolean {
  const preferences = readPreferences(acceptEncoding);
  const named = preferences.find(({ name }) => name === "gzip" || name === "x-gzip");
  const chosen = named ?? preferences.find(({ name }) => name === "*");
  return chosen !== undefined && chosen.weight > 0;
}
