import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../setup/exporter-process.ts";
import { needs } from "../setup/needs.ts";
import { type Account, accounts, BareDebian, bareDebianObstacle } from "./bare-debian.ts";

/*
 * Both commands of the README in Debian with nothing but Node.js in it, on this machine's kernel, in a
 * clone of what is committed. One part of it: npm run test:bare -- -t 'Debian 12 npm ci && npm test as root'
 */

const healthy = "http://127.0.0.1:10137/-/healthy";

const releases = [
  ["12", "bookworm"],
  ["13", "trixie"],
] as const;

needs(describe, bareDebianObstacle()).each(releases)("in a bare Debian %s", (_, suite) => {
  let debian: BareDebian;
  let logs: string;

  beforeAll(async () => {
    logs = mkdtempSync(join(tmpdir(), "oom-exporter-bare-"));
    debian = await BareDebian.make(suite);
  });

  afterAll(() => {
    debian?.remove();
    rmSync(logs, { recursive: true, force: true });
  });

  describe.each(Object.keys(accounts) as Account[])("as %s", (account) => {
    it("npm ci && npm start serves", async () => {
      expect(await isServing(), `${healthy} answers before anything was started`).toBe(false);
      await debian.clone(resolve("."), account);
      const log = join(logs, "start");
      const npm = debian.start("npm ci && npm start", account, log);
      const ended = once(npm, "exit");
      try {
        const serves = eventually("it serves", isServing, 600_000);
        await Promise.race([serves, ended]);
        expect(npm.exitCode, readFileSync(log, "utf8")).toBeNull();
        const metrics = await fetch("http://127.0.0.1:10137/metrics");
        expect(await metrics.text()).toContain("\noom_host_memory_total_bytes ");
      } finally {
        debian.endAll();
        await ended;
      }
    });

    it("npm ci && npm test passes", async () => {
      await debian.clone(resolve("."), account);
      const log = join(logs, "test");
      const begun = performance.now();
      const code = await debian.run("npm ci && npm test", account, log);
      const said = readFileSync(log, "utf8");
      debian.endAll();
      const seconds = Math.round((performance.now() - begun) / 1000);
      const closing = /^\d+ passed, \d+ failed, \d+ skipped$/m.exec(said)?.[0];
      const skipped = said.match(/^skipped: .*/gm) ?? [];
      console.log([...skipped, `${suite}, ${account}: ${closing}, ${seconds} s`].join("\n"));
      expect(code, said.slice(-20_000)).toBe(0);
      expect(closing).toMatch(/^[1-9]\d* passed, 0 failed/);
    });
  });
});

function isServing(): Promise<boolean> {
  return fetch(healthy).then(
    ({ ok }) => ok,
    () => false,
  );
}
