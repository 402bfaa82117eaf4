/**
 * Strips the envelope from one line of a kernel log.
 *
 * Paths: /var/log/kern.log, syslog and messages (RFC 3164, RFC 3339 and RFC 5424 timestamps), and the output of dmesg(1)
 * and journalctl(1), one line per message. Every line is recognised on its own, so a file may change its format in the
 * middle.
 *
 *     Nov 20 13:23:50 web1 kernel: [    8.640407] Out of memory: Killed process 226 (greedy) total-vm:...
 *     2026-11-20T13:23:50.671745+00:00 web1 kernel: Out of memory: Killed process ...
 *     <3>1 2026-11-20T13:23:50.671745+00:00 web1 kernel - - - [    8.640407] Out of memory: ...
 *     kern  :err   : [    8.640407] Out of memory: Killed process ...
 *     [Fri Nov 20 13:23:50 2026] Out of memory: Killed process ...
 */
import {
  carriedLine,
  isFence,
  shippedObject,
  takeLabels,
  withoutColours,
  withoutCopyMarks,
  withoutEmphasis,
  withoutIndentation,
  withoutQuoteMarks,
} from "./copied-line.ts";
import type { KernelMessage } from "./kernel-message.ts";
import {
  isLevelName,
  messageOf,
  originOfPriority,
  parseKmsgRecord,
  plausible,
} from "./kernel-message.ts";
import { decodeUtf8, unescapeDmesg, unescapeSyslog } from "./kernel-text.ts";
import { bareKill, killHead, looksLikeKill, quotedKill, quotedText } from "./kill-line.ts";
import type { LogClock } from "./local-time.ts";
import { messageOfObject, parseJson } from "./log-object.ts";
import {
  takeCtimeStamp,
  takeFullStamp,
  takeIsoStamp,
  takeLogcatCopy,
  takeLogcatStamp,
  takeMinuteStamp,
  takeSyslogStamp,
  takeUnixStamp,
} from "./log-stamp.ts";

const maxLineLength = 16 * 1024;

/** Vendors' kernels add the processor or the date: `[    8.640407,2]`, `[    8.640407 / 11-20 13:23:50.671]`. */
const printkStamp =
  /^\[ *(\d+)\.(\d{3,6})(?:[,@|]C?\d{1,3}| \/ [\d :.-]{12,24})?(?: < *[\d.]+ ?>)?\](?: ?\[ *([TC]\d+)\])? ?/;
/** A stamp whose digits somebody replaced: `[ XXXX.YYYYYY] `. */
const maskedStamp = /^\[ *[A-Zx*#?]{1,12}\.[A-Zx*#?]{1,12}\] ?/;
/** dmesg -H: seconds since the previous line. */
const deltaStamp = /^\[(?:[<+ ]*[<+] *\d+\.\d+>?|<? *\d+\.\d+>)\] ?/;
/** Kernels of some phones add the processor and the task: `(0)[226:greedy]`, `[3:  greedy:  226] `. */
const taskStamp = /^ ?(?:\(\d+\))?\[\d+:[^\]]{1,32}\] ?/;
/**
 * Others the processor, perhaps with the pid of the task: `c1 `, `c0 226 `. Tasks have such names too, a JVM's
 * `C2 CompilerThre` among them: what may be all of a name in front of the header's words is one.
 */
const processorMark =
  /^[cC]\d{1,2} \d{1,7} (?!invoked oom-killer)|^(?!.{1,15} invoked oom-killer)[cC]\d{1,2} /;

/** Strips `[    8.640407]` and `[ T226]` from the text of `message`. */
function takePrintkStamp(message: KernelMessage): void {
  const match = printkStamp.exec(message.text);
  if (match === null) return;
  message.printkMicros = Number(match[1]) * 1_000_000 + Number(match[2]?.padEnd(6, "0"));
  if (match[3] !== undefined) message.callerId = match[3];
  message.text = message.text.slice(match[0].length);
}

const facilityColumn = /^([a-z0-9]+) *:([a-z]+) *: /;
const talosStamp = /^(?:\S+: )?([a-z0-9]+): +([a-z]+): \[([^\]]+)\]: /;
const rfc5424Head =
  /^1 (\S+) \S+ (\S+) (\S+) \S+ (?:-|(?:\[(?:[^\]\\]|\\.)*\])+) ?(?:\xef\xbb\xbf)?/s;
