import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readServerTls } from "../../src/web-config/server-tls.ts";
import { parseWebConfig } from "../../src/web-config/web-config.ts";
import { WebConfigError } from "../../src/web-config/web-config-error.ts";
import { makeCertificates, openssl } from "../setup/certificates.ts";
import { debianTool, debianToolOf } from "../setup/debian-tools.ts";
import { temporaryDirectory } from "../setup/exporter-process.ts";

/** `promtool check web-config` of Debian 12 (2.42) and of sid (3.5 or newer). */
const [older, newer] = await Promise.all([
  debianTool("prometheus", "usr/bin/promtool"),
  debianToolOf("sid", "promtool", "usr/bin/promtool"),
]);

let directory: ReturnType<typeof temporaryDirectory>;

beforeAll(() => {
  directory = temporaryDirectory();
  makeCertificates(directory.path);
  writeFileSync(join(directory.path, "junk.pem"), "no certificate\n");
  writeFileSync(join(directory.path, "empty.pem"), "");
  const both = ["server.pem", "server.key"].map((name) => readFileSync(join(directory.path, name)));
  writeFileSync(join(directory.path, "both.pem"), Buffer.concat(both));
});
afterAll(() => directory.remove());

/** What is wrong with a configuration according to us: `undefined` if nothing. */
function complaint(text: string): string | undefined {
  try {
    const { tls } = parseWebConfig(text, (name) => resolve(directory.path, name));
    if (tls !== undefined) readServerTls(tls);
    return undefined;
  } catch (error) {
    if (!(error instanceof WebConfigError)) throw error;
    return error.message;
  }
}

/** The same by promtool, which judges all files in one run. */
async function promtoolComplaints(promtool: string, texts: string[]) {
  const paths = texts.map((text, index) => {
    const path = join(directory.path, `web-${index}.yml`);
    writeFileSync(path, text);
    return path;
  });
  const { stdout, stderr } = await promisify(execFile)(promtool, [
    "check",
    "web-config",
    ...paths,
  ]).catch((error: { stdout: string; stderr: string }) => error);
  return paths.map((path) => {
    const said = `\n${stdout}\n${stderr}`;
    if (said.includes(`\n${path} SUCCESS`)) return undefined;
    const [, complaint] = said.split(`\n${path} FAILED: `);
    return complaint?.split(`\n${directory.path}/web-`, 1)[0] ?? "nothing said";
  });
}

const tls = (...lines: string[]) =>
  [
    "tls_server_config:",
    "  cert_file: server.pem",
    "  key_file: server.key",
    ...lines.map((line) => `  ${line}`),
    "",
  ].join("\n");
const users = (hash: string) => `basic_auth_users:\n  alice: ${hash}\n`;
const headers = (...lines: string[]) =>
  ["http_server_config:", "  headers:", ...lines.map((line) => `    ${line}`), ""].join("\n");

const salted = "X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
const hash = `$2y$10$${salted}`;

/** A file, and for a bad one the key that our message names and what promtool says of it. */
type Row = [name: string, text: string, key?: string, promtool?: string];

