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
import { envelopeStart } from "./envelope-start.ts";

const anyOf = (patterns: readonly RegExp[]): string =>
  `(?:${patterns.map(({ source }) => source).join("|")})`;

const mark = anyOf([
  /\xef\xbb\xbf/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: RS stands before each entry of a JSON sequence
  /[\s\x1e>|*+`-]+/,
  /\S{0,120}?[:-] ?/,
  /\S{1,60} +[|#] +/,
  /\[[^\]\s]{1,80}\] /,
  / *\d{1,9}[.):]?[\t ] ?/,
  /\S{1,60} (?=kernel: )/,
]);
const marks = new RegExp(`^${mark}{1,2}?(?=${envelopeStart})`);

/** The labels that logcli and Promtail's output put before a line: `{host="web1", job="journal"} `. */
const labels = /\{(?:[\w.]{1,80}="(?:[^"\\]|\\.){0,200}"(?:, ?)?){1,40}\}[ \t]+/;
const leadingLabels = new RegExp(`^${labels.source}`);

/** What a virtual machine's log, a relay or a log store puts between its stamp and the line. */
const carriers = anyOf([labels, /In\(\d+\) \S+ - Guest: /, /\| \S+\| \S+ Guest: /, /\S*[^\s:] /]);
const carrier = new RegExp(`^${carriers}??(?=${envelopeStart})`);

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

/** The labels of a log store before a line, and what stands behind them; `undefined` where there are none. */
export function takeLabels(
  text: string,
): { labels: Record<string, string>; rest: string } | undefined {
  const whole = leadingLabels.exec(text)?.[0];
  if (whole === undefined) return undefined;
  const pairs = [...whole.matchAll(/([\w.]+)="((?:[^"\\]|\\.)*)"/g)];
  const named = Object.fromEntries(pairs.map(([, name = "", value = ""]) => [name, value]));
  return { labels: named, rest: text.slice(whole.length) };
}

/**
 * The object of a line that a log shipper prints behind its time and its tag, as JSON;
 * `undefined` for any other line. `time` is what stands before it.
 *
 *     [0] kmsg.0: [[1795181030.671745000, {}], {"priority"=>3, "sequence"=>9, "msg"=>"Out of ..."}]
 *     2026-11-20 13:23:50.671745000 +0000 kernel.info: {"message":"Out of memory: ..."}
 */
export function shippedObject(line: string): { time: string; json: string } | undefined {
  const match = shippedHead.exec(line);
  if (match === null) return undefined;
  const end = line.lastIndexOf("}");
  if (end < match[0].length) return undefined;
  const json = line.slice(match[0].length, end + 1);
  const isRuby = /^\{"[^"]{1,80}"=>/.test(json);
  return { time: match[1] ?? match[2] ?? "", json: isRuby ? jsonOfRuby(json) : json };
}

const shippedHead =
  /^(?:\[\d+\] [\w.*-]{1,80}: \[\[?(\d{9,11}\.\d{1,9})(?:, \{\}\])?, |(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})? ?(?:Z|[+-]\d\d:?\d\d)?)[ \t]+[\w.*-]{1,80}(?::[ \t]|\t))(?=\{ ?")/;

/** Fluent Bit and Ruby write `"key"=>value` and `nil`. */
function jsonOfRuby(text: string): string {
  return text.replace(
    /("(?:[^"\\]|\\.)*")(=>)?|\bnil\b/g,
    (whole, string?: string, arrow?: string) =>
      string === undefined ? "null" : arrow === undefined ? whole : `${string}:`,
  );
}

/** What stands behind a stamp where that is another stamp and its line; `undefined` for anything else. */
export function carriedLine(rest: string): string | undefined {
  const match = carrier.exec(rest);
  return match === null ? undefined : rest.slice(match[0].length);
}
