/**
 * Compressed logs: decompressed by Node.js itself, else by the system's program.
 *
 *     kern.log.2.gz                 gzip, by Node.js
 *     kern.log.2.zst                zstd(1), or Node.js from 22.15 on
 *     kern.log.2.xz .bz2 .lz4       xz(1), bzip2(1), lz4(1)
 *
 * The exporter runs a program only for a rotated file that it has not read to its end: after down time, mostly.
 */
import { spawn, spawnSync } from "node:child_process";
import { pipeline, Readable, type Transform } from "node:stream";
import * as zlib from "node:zlib";
import { ZstdFrames } from "./zstd-frames.ts";

/** A log cannot be decompressed; the message says why. */
export class UnpackError extends Error {
  /** The program is not installed. */
  readonly isMissing: boolean;

  constructor(message: string, { isMissing = false } = {}) {
    super(message);
    this.isMissing = isMissing;
  }
}

export type Compression = "gzip" | "zstd" | "xz" | "bzip2" | "lz4";

const magics: readonly [Compression, readonly number[]][] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["lz4", [0x04, 0x22, 0x4d, 0x18]],
];

/** By the end of a file's name. */
export const compressionOfSuffix: ReadonlyMap<string, Compression> = new Map([
  [".gz", "gzip"],
  [".zst", "zstd"],
  [".xz", "xz"],
  [".bz2", "bzip2"],
  [".lz4", "lz4"],
]);

/** How a file is compressed; `undefined` if it is not, or not in a way used for rotated logs. */
export function compressionOf(head: Uint8Array): Compression | undefined {
  return magics.find(([, magic]) => magic.every((byte, at) => head[at] === byte))?.[0];
}

const chunkSize = 64 * 1024;
/** Since Node.js 22.15 and 23.8. The program, if installed, is better: it checks what it reads. */
const newerZlib = zlib as {
  createZstdDecompress?: () => Transform;
  zstdDecompressSync?: (packed: Uint8Array, options: { maxOutputLength: number }) => Buffer;
};
const headTimeoutMs = 10_000;
/** A frame's header and its first block fit into so many bytes. */
const zstdBlockBytes = 144 * 1024;
const maxHeadOutputBytes = 64 * 1024 * 1024;

/** The bytes of a compressed log. Rejects with zlib's error, or an `UnpackError`. */
export function unpacked(
  chunks: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncIterable<Uint8Array> {
  const copies = copiesOf(chunks);
  if (compression === "gzip") return pipeline(copies, zlib.createGunzip({ chunkSize }), () => {});
  const { createZstdDecompress } = newerZlib;
  if (compression === "zstd" && createZstdDecompress !== undefined && !isInstalled("zstd"))
    return unzstd(copies, createZstdDecompress());
  return unpackedByProgram(Readable.from(copies, { objectMode: false }), compression);
}

/** The caller may reuse a chunk's buffer. */
async function* copiesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) yield Buffer.from(chunk);
}

/** Decompresses with Node.js, frame by frame. */
async function* unzstd(
  packed: AsyncIterable<Uint8Array>,
  decompress: Transform,
): AsyncGenerator<Uint8Array> {
  const frames = new ZstdFrames();
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for await (const chunk of packed) yield* frames.split(chunk);
  }
  try {
    yield* pipeline(pieces(), decompress, () => {});
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith("ZSTD_")) throw new UnpackError(`damaged zstd data (${message})`);
    throw error;
  }
  if (!frames.isComplete) throw new UnpackError("damaged zstd data (its last frame has no end)");
}

async function* unpackedByProgram(
  packed: Readable,
  compression: Compression,
): AsyncGenerator<Uint8Array> {
  const child = spawn(compression, ["-dc"], { stdio: ["pipe", "pipe", "pipe"] });
  let failure = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    failure = (failure + text).slice(0, 200);
  });
  const ended = new Promise<number | NodeJS.ErrnoException>((resolve) => {
    child.on("error", resolve);
    child.on("close", (code) => resolve(code ?? 1));
  });
  // It may stop reading before the end: its own message matters then, not EPIPE.
  pipeline(packed, child.stdin, () => {});
  let isAbandoned = true;
  try {
    yield* child.stdout;
    isAbandoned = false;
  } finally {
    // One that has written everything ends by itself: its exit code tells whether the data was whole.
    if (isAbandoned) child.kill();
  }
  const end = await ended;
  if (typeof end !== "number") throw notInstalled(compression);
  if (end !== 0) {
    throw new UnpackError(`damaged ${compression} data (${failure.trim().split("\n")[0]})`);
  }
}

export function notInstalled(compression: Compression): UnpackError {
  const message = `compressed with ${compression}, and that program is not installed`;
  return new UnpackError(message, { isMissing: true });
}

/** Whether such a log can be followed here: by Node.js, or its program is installed. */
export function canUnpack(compression: Compression): boolean {
  if (compression === "gzip") return true;
  if (compression === "zstd" && newerZlib.createZstdDecompress !== undefined) return true;
  return isInstalled(compression);
}

function isInstalled(compression: Compression): boolean {
  const { error } = spawnSync(compression, ["--version"], {
    stdio: "ignore",
    timeout: headTimeoutMs,
  });
  return error === undefined;
}

/**
 * Compressed bytes that hold at least the first KiB of a log. bzip2 and lz4 decompress only whole blocks, of 900 KiB and
 * 4 MiB before compression; the others as the bytes come.
 */
export const packedHeadBytes: Record<Compression, number> = {
  gzip: 4096,
  zstd: 256 * 1024,
  xz: 64 * 1024,
  bzip2: 1024 * 1024,
  lz4: 4 * 1024 * 1024 + 4096,
};

/**
 * The first bytes of a log, at most `length`, from the beginning of the compressed file; empty if they cannot be
 * decompressed. Blocks for some milliseconds.
 */
export function unpackedHead(packed: Buffer, compression: Compression, length: number): Buffer {
  if (compression === "gzip") {
    try {
      const { Z_SYNC_FLUSH } = zlib.constants;
      return zlib.gunzipSync(packed, { finishFlush: Z_SYNC_FLUSH }).subarray(0, length);
    } catch {
      return Buffer.alloc(0);
    }
  }
  const result = spawnSync(compression, ["-dc"], {
    input: packed,
    stdio: ["pipe", "pipe", "ignore"],
    // Ended once it has written so much.
    maxBuffer: 4 * 1024 * 1024,
    timeout: headTimeoutMs,
  });
  // Absent if the program could not be started.
  const stdout = result.stdout as Buffer | null | undefined;
  if (stdout) return Buffer.from(stdout.subarray(0, length));
  if (compression !== "zstd") return Buffer.alloc(0);
  try {
    // It does not mind that the file goes on.
    const head = newerZlib.zstdDecompressSync?.(packed.subarray(0, zstdBlockBytes), {
      maxOutputLength: maxHeadOutputBytes,
    });
    return head?.subarray(0, length) ?? Buffer.alloc(0);
  } catch {
    return Buffer.alloc(0);
  }
}
