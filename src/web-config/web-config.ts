/*
 * The web configuration, `--web.config.file`, in the format of Prometheus' exporter-toolkit
 * (docs/web-configuration.md there): TLS, client certificates, HTTP/2, headers, users, rate limit.
 *
 *   tls_server_config:
 *     cert_file: server.crt          # or cert: the PEM text itself
 *     key_file: server.key
 *     client_auth_type: RequireAndVerifyClientCert
 *     client_ca_file: ca.crt
 *   basic_auth_users:
 *     prometheus: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG
 *
 * Parsed as strictly as there: an unknown key, a repeated key or a value of the wrong type is an error. Like its
 * YAML library this one reads YAML 1.1: `yes` and `on` are booleans.
 */
import {
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  type YAMLMap,
} from "yaml";
import { bcryptComplaint } from "./bcrypt-hash.ts";
import { cipherSuites, curves, type TlsVersion, tlsVersions } from "./tls-names.ts";
import { WebConfigError } from "./web-config-error.ts";

const clientAuthTypes = [
  "NoClientCert",
  "RequestClientCert",
  "RequireAnyClientCert",
  "VerifyClientCertIfGiven",
  "RequireAndVerifyClientCert",
] as const;

export type ClientAuthType = (typeof clientAuthTypes)[number];

/** A PEM text, inline or in a file that the configuration names. */
export type PemSource = { text: string } | { file: string };

export interface TlsConfig {
  cert: PemSource;
  key: PemSource;
  clientCa: PemSource | undefined;
  clientAuthType: ClientAuthType;
  /** DNS names, addresses and URIs; a client's certificate must have one of them. */
  clientAllowedSans: readonly string[] | undefined;
  minVersion: TlsVersion;
  maxVersion: TlsVersion;
  /** Go's names; empty for the default. */
  cipherSuites: readonly string[];
  preferServerCipherSuites: boolean;
  /** Go's names; empty for the default. */
  curvePreferences: readonly string[];
}

export interface WebConfig {
  /** `undefined`: plain HTTP. */
  tls: TlsConfig | undefined;
  http2: boolean;
  headers: Readonly<Record<string, string>>;
  /** bcrypt hashes by user name. */
  users: ReadonlyMap<string, string>;
  /** One request every `intervalMs`, and `burst` at once. */
  rateLimit: { intervalMs: number; burst: number } | undefined;
  /** Settings that are accepted but cannot be intended, one line each. */
  warnings: readonly string[];
}

/** The headers that may be set, with their allowed values if restricted. */
const headerValues: Readonly<Record<string, readonly string[] | undefined>> = {
  "Strict-Transport-Security": undefined,
  "X-Content-Type-Options": ["nosniff"],
  "X-Frame-Options": ["deny", "sameorigin"],
  "X-XSS-Protection": undefined,
  "Content-Security-Policy": undefined,
};

/**
 * Parses a web configuration.
 *
 * @param fileOf resolves the path of a file that the configuration names, relative to the configuration.
 * @throws {WebConfigError}
 */
export function parseWebConfig(text: string, fileOf: (name: string) => string): WebConfig {
  const section = new Reading(text).root();
  const tls = section.mapping("tls_server_config");
  const http = section.mapping("http_server_config");
  const limit = section.mapping("rate_limit");
  const users = section.texts("basic_auth_users");
  section.refuseOthers();

  const warnings: string[] = [];
  const config = {
    tls: readTls(tls, fileOf, warnings),
    http2: http.flag("http2", true),
    headers: readHeaders(http),
    users: readUsers(users),
    rateLimit: readRateLimit(limit),
    warnings,
  };
  http.refuseOthers();
  return config;
}

