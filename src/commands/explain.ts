/** `oom-exporter explain [FILE... or -] [--json] [--since T]`: explains the kills in a log. */
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { type CommandHelp, helpText } from "../command-line/flag-help.ts";
import { type FlagTable, parseFlags, UsageError } from "../command-line/flag-table.ts";
import { parseExternalUrl } from "../http/external-url.ts";
import { parseKmsgRecord } from "../kernel-log/kernel-message.ts";
import { KillScanner } from "../kernel-log/kill-scanner.ts";
import type { LogClock } from "../kernel-log/local-time.ts";
import type { OomFragment } from "../kernel-log/oom-fragment.ts";
import type { KernelLogEvent, OomKillReport } from "../kernel-log/oom-report.ts";
import {
  type Chunks,
  type MakeLineReader,
  readWholeLog,
  type WholeLog,
} from "../kernel-log/whole-log.ts";
import type { DaemonKill } from "../killers/daemon-kill.ts";
import { DaemonScanner } from "../killers/daemon-scanner.ts";
import { victimName } from "../killers/userspace-kill.ts";
import { runbookIn } from "../kills/advice.ts";
import { killOfReport } from "../kills/kill.ts";
import { incidentOf, KillDeduplicator, sightingOf } from "../kills/kill-deduplicator.ts";
import { ownerOfCgroup } from "../kills/owner.ts";
import { openKmsg, readRing } from "../log-sources/kmsg-device.ts";
import { chooseLogSource } from "../log-sources/log-choice.ts";
import { bootIdIn } from "../sources/boot-id.ts";
import { bootTimeMs } from "../sources/boot-time.ts";
import { HostFiles } from "../sources/host-files.ts";
import { readHostView } from "../sources/host-view.ts";
import { isSystemError } from "../sources/system-error.ts";
import { hostTimeZone } from "../sources/time-zone.ts";
import { jsonText } from "../text/json-text.ts";
import { printable } from "../text/printable.ts";
import { parseSince, sinceForms } from "../text/times.ts";
import { DaemonKills } from "./daemon-kills.ts";
import { killStory, memberLine, tally } from "./kill-story.ts";
import { compressionOf, UnpackError, unpacked } from "./packed-log.ts";
import { type Style, styleFor } from "./terminal.ts";
import { linkedSentence, userspaceStory } from "./userspace-story.ts";

export interface ExplainIo {
  stdout: { write(text: string): unknown; isTTY?: boolean };
  stderr: { write(text: string): unknown };
  stdin: AsyncIterable<Uint8Array>;
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
  "Explains the out-of-memory kills in kernel logs: kern.log, syslog, messages, dmesg, journalctl -k, /dev/kmsg records, compressed or not, and exports from log stores. - is standard input. Without FILE it reads this machine's log.";

export const explainFlags = {
  json: { type: "boolean", default: false, help: "Print one kill as JSON on each line." },
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
  const { values, positionals } = parseFlags(explainFlags, argv);
  const sinceMs = values.since === undefined ? undefined : sinceOf(values.since, nowMs);
  const exporter = parseExternalUrl(values["web.external-url"] ?? "");
  const exporterUrl = typeof exporter === "string" ? undefined : exporter.url;
  return { files: positionals, json: values.json, sinceMs, exporterUrl, help: values.help };
}
/** Small enough to stay in the processor's cache from the read to the search: four times as fast as 1 MiB. */
const readBytes = 64 * 1024;
const headBytes = 64 * 1024;

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
  const { files, json, sinceMs, exporterUrl } = flags;
  if (flags.help) {
    io.stdout.write(helpText(explainHelp));
    return 0;
  }

  const clock: LogClock = { nowMs: io.clock, zone: hostTimeZone(io.rootfs) };
  const style = styleFor(io.stdout, io.env);
  const placeOf = (document: string) => io.placeOf?.(document, exporterUrl) ?? `docs/${document}`;
  const printer = new KillPrinter(io, { json, sinceMs, style, placeOf });
  const names = files.length > 0 ? files : [ownSource(io)];
  let failed = false;
  for (const name of names) {
    try {
      if (name === undefined) throw new Failure(noSource);
      await explainOne(name, io, clock, printer);
    } catch (error) {
      const isKnown = error instanceof Failure || error instanceof UnpackError;
      if (!isKnown && !isSystemError(error)) throw error;
      failed = true;
      io.stderr.write(`oom-exporter explain: ${printable(failureOf(error, name))}\n`);
    }
  }
  if (!failed) printer.end(names.filter((name) => name !== undefined));
  return failed ? 1 : 0;
}

const noSource =
  "this machine has no kernel log that can be read; run as root or in group adm, or name a FILE";

function failureOf(error: Error, name: string | undefined): string {
  if (error instanceof Failure) return error.message;
  const { code, message } = error as NodeJS.ErrnoException;
  const where = name === "-" ? "standard input" : name;
  if (error instanceof UnpackError) return `${where}: ${message}`;
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
  const input = await openInput(name === "-" ? io.stdin : fileChunks(name));
  if (input === undefined) return;
  try {
    const daemons = daemonReader(clock, (kill) => printer.takeDaemonKill(kill, shown));
    await readWholeLog(input, clock, (event) => printer.take(event, shown), daemons);
  } finally {
    printer.endOfSource();
  }
}

