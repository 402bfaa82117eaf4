/**
 * The list of how envelopes begin. `log-line.ts` strips an envelope; a copied line is searched for its envelope behind
 * the prefixes, and a line with a kill for a second envelope.
 */

interface EnvelopeStart {
  pattern: RegExp;
  /** How it looks in the middle of a line whose newline was lost; absent if that does not happen. */
  glued?: RegExp;
}

const starts: readonly EnvelopeStart[] = [
  { pattern: /<\d{1,3}>/, glued: /<\d{1,2}>\[ *\d+\.\d{6}\] / },
  { pattern: /\[ *\d+\.\d{3,6}[\] ,@|]/, glued: /\[ *\d+\.\d{6}\] / },
  { pattern: /\[ *[A-Zx*#?]{1,12}\.[A-Zx*#?]{1,12}\] / },
  { pattern: /\[ *\+\d+\.\d{6}\]/ },
  { pattern: /\[[A-Z][a-z]{2} ?\d{1,2} \d\d:\d\d\]/ },
  { pattern: /\[(?:\S{1,12} +){3}\d\d:\d\d:\d\d(?: \d{4})?[\] ]/ },
  {
    pattern: /[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d/,
    glued: /[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ kernel: /,
  },
  { pattern: /[A-Z][a-z]{2} [A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d(?: \d{4})? / },
  { pattern: /\[\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d/ },
  {
    pattern: /\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d/,
    glued: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S* \S+ kernel: /,
  },
  { pattern: /kern *:[a-z]+ *: / },
  { pattern: /\d{1,4},\d+,\d+,/ },
  { pattern: /kernel: / },
  { pattern: /\{ ?"/ },
];

const anyOf = (patterns: readonly RegExp[]): string =>
  `(?:${patterns.map(({ source }) => source).join("|")})`;

/** Pattern source: the beginning of any envelope that is recognisable on its own. */
export const envelopeStart = anyOf(starts.map(({ pattern }) => pattern));

const glued = anyOf(starts.flatMap((start) => start.glued ?? []));
const gluedEnvelope = new RegExp(`(?<=[^\\s"'([<>])(?=${glued})`);
const anyEnvelope = /\[ *\d+\.\d{6}\]|\bkernel: /;

/** The records in one line: two if the newline between them was lost. */
export function splitGlued(line: string): string[] {
  const parts = line.split(gluedEnvelope);
  // Text before the first envelope is no record but a prefix from copying.
  return anyEnvelope.test(parts[0] ?? "") ? parts : [parts.slice(0, 2).join(""), ...parts.slice(2)];
}

/**
 * Where lines of a copy were joined, with blanks or without: by a page that knows no newlines, or by a terminal that
 * pads each line to its width.
 */
const joined =
  /(?<=[^\s:"'([<>|-] {2,400})(?=\[ *\d+\.\d{6}\] )|(?<=[^\s"'([<>])(?=\[ *\d{1,9}\.\d{6}\] )|(?<=[^\s:"'([<>|-] {1,400})(?=[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ kernel: )|(?<=[^\s:\]"'([<>|-](?: {2,400}|\t{1,40}))(?=[\w.-]{1,64} kernel: )/;

/** `Nov 20 13:23:50 ` before the host. */
const syslogStampLength = 16;

/** Whether `joined` may match, without the cost of a pattern on every line of a dump. */
function mayBeJoined(line: string): boolean {
  if (line.includes("  [")) return true;
  // A stamp right behind a word.
  for (let at = line.indexOf("[", 1); at > 0; at = line.indexOf("[", at + 1)) {
    const [before, behind] = [line.charCodeAt(at - 1), line.charCodeAt(at + 1)];
    if (before > 0x20 && (behind === 0x20 || (behind >= 0x30 && behind <= 0x39))) return true;
  }
  const tag = line.lastIndexOf(" kernel: ");
  const host = tag < 1 ? -1 : line.lastIndexOf(" ", tag - 1) + 1;
  return host > syslogStampLength;
}

/** The records of a line of a copy in which several were joined; one where they were not. */
export function splitJoined(line: string): string[] {
  const parts = line.length < 60 || !mayBeJoined(line) ? [line] : line.split(joined);
  const [first = ""] = parts;
  if (parts.length === 1 || anyEnvelope.test(first)) return parts;
  return [parts.slice(0, 2).join(""), ...parts.slice(2)];
}