function readTls(
  section: Section,
  fileOf: (name: string) => string,
  warnings: string[],
): TlsConfig | undefined {
  const pem = (key: string): PemSource | undefined => {
    const [text, file] = [section.text(key), section.text(`${key}_file`)];
    if (text !== "" && file !== "") {
      warnings.push(`tls_server_config: ${key} is ignored because ${key}_file is set`);
    }
    if (file !== "") return { file: fileOf(file) };
    return text === "" ? undefined : { text };
  };
  const [cert, key, clientCa] = [pem("cert"), pem("key"), pem("client_ca")];
  const authText = section.text("client_auth_type");
  const minVersion = section.choice("min_version", tlsVersions, "TLS12");
  const maxVersion = section.choice("max_version", tlsVersions, "TLS13");
  const suites = section.choices("cipher_suites", cipherSuites, "cipher suite");
  const curvePreferences = section.choices("curve_preferences", curves, "curve");
  const preferServerCipherSuites = section.flag("prefer_server_cipher_suites", true);
  const clientAllowedSans = section.list("client_allowed_sans");
  section.refuseOthers();

  if (!cert && !key && !clientCa && authText === "") return undefined;
  if (cert === undefined) throw section.error("missing cert_file (or cert)");
  if (key === undefined) throw section.error("missing key_file (or key)");
  const clientAuthType = clientAuthTypeOf(authText, section);
  if (clientCa !== undefined && clientAuthType === "NoClientCert") {
    throw section.error(
      "client_ca_file needs a client_auth_type such as RequireAndVerifyClientCert",
      ["client_ca_file", "client_ca"],
    );
  }
  if (clientAllowedSans !== undefined && !clientAuthType.startsWith("Require")) {
    throw section.error(
      "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert or RequireAnyClientCert",
      ["client_allowed_sans"],
    );
  }
  const verifies = clientAuthType.includes("Verify");
  if (verifies && clientCa === undefined) {
    warnings.push(
      `tls_server_config: ${clientAuthType} without client_ca_file rejects every client certificate`,
    );
  }
  if (clientAllowedSans !== undefined && !verifies) {
    warnings.push(
      `tls_server_config: ${clientAuthType} does not verify certificates, so a client can invent a name of client_allowed_sans`,
    );
  }
  const order = Object.keys(tlsVersions);
  if (order.indexOf(minVersion) > order.indexOf(maxVersion)) {
    warnings.push("tls_server_config: min_version is above max_version: no client can connect");
  }
  return {
    cert,
    key,
    clientCa,
    clientAuthType,
    clientAllowedSans,
    minVersion,
    maxVersion,
    cipherSuites: suites,
    preferServerCipherSuites,
    curvePreferences,
  };
}

function clientAuthTypeOf(text: string, section: Section): ClientAuthType {
  // An old name that exporter-toolkit still accepts.
  if (text === "RequireClientCert") return "RequireAnyClientCert";
  const type = clientAuthTypes.find((known) => known === (text === "" ? "NoClientCert" : text));
  if (type !== undefined) return type;
  throw section.error(
    `client_auth_type: ${shown(text)} must be one of ${clientAuthTypes.join(", ")}`,
    ["client_auth_type"],
  );
}

function readHeaders(http: Section): Record<string, string> {
  const section = http.texts("headers");
  for (const [name, value] of section.entries) {
    if (!Object.hasOwn(headerValues, name)) {
      throw section.error(
        `${shown(name)} cannot be set; allowed are ${Object.keys(headerValues).join(", ")}`,
        [name],
      );
    }
    const allowed = headerValues[name];
    if (allowed !== undefined && !allowed.includes(value)) {
      throw section.error(`${name}: must be ${allowed.join(" or ")}, not ${shown(value)}`, [name]);
    }
    if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) {
      throw section.error(`${name}: contains characters that are not allowed in a header`, [name]);
    }
  }
  return Object.fromEntries(section.entries);
}

function readUsers(section: Section): Map<string, string> {
  for (const [user, hash] of section.entries) {
    const complaint = bcryptComplaint(hash);
    if (complaint !== undefined) {
      throw section.error(`${shown(user)}: ${complaint} (htpasswd -nBC 10 "" makes one)`, [user]);
    }
  }
  return new Map(section.entries);
}

function readRateLimit(section: Section): WebConfig["rateLimit"] {
  const intervalMs = section.duration("interval");
  const burst = section.integer("burst");
  section.refuseOthers();
  if (intervalMs === 0) return undefined;
  if (intervalMs < 0) throw section.error("interval: must be 0 or more", ["interval"]);
  if (burst < 1) {
    throw section.error("burst: must be 1 or more; otherwise every request would be refused", [
      "burst",
    ]);
  }
  return { intervalMs, burst };
}

/** A value from the file for a message: short and on one line. */
function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}

