/**
 * Strips the envelope from one line of a log in which daemons write.
 *
 * Paths: /var/log/syslog, messages and daemon.log (RFC 3164, RFC 3339 and RFC 5424 stamps), the output of
 * journalctl(1) (short forms and JSON), a Talos console and logcat.
 *
 *     Nov 20 13:23:50 web1 earlyoom[712]: sending SIGTERM to process 1234 uid 0 "hog": badness 955, VmRSS 1640 MiB
 *     2026-11-20T13:23:50.671745+00:00 web1 systemd-oomd[611]: Killed /system.slice/batch.service due to ...
 *     <30>1 2026-11-20T13:23:50.671745+00:00 web1 earlyoom 712 - - sending SIGTERM to ...
 *     {"MESSAGE":"sending SIGTERM to ...","SYSLOG_IDENTIFIER":"earlyoom","_SYSTEMD_UNIT":"earlyoom.service",...}
 *     user: warning: [2026-08-11T17:20:38Z]: [talos] Sending SIGKILL to cgroup {...}
 *     11-20 13:23:50.671   400   400 I lowmemorykiller: Kill 'com.android.settings' (3946), ...
 *
 * The writer's name is at a fixed place of the envelope; text in the message is not considered. Fields with a leading
 * underscore are set by journald itself and cannot be forged.
 */
import { bytesOfString, unescapeSyslog } from "../kernel-log/kernel-text.ts";
import type { LogClock } from "../kernel-log/local-time.ts";
import { messageOfObject, parseJson, recordOf } from "../kernel-log/log-object.ts";
import {
  takeFullStamp,
  takeIsoStamp,
  takeLogcatTime,
  takeSyslogStamp,
  takeUnixStamp,
} from "../kernel-log/log-stamp.ts";
import type { DaemonLine } from "./daemon-kill.ts";
import { killerOfName, type UserspaceKiller } from "./killer.ts";

export interface DaemonLineOptions {
  clock: LogClock;
  /** The log may be a copy made by people: objects of any store, and lines without an envelope. */
  copied?: boolean;
}

const maxLineLength = 16 * 1024;
const tag = /^(?:[^\s[\]]{1,255} +)?([\w.@-]{1,64})(?:\[(\d{1,10})\])?: /;
const rfc5424 =
  /^<\d{1,3}>1 (\S{1,64}) \S{1,255} (\S{1,48}) (\S{1,128}) \S{1,32} (?:-|(?:\[(?:[^\]\\]|\\.)*\])+) ?(?:\xef\xbb\xbf)?/s;
const priority = /^<\d{1,3}>/;
const monotonic = /^\[ *(\d{1,10})\.(\d{6})\] /;
const talos = /^(?:\S+: )?user: +[a-z]+: \[([^\]]{1,40})\]: \[talos\] /;
const lowmemorykiller = /^\d+ +\d+ [VDIWEFA] lowmemorykiller *: /;
/** Text that only one daemon writes: sufficient if a line has no envelope. */
const bareTexts: [RegExp, UserspaceKiller][] = [
  [
    /^(?:sending SIG(?:TERM|KILL) to process \d+ |low memory! at or below |mem avail: +\d)/,
    "earlyoom",
  ],
  [/^(?:dryrun, not actually |kill failed: )/, "earlyoom"],
  [/^(?:Killed|Marked) \/.* due to (?:memory|swap) |^oomd dry-run: /s, "systemd-oomd"],
  [/^(?:[IWEF]\d{4} [\d:.]+ +\d+ \S+\] )?"?[Ee]viction manager: /, "kubelet"],
  [/^(?:[IW]\/)?lowmemorykiller(?:\( *\d+\))?: /, "lmkd"],
];
const nohangTexts =
  /^(?:>>=== STARTING |<<=== FINISHING |(?:TOP printed|Process with highest badness) |New victim is cached |Implementing a corrective action:|OK; total response time: |Selected process died before |Cannot send a signal: | {2}\S)/;
const nohangStamp = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}): /;

/**
 * The line of a daemon; `undefined` for a line of any other program.
 *
 * @param bytes one line without its newline, one character per byte (latin1).
 */
