import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { Server, Socket } from "node:net";

export type AnyRequest = IncomingMessage | Http2ServerRequest;
export type AnyResponse = ServerResponse | Http2ServerResponse;

export interface ConnectionsOptions {
  /** A monotonic clock, milliseconds. */
  monotonicMs: () => number;
  /** Called when a connection is closed or refused to make room for others. */
  onRefused?: () => void;
  /** Called when that begins, and again after a minute without. */
  onCrowded?: (event: { began: true } | { began: false; refused: number }) => void;
  /** Maximum number of connections. */
  limit?: number;
}

interface Connection {
  socket: Socket;
  /** Both ends; absent until the first bytes arrive. */
  endpoint: string | undefined;
  /** The client: its address or, for IPv6, the /64 network that one subscriber gets. */
  peer: string;
  /** Since when it has had no request in flight. */
  idleSinceMs: number;
  hasServed: boolean;
  responses: Set<AnyResponse>;
  /** Unsent bytes of its answers at the last check. */
  unsentBytes: number;
  isStalled: boolean;
}

/** Each connection costs memory on a machine that may have none left. */
const defaultLimit = 512;
/** Above this share of the limit, one peer may hold only a limited number of idle connections. */
const crowdedRatio = 3 / 4;
const peerRatio = 1 / 4;
/** How long a new client may take to send its first request. */
const firstRequestMs = 10_000;
/** Longer than common scrape intervals, so that Prometheus can reuse its connection. */
export const keepAliveMs = 75_000;
/** During shutdown a new connection without a request after this time is closed. */
const silenceMs = 100;
/** Overload ends when no connection had to be closed for this long. */
const quietMs = 60_000;