/** The document and the positions of its parts. */
class Reading {
  readonly #lines = new LineCounter();
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  root(): Section {
    // Only the first document counts.
    const documents = parseAllDocuments(this.#text, {
      version: "1.1",
      lineCounter: this.#lines,
      prettyErrors: false,
      // Guards against "billion laughs": nested aliases.
      maxAliasCount: 100,
      uniqueKeys: false,
    } as object);
    const [document] = Array.isArray(documents) ? documents : [];
    if (document === undefined) return new Section(this, "", undefined, undefined);
    const [problem] = document.errors;
    if (problem !== undefined) {
      const { line } = this.#lines.linePos(problem.pos[0]);
      throw new WebConfigError(`line ${line}: not YAML: ${problem.message.split("\n", 1)[0]}`);
    }
    if (document.directives?.yaml.explicit === true && document.directives.yaml.version !== "1.1") {
      throw new WebConfigError("line 1: %YAML: only version 1.1 is supported");
    }
    return new Section(this, "", document.contents as Node | null, (node) => {
      if (!isAlias(node)) return node;
      const target = node.resolve(document);
      if (target !== undefined) return target;
      throw new WebConfigError(
        `line ${this.lineOf(node)}: not YAML: unknown anchor ${shown(node.source)}`,
      );
    });
  }

  lineOf(node: Node | null | undefined): number {
    return this.#lines.linePos(node?.range?.[0] ?? 0).line;
  }
}

type Resolve = (node: Node | null | undefined) => Node | null | undefined;

/** One mapping of the file, read key by key. Keys that are never read are unknown keys. */
class Section {
  readonly #reading: Reading;
  readonly #path: string;
  readonly #node: Node | null | undefined;
  readonly #resolve: Resolve;
  readonly #values = new Map<string, { key: Node; value: Node | null | undefined }>();
  readonly #asked = new Set<string>();

