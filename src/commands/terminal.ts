/** How the commands write to a terminal. */

/** Fits every terminal, pager and e-mail. */
export const width = 100;

export interface Style {
  bold(text: string): string;
  alarm(text: string): string;
  quiet(text: string): string;
}

const csi = "\x1b[";
const paint = (code: string) => (text: string) => `${csi}${code}m${text}${csi}0m`;

const colours: Style = { bold: paint("1"), alarm: paint("1;31"), quiet: paint("2") };
const plain: Style = { bold: (text) => text, alarm: (text) => text, quiet: (text) => text };

/**
 * Text from a log for a terminal. A process chooses its own name: an escape sequence or a
 * right-to-left mark in it would rewrite the screen of whoever reads this.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (character === "\n") return "\\n";
    if (character === "\t") return "\\t";
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** Colours where somebody looks who has not refused them. */
export function styleFor(
  stdout: { isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): Style {
  const isColoured = stdout.isTTY === true && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb";
  return isColoured ? colours : plain;
}

const colourCode = new RegExp(`${csi.replace("[", "\\[")}[\\d;]*m`, "g");

/** Visible length: colour codes take no column. */
export function columns(text: string): number {
  return text.replaceAll(colourCode, "").length;
}

/** Breaks text between words, and a word that is longer than a line (a cgroup path) wherever it must. */
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
