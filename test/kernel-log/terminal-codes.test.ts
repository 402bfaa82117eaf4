import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hasTerminalCodes, WithoutTerminalCodes } from "../../src/kernel-log/terminal-codes.ts";

const kill = "Out of memory: Killed process 42 (java) total-vm:8kB, anon-rss:4kB, file-rss:0kB";

function plain(pieces: readonly string[]): string {
  const codes = new WithoutTerminalCodes();
  const parts = pieces.map((piece) => codes.push(Buffer.from(piece, "latin1")));
  return Buffer.concat([...parts, codes.end()]).toString("latin1");
}

describe("what a terminal obeys", () => {
  it.each([
    ["grep's colours", kill.replace("Killed", "\x1b[01;31m\x1b[KKilled\x1b[m\x1b[K")],
    ["a line in colour", `\x1b[0;1;31m${kill}\x1b[0m`],
    ["a window's title", `\x1b]0;root@web1: ~\x07\x1b[?2004l${kill}`],
    ["a title that ends otherwise", `\x1b]2;x\x1b\\${kill}\x1b[0m`],
    ["a set of characters", `\x1b(B\x1b[m${kill}`],
    ["Buildkite's times", `\x1b_bk;t=1789000000000\x07${kill}\x1b[0m`],
  ])("is removed: %s", (_what, text) => {
    expect(plain([text])).toBe(kill);
  });

  it("is removed wherever the bytes are cut", () => {
    const text = `\x1b]0;a\x07\x1b[01;31m\x1b[K${kill}\x1b[m\x1b[K\n\x1b(B`;
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), text.length];
        const pieces = at.slice(1).map((end, index) => text.slice(at[index], end));
        expect(plain(pieces)).toBe(`${kill}\n`);
      }),
      { seed: 20_261_127 },
    );
  });

  it("is seen by its colours", () => {
    expect(hasTerminalCodes(Buffer.from(`\x1b[01;31m\x1b[K${kill}`))).toBe(true);
  });

  it("is not seen where a name holds an ESC, and a last one is kept", () => {
    for (const name of ["a\x1bb", "esc\x1b[31m"]) {
      expect(hasTerminalCodes(Buffer.from(kill.replace("java", name)))).toBe(false);
    }
    expect(plain(["a\x1b"])).toBe("a\x1b");
  });
});
