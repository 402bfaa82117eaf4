import { readFileSync } from "node:fs";
import {
  createServer as createPlain,
  type IncomingMessage,
  type Server as PlainServer,
  type RequestListener,
  type ServerResponse,
} from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { createServer as createHttps } from "node:https";
import { dirname, resolve } from "node:path";
import type { TLSSocket, Server as TlsServer } from "node:tls";
import { BasicAuth, type Compare, readCredentials } from "./basic-auth.ts";
import { RateLimiter } from "./rate-limiter.ts";
import {
  changedMs,
  fileVersion,
  readServerTls,
  type ServerTls,
  versionOfFiles,
} from "./server-tls.ts";
import { allowsHttp2 } from "./tls-names.ts";
import { parseWebConfig, type WebConfig } from "./web-config.ts";
import { WebConfigError } from "./web-config-error.ts";

type AnyRequest = IncomingMessage | Http2ServerRequest;
type AnyResponse = ServerResponse | Http2ServerResponse;
type Handler = (request: AnyRequest, response: AnyResponse) => void;

export interface WebAccessOptions {
  path: string;
  compare: Compare;
  /** Random bytes that key the cached password digests. */
  secret: Buffer;
  /** A monotonic clock, milliseconds. */
  monotonicMs: () => number;
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
  /** Timeouts of HTTP/1 connections. */
  timeouts: { keepAliveTimeout: number; requestTimeout: number };
  log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
}

const handshakeTimeoutMs = 10_000;
/** A file that demands less than before must stay as it is for this long: it may be half written, or empty. */
const loosenedAfterMs = 1_000;
/** Maximum number of open streams per HTTP/2 connection. */
const streamsAtMost = 100;

/**
 * Access control from `--web.config.file`. Every request and connection checks the file for changes, every
 * connection also the certificate.
 *
 * While the file is invalid every request is answered 500. While only a certificate is invalid, as between the two
 * writes of a renewal, the previous one stays in use. Both are logged once. What the file no longer demands, passwords or
 * client certificates, is demanded for a second more: an editor that empties the file first opens nothing.
 */
export class WebAccess {
  readonly #options: WebAccessOptions;
  readonly #auth: BasicAuth;
  readonly #hasTls: boolean;
  readonly #hasHttp2: boolean;
  #config: WebConfig | undefined;
  #version: string;
  /** The first sight of a file that demands less than before. */
  #loosened: { version: string; atMs: number } | undefined;
  /** What the last valid configuration demanded. */
  #demands: Demands = noDemands;
  #tls: ServerTls | undefined;
  #tlsVersion = "";
  #isCertificateBroken = false;
  #limiter: RateLimiter | undefined;

  /** @throws {WebConfigError} if the file is invalid */
  constructor(options: WebAccessOptions) {
    this.#options = options;
    this.#auth = new BasicAuth(options.compare, options.secret);
    this.#version = fileVersion(options.path);
    const config = this.#read();
    const { tls } = config;
    this.#hasTls = tls !== undefined;
    this.#hasHttp2 = config.http2 && (tls === undefined || allowsHttp2(tls.cipherSuites));
    if (tls !== undefined) {
      this.#tlsVersion = `${this.#version} ${versionOfFiles(tls)}`;
      this.#tls = this.#named(() => readServerTls(tls));
      if (config.http2 && !this.#hasHttp2) {
        const reason =
          "cipher_suites has no TLS_ECDHE_*_WITH_AES_128_GCM_SHA256, which HTTP/2 needs";
        options.log.warn({ path: options.path, reason }, "HTTP/2 is off");
      }
    }
    this.#take(config);
  }

  get scheme(): "http" | "https" {
    return this.#hasTls ? "https" : "http";
  }

  /** The headers of every answer. */
  headers(): Readonly<Record<string, string>> {
    return this.#config?.headers ?? {};
  }

  /** Passes on only allowed requests. */
  guard(handler: Handler): Handler {
    return (request, response) => {
      void this.#guard(request, response, handler);
    };
  }