/**
 * All open connections on all listen addresses. Near the limit the oldest idle one is closed, so that silent clients
 * cannot keep others out. A client that reads nothing of its answer for a second counts as idle.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #limit: number;
  readonly #bySocket = new Map<Socket, Connection>();
  readonly #byEndpoint = new Map<string, Connection>();
  /** Connections without a request in flight, oldest first. */
  readonly #idle = new Set<Connection>();
  readonly #idleByPeer = new Map<string, Set<Connection>>();
  /** Number of connections opened so far. */
  opened = 0;
  #isRoomDue = false;
  #refusedInCrowd = 0;
  #lastRefusedMs = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#limit = options.limit ?? defaultLimit;
  }

  get size(): number {
    return this.#bySocket.size;
  }

  /**
   * Tracks the connections of a server. The server itself sees a connection when its first bytes arrive: in a flood of
   * silent ones, a parser or TLS state for each would take most of the time.
   */
  watch(server: Server): void {
    // When clients flood in within one turn of the event loop, more are accepted than will be kept.
    server.maxConnections = 4 * this.#limit;
    server.on("drop", () => this.#noteRefused());
    const listeners = server.listeners("connection");
    server.removeAllListeners("connection");
    server.on("connection", (socket: Socket) => {
      const connection = this.#open(socket);
      // A reset before the first byte; later errors are also the server's own.
      socket.on("error", () => socket.destroy());
      socket.once("readable", () => {
        if (socket.destroyed) return;
        this.#noteEndpoint(connection);
        for (const listener of listeners) listener.call(server, socket);
      });
    });
  }

  /** Records that a request has arrived, until its answer is finished. */
  begin(request: AnyRequest, response: AnyResponse): void {
    const connection = this.#connectionOf(request.socket);
    if (connection === undefined) return;
    this.#setIdle(connection, false);
    connection.hasServed = true;
    connection.isStalled = false;
    connection.responses.add(response);
    response.once("close", () => {
      connection.responses.delete(response);
      if (connection.responses.size === 0 && this.#bySocket.has(connection.socket)) {
        this.#setIdle(connection, true);
      }
    });
  }

  /** Called every second: closes late clients and detects those that do not read their answer. */
  look(): void {
    const nowMs = this.#options.monotonicMs();
    for (const connection of this.#idle) {
      const idleMs = nowMs - connection.idleSinceMs;
      // The server itself closes late HTTP/1 connections, but not HTTP/2 ones.
      if (idleMs > keepAliveMs || (!connection.hasServed && idleMs > firstRequestMs)) {
        connection.socket.destroy();
      }
    }
    for (const connection of this.#bySocket.values()) {
      if (connection.responses.size > 0) this.#findStalled(connection);
    }
    this.#makeRoom();
    if (this.#refusedInCrowd > 0 && nowMs - this.#lastRefusedMs > quietMs) {
      this.#options.onCrowded?.({ began: false, refused: this.#refusedInCrowd });
      this.#refusedInCrowd = 0;
    }
  }

  /** Closes connections without a request in flight; a new one gets a moment to send its first. */
  closeIdle(): void {
    const nowMs = this.#options.monotonicMs();
    for (const { socket, hasServed, idleSinceMs } of this.#idle) {
      if (hasServed || nowMs - idleSinceMs > silenceMs) socket.destroySoon();
    }
  }

  /** Cuts off all remaining connections. */
  closeAll(): void {
    for (const socket of this.#bySocket.keys()) socket.destroy();
  }

  /** Answers being generated or sent. */
  *responses(): Generator<AnyResponse> {
    for (const { responses } of this.#bySocket.values()) yield* responses;
  }

  #open(socket: Socket): Connection {
    const connection: Connection = {
      socket,
      endpoint: undefined,
      peer: peerOf(socket.remoteAddress),
      idleSinceMs: 0,
      hasServed: false,
      responses: new Set(),
      unsentBytes: 0,
      isStalled: false,
    };
    this.opened++;
    this.#bySocket.set(socket, connection);
    this.#setIdle(connection, true);
    socket.once("close", () => {
      this.#bySocket.delete(socket);
      if (connection.endpoint !== undefined) this.#byEndpoint.delete(connection.endpoint);
      this.#setIdle(connection, false);
    });
    if (this.size > this.#limit * crowdedRatio) this.#makeRoomSoon();
    return connection;
  }

  #noteEndpoint(connection: Connection): void {
    const endpoint = endpointOf(connection.socket);
    connection.endpoint = endpoint;
    if (endpoint !== undefined) this.#byEndpoint.set(endpoint, connection);
  }

  /** Keyed by socket; under TLS the socket is a different object with the same two endpoints. */
  #connectionOf(socket: Socket | undefined): Connection | undefined {
    if (socket === undefined) return undefined;
    const endpoint = endpointOf(socket);
    return (
      (endpoint === undefined ? undefined : this.#byEndpoint.get(endpoint)) ??
      this.#bySocket.get(socket)
    );
  }

  #setIdle(connection: Connection, isIdle: boolean): void {
    const { peer } = connection;
    const ofPeer = this.#idleByPeer.get(peer) ?? new Set();
    if (isIdle) {
      connection.idleSinceMs = this.#options.monotonicMs();
      this.#idle.add(connection);
      ofPeer.add(connection);
      this.#idleByPeer.set(peer, ofPeer);
    } else {
      this.#idle.delete(connection);
      ofPeer.delete(connection);
      if (ofPeer.size === 0) this.#idleByPeer.delete(peer);
    }
  }

  #findStalled(connection: Connection): void {
    const { socket, responses } = connection;
    const isSent = [...responses].every(({ writableEnded }) => writableEnded);
    const unsentBytes = isSent ? socket.writableLength : 0;
    if (unsentBytes > 0 && unsentBytes === connection.unsentBytes && !connection.isStalled) {
      connection.isStalled = true;
      this.#setIdle(connection, true);
    } else if (connection.isStalled && unsentBytes !== connection.unsentBytes) {
      connection.isStalled = false;
      this.#setIdle(connection, false);
    }
    connection.unsentBytes = unsentBytes;
  }

  /**
   * Waits until connections accepted in this turn had a turn to deliver their request: in a flood there are hundreds,
   * and a legitimate one may be among them.
   */
  #makeRoomSoon(): void {
    if (this.#isRoomDue) return;
    this.#isRoomDue = true;
    setImmediate(() =>
      setImmediate(() => {
        this.#isRoomDue = false;
        this.#makeRoom();
      }),
    );
  }

  #makeRoom(): void {
    const limit = this.#limit;
    const crowded = limit * crowdedRatio;
    const perPeer = limit * peerRatio;
    let excess = this.size - crowded;
    if (excess <= 0) return;
    for (const connections of this.#idleByPeer.values()) {
      for (const connection of connections) {
        if (excess <= 0 || connections.size <= perPeer) break;
        this.#refuse(connection);
        excess--;
      }
    }
    excess = this.size - limit;
    for (const connection of this.#idle) {
      if (excess <= 0) return;
      this.#refuse(connection);
      excess--;
    }
    const newestFirst = [...this.#bySocket.values()].reverse();
    for (const connection of newestFirst.slice(0, Math.max(0, excess))) this.#refuse(connection);
  }

  #refuse(connection: Connection): void {
    this.#setIdle(connection, false);
    this.#bySocket.delete(connection.socket);
    connection.socket.destroy();
    this.#noteRefused();
  }

  #noteRefused(): void {
    this.#options.onRefused?.();
    this.#lastRefusedMs = this.#options.monotonicMs();
    if (this.#refusedInCrowd++ === 0) this.#options.onCrowded?.({ began: true });
  }
}

function endpointOf({ remoteAddress, remotePort, localPort }: Socket): string | undefined {
  return remoteAddress === undefined ? undefined : `${remoteAddress} ${remotePort} ${localPort}`;
}

function peerOf(address = ""): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::", 2);
  const groups = head.split(":").filter((group) => group !== "");
  const isShort = tail !== undefined && groups.length < 4;
  return (isShort ? [...groups, "0", "0", "0", "0"] : groups).slice(0, 4).join(":");
}
