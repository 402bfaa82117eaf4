/*
 * Go's names for TLS parameters, as a web configuration gives them, and OpenSSL's names for the same.
 * https://pkg.go.dev/crypto/tls#CipherSuites has the suites that Go considers secure; suites with RSA key exchange
 * left that list in Go 1.22.
 */
import type { SecureVersion } from "node:tls";

export const tlsVersions = {
  TLS10: "TLSv1",
  TLS11: "TLSv1.1",
  TLS12: "TLSv1.2",
  TLS13: "TLSv1.3",
} as const satisfies Record<string, SecureVersion>;

export type TlsVersion = keyof typeof tlsVersions;

const tls13Suites = {
  TLS_AES_128_GCM_SHA256: "TLS_AES_128_GCM_SHA256",
  TLS_AES_256_GCM_SHA384: "TLS_AES_256_GCM_SHA384",
  TLS_CHACHA20_POLY1305_SHA256: "TLS_CHACHA20_POLY1305_SHA256",
};

/** With forward secrecy and authenticated encryption. */
const strongSuites = {
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
};

/** Everything that TLS 1.0 and 1.1 have. */
const oldSuites = {
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
};

export const cipherSuites: Readonly<Record<string, string>> = {
  ...tls13Suites,
  ...strongSuites,
  ...oldSuites,
};

export const curves: Readonly<Record<string, string>> = {
  CurveP256: "P-256",
  CurveP384: "P-384",
  CurveP521: "P-521",
  X25519: "X25519",
};

/**
 * OpenSSL's cipher list for Go's names. The TLS 1.3 suites are always on, as in Go.
 *
 * @param suites empty for the default: forward secrecy and authenticated encryption.
 */
export function opensslCiphers(suites: readonly string[], minVersion: TlsVersion): string {
  const isOld = minVersion === "TLS10" || minVersion === "TLS11";
  const chosen =
    suites.length > 0
      ? suites.filter((name) => !(name in tls13Suites))
      : Object.keys({ ...strongSuites, ...(isOld ? oldSuites : {}) });
  const names = [...Object.values(tls13Suites), ...chosen.map((name) => cipherSuites[name])];
  // At its default level OpenSSL rejects the signatures that TLS 1.0 and 1.1 need.
  return [...names, ...(isOld ? ["@SECLEVEL=0"] : [])].join(":");
}

/** HTTP/2 forbids all other suites below TLS 1.3, and requires the first two. */
export function allowsHttp2(suites: readonly string[]): boolean {
  const named = suites.filter((name) => !(name in tls13Suites));
  return (
    suites.length === 0 ||
    named.includes("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") ||
    named.includes("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
  );
}
