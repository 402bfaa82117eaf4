/**
 * Text with the codes that a terminal obeys: colours of `grep --color=always` in the middle of a line, and whatever else
 * `script` or a copied session has.
 *
 *     [    8.640407] Out of memory: \x1b[01;31m\x1b[KKilled process\x1b[m\x1b[K 226 (greedy) total-vm:50304kB, ...
 *
 * Source: ECMA-48 (control sequences); xterm's titles; Buildkite's times.
 */

const code =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ESC and BEL are what is meant
  /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]_][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[()][0-9A-Z]|[=>])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const unfinished = /\x1b(?:\[[0-?]*[ -/]*|[\]_][^\x07\x1b]{0,200}|[()]?)$/;
/** The end of a colour or an erased line. A name may hold the code of a colour, as it may anything else. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const endCode = /\x1b\[(?:0?m|K)/;

/** Whether the beginning of a log has such codes. */
export function hasTerminalCodes(head: Uint8Array): boolean {
  return head.includes(0x1b) && endCode.test(Buffer.from(head).toString("latin1"));
}

/** Removes them, in pieces as the bytes arrive. */
export class WithoutTerminalCodes {
  #rest = "";

  push(bytes: Uint8Array): Buffer {
    const text = this.#rest + Buffer.from(bytes).toString("latin1");
    const cut = unfinished.exec(text.slice(-256));
    const length = text.length - (cut?.[0].length ?? 0);
    this.#rest = text.slice(length);
    return Buffer.from(text.slice(0, length).replace(code, ""), "latin1");
  }

  end(): Buffer {
    return Buffer.from(this.#rest, "latin1");
  }
}
