import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { Agent, request as httpsRequest, type RequestOptions } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { hashSync } from "bcryptjs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { chromiumObstacle, startChromium } from "../browser/chromium.ts";
import { issue, makeCertificates, openssl } from "../setup/certificates.ts";
import { debianTool } from "../setup/debian-tools.ts";
import {
  type ExporterProcess,
  eventually,
  sampleOf,
  startExporter,
  temporaryDirectory,
} from "../setup/exporter-process.ts";
import { fixtureHost } from "../setup/fixture-host.ts";

const prometheus = await debianTool("prometheus", "usr/bin/prometheus");
const { procfs, sysfs, rootfs } = fixtureHost("v2-systemd");
/** Cheap, so that the tests are quick. */
const hash = hashSync("secret", 4);

let certificates: ReturnType<typeof temporaryDirectory>;
let directory: ReturnType<typeof temporaryDirectory>;
let exporter: ExporterProcess | undefined;
const path = (name: string) => join(directory.path, name);
const read = (name: string) => readFileSync(path(name));

beforeAll(() => {
  certificates = temporaryDirectory();
  if (openssl.path !== undefined) makeCertificates(certificates.path);
});

afterAll(() => certificates.remove());

beforeEach(() => {
  directory = temporaryDirectory();
  cpSync(certificates.path, directory.path, { recursive: true });
});

afterEach(async () => {
  await exporter?.end();
  exporter = undefined;
  directory.remove();
});

const hostFlags = [
  `--path.procfs=${procfs}`,
  `--path.sysfs=${sysfs}`,
  `--path.rootfs=${rootfs}`,
  "--kernel-log.source=none",
];

const pair = "  cert_file: server.pem\n  key_file: server.key\n";
const verified = `${pair}  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n`;
const alice = `basic_auth_users:\n  alice: ${hash}\n`;

/** Puts a file in place at once, as a deployment tool does. */
function put(name: string, text: string | Buffer): void {
  writeFileSync(path(`${name}.new`), text);
  renameSync(path(`${name}.new`), path(name));
}

async function serve(config: string): Promise<ExporterProcess> {
  put("web.yml", config);
  exporter = await startExporter([...hostFlags, `--web.config.file=${path("web.yml")}`]);
  return exporter;
}

interface Answer {
  status: number;
  text: string;
  headers: Record<string, string | string[] | undefined>;
}

/** Sends a request over a new connection; resolves with the error's code if there is no answer. */
function ask(pathname = "/metrics", options: RequestOptions = {}): Promise<Answer | string> {
  return new Promise((resolve) => {
    const agent = new Agent({ maxCachedSessions: 0 });
    const request = httpsRequest(`${exporter?.url}${pathname}`, {
      ca: read("ca.pem"),
      agent,
      ...options,
    });
    request.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    request.once("response", (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.once("end", () => {
        const { statusCode: status = 0, headers } = response;
        resolve({ status, text, headers });
      });
    });
    request.end();
  });
}

const statusOf = (answer: Answer | string) => (typeof answer === "string" ? answer : answer.status);
const client = (name = "client") => ({ cert: read(`${name}.pem`), key: read(`${name}.key`) });