/** Files of keys that both know. */
const rows: Row[] = [
  // Good ones.
  ["nothing", ""],
  ["a comment", "# nothing\n"],
  ["an empty mapping", "{}\n"],
  ["null for each section", "tls_server_config:\nhttp_server_config: ~\nbasic_auth_users: null\n"],
  ["empty sections", "tls_server_config: {}\nhttp_server_config: {}\nbasic_auth_users: {}\n"],
  ["certificate and key", tls()],
  ["absolute paths are as good", tls().replace("server.pem", "./server.pem")],
  [
    "certificate and key in one file",
    "tls_server_config: {cert_file: both.pem, key_file: both.pem}\n",
  ],
  ["TLS settings without TLS", "tls_server_config:\n  min_version: TLS12\n"],
  ["a client CA", tls("client_ca_file: ca.pem", "client_auth_type: RequireAndVerifyClientCert")],
  ["verified if given", tls("client_ca_file: ca.pem", "client_auth_type: VerifyClientCertIfGiven")],
  ["requested", tls("client_ca_file: ca.pem", "client_auth_type: RequestClientCert")],
  ["any required", tls("client_ca_file: ca.pem", "client_auth_type: RequireAnyClientCert")],
  ["the old name of any", tls("client_auth_type: RequireClientCert")],
  ["none", tls("client_auth_type: NoClientCert")],
  ["an empty type", tls("client_auth_type: ''")],
  ["verified without a CA", tls("client_auth_type: RequireAndVerifyClientCert")],
  [
    "a CA file without one",
    tls("client_ca_file: junk.pem", "client_auth_type: RequireAndVerifyClientCert"),
  ],
  ["TLS 1.3 only", tls("min_version: TLS13", "max_version: TLS13")],
  ["TLS 1.0", tls("min_version: TLS10", "max_version: TLS11")],
  ["a minimum above the maximum", tls("min_version: TLS13", "max_version: TLS12")],
  ["null for a version", tls("min_version:", "max_version: ~")],
  [
    "cipher suites",
    tls("cipher_suites:", "- TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "- TLS_AES_128_GCM_SHA256"),
  ],
  ["ChaCha20 by Go's name", tls("cipher_suites: [TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256]")],
  ["a suite that HTTP/2 forbids", tls("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA]")],
  ["no cipher suites", tls("cipher_suites: []")],
  ["null for cipher suites", tls("cipher_suites:")],
  ["no preference of the server's", tls("prefer_server_cipher_suites: false")],
  ["YAML 1.1 booleans", tls("prefer_server_cipher_suites: yes")],
  ["YAML 1.1 booleans of one letter", "http_server_config: {http2: n}\n"],
  ["curves", tls("curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]")],
  ["no HTTP/2", `${tls()}http_server_config:\n  http2: false\n`],
  [
    "all five headers",
    headers(
      "Content-Security-Policy: default-src 'none'",
      "X-Frame-Options: deny",
      "X-Content-Type-Options: nosniff",
      "X-XSS-Protection: 1; mode=block",
      "Strict-Transport-Security: max-age=31536000",
    ),
  ],
  ["frames of the same origin", headers("X-Frame-Options: sameorigin")],
  ["an empty header", headers("Content-Security-Policy: ''")],
  ["null for a header", headers("Content-Security-Policy:")],
  ["a number for a header", headers("X-XSS-Protection: 0")],
  ["a boolean for a header", headers("X-XSS-Protection: off")],
  ["a user", users(hash)],
  ["a quoted hash", users(`'${hash}'`)],
  ["a hash of version 2a", users(`$2a$04$${salted}`)],
  ["a hash of version 2 without a letter", users(`$2$10$${salted}`)],
  ["a hash with something behind it", users(`${hash}xxxx`)],
  ["the highest cost", users(`$2y$31$${salted}`)],
  ["a number for a name", `basic_auth_users:\n  1: ${hash}\n`],
  ["an empty name", `basic_auth_users:\n  '': ${hash}\n`],
  ["an explicit key", `basic_auth_users: {? alice : ${hash}}\n`],
  ["anchors", `tls_server_config:\n  cert_file: &file both.pem\n  key_file: *file\n`],
  [
    "merged keys",
    `tls_server_config:\n  <<: {cert_file: server.pem, min_version: TLS10}\n  key_file: server.key\n  min_version: TLS13\n`,
  ],
  ["a second document", "http_server_config:\n---\nunknown: 1\n"],
  ["a byte order mark", "\ufeffhttp_server_config: {}\n"],
  ["Windows line ends", "http_server_config:\r\n  http2: true\r\n"],
  ["JSON", '{"http_server_config": {"http2": false}}'],
  // Bad ones.
  ["an unknown section", "foo: 1\n", "foo"],
  ["an unknown section beside a good one", `${tls()}tls: {}\n`, "tls", "field tls not found"],
  ["a number for a section's name", "1: 2\n", '"1"', "field 1 not found"],
  ["an unknown key of TLS", tls("cert_files: a"), "cert_files"],
  ["a capital in a key", tls("Min_version: TLS12"), "Min_version"],
  ["an unknown key of HTTP", "http_server_config:\n  http3: true\n", "http3"],
  [
    "a section twice",
    "http_server_config: {}\nhttp_server_config: {}\n",
    "http_server_config",
    "already set",
  ],
  ["a key twice", "http_server_config:\n  http2: true\n  http2: false\n", "http2"],
  ["a user twice", `basic_auth_users:\n  alice: ${hash}\n  alice: ${hash}\n`, "alice"],
  ["no key", "tls_server_config:\n  cert_file: server.pem\n", "key_file", "key"],
  ["no certificate", "tls_server_config:\n  key_file: server.key\n", "cert_file", "cert"],
  ["neither", "tls_server_config:\n  client_auth_type: RequestClientCert\n", "cert_file", "cert"],
  [
    "an empty path",
    "tls_server_config:\n  cert_file: ''\n  key_file: server.key\n",
    "cert_file",
    "cert",
  ],
  [
    "a certificate that is not there",
    tls().replace("server.pem", "none.pem"),
    "cert_file",
    "none.pem",
  ],
  ["a key that is not there", tls().replace("server.key", "none.key"), "key_file", "none.key"],
  ["a directory", tls().replace("server.pem", "."), "cert_file", "is a directory"],
  [
    "a certificate that is none",
    tls().replace("server.pem", "junk.pem"),
    "cert_file",
    "certificate",
  ],
  ["an empty certificate", tls().replace("server.pem", "empty.pem"), "cert_file", "certificate"],
  ["a key that is none", tls().replace("server.key", "junk.pem"), "key_file", "key"],
  [
    "certificate and key swapped",
    "tls_server_config:\n  cert_file: server.key\n  key_file: server.pem\n",
    "cert_file",
    "certificate",
  ],
  ["the key of another", tls().replace("server.key", "client.key"), "key_file", "private key"],
  ["a client CA without a type", tls("client_ca_file: ca.pem"), "client_auth_type", "Client Auth"],
  [
    "a client CA and no client certificate",
    tls("client_ca_file: ca.pem", "client_auth_type: NoClientCert"),
    "client_auth_type",
    "Client Auth",
  ],
  [
    "a client CA that is not there",
    tls("client_ca_file: none.pem", "client_auth_type: RequireAndVerifyClientCert"),
    "client_ca_file",
    "none.pem",
  ],
  ["an unknown type", tls("client_auth_type: Require"), "client_auth_type", "ClientAuth: Require"],
  ["a list for a type", tls("client_auth_type: [RequestClientCert]"), "client_auth_type", "line 4"],
  ["an unknown version", tls("min_version: TLS14"), "TLS14"],
  ["a version as a number", tls("min_version: 1.2"), "1.2"],
  ["an empty version", tls("max_version: ''"), "max_version", "TLS version"],
  ["an unknown suite", tls("cipher_suites: [TLS_FOO]"), "TLS_FOO"],
  [
    "a suite by OpenSSL's name",
    tls("cipher_suites: [ECDHE-RSA-AES128-GCM-SHA256]"),
    "ECDHE-RSA-AES128-GCM-SHA256",
  ],
  [
    "a suite that is insecure",
    tls("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"),
    "TLS_RSA_WITH_RC4_128_SHA",
  ],
  ["an empty suite", tls("cipher_suites: ['']"), "cipher_suites", "unknown cipher"],
  [
    "one suite without a list",
    tls("cipher_suites: TLS_AES_128_GCM_SHA256"),
    "cipher_suites",
    "line 4",
  ],
  ["an unknown curve", tls("curve_preferences: [CurveP224]"), "CurveP224"],
  ["a curve by another name", tls("curve_preferences: [P-256]"), "P-256"],
  [
    "a quoted boolean",
    tls("prefer_server_cipher_suites: 'true'"),
    "prefer_server_cipher_suites",
    "line 4",
  ],
  ["a number for a boolean", "http_server_config:\n  http2: 1\n", "http2", "line 2"],
  [
    "a list for a path",
    "tls_server_config:\n  cert_file: [a]\n  key_file: server.key\n",
    "cert_file",
    "line 2",
  ],
  ["a header that cannot be set", headers("X-Foo: a"), "X-Foo"],
  ["a header in small letters", headers("x-frame-options: deny"), "x-frame-options"],
  ["an unknown value of a header", headers("X-Frame-Options: allow"), "X-Frame-Options"],
  ["a value in capitals", headers("X-Frame-Options: DENY"), "X-Frame-Options"],
  [
    "an empty value where few are allowed",
    headers("X-Content-Type-Options: ''"),
    "X-Content-Type-Options",
  ],
  [
    "a list for a header",
    headers("Content-Security-Policy: [a]"),
    "Content-Security-Policy",
    "line 3",
  ],
  ["a list for headers", "http_server_config:\n  headers: [a]\n", "headers", "line 2"],
  ["no hash", "basic_auth_users:\n  alice:\n", "alice", "too short"],
  ["a password for a hash", users("secret"), "alice", "too short"],
  ["a short hash", users("$2y$10$short"), "alice", "too short"],
  ["a hash of version 3", users(`$3y$10$${salted}`), "alice", "version"],
  ["a hash without its mark", users(`02y$10$${salted}`), "alice", "$"],
  ["a cost that is too high", users(`$2y$32$${salted}`), "alice", "cost 32"],
  ["a cost that is too low", users(`$2y$03$${salted}`), "alice", "cost 3"],
  ["a cost that is no number", users(`$2y$1x$${salted}`), "alice", "1x"],
  ["a list of users", "basic_auth_users: [alice]\n", "basic_auth_users", "line 1"],
  ["a text for a section", "tls_server_config: on\n", "tls_server_config", "line 1"],
  ["a text for all", "foo\n", "mapping", "line 1"],
  ["a list for all", "- tls_server_config\n", "mapping", "line 1"],
  ["a tab", "http_server_config:\n\thttp2: true\n", "line 2", "line 2"],
  ["what is not YAML", "tls_server_config: {\n", "line", "line"],
  ["a list for a key", "? [a]\n: b\n", "line 1: keys must be text", "line 1"],
  ["an unknown anchor", "tls_server_config: *a\n", "YAML", "unknown anchor"],
  [
    "an alias of another section",
    "tls_server_config: &a\n  cert_file: server.pem\n  key_file: server.key\nhttp_server_config: *a\n",
    "cert_file",
  ],
];

describe.skipIf(openssl.path === undefined)("a web configuration file", () => {
  it("has at least 60 examples", () => {
    expect(rows.length).toBeGreaterThan(60);
    expect(new Set(rows.map(([name]) => name)).size).toBe(rows.length);
  });

  it.each(rows)("%s", (_name, text, key) => {
    const said = complaint(text);
    if (key === undefined) expect(said).toBeUndefined();
    else expect(said).toContain(key);
    expect(said ?? "").not.toContain("\n");
  });

  for (const [version, tool] of Object.entries({ older, newer })) {
    it.skipIf(tool.path === undefined)(`is judged the same by promtool ${version}`, async () => {
      const said = await promtoolComplaints(
        tool.path as string,
        rows.map(([, text]) => text),
      );
      rows.forEach(([name, , key, promtool], index) => {
        if (key === undefined) expect(said[index], name).toBeUndefined();
        else expect(said[index], name).toContain(promtool ?? key);
      });
    });
  }
});

/** Keys and judgements that only the newer promtool has. */
const newerRows: Row[] = [
  ["a rate limit", "rate_limit:\n  interval: 1s\n  burst: 5\n"],
  ["a rate limit in parts of a second", "rate_limit: {interval: 1m30.5s, burst: 1}\n"],
  ["a rate limit in nanoseconds", "rate_limit: {interval: 1000000, burst: 1}\n"],
  ["no rate limit", "rate_limit: {interval: 0, burst: 0}\n"],
  ["a burst alone", "rate_limit: {burst: 5}\n"],
  ["null for a rate limit", "rate_limit:\n"],
  [
    "names of clients",
    tls(
      "client_ca_file: ca.pem",
      "client_auth_type: RequireAndVerifyClientCert",
      "client_allowed_sans: [prometheus.example.org, 10.1.2.3]",
    ),
  ],
  [
    "names of any client",
    tls("client_auth_type: RequireAnyClientCert", "client_allowed_sans: [a]"),
  ],
  ["null for names", tls("client_allowed_sans:")],
  ["a rate limit without a unit", "rate_limit: {interval: '5', burst: 1}\n", "interval", "line 1"],
  ["a rate limit of words", "rate_limit: {interval: often, burst: 1}\n", "interval", "line 1"],
  ["a burst of words", "rate_limit: {interval: 1s, burst: many}\n", "burst", "line 1"],
  ["an unknown key of the rate limit", "rate_limit: {interval: 1s, bursts: 1}\n", "bursts"],
  [
    "one name without a list",
    tls("client_auth_type: RequireAnyClientCert", "client_allowed_sans: a"),
    "client_allowed_sans",
    "line 5",
  ],
  ["a certificate in the file, no key", "tls_server_config:\n  cert: a\n", "key_file", "key"],
  ["a key in the file, no certificate", "tls_server_config:\n  key: a\n", "cert_file", "cert"],
  [
    "a certificate in the file that is none",
    "tls_server_config: {cert: a, key: b}\n",
    "cert",
    "certificate",
  ],
  ["a CA in the file without a type", tls("client_ca: a"), "client_auth_type", "Client Auth"],
  [
    "RSA key exchange, insecure since Go 1.22",
    tls("cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]"),
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
  ],
];

/** Where exporter-toolkit's newest documentation is stricter than its program, or silent. */
const strictRows: Row[] = [
  ["names without a type", tls("client_allowed_sans: [a]"), "client_auth_type"],
  [
    "names with a type that asks only",
    tls(
      "client_ca_file: ca.pem",
      "client_auth_type: VerifyClientCertIfGiven",
      "client_allowed_sans: [a]",
    ),
    "client_auth_type",
  ],
  ["a burst of none, which refuses all", "rate_limit: {interval: 1s, burst: 0}\n", "burst"],
  ["no burst", "rate_limit: {interval: 1s}\n", "burst"],
  ["a negative interval", "rate_limit: {interval: -1s, burst: 1}\n", "interval"],
  [
    "a header with a line end",
    headers('Content-Security-Policy: "a\\nb"'),
    "Content-Security-Policy",
  ],
];

describe.skipIf(openssl.path === undefined)("newer keys", () => {
  it.each([...newerRows, ...strictRows])("%s", (_name, text, key) => {
    const said = complaint(text);
    if (key === undefined) expect(said).toBeUndefined();
    else expect(said).toContain(key);
  });

  it("accept certificate, key and CA as text", () => {
    const pem = (name: string) =>
      readFileSync(join(directory.path, name), "utf8").replaceAll("\n", "\n    ");
    const text = [
      "tls_server_config:",
      `  cert: |\n    ${pem("server.pem")}`,
      `  key: |\n    ${pem("server.key")}`,
      `  client_ca: |\n    ${pem("ca.pem")}`,
      "  client_auth_type: RequireAndVerifyClientCert",
    ].join("\n");
    expect(complaint(text)).toBeUndefined();
    newerRows.push(["everything as text", text]);
  });

  it.skipIf(newer.path === undefined)("are judged alike by the newer promtool", async () => {
    const said = await promtoolComplaints(
      newer.path as string,
      newerRows.map(([, text]) => text),
    );
    newerRows.forEach(([name, , key, promtool], index) => {
      if (key === undefined) expect(said[index], name).toBeUndefined();
      else expect(said[index], name).toContain(promtool ?? key);
    });
  });
});
