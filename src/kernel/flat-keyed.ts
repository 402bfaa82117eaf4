/*
 * The flat keyed format: /proc/vmstat, cgroup v2 memory.stat, memory.events and memory.events.local,
 * cgroup v1 memory.stat and memory.oom_control.
 * https://docs.kernel.org/admin-guide/cgroup-v2.html#format
 *
 *   file = { key " " decimal "\n" }
 *
 *   anon 12976128
 *   file 8429568
 *   oom_kill 0
 *
 * Lines may come and go with the kernel version and in any order; keys that nobody asked for are
 * passed over, so a newer kernel breaks nothing.
 */

const newline = 0x0a;
const blank = 0x20;

/**
 * Reads chosen keys of a flat keyed file straight from its bytes: a host with 2,000 cgroups has
 * 100,000 such lines a scrape, too many to turn into strings.
 */
export class FlatKeyedFile<Key extends string> {
  readonly #keys: readonly Key[];
  readonly #keyBytes: readonly Uint8Array[];
  readonly #indexesByHash = new Map<number, number[]>();

  constructor(keys: readonly Key[]) {
    this.#keys = keys;
    this.#keyBytes = keys.map((key) => Buffer.from(key, "latin1"));
    this.#keyBytes.forEach((bytes, index) => {
      const hash = hashOf(bytes, 0, bytes.length);
      this.#indexesByHash.set(hash, [...(this.#indexesByHash.get(hash) ?? []), index]);
    });
  }

  /** The values by key, in the file's own unit; a key that the file lacks is absent. */
  parse(bytes: Uint8Array, length: number = bytes.length): Partial<Record<Key, number>> {
    const values: Partial<Record<Key, number>> = {};
    let at = 0;
    while (at < length) {
      const start = at;
      let hash = 0;
      while (at < length) {
        const byte = bytes[at] as number;
        if (byte === blank || byte === newline) break;
        hash = (Math.imul(hash, 31) + byte) | 0;
        at++;
      }
      const candidates = this.#indexesByHash.get(hash);
      if (candidates !== undefined && bytes[at] === blank) {
        const index = candidates.find((candidate) => this.#isKeyAt(candidate, bytes, start, at));
        const value = index === undefined ? undefined : decimalAt(bytes, at + 1, length);
        if (index !== undefined && value !== undefined) values[this.#keys[index] as Key] = value;
      }
      at = bytes.indexOf(newline, at);
      if (at < 0) break;
      at++;
    }
    return values;
  }

  #isKeyAt(index: number, bytes: Uint8Array, start: number, end: number): boolean {
    const key = this.#keyBytes[index] as Uint8Array;
    if (key.length !== end - start) return false;
    for (let i = 0; i < key.length; i++) if (key[i] !== bytes[start + i]) return false;
    return true;
  }
}

/**
 * The unsigned decimal number that starts at `at`, or `undefined` where there is no digit.
 * Numbers above 2^53 lose their low bits, which only "no limit" markers have.
 */
export function decimalAt(
  bytes: Uint8Array,
  at: number,
  length: number = bytes.length,
): number | undefined {
  let value = 0;
  let digits = 0;
  for (let i = at; i < length; i++) {
    const digit = (bytes[i] as number) - 0x30;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
    digits++;
  }
  return digits === 0 ? undefined : value;
}

/** As `decimalAt`, with an optional minus sign. */
export function signedDecimalAt(
  bytes: Uint8Array,
  at: number,
  length: number = bytes.length,
): number | undefined {
  if (bytes[at] !== 0x2d) return decimalAt(bytes, at, length);
  const magnitude = decimalAt(bytes, at + 1, length);
  return magnitude === undefined ? undefined : -magnitude;
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0;
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i] as number)) | 0;
  return hash;
}
