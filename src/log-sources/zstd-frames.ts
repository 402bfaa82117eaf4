/**
 * Where zstd's frames end. Node.js (22.23) reports nothing for a file that was cut off, and drops what follows a frame in
 * the same chunk. So the frames are followed beside it: from block header to block header, without reading the blocks.
 *
 * Source: RFC 8878, section 3.1.
 *
 *     28 b5 2f fd   descriptor  [window] [dictionary] [content size]   frame
 *     3 bytes: last block (1 bit), type (2), size (21)                 each block, then its bytes
 *     4 bytes                                                          checksum, if the descriptor says so
 *     5x 2a 4d 18   size                                               skippable frame
 */
const frameMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;
const dictionaryBytes = [0, 1, 2, 4];
/** A block of this type is one byte, repeated `size` times. */
const repeated = 1;

type Part = "magic" | "descriptor" | "skippable size" | "block header" | "unknown";

const bytesOf: Record<Part, number> = {
  magic: 4,
  descriptor: 1,
  "skippable size": 4,
  "block header": 3,
  unknown: 0,
};

export class ZstdFrames {
  #part: Part = "magic";
  /** Value of the part so far, little endian, and how many of its bytes that is. */
  #value = 0;
  #taken = 0;
  #skip = 0;
  #hasChecksum = false;

  /** Takes the next bytes, and returns them cut where frames end. */
  split(chunk: Uint8Array): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    let start = 0;
    let at = 0;
    while (at < chunk.length && this.#part !== "unknown") {
      const skipped = Math.min(this.#skip, chunk.length - at);
      this.#skip -= skipped;
      at += skipped;
      if (this.isComplete && at > start) {
        pieces.push(chunk.subarray(start, at));
        start = at;
      }
      if (at === chunk.length) break;
      this.#value += (chunk[at] ?? 0) * 256 ** this.#taken;
      this.#taken += 1;
      at += 1;
      if (this.#taken === bytesOf[this.#part]) this.#endPart();
    }
    if (start < chunk.length) pieces.push(chunk.subarray(start));
    return pieces;
  }

  /** Whether the bytes end where a frame ends. */
  get isComplete(): boolean {
    return this.#part === "magic" && this.#taken + this.#skip === 0;
  }

  #endPart(): void {
    const value = this.#value;
    this.#value = 0;
    this.#taken = 0;
    switch (this.#part) {
      case "magic":
        if (value === frameMagic) this.#part = "descriptor";
        else if (value - (value % 16) === skippableMagic) this.#part = "skippable size";
        // Not zstd, or something that was appended.
        else this.#part = "unknown";
        break;
      case "skippable size":
        this.#skip = value;
        this.#part = "magic";
        break;
      case "descriptor":
        this.#skip = headerBytes(value);
        this.#hasChecksum = (value & 4) !== 0;
        this.#part = "block header";
        break;
      default: {
        const isLast = value % 2 === 1;
        const isRepeated = ((value >> 1) & 3) === repeated;
        this.#skip = isRepeated ? 1 : value >> 3;
        if (isLast && this.#hasChecksum) this.#skip += 4;
        if (isLast) this.#part = "magic";
      }
    }
  }
}

/** Length of a frame's header after its descriptor. */
function headerBytes(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  const contentSize = sizeFlag === 0 ? Number(isSingleSegment) : 2 ** sizeFlag;
  return Number(!isSingleSegment) + (dictionaryBytes[descriptor & 3] ?? 0) + contentSize;
}