const priorityName =
  "([a-z0-9]+)\\.(emerg|panic|alert|crit|err(?:or)?|warn(?:ing)?|notice|info|debug) ";
/**
 * Tag `kernel:`, preceded by a host (web.lan, which is no facility.level), and by busybox's priority or a template's
 * level (`!INFO |`).
 */
const kernelTag = new RegExp(
  `^(?:(?!kernel:|${priorityName}kernel:)\\S*[^\\s:] +)?(?:${priorityName}|! *[A-Z]+ +\\| )?kernel(?::(?: :(?= \\[ *\\d+\\.\\d{6}\\]))?| - - -| (?=\\[ *\\d+\\.\\d{6}\\])) ?`,
);
const untagged = /^\S+ (?=\[ *\d+\.\d{6}\])/;
const monotonicTag = /^[A-Za-z0-9][\w.-]* kernel: /;
const kmsgProperty = /^ [A-Z][A-Z0-9_]*=/;

/** `[web1] [kernel] `: tags that some tools put between the stamp and the message. */
const bracketTags = /^(?:\[[\w.-]{1,60}\] ?){0,3}\[kern(?:el)?(?:[.:]\w{1,12})?\]:? /;
/** A task may be named ` `. */
const strayBlanks = /^[ \t]+(?!invoked oom-killer)/;
/** A string of a program, which quotes a line that it looks for or prints. */
const stringOfCode =
  /(?:^|[=(,]|"\s*:|\b(?:echo|printf|return|grep|in))\s*(?:-[A-Za-z]+\s+)*[A-Za-z]{0,2}["'][^"']*illed process /;
/** What only begins a record: a copy may have the envelope on the first line of a report only. */
const ownRecord =
  /^(?:(?:Memory cgroup o|O)ut of memory\b|Killed process \d|oom-kill: ?constraint=|oom_reaper: |Tasks? in \/|(?:memory|memory\+swap|kmem|swap): usage \d|Memory cgroup stats for \/|Mem-[Ii]nfo:|\S{1,15} invoked oom-killer: |oom-killer: gfp_mask=|Tasks state |\[ *(?:pid|\d+) *\] +(?:uid|\d+) )/;
const markOfText = /^\s*[#>*|`]/;
const records = ownRecord.source.slice(1);
/** `12:00:52 `, perhaps with host or tag. */
const timeOfDay = new RegExp(
  `^\\[?\\d\\d:\\d\\d:\\d\\d(?:[.,]\\d{1,9})?\\]? (?:[\\w.-]{1,64} )?(?:kernel: )?(?=${records})`,
);
/** `[OOM Killer] `: words that somebody put in the place of a stamp. */
const wordsForStamp = new RegExp(
  `^\\[[A-Za-z][\\w ./-]{0,40}\\] (?=${records}|invoked oom-killer)`,
);
/** `cat -n` before the kernel's bare lines. */
const lineNumber = new RegExp(`^\\d{1,7}[.:)]?[ \\t]{1,8}(?=${records})`);
/** Some loggers write no tag for the kernel: `web1 greedy invoked oom-killer: `. */
const untaggedRecord = new RegExp(`^([\\w.-]{1,64}) (?=${records})`);
/** Any other program's tag; Mem-Info's lines look the same. */
const otherTag =
  /^(?!(?:Mem-[Ii]nfo|DMA(?:32)?|Normal|HighMem|Movable|memory(?:\+swap)?|swap|kmem):)[\w./-]{1,64}(?:\[\d+\])?:(?: |$)/;
/** What a container wrote that had read the kernel's log, as the journal hands it on. */
const echoTag =
  /^(?:\S*[^\s:] )?journal(?:\[\d+\])?: (?:[\w.-]{1,64} )?kernel: (?:\[ *\d+\.\d{3,6}\] )?/;
/** Lines that somebody left out. */
const onlyDots = /^[\s>]*[[(]?(?:\.{2,}|\xe2\x80\xa6)[\])]?\s*$/;
const heading = /^\s*(?:\*\*|#{1,6} )/;
const zoneStepMs = 1_800_000;
const stampWithZone =
  /^\S{0,40}[T ]?\d\d:\d\d:\d\d(?:[.,]\d{1,9})? ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d)\b/;

export interface ReaderOptions {
  /** The log may be a copy made by people: quoted, indented, from grep or a terminal. */
  copied?: boolean;
  /** The kernel's lines have its tag: one with a stamp and a host alone is another program's. */
  tagged?: boolean;
}

const taggedLine =
  /^(?:<\d{1,3}>|\S{0,120}[:-]|[> ]{1,8})?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?|\d{4}-\d\d-\d\dT\S{8,24}) [\w.-]{1,64} kernel: /m;

/** Whether a log of syslog, by its beginning, has the kernel's tag. */
export function hasKernelTags(head: Uint8Array): boolean {
  return taggedLine.test(Buffer.from(head).toString("latin1"));
}

/**
 * Parses lines in order; remembers what a line may need from the one before it.
 *
 * Lines are passed with one character per byte (latin1) and without their newline.
 */
export class KernelMessageReader {
  readonly #clock: LogClock;
  readonly #copied: boolean;
  readonly #tagged: boolean;
  #envelopeLength = 0;
  #previous: KernelMessage | undefined;
  #previousIsKmsg = false;
  #needsContext = false;
  #previousIsCopy = false;
  /** What the last copied line was indented by. */
  #copyIndent = "";
  /** A block of a page has begun or ended. */
  #isInText = false;
  /** The host whose kernel writes without a tag. */
  #untaggedHost: string | undefined;
  /** The last line was complete in itself: an event that quotes a kill, or only a timestamp. */
  #quotes = false;
  #headingMs: number | undefined;
  /** The minute last printed by dmesg -H. */
  #minuteMs: number | undefined;
  /** Timestamp, host and tag of the last syslog line and their meaning: the lines of a dump share them. */
  #prefix: { text: string; message: KernelMessage } | undefined;

  constructor(clock: LogClock, { copied = false, tagged = false }: ReaderOptions = {}) {
    this.#clock = clock;
    this.#copied = copied;
    this.#tagged = tagged;
  }

  /** True once a line had an envelope: from then on a line without one continues the line before it. */
  get hasSeenEnvelope(): boolean {
    return this.#previous !== undefined;
  }

  /** True if earlier lines might change the meaning of what was read. */
  get needsContext(): boolean {
    return this.#previous === undefined || this.#needsContext;
  }

  /** The message of a line; `undefined` for a line without one (blank, a kmsg property). */
  read(rawLine: string): KernelMessage | undefined {
    let line = rawLine.endsWith("\r") ? rawLine.slice(0, -1) : rawLine;
    // After a crash a log may contain a run of NULs where the last blocks were never written.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: NUL is what is meant
    if (line.charCodeAt(0) === 0) line = line.replace(/^\x00+/, "");
    if (line === "") return undefined;
    // The kernel's records end at 8 KiB; patterns must not be tried on an endless line.
    if (line.length > maxLineLength && line[0] !== "{") line = line.slice(0, maxLineLength);
    if (this.#previousIsKmsg && kmsgProperty.test(line)) return undefined;
    if (this.#copied && onlyDots.test(line)) return undefined;

    if (this.#copied && isFence(line) && this.#previous?.origin !== "user") {
      this.#previous = undefined;
      this.#isInText = true;
      return undefined;
    }
    const quoting = this.#quotes;
    const headingMs = this.#headingMs;
    this.#quotes = false;
    const shipped = this.#copied ? this.#readShipped(line) : undefined;
    if (shipped !== undefined) return shipped;
    let message = this.#readEnvelope(line);
    const isCopy = message === undefined && this.#copied;
    if (isCopy) message = this.#readCopy(line);
    // A heading with a date is no line of a program.
    const isHeading = this.#copied && message?.origin === "user" && heading.test(line);
    if (message !== undefined && !isHeading) {
      this.#previous = this.#headingMs === undefined ? message : undefined;
      this.#previousIsCopy = isCopy;
      if (this.#isInText || (isCopy && markOfText.test(line))) message.isInText = true;
      if (isCopy) this.#copyIndent = /^[ \t]*/.exec(line)?.[0] ?? "";
      return message;
    }
    if (quoting && looksLikeKill(line)) return this.#quoted(line, undefined);
    if (this.#copied && this.#isQuotation(line)) return this.#quoted(line, undefined);
    if (this.#previous === undefined) {
      const text = this.#copied ? asWritten(withoutIndentation(line).replace(taskStamp, "")) : line;
      const bare = messageOf(text, plausible(text));
      this.#headingMs = headingMs;
      bare.timeMs = headingMs;
      if (this.#copied) bare.isInText = true;
      return bare;
    }
    if (this.#previousIsCopy) line = withoutQuoteMarks(line);
    if (this.#copied && this.#previous.origin !== "user" && ownRecord.test(line)) {
      const text = asWritten(line);
      return { ...this.#previous, text, continues: undefined, isInText: true };
    }
    const indent = " ".repeat(this.#envelopeLength);
    // Everything is indented, and this line not as far as a record's further lines.
    const shared =
      this.#previousIsCopy && line.startsWith(this.#copyIndent) ? this.#copyIndent : "";
    const text = line.slice(line.startsWith(indent) ? indent.length : shared.length);
    return { ...this.#previous, text: unescapeDmesg(text), continues: true };
  }

  /** A line that a log shipper prints after its own timestamp and tag, or a Kubernetes event. */
  #readShipped(line: string): KernelMessage | undefined {
    const first = line.charCodeAt(0);
    const mayBeShipped = first === 0x5b /* [ */ || (first >= 0x30 && first <= 0x39);
    const object = mayBeShipped ? shippedObject(line) : undefined;
    if (object !== undefined) {
      const message = this.#readObject(parseJson(object.json), object.time);
      if (message !== undefined) {
        this.#previousIsKmsg = false;
        this.#previous = message;
        this.#previousIsCopy = false;
        return message;
      }
    }
    const at = first === 0x7b /* { */ ? -1 : line.indexOf("OOMKilling");
    if (at < 0) return undefined;
    this.#quotes = true;
    // node-problem-detector writes the kernel's time into its own line: `Timestamp:2026-11-20 13:23:50 +0000 UTC`.
    const inside = line.indexOf("Timestamp:");
    const stamp =
      takeIsoStamp(line, this.#clock) ??
      takeSyslogStamp(line, this.#clock) ??
      (inside < 0 ? undefined : takeIsoStamp(line.slice(inside + 10), this.#clock));
    const text = line.slice(at + "OOMKilling".length);
    return quotedText(text) === undefined ? undefined : this.#quoted(text, stamp?.timeMs);
  }

  /** A sentence of whoever copied the text, in which a kill line is quoted. What a program wrote is none. */
  #isQuotation(line: string): boolean {
    if (!line.includes("illed process ") || this.#previous?.origin === "user") return false;
    // An object that is no record of the kernel's.
    if (/^\s*[{["]/.test(line) || stringOfCode.test(line)) return false;
    if (bareKill.test(line)) return true;
    // Without an envelope before it, a line is a record of its own, whatever marks quote it.
    const text = this.#previous === undefined ? withoutIndentation(line) : line;
    return !killHead.test(text) && quotedKill(line) !== undefined && plausible(line) !== "user";
  }

  #quoted(text: string, timeMs: number | undefined): KernelMessage {
    const message = messageOf(quotedText(text) ?? text, "unverified");
    message.timeMs = timeMs;
    message.isQuoted = true;
    return message;
  }

  /** A line copied by a person or a tool. After a program's line, it is text quoted by that program. */
  #readCopy(line: string): KernelMessage | undefined {
    if (this.#previous?.origin === "user" && !this.#previousIsCopy) return undefined;
    const bare = withoutIndentation(line);
    const stamp = timeOfDay.exec(bare) ?? wordsForStamp.exec(bare) ?? lineNumber.exec(bare);
    if (stamp !== null) {
      const text = bare.slice(stamp[0].length);
      this.#needsContext = true;
      const message = this.#finish(messageOf(text, "unverified"), line, text, unescapeDmesg);
      message.isInText = true;
      return message;
    }
    const rest = withoutCopyMarks(line);
    const message = rest === undefined ? undefined : this.#readEnvelope(rest);
    if (message === undefined || rest === undefined) return undefined;
    this.#needsContext = true;
    this.#envelopeLength += Math.max(0, line.length - rest.length);
    return message;
  }

  #readEnvelope(line: string): KernelMessage | undefined {
    this.#previousIsKmsg = false;
    this.#headingMs = undefined;
    const first = line.charCodeAt(0);
    if (first === 0x7b /* { */) return this.#readObject(parseJson(line));
    if (first >= 0x30 && first <= 0x39) {
      const record = parseKmsgRecord(line);
      if (record !== undefined) {
        this.#previousIsKmsg = true;
        this.#envelopeLength = 0;
        return record;
      }
    }

    if (this.#prefix !== undefined && line.startsWith(this.#prefix.text)) {
      const { text, message } = this.#prefix;
      const rest = line.slice(text.length);
      if (!rest.startsWith("<")) return this.#finish({ ...message }, line, rest, unescapeSyslog);
    }

    const message = messageOf(line, "unverified");
    let rest = line;
    const priority = first === 0x3c /* < */ ? /^<(\d{1,3})>/.exec(rest) : null;
    if (priority !== null) {
      message.origin = originOfPriority(Number(priority[1]));
      rest = rest.slice(priority[0].length);
      const head = rfc5424Head.exec(rest);
      if (head !== null) {
        const stamp = takeIsoStamp(head[1] ?? "", this.#clock);
        if (stamp?.timeMs !== undefined) message.timeMs = stamp.timeMs;
        if (head[2] !== "kernel" || head[3] !== "-") message.origin = "user";
        return this.#finish(message, line, rest.slice(head[0].length), unescapeSyslog);
      }
    }

    const column = facilityColumn.exec(rest);
    if (column !== null && isLevelName(column[2] ?? "")) {
      message.origin = column[1] === "kern" ? "kernel" : "user";
      rest = rest.slice(column[0].length);
      const stamp = takeIsoStamp(rest, this.#clock) ?? takeCtimeStamp(rest, this.#clock);
      if (stamp !== undefined) {
        if (stamp.timeMs !== undefined) message.timeMs = stamp.timeMs;
        rest = rest.slice(stamp.length).replace(/^ /, "");
      } else {
        rest = this.#takeDelta(message, rest) ?? rest;
      }
      return this.#finish(message, line, rest, unescapeDmesg);
    }

    if (rest.startsWith("[")) {
      const bracketed = this.#readBracket(message, line, rest);
      if (bracketed !== undefined || priority === null) return bracketed;
    }

    const talos = talosStamp.exec(rest);
    if (talos !== null) {
      message.origin = talos[1] === "kern" ? "kernel" : "user";
      const stamp = takeIsoStamp(talos[3] ?? "", this.#clock);
      if (stamp?.timeMs !== undefined) message.timeMs = stamp.timeMs;
      return this.#finish(message, line, rest.slice(talos[0].length), (text) => text);
    }

    const logcat = takeLogcatStamp(rest, this.#clock);
    if (logcat !== undefined) {
      message.origin = "kernel";
      message.timeMs = logcat.timeMs;
      return this.#finish(message, line, rest.slice(logcat.length), (text) => text);
    }

    const copied = this.#copied ? takeLogcatCopy(rest, this.#clock) : undefined;
    if (copied !== undefined) {
      message.timeMs = copied.timeMs;
      return this.#finish(message, line, rest.slice(copied.length), unescapeDmesg);
    }

    const stamp =
      takeFullStamp(rest, this.#clock) ??
      takeIsoStamp(rest, this.#clock) ??
      takeSyslogStamp(rest, this.#clock) ??
      takeUnixStamp(rest);
    if (stamp !== undefined) {
      if (stamp.timeMs !== undefined) message.timeMs = stamp.timeMs;
      rest = rest.slice(stamp.length);
      if (stamp.fromDmesg)
        return this.#finish(message, line, rest.replace(/^ /, ""), unescapeDmesg);
      const blanks = this.#copied ? /^[ \t]+/ : /^ +/;
      return this.#readTag(message, line, rest.replace(blanks, ""));
    }
    if (priority !== null) return this.#finish(message, line, rest, unescapeDmesg);
    const bareTag = this.#copied
      ? /^kernel: /.exec(rest)
      : /^kernel: (?=\[ *\d+\.\d{6}\])/.exec(rest);
    if (bareTag !== null && line === rest) {
      return this.#finish(message, line, rest.slice(bareTag[0].length), unescapeSyslog);
    }
    return undefined;
  }

  #readBracket(message: KernelMessage, line: string, text: string): KernelMessage | undefined {
    const ctime = takeCtimeStamp(text, this.#clock);
    if (ctime !== undefined) {
      if (ctime.timeMs !== undefined) message.timeMs = ctime.timeMs;
      return this.#finish(message, line, this.#untagged(text.slice(ctime.length)), unescapeDmesg);
    }
    const iso = takeIsoStamp(text.slice(1), this.#clock);
    if (iso !== undefined && text[iso.length + 1] === "]") {
      if (iso.timeMs !== undefined) message.timeMs = iso.timeMs;
      return this.#finish(
        message,
        line,
        this.#untagged(text.slice(iso.length + 2).replace(/^ /, "")),
        unescapeDmesg,
      );
    }
    const masked = this.#copied ? maskedStamp.exec(text) : null;
    if (masked !== null) {
      return this.#finish(message, line, text.slice(masked[0].length), unescapeDmesg);
    }
    if (printkStamp.test(text)) {
      const finished = this.#finish(message, line, text, unescapeDmesg);
      const tag = monotonicTag.exec(finished.text);
      if (tag !== null) {
        finished.text = finished.text.slice(tag[0].length);
        this.#envelopeLength += tag[0].length;
      }
      return finished;
    }
    const rest = this.#takeDelta(message, text);
    return rest === undefined ? undefined : this.#finish(message, line, rest, unescapeDmesg);
  }

  /** Tools that put the time into brackets keep the tag, which dmesg does not have. */
  #untagged(text: string): string {
    return this.#copied ? text.replace(/^(?:[\w.-]{1,64} )?kernel: /, "") : text;
  }

  /** Handles a relative timestamp: the time is known to the minute last printed by dmesg -H. */
  #takeDelta(message: KernelMessage, text: string): string | undefined {
    const minute = takeMinuteStamp(text, this.#clock);
    const length = minute?.length ?? deltaStamp.exec(text)?.[0].length;
    if (length === undefined) return undefined;
    if (minute !== undefined) this.#minuteMs = minute.timeMs;
    else if (this.#minuteMs === undefined) this.#needsContext = true;
    message.timeMs = this.#minuteMs;
    return text.slice(length);
  }

  #readTag(message: KernelMessage, line: string, text: string): KernelMessage {
    const rest = this.#copied ? plainTag(text) : text;
    const tag = kernelTag.exec(rest) ?? untagged.exec(rest);
    if (tag === null) {
      const body = this.#copied && !this.#tagged ? this.#takeUntagged(rest) : undefined;
      if (body === undefined) return this.#readCarried(message, line, rest);
      return this.#finish(message, line, body, unescapeSyslog);
    }
    const facility = tag[3];
    if (facility !== undefined) message.origin = facility === "kern" ? "kernel" : "user";
    let body = rest.slice(tag[0].length);
    // An empty message has a tag without the blank that follows it elsewhere.
    if (body !== "") {
      this.#prefix = { text: line.slice(0, line.length - body.length), message: { ...message } };
    }
    if (/^<[0-7]>/.test(body)) body = body.slice(3);
    return this.#finish(message, line, body, unescapeSyslog);
  }

  /** The kernel's text behind a host, where the log has no tags for the kernel. */
  #takeUntagged(rest: string): string | undefined {
    const host = untaggedRecord.exec(rest)?.[1] ?? this.#untaggedHost;
    if (host === undefined || !rest.startsWith(`${host} `)) return undefined;
    const body = rest.slice(host.length + 1);
    if (otherTag.test(body)) return undefined;
    this.#untaggedHost = host;
    return body;
  }

  /** A line with a tag other than the kernel's or, in a copy, a line with a second timestamp. */
  #readCarried(message: KernelMessage, line: string, rest: string): KernelMessage {
    const inner = this.#copied ? this.#readInner(rest, message.timeMs) : undefined;
    if (inner !== undefined) {
      inner.timeMs ??= message.timeMs;
      return inner;
    }
    const echo = this.#copied ? echoTag.exec(rest) : null;
    const echoed = echo === null ? undefined : rest.slice(echo[0].length);
    if (echoed !== undefined && killHead.test(echoed) && quotedKill(echoed) !== undefined) {
      return this.#quoted(echoed, message.timeMs);
    }
    message.origin = "user";
    message.text = rest;
    this.#envelopeLength = line.length - rest.length;
    if (this.#copied && /^[\s=*#_-]*$/.test(rest)) this.#headingMs = message.timeMs;
    return message;
  }

  #readInner(rest: string, timeMs: number | undefined): KernelMessage | undefined {
    const labelled = takeLabels(rest);
    if (labelled !== undefined) {
      const record = { ...labelled.labels, message: decodeUtf8(labelled.rest) };
      return this.#readObject(timeMs === undefined ? record : { timestamp: timeMs, ...record });
    }
    const carried = carriedLine(rest);
    return carried === undefined ? undefined : this.#readEnvelope(carried);
  }

  /** The message of a record that is an object; `time` is the text before it. */
  #readObject(value: unknown, time = ""): KernelMessage | undefined {
    const object = messageOfObject(value, this.#clock, { anyDepth: this.#copied });
    if (object === undefined) return undefined;
    const before = Number(time) * 1000 || takeIsoStamp(time.trim(), this.#clock)?.timeMs;
    const timeMs = object.timeMs ?? before;
    const text = object.isQuoted ? quotedText(object.text) : object.text;
    if (text === undefined) return undefined;
    const message = object.isKernelText
      ? messageOf(text, object.origin)
      : this.#readCarriedByObject(text, timeMs);
    if (message === undefined) return undefined;
    if (object.origin === "user") message.origin = "user";
    message.timeMs ??= timeMs;
    message.printkMicros ??= object.printkMicros;
    message.bootId ??= object.bootId;
    message.callerId ??= object.callerId;
    // In a log that is being followed, a quotation is a program's line.
    if (object.isQuoted && this.#copied) message.isQuoted = true;
    else if (object.isQuoted) message.origin = "user";
    return message;
  }

  /**
   * A line inside an object. The object's time supplies year and zone if the line's own timestamp lacks them.
   */
  #readCarriedByObject(line: string, timeMs: number | undefined): KernelMessage | undefined {
    const { zone, nowMs } = this.#clock;
    const clock: LogClock = { zone, nowMs: () => timeMs ?? nowMs() };
    const message = new KernelMessageReader(clock, { copied: this.#copied }).read(line);
    if (message?.timeMs === undefined || timeMs === undefined) return message;
    const ahead = message.timeMs - timeMs;
    const zones = Math.round(ahead / zoneStepMs);
    const isOtherZone = zones !== 0 && Math.abs(zones) <= 28 && !stampWithZone.test(line);
    if (isOtherZone && Math.abs(ahead - zones * zoneStepMs) < 60_000) message.timeMs = timeMs;
    return message;
  }

  #finish(
    message: KernelMessage,
    line: string,
    text: string,
    decode: (text: string) => string,
  ): KernelMessage {
    message.text = text;
    takePrintkStamp(message);
    if (this.#copied) {
      if (/^[ \t]/.test(message.text)) message.text = message.text.replace(strayBlanks, "");
      const first = message.text.charCodeAt(0);
      if (first === 0x1b) message.text = withoutColours(message.text);
      else if (first <= 0x28 || first === 0x5b) message.text = message.text.replace(taskStamp, "");
      if (message.text.startsWith("[")) message.text = message.text.replace(bracketTags, "");
      if ((first | 0x20) === 0x63) message.text = message.text.replace(processorMark, "");
      message.text = asWritten(withoutEmphasis(message.text));
    }
    this.#envelopeLength = line.length - message.text.length;
    message.text = decode(message.text);
    if (decode === unescapeDmesg && message.origin === "unverified") {
      message.origin = plausible(message.text);
    }
    return message;
  }
}

/** The tag as most systems write it, without the level of F5's, the old name, and blanks before printk's stamp. */
function plainTag(text: string): string {
  return text.replace(
    /^((?:\S*[^\s:] +){0,2}?)(?:(?:emerg|alert|crit|err|warning|notice|info|debug) )?(?:kernel(?:\[[0-]\])?|vmunix):(?: +(?=\[ *\d+\.\d)| )/,
    "$1kernel: ",
  );
}

/**
 * The text as the kernel writes it. People put blanks into the constraint line, behind its first colon and its commas,
 * set a name in bold, and end the header behind its words.
 */
function asWritten(text: string): string {
  if (/^oom-kill: ?constraint=/.test(text)) {
    return text.replace(/^oom-kill: /, "oom-kill:").replace(/, +(?=[a-z_]+=|global_oom)/g, ",");
  }
  if (text.endsWith(" invoked oom-killer")) return `${text}: `;
  return text.includes("(**") ? text.replace(/\(\*\*([^()*]{1,15})\*\*\)/, "($1)") : text;
}

/** Whether a line of a copied log without an envelope begins a record, by the kernel's words. */
export function beginsRecord(line: string): boolean {
  return ownRecord.test(withoutQuoteMarks(line));
}

/** Whether a line of a copied log begins a record. */
export function hasEnvelope(line: string, clock: LogClock): boolean {
  const reader = new KernelMessageReader(clock, { copied: true });
  reader.read(line);
  return reader.hasSeenEnvelope;
}