  constructor(
    reading: Reading,
    path: string,
    node: Node | null | undefined,
    resolve: Resolve = (same) => same,
  ) {
    this.#reading = reading;
    this.#path = path;
    this.#resolve = resolve;
    this.#node = resolve(node);
    if (isNull(this.#node)) return;
    if (!isMap(this.#node)) throw this.#wrongKind(this.#node, "a mapping", this.#path);
    this.#take(this.#node, new Set());
  }

  /** Its values as text, by key, in order. */
  get entries(): [string, string][] {
    return [...this.#values.keys()].map((key) => [key, this.text(key)]);
  }

  mapping(key: string): Section {
    return new Section(this.#reading, this.#here(key), this.#ask(key), this.#resolve);
  }

  /** A mapping of text values, with a list of allowed keys. */
  texts(key: string): Section {
    return this.mapping(key);
  }

  /** Empty if it is missing or empty. */
  text(key: string): string {
    return this.#textOf(this.#ask(key), key);
  }

  flag(key: string, fallback: boolean): boolean {
    const node = this.#ask(key);
    if (isNull(node)) return fallback;
    if (isScalar(node) && typeof node.value === "boolean") return node.value;
    throw this.#wrongKind(node, "true or false", this.#here(key));
  }

  integer(key: string): number {
    const node = this.#ask(key);
    if (isNull(node)) return 0;
    if (isScalar(node) && Number.isSafeInteger(node.value)) return node.value as number;
    throw this.#wrongKind(node, "a whole number", this.#here(key));
  }

  /** A Go duration such as `1m30s` or `250ms`; a bare number means nanoseconds. Returns milliseconds. */
  duration(key: string): number {
    const node = this.#ask(key);
    if (isNull(node)) return 0;
    if (isScalar(node)) {
      if (Number.isSafeInteger(node.value) && node.type === "PLAIN") {
        return (node.value as number) / 1e6;
      }
      const ms = typeof node.value === "string" ? durationMs(node.value) : undefined;
      if (ms !== undefined) return ms;
    }
    throw this.#wrongKind(node, "a duration such as 1s or 250ms", this.#here(key));
  }

  /** `undefined` if it is missing. */
  list(key: string): string[] | undefined {
    const node = this.#ask(key);
    if (isNull(node)) return undefined;
    if (!isSeq(node)) throw this.#wrongKind(node, "a list", this.#here(key));
    return node.items.map((item) => this.#textOf(this.#resolve(item as Node), key));
  }

  choice<Name extends string>(
    key: string,
    known: Readonly<Record<Name, unknown>>,
    fallback: Name,
  ): Name {
    const node = this.#ask(key);
    if (isNull(node)) return fallback;
    return this.#known(this.#textOf(node, key), key, known, "TLS version");
  }

  choices<Name extends string>(
    key: string,
    known: Readonly<Record<Name, unknown>>,
    what: string,
  ): Name[] {
    return (this.list(key) ?? []).map((text) => this.#known(text, key, known, what));
  }

  /** Call it after reading all known keys. */
  refuseOthers(): void {
    for (const [key, { key: node }] of this.#values) {
      if (this.#asked.has(key)) continue;
      const allowed = [...this.#asked].join(", ");
      throw this.#errorAt(node, this.#here(`unknown key ${shown(key)}; allowed are ${allowed}`));
    }
  }

  /** @param keys the first one present gives the line number */
  error(message: string, keys: readonly string[] = []): WebConfigError {
    const key = keys.find((candidate) => this.#values.has(candidate));
    const node = key === undefined ? this.#node : this.#values.get(key)?.key;
    return this.#errorAt(node, this.#here(message));
  }

  #take(map: YAMLMap, above: Set<YAMLMap>): void {
    if (above.has(map)) throw this.#errorAt(map, "<<: merges itself");
    const merged: YAMLMap[] = [];
    for (const pair of map.items) {
      const keyNode = this.#resolve(pair.key as Node);
      if (!isPair(pair) || !isScalar(keyNode)) {
        throw this.#errorAt(map, this.#here("keys must be text"));
      }
      const key = sourceOf(keyNode);
      const value = this.#resolve(pair.value as Node | null);
      if (key === "<<" && keyNode.type === "PLAIN") {
        const maps = isSeq(value)
          ? value.items.map((item) => this.#resolve(item as Node))
          : [value];
        for (const each of maps) {
          if (!isMap(each)) throw this.#wrongKind(each, "a mapping", this.#here("<<"));
          merged.push(each);
        }
        continue;
      }
      if (above.size > 0 && this.#values.has(key)) continue;
      if (this.#values.has(key)) {
        throw this.#errorAt(keyNode, this.#here(`${shown(key)} appears twice`));
      }
      this.#values.set(key, { key: keyNode, value });
    }
    // A mapping's own keys override merged ones.
    for (const each of merged) this.#take(each, new Set([...above, map]));
  }

  #ask(key: string): Node | null | undefined {
    this.#asked.add(key);
    return this.#values.get(key)?.value;
  }

  #textOf(node: Node | null | undefined, key: string): string {
    if (isNull(node)) return "";
    if (!isScalar(node)) throw this.#wrongKind(node, "a text", this.#here(key));
    return sourceOf(node);
  }

  #known<Name extends string>(
    text: string,
    key: string,
    known: Readonly<Record<Name, unknown>>,
    what: string,
  ): Name {
    if (Object.hasOwn(known, text)) return text as Name;
    const names = Object.keys(known).join(", ");
    throw this.error(`${key}: unknown ${what} ${shown(text)}; allowed are ${names}`, [key]);
  }

  #wrongKind(node: Node | null | undefined, wanted: string, path: string): WebConfigError {
    const found = isScalar(node) ? shown(sourceOf(node)) : isSeq(node) ? "a list" : "a mapping";
    return this.#errorAt(node, `${path === "" ? "" : `${path}: `}must be ${wanted}, not ${found}`);
  }

  #errorAt(node: Node | null | undefined, message: string): WebConfigError {
    return new WebConfigError(`line ${this.#reading.lineOf(node)}: ${message}`);
  }

  /** A message about this section, or the path of a key in it. */
  #here(text: string): string {
    return this.#path === "" ? text : `${this.#path}: ${text}`;
  }
}

function isNull(node: Node | null | undefined): node is null | undefined {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

/** A number or boolean where text is expected is taken literally. */
function sourceOf(node: { value: unknown; source?: string }): string {
  return typeof node.value === "string" ? node.value : (node.source ?? String(node.value));
}

const nanosecondsOf: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 6e10,
  h: 3.6e12,
};

function durationMs(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0;
  const match = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$/.exec(text);
  if (match === null) return undefined;
  let nanoseconds = 0;
  for (const [, number, unit] of (match[2] as string).matchAll(/([\d.]+)([^\d.]+)/g)) {
    nanoseconds += Number(number) * (nanosecondsOf[unit as string] as number);
  }
  return ((match[1] === "-" ? -1 : 1) * nanoseconds) / 1e6;
}
