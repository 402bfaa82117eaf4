import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** Where to listen; without a host on every interface, IPv6 included where the machine has it. */
export interface ListenAddress {
  host?: string;
  port: number;
}

/** An address that cannot be listened on; the message is one line for the user. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

export interface Listeners {
  /** One URL per address, with the port the system chose where it was given as 0. */
  readonly urls: readonly string[];
  /** Stops listening at once, lets requests in flight finish, and cuts off what is left after the grace. */
  close(): Promise<void>;
}

/**
 * Reads `:10137`, `127.0.0.1:10137`, `[::1]:10137` or `name:10137`.
 *
 * @returns the address, or what is wrong with the text.
 */
export function parseListenAddress(text: string): ListenAddress | string {
  const match = /^(?:\[(?<ipv6>[^[\]\s/]+)\]|(?<host>[^:[\]\s/]*)):(?<port>\d{1,5})$/.exec(text);
  const port = Number(match?.groups?.port);
  if (match === null || port > 65535) {
    return "want HOST:PORT, [IPV6]:PORT or :PORT, with a port up to 65535";
  }
  const host = match.groups?.ipv6 ?? match.groups?.host;
  return host ? { host, port } : { port };
}

/** How long a client may take to send its request. */
const requestTimeoutMs = 10_000;

/**
 * Longer than common scrape intervals, so that Prometheus keeps its connection from scrape to
 * scrape instead of finding it closed in the moment it is used again.
 */
const keepAliveMs = 75_000;

/** More clients than this are not answered: each costs memory on a machine that may have none. */
const maxConnections = 512;

/**
 * Serves one request handler on every address.
 *
 * @throws {ListenError} if one of them cannot be had; then none is kept.
 */
export async function listen(
  addresses: readonly ListenAddress[],
  handler: RequestListener,
  { graceMs = 1500 } = {},
): Promise<Listeners> {
  const open: OpenListener[] = [];
  const close = async () => {
    await Promise.all(open.map((listener) => closeGracefully(listener, graceMs)));
  };
  try {
    for (const address of addresses) {
      open.push(await listenOn(address, handler));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { urls: open.map(({ url }) => url), close };
}

/** A connection on which no request has come by then, after the end is known, brings none. */
const silenceMs = 100;

interface OpenListener {
  server: Server;
  sockets: Set<Socket>;
  inFlight: Set<ServerResponse>;
  url: string;
}

function listenOn(address: ListenAddress, handler: RequestListener): Promise<OpenListener> {
  const inFlight = new Set<ServerResponse>();
  const sockets = new Set<Socket>();
  const server = createServer(
    { keepAliveTimeout: keepAliveMs, requestTimeout: requestTimeoutMs },
    (request, response) => {
      inFlight.add(response);
      response.once("close", () => inFlight.delete(response));
      handler(request, response);
    },
  );
  server.maxConnections = maxConnections;
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return new Promise((resolve, reject) => {
    // Stays in place: when a later connection cannot be accepted, for want of descriptors, only
    // that client is harmed.
    server.on("error", (error: NodeJS.ErrnoException) => {
      reject(new ListenError(explain(error, address), { cause: error }));
    });
    server.listen(address, () => {
      const { port } = server.address() as AddressInfo;
      resolve({ server, sockets, inFlight, url: urlOf({ ...address, port }) });
    });
  });
}

/**
 * After `server.close()` Node still keeps a connection open for the next request once its answer
 * in flight is done; told not to, it closes it. One that was opened and not used, as browsers do
 * ahead of need, it does not count as idle.
 */
function closeGracefully(listener: OpenListener, graceMs: number): Promise<void> {
  const { server, inFlight } = listener;
  return new Promise((resolve) => {
    const timers = [
      setTimeout(() => closeSilent(listener), silenceMs),
      setTimeout(() => server.closeAllConnections(), graceMs),
    ];
    server.close(() => {
      timers.forEach(clearTimeout);
      resolve();
    });
    for (const response of inFlight) {
      response.shouldKeepAlive = false;
      response.once("close", () => setImmediate(() => server.closeIdleConnections()));
    }
    server.closeIdleConnections();
  });
}

function closeSilent({ sockets, inFlight }: OpenListener): void {
  const busy = new Set([...inFlight].map(({ socket }) => socket));
  for (const socket of sockets) {
    if (!busy.has(socket)) {
      socket.destroy();
    }
  }
}

function urlOf({ host, port }: ListenAddress): string {
  if (host === undefined || host === "0.0.0.0" || host === "::") {
    return `http://localhost:${port}`;
  }
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function explain(error: NodeJS.ErrnoException, { host, port }: ListenAddress): string {
  const where = `cannot listen on ${host?.includes(":") ? `[${host}]` : (host ?? "")}:${port}`;
  switch (error.code) {
    case "EADDRINUSE":
      return `${where}: another process does (ss -ltnp "sport = :${port}" names it); stop it or choose another --web.listen-address`;
    case "EACCES":
      return `${where}: this user may not use the port; choose one above 1023 with --web.listen-address, or grant CAP_NET_BIND_SERVICE`;
    case "EADDRNOTAVAIL":
      return `${where}: no interface of this machine has that address (ip addr lists them); correct --web.listen-address`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `${where}: the host name does not resolve; correct --web.listen-address`;
    default:
      return `${where}: ${error.message}; correct --web.listen-address`;
  }
}
