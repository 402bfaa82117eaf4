/**
 * Compressed logs: decompressed by Node.js itself, else by the system's program.
 *
 *     kern.log.2.gz                 gzip, by Node.js
 *     kern.log.2.zst                zstd, by Node.js from 22.15 on, else zstd(1)
 *     kern.log.2.xz .bz2 .lz4       xz(1), bzip2(1), lz4(1)
 *
 * The exporter runs a program only for a rotated file that it has not read to its end: after down time, mostly.
 */
import { spawn, spawnSync } from "node:child_process";
import { pipeline, Readable, type Transform } from "node:stream";
import * as zlib from "node:zlib";

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
const headTimeoutMs = 10_000;

/** The bytes of a compressed log. Rejects with zlib's error, or an `UnpackError`. */
export function unpacked(
  chunks: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncIterable<Uint8Array> {
  const packed = Readable.from(copiesOf(chunks), { objectMode: false, highWaterMark: chunkSize });
  const own = ownUnpacker(compression);
  return own === undefined
    ? unpackedByProgram(packed, compression)
    : pipeline(packed, own, () => {});
}

/** The caller may reuse a chunk's buffer. */
async function* copiesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) yield Buffer.from(chunk);
}

function ownUnpacker(compression: Compression): Transform | undefined {
  if (compression === "gzip") return zlib.createGunzip({ chunkSize });
  if (compression !== "zstd") return undefined;
  // Since Node.js 22.15 and 23.8.
  const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };
  return createZstdDecompress?.();
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

/** Whether such a log can be followed here: its program is installed. Only gzip needs none. */
export function canUnpack(compression: Compression): boolean {
  if (compression === "gzip") return true;
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
  const { stdout } = spawnSync(compression, ["-dc"], {
    input: packed,
    stdio: ["pipe", "pipe", "ignore"],
    // Ended once it has written so much.
    maxBuffer: 4 * 1024 * 1024,
    timeout: headTimeoutMs,
  });
  // `null` if it could not be started.
  return Buffer.from((stdout ?? Buffer.alloc(0)).subarray(0, length));
}
