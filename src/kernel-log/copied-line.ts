/**
 * Prefixes that log lines get when people copy them: quote marks and indentation, file and line number from grep,
 * the name of a host or container, terminal colours.
 *
 *     /var/log/kern.log.1:Nov 20 13:23:50 web1 kernel: [    8.640407] Out of memory: ...
 *     > [    8.640407] Out of memory: ...
 *     machine # [    8.640407] Out of memory: ...
 *     2026-11-20T13:23:51.1234567Z [    8.640407] Out of memory: ...
 *
 * Not used for a log that is being followed, where a process could use such prefixes to forge lines.
 */
import { envelopeStart } from "./envelope-start.ts";

const anyOf = (patterns: readonly RegExp[]): string =>
  `(?:${patterns.map(({ source }) => source).join("|")})`;

const mark = anyOf([
  /\xef\xbb\xbf/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: RS stands before each entry of a JSON sequence
  /[\s\x1e>|*+`#-]+/,
  /\S{0,120}?[:-] ?/,
  /\S{1,60} +[|#] +/,
  /\[[^\]\s]{1,80}\] /,
  /\[[A-Za-z][\w ./-]{0,40}\] /,
  / *\d{1,9}[.):]?[\t ] ?/,
  /\S{1,60} (?=kernel: )/,
  /[A-Za-z]\S{0,60}\|/,
  // The edge of a pane in tmux.
  /\xe2\x94\x82 ?/,
  // The processor, on consoles of some boards.
  /[cC]\d{1,2} +/,
  // awslogs: the group and the stream.
  /\/[\w./-]{1,120} \S{1,120} /,
  // Splunk's column of times.
  /\d{1,2}\/\d{1,2}\/\d{2,4} \d{1,2}:\d\d:\d\d(?:\.\d{1,6})?(?: [AP]M)? /,
  // netconsole with the release.
  /\d{1,2}\.\d{1,3}[\w.+-]{0,60},/,
  /\*\* \d+ printk messages dropped \*\* /,
]);
const marks = new RegExp(`^${mark}{1,2}?(?=${envelopeStart})`);

/** The labels that logcli and Promtail print before a line: `{host="web1", job="journal"} `. */
const labels = /\{(?:[\w.]{1,80}="(?:[^"\\]|\\.){0,200}"(?:, ?)?){1,40}\}[ \t]+/;
const leadingLabels = new RegExp(`^${labels.source}`);

/** What the log of a virtual machine, a relay or a log store puts between its timestamp and the line. */
const carriers = anyOf([labels, /In\(\d+\) \S+ - Guest: /, /\| \S+\| \S+ Guest: /, /\S*[^\s:] /]);
const carrier = new RegExp(`^${carriers}??(?=${envelopeStart})`);

const indentation = /^(?:\xef\xbb\xbf)?[\s>|*]+/;
/** Terminal colours, as dmesg and journalctl use them, and Buildkite's times. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: ESC is what is meant
const colours = /\x1b(?:\[[\d;]*[mK]|_bk;t=\d+\x07)/g;
const lostBracket = /^ *\d+\.\d{6}\] /;
/** The rest of a stamp, and who wrote the line or what only a kernel writes. */
const restOfStamp =
  /(\[? *)(?<![\d.])\d{1,9}\.\d{6}\](?:\[ *[TC]\d+\]|( )(?=\[ *\d+\] +\d|oom-kill:|oom_reaper:|Out of memory|Memory cgroup out))/;
const quoteOrTime = /["'`]|\d\d:\d\d:\d\d/;
/** A program's unfinished line on a serial console: `Creating journal: [   35.419377] mkfs.ext4 invoked oom-killer: `. */
const unfinishedLine = /^[^"'`]{1,160}?(?=\[ *\d{1,9}\.\d{6}\] .{1,15} invoked oom-killer: )/;

/** A line in a list of strings, as Ansible and YAML print them: `"[    8.640407] ...",`. */
const listItem = /^[\s[-]*(["'])(\[ *\d{1,9}\.\d{6}\] .*)\1,?[\s\]})]*$/;

/** The line without these prefixes; `undefined` if it has none. */
export function withoutCopyMarks(line: string): string | undefined {
  if (line.charCodeAt(0) === 0x1b) return withoutColours(line);
  const item = listItem.exec(line);
  if (item !== null) return item[2];
  const match = marks.exec(line);
  if (match !== null) return line.slice(match[0].length);
  if (lostBracket.test(line)) return `[${line}`;
  const broken = withBrokenStamp(line);
  if (broken !== undefined) return broken;
  const unfinished = line.includes("oom-killer: ") ? unfinishedLine.exec(line) : null;
  return unfinished === null ? undefined : line.slice(unfinished[0].length);
}

/**
 * A line of a serial console on which a program wrote into the stamp: `[  OK    386.369228][  T709] [    985] `. A whole
 * stamp without a caller, behind other words, may be what a program quotes.
 */
function withBrokenStamp(line: string): string | undefined {
  const stamp = restOfStamp.exec(line.slice(0, 120));
  if (stamp === null) return undefined;
  const [, head = "", withoutCaller] = stamp;
  const before = line.slice(0, stamp.index);
  if (before.length > 60 || quoteOrTime.test(before)) return undefined;
  if (withoutCaller !== undefined && head.startsWith("[")) return undefined;
  return `[${line.slice(stamp.index + head.length)}`;
}

/** The line without indentation or quote marks that apply to a whole text. */
export function withoutIndentation(line: string): string {
  return line.replace(indentation, "");
}

/** The rest of a record without the quote marks of a mail. */
export function withoutQuoteMarks(line: string): string {
  return line.startsWith(">") ? line.replace(/^[>\s]*> ?/, "") : line;
}

/** Whether a line ends a block of a ticket, a page or Markdown. */
export function isFence(line: string): boolean {
  return /^\s*(?:\x60{3}|~~~|\{(?:code|noformat|quote|panel)[:}]|<\/[a-z]|\[\/[A-Za-z])/.test(line);
}

/** The text without Markdown for bold or code at its end. */
export function withoutEmphasis(text: string): string {
  const last = text.charCodeAt(text.length - 1);
  return last === 0x2a || last === 0x60 ? text.replace(/(?:\*{1,3}|`{1,3})$/, "") : text;
}

export function withoutColours(text: string): string {
  return text.replace(colours, "");
}

/** The labels of a log store before a line, and the rest; `undefined` if there are none. */
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
 * The object in a line that a log shipper prints after time and tag, as JSON; `undefined` for any other line. `time` is
 * the text before it.
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

/** The text after a timestamp if that is another timestamp and its line; `undefined` for anything else. */
export function carriedLine(rest: string): string | undefined {
  const match = carrier.exec(rest);
  return match === null ? undefined : rest.slice(match[0].length);
}
