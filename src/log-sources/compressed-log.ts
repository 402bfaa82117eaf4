import { createReadStream } from "node:fs";
import { LogHead, type LogPosition } from "./log-identity.ts";
import type { OpenLog } from "./open-log.ts";
import { type Compression, unpacked } from "./packed-log.ts";

/**
 * Decompresses a file and delivers everything after `offset` (of the uncompressed bytes); `at` is the position of the
 * chunk's first byte. Ends early when `deliver` returns false. Rejects with zlib's error or an `UnpackError` if the file
 * is damaged, after delivering everything before the damage.
 */
export async function readCompressed(
  log: OpenLog,
  compression: Compression,
  offset: number,
  deliver: (chunk: Buffer, at: LogPosition) => boolean,
): Promise<void> {
  const head = new LogHead();
  let done = 0;
  const packed = createReadStream("", { fd: log.fd, start: 0, autoClose: false });
  for await (const bytes of unpacked(packed, compression)) {
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
