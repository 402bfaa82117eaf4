/**
 * A log in a mail or a chat that breaks lines at a blank, somewhere before its right margin.
 *
 *     [330319.251380] Out of memory: Killed process 541 (dbus-broker)
 *     total-vm:4400kB, anon-rss:892kB, file-rss:380kB, shmem-rss:0kB, UID:999
 *     pgtables:44kB oom_score_adj:-900
 *
 * Terminals break at exactly the same column: `wrapped-lines.ts`.
 */
import { ArrivingLines } from "./arriving-lines.ts";
import { isFence, withoutQuoteMarks } from "./copied-line.ts";
import { parseKillLine } from "./kill-line.ts";
import type { LogClock } from "./local-time.ts";
import { beginsRecord, hasEnvelope } from "./log-line.ts";

const [narrowest, widest] = [50, 110];
/** No record of the kernel begins like this. */
const isRest =
  /^(?:(?:total-vm|anon-rss|file-rss|shmem-rss|pgtables):(?:\d+kB|$)|UID:\d|oom_score_adj:-?\d|gfp_mask=(?:0x|\d)|order=-?\d|oom_score_adj=-?\d|oom-killer: |nodemask=|cpuset=\S+,|mems_allowed=\d|(?:oom|task)_memcg=\/|task=\S|global_oom,)/;
const isKernelText =
  / invoked\s*$|oom-killer:\s*$|oom-killer: |illed process \d|oom-kill:constraint=/;
const maxJoined = 4096;

/** How such a log was broken. */
export interface MailWrap {
  /** The longest line that goes on; absent if only lines that certainly go on were found. */
  width?: number;
}

/** How the lines of a log were broken; `undefined` if they were not. */
export function mailWrapOf(head: Uint8Array, clock: LogClock): MailWrap | undefined {
  const lines = Buffer.from(head).toString("latin1").split(/\r?\n/);
  const begins = lines.map(
    (line, index) => hasEnvelope(line, clock) || isOtherRecord(lines[index - 1], line),
  );
  const breaks: { length: number; next: string; isOneWord: boolean }[] = [];
  let isCertain = false;
  let begun: string | undefined;
  for (const [index, line] of lines.entries()) {
    const next = lines[index + 1];
    begun = begins[index] ? line : begun;
    const rest = next === undefined ? "" : restOf(next, begun);
    const isEnd = rest === "" || isFence(rest);
    if (next === undefined || isEnd || begins[index + 1]) {
      if (isEnd) begun = undefined;
      continue;
    }
    isCertain ||= isKernelText.test(begun ?? line) && isRest.test(rest.trimStart());
    if (begun !== undefined && !isOwnLine(begun, rest)) {
      // A longer word had no place to be broken at.
      const isOneWord = !/\S\s+\S/.test(restOf(line, begun));
      breaks.push({ length: line.trimEnd().length, next: rest, isOneWord });
    }
  }
  const width = breaks.reduce(
    (longest, { length, isOneWord }) => (isOneWord ? longest : Math.max(longest, length)),
    0,
  );
  const forced = breaks.filter((at) => isForced(at.length, at.next, width));
  const isWrapped =
    width >= narrowest &&
    width <= widest &&
    forced.length > 1 &&
    forced.length * 10 >= breaks.length * 8;
  if (isWrapped) return { width };
  return isCertain ? {} : undefined;
}

/**
 * Whether a line is a record of its own although it has no envelope. A mailer may break a line behind its envelope, and
 * a kill line in its head.
 */
function isOtherRecord(before: string | undefined, line: string): boolean {
  return beginsRecord(line) && !/(?:\]|\bkernel:|memory:|\bOOM| invoked)\s*$/.test(before ?? "");
}

/** Whether the first word of the next line had no room any more. */
function isForced(length: number, next: string, width: number): boolean {
  return length + 1 + (/^\s*\S*/.exec(next)?.[0].length ?? 0) > width;
}

const taskRow = /\[ *(?:pid|\d+) *\] +(?:uid|\d+)\b/;

/** A record's further lines are indented; in a task table a mailer may break among several blanks. */
function isOwnLine(before: string, rest: string): boolean {
  return /^\s/.test(rest) && !taskRow.test(before);
}

