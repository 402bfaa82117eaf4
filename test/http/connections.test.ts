import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2, createServer } from "node:http2";
import { createConnection, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Connections } from "../../src/http/connections.ts";
import {
  type Listeners,
  listen,
  type RequestHandler,
  type ServerFactory,
} from "../../src/http/listeners.ts";

let nowMs: number;
let refused: number;
let events: object[];
let connections: Connections;
let open: Listeners;
let clients: Socket[];
let sessions: ClientHttp2Session[];

beforeEach(() => {
  nowMs = 0;
  refused = 0;
  events = [];
  clients = [];
  sessions = [];
  connections = new Connections({
    limit: 16,
    silentLimit: 16,
    monotonicMs: () => nowMs,
    onRefused: () => {
      refused++;
    },
    onCrowded: (event) => events.push(event),
  });
});

afterEach(async () => {
  for (const client of [...clients, ...sessions]) client.destroy();
  await open.close();
});

/** Long enough that the kernel cannot take all of it for a client that does not read. */
const large = Buffer.alloc(64 * 1024 * 1024);
const answer: RequestHandler = (request, response) =>
  response.end(request.url === "/large" ? large : "hello");

async function serve(handler = answer, factory?: ServerFactory): Promise<void> {
  const address = { host: "127.0.0.1", port: 0 };
  open = await listen([address], handler, { connections, graceMs: 0, factory });
}

/** By HTTP/2, with a request for an answer of which it allows no bytes. */
async function connectWithoutWindow(): Promise<void> {
  const session = connectHttp2(open.urls[0] as string, { settings: { initialWindowSize: 0 } });
  session.on("error", () => {});
  session.request({ ":path": "/" }).on("error", () => {});
  sessions.push(session);
  await once(session, "connect");
}

/** @param from address of the loopback network that it comes from */
async function connect(from = "127.0.0.1", request = ""): Promise<Socket> {
  const port = Number(new URL(open.urls[0] as string).port);
  const client = createConnection({ host: "127.0.0.1", port, localAddress: from });
  client.on("error", () => {});
  clients.push(client);
  await once(client, "connect");
  if (request !== "") client.write(`GET ${request} HTTP/1.1\r\nHost: a\r\n\r\n`);
  return client;
}

async function scrape(from?: string): Promise<string> {
  const client = await connect(from, "/");
  const [data] = await once(client, "data");
  return String(data).split("\r\n")[0] as string;
}

const isOpen = (client: Socket) => !client.destroyed && client.readyState === "open";
const settled = (most = 16) => expect.poll(() => connections.size).toBeLessThanOrEqual(most);

