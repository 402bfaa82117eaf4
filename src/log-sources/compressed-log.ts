import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { LogHead, type LogPosition } from "./log-identity.ts";
import type { OpenLog } from "./open-log.ts";

/**
 * Decompresses a gzip file and delivers everything after `offset` (of the uncompressed bytes); `at` is the position of
 * the chunk's first byte. Ends early when `deliver` returns false. Rejects with zlib's error if the file is damaged,
 * after delivering everything before the damage.
 */
export async function readCompressed(
  log: OpenLog,
  offset: number,
  deliver: (chunk: Buffer, at: LogPosition) => boolean,
): Promise<void> {
  const head = new LogHead();
  let done = 0;
  let isEnough = false;
  const packed = createReadStream("", { fd: log.fd, start: 0, autoClose: false });
  const whole = pipeline(packed, createGunzip({ chunkSize: 256 * 1024 }), async (unpacked) => {
    for await (const chunk of unpacked as AsyncIterable<Buffer>) {
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
      isEnough = !deliver(chunk.subarray(known), at);
      if (isEnough) return;
    }
  });
  await whole.catch((error) => {
    // A pipeline left early rejects with an AbortError.
    if (!isEnough) throw error;
  });
}
