import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  canUnpack,
  headByNode,
  headByProgram,
  UnpackError,
  UnpackInterrupted,
  unpacked,
} from "../../src/log-sources/packed-log.ts";
import { StandInProgram } from "../setup/stand-in-program.ts";
import { waitUntil } from "../setup/wait-until.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "packed-log-"));
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true, force: true });
});

function xz(...plan: ConstructorParameters<typeof StandInProgram>[2] & object): StandInProgram {
  const program = new StandInProgram("xz", directory, plan);
  vi.stubEnv("PATH", program.path);
  return program;
}

async function* log(error?: Error): AsyncGenerator<Uint8Array> {
  yield Buffer.from("one of the lines\nanother one\n");
  if (error !== undefined) throw error;
}

/** The text until the end, and the error. */
async function read(chunks: AsyncIterable<Uint8Array>): Promise<{ text: string; error?: Error }> {
  let text = "";
  try {
    for await (const chunk of chunks) text += Buffer.from(chunk).toString("latin1");
  } catch (error) {
    return { text, error: error as Error };
  }
  return { text };
}

describe("a log decompressed by a program", () => {
  it("is what the program writes", async () => {
    xz();
    expect(await read(unpacked(log(), "xz"))).toEqual({
      text: "one of the lines\nanother one\n",
    });
  });

  it("that fails ends with the program's own message", async () => {
    xz("fails");
    const { text, error } = await read(unpacked(log(), "xz"));
    expect(text).toBe("one of the l");
    expect(error).toBeInstanceOf(UnpackError);
    expect(error).not.toBeInstanceOf(UnpackInterrupted);
    expect(error?.message).toBe("xz failed: Compressed data is corrupt");
  });

  it("that is killed is interrupted, not damaged", async () => {
    xz("is killed");
    const { error } = await read(unpacked(log(), "xz"));
    expect(error).toBeInstanceOf(UnpackInterrupted);
    expect(error?.message).toBe("xz was ended by SIGKILL");
  });

  it("ends with the reason of the signal, and so does the program", async () => {
    const program = xz("hangs");
    const abort = new AbortController();
    const reason = new UnpackInterrupted("enough");
    const reading = read(unpacked(log(), "xz", abort.signal));
    await waitUntil(() => expect(program.runs).toHaveLength(1));
    abort.abort(reason);
    expect((await reading).error).toBe(reason);
    const pid = Number.parseInt(program.runs[0] as string, 10);
    await waitUntil(() => expect(() => process.kill(pid, 0)).toThrow("ESRCH"));
  });

  it("ends with the log's own error if that cannot be read", async () => {
    xz();
    const broken = Object.assign(new Error("EIO: i/o error, read"), { code: "EIO", errno: -5 });
    const { error } = await read(unpacked(log(broken), "xz"));
    expect(error).toBe(broken);
  });
});

describe("the program", () => {
  it("takes one thread and little memory", async () => {
    const program = xz();
    writeFileSync(join(directory, "bin", "xz"), '#!/bin/sh\ncat >&2\necho "$XZ_DEFAULTS"\n');
    expect(program.runs).toEqual([]);
    expect((await read(unpacked(log(), "xz"))).text).toBe(
      "--threads=1 --memlimit-decompress=100MiB\n",
    );
  });

  it("is found without being started", () => {
    const program = xz();
    expect(canUnpack("xz")).toBe(true);
    expect(program.runs).toEqual([]);
    chmodSync(join(directory, "bin", "xz"), 0o644);
    vi.stubEnv("PATH", join(directory, "bin"));
    expect(canUnpack("xz")).toBe(false);
  });
});

describe("the head of a log", () => {
  const packed = Buffer.from("one of the lines\nanother one\n");

  it("is found out by a program, which is ended then", async () => {
    const program = xz("hangs");
    expect(headByNode(packed, "xz", 12)).toBeUndefined();
    expect((await headByProgram(packed, "xz", 12)).toString()).toBe("one of the l");
    const pid = Number.parseInt(program.runs[0] as string, 10);
    await waitUntil(() => expect(() => process.kill(pid, 0)).toThrow("ESRCH"));
  });

  it("is unknown for now if the program is killed", async () => {
    xz("is killed");
    await expect(headByProgram(packed, "xz", 16)).rejects.toThrow(UnpackInterrupted);
    expect((await headByProgram(packed, "xz", 16)).toString()).toBe("one of the lines");
  });

  it("is what comes before the damage", async () => {
    xz("fails");
    expect((await headByProgram(packed, "xz", 16)).toString()).toBe("one of the l");
  });

  it("is empty if there is no program", () => {
    vi.stubEnv("PATH", join(directory, "none"));
    expect(headByNode(packed, "xz", 16)).toHaveLength(0);
  });

  it("does not keep the rest in memory", () => {
    const head = headByNode(gzipSync(Buffer.alloc(1_000_000, "a line\n")), "gzip", 1024);
    expect(head?.buffer.byteLength).toBe(1024);
  });
});