/** Finds kills announced by programs outside the kernel. */
function daemonReader(clock: LogClock, tell: (kill: DaemonKill) => void): MakeLineReader {
  return (lineNumber) => {
    const scanner = new DaemonScanner({ clock, copied: true }, (kill) =>
      tell({ ...kill, lineNumber: kill.lineNumber && lineNumber(kill.lineNumber) }),
    );
    return {
      push: (bytes, linesBefore) => scanner.push(bytes, linesBefore),
      end: () => scanner.endOfInput(),
    };
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
  const isUtf16 = first.value[0] === 0xff && first.value[1] === 0xfe;
  if (isUtf16) return openInput(utf8Of(chunks()));
  const compression = compressionOf(first.value);
  if (compression !== undefined) return openInput(unpacked(chunks(), compression));
  const head = Buffer.from(first.value.subarray(0, headBytes));
  return { head, chunks: Symbol.iterator in source ? withFirst(first.value, source) : chunks() };
}

/** The encoding that Windows tools use when output is redirected to a file. */
async function* utf8Of(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder("utf-16le");
  for await (const chunk of chunks) yield Buffer.from(decoder.decode(chunk, { stream: true }));
}

/** What has been taken from a generator, and the rest of it. */
function* withFirst(first: Uint8Array, rest: Iterable<Uint8Array>): Generator<Uint8Array> {
  yield first;
  yield* rest;
}

interface KillPrinterOptions {
  placeOf(document: string): string;
  json: boolean;
  sinceMs: number | undefined;
  style: Style;
}

interface Waiting {
  report: OomKillReport;
  name: string;
}

interface Fragment {
  fragment: OomFragment;
  name: string;
}

/** Prints each kill once, even if its line occurs several times or in several files. */
class KillPrinter {
  readonly #stdout: ExplainIo["stdout"];
  readonly #stderr: ExplainIo["stderr"];
  readonly #options: KillPrinterOptions;
  readonly #known = new KillDeduplicator();
  readonly #names = new Map<string, number>();
  #waiting: Waiting | undefined;
  /** The last kill printed. */
  #before: OomKillReport | undefined;
  #printed = 0;
  #unparsed: string[] = [];
  #fragments: Fragment[] = [];
  /** Messages that journalctl left out as "blob data". */
  #hidden = 0;
  /** Kills of which somebody else tells, until all sources are read: the kernel's own line may follow. */
  #secondHand: Waiting[] = [];
  readonly #firstHand = new Set<string>();
  readonly #daemonKills = new DaemonKills();

  constructor(
    { stdout, stderr }: Pick<ExplainIo, "stdout" | "stderr">,
    options: KillPrinterOptions,
  ) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#options = options;
  }

  take(event: KernelLogEvent, name: string): void {
    // A report waits for the next event, because the line that names its group comes after it.
    if (event.kind === "kill") {
      if (event.report.repeatsVictim) return;
      this.#tellWaiting();
      if (event.report.killLine.isQuoted) this.#secondHand.push({ report: event.report, name });
      else this.#waiting = { report: event.report, name };
    } else if (event.kind === "fragment") {
      this.#fragments.push({ fragment: event.fragment, name });
    } else if (event.kind === "hidden") {
      this.#hidden += event.count;
    } else if (event.kind === "unparsed") {
      this.#unparsed.push(`${name}:${event.lineNumber ?? "?"}`);
    }
  }

  takeDaemonKill(kill: DaemonKill, name: string): void {
    this.#daemonKills.take(kill, name);
  }

  endOfSource(): void {
    this.#tellWaiting();
    this.#tellDaemonKills();
  }

  /** The closing lines for people: totals, and what could not be read. */
  end(names: readonly string[]): void {
    for (const quoted of this.#secondHand) {
      const key = quotedKey(quoted.report);
      if (this.#firstHand.has(key)) continue;
      this.#firstHand.add(key);
      this.#waiting = quoted;
      this.#tellWaiting();
    }
    if (this.#options.json) {
      for (const { fragment, name } of this.#fragments) {
        const { pid, comm, cgroup, limitCgroup, trigger, lineNumber } = fragment;
        const source = { name, line: lineNumber ?? null };
        const shown = { pid, comm, cgroup, limitCgroup, trigger, source };
        this.#stderr.write(`${JSON.stringify({ fragment: shown })}\n`);
      }
      return;
    }
    for (const { fragment, name } of this.#fragments) {
      this.#stdout.write(`${fragmentStory(fragment, name)}\n`);
    }
    if (this.#printed === 0 && this.#fragments.length === 0) {
      this.#stdout.write(`No out-of-memory kill in ${names.map(printable).join(", ")}.\n`);
    } else if (this.#printed > 1) {
      this.#stdout.write(tally(this.#names, this.#options.style));
    }
    if (this.#hidden > 0) {
      this.#stdout.write(
        `${this.#hidden} kernel ${this.#hidden === 1 ? "message is" : "messages are"} hidden as "blob data", and a kill may be among them: export the log again with journalctl -k -a\n`,
      );
    }
    if (this.#unparsed.length === 0) return;
    const places = this.#unparsed.slice(0, 5).map(printable).join(", ");
    const count = this.#unparsed.length;
    this.#stdout.write(
      `${count} ${count === 1 ? "line looks like a kill but does" : "lines look like a kill but do"} not match any known kernel's format: ${places}\n`,
    );
  }

  #tellWaiting(): void {
    if (this.#waiting === undefined) return;
    const { report, name } = this.#waiting;
    this.#waiting = undefined;
    this.#firstHand.add(quotedKey(report));
    const sighting = sightingOf(report, { reread: false });
    if (this.#known.classify(sighting).as !== "new") return;
    this.#known.add(this.#known.identify(sighting));
    const { sinceMs, json, style } = this.#options;
    const { timeMs } = report.killLine;
    if (sinceMs !== undefined && timeMs !== undefined && timeMs < sinceMs) return;
    if (timeMs !== undefined) this.#tellDaemonKills(timeMs);

    const incident = incidentOf(sighting);
    const kill = killOfReport(report, { incident, sourceName: name, ownerOf: ownerOfCgroup });
    const linked = this.#daemonKills.link(kill);
    if (linked !== undefined) kill.linkedIncident = linked.incident;
    if (json) {
      this.#stdout.write(`${jsonText(kill)}\n`);
    } else {
      const isMember = isOfSameGroup(this.#before, report);
      const also = linked === undefined ? undefined : linkedSentence(linked, kill);
      const story = isMember
        ? memberLine(kill, style)
        : killStory(this.#withPlaces(kill), style, also);
      this.#stdout.write(`${this.#printed > 0 && !isMember ? "\n" : ""}${story}`);
    }
    this.#before = report;
    this.#printed += 1;
    this.#names.set(kill.comm, (this.#names.get(kill.comm) ?? 0) + 1);
  }

  /** The kill with advice that says where the runbook is for people at this machine. */
  #withPlaces<K extends { advice: string[] }>(kill: K): K {
    const advice = kill.advice.map((line) => {
      const document = runbookIn(line);
      return document === undefined ? line : `Runbook: ${this.#options.placeOf(document)}`;
    });
    return { ...kill, advice };
  }

  /** The kills that daemons announced before a moment, or all there are. */
  #tellDaemonKills(untilMs?: number): void {
    const { sinceMs, json, style } = this.#options;
    for (const kill of this.#daemonKills.drain(untilMs)) {
      if (sinceMs !== undefined && kill.time !== null && Date.parse(kill.time) < sinceMs) continue;
      if (json) {
        this.#stdout.write(`${jsonText(kill)}\n`);
        continue;
      }
      // The kernel kill's explanation mentions what the daemon did.
      if (kill.linkedIncident !== null) continue;
      this.#stdout.write(
        `${this.#printed > 0 ? "\n" : ""}${userspaceStory(this.#withPlaces(kill), style)}`,
      );
      this.#before = undefined;
      this.#printed += 1;
      const name = victimName(kill);
      this.#names.set(name, (this.#names.get(name) ?? 0) + 1);
    }
  }
}

