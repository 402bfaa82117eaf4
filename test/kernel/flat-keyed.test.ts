import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decimalAt, FlatKeyedFile, signedDecimalAt } from "../../src/kernel/flat-keyed.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");

describe("a flat keyed file", () => {
  const file = new FlatKeyedFile(["anon", "file", "oom", "oom_kill"] as const);

  it("returns the chosen keys and skips the others", () => {
    expect(file.parse(bytes("anon 12976128\nkernel 99\nfile 8429568\noom_kill 0\n"))).toEqual({
      anon: 12976128,
      file: 8429568,
      oom_kill: 0,
    });
  });

  it("leaves out a key that the file lacks", () => {
    expect(file.parse(bytes("oom_kill 3\n"))).toEqual({ oom_kill: 3 });
  });

  it("does not confuse keys with the same beginning or end", () => {
    expect(file.parse(bytes("anon_thp 1\noom_group_kill 2\nxfile 3\nan 4\n"))).toEqual({});
  });

  it("reads only the given number of bytes, because an older file may follow in the buffer", () => {
    const text = bytes("anon 1\nfile 22\n");
    expect(file.parse(text, "anon 1\nfile 2".length)).toEqual({ anon: 1, file: 2 });
  });

  it("leaves out a key without a number", () => {
    expect(file.parse(bytes("anon \nfile max\noom"))).toEqual({});
  });

  it("agrees with a naive split for any keys and values", () => {
    const key = fc.string({ unit: fc.constantFrom(..."abcdefgx_".split("")), minLength: 1 });
    const row = fc.tuple(key, fc.nat());
    fc.assert(
      fc.property(fc.array(row), fc.array(key, { minLength: 1 }), (rows, others) => {
        const wanted = [...new Set([...others, ...rows.slice(0, 3).map(([name]) => name)])];
        const text = rows.map(([name, value]) => `${name} ${value}\n`).join("");
        const naive = Object.fromEntries(
          text
            .split("\n")
            .map((line) => line.split(" "))
            .filter(([name]) => wanted.includes(name as string))
            .map(([name, value]) => [name, Number(value)])
            // The kernel names a key once; of two the first counts.
            .reverse(),
        );
        expect(new FlatKeyedFile(wanted).parse(bytes(text))).toEqual(naive);
      }),
    );
  });

  it("returns a value only for the key on its own line, in any order of lines", () => {
    const names = ["anon", "file", "oom", "oom_kill", "oom_group_kill", "anon_thp", "max"];
    const text = fc
      .shuffledSubarray(names)
      .chain((keys) => fc.tuple(...keys.map((key) => fc.nat().map((value) => `${key} ${value}\n`))))
      .map((lines) => lines.join(""));
    fc.assert(
      fc.property(fc.array(text, { minLength: 2 }), (files) => {
        const used = new FlatKeyedFile(["anon", "file", "oom", "oom_kill"] as const);
        for (const each of files) {
          const fresh = new FlatKeyedFile(["anon", "file", "oom", "oom_kill"] as const);
          expect(used.parse(bytes(each))).toEqual(fresh.parse(bytes(each)));
        }
      }),
    );
  });

  it("never throws, whatever bytes it is given", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (noise, length) => {
        const values = file.parse(noise, Math.min(length, noise.length));
        for (const value of Object.values(values)) expect(value).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

describe("a decimal number in bytes", () => {
  it("ends at the first byte that is no digit", () => {
    expect(decimalAt(bytes("67108864\n"), 0)).toBe(67108864);
    expect(decimalAt(bytes("a 12 b"), 2)).toBe(12);
  });

  it("is absent if there is no digit", () => {
    expect(decimalAt(bytes("max\n"), 0)).toBeUndefined();
    expect(decimalAt(bytes(""), 0)).toBeUndefined();
    expect(decimalAt(bytes("12"), 0, 0)).toBeUndefined();
  });

  it("may have a minus sign if allowed", () => {
    expect(signedDecimalAt(bytes("-1000\n"), 0)).toBe(-1000);
    expect(signedDecimalAt(bytes("300\n"), 0)).toBe(300);
    expect(signedDecimalAt(bytes("-\n"), 0)).toBeUndefined();
  });
});
