import { once } from "node:events";
import { type AddressInfo, createConnection } from "node:net";
import type { FastifyInstance } from "fastify";
import supertest from "supertest";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Collector } from "../../src/collectors/collector.ts";
import { Scraper } from "../../src/collectors/scrape.ts";
import { type AppOptions, buildApp } from "../../src/http/app.ts";
import { collectorNames } from "../../src/metrics/catalog.ts";
import { snapshotOf } from "../setup/opened-host.ts";
import { aKill, aStatusView } from "./views.ts";

const hostile = `<script>alert("1")</script>\u001b[31m\u202e\n'&`;

let app: FastifyInstance | undefined;
let passes: string[];
let reported: unknown[];
let refused: number;
let ready: boolean;

beforeEach(() => {
  passes = [];
  reported = [];
  refused = 0;
  ready = false;
});

afterEach(async () => {
  await app?.close();
});

/** An app with fake collectors, each of which adds one sample or none. */
async function serve(overrides: Partial<AppOptions> = {}) {
  const add: Partial<Record<string, Collector["collect"]>> = {
    host: ({ sink }) => sink.add("oom_kernel_kills_total", 3, {}),
    kills: ({ sink }) => sink.add("oom_command_kills_total", 1, { comm: hostile }),
  };
  let budgetMs = 0;
  const scraper = new Scraper({
    collectors: collectorNames.map((name) => ({
      name,
      collect(pass) {
        passes.push(`${name} ${budgetMs}`);
        add[name]?.(pass);
      },
    })),
    snapshot: (deadlineMs) => {
      budgetMs = Math.round(deadlineMs - passes.length * 1000);
      return snapshotOf();
    },
    keepers: [],
    killsRead: () => 0,
    addOwnSamples: (samples) => samples.add("process_open_fds", 7, {}),
    // Steps so far with every collector that no request shares the pass of the one before.
    now: () => passes.length * 1000,
    rest: async () => {},
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  app = buildApp({
    hostName: "web-03",
    scraper,
    isReady: () => ready,
    kills: () => [aKill()],
    victims: () => ({ scope: "host", victims: [] }),
    status: () => ({ version: "0.1.0" }),
    statusView: () => aStatusView(),
    now: () => Date.parse("2026-11-21T04:00:00Z"),
    onRefused: () => {
      refused++;
    },
    onError: (error) => {
      reported.push(error);
    },
    ...overrides,
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  return supertest(app.server);
}

describe("clients that do not read their answers", () => {
  it.each(["/api/v1/status", "/api/v1/victims", "/"])(
    "are cut off when the answers take more than 32 MiB together: %s",
    async (path) => {
      // More than the kernel's buffers take.
      const large = "x".repeat(24 * 1024 * 1024);
      let cut = () => {};
      const isCut = new Promise<void>((resolve) => {
        cut = resolve;
      });
      await serve({
        status: () => ({ large }),
        victims: () => ({ large }),
        hostName: large,
        onCut: () => cut(),
      });
      const { port } = (app as FastifyInstance).server.address() as AddressInfo;
      const clients = [1, 2, 3].map(() => {
        const client = createConnection(port, "127.0.0.1").pause();
        client.on("error", () => {});
        client.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
        return client;
      });
      await isCut;
      for (const client of clients) client.destroy();
    },
  );
});

describe("the metrics path", () => {
  it("answers text 0.0.4 by default", async () => {
    const { status, headers, text } = await (await serve())
      .get("/metrics")
      .set("accept-encoding", "");
    expect(status).toBe(200);
    expect(headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(headers["content-encoding"]).toBeUndefined();
    expect(text).toContain("\noom_kernel_kills_total 3\n");
    expect(text).toContain("\nprocess_open_fds 7\n");
  });

  const prometheus3 =
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
  const openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
  const text004 = "text/plain; version=0.0.4; charset=utf-8";

  it.each([
    [prometheus3, openMetrics],
    ["application/openmetrics-text", openMetrics],
    ['application/openmetrics-text; version="1.0.0"', openMetrics],
    ["text/plain;q=0.5, application/openmetrics-text;version=1.0.0;q=0.4", text004],
    ["application/openmetrics-text;version=1.0.0;q=0", text004],
    ["application/openmetrics-text;version=0.0.1", text004],
    ["application/openmetrics-text;version=2.0.0, text/plain;q=0.1", text004],
    ["text/plain; version=1.0.0; escaping=allow-utf-8", text004],
    ["text/html, */*;q=0.8", text004],
    [";;;,=,q=x", text004],
  ])("answers Accept: %s with %s", async (accept, contentType) => {
    const { headers, text } = await (await serve()).get("/metrics").set("accept", accept);
    expect(headers["content-type"]).toBe(contentType);
    expect(text.endsWith("# EOF\n")).toBe(contentType === openMetrics);
  });

  it.each([
    ["gzip", "gzip"],
    ["deflate, GZIP;q=0.5", "gzip"],
    ["*", "gzip"],
    ["gzip;q=0", undefined],
    ["gzip;q=0, *", undefined],
    ["identity", undefined],
    ["br", undefined],
  ])("answers Accept-Encoding: %s with %s", async (accepted, encoding) => {
    const { headers, text } = await (await serve())
      .get("/metrics")
      .set("accept-encoding", accepted);
    expect(headers["content-encoding"]).toBe(encoding);
    expect(text).toContain("\noom_kernel_kills_total 3\n");
  });

  it("answers HEAD with the headers alone", async () => {
    const { status, headers, text } = await (await serve()).head("/metrics");
    expect(status).toBe(200);
    expect(headers["content-type"]).toMatch(/^text\/plain/);
    expect(text).toBeFalsy();
  });

  it.each([
    ["collect[]=host", ["host"]],
    ["collect[]=host&collect[]=log", ["host", "log"]],
    ["exclude[]=host&exclude[]=kills", ["cgroups", "processes", "log"]],
  ])("runs the collectors left by ?%s", async (query, names) => {
    await (await serve()).get(`/metrics?${query}`).expect(200);
    expect(passes.map((pass) => pass.split(" ")[0])).toEqual(names);
  });

  it.each([
    ["collect[]=host&exclude[]=log", "collect[] and exclude[] cannot be combined"],
    ["collect[]=nope", "collect[]: no such collector; available are host, cgroups"],
    ["exclude[]=", "exclude[]: no such collector; available are host, cgroups"],
    ["collect[]=__proto__", "collect[]: no such collector"],
  ])("answers ?%s with 400 and one line", async (query, line) => {
    const { status, text } = await (await serve()).get(`/metrics?${query}`);
    expect(status).toBe(400);
    expect(text).toContain(line);
    expect(text.split("\n")).toEqual([expect.any(String), ""]);
    expect(passes).toEqual([]);
  });

  it.each([
    ["10", 9500],
    ["1", 950],
    ["0.2", 190],
    ["0", 10_000],
    ["-3", 10_000],
    ["soon", 10_000],
  ])(
    "gives the collectors the time of a scrape timeout of %s s, less a margin",
    async (timeout, budgetMs) => {
      await (await serve())
        .get("/metrics?collect[]=host")
        .set("x-prometheus-scrape-timeout-seconds", timeout);
      expect(passes).toEqual([`host ${budgetMs}`]);
    },
  );

  it("keeps a hostile name inside its label", async () => {
    const { text } = await (await serve()).get("/metrics?collect[]=kills");
    expect(text).toContain(
      `oom_command_kills_total{comm="<script>alert(\\"1\\")</script>\u001b[31m\u202e\\n'&"} 1\n`,
    );
  });

  it("answers 503 beyond the allowed number of scrapes, and serves again after one is finished", async () => {
    let finish: (body: Buffer) => void = () => {};
    const stuck = new Promise<Buffer>((resolve) => {
      finish = resolve;
    });
    let asked = 0;
    const scraper = {
      collectorNames,
      scrape: () => {
        asked++;
        return stuck;
      },
    };
    const client = await serve({ scraper, maxRequests: 1 });
    const scrape = () => client.get("/metrics").set("accept-encoding", "identity");
    const first = scrape().then((response) => response);
    await expect.poll(() => asked).toBe(1);
    const second = await scrape();
    expect(second.status).toBe(503);
    expect(second.text).toBe("too many concurrent scrapes (limit 1, see --web.max-requests)\n");
    expect(refused).toBe(1);
    await client.get("/-/healthy").expect(200);
    finish(Buffer.from("done\n"));
    expect((await first).text).toBe("done\n");
    await expect.poll(async () => (await scrape()).status).toBe(200);
  });

  it("can be served at another path", async () => {
    const client = await serve({ telemetryPath: "/" });
    expect((await client.get("/")).text).toContain("oom_kernel_kills_total 3");
    await client.get("/metrics").expect(404);
  });
});

describe("health", () => {
  it("is fine as soon as something answers", async () => {
    const { status, text } = await (await serve()).get("/-/healthy");
    expect([status, text]).toEqual([200, "healthy\n"]);
  });

  it("is ready once the first pass is done", async () => {
    const client = await serve();
    await client.get("/-/ready").expect(503);
    ready = true;
    await client.get("/-/ready").expect(200);
    await client.head("/-/ready").expect(200);
  });
});

describe("every answer", () => {
  it.each(["/", "/metrics", "/api/v1/kills", "/-/healthy", "/nowhere", "/kills/%"])(
    "to %s forbids foreign scripts, frames and sniffing",
    async (path) => {
      const { headers } = await (await serve()).get(path);
      expect(headers["content-security-policy"]).toMatch(
        /^default-src 'none'; style-src 'sha256-[\w+/=]+'; script-src 'sha256-[\w+/=]+'; connect-src 'self'; img-src data:; /,
      );
      expect(headers["content-security-policy"]).toContain("frame-ancestors 'none'");
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers["x-frame-options"]).toBe("DENY");
      expect(headers["referrer-policy"]).toBe("no-referrer");
    },
  );

  it.each(["/nowhere", "/metrics/", "/METRICS", "/kills/none", "/api/v1", "//", "/-/"])(
    "to %s is 404 with one line",
    async (path) => {
      const { status, text, headers } = await (await serve()).get(path);
      expect(status).toBe(404);
      expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
      expect(text).toMatch(/^[^\n]+\n$/);
    },
  );

  it.each(["/kills/%", "/%zz", `/kills/${"x".repeat(300)}`])(
    "to %s is not a failure",
    async (path) => {
      const { status, text } = await (await serve()).get(path);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
      expect(text).toMatch(/^[^\n]+\n$/);
    },
  );

  it.each(["/metrics", "/", "/kills/any", "/api/v1/kills?limit=1", "/-/healthy"])(
    "to a POST of %s is 405, whatever its body",
    async (path) => {
      const answer = await (await serve()).post(path).send("x".repeat(1000));
      expect([answer.status, answer.headers.allow]).toEqual([405, "GET, HEAD"]);
      expect(answer.text).toBe("only GET and HEAD are supported\n");
    },
  );

  it.each(["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])("to %s is 405", async (method) => {
    await serve();
    const { port } = (app as FastifyInstance).server.address() as AddressInfo;
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { method });
    expect(answer.status).toBe(405);
  });

  it.each(["/metrics", "/nowhere"])("waits for no body: %s", async (path) => {
    await serve();
    const { port } = (app as FastifyInstance).server.address() as AddressInfo;
    const client = createConnection(port, "127.0.0.1");
    const head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 100";
    client.write(`POST ${path} HTTP/1.1\r\n${head}\r\n\r\n`);
    const [data] = await once(client, "data");
    client.destroy();
    expect(String(data)).toMatch(/^HTTP\/1.1 40[45] /);
  });

  it("to a POST on an unknown path is 404", async () => {
    await (await serve()).post("/nowhere").expect(404);
  });

  it("hides the error from the client and logs it", async () => {
    const failure = new Error("secret: /etc/shadow");
    const client = await serve({
      status: () => {
        throw failure;
      },
    });
    const { status, text } = await client.get("/api/v1/status");
    expect(status).toBe(500);
    expect(text).toBe("internal error; the exporter's log has the reason\n");
    expect(reported).toEqual([failure]);
  });
});

describe("the API", () => {
  it("returns kills as JSON that no browser displays as a page", async () => {
    const client = await serve({ kills: () => [aKill({ comm: hostile })] });
    const { headers, body } = await client.get("/api/v1/kills?limit=5");
    expect(headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(body).toEqual({ kills: [aKill({ comm: hostile })], next: null });
  });

  it.each([
    "kills?limit=0",
    "kills?limit=1001",
    "kills?limit=ten",
    "kills?limit=1&limit=2",
    "kills?since=yesterday",
    "kills?before=unknown",
    "victims?top=0",
  ])("answers %s with 400 and one line", async (query) => {
    const { status, text } = await (await serve()).get(`/api/v1/${query}`);
    expect(status).toBe(400);
    expect(text).toMatch(/^[^\n]+\n$/);
  });

  it("hands the victims' scope and number on", async () => {
    const asked: object[] = [];
    const client = await serve({
      victims: (query) => {
        asked.push(query);
        return query.cgroup === "/gone" ? undefined : { scope: query.cgroup ?? "host" };
      },
    });
    expect((await client.get("/api/v1/victims?cgroup=/web&top=3")).body).toEqual({ scope: "/web" });
    await client.get("/api/v1/victims").expect(200);
    await client.get("/api/v1/victims?cgroup=/gone").expect(404);
    expect(asked).toEqual([
      { cgroup: "/web", top: 3 },
      { cgroup: undefined, top: 20 },
      { cgroup: "/gone", top: 20 },
    ]);
  });

  it("describes the exporter", async () => {
    expect((await (await serve()).get("/api/v1/status")).body).toEqual({ version: "0.1.0" });
  });
});

describe("the pages", () => {
  it("show the status and each kill", async () => {
    const client = await serve();
    const { headers, text } = await client.get("/");
    expect(headers["content-type"]).toBe("text/html; charset=utf-8");
    const link = /href="(\/kills\/[^"]+)"/.exec(text)?.[1] as string;
    expect((await client.get(link)).text).toContain("the kernel killed java (pid 4242)");
  });

  it("link below the path of a reverse proxy", async () => {
    const client = await serve({ basePath: "/oom" });
    const { text } = await client.get("/");
    expect(
      text.match(/href="\/[^"]*"/g)?.filter((link) => !link.startsWith('href="/oom/')),
    ).toEqual([]);
    expect((await client.get("/api/v1/kills?limit=1")).body.next).toBeNull();
  });

  it("are left out on demand", async () => {
    const client = await serve({ ui: false });
    await client.get("/").expect(404);
    await client.get(`/kills/${aKill().incident}`).expect(404);
    await client.get("/metrics").expect(200);
  });
});

describe("a client that speaks no HTTP", () => {
  it("is turned away, and others are served", async () => {
    const client = await serve();
    const { port } = (app as FastifyInstance).server.address() as AddressInfo;
    const socket = createConnection(port, "127.0.0.1", () => socket.write("\0\0nonsense\r\n\r\n"));
    const answer = await new Promise<string>((resolve) =>
      socket.once("data", (data) => resolve(String(data))),
    );
    expect(answer).toContain("400 Bad Request");
    await client.get("/-/healthy").expect(200);
  });
});
