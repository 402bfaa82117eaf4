/**
 * A log that was copied as a page's source: `&lt;3&gt;[    8.640407]`, `kernel:&nbsp;`, `<br>` at the end of
 * lines; or as the source of a forum's post: `[FONT="Courier New"]Nov  4 16:54:42 ...[/FONT]`.
 *
 * Source: HTML's character references, only those that a page puts in place of what a kernel writes; BBCode.
 */
import { ArrivingLines } from "./arriving-lines.ts";

/** A reference where the kernel, or JSON around its text, has a character of its own. */
const inKernelText =
  /&lt;\d{1,2}&gt;\[|illed process \d+ \([^)\n]{0,20}&(?:[gl]t|amp|quot|apos|#0?39|#x27);|(?:illed|invoked|oom-killer:|Out|kernel:|\])&(?:nbsp|#160);|^[^\S\r\n]*\{&(?:quot|#34);|&(?:quot|#34);(?:MESSAGE|message|msg|log)&(?:quot|#34);|\[&lt;[0-9a-f]{8,16}&gt;\]|^(?:&gt;\s?)+\S/m;
/** A tag that begins or ends a line, or stands before a stamp: a name in a kernel's text stands in none of these places. */
const tagAtEdge =
  /^[^\S\r\n]*<(?:pre|p|div|td|tr|li|code|span|blockquote)\b[^>]{0,200}>|<br ?\/?>(?:\s*$|\s*(?:\[ *\d{1,9}\.\d{6}\] |[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:))/m;

const forumTag =
  /\[\/?(?:font|code|quote|pre|indent|size|color|b|i|u|list|spoiler)(?:=[^\]\n]{0,100})?\]/;
const forumTagAtEdge = new RegExp(`^[^\\S\\r\\n]*${forumTag.source}|${forumTag.source}\\s*$`, "im");
const forumTags = new RegExp(`^\\s*(?:${forumTag.source})+|(?:${forumTag.source})+\\s*$`, "gi");

const tags = /<\/?(?:pre|p|div|td|tr|li|ul|ol|code|span|blockquote|b|i|em|strong)\b[^>]{0,200}>/g;
const breaks = /<br ?\/?>/;
const references: Record<string, string> = {
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: " ",
  amp: "&",
};

/** Whether the beginning of a log is a page's source. */
export function isHtml(head: Uint8Array): boolean {
  const bytes = Buffer.from(head);
  if (!bytes.includes(0x26) && !bytes.includes(0x3c) && !bytes.includes("[/")) return false;
  const text = bytes.toString("latin1");
  return inKernelText.test(text) || tagAtEdge.test(text) || forumTagAtEdge.test(text);
}

/** Puts the characters in their place, in pieces as the bytes come. */
export class PlainText {
  readonly #lines = new ArrivingLines();
  #line = 0;
  readonly #numbers: number[] = [];

  push(bytes: Uint8Array): Buffer {
    return this.#take(this.#lines.push(bytes));
  }

  end(): Buffer {
    return this.#take(this.#lines.end());
  }

  /** In which line of the log a line (both 1-based) stands. */
  lineNumber(line: number): number {
    return this.#numbers[line - 1] ?? line;
  }

  #take(lines: readonly string[]): Buffer {
    const plain: string[] = [];
    for (const raw of lines) {
      this.#line += 1;
      const parts = raw.replace(/<br ?\/?>\s*$/, "").split(breaks);
      for (const part of parts) {
        this.#numbers.push(this.#line);
        plain.push(decoded(part), "\n");
      }
    }
    return Buffer.from(plain.join(""), "latin1");
  }
}

function decoded(text: string): string {
  return text
    .replace(tags, "")
    .replace(forumTags, "")
    .replace(/&(?:#(\d{1,3})|#x([0-9a-f]{1,2})|([a-z]{2,4}));/gi, reference);
}

function reference(whole: string, decimal?: string, hex?: string, name?: string): string {
  if (name !== undefined) return references[name.toLowerCase()] ?? whole;
  const code = decimal === undefined ? Number.parseInt(hex ?? "", 16) : Number(decimal);
  if (code === 160) return " ";
  return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : whole;
}
