import { randomBytes } from "node:crypto";
import { hashSync } from "bcryptjs";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { BasicAuth, readCredentials } from "../../src/web-config/basic-auth.ts";
import { bcryptComplaint, plainHash } from "../../src/web-config/bcrypt-hash.ts";

describe("readCredentials", () => {
  const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;

  it("reads user and password, which may have colons", () => {
    expect(readCredentials(basic("alice:se:cret"))).toEqual({ user: "alice", password: "se:cret" });
    expect(readCredentials(basic("älice:日本").replace("Basic", "bAsIc"))).toEqual({
      user: "älice",
      password: "日本",
    });
    expect(readCredentials(basic(":"))).toEqual({ user: "", password: "" });
  });

  it.each([
    undefined,
    "",
    "Basic",
    "Basic ",
    "Basic a",
    "Basic YWxpY2U=",
    "Bearer YTpi",
    "Basic YT pi",
    "Basic YTpi, x",
  ])("ignores %j", (header) => expect(readCredentials(header)).toBeUndefined());

  it("never throws", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void readCredentials(text)));
  });
});

describe("bcrypt hashes", () => {
  it("are accepted whatever letter their version has, and compared alike", () => {
    const hash = hashSync("secret", 4);
    for (const version of ["2a", "2b", "2y", "2x", "2"]) {
      const same = hash.replace(/^\$2b/, `$${version}`);
      expect(bcryptComplaint(same)).toBeUndefined();
      expect(plainHash(same)).toBe(hash);
      expect(plainHash(`${same}behind`)).toBe(hash);
    }
  });
});

/** Each comparison waits until the test lets it go. */
class Comparisons {
  readonly begun: { password: string; hash: string; finish(isRight: boolean): void }[] = [];
  readonly compare = (password: string, hash: string) =>
    new Promise<boolean>((finish) => this.begun.push({ password, hash, finish }));
}

describe("BasicAuth", () => {
  const users = new Map([
    ["alice", "hash of alice"],
    ["bob", "hash of bob"],
  ]);
  let comparisons: Comparisons;
  let auth: BasicAuth;

  beforeEach(() => {
    comparisons = new Comparisons();
    auth = new BasicAuth(comparisons.compare, randomBytes(32));
  });

  const begun = (count: number) => expect.poll(() => comparisons.begun.length).toBe(count);

  async function check(user: string, password: string, isRight: boolean) {
    const before = comparisons.begun.length;
    const verdict = auth.check({ user, password }, users);
    await begun(before + 1);
    comparisons.begun[before]?.finish(isRight);
    return verdict;
  }

  it("compares once and keeps the answer, right or wrong", async () => {
    expect(await check("alice", "secret", true)).toBe("granted");
    expect(await check("alice", "wrong", false)).toBe("refused");
    expect(await auth.check({ user: "alice", password: "secret" }, users)).toBe("granted");
    expect(await auth.check({ user: "alice", password: "wrong" }, users)).toBe("refused");
    expect(comparisons.begun).toHaveLength(2);
  });

  it("checks again if the hash of the user has changed", async () => {
    expect(await check("alice", "secret", true)).toBe("granted");
    const changed = new Map([["alice", "another hash"]]);
    const verdict = auth.check({ user: "alice", password: "secret" }, changed);
    await begun(2);
    comparisons.begun[1]?.finish(false);
    expect(await verdict).toBe("refused");
  });

  it("checks the password of an unknown user too, against the hash of a known one, and always refuses", async () => {
    expect(await check("mallory", "secret", true)).toBe("refused");
    expect([...users.values()]).toContain(comparisons.begun[0]?.hash);
    expect(await check("mallory", "other", false)).toBe("refused");
    expect(comparisons.begun[1]?.hash).toBe(comparisons.begun[0]?.hash);
  });

  it("runs one comparison at a time and lets 31 more wait", async () => {
    const verdicts = Array.from({ length: 32 }, (_, index) =>
      auth.check({ user: "alice", password: `${index}` }, users),
    );
    expect(await auth.check({ user: "alice", password: "one too many" }, users)).toBe("busy");
    for (let count = 1; count <= 32; count++) {
      await begun(count);
      comparisons.begun[count - 1]?.finish(count === 32);
    }
    expect(await Promise.all(verdicts)).toEqual([...Array(31).fill("refused"), "granted"]);
  });

  it("makes no known client wait for a flood of wrong passwords", async () => {
    expect(await check("alice", "secret", true)).toBe("granted");
    for (let index = 0; index < 500; index++) await check("alice", `wrong ${index}`, false);
    void auth.check({ user: "alice", password: "still waiting" }, users);
    expect(await auth.check({ user: "alice", password: "secret" }, users)).toBe("granted");
  });

  it("shares a check between identical requests", async () => {
    const both = [1, 2].map(() => auth.check({ user: "alice", password: "secret" }, users));
    await begun(1);
    comparisons.begun[0]?.finish(true);
    expect(await Promise.all(both)).toEqual(["granted", "granted"]);
    expect(comparisons.begun).toHaveLength(1);
  });

  it("continues if a check fails", async () => {
    const failing = new BasicAuth(
      async () => Promise.reject(new Error("no thread")),
      randomBytes(8),
    );
    for (let count = 0; count < 40; count++) {
      await expect(failing.check({ user: "alice", password: "a" }, users)).rejects.toThrow(
        "no thread",
      );
    }
  });
});
