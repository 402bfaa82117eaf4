export const newline = 0x0a;

/** Number of newlines in a part of `bytes`. */
export function newlinesIn(bytes: Buffer, from = 0, until = bytes.length): number {
  const part = bytes.subarray(from, until);
  if (part.length < worthCopyingBytes) return newlinesByIndex(part);
  counter ??= vectorCounter() ?? newlinesByIndex;
  return counter(part);
}

/** The same in a text. */
export function newlinesInText(text: string, from = 0, until = text.length): number {
  let count = 0;
  for (let at = text.indexOf("\n", from); at >= 0 && at < until; at = text.indexOf("\n", at + 1)) {
    count += 1;
  }
  return count;
}

let counter: ((bytes: Buffer) => number) | undefined;

/** `indexOf` of one byte is memchr: fast where newlines are rare, but each one found costs a call. */
export function newlinesByIndex(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, at + 1)) count += 1;
  return count;
}

const worthCopyingBytes = 4096;
const pageBytes = 64 * 1024;

/**
 * The function in WebAssembly's binary format: `count(end)` counts the newlines in the first `end` bytes of its memory,
 * a multiple of 16, sixteen at a time.
 */
// biome-ignore format: one instruction or section on each line
const program = [
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version
  0x01, 0x06, 0x01, 0x60, 0x01, 0x7f, 0x01, 0x7f, // type 0: (i32) -> i32
  0x03, 0x02, 0x01, 0x00, // function 0 has type 0
  0x05, 0x03, 0x01, 0x00, 0x01, // memory 0: at least one page
  0x07, 0x12, 0x02, // two exports:
  0x06, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x02, 0x00, // "memory"
  0x05, 0x63, 0x6f, 0x75, 0x6e, 0x74, 0x00, 0x00, // "count"
  0x0a, 0x2b, 0x01, 0x29, // one function body:
  0x01, 0x02, 0x7f, // locals 1 (position) and 2 (sum): i32
  0x03, 0x40, // loop
  0x20, 0x02, // local.get sum
  0x20, 0x01, 0xfd, 0x00, 0x04, 0x00, // v128.load position
  0x41, 0x0a, 0xfd, 0x0f, // i8x16.splat 0x0a
  0xfd, 0x23, // i8x16.eq
  0xfd, 0x64, // i8x16.bitmask
  0x69, // i32.popcnt
  0x6a, 0x21, 0x02, // i32.add, local.set sum
  0x20, 0x01, 0x41, 0x10, 0x6a, 0x22, 0x01, // local.tee position = position + 16
  0x20, 0x00, 0x49, 0x0d, 0x00, // br_if 0: position < end
  0x0b, // end of the loop
  0x20, 0x02, // local.get sum
  0x0b, // end of the function
];

/** What is used of WebAssembly, whose types come with those of browsers only. */
interface Vectors {
  validate(bytes: Uint8Array): boolean;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (
    module: object,
  ) => { exports: { memory: { buffer: ArrayBuffer }; count: (end: number) => number } };
}

/** Counts several times as fast; `undefined` on a machine without vector instructions for WebAssembly. */
export function vectorCounter(): ((bytes: Buffer) => number) | undefined {
  const bytes = Uint8Array.from(program);
  const { WebAssembly } = globalThis as { WebAssembly?: Vectors };
  if (WebAssembly?.validate(bytes) !== true) return undefined;
  const { memory, count } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
  const page = new Uint8Array(memory.buffer);
  return (part) => {
    let sum = 0;
    for (let from = 0; from < part.length; from += pageBytes) {
      const until = Math.min(from + pageBytes, part.length);
      page.set(part.subarray(from, until));
      const length = until - from;
      const end = (length + 15) & ~15;
      page.fill(0, length, end);
      sum += count(end);
    }
    return sum;
  };
}
