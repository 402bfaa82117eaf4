// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins a colour code
const colourCode = /\x1b\[[\d;]*m/g;

/** Visible length, without colour codes. */
export function columns(text: string): number {
  return text.replaceAll(colourCode, "").length;
}

/**
 * Breaks text between words, never inside one. A word that is longer than a line is shortened in its middle, except
 * for the address of a page.
 */
export function wrap(text: string, limit: number, hang = 0): string[] {
  const lines: string[] = [];
  let line = "";
  // A pid stays with its word.
  for (const word of text.split(/(?<!\(pid) /)) {
    if (line !== "" && columns(line) + 1 + columns(word) > limit) {
      lines.push(line);
      line = "";
    }
    if (line !== "") {
      line = `${line} ${word}`;
      continue;
    }
    const indent = lines.length > 0 ? " ".repeat(hang) : "";
    line = indent + (isAddress(word) ? word : shortened(word, limit - indent.length));
  }
  lines.push(line);
  return lines;
}

function isAddress(word: string): boolean {
  return /^https?:\/\//.test(word);
}

/**
 * Text of at most `limit` columns. A path loses names in its middle: the last one says most, the first one where it
 * begins. Other text loses characters. Text with colour codes stays as it is.
 */
export function shortened(text: string, limit: number): string {
  if (columns(text) <= limit || columns(text) !== text.length) return text;
  const names = text.split("/");
  const head = names.slice(0, names[0] === "" ? 2 : 1).join("/");
  const tails = names.map((_, from) => `…/${names.slice(from + 1).join("/")}`).slice(0, -1);
  const candidates = [...tails.slice(1).map((tail) => `${head}/${tail}`), ...tails];
  return candidates.find((candidate) => candidate.length <= limit) ?? middleCut(text, limit);
}

/** Keeps twice as much of the end as of the beginning. */
function middleCut(text: string, limit: number): string {
  const characters = [...text];
  const head = Math.floor((limit - 1) / 3);
  const tail = Math.max(0, limit - 1 - head);
  return `${characters.slice(0, head).join("")}…${tail === 0 ? "" : characters.slice(-tail).join("")}`;
}
