import { Agent, createServer, get, type IncomingMessage } from "node:http";
import { type AddressInfo, createConnection } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { Connections } from "../../src/http/connections.ts";
import { ListenError } from "../../src/http/listen-error.ts";
import {
  type ListenAddress,
  type Listeners,
  listen as listenWith,
  parseListenAddress,
  type RequestHandler,
} from "../../src/http/listeners.ts";

describe("parseListenAddress", () => {
  it.each([
    [":10137", { port: 10137 }],
    ["127.0.0.1:9", { host: "127.0.0.1", port: 9 }],
    ["[::1]:10137", { host: "::1", port: 10137 }],
    ["[fe80::1%eth0]:1", { host: "fe80::1%eth0", port: 1 }],
    ["monitoring.example.org:65535", { host: "monitoring.example.org", port: 65535 }],
    [":0", { port: 0 }],
  ])("reads %s", (text, address) => {
    expect(parseListenAddress(text)).toEqual(address);
  });

  it.each([
    "10137",
    "",
    "localhost",
    "localhost:",
    "::1:80",
    ":65536",
    ":-1",
    "[::1]",
    "a b:1",
    "http://a:1",
  ])("refuses %s", (text) => {
    expect(parseListenAddress(text)).toMatch(/^must be HOST:PORT/);
  });

  it("never throws", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(["string", "object"]).toContain(typeof parseListenAddress(text));
      }),
    );
  });
});

let open: Listeners | undefined;
const agent = new Agent({ keepAlive: true });

afterEach(async () => {
  agent.destroy();
  await open?.close();
  open = undefined;
});

const listen = (addresses: ListenAddress[], handler: RequestHandler, options = {}) =>
  listenWith(addresses, handler, {
    connections: new Connections({ monotonicMs: () => performance.now() }),
    ...options,
  });

const local: ListenAddress = { host: "127.0.0.1", port: 0 };
const hello: RequestHandler = (_request, response) => response.end("hello");
/** Longer than a test may take: one that waits for it fails. */
const neverMs = 24 * 3_600_000;

function fetchText(url: string): Promise<{ text: string; headers: IncomingMessage["headers"] }> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () => resolve({ text, headers: response.headers }));
      response.on("error", reject);
    }).on("error", reject);
  });
}

describe("listen", () => {
  it("serves one handler on several addresses and lists them", async () => {
    open = await listen([local, local, { port: 0 }], hello);
    expect(open.urls).toHaveLength(3);
    expect(open.urls[0]).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(open.urls[2]).toMatch(/^http:\/\/(\[::\]|0\.0\.0\.0):\d+ \(every interface\)$/);
    for (const url of open.urls) {
      const { port } = new URL(url.split(" ")[0] as string);
      expect((await fetchText(`http://127.0.0.1:${port}`)).text).toBe("hello");
    }
  });

  it("says in one line how to find the process that uses the port", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as AddressInfo;
    const failure = await listen([local, { host: "127.0.0.1", port }], hello).catch(
      (error) => error,
    );
    taken.close();
    expect(failure).toBeInstanceOf(ListenError);
    expect(failure.message).toBe(
      `cannot listen on 127.0.0.1:${port}: another process is using it (find it with ss -ltnp "sport = :${port}"); stop it or choose another --web.listen-address`,
    );
  });

  it("says in one line that no interface has the address", async () => {
    await expect(listen([{ host: "192.0.2.1", port: 0 }], hello)).rejects.toThrow(
      /^cannot listen on 192\.0\.2\.1:0: no interface of this machine has that address/,
    );
  });
});

describe("close", () => {
  it("lets a request in flight finish, closes its connection, and takes no new one", async () => {
    let finish = () => {};
    let asked = () => {};
    const arrived = new Promise<void>((resolve) => {
      asked = resolve;
    });
    open = await listen([local], (_request, response) => {
      finish = () => response.end("done");
      asked();
    });
    const url = open.urls[0] as string;
    const answer = fetchText(url);
    await arrived;
    const closed = open.close();
    // The kernel may have accepted others before: they are let in first.
    for (let turn = 0; turn < 3; turn++) await nextTurn();
    await expect(fetchText(url)).rejects.toThrow(/ECONNREFUSED/);
    finish();
    const { text, headers } = await answer;
    expect(text).toBe("done");
    expect(headers.connection).toBe("close");
    await closed;
    open = undefined;
  });

  it("does not wait for connections that are kept alive", async () => {
    open = await listen([local], hello, { graceMs: neverMs });
    await fetchText(open.urls[0] as string);
    await open.close();
    open = undefined;
  });

  it("does not wait for connections that were opened and never used", async () => {
    open = await listen([local], hello, { graceMs: neverMs });
    const { port } = new URL(open.urls[0] as string);
    const silent = createConnection(Number(port), "127.0.0.1").on("error", () => {});
    await new Promise((resolve) => silent.once("connect", resolve));
    await open.close();
    open = undefined;
  });

  it("cuts off requests that are unfinished after the grace period", async () => {
    let asked = () => {};
    const arrived = new Promise<void>((resolve) => {
      asked = resolve;
    });
    open = await listen([local], () => asked(), { graceMs: 20 });
    const stuck = fetchText(open.urls[0] as string).catch((error: Error) => error.message);
    await arrived;
    await open.close();
    expect(await stuck).toMatch(/socket hang up|ECONNRESET/);
    open = undefined;
  });
});