describe.skipIf(openssl.path === undefined)("a server with TLS", () => {
  it("says https, and serves HTTP/2 and HTTP/1.1", async () => {
    const { startUpLine, url } = await serve(`tls_server_config:\n${pair}`);
    expect(startUpLine).toMatch(/ serves https:\/\/127\.0\.0\.1:\d+ /);
    expect(await ask()).toMatchObject({ status: 200 });
    const session = connectHttp2(url, { ca: read("ca.pem") });
    const stream = session.request({ ":path": "/metrics" });
    const [headers] = await once(stream, "response");
    expect(headers[":status"]).toBe(200);
    expect(session.alpnProtocol).toBe("h2");
    session.destroy();
  });

  it("offers only HTTP/1.1 if http2 is off or the suites forbid HTTP/2", async () => {
    const protocol = async () => {
      const { port } = new URL(exporter?.url as string);
      const options = { ca: read("ca.pem"), ALPNProtocols: ["h2", "http/1.1"] };
      const socket = connect({ host: "127.0.0.1", port: Number(port), ...options });
      await once(socket, "secureConnect");
      socket.destroy();
      return socket.alpnProtocol;
    };
    await serve(`tls_server_config:\n${pair}http_server_config:\n  http2: false\n`);
    expect(await protocol()).toBe("http/1.1");
    await exporter?.end();
    const suites = "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n";
    const { log } = await serve(`tls_server_config:\n${pair}${suites}`);
    expect(await protocol()).toBe("http/1.1");
    expect(log()).toContain("HTTP/2 is off");
  });

  it("answers nothing to plain HTTP", async () => {
    const { url } = await serve(`tls_server_config:\n${pair}`);
    await expect(fetch(url.replace("https", "http"))).rejects.toThrow();
  });

  it("refuses to start with a broken file, in one line and with exit code 1", async () => {
    await expect(serve(`tls_server_config:\n${pair}  min_version: TLS14\n`)).rejects.toThrow(
      /web\.yml: line 4: tls_server_config: min_version: unknown TLS version "TLS14"; allowed are TLS10, TLS11, TLS12, TLS13\n$/,
    );
  });
});

