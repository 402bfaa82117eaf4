/** `oom-exporter explain [FILE... or -] [FLAGS]`: explains the kills in a log. */
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { type CommandHelp, helpText } from "../command-line/flag-help.ts";
import { type FlagTable, parseFlags, UsageError } from "../command-line/flag-table.ts";
import { parseExternalUrl } from "../http/external-url.ts";
import { parseKmsgRecord } from "../kernel-log/kernel-message.ts";
import { KillScanner } from "../kernel-log/kill-scanner.ts";
import type { LogClock } from "../kernel-log/local-time.ts";
import {
  type Chunks,
  type MakeLineReader,
  readWholeLog,
  type WholeLog,
} from "../kernel-log/whole-log.ts";
import type { DaemonKill } from "../killers/daemon-kill.ts";
import { DaemonScanner } from "../killers/daemon-scanner.ts";
import { openKmsg, readRing } from "../log-sources/kmsg-device.ts";
import { chooseLogSource } from "../log-sources/log-choice.ts";
import { compressionOf, UnpackError, unpacked } from "../log-sources/packed-log.ts";
import { bootIdIn } from "../sources/boot-id.ts";
import { bootTimeMs } from "../sources/boot-time.ts";
import { HostFiles } from "../sources/host-files.ts";
import { readHostView } from "../sources/host-view.ts";
import { isSystemError } from "../sources/system-error.ts";
import { hostTimeZone } from "../sources/time-zone.ts";
import { printable } from "../text/printable.ts";
import { parseSince, sinceForms } from "../text/times.ts";
import { followed, type Ticker } from "./followed-input.ts";
import { explainedAtMost, KillPrinter } from "./kill-printer.ts";
import { sourceName } from "./kill-story.ts";
import { type Output, styleFor, widthOf } from "./terminal.ts";

export interface ExplainIo {
  stdout: Output;
  stderr: { write(text: string): unknown };
  stdin: AsyncIterable<Uint8Array>;
  /** Absent if standard input is a file: then all kills are shown together, as they are with `--limit`. */
  ticker?: Ticker;
  /** Milliseconds since the epoch. */
  clock: () => number;
  rootfs: string;
  env: Readonly<Record<string, string | undefined>>;
  /** Where a document such as `runbooks/OomKill.md` is, for an exporter at this URL; `docs/` where absent. */
  placeOf?(document: string, exporterUrl: string | undefined): string;
  /** The kernel's log ring; never under `rootfs`. Default /dev/kmsg. */
  kmsgPath?: string;
}

const about =
  "Explains the out-of-memory kills in kernel logs: kern.log, syslog, messages, dmesg, journalctl -k, /dev/kmsg records, compressed or not, and exports from log stores. - is standard input; kills in a pipe that stays open are explained as they come, unless --limit is given. Without FILE it reads this machine's log.";

const explainFlags = {
  json: { type: "boolean", default: false, help: "Print one kill as JSON on each line." },
  brief: {
    type: "boolean",
    default: false,
    help: "Print only the table, one line for each kill.",
  },
  limit: {
    type: "string",
    placeholder: "N",
    check: (value) => (/^\d{1,9}$/.test(value) ? undefined : "must be a whole number, 0 or more"),
    help: `Show only the N latest kills; a pipe is then read to its end first. 0 shows and explains all. Default: the table has all, and the ${explainedAtMost} latest are explained.`,
  },
  since: {
    type: "string",
    placeholder: "TIME",
    help: `Show only kills since then: ${sinceForms}.`,
  },
  "web.external-url": {
    type: "string",
    placeholder: "URL",
    check: (value) => {
      const parsed = parseExternalUrl(value);
      return typeof parsed === "string" ? parsed : undefined;
    },
    help: "URL of an exporter, to name the runbooks that it serves.",
  },
  help: { type: "boolean", default: false, help: "Print this help and exit." },
} as const satisfies FlagTable;

export const explainHelp: CommandHelp = {
  usage: "oom-exporter explain [FILE... or -] [FLAGS]",
  about,
  flags: explainFlags,
  exitCodes: {
    0: "every log was read, with or without kills in it",
    1: "a log could not be read",
    2: "wrong usage",
  },
};

function parseExplainFlags(argv: readonly string[], nowMs: number) {
  const { values, positionals } = parseFlags(explainFlags, argv, "oom-exporter explain");
  if (values.json && values.brief) {
    throw new UsageError("--brief cannot be combined with --json; use one of them");
  }
  const sinceMs = values.since === undefined ? undefined : sinceOf(values.since, nowMs);
  const exporter = parseExternalUrl(values["web.external-url"] ?? "");
  const exporterUrl = typeof exporter === "string" ? undefined : exporter.url;
  const limit = values.limit === undefined ? undefined : Number(values.limit);
  return { ...values, files: positionals, limit, sinceMs, exporterUrl };
}
/** Small enough to stay in the processor's cache from the read to the search: four times as fast as 1 MiB. */
const readBytes = 64 * 1024;
const headBytes = 64 * 1024;
const batchLength = 64 * 1024;

