/**
 * Reads a complete log in any form: its bytes become lines in chronological order, and the scanner finds the reports in
 * them. Code that follows a log (`log-sources`) knows its form and uses the scanner directly.
 *
 *     form (by the head) -> lines -> scanner -> reports, numbered as in the log
 */
import { EntryLines, entryFormOf } from "./entry-lines.ts";
import { isHtml, PlainText } from "./html-text.ts";
import { hasJsonStrings, JsonStrings } from "./json-strings.ts";
import { KillScanner } from "./kill-scanner.ts";
import type { LogClock } from "./local-time.ts";
import { hasKernelTags } from "./log-line.ts";
import { MailLines, mailWrapOf } from "./mail-lines.ts";
import {
  BlanksInStamps,
  hasLoneReturns,
  hasTabbedStamps,
  NewlinesForReturns,
} from "./odd-separators.ts";
import type { KernelLogEvent } from "./oom-report.ts";
import { DecodedMail, isQuotedPrintable } from "./quoted-printable.ts";
import { isInSections, maxSectionsLength, ReportSections } from "./report-sections.ts";
import { isReversed, turned } from "./reversed-log.ts";
import { TableLines, tableHeadOf } from "./table-lines.ts";
import { hasTerminalCodes, WithoutTerminalCodes } from "./terminal-codes.ts";
import { hasWideBlanks, PlainBlanks } from "./wide-blanks.ts";
import { WrappedLines, wrapWidthOf } from "./wrapped-lines.ts";

export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Converts a log to one line per message, in pieces as its bytes arrive. */
interface LineMaker {
  push(bytes: Uint8Array): Buffer;
  end(): Buffer;
  /** Line of the log where a returned line begins (both 1-based). */
  lineNumber?(line: number): number;
}

export interface WholeLog {
  /** The first bytes, which determine the form: 64 KiB if available. */
  head: Uint8Array;
  /** All bytes, including the head. */
  chunks: Chunks;
}

/** Reads the same lines for another purpose. `end` is called once, also after a failure. */
export interface LineReader {
  /** `linesBefore`: number of lines that ended before these bytes. */
  push(bytes: Uint8Array, linesBefore: number): void;
  end(): void;
}

/** `lineNumber`: line of the log where a pushed line begins (both 1-based). */
export type MakeLineReader = (lineNumber: (line: number) => number) => LineReader;

/**
 * Reports the contents of a log. Reports carry their line in the log. Rejects with the error of `chunks`, after reporting
 * everything before it. `makeOther` creates a reader that gets every piece of the log before its reports are passed on.
 */
export async function readWholeLog(
  { head, chunks }: WholeLog,
  clock: LogClock,
  emit: (event: KernelLogEvent) => void,
  makeOther?: MakeLineReader,
): Promise<void> {
  const { makers, isNewestFirst } = conversionOf(head, clock);
  const tagged = hasKernelTags(head);
  const lines = makers.reduce<Chunks>((bytes, maker) => made(bytes, maker), chunks);
  const numberOf = (line: number): number =>
    makers.reduceRight((number, maker) => maker.lineNumber?.(number) ?? number, line);
  const scannerOf = (lineNumber: (line: number) => number): KillScanner =>
    new KillScanner({ clock, firstLine: 1, copied: true, tagged }, (event) =>
      emit(renumbered(event, lineNumber)),
    );
  if (isNewestFirst) {
    for await (const piece of turned(lines)) {
      const lineNumber = (line: number): number => numberOf(piece.lineNumber(line));
      const [scanner, other] = [scannerOf(lineNumber), makeOther?.(lineNumber)];
      other?.push(piece.bytes, 0);
      other?.end();
      scanner.push(piece.bytes);
      scanner.endOfInput();
    }
    return;
  }
  const scanner = scannerOf(numberOf);
  const other = makeOther?.(numberOf);
  const push = (chunk: Uint8Array): void => {
    other?.push(chunk, scanner.linesTaken);
    scanner.push(chunk);
  };
  try {
    // A file's chunks are available at once: awaiting each would cost a tenth of the time.
    if (Symbol.iterator in lines) for (const chunk of lines) push(chunk);
    else for await (const chunk of lines) push(chunk);
  } finally {
    other?.end();
    scanner.endOfInput();
  }
}

interface Conversion {
  makers: LineMaker[];
  isNewestFirst: boolean;
}

/** The conversion that a log needs, by its beginning. */
function conversionOf(head: Uint8Array, clock: LogClock): Conversion {
  const makes: (() => LineMaker)[] = [];
  let beginning = head;
  const add = (make: () => LineMaker): void => {
    makes.push(make);
    beginning = make().push(beginning);
  };
  if (hasLoneReturns(head)) add(() => new NewlinesForReturns());
  if (hasJsonStrings(beginning)) {
    makes.push(() => new JsonStrings());
    beginning = head.length > maxSectionsLength ? new Uint8Array() : converted(head, makes);
  }
  if (hasTerminalCodes(beginning) && entryFormOf(beginning) === undefined)
    add(() => new WithoutTerminalCodes());
  if (isQuotedPrintable(beginning)) add(() => new DecodedMail());
  if (hasWideBlanks(beginning)) add(() => new PlainBlanks());
  if (isHtml(beginning)) add(() => new PlainText());
  if (hasTabbedStamps(beginning)) add(() => new BlanksInStamps());
  const makeRecords = recordMaker(beginning, clock);
  if (makeRecords !== undefined) add(makeRecords);
  const isSectioned = isInSections(converted(head, makes), clock);
  const isNewestFirst = !isSectioned && isReversed(beginning, clock);
  if (isSectioned) makes.push(() => new ReportSections(clock));
  return { makers: makes.map((make) => make()), isNewestFirst };
}

/** The lines of a text, if this is all of it. */
function converted(text: Uint8Array, makes: readonly (() => LineMaker)[]): Uint8Array {
  if (text.length > maxSectionsLength) return text;
  return makes.reduce((bytes, make) => {
    const maker = make();
    return Buffer.concat([maker.push(bytes), maker.end()]);
  }, text);
}

/** What joins or separates the records; `undefined` if each stands on a line of its own. */
function recordMaker(beginning: Uint8Array, clock: LogClock): (() => LineMaker) | undefined {
  const table = tableHeadOf(beginning);
  if (table !== undefined) return () => new TableLines(table);
  const form = entryFormOf(beginning);
  if (form !== undefined) return () => new EntryLines(form);
  const width = wrapWidthOf(beginning, clock);
  if (width !== undefined) return () => new WrappedLines(width, clock);
  const wrap = mailWrapOf(beginning, clock);
  return wrap && (() => new MailLines(wrap, clock));
}

async function* made(chunks: Chunks, maker: LineMaker): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) yield maker.push(chunk);
  yield maker.end();
}

function renumbered(event: KernelLogEvent, lineNumber: (line: number) => number): KernelLogEvent {
  if (event.kind === "kill") {
    const { report } = event;
    if (report.lineNumber !== undefined) report.lineNumber = lineNumber(report.lineNumber);
    return event;
  }
  if (event.kind === "fragment") {
    const { fragment } = event;
    if (fragment.lineNumber !== undefined) fragment.lineNumber = lineNumber(fragment.lineNumber);
    return event;
  }
  return "lineNumber" in event && event.lineNumber !== undefined
    ? { ...event, lineNumber: lineNumber(event.lineNumber) }
    : event;
}