  /** A server, with TLS if configured; the caller starts listening. */
  create(handler: Handler): PlainServer | TlsServer {
    const { timeouts } = this.#options;
    if (!this.#hasTls) return createPlain(timeouts, handler as RequestListener);
    let applied = this.#tls;
    const { context, requestCert, rejectUnauthorized } = this.#tls as ServerTls;
    const options = {
      ...context,
      requestCert,
      rejectUnauthorized,
      handshakeTimeout: handshakeTimeoutMs,
    };
    const server: TlsServer = this.#hasHttp2
      ? createSecureServer(
          {
            ...options,
            allowHTTP1: true,
            settings: { maxConcurrentStreams: streamsAtMost },
          },
          handler,
        )
      : createHttps(options, handler as RequestListener);
    Object.assign(server, timeouts);
    // Runs before the server's own listeners, so that a rejected client is cut off and a client that connects after
    // a change gets the new certificate.
    server.prependListener("connection", () => {
      this.#renew();
      if (applied === this.#tls || this.#tls === undefined) return;
      applied = this.#tls;
      server.setSecureContext(applied.context);
      // The server reads this for each connection, although its type does not say so.
      const { requestCert, rejectUnauthorized } = applied;
      Object.assign(server, { requestCert, rejectUnauthorized });
    });
    server.prependListener("secureConnection", (client: TLSSocket) => {
      if (this.#tls?.refusal(client) !== undefined) client.destroy();
    });
    return server;
  }

  async #guard(request: AnyRequest, response: AnyResponse, next: Handler): Promise<void> {
    const { monotonicMs, log } = this.#options;
    const config = this.#current();
    if (config === undefined) {
      refuse(response, 500, "the web configuration is invalid; the exporter's log says why");
      return;
    }
    if (this.#limiter?.allow(monotonicMs()) === false) {
      refuse(response, 429, "too many requests, see rate_limit in the web configuration", config);
      return;
    }
    if (config.users.size > 0) {
      const credentials = readCredentials(request.headers.authorization);
      const verdict = credentials && (await this.#verdict(credentials, config));
      if (response.destroyed || ("stream" in response && response.stream?.destroyed)) return;
      if (verdict === "failed" || verdict === "busy") {
        if (verdict === "failed") log.error({}, "checking a password failed");
        refuse(response, 503, "too many passwords to check; try again", config);
        return;
      }
      if (verdict !== "granted") {
        response.setHeader("www-authenticate", 'Basic realm="oom-exporter", charset="UTF-8"');
        refuse(response, 401, "user name and password required", config);
        return;
      }
    }
    next(request, response);
  }

  async #verdict(credentials: Parameters<BasicAuth["check"]>[0], config: WebConfig) {
    try {
      return await this.#auth.check(credentials, config.users);
    } catch {
      return "failed";
    }
  }

  /** The configuration currently in the file; `undefined` while that is invalid. */
  #current(): WebConfig | undefined {
    const { path, log } = this.#options;
    const version = fileVersion(path);
    if (version === this.#version) return this.#config;
    try {
      const wasBroken = this.#config === undefined;
      const config = this.#read();
      if (this.#isTooEarly(config, version)) return this.#config;
      this.#version = version;
      this.#take(config);
      log.info(
        { path },
        wasBroken ? "web configuration is valid again" : "web configuration reloaded",
      );
    } catch (error) {
      if (!(error instanceof WebConfigError)) throw error;
      this.#version = version;
      this.#config = undefined;
      log.error(
        { reason: error.message },
        "web configuration is invalid, all requests are refused",
      );
    }
    return this.#config;
  }

  #isTooEarly(config: WebConfig, version: string): boolean {
    if (!demandsLess(demandsOf(config), this.#demands)) return false;
    const { path, monotonicMs, nowMs } = this.#options;
    const atMs = monotonicMs();
    if (this.#loosened?.version !== version) this.#loosened = { version, atMs };
    // The file system's clock may be another one.
    const ageMs = Math.max(atMs - this.#loosened.atMs, nowMs() - (changedMs(path) ?? nowMs()));
    return ageMs < loosenedAfterMs;
  }

  #take(config: WebConfig): void {
    const { monotonicMs, log, path } = this.#options;
    this.#demands = demandsOf(config);
    this.#loosened = undefined;
    const before = JSON.stringify(this.#config?.rateLimit);
    if (this.#config === undefined || before !== JSON.stringify(config.rateLimit)) {
      this.#limiter = config.rateLimit && new RateLimiter(config.rateLimit, monotonicMs());
    }
    this.#config = config;
    for (const reason of config.warnings) log.warn({ path, reason }, "web configuration");
    if (this.#hasTls !== (config.tls !== undefined)) {
      const reason = "switching TLS on or off needs a restart";
      log.warn({ path, reason }, "web configuration");
    }
  }

  /** Reads the current certificate and rules for clients. */
  #renew(): void {
    const { path, log } = this.#options;
    const tls = this.#current()?.tls;
    if (tls === undefined) return;
    const version = `${this.#version} ${versionOfFiles(tls)}`;
    if (version === this.#tlsVersion) return;
    this.#tlsVersion = version;
    try {
      this.#tls = readServerTls(tls);
      if (this.#isCertificateBroken) log.info({ path }, "certificate is valid again");
      this.#isCertificateBroken = false;
    } catch (error) {
      if (!(error instanceof WebConfigError)) throw error;
      if (this.#isCertificateBroken) return;
      this.#isCertificateBroken = true;
      log.error({ reason: error.message }, "certificate is invalid, keeping the previous one");
    }
  }

  #read(): WebConfig {
    const { path } = this.#options;
    return this.#named(() => {
      let text: string;
      try {
        text = readFileSync(path, "utf8");
      } catch (error) {
        throw new WebConfigError(unreadable((error as NodeJS.ErrnoException).code));
      }
      return parseWebConfig(text, (name) => resolve(dirname(path), name));
    });
  }

  /** Prefixes the error with the file's path. */
  #named<Value>(read: () => Value): Value {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof WebConfigError)) throw error;
      throw new WebConfigError(`${this.#options.path}: ${error.message}`);
    }
  }
}

/** What a client must have. */
interface Demands {
  password: boolean;
  certificate: boolean;
  name: boolean;
}

const noDemands: Demands = { password: false, certificate: false, name: false };

function demandsOf({ users, tls }: WebConfig): Demands {
  return {
    password: users.size > 0,
    certificate: tls?.clientAuthType.startsWith("Require") ?? false,
    name: tls?.clientAllowedSans !== undefined,
  };
}

function demandsLess(now: Demands, before: Demands): boolean {
  const demands = Object.keys(before) as (keyof Demands)[];
  return demands.some((demand) => before[demand] && !now[demand]);
}

function refuse(response: AnyResponse, status: number, line: string, config?: WebConfig): void {
  for (const [name, value] of Object.entries(config?.headers ?? {})) {
    if (value !== "") response.setHeader(name, value);
  }
  response.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  (response as ServerResponse).end(`${line}\n`);
}

function unreadable(code: string | undefined): string {
  switch (code) {
    case "ENOENT":
      return "no such file";
    case "EACCES":
      return "permission denied; let the exporter's user or group read it";
    case "EISDIR":
      return "is a directory; pass a file";
    default:
      return `cannot be read (${code})`;
  }
}
