import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { debianTool } from "./debian-tools.ts";

/** OpenSSL's program, or why this machine cannot have it. */
export const openssl = await debianTool("openssl", "usr/bin/openssl");

/** Runs openssl in a directory; what it says is in the error. */
export function runOpenssl(directory: string, ...args: string[]): string {
  return execFileSync(openssl.path as string, args, {
    cwd: directory,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/**
 * Writes a CA (`ca.pem`, `ca.key`), one that nobody knows (`foreign-ca.pem`), a certificate for
 * localhost (`server.pem`, `server.key`), one for a client (`client.pem`, `client.key`) and one of
 * the foreign CA for the same client (`foreign.pem`, `foreign.key`), all with elliptic keys.
 */
export function makeCertificates(directory: string): void {
  makeCa(directory, "ca");
  makeCa(directory, "foreign-ca");
  issue(directory, "server", "ca", "DNS:localhost,IP:127.0.0.1");
  const names =
    "DNS:prometheus.example.org,email:ops@example.org,IP:10.1.2.3,IP:2001:db8::1,URI:spiffe://example.org/prometheus";
  issue(directory, "client", "ca", names);
  issue(directory, "foreign", "foreign-ca", names);
}

function makeCa(directory: string, name: string): void {
  runOpenssl(
    directory,
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-keyout", `${name}.key`, "-out", `${name}.pem`, "-days", "3650"],
    ...["-subj", `/CN=${name}`, "-addext", "basicConstraints=critical,CA:TRUE"],
  );
}

/** Issues a certificate; again, it is a new one with a new key. */
export function issue(directory: string, name: string, ca: string, subjectAltName: string): void {
  runOpenssl(
    directory,
    ...["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`],
  );
  writeFileSync(
    join(directory, `${name}.ext`),
    `subjectAltName=${subjectAltName}\nextendedKeyUsage=serverAuth,clientAuth\n`,
  );
  runOpenssl(
    directory,
    ...["x509", "-req", "-in", `${name}.csr`, "-CA", `${ca}.pem`, "-CAkey", `${ca}.key`],
    ...["-out", `${name}.pem`, "-days", "3650", "-CAcreateserial", "-extfile", `${name}.ext`],
  );
}
