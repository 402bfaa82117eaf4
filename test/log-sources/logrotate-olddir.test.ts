import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hashHead } from "../../src/log-sources/log-identity.ts";
import { oldDirectories } from "../../src/log-sources/logrotate-olddir.ts";
import { unreadParts } from "../../src/log-sources/rotated-logs.ts";

let root: string;
let log: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "olddir-"));
  log = join(root, "var/log/kern.log");
  for (const directory of ["var/log/archive", "etc/logrotate.d", "srv/old"]) {
    mkdirSync(join(root, directory), { recursive: true });
  }
});
afterEach(() => rmSync(root, { recursive: true }));

const configure = (text: string, file = "logrotate.d/rsyslog") =>
  writeFileSync(join(root, "etc", file), text);

describe("olddir", () => {
  it("is of the blocks that name the log, and of the whole configuration", () => {
    configure("weekly\nolddir /srv/old # for all\n", "logrotate.conf");
    configure(
      '"/var/log/mail.log" {\n  olddir /srv/mail\n}\n/var/log/syslog\n/var/log/kern*\n{\n  rotate 4\n  olddir archive\n}\n',
    );
    expect(oldDirectories(log)).toEqual([join(root, "srv/old"), join(root, "var/log/archive")]);
  });

  it("is none without a configuration, and for a log that is elsewhere", () => {
    expect(oldDirectories(log)).toEqual([]);
    configure("olddir /srv/old\n", "logrotate.conf");
    expect(oldDirectories("/data/kern.log")).toEqual([]);
  });

  it("is searched for the rest of a rotated log", () => {
    configure("/var/log/kern.log {\n  olddir archive\n}\n");
    const old = "read\nunread\n";
    writeFileSync(join(root, "var/log/archive/kern.log.1"), old);
    writeFileSync(log, "new\n");
    const head = Buffer.from(old);
    const position = { headHash: hashHead(head), headLength: head.length, offset: "read\n".length };
    const { parts, found } = unreadParts(log, position);
    for (const { part } of parts) part.log.close();
    expect(found).toBe(true);
    expect(parts.map(({ part, offset }) => [part.path, offset])).toEqual([
      [join(root, "var/log/archive/kern.log.1"), "read\n".length],
      [log, 0],
    ]);
  });
});
