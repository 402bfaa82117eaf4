import { describe, expect, it } from "vitest";
import { parseExternalUrl } from "../../src/http/external-url.ts";

describe("the external URL", () => {
  it.each([
    ["https://monitoring.example.org/oom/", "https://monitoring.example.org/oom"],
    ["http://Host:10137", "http://host:10137"],
    ["http://10.0.0.7:10137", "http://10.0.0.7:10137"],
    ["http://[fd00::7]:10137/", "http://[fd00::7]:10137"],
    ["https://user:secret@host/oom?x=1#top", "https://host/oom"],
  ])("%s is %s", (text, url) => {
    expect(parseExternalUrl(text)).toEqual({ url });
  });

  it.each([
    ["http://fd00::7:10137", "http://[fd00::7]:10137"],
    ["https://2001:db8:1:2:3:4:5:6:10137/oom", "https://[2001:db8:1:2:3:4:5:6]:10137/oom"],
    ["http://::ffff:10.0.0.7:80", "http://[::ffff:a00:7]"],
  ])("takes an IPv6 address without brackets: %s", (text, url) => {
    expect(parseExternalUrl(text)).toEqual({ url });
  });

  it.each([
    "",
    "host:10137",
    "ftp://host",
    "http://",
    "http://fd00::7",
    `http://${"a".repeat(260)}`,
  ])("refuses %j", (text) => {
    expect(parseExternalUrl(text)).toMatch(/^must /);
  });
});
