import { describe, expect, it } from "vitest";
import { ZstdFrames } from "../../src/log-sources/zstd-frames.ts";

const bytes = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");
/** "one\n" in a raw block, of known size and without a checksum. */
const raw = bytes("28b52ffd 20 04 210000 6f6e650a");
/** 1,000 times "a": a window descriptor, a block of one repeated byte, a checksum. */
const repeated = bytes("28b52ffd 04 58 431f00 61 01020304");
/** Two blocks, the size in two bytes. */
const blocks = bytes("28b52ffd 60 0400 180000 616263 190000 646566");
const skippable = bytes("542a4d18 03000000 010203");
const all = Buffer.concat([raw, skippable, repeated, blocks]);

function piecesOf(chunks: readonly Uint8Array[]): { pieces: string[]; isComplete: boolean } {
  const frames = new ZstdFrames();
  const pieces = chunks.flatMap((chunk) => frames.split(chunk));
  return {
    pieces: pieces.map((piece) => Buffer.from(piece).toString("hex")),
    isComplete: frames.isComplete,
  };
}

describe("the frames of zstd", () => {
  it("are separated in a chunk that holds several", () => {
    expect(piecesOf([all])).toEqual({
      pieces: [raw, skippable, repeated, blocks].map((frame) => frame.toString("hex")),
      isComplete: true,
    });
  });

  it("are the same however the bytes come", () => {
    for (let size = 1; size < 12; size++) {
      const chunks = [];
      for (let at = 0; at < all.length; at += size) chunks.push(all.subarray(at, at + size));
      const { pieces, isComplete } = piecesOf(chunks);
      expect(pieces.join("")).toBe(all.toString("hex"));
      expect(isComplete).toBe(true);
    }
  });

  it("are incomplete wherever they are cut, except between two", () => {
    const ends = new Set(
      [raw, skippable, repeated, blocks].map(
        (_, n, frames) => Buffer.concat(frames.slice(0, n + 1)).length,
      ),
    );
    for (let length = 1; length <= all.length; length++) {
      expect(piecesOf([all.subarray(0, length)]).isComplete).toBe(ends.has(length));
    }
  });

  it("are incomplete if something else follows", () => {
    const { pieces, isComplete } = piecesOf([Buffer.concat([raw, Buffer.from("garbage!")])]);
    expect(pieces).toHaveLength(2);
    expect(isComplete).toBe(false);
  });
});
