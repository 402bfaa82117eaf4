import { createServer } from "node:http";
import { type AddressInfo, Server as NetServer, type Server } from "node:net";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { type AnyRequest, type AnyResponse, type Connections, keepAliveMs } from "./connections.ts";
import { ListenError } from "./listen-error.ts";

/** A listen address; without a host every interface, including IPv6 if the machine has it. */
export interface ListenAddress {
  host?: string;
  port: number;
}

/** An already listening socket, passed by systemd. */
export interface ListenDescriptor {
  fd: number;
}

export interface Listeners {
  /** One URL per address, with the actual port if 0 was given; marked if it covers every interface. */
  readonly urls: readonly string[];
  /** Stops listening, finishes accepted requests, and cuts off the rest after the grace period. */
  close(): Promise<void>;
}

/**
 * Parses `:10137`, `127.0.0.1:10137`, `[::1]:10137` or `name:10137`.
 *
 * @returns the address, or what is wrong with the text.
 */
export function parseListenAddress(text: string): ListenAddress | string {
  const match = /^(?:\[(?<ipv6>[^[\]\s/]+)\]|(?<host>[^:[\]\s/]*)):(?<port>\d{1,5})$/.exec(text);
  const port = Number(match?.groups?.port);
  if (match === null || port > 65535) {
    return "must be HOST:PORT, [IPV6]:PORT or :PORT, with a port up to 65535";
  }
  const host = match.groups?.ipv6 ?? match.groups?.host;
  return host ? { host, port } : { port };
}

/** How long a client may take to send its request, and to send the next one. */
export const timeouts = { requestTimeout: 10_000, keepAliveTimeout: keepAliveMs };

/**
 * Length of the accept queue, at most net.core.somaxconn. If it is full, the kernel drops a client's packet, and the
 * client sends the next one a second later.
 */
const backlog = 4096;

/** Creates a server other than plain HTTP. */
export interface ServerFactory {
  scheme: "http" | "https";
  create(handler: RequestHandler): HttpServer;
}

export type RequestHandler = (request: AnyRequest, response: AnyResponse) => void;

/** The common interface of `node:http`, `node:https` and `node:http2` servers. */
export interface HttpServer extends Server {
  keepAliveTimeout?: number;
  requestTimeout?: number;
}

export interface ListenOptions {
  connections: Connections;
  /** Plain HTTP where absent. */
  factory?: ServerFactory;
  /** How long requests in flight may take after `close`, milliseconds. */
  graceMs?: number;
}

const plain: ServerFactory = {
  scheme: "http",
  create: (handler) => createServer(timeouts, handler),
};

/**
 * Serves one request handler on every address.
 *
 * @throws {ListenError} if one of them cannot be used; then all are closed.
 */
export async function listen(
  addresses: readonly (ListenAddress | ListenDescriptor)[],
  handler: RequestHandler,
  { connections, factory = plain, graceMs = 5000 }: ListenOptions,
): Promise<Listeners> {
  const isClosing = { value: false };
  const open: { server: HttpServer; url: string }[] = [];
  const close = async () => {
    await letInWaiting(connections);
    isClosing.value = true;
    const closed = open.map(
      ({ server }) => new Promise((resolve) => stopAccepting(server, resolve)),
    );
    for (const response of connections.responses()) endAfter(response);
    const isDone = Promise.all(closed).then(() => true);
    const deadline = AbortSignal.timeout(graceMs);
    while (!(await Promise.race([isDone, delay(settleMs, false)]))) {
      // These turns read requests that have already arrived, however long the work before them took.
      await turns(2);
      connections.closeIdle();
      if (deadline.aborted) connections.closeAll();
    }
  };
  const serve: RequestHandler = (request, response) => {
    connections.begin(request, response);
    if (isClosing.value) endAfter(response);
    handler(request, response);
  };
  try {
    for (const address of addresses) {
      const server = factory.create(serve);
      connections.watch(server);
      open.push({ server, url: await listenOn(server, address, factory.scheme) });
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { urls: open.map(({ url }) => url), close };
}

/** How often shutdown checks whether all requests are finished. */
const settleMs = 20;

/** `close` of an HTTP server would cut off accepted connections whose request is still arriving. */
function stopAccepting(server: Server, done: (error?: Error) => void): void {
  NetServer.prototype.close.call(server, done);
}

/**
 * The kernel accepts connections before the program does, and resets those still queued when the socket is closed.
 * One turn of the event loop may accept only one.
 */
async function letInWaiting(connections: Connections): Promise<void> {
  for (let turn = 0; turn < backlog; turn++) {
    const { opened } = connections;
    await turns(2);
    if (connections.opened === opened) return;
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn();
}

/** Ends an HTTP/1 connection after this answer; HTTP/2 connections end when they are idle. */
function endAfter(response: AnyResponse): void {
  if ("shouldKeepAlive" in response) response.shouldKeepAlive = false;
}

function listenOn(
  server: HttpServer,
  address: ListenAddress | ListenDescriptor,
  scheme: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    // Stays registered: if a later connection cannot be accepted because descriptors have run out, only that
    // client is affected.
    server.on("error", (error: NodeJS.ErrnoException) => {
      reject(new ListenError(explain(error, address), { cause: error }));
    });
    server.listen({ backlog, ...address }, () => resolve(urlOf(server.address(), address, scheme)));
  });
}

function urlOf(
  bound: AddressInfo | string | null,
  asked: ListenAddress | ListenDescriptor,
  scheme: string,
): string {
  if (bound === null || typeof bound === "string") return `${scheme}+unix:${bound ?? ""}`;
  const host = "host" in asked && asked.host !== undefined ? asked.host : bound.address;
  const url = `${scheme}://${host.includes(":") ? `[${host}]` : host}:${bound.port}`;
  return isEveryInterface(bound.address) ? `${url} (every interface)` : url;
}

/** Whether an address is a wildcard address. */
export function isEveryInterface(host: string | undefined): boolean {
  return host === undefined || host === "0.0.0.0" || host === "::";
}

function explain(error: NodeJS.ErrnoException, address: ListenAddress | ListenDescriptor): string {
  if ("fd" in address) {
    return `cannot listen on descriptor ${address.fd} (${error.message}); the socket unit must use ListenStream=`;
  }
  const { host, port } = address;
  const where = `cannot listen on ${host?.includes(":") ? `[${host}]` : (host ?? "")}:${port}`;
  switch (error.code) {
    case "EADDRINUSE":
      return `${where}: another process is using it (find it with ss -ltnp "sport = :${port}"); stop it or choose another --web.listen-address`;
    case "EACCES":
      return `${where}: this user may not use the port; choose one above 1023 with --web.listen-address, or grant CAP_NET_BIND_SERVICE`;
    case "EADDRNOTAVAIL":
      return `${where}: no interface of this machine has that address (see ip addr); correct --web.listen-address`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `${where}: the host name does not resolve; correct --web.listen-address`;
    default:
      return `${where}: ${error.message}; correct --web.listen-address`;
  }
}
