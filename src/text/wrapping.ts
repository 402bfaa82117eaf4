// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins a colour code
const colourCode = /\x1b\[[\d;]*m/g;

/** Visible length, without colour codes. */
export function columns(text: string): number {
  return text.replaceAll(colourCode, "").length;
}

/** Breaks text between words; breaks a word that is longer than a line (a cgroup path) anywhere. */
export function wrap(text: string, limit: number, hang = 0): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    let rest = word;
    if (line !== "" && columns(line) + 1 + columns(rest) > limit) {
      lines.push(line);
      line = "";
    }
    const indent = line === "" && lines.length > 0 ? " ".repeat(hang) : "";
    while (columns(indent + rest) > limit && columns(rest) === rest.length) {
      lines.push(indent + rest.slice(0, limit - indent.length));
      rest = rest.slice(limit - indent.length);
    }
    line = line === "" ? indent + rest : `${line} ${rest}`;
  }
  lines.push(line);
  return lines;
}