/** Whether a kill belongs to the group that was just printed. */
function isOfSameGroup(before: OomKillReport | undefined, report: OomKillReport): boolean {
  return (
    before !== undefined &&
    report.groupCgroup !== undefined &&
    before.groupCgroup === report.groupCgroup &&
    before.dump === report.dump
  );
}

/** What a kill's own line and its quotation have in common; a string that keeps no part of the log alive. */
function quotedKey({ pid, comm, ...kill }: OomKillReport): string {
  const { totalVmBytes, anonRssBytes, fileRssBytes, shmemRssBytes } = kill;
  return JSON.stringify([pid, comm, totalVmBytes, anonRssBytes, fileRssBytes, shmemRssBytes]);
}

/** The remains of a report whose kill line is missing. */
function fragmentStory({ pid, comm, ...rest }: OomFragment, name: string): string {
  const victim = comm === undefined ? "a process" : printable(comm);
  const who = pid === undefined ? "" : `: ${victim} (pid ${pid})`;
  const place = rest.cgroup ?? rest.limitCgroup;
  const { container, unit } = ownerOfCgroup(place);
  const owner = container ?? unit;
  const where =
    place === undefined ? "" : ` in ${owner === null ? `cgroup ${printable(place)}` : owner}`;
  const by = rest.trigger === undefined ? "" : `, asked for by ${printable(rest.trigger)}`;
  const line = rest.lineNumber === undefined ? "" : `:${rest.lineNumber}`;
  return `An OOM report without its kill line${who}${where}${by}; the rest was filtered out or lost [${printable(name)}${line}]`;
}
