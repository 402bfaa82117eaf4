/*
 * /sys/block/zram<N>/mm_stat
 * https://docs.kernel.org/admin-guide/blockdev/zram.html
 * Since 4.1. Columns of bytes: original, compressed, memory used in all, limit, ...
 *
 *   1208745984 284831744 301993984 0 612413440 85 0 12 3
 */

export interface ZramUse {
  /** Bytes written to the device. */
  storedBytes: number;
  /** Memory used by the device. */
  usedBytes: number;
}

/** `undefined` for text without three numbers. */
export function parseZram(text: string): ZramUse | undefined {
  const match = /^\s*(\d+)\s+\d+\s+(\d+)/.exec(text);
  return match === null
    ? undefined
    : { storedBytes: Number(match[1]), usedBytes: Number(match[2]) };
}
