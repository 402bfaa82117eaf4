/** Terminal output of the commands. */

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

/** Colours if the output is a terminal and colours are not disabled. */
export function styleFor(
  stdout: { isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): Style {
  const isColoured = stdout.isTTY === true && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb";
  return isColoured ? colours : plain;
}
