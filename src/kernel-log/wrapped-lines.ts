/**
 * A log copied from a terminal or a pager that broke long lines at the right margin.
 *
 *     Mar 26 12:32:37 pi kernel: [126764.421946] python3 invoked oom-killer: gfp_mask=0x15080c0(GFP_KE
 *     RNEL_ACCOUNT|__GFP_ZERO), nodemask=(null),  order=1, oom_score_adj=0
 */
import { ArrivingLines } from "./arriving-lines.ts";
import { isFence } from "./copied-line.ts";
import type { LogClock } from "./local-time.ts";
import { hasEnvelope } from "./log-line.ts";

const [narrowest, widest] = [60, 400];

/** The margin at which the lines of a log were broken; `undefined` if they were not. */
export function wrapWidthOf(head: Uint8Array, clock: LogClock): number | undefined {
  const lines = Buffer.from(head).toString("latin1").split(/\r?\n/);
  const isRecord = recordsIn(lines, clock);
  const width = lines.reduce(
    (longest, line, index) => (isRecord[index] ? Math.max(longest, line.length) : longest),
    0,
  );
  if (width < narrowest || width > widest) return undefined;
  // Several continued lines of exactly the same length are no coincidence.
  const full = lines.flatMap((line, index) => {
    const isLast = isEnd(lines[index + 1]);
    return line.length === width && isRecord[index] && !isLast ? [index] : [];
  });
  const goOn = full.filter((index) => goesOn(lines[index + 1], clock));
  if (full.length < 2 || goOn.length * 10 < full.length * 9) return undefined;
  // Where shorter lines go on as well, a mailer broke them at blanks.
  const begun = goOn.filter((index) => !goesOn(lines[index], clock));
  const short = lines.filter((line, index) => {
    const next = lines[index + 1] ?? "";
    const isLong = line.length >= width - 1 || line.trim() === "" || isFence(line);
    const isBreak =
      indentOf(next) <= indentOf(line) && goesOn(next, clock) && !withoutWords.test(next);
    return !isLong && isRecord[index] && isBreak;
  });
  return short.length * 2 > begun.length ? undefined : width;
}

/** Dots, or a rule: lines that somebody left out. */
const withoutWords = /^\W*$/;

/** Whether a block of lines ends there: its last line may be as long as the margin by chance. */
function isEnd(next: string | undefined): boolean {
  return next === undefined || next.trim() === "" || isFence(next);
}

/** Which lines belong to a record; all, where none has an envelope. Prose around a log is broken anyhow. */
function recordsIn(lines: readonly string[], clock: LogClock): boolean[] {
  let isIn = false;
  const isRecord = lines.map((line) => {
    if (isEnd(line) || withoutWords.test(line)) isIn = false;
    else isIn ||= hasEnvelope(line, clock);
    return isIn;
  });
  return isRecord.includes(true) ? isRecord : lines.map(() => true);
}

function indentOf(line: string): number {
  return line.search(/\S|$/);
}

/** Whether a line is the rest of the one before it: it has no envelope. */
function goesOn(next: string | undefined, clock: LogClock): boolean {
  return next !== undefined && !isEnd(next) && !hasEnvelope(next, clock);
}

/** Places where the kernel writes a blank: the lines were broken by a mailer, and happen to be equally long. */
const lostBlank =
  /(?:\)|kB,|UID \d{1,10},)\n(?:score|total-vm|anon-rss|file-rss|shmem-rss|UID|pgtables|oom_score_adj)|illed\nprocess|process\n\d/;
const quoteMarks = /^[\s>]*/;

/**
 * Joins the lines again, in pieces as they arrive.
 *
 * Invariant: the lines do not depend on how the bytes are cut into pieces.
 */
export class WrappedLines {
  readonly #width: number;
  readonly #clock: LogClock;
  readonly #lines = new ArrivingLines();
  #joined: string | undefined;
  #broken = 0;
  #read = 0;
  readonly #numbers: number[] = [];

  constructor(width: number, clock: LogClock) {
    this.#width = width;
    this.#clock = clock;
  }

  /** Takes bytes of the log. Returns complete lines. */
  push(bytes: Uint8Array): Buffer {
    return this.#take(this.#lines.push(bytes));
  }

  /** End of the log: returns the last line. */
  end(): Buffer {
    const last = this.#take(this.#lines.end());
    const joined = this.#joined === undefined ? "" : `${this.#joined}\n`;
    this.#joined = undefined;
    return Buffer.concat([last, Buffer.from(joined, "latin1")]);
  }

  /** Line of the log where a returned line begins (both 1-based). */
  lineNumber(line: number): number {
    return this.#numbers[line - 1] ?? line;
  }

  #take(lines: readonly string[]): Buffer {
    const whole: string[] = [];
    for (const line of lines) {
      this.#read += 1;
      // If the margin swallowed a blank, the line is one character shorter.
      const missing = this.#width - this.#broken;
      const isBroken = missing === 0 || missing === 1;
      if (this.#joined !== undefined && isBroken && goesOn(line, this.#clock)) {
        const marks = quoteMarks.exec(this.#joined)?.[0] ?? "";
        const rest = line.startsWith(marks) ? line.slice(marks.length) : line;
        const isLost = missing === 0 && lostBlank.test(`${this.#joined.slice(-12)}\n${rest}`);
        this.#joined += (isLost ? " " : " ".repeat(missing)) + rest;
      } else {
        if (this.#joined !== undefined) whole.push(`${this.#joined}\n`);
        this.#joined = line;
        this.#numbers.push(this.#read);
      }
      this.#broken = line.length;
    }
    return Buffer.from(whole.join(""), "latin1");
  }
}
