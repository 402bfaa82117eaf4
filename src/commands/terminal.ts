/** Terminal output of the commands. */
import { type Column, table } from "../text/table.ts";

/** Fits most terminals, pagers and e-mails. */
const usualWidth = 100;
const narrowest = 60;
/** Longer lines are hard to read. */
const widest = 200;

export interface Style {
  /** Columns of a line. */
  width: number;
  bold(text: string): string;
  alarm(text: string): string;
  quiet(text: string): string;
}

const csi = "\x1b[";
const paint = (code: string) => (text: string) => `${csi}${code}m${text}${csi}0m`;

const colours = { bold: paint("1"), alarm: paint("1;31"), quiet: paint("2") };
const unpainted = (text: string) => text;
const plain = { bold: unpainted, alarm: unpainted, quiet: unpainted };

/** A stream such as `process.stdout`. */
export interface Output {
  write(text: string): unknown;
  isTTY?: boolean;
  /** Width of the terminal. */
  columns?: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Colours if the output is a terminal and colours are not disabled; lines as wide as the terminal. */
export function styleFor(stdout: Output, env: Environment): Style {
  const isColoured = stdout.isTTY === true && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb";
  return { ...(isColoured ? colours : plain), width: widthOf(stdout, env) };
}

/** Columns of a line: `COLUMNS` if it is set, else the terminal's, from 60 to 200; 100 if there is no terminal. */
export function widthOf(stdout: Pick<Output, "columns">, env: Environment): number {
  const width = Number(env.COLUMNS) || stdout.columns || usualWidth;
  return Math.min(widest, Math.max(narrowest, Math.floor(width)));
}

/** The lines of a table with a quiet heading. */
export function styledTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: Style,
): string[] {
  const [head = "", ...body] = table(columns, rows, style.width);
  return [style.quiet(head), ...body];
}
