import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext, type SecureContextOptions, type TLSSocket } from "node:tls";
import { curves, opensslCiphers, tlsVersions } from "./tls-names.ts";
import type { PemSource, TlsConfig } from "./web-config.ts";
import { WebConfigError } from "./web-config-error.ts";

/** What a TLS server needs from a configuration and the files that it names. */
export interface ServerTls {
  context: SecureContextOptions;
  requestCert: boolean;
  rejectUnauthorized: boolean;
  /** Why a client is rejected after the handshake; `undefined` if it is accepted. */
  refusal(client: TLSSocket): string | undefined;
}

/**
 * Reads certificate, key and client CA, and checks that they match.
 * @throws {WebConfigError}
 */
export function readServerTls(config: TlsConfig): ServerTls {
  const cert = readPem("cert", config.cert);
  const key = readPem("key", config.key);
  checkPair(cert, key, config);
  const { clientCa, clientAuthType, clientAllowedSans, curvePreferences } = config;
  const context: SecureContextOptions = {
    cert,
    key,
    // Without a client CA no client certificate is accepted; Node.js would accept all public CAs.
    ca: clientCa === undefined ? [] : certificatesIn(readPem("client_ca", clientCa)),
    minVersion: tlsVersions[config.minVersion],
    maxVersion: tlsVersions[config.maxVersion],
    ciphers: opensslCiphers(config.cipherSuites, config.minVersion),
    honorCipherOrder: config.preferServerCipherSuites,
    ...(curvePreferences.length > 0 && {
      ecdhCurve: curvePreferences.map((name) => curves[name]).join(":"),
    }),
  };
  try {
    createSecureContext(context);
  } catch (error) {
    throw new WebConfigError(`tls_server_config: ${(error as Error).message}`);
  }
  return {
    context,
    requestCert: clientAuthType !== "NoClientCert",
    rejectUnauthorized: clientAuthType === "RequireAndVerifyClientCert",
    refusal(client) {
      const certificate = client.getPeerX509Certificate();
      if (certificate === undefined) {
        return clientAuthType.startsWith("Require") ? "no client certificate" : undefined;
      }
      if (clientAuthType.includes("Verify") && !client.authorized) {
        return String(client.authorizationError);
      }
      if (clientAllowedSans === undefined) return undefined;
      const names = subjectAltNames(certificate.subjectAltName ?? "");
      return names.some((name) => clientAllowedSans.includes(name))
        ? undefined
        : "the client certificate has no name in client_allowed_sans";
    },
  };
}

/** Changes when a file that a configuration names changes; cheap enough for every connection. */
export function versionOfFiles({ cert, key, clientCa }: TlsConfig): string {
  return [cert, key, clientCa].map((source) => versionOf(source)).join(" ");
}

function versionOf(source: PemSource | undefined): string {
  return source === undefined || "text" in source ? "-" : fileVersion(source.file);
}

/** Changes when the file changes or becomes readable or unreadable. */
export function fileVersion(path: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${ino}.${size}.${mtimeNs}.${ctimeNs}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "?";
  }
}

/** When the file was last changed, milliseconds since the epoch; `undefined` if it is not readable. */
export function changedMs(path: string): number | undefined {
  try {
    return statSync(path).ctimeMs;
  } catch {
    return undefined;
  }
}

function readPem(key: string, source: PemSource): string {
  if ("text" in source) return source.text;
  try {
    return readFileSync(source.file, "latin1");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new WebConfigError(`tls_server_config: ${key}_file ${source.file}: ${code}`);
  }
}

/** Names the key that does not fit and says why. */
function checkPair(cert: string, key: string, config: TlsConfig): void {
  const [certKey, keyKey] = [nameOf("cert", config.cert), nameOf("key", config.key)];
  const attempt = <Value>(name: string, what: string, read: () => Value): Value => {
    try {
      return read();
    } catch {
      throw new WebConfigError(`tls_server_config: ${name}: ${what}`);
    }
  };
  const [pem = ""] = certificatesIn(cert);
  const certificate = attempt(certKey, "no PEM certificate", () => new X509Certificate(pem));
  const privateKey = attempt(keyKey, "no PEM private key without a passphrase", () =>
    createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new WebConfigError(`tls_server_config: ${keyKey}: does not match ${certKey}`);
  }
}

function nameOf(key: string, source: PemSource): string {
  return "text" in source ? key : `${key}_file ${source.file}`;
}

/** The certificates in a PEM text; anything else is skipped, as in Go. */
function certificatesIn(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

/**
 * The values of a certificate's `subjectAltName` as Node.js writes it, e.g.
 * `DNS:web-03, IP Address:10.0.0.1, URI:"a, b"`: DNS names, e-mail and IP addresses, URIs.
 */
export function subjectAltNames(text: string): string[] {
  const entries =
    /(DNS|email|IP Address|URI):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)|[^,"]*(?:"(?:[^"\\]|\\.)*"[^,"]*)*(?:, |$)/gy;
  const names: string[] = [];
  for (const [whole, kind, value] of text.matchAll(entries)) {
    if (whole === "") break;
    if (kind === undefined || value === undefined) continue;
    const name = value.startsWith('"') ? unquoted(value) : value;
    if (name === undefined) continue;
    names.push(kind === "IP Address" ? shortAddress(name) : name);
  }
  return names;
}

/** Node.js quotes like JSON; `undefined` for anything else. */
function unquoted(text: string): string | undefined {
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}

/** As Go writes an address: `2001:db8::1` for OpenSSL's `2001:DB8:0:0:0:0:0:1`. */
function shortAddress(address: string): string {
  return address.includes(":") && URL.canParse(`http://[${address}]`)
    ? new URL(`http://[${address}]`).hostname.slice(1, -1)
    : address;
}
