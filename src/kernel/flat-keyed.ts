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
 * Lines may come and go with the kernel version and appear in any order; unknown keys are skipped, so a newer
 * kernel breaks nothing.
 */

const newline = 0x0a;
const blank = 0x20;

/**
 * Reads selected keys of a flat keyed file directly from its bytes: a host with 2,000 cgroups has 100,000 such lines
 * per scrape, too many to turn into strings.
 *
 * The kernel prints a file's lines in the same order each time, so the parser first tries the lines where a file
 * last had the keys.
 *
 * Invariant: a value is returned only for the key on its own line, whatever the order of the lines.
 */
export class FlatKeyedFile<Key extends string> {
  readonly #keys: readonly Key[];
  readonly #keyBytes: readonly Uint8Array[];
  /** For each line when all keys were last found: the index of its key, or -1. */
  #layout: Int8Array | undefined;

  constructor(keys: readonly Key[]) {
    this.#keys = keys;
    this.#keyBytes = keys.map((key) => Buffer.from(key, "latin1"));
  }

  /** The values by key, in the file's own unit; a missing key is absent. */
  parse(bytes: Uint8Array, length: number = bytes.length): Partial<Record<Key, number>> {
    const numbers: (number | undefined)[] = [];
    this.parseInto(numbers, bytes, length);
    const values: Partial<Record<Key, number>> = {};
    this.#keys.forEach((key, index) => {
      const value = numbers[index];
      if (value !== undefined) values[key] = value;
    });
    return values;
  }

  /** Like `parse`, into an array with one element per key, in the order of the keys. */
  parseInto(
    values: (number | undefined)[],
    bytes: Uint8Array,
    length: number = bytes.length,
  ): void {
    if (this.#layout === undefined || !this.#parseAsBefore(this.#layout, values, bytes, length)) {
      this.#layout = this.#parseAnyOrder(values, bytes, length);
    }
  }

  /** False if a line differs from last time. */
  #parseAsBefore(
    layout: Int8Array,
    values: (number | undefined)[],
    bytes: Uint8Array,
    length: number,
  ): boolean {
    let at = 0;
    for (let line = 0; line < layout.length; line++) {
      if (at >= length) return false;
      const index = layout[line] as number;
      if (index >= 0) {
        const value = this.#valueAt(index, bytes, at, length);
        if (value === undefined) return false;
        values[index] = value;
        at += (this.#keyBytes[index] as Uint8Array).length;
      }
      while (at < length && bytes[at] !== newline) at++;
      at++;
    }
    return true;
  }

  /** Returns the lines up to the last key; `undefined` if a key is missing. */
  #parseAnyOrder(
    values: (number | undefined)[],
    bytes: Uint8Array,
    length: number,
  ): Int8Array | undefined {
    for (let index = 0; index < this.#keys.length; index++) values[index] = undefined;
    const layout: number[] = [];
    let missing = this.#keys.length;
    for (let at = 0; at < length && missing > 0; ) {
      let found = -1;
      for (let index = 0; index < this.#keys.length && found < 0; index++) {
        if (values[index] !== undefined) continue;
        values[index] = this.#valueAt(index, bytes, at, length);
        if (values[index] !== undefined) found = index;
      }
      if (found >= 0) missing--;
      layout.push(found);
      while (at < length && bytes[at] !== newline) at++;
      at++;
    }
    return missing === 0 ? Int8Array.from(layout) : undefined;
  }

  /** The value of the line that starts at `at`, if the line has this key. */
  #valueAt(index: number, bytes: Uint8Array, at: number, length: number): number | undefined {
    const key = this.#keyBytes[index] as Uint8Array;
    const end = at + key.length;
    if (end >= length || bytes[end] !== blank) return undefined;
    for (let i = 0; i < key.length; i++) if (key[i] !== bytes[at + i]) return undefined;
    return decimalAt(bytes, end + 1, length);
  }
}

/**
 * The unsigned decimal number that starts at `at`, or `undefined` if there is no digit. Numbers above 2^53 lose their
 * low bits; only "no limit" values are that large.
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

/** Like `decimalAt`, with an optional minus sign. */
export function signedDecimalAt(
  bytes: Uint8Array,
  at: number,
  length: number = bytes.length,
): number | undefined {
  if (bytes[at] !== 0x2d) return decimalAt(bytes, at, length);
  const magnitude = decimalAt(bytes, at + 1, length);
  return magnitude === undefined ? undefined : -magnitude;
}
