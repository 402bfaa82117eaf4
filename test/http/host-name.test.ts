import { describe, expect, it } from "vitest";
import { acceptedHostNames, isAcceptedHost } from "../../src/http/host-name.ts";

describe("acceptedHostNames", () => {
  const hostName = "web-03.example.org";

  it("is every name if it listens on every interface without an external URL", () => {
    expect(acceptedHostNames({ hostName, listenHosts: [undefined] })).toBeUndefined();
    expect(acceptedHostNames({ hostName, listenHosts: ["127.0.0.1", "::"] })).toBeUndefined();
    expect(acceptedHostNames({ hostName, listenHosts: ["0.0.0.0"] })).toBeUndefined();
  });

  it("is the machine's, the addresses' and the external URL's otherwise", () => {
    expect(
      acceptedHostNames({
        hostName,
        listenHosts: [undefined],
        externalUrl: "https://Monitoring.example.org:8443/oom",
      }),
    ).toEqual(["web-03.example.org", "web-03", "monitoring.example.org"]);
    expect(acceptedHostNames({ hostName, listenHosts: ["127.0.0.1", "oom.lan"] })).toContain(
      "oom.lan",
    );
  });
});

describe("isAcceptedHost", () => {
  const names = ["web-03", "monitoring.example.org"];

  it.each([
    "127.0.0.1:10137",
    "10.1.2.3",
    "[::1]:10137",
    "[2001:db8::1]",
    "localhost:10137",
    "LOCALHOST",
    "web-03:10137",
    "Monitoring.Example.org",
    "monitoring.example.org.:443",
    "",
    undefined,
  ])("takes %s", (host) => {
    expect(isAcceptedHost(host, names)).toBe(true);
  });

  it.each([
    "attacker.example",
    "attacker.example:10137",
    "web-03.attacker.example",
    "localhost.attacker.example",
    "127.0.0.1.attacker.example",
    "[attacker.example]",
    "a:b:c",
    "web-03:port",
  ])("refuses %s", (host) => {
    expect(isAcceptedHost(host, names)).toBe(false);
  });
});
