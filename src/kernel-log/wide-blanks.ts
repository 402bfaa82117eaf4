/**
 * Text copied from a page or a chat, with other kinds of blanks (UTF-8): no-break, narrow, full-width, and some of zero
 * width.
 */

const wide = /\xc2\xa0|\xe2\x80[\x80-\x8a\xaf]|\xe3\x80\x80/g;
const zeroWidth = /\xe2\x80[\x8b-\x8f]|\xe2\x81\xa0/g;
/**
 * Places where the kernel writes a blank, or several, of which a page keeps all by making every second one wide; a task's
 * name may contain anything.
 */
const oneWide = String.raw`(?:\xc2\xa0|\xe2\x80[\x80-\x8f\xaf]|\xe3\x80\x80)`;
const inKernelText = new RegExp(
  `(?:illed|invoked|oom-killer:|Out|kernel:|\\])${oneWide}|(?:^|\\[|kernel:|\\d) {0,40}(?: ${oneWide}|${oneWide} )`,
  "m",
);
const kernelWords = /illed process |oom-kill/;

/** Whether there are such blanks where the kernel writes its own. */
export function hasWideBlanks(head: Uint8Array): boolean {
  if (!head.includes(0xc2) && !head.includes(0xe2) && !head.includes(0xe3)) return false;
  const text = Buffer.from(head).toString("latin1");
  return inKernelText.test(text) && kernelWords.test(text.replace(wide, " "));
}

/** Replaces them by plain blanks, in pieces as the bytes arrive. */
export class PlainBlanks {
  #rest = "";

  push(bytes: Uint8Array): Buffer {
    const text = this.#rest + Buffer.from(bytes).toString("latin1");
    // The beginning of such a blank waits for its rest.
    const cut = /(?:\xc2|\xe2[\x80\x81]?|\xe3\x80?)$/.exec(text)?.index ?? text.length;
    this.#rest = text.slice(cut);
    const plain = text.slice(0, cut).replace(wide, " ").replace(zeroWidth, "");
    return Buffer.from(plain, "latin1");
  }

  end(): Buffer {
    return Buffer.from(this.#rest, "latin1");
  }
}