/** A line without the quote marks and the indentation of the line that it goes on from. */
function restOf(line: string, begun: string | undefined): string {
  const rest = withoutQuoteMarks(line).trimEnd();
  const indent = /^[ \t]*/.exec(withoutQuoteMarks(begun ?? ""))?.[0] ?? "";
  return rest.startsWith(indent) ? rest.slice(indent.length) : rest;
}

/**
 * Joins the lines again, in pieces as they arrive.
 *
 * Invariant: the lines do not depend on how the bytes are cut into pieces.
 */
export class MailLines {
  readonly #width: number;
  readonly #clock: LogClock;
  readonly #lines = new ArrivingLines();
  #joined: string | undefined;
  /** Whether the joined line has an envelope. */
  #isRecord = false;
  #lastLength = 0;
  #read = 0;
  readonly #numbers: number[] = [];

  constructor({ width = Number.POSITIVE_INFINITY }: MailWrap, clock: LogClock) {
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
      const isRecord = hasEnvelope(line, this.#clock);
      const rest = isRecord ? undefined : this.#furtherOf(line);
      if (this.#joined !== undefined && rest !== undefined) {
        const before = this.#joined;
        const begun = isCutConstraint(before) ? before.replace(/\\$/, "") : before.trimEnd();
        this.#joined = `${begun}${separator(before, rest)}${rest.trimStart()}`;
      } else {
        if (this.#joined !== undefined) whole.push(this.#joined, "\n");
        this.#joined = line;
        this.#isRecord = isRecord;
        this.#numbers.push(this.#read);
      }
      this.#lastLength = line.trimEnd().length;
    }
    return Buffer.from(whole.join(""), "latin1");
  }

  /** What a line without an envelope adds to the joined one; `undefined` if it is a line of its own. */
  #furtherOf(line: string): string | undefined {
    const joined = this.#joined;
    if (joined === undefined || joined.length > maxJoined) return undefined;
    if (isOtherRecord(joined, line)) return undefined;
    const rest = restOf(line, joined);
    return rest !== "" && !isFence(rest) && this.#goesOn(joined, rest) ? rest : undefined;
  }

  #goesOn(joined: string, rest: string): boolean {
    const isCut =
      (/\b(?:total-|[a-z-]+:)$/.test(joined) && /^(?:vm:)?\d*/.test(rest.trimStart())) ||
      (/ (?:UID|score|process)\s*$/.test(joined) && /^\s*\d/.test(rest));
    if (isKernelText.test(joined) && (isCut || isRest.test(rest.trimStart()))) return true;
    if (isCutConstraint(joined) || isInsideConstraint(joined, rest)) return true;
    if (!this.#isRecord || isOwnLine(joined, rest)) return false;
    return isForced(this.#lastLength, rest, this.#width) && !isWholeKill(joined);
  }
}

/** A line of the constraint that somebody broke behind a comma, with a backslash or without, or inside a path. */
function isCutConstraint(before: string): boolean {
  return /oom-kill:constraint=\S*(?:,\\?|_memcg=\/\S*\/)$/.test(before);
}

/** A line of the constraint that a terminal broke anywhere, before the mail broke it again. */
function isInsideConstraint(before: string, rest: string): boolean {
  return (
    /oom-kill:constraint=\S*$/.test(before) &&
    !/,uid=\d+$/.test(before) &&
    /^[^\s,=]*[,=]/.test(rest)
  );
}

/** A mailer may break a word behind a hyphen or a colon. */
function separator(before: string, rest: string): string {
  if (isCutConstraint(before) || isInsideConstraint(before, rest)) return "";
  if (/\s$/.test(before) || /^\s/.test(rest)) return " ";
  const isInsideWord = /[-(=|]$/.test(before) || (/\w:$/.test(before) && /^\d/.test(rest));
  return isInsideWord ? "" : " ";
}

/** A remark below a kill line is no part of it. */
function isWholeKill(joined: string): boolean {
  const at = joined.search(/(?:Memory cgroup o|O)ut of memory|Killed process /);
  return at >= 0 && parseKillLine(joined.slice(at)) !== undefined;
}
