import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebAccess } from "../../src/web-config/web-access.ts";

const user =
  "basic_auth_users:\n  alice: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\n";

let directory: string;
let path: string;
let monotonicMs: number;
let ageMs: number;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "web-access-"));
  path = join(directory, "web.yml");
  monotonicMs = 0;
  ageMs = 0;
});
afterEach(() => rmSync(directory, { recursive: true }));

function accessOf(): WebAccess {
  return new WebAccess({
    path,
    compare: async (password) => password === "secret",
    secret: Buffer.from("key"),
    monotonicMs: () => monotonicMs,
    nowMs: () => statSync(path).ctimeMs + ageMs,
    timeouts: { keepAliveTimeout: 1, requestTimeout: 1 },
    log: { info() {}, warn() {}, error() {} },
  });
}

/** The status of the answer to a request without a password. */
function ask(access: WebAccess): Promise<number> {
  return new Promise((resolve) => {
    const response = { setHeader() {}, writeHead: resolve, end() {} };
    const guard = access.guard(() => resolve(200));
    guard({ headers: {} } as never, response as never);
  });
}

describe("a web configuration that no longer demands a password", () => {
  it("opens nothing while it is being written: it must stay so for a second", async () => {
    writeFileSync(path, user);
    const access = accessOf();
    expect(await ask(access)).toBe(401);
    // As an editor does it: emptied first, then written.
    writeFileSync(path, "");
    expect(await ask(access)).toBe(401);
    monotonicMs = 999;
    expect(await ask(access)).toBe(401);
    writeFileSync(path, "basic_auth_users:\n");
    monotonicMs = 1500;
    expect(await ask(access)).toBe(401);
    writeFileSync(path, user);
    monotonicMs = 9000;
    expect(await ask(access)).toBe(401);
  });

  it("is taken if it stays so, or has been so before the first request", async () => {
    writeFileSync(path, user);
    const seen = accessOf();
    const unseen = accessOf();
    writeFileSync(path, "rate_limit: {}\n");
    expect(await ask(seen)).toBe(401);
    monotonicMs = 1000;
    expect(await ask(seen)).toBe(200);
    ageMs = 1000;
    expect(await ask(unseen)).toBe(200);
  });

  it("stays refused after an invalid file in between", async () => {
    writeFileSync(path, user);
    const access = accessOf();
    writeFileSync(path, "basic_auth");
    expect(await ask(access)).toBe(500);
    writeFileSync(path, "");
    expect(await ask(access)).toBe(500);
    monotonicMs = 1000;
    expect(await ask(access)).toBe(200);
  });
});
