import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog, LineOutput, type LineStream } from "../src/logger.ts";
import { temporaryDirectory } from "./setup/exporter-process.ts";

let directory: ReturnType<typeof temporaryDirectory>;
let lost: number;
const onLost = () => {
  lost++;
};

beforeEach(() => {
  directory = temporaryDirectory();
  lost = 0;
});
afterEach(() => directory.remove());

/** A stream on a descriptor that may not be written to: only the descriptor counts. */
function onDescriptor(fd: number): LineStream {
  return Object.assign(new PassThrough(), { fd });
}

describe("LineOutput", () => {
  it("writes to a file", () => {
    const path = join(directory.path, "log");
    const fd = openSync(path, "a");
    new LineOutput(onDescriptor(fd), onLost).write("one\n");
    closeSync(fd);
    expect(readFileSync(path, "utf8")).toBe("one\n");
    expect(lost).toBe(0);
  });

  it("counts each line that a full disk does not take", () => {
    const fd = openSync("/dev/full", "w");
    const output = new LineOutput(onDescriptor(fd), onLost);
    for (let line = 0; line < 3; line++) output.write("lost\n");
    closeSync(fd);
    expect(lost).toBe(3);
  });

  it("starts a new line after an incomplete write", () => {
    const fd = openSync("/dev/null", "w");
    const room = [4, 0, 100];
    let file = "";
    const write = (_fd: number, bytes: Buffer, from: number) => {
      const length = room.shift() ?? 100;
      if (length === 0) throw new Error("ENOSPC");
      file += bytes.toString("utf8", from, from + length);
      return Math.min(length, bytes.length - from);
    };
    const output = new LineOutput(onDescriptor(fd), onLost, write);
    output.write("half a line\n");
    output.write("whole\n");
    output.write("whole\n");
    closeSync(fd);
    expect(file).toBe("half\nwhole\nwhole\n");
    expect(lost).toBe(1);
  });

  it("counts the lines for a reader that went away, and never throws", async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
    const output = new LineOutput(stream, onLost);
    output.write("lost\n");
    await expect.poll(() => lost).toBe(1);
    output.write("lost\n");
    expect(lost).toBe(2);
  });

  it("keeps no more than 256 KiB for a reader that does not read", () => {
    const stream = new Writable({ write: () => {} });
    const output = new LineOutput(stream, onLost);
    for (let line = 0; line < 400; line++) output.write(`${"x".repeat(1023)}\n`);
    expect(stream.writableLength).toBeLessThan(258 * 1024);
    expect(lost).toBeGreaterThan(140);
  });
});

describe("createLog", () => {
  it.each(["logfmt", "json"] as const)("prints nothing that a terminal obeys as %s", (format) => {
    const lines: string[] = [];
    const log = createLog({ level: "info", format, write: (line) => lines.push(line) });
    log.warn({ path: "\u001b[2J\u202e\u009b", plain: "a" }, "a line\n\u2028");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+\n$/u);
    expect(lines[0]).toContain("\\u001b[2J\\u202e\\u009b");
  });
});
