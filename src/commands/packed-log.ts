/** Compressed logs, recognised by their first bytes: decompressed by Node.js itself, else by the system's program. */
// biome-ignore lint/style/noRestrictedImports: explain unpacks what Node.js cannot; the exporter never does
import { spawn } from "node:child_process";
import { pipeline, Readable, type Transform } from "node:stream";
import * as zlib from "node:zlib";

/** A log cannot be decompressed; the message says why and what to do. */
export class UnpackError extends Error {}

export type Compression = "gzip" | "zstd" | "xz" | "bzip2" | "lz4";

const magics: readonly [Compression, readonly number[]][] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["lz4", [0x04, 0x22, 0x4d, 0x18]],
];

/** How a file is compressed; `undefined` if it is not, or not in a way used for rotated logs. */
export function compressionOf(head: Uint8Array): Compression | undefined {
  return magics.find(([, magic]) => magic.every((byte, at) => head[at] === byte))?.[0];
}

const chunkSize = 64 * 1024;

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
  try {
    yield* child.stdout;
  } finally {
    child.kill();
  }
  const end = await ended;
  if (typeof end !== "number") {
    throw new UnpackError(
      `compressed with ${compression}, and that program is not installed; install it, or decompress the log first`,
    );
  }
  if (end !== 0) {
    throw new UnpackError(
      `damaged ${compression} data (${failure.trim().split("\n")[0]}); kills before the damage are shown`,
    );
  }
}
