/**
 * What gets in front of a log line when people copy it: quote marks and indentation, the file and line
 * number of grep, the name of a host or container, the colours of a terminal.
 *
 *     /var/log/kern.log.1:Nov 20 13:23:50 web1 kernel: [    8.640407] Out of memory: ...
 *     > [    8.640407] Out of memory: ...
 *     machine # [    8.640407] Out of memory: ...
 *     2026-11-20T13:23:51.1234567Z [    8.640407] Out of memory: ...
 *
 * Nothing here is tried on a log that is followed: whoever writes into that wants to be believed.
 */

const anyOf = (patterns: readonly RegExp[]): string =>
  `(?:${patterns.map((pattern) => pattern.source).join("|")})`;

/** How the envelopes begin that say for themselves that they are one. */
const envelope = anyOf([
  /<\d{1,3}>/,
  /\[ *\d+\.\d{3,6}[\] ]/,
  /\[ *\+\d+\.\d{6}\]/,
  /\[[A-Z][a-z]{2} ?\d{1,2} \d\d:\d\d\]/,
  /\[(?:\S{1,12} +){3}\d\d:\d\d:\d\d \d{4}[\] ]/,
  /[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d/,
  /\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d/,
  /kern *:[a-z]+ *: /,
  /\d{1,4},\d+,\d+,/,
  /kernel: /,
  /\{"/,
]);

const mark = anyOf([
  /\xef\xbb\xbf/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: RS stands before each entry of a JSON sequence
  /[\s\x1e>|*+`-]+/,
  /\S{0,120}?[:-] ?/,
  /\S{1,60} +[|#] +/,
  /\[[^\]\s]{1,80}\] /,
  / *\d{1,9}[\t ] ?/,
  /\S{1,60} (?=kernel: )/,
]);
const marks = new RegExp(`^${mark}{1,2}?(?=${envelope})`);

/** What a virtual machine's log or a relay puts between its stamp and the line. */
const carriers = anyOf([/In\(\d+\) \S+ - Guest: /, /\| \S+\| \S+ Guest: /, /\S*[^\s:] /]);
const carrier = new RegExp(`^${carriers}??(?=${envelope})`);

const indentation = /^(?:\xef\xbb\xbf)?[\s>|*]+/;
/** A terminal's colours, as dmesg and journalctl set them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: ESC is what is meant
const colours = /\x1b\[[\d;]*[mK]/g;
const lostBracket = /^ *\d+\.\d{6}\] /;

/** The line without such marks; `undefined` where there are none. */
export function withoutCopyMarks(line: string): string | undefined {
  if (line.charCodeAt(0) === 0x1b) return withoutColours(line);
  const match = marks.exec(line);
  if (match !== null) return line.slice(match[0].length);
  return lostBracket.test(line) ? `[${line}` : undefined;
}

/** The line without the indentation or quote marks that a whole text was given. */
export function withoutIndentation(line: string): string {
  return line.replace(indentation, "");
}

/** The rest of a record without the marks of the mail that quotes it. */
export function withoutQuoteMarks(line: string): string {
  return line.startsWith(">") ? line.replace(/^[>\s]*> ?/, "") : line;
}

/** The text without what makes it bold or code at its end, in Markdown. */
export function withoutEmphasis(text: string): string {
  const last = text.charCodeAt(text.length - 1);
  return last === 0x2a || last === 0x60 ? text.replace(/(?:\*{1,3}|`{1,3})$/, "") : text;
}

export function withoutColours(text: string): string {
  return text.replace(colours, "");
}

/** What stands behind a stamp where that is another stamp and its line; `undefined` for anything else. */
export function carriedLine(rest: string): string | undefined {
  const match = carrier.exec(rest);
  return match === null ? undefined : rest.slice(match[0].length);
}
