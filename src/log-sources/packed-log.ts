/**
 * Compressed logs: decompressed by Node.js itself, else by the system's program.
 *
 *     kern.log.2.gz                 gzip, by Node.js
 *     kern.log.2.zst                zstd(1), or Node.js from 22.15 on
 *     kern.log.2.xz .bz2 .lz4       xz(1), bzip2(1), lz4(1)
 *
 * The exporter runs a program only for a rotated file that it has not read to its end: after downtime, mostly.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { pipeline, Readable, type Transform } from "node:stream";
import * as zlib from "node:zlib";
import { isOnPath } from "../sources/program-path.ts";
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

/**
 * Decompression ended early for a reason outside the log: the program was killed, could not be started, or hangs. A
 * later attempt may succeed.
 */
export class UnpackInterrupted extends UnpackError {}

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
/** A frame's header and its first block fit into this many bytes. */
const zstdBlockBytes = 144 * 1024;
const maxHeadOutputBytes = 64 * 1024 * 1024;

/**
 * The bytes of a compressed log. Rejects with zlib's error, an `UnpackError`, or the error of `chunks`. Once `signal` is
 * aborted, a program that decompresses is killed, and the rejection is the signal's reason.
 */
export function unpacked(
  chunks: AsyncIterable<Uint8Array>,
  compression: Compression,
  signal?: AbortSignal,
): AsyncIterable<Uint8Array> {
  const copies = copiesOf(chunks);
  if (compression === "gzip") return pipeline(copies, zlib.createGunzip({ chunkSize }), () => {});
  const { createZstdDecompress } = newerZlib;
  if (compression === "zstd" && createZstdDecompress !== undefined && !isInstalled("zstd"))
    return unzstd(copies, createZstdDecompress());
  return unpackedByProgram(Readable.from(copies, { objectMode: false }), compression, signal);
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

/** How a program ended, or why it did not start. */
type Ending = { error: Error } | { code: number | null; signal: NodeJS.Signals | null };

/** It may stop reading before the end: its own message matters then. */
const unreadCodes: readonly unknown[] = ["EPIPE", "ERR_STREAM_PREMATURE_CLOSE"];

async function* unpackedByProgram(
  packed: Readable,
  compression: Compression,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const child = started(compression);
  const ended = new Promise<Ending>((resolve) => {
    child.on("error", (error) => resolve({ error }));
    child.on("close", (code, signal) => resolve({ code, signal }));
  });
  // Without free descriptors a child has no streams, only an error.
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(0, 500);
  });
  let readError: Error | undefined;
  if (child.stdin) {
    pipeline(packed, child.stdin, (error) => {
      if (error && !unreadCodes.includes(error.code)) readError = error;
    });
  }
  const abort = () => {
    child.kill("SIGKILL");
    child.stdout?.destroy(signal?.reason as Error);
  };
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort);
  let isAbandoned = true;
  try {
    if (child.stdout) yield* child.stdout;
    isAbandoned = false;
  } finally {
    signal?.removeEventListener("abort", abort);
    // One that has written everything ends by itself: its exit code tells whether the data was whole.
    if (isAbandoned) child.kill();
  }
  const ending = await ended;
  if (readError !== undefined) throw readError;
  const error = errorOf(ending, compression, said);
  if (error !== undefined) throw error;
}

function started(compression: Compression): ChildProcess {
  try {
    return spawn(compression, ["-dc"], { stdio: ["pipe", "pipe", "pipe"], env: environment() });
  } catch (error) {
    throw notStarted(compression, error as Error);
  }
}

/** Absent if the program decompressed everything. */
function errorOf(ending: Ending, compression: Compression, said: string): UnpackError | undefined {
  if ("error" in ending) return notStarted(compression, ending.error);
  const { code, signal } = ending;
  if (signal !== null) return new UnpackInterrupted(`${compression} was ended by ${signal}`);
  if (code === 0) return undefined;
  return new UnpackError(
    `${compression} failed: ${messageIn(said, compression) || `exit code ${code}`}`,
  );
}

function notStarted(compression: Compression, error: NodeJS.ErrnoException): UnpackError {
  if (error.code === "ENOENT") return notInstalled(compression);
  return new UnpackInterrupted(`cannot start ${compression} (${error.message})`);
}

/** The first line, without the names of the program and of its input. */
function messageIn(said: string, compression: Compression): string {
  const line = said.trim().split("\n")[0] as string;
  const own = line.startsWith(`${compression}: `) ? line.slice(compression.length + 2) : line;
  return own.replace(/^(?:\(stdin\)|\/\*stdin\*\\) ?: /, "").trim();
}

/**
 * Of the programs: their memory counts against this process's limit. xz takes up to 65 MiB for what `xz -9` wrote, and as
 * much again for every further thread; since 5.6 it decompresses with all processors. zstd has a limit of its own,
 * 128 MiB; bzip2 and lz4 take less than 10 MiB.
 */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, XZ_DEFAULTS: "--threads=1 --memlimit-decompress=100MiB" };
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

/** Looks it up where `spawn` does. Starting it would block, and this question comes up often. */
function isInstalled(compression: Compression): boolean {
  return isOnPath(compression, process.env.PATH ?? "/usr/bin:/bin");
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
 * The first bytes of a log, at most `length`, from the beginning of the compressed file, where Node.js can decompress it
 * itself, in some milliseconds; empty if it cannot be decompressed. `undefined` where a program has to be started:
 * `headByProgram`.
 */
export function headByNode(
  packed: Buffer,
  compression: Compression,
  length: number,
): Buffer | undefined {
  if (compression === "gzip") {
    const { Z_SYNC_FLUSH } = zlib.constants;
    return headOf(() => zlib.gunzipSync(packed, { finishFlush: Z_SYNC_FLUSH }), length);
  }
  if (isInstalled(compression)) return undefined;
  const { zstdDecompressSync } = newerZlib;
  if (compression !== "zstd" || zstdDecompressSync === undefined) return Buffer.alloc(0);
  // It does not mind that the file goes on.
  const first = packed.subarray(0, zstdBlockBytes);
  return headOf(() => zstdDecompressSync(first, { maxOutputLength: maxHeadOutputBytes }), length);
}

/**
 * The same by a program, which is ended once it has written `length` bytes, by `abort`, or by this after 10 s.
 * @throws {UnpackInterrupted}
 */
export async function headByProgram(
  packed: Buffer,
  compression: Compression,
  length: number,
  abort = new AbortController(),
): Promise<Buffer> {
  const timeout = setTimeout(
    () => abort.abort(new UnpackInterrupted(`${compression} takes longer than 10 s`)),
    headTimeoutMs,
  );
  const chunks: Uint8Array[] = [];
  let done = 0;
  try {
    const input = Readable.from([packed], { objectMode: false });
    for await (const chunk of unpackedByProgram(input, compression, abort.signal)) {
      chunks.push(chunk);
      done += chunk.length;
      if (done >= length) break;
    }
  } catch (error) {
    // Without its end a file is damaged.
    if (error instanceof UnpackInterrupted || !(error instanceof UnpackError)) throw error;
  } finally {
    clearTimeout(timeout);
  }
  return headOf(() => Buffer.concat(chunks), length);
}

/** A copy, out of the pool: the whole would stay in memory with its first bytes. */
function headOf(unpack: () => Buffer, length: number): Buffer {
  try {
    const first = unpack().subarray(0, length);
    const head = Buffer.allocUnsafeSlow(first.length);
    first.copy(head);
    return head;
  } catch {
    return Buffer.alloc(0);
  }
}
