import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { subjectAltNames } from "../../src/web-config/server-tls.ts";
import { allowsHttp2, cipherSuites, opensslCiphers } from "../../src/web-config/tls-names.ts";

describe("subjectAltNames", () => {
  it.each([
    ["DNS:web-03, IP Address:10.0.0.1", ["web-03", "10.0.0.1"]],
    ["IP Address:2001:DB8:0:0:0:0:0:1", ["2001:db8::1"]],
    ["email:ops@example.org, URI:spiffe://a/b", ["ops@example.org", "spiffe://a/b"]],
    ["DirName:CN=a, DNS:b", ["b"]],
    ["othername:<unsupported>, DNS:b", ["b"]],
    ["", []],
  ])("of %s", (text, names) => expect(subjectAltNames(text)).toEqual(names));

  it("are not fooled by a name that contains another", () => {
    expect(subjectAltNames('URI:"http://a/, DNS:prometheus", DNS:b')).toEqual([
      "http://a/, DNS:prometheus",
      "b",
    ]);
    expect(subjectAltNames('DNS:"a\\", DNS:prometheus\\"", DNS:b')).toEqual([
      'a", DNS:prometheus"',
      "b",
    ]);
    expect(subjectAltNames('othername:"x, DNS:prometheus", DNS:b')).toEqual(["b"]);
  });

  it("passes over a name whose quotes are not JSON", () => {
    expect(subjectAltNames('URI:"\0", DNS:b')).toEqual(["b"]);
    expect(subjectAltNames('URI:"\\x", DNS:b')).toEqual(["b"]);
  });

  it("never throws", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'DNS:a, "\\URIx') }), (text) => {
        expect(Array.isArray(subjectAltNames(text))).toBe(true);
      }),
    );
  });
});

describe("cipher suites", () => {
  it("are those with forward secrecy and authenticated encryption by default", () => {
    expect(opensslCiphers([], "TLS12")).not.toMatch(/-SHA:|-SHA$|CBC|SECLEVEL/);
    expect(opensslCiphers([], "TLS10")).toMatch(/ECDHE-RSA-AES128-SHA:.*@SECLEVEL=0$/);
  });

  it("keep the order of the file, and those of TLS 1.3 always", () => {
    const names = [
      "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
      "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ];
    expect(opensslCiphers(names, "TLS12")).toBe(
      "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256",
    );
  });

  it("allow HTTP/2 if they include one that it needs", () => {
    expect(allowsHttp2([])).toBe(true);
    expect(allowsHttp2(Object.keys(cipherSuites))).toBe(true);
    expect(allowsHttp2(["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"])).toBe(false);
  });
});
