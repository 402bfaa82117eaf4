import { createReadStream } from "node:fs";
import { LogHead, type LogPosition } from "./log-identity.ts";
import type { OpenLog } from "./open-log.ts";
import { type Compression, unpacked } from "./packed-log.ts";

export interface CompressedReading {
  /** Takes the bytes; `at` is the position of the first one. Ends the reading if it returns false. */
  deliver: (chunk: Buffer, at: LogPosition) => boolean;
  /** Called for all bytes, also for those before the offset. */
  progressed?: () => void;
  /** Ends the reading, which rejects with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * Decompresses a file and delivers everything after `offset` (of the uncompressed bytes). Rejects with the system's or
 * zlib's error or an `UnpackError` if the rest cannot be decompressed, after delivering everything before it.
 */
export async function readCompressed(
  log: OpenLog,
  compression: Compression,
  offset: number,
  { deliver, progressed, signal }: CompressedReading,
): Promise<void> {
  const head = new LogHead();
  let done = 0;
  const packed = createReadStream("", { fd: log.fd, start: 0, autoClose: false });
  for await (const bytes of unpacked(packed, compression, signal)) {
    progressed?.();
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    head.extend(chunk, done);
    const known = Math.min(chunk.length, Math.max(0, offset - done));
    done += chunk.length;
    if (known === chunk.length) continue;
    const at = {
      headHash: head.hash,
      headLength: head.length,
      offset: done - chunk.length + known,
      inode: log.inode,
      modifiedMs: log.modifiedMs,
    };
    if (!deliver(chunk.subarray(known), at)) return;
  }
}