describe("connections", () => {
  it("keeps room for an honest client, however many say nothing", async () => {
    await serve();
    for (let count = 0; count < 60; count++) await connect(`127.0.0.${2 + (count % 20)}`);
    expect(await scrape()).toBe("HTTP/1.1 200 OK");
    await settled(17);
    expect(refused).toBeGreaterThanOrEqual(60 - 16);
    expect(events).toEqual([{ began: true }]);
  });

  it("closes the oldest without a request in flight first", async () => {
    let finish = () => {};
    await serve((_request, response) => {
      finish = () => response.end("done");
    });
    const busy = await connect("127.0.0.1", "/");
    await expect.poll(() => [...connections.responses()].length).toBe(1);
    const oldest = await connect("127.0.0.2");
    const others: Socket[] = [];
    for (let count = 0; count < 16; count++) others.push(await connect(`127.0.0.${3 + count}`));
    await once(oldest, "close");
    await settled(17);
    expect([busy, ...others].map(isOpen)).toEqual(Array(17).fill(true));
    finish();
    expect(String((await once(busy, "data"))[0])).toContain("done");
  });

  it("limits only the idle ones of one address above three quarters of the limit", async () => {
    await serve();
    const first = await connect("127.0.0.9");
    for (let count = 0; count < 12; count++) await connect("127.0.0.1");
    await expect.poll(() => connections.size).toBe(12);
    expect(refused).toBe(1);
    expect(isOpen(first)).toBe(true);
    // A proxy's requests in flight are never bounded.
    expect(await scrape("127.0.0.1")).toBe("HTTP/1.1 200 OK");
  });

  it("closes one without a request within 10 s", async () => {
    await serve();
    const silent = await connect();
    await expect.poll(() => connections.size).toBe(1);
    nowMs = 10_001;
    connections.look();
    await once(silent, "close");
    expect(refused).toBe(0);
  });

  it("treats a client that reads nothing of its answer for a second as idle", async () => {
    await serve();
    for (let count = 0; count < 16; count++) {
      (await connect(`127.0.0.${2 + count}`, "/large")).pause();
    }
    await expect.poll(() => [...connections.responses()].length).toBe(16);
    // Until the kernel takes no more of any of them.
    let before = "";
    await expect
      .poll(() => {
        const unsent = [...connections.responses()].map(({ socket }) => socket?.writableLength);
        const now = unsent.join();
        const isSame = now === before && !unsent.includes(0);
        before = now;
        return isSame;
      })
      .toBe(true);
    connections.look();
    connections.look();
    expect(await scrape("127.0.0.1")).toBe("HTTP/1.1 200 OK");
    await expect.poll(() => refused).toBe(1);
  });

  it("treats an HTTP/2 client that allows no bytes of its answer as idle", async () => {
    await serve(answer, { scheme: "http", create: (handler) => createServer({}, handler) });
    for (let count = 0; count < 16; count++) await connectWithoutWindow();
    await expect.poll(() => [...connections.responses()].length).toBe(16);
    connections.look();
    connections.look();
    const session = connectHttp2(open.urls[0] as string);
    sessions.push(session);
    const [headers] = await once(session.request({ ":path": "/" }), "response");
    expect(headers[":status"]).toBe(200);
    await expect.poll(() => refused).toBeGreaterThan(0);
  });

  it("refuses clients that have not read their answers before those that wait for one", async () => {
    let finish = () => {};
    await serve((request, response) => {
      if (request.url === "/large") response.end(large);
      else finish = () => response.end("done");
    });
    for (let count = 0; count < 16; count++) {
      nowMs++;
      (await connect("127.0.0.1", "/large")).pause();
    }
    await expect.poll(() => [...connections.responses()].length).toBe(16);
    const working = await connect("127.0.0.1", "/");
    await expect.poll(() => refused).toBe(1);
    finish();
    expect(String((await once(working, "data"))[0])).toContain("done");
  });

  it("refuses the newest if all others have requests in flight", async () => {
    await serve(() => {});
    for (let count = 0; count < 16; count++) await connect("127.0.0.1", "/");
    await expect.poll(() => [...connections.responses()].length).toBe(16);
    const late = await connect("127.0.0.1", "/");
    await once(late, "close");
    expect(refused).toBe(1);
    expect(clients.filter(isOpen)).toHaveLength(16);
  });

  it("keeps room for an honest client, however many begin a request and do not finish it", async () => {
    await serve();
    for (let count = 0; count < 60; count++) {
      (await connect(`127.0.0.${2 + (count % 20)}`)).write("GET / HTTP/1.1\r\n");
    }
    expect(await scrape()).toBe("HTTP/1.1 200 OK");
    await settled();
    expect(refused).toBeGreaterThanOrEqual(60 - 16);
  });

  it("does not close those that have sent something because of many that have not", async () => {
    await serve();
    const kept = await connect("127.0.0.9", "/");
    await once(kept, "data");
    for (let count = 0; count < 60; count++) await connect();
    await settled(17);
    kept.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(String((await once(kept, "data"))[0])).toContain("200 OK");
  });

  it("lives through a client that resets its connection before it sends anything", async () => {
    await serve();
    const client = await connect();
    await expect.poll(() => connections.size).toBe(1);
    client.resetAndDestroy();
    await expect.poll(() => connections.size).toBe(0);
    expect(await scrape()).toBe("HTTP/1.1 200 OK");
  });

  it("keeps fewer silent ones where descriptors are scarce", async () => {
    connections = new Connections({ monotonicMs: () => nowMs, maxDescriptors: 32 });
    await serve();
    for (let count = 0; count < 12; count++) await connect(`127.0.0.${2 + count}`);
    await expect.poll(() => connections.size).toBe(8);
  });

  it("says when it begins and, after a minute without, that it is over", async () => {
    await serve();
    for (let count = 0; count < 40; count++) await connect();
    await expect.poll(() => connections.size).toBeLessThanOrEqual(12);
    nowMs = 60_000;
    connections.look();
    expect(events).toEqual([{ began: true }]);
    nowMs = 60_001;
    connections.look();
    connections.look();
    expect(events).toEqual([{ began: true }, { began: false, refused }]);
  });

  it("forgets those that are gone", async () => {
    await serve();
    const client = await connect();
    await scrape();
    await expect.poll(() => connections.size).toBe(2);
    for (const each of [client, ...clients]) each.destroy();
    await expect.poll(() => connections.size).toBe(0);
    await nextTurn();
    expect([...connections.responses()]).toEqual([]);
  });
});

it("closes none of 2,000 silent connections, which would only come back", async () => {
  connections = new Connections({
    monotonicMs: () => nowMs,
    onRefused: () => {
      refused++;
    },
  });
  await serve();
  await Promise.all(Array.from({ length: 2000 }, () => connect()));
  await expect.poll(() => connections.size).toBe(2000);
  expect(await scrape()).toBe("HTTP/1.1 200 OK");
  expect(refused).toBe(0);
});

it("lets an honest client in that comes in the middle of a flood", async () => {
  await serve();
  const before = Promise.all(Array.from({ length: 200 }, () => connect()));
  const honest = scrape();
  const after = Promise.all(Array.from({ length: 200 }, () => connect()));
  expect(await honest).toBe("HTTP/1.1 200 OK");
  await before;
  await after;
  await settled();
});