class Failure extends Error {}

/**
 * Runs the command. Returns its exit code: 0 done, 1 a log could not be read, 2 wrong usage.
 */
export async function explain(argv: readonly string[], io: ExplainIo): Promise<number> {
  let flags: ReturnType<typeof parseExplainFlags>;
  try {
    flags = parseExplainFlags(argv, io.clock());
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.stderr.write(`oom-exporter explain: ${printable(error.message)}\n`);
    return 2;
  }
  const { files, json, brief, limit, sinceMs, exporterUrl } = flags;
  if (flags.help) {
    io.stdout.write(helpText(explainHelp, widthOf(io.stdout, io.env)));
    return 0;
  }

  const clock: LogClock = { nowMs: io.clock, zone: hostTimeZone(io.rootfs) };
  const style = styleFor(io.stdout, io.env);
  const placeOf = (document: string) => io.placeOf?.(document, exporterUrl) ?? `docs/${document}`;
  const names = files.length > 0 ? files : [ownSource(io)];
  // Someone may be waiting for what a pipe brings; a file is read in a moment.
  const stdout = new Batch(io.stdout, files.includes("-") ? 0 : batchLength);
  const printer = new KillPrinter(
    { ...io, stdout },
    { json, brief, limit, sinceMs, style, placeOf },
  );
  let failed = false;
  for (const name of names) {
    try {
      if (name === undefined) throw new Failure(noSource);
      // The latest are known when the last has come.
      const ticker = (limit ?? 0) > 0 ? undefined : io.ticker;
      await explainOne(name, { ...io, stdout, ticker }, clock, printer);
    } catch (error) {
      const isKnown = error instanceof Failure || error instanceof UnpackError;
      if (!isKnown && !isSystemError(error)) throw error;
      failed = true;
      stdout.flush();
      io.stderr.write(`oom-exporter explain: ${printable(failureOf(error, name))}\n`);
    }
  }
  printer.end(
    names.filter((name) => name !== undefined),
    failed,
  );
  stdout.flush();
  return failed ? 1 : 0;
}

/** Collects text, so that a thousand kills are not a thousand system calls. */
class Batch {
  readonly #output: ExplainIo["stdout"];
  readonly #length: number;
  #text = "";

  constructor(output: ExplainIo["stdout"], length: number) {
    this.#output = output;
    this.#length = length;
  }

