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
  /** Maximum number of connections that have sent something. */
  limit?: number;
  /** Maximum number of connections that have not sent anything yet. */
  silentLimit?: number;
  /** Maximum number of open descriptors of this process; silent connections get a quarter at most. */
  maxDescriptors?: number;
}

interface Connection {
  socket: Socket;
  /** Both ends; absent until the first bytes arrive. */
  endpoint: string | undefined;
  /** The client: its address or, for IPv6, the /64 network that one subscriber gets. */
  peer: string;
  /** Since when it has had no request in flight. */
  idleSinceMs: number;
  /** Since when it has had one. */
  busySinceMs: number;
  hasServed: boolean;
  responses: Set<AnyResponse>;
  /** Unsent bytes of its answers at the last check. */
  unsentBytes: number;
  isStalled: boolean;
}

/** Each connection costs memory on a machine that may have none left: with its parser and answer some 20 KiB. */
const defaultLimit = 512;
/** Without them 4 KiB. To keep a silent connection costs less than to close it and accept the next one. */
const defaultSilentLimit = 4096;
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
 * All open connections on all listen addresses. Near a limit the oldest idle one is closed, so that silent clients
 * cannot keep others out. A client that reads nothing of its answer for a second counts as idle.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #limit: number;
  readonly #silentLimit: number;
  readonly #bySocket = new Map<Socket, Connection>();
  readonly #byEndpoint = new Map<string, Connection>();
  /** Connections that have not sent anything yet. */
  readonly #silent = new IdleConnections();
  /** Connections that have, and have no request in flight. */
  readonly #idle = new IdleConnections();
  /** Number of connections opened so far. */
  opened = 0;
  #isRoomDue = false;
  #refusedInCrowd = 0;
  #lastRefusedMs = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#limit = options.limit ?? defaultLimit;
    const { silentLimit = defaultSilentLimit, maxDescriptors = Number.POSITIVE_INFINITY } = options;
    this.#silentLimit = Math.min(silentLimit, Math.floor(maxDescriptors / 4));
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
    server.maxConnections = 4 * this.#limit + 2 * this.#silentLimit;
    server.on("drop", () => this.#noteRefused());
    const listeners = server.listeners("connection");
    server.removeAllListeners("connection");
    server.on("connection", (socket: Socket) => {
      const connection = this.#open(socket);
      // A reset before the first byte; later errors are also the server's own.
      socket.on("error", () => socket.destroy());
      socket.once("readable", () => {
        if (socket.destroyed) return;
        this.#noteSpoken(connection);
        for (const listener of listeners) listener.call(server, socket);
      });
    });
  }

  /** Records that a request has arrived, until its answer is finished. */
  begin(request: AnyRequest, response: AnyResponse): void {
    const connection = this.#connectionOf(request.socket);
    if (connection === undefined) return;
    this.#idle.delete(connection);
    connection.hasServed = true;
    connection.isStalled = false;
    if (connection.responses.size === 0) connection.busySinceMs = this.#options.monotonicMs();
    connection.responses.add(response);
    response.once("close", () => {
      connection.responses.delete(response);
      if (connection.responses.size === 0 && this.#bySocket.has(connection.socket)) {
        this.#addIdle(connection);
      }
    });
  }

  /** Called every second: closes late clients and detects those that do not read their answer. */
  look(): void {
    const nowMs = this.#options.monotonicMs();
    for (const connection of [...this.#silent, ...this.#idle]) {
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
    for (const { socket, hasServed, idleSinceMs } of [...this.#silent, ...this.#idle]) {
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
      idleSinceMs: this.#options.monotonicMs(),
      busySinceMs: 0,
      hasServed: false,
      responses: new Set(),
      unsentBytes: 0,
      isStalled: false,
    };
    this.opened++;
    this.#bySocket.set(socket, connection);
    this.#silent.add(connection);
    socket.once("close", () => this.#forget(connection));
    if (this.#silent.size > this.#silentLimit * crowdedRatio) this.#makeRoomSoon();
    return connection;
  }

  #noteSpoken(connection: Connection): void {
    const endpoint = endpointOf(connection.socket);
    connection.endpoint = endpoint;
    if (endpoint !== undefined) this.#byEndpoint.set(endpoint, connection);
    this.#silent.delete(connection);
    this.#idle.add(connection);
    if (this.#spoken > this.#limit * crowdedRatio) this.#makeRoomSoon();
  }

  /** Number of connections that have sent something. */
  get #spoken(): number {
    return this.size - this.#silent.size;
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

  #addIdle(connection: Connection): void {
    connection.idleSinceMs = this.#options.monotonicMs();
    this.#idle.add(connection);
  }

  #forget(connection: Connection): void {
    this.#bySocket.delete(connection.socket);
    if (connection.endpoint !== undefined) this.#byEndpoint.delete(connection.endpoint);
    this.#silent.delete(connection);
    this.#idle.delete(connection);
  }

  #findStalled(connection: Connection): void {
    const { socket, responses } = connection;
    const unsentBytes = isAnswered(connection) ? socket.writableLength + heldBack(responses) : 0;
    if (unsentBytes > 0 && unsentBytes === connection.unsentBytes && !connection.isStalled) {
      connection.isStalled = true;
      this.#addIdle(connection);
    } else if (connection.isStalled && unsentBytes !== connection.unsentBytes) {
      connection.isStalled = false;
      this.#idle.delete(connection);
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
    this.#refuseAll(this.#silent.surplus(this.#silent.size, this.#silentLimit));
    this.#refuseAll(this.#idle.surplus(this.#spoken, this.#limit));
    const excess = this.#spoken - this.#limit;
    if (excess <= 0) return;
    const busy = [...this.#bySocket.values()].filter(({ responses }) => responses.size > 0);
    // A client that reads takes its answer within milliseconds.
    const answered = busy
      .filter(isAnswered)
      .sort((one, other) => one.busySinceMs - other.busySinceMs);
    const working = busy.filter((connection) => !isAnswered(connection)).reverse();
    this.#refuseAll([...answered, ...working].slice(0, excess));
  }

  #refuseAll(connections: readonly Connection[]): void {
    for (const connection of connections) {
      this.#forget(connection);
      connection.socket.destroy();
      this.#noteRefused();
    }
  }

  #noteRefused(): void {
    this.#options.onRefused?.();
    this.#lastRefusedMs = this.#options.monotonicMs();
    if (this.#refusedInCrowd++ === 0) this.#options.onCrowded?.({ began: true });
  }
}

/** Whether all its answers are complete and only wait to be read. */
function isAnswered({ responses }: Connection): boolean {
  return [...responses].every(({ writableEnded }) => writableEnded);
}

/** Bytes that HTTP/2 clients have not allowed to be sent yet: a client may open a window of 0 bytes and never widen it. */
function heldBack(responses: ReadonlySet<AnyResponse>): number {
  let bytes = 0;
  for (const response of responses) {
    if ("stream" in response) bytes += response.stream?.writableLength ?? 0;
  }
  return bytes;
}

/** Connections without a request in flight, oldest first. */
class IdleConnections implements Iterable<Connection> {
  readonly #all = new Set<Connection>();
  readonly #byPeer = new Map<string, Set<Connection>>();

  get size(): number {
    return this.#all.size;
  }

  [Symbol.iterator](): Iterator<Connection> {
    return this.#all.values();
  }

  add(connection: Connection): void {
    this.#all.add(connection);
    const ofPeer = this.#byPeer.get(connection.peer);
    if (ofPeer === undefined) this.#byPeer.set(connection.peer, new Set([connection]));
    else ofPeer.add(connection);
  }

  delete(connection: Connection): void {
    if (!this.#all.delete(connection)) return;
    const ofPeer = this.#byPeer.get(connection.peer);
    ofPeer?.delete(connection);
    if (ofPeer?.size === 0) this.#byPeer.delete(connection.peer);
  }

  /**
   * Those to close so that `count` connections come down to the limit: above three quarters of it the oldest of each
   * peer that holds more than a quarter, then the oldest of all.
   */
  surplus(count: number, limit: number): Connection[] {
    const chosen = new Set<Connection>();
    let excess = count - limit * crowdedRatio;
    if (excess <= 0) return [];
    for (const connections of this.#byPeer.values()) {
      let left = connections.size;
      for (const connection of connections) {
        if (excess <= 0 || left <= limit * peerRatio) break;
        chosen.add(connection);
        excess--;
        left--;
      }
    }
    excess = count - chosen.size - limit;
    for (const connection of this.#all) {
      if (excess <= 0) break;
      if (chosen.has(connection)) continue;
      chosen.add(connection);
      excess--;
    }
    return [...chosen];
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