describe.skipIf(openssl.path === undefined)("TLS parameters", () => {
  /** The protocol and cipher that a client with these options gets, or nothing. */
  const offered = async (options: object) => {
    const { port } = new URL(exporter?.url as string);
    const socket: TLSSocket = connect({
      host: "127.0.0.1",
      port: Number(port),
      ca: read("ca.pem"),
      ...options,
    });
    const outcome = await new Promise((resolve) => {
      socket.once("secureConnect", () =>
        resolve(`${socket.getProtocol()} ${socket.getCipher().name}`),
      );
      socket.once("error", () => resolve(undefined));
    });
    socket.destroy();
    return outcome;
  };
  const weak = "@SECLEVEL=0";

  it("is TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, by default", async () => {
    await serve(`tls_server_config:\n${pair}`);
    for (const version of ["TLSv1", "TLSv1.1"] as const) {
      const only = { minVersion: version, maxVersion: version, ciphers: `ALL:${weak}` };
      expect(await offered(only)).toBeUndefined();
    }
    expect(await offered({})).toBe("TLSv1.3 TLS_AES_128_GCM_SHA256");
    const tls12 = { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" };
    expect(await offered(tls12)).toBe("TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256");
    for (const ciphers of [
      "kRSA",
      "SHA1",
      "SHA256",
      "SHA384",
      "aNULL",
      "eNULL",
      "PSK",
      "kDHE",
      "CAMELLIA",
      "ARIA",
      "AESCCM",
    ]) {
      const list = `${ciphers}:-AESGCM:-CHACHA20:${weak}`;
      expect(await offered({ ...tls12, ciphers: list }), list).toBeUndefined();
    }
  });

  it("follows min_version, max_version, cipher_suites and curve_preferences", async () => {
    await serve(
      `tls_server_config:\n${pair}  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  curve_preferences: [CurveP384]\n`,
    );
    expect(await offered({ minVersion: "TLSv1.3" })).toBeUndefined();
    expect(
      await offered({ ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305" }),
    ).toBe("TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305");
    expect(await offered({ ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" })).toBeUndefined();
    expect(await offered({ ecdhCurve: "P-256:P-384" })).toBeDefined();
    expect(await offered({ ecdhCurve: "P-256" })).toBeUndefined();
  });

  it("include TLS 1.0 only if configured", async () => {
    await serve(`tls_server_config:\n${pair}  min_version: TLS10\n`);
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: `ALL:${weak}` };
    expect(await offered(old)).toMatch(/^TLSv1 ECDHE-ECDSA-AES/);
  });

  it("has no compression and no insecure renegotiation, says openssl", async () => {
    await serve(`tls_server_config:\n${pair}`);
    const { host } = new URL(exporter?.url as string);
    const child = spawn(openssl.path as string, ["s_client", "-connect", host, "-tls1_2"]);
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
      if (said.includes("Verify return code")) child.stdin.end("R\n");
    });
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    await once(child, "close");
    expect(said).toContain("Compression: NONE");
    expect(said).toContain("Secure Renegotiation IS supported");
  });
});

describe.skipIf(openssl.path === undefined)("client certificates", () => {
  const accepts = async () => ({
    none: statusOf(await ask()),
    known: statusOf(await ask("/metrics", client())),
    foreign: statusOf(await ask("/metrics", client("foreign"))),
  });
  const refused = expect.stringMatching(/^(ECONNRESET|EPIPE|ERR_SSL_\w+|socket hang up)$/);

  it("are asked for as the type says, as the file has it now, from the laxest to the strictest", async () => {
    const types = [
      ["NoClientCert", "", { none: 200, known: 200, foreign: 200 }],
      ["RequestClientCert", "client_ca_file: ca.pem", { none: 200, known: 200, foreign: 200 }],
      [
        "VerifyClientCertIfGiven",
        "client_ca_file: ca.pem",
        { none: 200, known: 200, foreign: refused },
      ],
      [
        "RequireAnyClientCert",
        "client_ca_file: ca.pem",
        { none: refused, known: 200, foreign: 200 },
      ],
      ["RequireClientCert", "", { none: refused, known: 200, foreign: 200 }],
      [
        "RequireAndVerifyClientCert",
        "client_ca_file: ca.pem",
        { none: refused, known: 200, foreign: refused },
      ],
      ["RequireAndVerifyClientCert", "", { none: refused, known: refused, foreign: refused }],
    ] as const;
    await serve(`tls_server_config:\n${pair}`);
    for (const [type, ca, expected] of types) {
      const config = `tls_server_config:\n${pair}  client_auth_type: ${type}\n  ${ca}\n`;
      put("web.yml", config);
      expect(await accepts(), `${type} ${ca}`).toEqual(expected);
    }
  });

  it("need one of client_allowed_sans", async () => {
    const names = [
      ["prometheus.example.org", 200],
      ["ops@example.org", 200],
      ["10.1.2.3", 200],
      ["2001:db8::1", 200],
      ["spiffe://example.org/prometheus", 200],
      ["example.org", refused],
      ["client", refused],
    ] as const;
    await serve(`tls_server_config:\n${verified}`);
    for (const [name, expected] of names) {
      put("web.yml", `tls_server_config:\n${verified}  client_allowed_sans: ["${name}"]\n`);
      expect(statusOf(await ask("/metrics", client())), name).toEqual(expected);
    }
  });

  it("are verified by the CA currently in the file", async () => {
    await serve(`tls_server_config:\n${verified}`);
    const options = { ca: read("ca.pem") };
    put("ca.pem", read("foreign-ca.pem"));
    expect(statusOf(await ask("/metrics", { ...options, ...client("foreign") }))).toBe(200);
    expect(statusOf(await ask("/metrics", { ...options, ...client() }))).toEqual(refused);
  });
});

describe.skipIf(openssl.path === undefined)("changes while it runs", () => {
  const serial = async () => {
    const { port } = new URL(exporter?.url as string);
    const socket = connect({ host: "127.0.0.1", port: Number(port), ca: read("ca.pem") });
    await once(socket, "secureConnect");
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };

  it("the next client gets a new certificate; an incomplete renewal changes nothing and is logged once", async () => {
    const { log } = await serve(`tls_server_config:\n${pair}`);
    const first = await serial();
    const keys = { cert: read("server.pem"), key: read("server.key") };
    issue(directory.path, "server", "ca", "DNS:localhost,IP:127.0.0.1");
    const renewed = { cert: read("server.pem"), key: read("server.key") };
    put("server.key", keys.key);
    expect([await serial(), await serial(), await serial()]).toEqual([first, first, first]);
    expect(log().match(/certificate is invalid/g)).toHaveLength(1);
    expect(log()).toContain("does not match cert_file");
    put("server.key", renewed.key);
    const second = await serial();
    expect(second).not.toBe(first);
    expect(log().match(/certificate is valid again/g)).toHaveLength(1);
  });

  it("an invalid file answers 500 and is logged once, until it is valid again", async () => {
    const { log } = await serve(`tls_server_config:\n${pair}${alice}`);
    const auth = { auth: "alice:secret" };
    expect(statusOf(await ask("/metrics", auth))).toBe(200);
    put("web.yml", "basic_auth_user: {}\n");
    for (let count = 0; count < 3; count++) {
      expect(statusOf(await ask("/-/healthy", auth))).toBe(500);
    }
    expect(log().match(/web configuration is invalid/g)).toHaveLength(1);
    rmSync(path("web.yml"));
    expect(statusOf(await ask("/-/healthy", auth))).toBe(500);
    put("web.yml", `tls_server_config:\n${pair}${alice}`);
    expect(statusOf(await ask("/-/healthy", auth))).toBe(200);
    expect(log().match(/web configuration is valid again/g)).toHaveLength(1);
  });

  it("a removed user is refused at once", async () => {
    await serve(`tls_server_config:\n${pair}${alice}  bob: ${hash}\n`);
    const bob = { auth: "bob:secret" };
    expect(statusOf(await ask("/metrics", bob))).toBe(200);
    put("web.yml", `tls_server_config:\n${pair}${alice}`);
    expect(statusOf(await ask("/metrics", bob))).toBe(401);
  });
});

describe.skipIf(openssl.path === undefined)("passwords", () => {
  it("are asked for on every path", async () => {
    await serve(`tls_server_config:\n${pair}${alice}`);
    const paths = [
      "/",
      "/metrics",
      "/-/healthy",
      "/-/ready",
      "/api/v1/kills",
      "/kills/x",
      "/nowhere",
      "/%",
    ];
    for (const pathname of paths) {
      const answer = (await ask(pathname)) as Answer;
      expect(answer.status, pathname).toBe(401);
      expect(answer.headers["www-authenticate"]).toMatch(/^Basic /);
    }
    for (const auth of ["alice:wrong", "bob:secret", ":", "alice:", ":secret"]) {
      expect(statusOf(await ask("/metrics", { auth })), auth).toBe(401);
    }
    for (const authorization of ["Bearer a", "Basic", "Basic !", "Basic YQ=="]) {
      expect(statusOf(await ask("/metrics", { headers: { authorization } }))).toBe(401);
    }
    expect(statusOf(await ask("/metrics", { auth: "alice:secret" }))).toBe(200);
  });

  it("work without TLS, and do not block the page while one is being checked", async () => {
    const slow = hashSync("slow", 10);
    const { url } = await serve(`basic_auth_users:\n  alice: ${hash}\n  slow: ${slow}\n`);
    const get = async (user: string, password: string) =>
      (
        await fetch(`${url}/-/healthy`, {
          headers: {
            authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
          },
        })
      ).status;
    expect(url).toMatch(/^http:/);
    expect(await get("alice", "secret")).toBe(200);
    const wrong = Array.from({ length: 20 }, (_, index) => get("slow", `wrong ${index}`));
    let done = 0;
    for (const each of wrong) void each.then(() => done++);
    // Known by now: it waits for none of them.
    expect(await get("alice", "secret")).toBe(200);
    expect(done).toBeLessThan(20);
    expect(await Promise.all(wrong)).toEqual(Array(20).fill(401));
  });
});

it("headers in the configuration replace the exporter's own, and empty ones remove them", async () => {
  const { url } = await serve(
    "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n    Content-Security-Policy: ''\n    Strict-Transport-Security: max-age=1\n",
  );
  const { headers } = await fetch(`${url}/`);
  expect(headers.get("x-frame-options")).toBe("sameorigin");
  expect(headers.get("content-security-policy")).toBeNull();
  expect(headers.get("strict-transport-security")).toBe("max-age=1");
  expect(headers.get("x-content-type-options")).toBe("nosniff");
});

it("a rate limit answers 429 beyond the burst", async () => {
  const { url } = await serve("rate_limit:\n  interval: 1h\n  burst: 3\n");
  const statuses: number[] = [];
  for (let count = 0; count < 5; count++) statuses.push((await fetch(`${url}/-/healthy`)).status);
  expect(statuses).toEqual([200, 200, 200, 429, 429]);
});

describe("--web.systemd-socket", () => {
  it("listens on the socket passed by systemd", async () => {
    const socket = createServer().listen(0, "127.0.0.1");
    await once(socket, "listening");
    const { port } = socket.address() as AddressInfo;
    const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
    const main = new URL("../../dist/oom-exporter.mjs", import.meta.url).pathname;
    const command = `LISTEN_PID=$$ LISTEN_FDS=1 exec ${process.execPath} ${main} --web.systemd-socket --state.directory=${directory.path} ${hostFlags.join(" ")}`;
    const child = spawn("sh", ["-c", command], { stdio: ["ignore", "pipe", "ignore", fd] });
    try {
      const [line] = await once(child.stdout as NodeJS.ReadableStream, "data");
      expect(String(line)).toContain(`serves http://127.0.0.1:${port} `);
      socket.close();
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      expect(sampleOf(text, "oom_exporter_refused_connections_total")).toBe(0);
    } finally {
      child.kill();
      await once(child, "exit");
    }
  });

  it("fails with one line if systemd passed none", async () => {
    await expect(startExporter([...hostFlags, "--web.systemd-socket"])).rejects.toThrow(
      /systemd passed no sockets; start the \.socket unit/,
    );
  });
});

describe.skipIf(openssl.path === undefined || prometheus.path === undefined)("Prometheus", () => {
  it("scrapes over TLS with a client certificate and a password", async () => {
    const { url } = await serve(`tls_server_config:\n${verified}${alice}`);
    const blocker = createServer().listen(0, "127.0.0.1");
    await once(blocker, "listening");
    const { port } = blocker.address() as AddressInfo;
    blocker.close();
    writeFileSync(
      path("prometheus.yml"),
      JSON.stringify({
        global: { scrape_interval: "1s", scrape_timeout: "1s" },
        scrape_configs: [
          {
            job_name: "oom-exporter",
            honor_labels: true,
            scheme: "https",
            basic_auth: { username: "alice", password: "secret" },
            tls_config: { ca_file: "ca.pem", cert_file: "client.pem", key_file: "client.key" },
            static_configs: [{ targets: [new URL(url).host] }],
          },
        ],
      }),
    );
    const child = spawn(
      prometheus.path as string,
      [
        `--config.file=${path("prometheus.yml")}`,
        `--storage.tsdb.path=${path("data")}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: "ignore" },
    );
    try {
      await eventually(
        "Prometheus has scraped",
        async () => {
          const query = `http://127.0.0.1:${port}/api/v1/query?query=up`;
          const answer = await fetch(query).catch(() => undefined);
          if (answer?.status !== 200) return undefined;
          const body = (await answer.json()) as { data: { result: { value: [number, string] }[] } };
          return body.data.result[0]?.value[1] === "1";
        },
        30_000,
      );
    } finally {
      child.kill();
      await once(child, "exit");
    }
  });
});

describe.skipIf(openssl.path === undefined || chromiumObstacle !== undefined)("Chromium", () => {
  it("shows the page over TLS with a client certificate and a password", async () => {
    const { url } = await serve(`tls_server_config:\n${verified}${alice}`);
    const browser = await startChromium();
    try {
      const context = await browser.newContext({
        ignoreHTTPSErrors: true,
        httpCredentials: { username: "alice", password: "secret" },
        clientCertificates: [
          { origin: url, certPath: path("client.pem"), keyPath: path("client.key") },
        ],
      });
      const page = await context.newPage();
      const answer = await page.goto(`${url}/`);
      expect(answer?.status()).toBe(200);
      expect(await page.textContent("h1")).not.toBe("");
      const stranger = await browser.newContext({ ignoreHTTPSErrors: true });
      await expect((await stranger.newPage()).goto(`${url}/`)).rejects.toThrow(/ERR_/);
    } finally {
      await browser.close();
    }
  }, 400_000);
});
