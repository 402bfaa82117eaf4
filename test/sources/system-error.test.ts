import { openSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { isSystemError } from "../../src/sources/system-error.ts";

function errorOf(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

it.each([
  ["what the system refuses", () => openSync("/no/such/file", "r")],
  ["what zlib cannot unpack", () => gunzipSync(Buffer.from("no gzip"))],
])("%s is a system error", (_, work) => {
  expect(isSystemError(errorOf(work))).toBe(true);
});

it.each([
  ["a mistake that Node.js found", () => openSync(undefined as unknown as string, "r")],
  ["a mistake in this program", () => (undefined as unknown as string).length],
  ["what is no error at all", () => ({ code: "EACCES", errno: -13 })],
])("%s is none", (_, work) => {
  expect(isSystemError(errorOf(work))).toBe(false);
});