  write(text: string): void {
    this.#text += text;
    if (this.#text.length >= this.#length) this.flush();
  }

  flush(): void {
    if (this.#text !== "") this.#output.write(this.#text);
    this.#text = "";
  }
}

const noSource =
  "this machine has no kernel log that can be read; run as root or in group adm, or name a FILE";

function failureOf(error: Error, name: string | undefined): string {
  if (error instanceof Failure) return error.message;
  const { code, message } = error as NodeJS.ErrnoException;
  const where = sourceName(name ?? "");
  if (error instanceof UnpackError) {
    const then = error.isMissing
      ? "install it, or decompress the log first"
      : "kills before the damage are shown";
    return `${where}: ${message}; ${then}`;
  }
  if (code === "ENOENT")
    return `${where}: no such file; pass a kernel log, or - to read standard input`;
  if (code === "EACCES" || code === "EPERM")
    return `${where}: permission denied; run as root or in the group that owns it (often adm)`;
  if (code?.startsWith("Z_"))
    return `${where}: damaged gzip data (${message}); kills before the damage are shown`;
  return `${where}: ${message}`;
}

function sinceOf(text: string, nowMs: number): number {
  const timeMs = parseSince(text, nowMs);
  if (timeMs === undefined) throw new UsageError(`--since=${text}: must be ${sinceForms}`);
  return timeMs;
}

/** This machine's kernel log, chosen like the exporter does. */
function ownSource({ rootfs, clock, kmsgPath = "/dev/kmsg" }: ExplainIo): string | undefined {
  const files = new HostFiles({
    procfs: join(rootfs, "proc"),
    sysfs: join(rootfs, "sys"),
    rootfs,
  });
  const kmsg = { path: kmsgPath, open: () => openKmsg(kmsgPath) };
  const { isContainer } = readHostView(files);
  return chooseLogSource({ files, kmsg, bootTimeMs: bootTimeMs(files, clock()), isContainer })
    .source?.path;
}

async function explainOne(
  name: string,
  io: ExplainIo,
  clock: LogClock,
  printer: KillPrinter,
): Promise<void> {
  if (name === (io.kmsgPath ?? "/dev/kmsg")) {
    explainRing(name, io, clock, printer);
    return;
  }
  const shown = name === "-" ? "-" : basename(name);
  const daemons = daemonReader(clock, (kill) => printer.takeDaemonKill(kill, shown));
  const input = await openInput(name === "-" ? standardInput() : fileChunks(name));
  if (input === undefined) {
    printer.takeEmpty(name);
    return;
  }
  try {
    await readWholeLog(input, clock, (event) => printer.take(event, shown), daemons.make);
  } finally {
    printer.endOfSource();
  }

  function standardInput(): AsyncIterable<Uint8Array> {
    if (io.ticker === undefined) return io.stdin;
    return followed(io.stdin, io.ticker, {
      hasNews: () => printer.hasNews || daemons.hasNews(),
      show() {
        daemons.settle();
        printer.showSoFar();
      },
    });
  }
}

interface DaemonReader {
  make: MakeLineReader;
  /** Whether a kill waits for the lines after it. */
  hasNews(): boolean;
  /** Reports it without them. */
  settle(): void;
}

/** Finds kills announced by programs outside the kernel. */
function daemonReader(clock: LogClock, tell: (kill: DaemonKill) => void): DaemonReader {
  let scanner: DaemonScanner | undefined;
  return {
    hasNews: () => scanner?.isOpen ?? false,
    settle: () => scanner?.settle(),
    make(lineNumber) {
      const made = new DaemonScanner({ clock, copied: true }, (kill) =>
        tell({ ...kill, lineNumber: kill.lineNumber && lineNumber(kill.lineNumber) }),
      );
      scanner = made;
      return {
        push: (bytes, linesBefore) => made.push(bytes, linesBefore),
        end: () => made.endOfInput(),
      };
    },
  };
}

/** Reads the ring buffer. Its timestamps count from boot; uptime converts them to wall-clock time. */
function explainRing(path: string, io: ExplainIo, clock: LogClock, printer: KillPrinter): void {
  const scanner = new KillScanner({ clock, losses: true }, (event) => printer.take(event, path));
  const procfs = (name: string): string | undefined => {
    try {
      return readFileSync(join(io.rootfs, "proc", name), "utf8").trim();
    } catch {
      return undefined;
    }
  };
  const uptimeSeconds = Number(procfs("uptime")?.split(" ")[0]);
  const bootMs = io.clock() - uptimeSeconds * 1000;
  const bootId = bootIdIn(join(io.rootfs, "proc"));
  for (const { raw } of readRing(() => openKmsg(path))) {
    const message = parseKmsgRecord(raw.toString("latin1"));
    if (message === undefined) continue;
    if (message.printkMicros !== undefined && !Number.isNaN(bootMs)) {
      message.timeMs = Math.round(bootMs + message.printkMicros / 1000);
    }
    if (bootId !== undefined) message.bootId = bootId;
    scanner.pushMessage(message, message.sequence);
  }
  scanner.endOfInput();
  printer.endOfSource();
}

/** The bytes of a file, in one buffer that each chunk reuses. */
function* fileChunks(path: string): Generator<Uint8Array> {
  if (statSync(path).isDirectory()) {
    throw new Failure(`${path}: is a directory; pass a file in it`);
  }
  const fd = openSync(path, "r");
  try {
    const buffer = Buffer.allocUnsafeSlow(readBytes);
    for (;;) {
      const length = readSync(fd, buffer, 0, buffer.length, null);
      if (length === 0) return;
      yield buffer.subarray(0, length);
    }
  } finally {
    closeSync(fd);
  }
}

/** Opens a log, compressed or not, according to its first bytes, not its name. `undefined` if it is empty. */
async function openInput(source: Chunks): Promise<WholeLog | undefined> {
  const iterator: AsyncIterator<Uint8Array> | Iterator<Uint8Array> =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  const first = await iterator.next();
  if (first.done === true) return undefined;
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield first.value;
      for (;;) {
        const next = await iterator.next();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  };
  const encoding = utf16Of(first.value);
  if (encoding !== undefined) return openInput(utf8Of(chunks(), encoding));
  const compression = compressionOf(first.value);
  if (compression !== undefined) return openInput(unpacked(chunks(), compression));
  const head = Buffer.from(first.value.subarray(0, headBytes));
  return { head, chunks: Symbol.iterator in source ? withFirst(first.value, source) : chunks() };
}

/** UTF-16 as Windows tools write it when output is redirected to a file: by its mark, or by its zeros. */
function utf16Of(head: Uint8Array): "utf-16le" | "utf-16be" | undefined {
  if (head[0] === 0xff && head[1] === 0xfe) return "utf-16le";
  if (head[0] === 0xfe && head[1] === 0xff) return "utf-16be";
  const beginning = head.subarray(0, 64);
  if (beginning.length < 64) return undefined;
  // After a crash a log may hold zeros, but not every second byte.
  const hasZeros = (from: number): boolean =>
    beginning.every((byte, index) => (byte === 0) === (index % 2 === from));
  if (hasZeros(1)) return "utf-16le";
  return hasZeros(0) ? "utf-16be" : undefined;
}

async function* utf8Of(
  chunks: AsyncIterable<Uint8Array>,
  encoding: "utf-16le" | "utf-16be",
): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder(encoding);
  for await (const chunk of chunks) yield Buffer.from(decoder.decode(chunk, { stream: true }));
}

/** What has been taken from a generator, and the rest of it. */
function* withFirst(first: Uint8Array, rest: Iterable<Uint8Array>): Generator<Uint8Array> {
  yield first;
  yield* rest;
}