export function parseDaemonLine(bytes: string, options: DaemonLineOptions): DaemonLine | undefined {
  const { clock, copied = false } = options;
  const line = (bytes.endsWith("\r") ? bytes.slice(0, -1) : bytes).slice(0, maxLineLength);
  if (line.startsWith("{")) return ofObject(parseJson(bytes), options);
  const structured = rfc5424.exec(line);
  if (structured !== null) {
    const [head, stamp = "", name = "", pid = ""] = structured;
    return named(name, {
      text: unescapeSyslog(line.slice(head.length)),
      writerPid: numberOf(pid),
      timeMs: takeIsoStamp(stamp, clock)?.timeMs,
    });
  }
  const rest = line.replace(priority, "");
  const stamp =
    takeFullStamp(rest, clock) ??
    takeIsoStamp(rest, clock) ??
    takeSyslogStamp(rest, clock) ??
    takeUnixStamp(rest);
  const uptime = stamp === undefined ? monotonic.exec(rest) : null;
  const taken = stamp?.length ?? uptime?.[0].length;
  if (taken !== undefined) {
    const tagged = rest.slice(taken).replace(/^ +/, "");
    const match = tag.exec(tagged);
    const daemon =
      match === null
        ? undefined
        : named(match[1] ?? "", {
            text: unescapeSyslog(tagged.slice(match[0].length)),
            writerPid: numberOf(match[2]),
            timeMs: stamp?.timeMs,
            monotonicMicros:
              uptime === null ? undefined : Number(uptime[1]) * 1e6 + Number(uptime[2]),
          });
    if (daemon !== undefined || !copied) return daemon;
  }
  return copied ? ofCopy(line, clock) : undefined;
}

/** Forms that only `explain` reads: consoles of other systems, and lines cut out of a log. */
function ofCopy(line: string, clock: LogClock): DaemonLine | undefined {
  const console = talos.exec(line);
  if (console !== null) {
    const timeMs = takeIsoStamp(console[1] ?? "", clock)?.timeMs;
    return { killer: "talos", text: line.slice(console[0].length), timeMs };
  }
  const phone = takeLogcatTime(line, clock);
  const killer = phone && lowmemorykiller.exec(line.slice(phone.length));
  if (phone !== undefined && killer) {
    const text = line.slice(phone.length + killer[0].length);
    return { killer: "lmkd", text, timeMs: phone.timeMs };
  }
  const own = nohangStamp.exec(line);
  if (own !== null) {
    const timeMs = takeIsoStamp(own[1] ?? "", clock)?.timeMs;
    return { killer: "nohang", text: line.slice(own[0].length), timeMs };
  }
  for (const [pattern, killer] of bareTexts) {
    const match = pattern.exec(line);
    if (match !== null) {
      return { killer, text: killer === "lmkd" ? line.slice(match[0].length) : line };
    }
  }
  return nohangTexts.test(line) ? { killer: "nohang", text: line } : undefined;
}

/** An entry of the journal, or a log store's version of a line. */
function ofObject(value: unknown, options: DaemonLineOptions): DaemonLine | undefined {
  const record = recordOf(value);
  if (record === undefined) return undefined;
  const entry = journalEntry(record);
  if (entry !== undefined) return entry.line;
  if (options.copied !== true) return undefined;
  const message = messageOfObject(record, options.clock, { anyDepth: true });
  if (message === undefined || message.text.startsWith("{")) return undefined;
  const line = parseDaemonLine(message.text, options);
  return line === undefined ? undefined : { ...line, timeMs: line.timeMs ?? message.timeMs };
}

/** One entry of the journal as `journalctl --output=json` prints it. */
export interface JournalEntry {
  cursor?: string;
  /** Absent if no daemon wrote it. */
  line?: DaemonLine;
}

/** An entry of the journal; `undefined` for any other object. */
export function journalEntry(record: Record<string, unknown>): JournalEntry | undefined {
  if (!("MESSAGE" in record) || !("__REALTIME_TIMESTAMP" in record)) return undefined;
  const text = bytesOfField(record.MESSAGE);
  const name = stringOf(record.SYSLOG_IDENTIFIER) ?? stringOf(record._COMM) ?? "";
  const micros = numberOf(stringOf(record.__REALTIME_TIMESTAMP));
  const line =
    text === undefined
      ? undefined
      : named(name, {
          text,
          writerPid: numberOf(stringOf(record._PID)),
          timeMs: micros === undefined ? undefined : Math.floor(micros / 1000),
          monotonicMicros: numberOf(stringOf(record.__MONOTONIC_TIMESTAMP)),
          bootId: stringOf(record._BOOT_ID)?.replaceAll("-", ""),
          unit: stringOf(record._SYSTEMD_UNIT),
        });
  return { cursor: stringOf(record.__CURSOR), line };
}

function named(name: string, line: Omit<DaemonLine, "killer">): DaemonLine | undefined {
  const killer = killerOfName(name);
  return killer === undefined ? undefined : { killer, ...line };
}

function stringOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** journald writes what is not UTF-8 as an array of bytes. */
function bytesOfField(value: unknown): string | undefined {
  if (typeof value === "string") return bytesOfString(value);
  const isBytes = Array.isArray(value) && value.every((byte) => typeof byte === "number");
  return isBytes ? Buffer.from(value).toString("latin1") : undefined;
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,18}$/.test(text) ? Number(text) : undefined;
}
