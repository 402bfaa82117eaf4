import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, createServer as createNetServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { check } from "../../src/commands/check.ts";
import { makeCertificates, openssl } from "../setup/certificates.ts";
import { temporaryDirectory } from "../setup/exporter-process.ts";
import { needs } from "../setup/needs.ts";

let servers: Server[];

beforeEach(() => {
  servers = [];
});

afterEach(() => {
  for (const server of servers) server.close();
});

async function listening(server: Server, host = "127.0.0.1"): Promise<number> {
  servers.push(server);
  server.listen(0, host);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Answers with these statuses, one after the other, and then with the last of them. */
function answering(...statuses: number[]) {
  const asked: string[] = [];
  const listener: RequestListener = ({ url = "" }, response) => {
    const status = statuses[Math.min(asked.length, statuses.length - 1)] as number;
    asked.push(url);
    response.writeHead(status).end();
  };
  return { asked, listener };
}

interface Asked {
  env?: Record<string, string>;
  /** What the clock shows, call by call. */
  seconds?: number[];
}

async function checked(flags: string[], { env = {}, seconds = [0] }: Asked = {}) {
  let said = "";
  let calls = 0;
  const code = await check(["--check", ...flags], {
    stderr: {
      write: (text) => {
        said += text;
      },
    },
    env,
    monotonicMs: () => (seconds[Math.min(calls++, seconds.length - 1)] as number) * 1000,
  });
  return { code, said };
}

describe("oom-exporter --check", () => {
  it.each([200, 401, 404, 429])("treats an answer of %d as healthy", async (status) => {
    const { asked, listener } = answering(status);
    const port = await listening(createServer(listener));
    expect(await checked([`--web.listen-address=127.0.0.1:${port}`])).toEqual({
      code: 0,
      said: "",
    });
    expect(asked).toEqual(["/-/healthy"]);
  });

  it("shows the answer of an unhealthy exporter", async () => {
    const port = await listening(createServer(answering(503).listener));
    expect(await checked([`--web.listen-address=127.0.0.1:${port}`])).toEqual({
      code: 1,
      said: `oom-exporter: not healthy: http://127.0.0.1:${port}/-/healthy answers 503\n`,
    });
  });

  it("says why nothing answers", async () => {
    const server = createServer();
    const port = await listening(server);
    server.close();
    await once(server, "close");
    const { code, said } = await checked([`--web.listen-address=127.0.0.1:${port}`]);
    expect(code).toBe(1);
    expect(said).toMatch(/^oom-exporter: not healthy: .*ECONNREFUSED.*\n$/);
  });

  it("is not content with a server that closes the connection", async () => {
    const port = await listening(createNetServer((socket) => socket.destroy()));
    expect((await checked([`--web.listen-address=127.0.0.1:${port}`])).code).toBe(1);
  });

  it.each(["", "0.0.0.0"])("asks on loopback if the exporter listens on %j", async (host) => {
    const port = await listening(createServer(answering(200).listener));
    expect((await checked([`--web.listen-address=${host}:${port}`])).code).toBe(0);
  });

  it("refuses what serve refuses", async () => {
    await expect(checked(["--web.listn-address=:1"])).rejects.toThrow(
      "unknown flag --web.listn-address; did you mean --web.listen-address?",
    );
  });
});

describe("--check.wait", () => {
  it("asks until the exporter is ready", async () => {
    const { asked, listener } = answering(503, 503, 200);
    const port = await listening(createServer(listener));
    const flags = [`--web.listen-address=127.0.0.1:${port}`, "--check.wait=30"];
    expect(await checked(flags)).toEqual({ code: 0, said: "" });
    expect(asked).toEqual(["/-/ready", "/-/ready", "/-/ready"]);
  });

  it("ends when the time is over", async () => {
    const port = await listening(createServer(answering(503).listener));
    const flags = [`--web.listen-address=127.0.0.1:${port}`, "--check.wait=30"];
    expect(await checked(flags, { seconds: [0, 29, 30] })).toEqual({
      code: 1,
      said: `oom-exporter: not ready: http://127.0.0.1:${port}/-/ready answers 503\n`,
    });
  });

  it("ends as soon as the service's main process has ended, even if something answers at its address", async () => {
    const ended = spawn("true");
    await once(ended, "exit");
    const port = await listening(createServer(answering(200).listener));
    const flags = [`--web.listen-address=127.0.0.1:${port}`, "--check.wait=30"];
    expect(await checked(flags, { env: { MAINPID: `${ended.pid}` } })).toEqual({
      code: 1,
      said: `oom-exporter: not ready: process ${ended.pid} has ended\n`,
    });
    expect((await checked(flags, { env: { MAINPID: `${process.pid}` } })).code).toBe(0);
  });

  it("refuses after the main process, so that systemd sees that one's exit code", async () => {
    const main = spawn("cat", { stdio: ["pipe", "ignore", "ignore"] });
    const events: string[] = [];
    const ends = once(main, "exit").then(() => events.push("main has ended"));
    const refuses = expect(
      checked(["--web.listn-address=:1"], { env: { MAINPID: `${main.pid}` } }).catch((error) => {
        events.push("refused");
        throw error;
      }),
    ).rejects.toThrow("unknown flag --web.listn-address");
    main.stdin?.end();
    await Promise.all([ends, refuses]);
    expect(events).toEqual(["main has ended", "refused"]);
  });
});

needs(describe, openssl.obstacle)("--check with --web.config.file", () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  const path = (name: string) => join(directory.path, name);
  const tls = "tls_server_config: { cert_file: server.pem, key_file: server.key }\n";

  beforeAll(() => {
    directory = temporaryDirectory();
    makeCertificates(directory.path);
  });

  afterAll(() => directory.remove());

  async function flagsFor(config: string, server: Server): Promise<string[]> {
    writeFileSync(path("web.yml"), config);
    const port = await listening(server);
    return [`--web.listen-address=127.0.0.1:${port}`, `--web.config.file=${path("web.yml")}`];
  }

  const pair = () => ({
    cert: readFileSync(path("server.pem")),
    key: readFileSync(path("server.key")),
  });

  it("asks over TLS and does not verify the certificate", async () => {
    const server = createSecureServer(pair(), answering(200).listener);
    expect(await checked(await flagsFor(tls, server))).toEqual({ code: 0, said: "" });
  });

  it.each(["TLSv1.2", "TLSv1.3"] as const)(
    "treats a request for a client certificate as healthy, in %s",
    async (version) => {
      const demand = { requestCert: true, rejectUnauthorized: true, ca: pair().cert };
      const versions = { minVersion: version, maxVersion: version };
      const server = createSecureServer(
        { ...pair(), ...demand, ...versions },
        answering(200).listener,
      );
      server.on("tlsClientError", () => {});
      expect(await checked(await flagsFor(tls, server))).toEqual({ code: 0, said: "" });
    },
  );

  it("uses plain HTTP if the file does not configure TLS", async () => {
    const flags = await flagsFor("basic_auth_users: {}\n", createServer(answering(401).listener));
    expect((await checked(flags)).code).toBe(0);
  });

  it("says what is wrong with the file", async () => {
    const flags = await flagsFor("tls_servr_config: {}\n", createServer(answering(200).listener));
    await expect(checked(flags)).rejects.toThrow(/web\.yml: .*tls_servr_config/);
  });
});
