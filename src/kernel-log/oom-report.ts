/**
 * One out-of-memory event, assembled from its kernel log messages.
 *
 * Source: mm/oom_kill.c and mm/memcontrol.c; the forms of every kernel since 2.4. Only the `Killed process` line means
 * that a process was killed: it is printed for every victim, while the dump before it (everything from
 * `invoked oom-killer` to `oom-kill:constraint=`) is limited to 10 in 5 s.
 *
 *     greedy invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
 *     CPU: 0 PID: 226 Comm: greedy Not tainted 6.1.0-56-cloud-amd64 #1  Debian 6.1.192-2
 *     memory: usage 65536kB, limit 65536kB, failcnt 26
 *     Tasks state (memory values in pages):
 *     [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
 *     [    226]     0   226    12576    12307   135168        0             0 greedy
 *     oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=b,mems_allowed=0,oom_memcg=/job,task_memcg=/job/b,task=greedy,pid=226,uid=0
 *     Memory cgroup out of memory: Killed process 226 (greedy) total-vm:50304kB, anon-rss:48516kB, file-rss:4kB, shmem-rss:708kB, UID:0 pgtables:132kB oom_score_adj:0
 *     Tasks in /job are going to be killed due to memory.oom.group set
 */
import type { ConstraintLine, OomConstraint } from "./constraint-line.ts";
import { joinedConstraint, parseConstraintLine, taskIn } from "./constraint-line.ts";
import type { KernelMessage } from "./kernel-message.ts";
import { decodeCgroup } from "./kernel-text.ts";
import type { KillLine } from "./kill-line.ts";
import {
  announcement,
  beginsKill,
  constraintOfPrefix,
  isWrittenKill,
  killHead,
  looksLikeKill,
  oldKillIn,
  parseCutKillLine,
  parseKillLine,
  parseShortenedKillLine,
} from "./kill-line.ts";
import type { LogLoss } from "./log-loss.ts";
import { parseLoss } from "./log-loss.ts";
import type { OomDump } from "./oom-dump.ts";
import { isOfDump, isOfMemInfo, OomDumpReader, parseHeader } from "./oom-dump.ts";
import type { OomFragment } from "./oom-fragment.ts";

/**
 * The kernel's information about one kill, in the kernel's own terms. Absent = the log does not say.
 * All strings are decoded (UTF-8, invalid bytes as U+FFFD).
 *
 * Invariant: one report per `Killed process` line that the kernel wrote, and none for any other line.
 */
export interface OomKillReport extends KillLine {
  /** The message of the `Killed process` line itself. */
  killLine: KernelMessage;
  /** 1-based line number in the source; for kmsg the sequence number. */
  lineNumber?: number;
  /** Byte offset right after the `Killed process` line, if the source has offsets. */
  endOffset?: number;
  constraint: OomConstraint;
  /** A constraint that is none of the kernel's own: a BPF program asked for the kill and chose the word. */
  customConstraint?: string;
  /** `task_memcg=`: the victim's own cgroup. */
  victimCgroup?: string;
  /** `oom_memcg=`: the cgroup whose limit was hit. */
  limitCgroup?: string;
  /** Cgroup named by the `memory.oom.group` line of this event. */
  groupCgroup?: string;
  /** True if this line repeats a victim already named in this group event: another line, not another kill. */
  repeatsVictim: boolean;
  /** True if the kernel printed no dump for this event (rate limit) or the log lost it. */
  suppressed: boolean;
  /** There are ten dumps in the 5 s before this kill, so the kernel's rate limit is the reason that it has none. */
  isRateLimited?: boolean;
  /** The dump of the event; absent if `suppressed`. */
  dump?: OomDump;
}

/** Events in a kernel log, in its order. */
export type KernelLogEvent =
  | { kind: "kill"; report: OomKillReport }
  /** The group line comes after its first victim: `report` is that victim's, `groupCgroup` now filled in. */
  | { kind: "group"; report: OomKillReport; cgroup: string }
  | { kind: "loss"; loss: LogLoss }
  /** A line that looks like a kill but matches no kernel's grammar. */
  | { kind: "unparsed"; message: KernelMessage; lineNumber?: number }
  /** A report without its kill line, in a text without any kill line. */
  | { kind: "fragment"; fragment: OomFragment }
  /** There were more fragments than are kept. */
  | { kind: "fragments_cut" }
  /** Messages of the kernel that journalctl did not print. */
  | { kind: "hidden"; count: number }
  /** `Out of memory and no killable processes...`: an event without a victim. */
  | { kind: "no_victim" };

/** What has been read of an event whose victim is still to come. */
interface OpenEvent {
  startedAt: KernelMessage;
  dump: OomDumpReader;
  constraint?: ConstraintLine;
  /** `Task in A killed as a result of limit of B` (<= 4.20). */
  taskIn?: { victim?: string; limit?: string };
  /** Text of a `Task in` line that was split by other output. */
  tornTaskIn?: string;
  announcedPrefix?: string;
}

/** An event after its first kill: group members and repeats belong to it. */
interface PastEvent {
  event?: OpenEvent;
  dump?: OomDump;
  first: OomKillReport;
  groupCgroup?: string;
  /** Fewer than 10 dumps had been printed in 5 s, so the next event must print its own. */
  nextPrintsDump: boolean;
}

/** Until 4.18 it is the text of a panic. */
const noVictim = /^(?:Kernel panic - not syncing: )?Out of memory and no killable processes/;

/** `Out of memory and no killable processes...`: the kernel looked for a victim and found none. */
export function foundNobody({ text, origin }: KernelMessage): boolean {
  return origin !== "user" && noVictim.test(text);
}

/** What comes after memory.stat in a dump. */
const isBehindStat = /^(?:Tasks state|\[ *pid|oom-kill:)|[Kk]illed process |invoked oom-killer:/;

const maxOpenEvents = 8;
/** Printing a dump on the slowest console takes less than this. */
const dumpMaxMicros = 120_000_000;
const groupMaxMicros = 60_000_000;
/** If the group line is missing (filtered by level): shorter than a storm needs to use up all pids. */
const bareGroupMaxMicros = 2_000_000;
/** Maximum number of victims of one event, or of a storm whose dumps are suppressed. */
const maxVictims = 4096;
const dumpBurst = 10;
const dumpIntervalMicros = 5_000_000;
/** Maximum number of times that a name of 15 bytes can split its line. */
const maxTornLines = 16;

/**
 * Assembles reports from messages in the order of the log. Cheap for unrelated messages.
 *
 * Invariant: exactly one `kill` event per `Killed process` line that the kernel wrote; each dump is used by one event; a
 * dump is never used for a kill before it.
 */
export class OomReportAssembler {
  readonly #emit: (event: KernelLogEvent) => void;
  #open: OpenEvent[] = [];
  #past: PastEvent | undefined;
  #victims = new Map<number, { comm: string; printed: KernelTimes }>();
  #dumpTimes: KernelMessage[] = [];
  /** A group line has been read since the last dump began. */
  #groupSeen = false;
  /** The dump whose memory.stat is being read. */
  #stat: OomDumpReader | undefined;
  /** What a line without an envelope would continue; `undefined` once the record is complete. */
  #previousText: string | undefined;
  #torn: Torn | undefined;
  #previous: KernelMessage | undefined;
  /** Reports a Mem-Info that is not followed by a kill. */
  #otherMemInfo: KernelMessage | undefined;

  constructor(emit: (event: KernelLogEvent) => void) {
    this.#emit = emit;
  }

  /**
   * Takes the next message. `lineNumber` is its place for reports, `endOffset` the byte after it.
   */
  push(message: KernelMessage, lineNumber?: number, endOffset?: number): void {
    if (message.isQuoted) {
      this.#readQuoted(message, lineNumber);
      return;
    }
    const previous = this.#previous;
    this.#previous = message;
    if (previous !== undefined && isCopy(previous, message) && !killHead.test(message.text)) return;
    if (this.#torn !== undefined) {
      const rest = this.#joinTorn(this.#torn, message, endOffset);
      if (rest) return;
    }
    if (message.origin === "user") {
      this.#previousText = undefined;
      const loss = parseLoss(message);
      if (loss !== undefined) this.#emit({ kind: "loss", loss });
      return;
    }
    if (message.continues) {
      if (this.#stat?.readStat(message.text)) return;
      if (this.#previousText === undefined || this.#previousText.length > 4096) return;
      const before = this.#previousText;
      this.#previousText = before === "" ? message.text : `${before}\n${message.text}`;
      this.#read({ ...message, text: this.#previousText }, lineNumber, endOffset);
      return;
    }
    this.#previousText = message.text;
    this.#read(message, lineNumber, endOffset);
  }

  /** Another program's report of a kill is complete in itself, whatever event the log is in. */
  #readQuoted(message: KernelMessage, lineNumber: number | undefined): void {
    const kill = parseKillLine(message.text) ?? parseShortenedKillLine(message.text);
    if (kill === undefined) return;
    const killLine = { ...message, isQuoted: true };
    const report = { ...reportOf(kill, undefined, undefined, false), killLine };
    if (lineNumber !== undefined) report.lineNumber = lineNumber;
    this.#emit({ kind: "kill", report });
  }

  /** End of the log (or a gap): a line that was waiting for its rest is reported as it is. */
  end(): void {
    if (this.#torn !== undefined) this.#giveUpTorn(this.#torn);
  }

  /** True while a dump has been read but not its victim. */
  get isOpen(): boolean {
    return this.#open.length > 0 || this.isTorn;
  }

  /** True while the next message may be the rest of a kill line. */
  get isTorn(): boolean {
    return this.#torn !== undefined;
  }

  #read(message: KernelMessage, lineNumber?: number, endOffset?: number): void {
    const { text } = message;
    const start = text.charCodeAt(0) <= 0x20 ? text.trimStart() : text;
    const mayKill = text.includes("illed");
    if (this.#stat?.readStat(text)) return;
    // Other messages may come between the lines of memory.stat (separate records since 6.5).
    if (this.#stat !== undefined && isBehindStat.test(text)) this.#stat = undefined;

    if (mayKill && killHead.test(text)) {
      const kill =
        parseKillLine(text) ?? (message.isInText ? parseShortenedKillLine(text) : undefined);
      this.#previousText = undefined;
      if (kill !== undefined) this.#kill(kill, message, lineNumber, endOffset);
      else this.#torn = { message, lineNumber, endOffset, text, lines: 1 };
      return;
    }
    if (beginsKill(text)) {
      this.#previousText = undefined;
      this.#torn = { message, lineNumber, endOffset, text, lines: 1 };
      return;
    }
    if (start.startsWith("oom-kill:constraint=")) {
      this.#previousText = undefined;
      this.#readConstraint(start, message);
      return;
    }
    if (mayKill && looksLikeKill(text)) {
      this.#previousText = undefined;
      this.#emit({ kind: "unparsed", message, lineNumber });
      return;
    }
    if (text.includes("invoked oom-killer: ") || text.startsWith("oom-killer: gfp_mask=")) {
      this.#previousText = undefined;
      this.#readHeader(text, message);
      return;
    }
    if (this.#readOutsideOfDump(text, message)) return;
    const event = this.#eventOf(message) ?? this.#headless(text, message);
    if (event !== undefined) this.#readDumpLine(event, text);
  }

  /** The event of a dump whose header is lost. A failed allocation prints Mem-Info too. */
  #headless(text: string, message: KernelMessage): OpenEvent | undefined {
    if (text.includes("allocation failure") || text.includes("Show Memory")) {
      this.#otherMemInfo = message;
    }
    const other = this.#otherMemInfo;
    const isOther = other !== undefined && microsBetween(other, message) <= dumpMaxMicros;
    if (!isOfDump(text) && (isOther || !isOfMemInfo(text))) return undefined;
    this.#endPastEvent(message);
    return this.#openEvent(message);
  }

  #readHeader(text: string, message: KernelMessage): void {
    const trigger = parseHeader(text);
    if (trigger === undefined) return;
    this.#endPastEvent(message);
    this.#openEvent(message, new OomDumpReader(trigger));
  }

  #openEvent(message: KernelMessage, dump = new OomDumpReader()): OpenEvent {
    const event: OpenEvent = { startedAt: message, dump };
    this.#open.push(event);
    if (this.#open.length > maxOpenEvents) this.#open.shift();
    return event;
  }

  /** The open event that a line belongs to: the same thread's, else the latest. */
  #eventOf(message: KernelMessage): OpenEvent | undefined {
    if (message.callerId !== undefined) {
      const own = this.#open.findLast((event) => event.startedAt.callerId === message.callerId);
      if (own !== undefined) return own;
      if (this.#open.some((event) => event.startedAt.callerId !== undefined)) return undefined;
    }
    return this.#open.at(-1);
  }

  #readConstraint(text: string, message: KernelMessage): void {
    const line = parseConstraintLine(text);
    if (line === undefined) return;
    let event = this.#eventOf(message);
    if (event === undefined || event.constraint !== undefined) {
      // Its header is missing (filtered by level, or cut off by a rotation): the event begins here.
      this.#endPastEvent(message);
      event = this.#openEvent(message);
    }
    event.constraint = line;
    if (line.pid === undefined) {
      this.#torn = { message, text, lines: 1, constraintOf: event };
    }
  }

  #readOutsideOfDump(text: string, message: KernelMessage): boolean {
    const announced = announcement.exec(text);
    if (announced !== null) {
      const event = this.#eventOf(message) ?? this.#openEvent(message);
      event.announcedPrefix = announced[1];
      return true;
    }
    if (text.startsWith("Tasks in ")) {
      const group = /^Tasks in (.*) are going to be killed due to memory\.oom\.group set\s*$/s.exec(
        text,
      );
      this.#groupSeen ||= group !== null;
      if (group !== null && this.#past !== undefined) {
        const { first } = this.#past;
        const cgroup = decodeCgroup(group[1] ?? "");
        this.#past.groupCgroup = cgroup;
        first.groupCgroup = cgroup;
        this.#emit({ kind: "group", report: first, cgroup });
      }
      return true;
    }
    if (text.startsWith("Task in ")) {
      const event = this.#eventOf(message) ?? this.#openEvent(message);
      // A pager breaks long paths; a newline in a name is rare.
      if (message.continues) event.taskIn = taskIn(text.replaceAll("\n", ""));
      event.taskIn ??= taskIn(text);
      if (event.taskIn.limit === undefined) event.tornTaskIn = text;
      return true;
    }
    if (foundNobody(message)) {
      const event = this.#eventOf(message);
      if (event !== undefined) this.#open.splice(this.#open.indexOf(event), 1);
      this.#emit({ kind: "no_victim" });
      return true;
    }
    const loss = parseLoss(message);
    if (loss === undefined) return false;
    this.#emit({ kind: "loss", loss });
    return true;
  }

  #readDumpLine(event: OpenEvent, text: string): void {
    if (event.tornTaskIn !== undefined && event.taskIn?.limit === undefined) {
      const whole = `${event.tornTaskIn}${text}`;
      const joined = taskIn(whole);
      if (joined.limit !== undefined) {
        event.taskIn = joined;
        event.tornTaskIn = undefined;
        return;
      }
      if (/^ ?killed as|^\//.test(text)) {
        event.tornTaskIn = whole;
        return;
      }
    }
    if (event.dump.read(text)) this.#stat = event.dump;
  }

  /** A new dump begins: later kills belong to another event. */
  #endPastEvent(message: KernelMessage): void {
    this.#victims.clear();
    this.#past = undefined;
    this.#groupSeen = false;
    this.#dumpTimes.push(message);
    if (this.#dumpTimes.length > dumpBurst) this.#dumpTimes.shift();
  }

  #kill(
    kill: KillLine,
    message: KernelMessage,
    lineNumber: number | undefined,
    endOffset: number | undefined,
  ): void {
    const known = this.#victims.get(kill.pid);
    const repeatsVictim =
      known !== undefined &&
      known.comm === kill.comm &&
      microsBetween(known.printed, message) <=
        (this.#groupSeen ? groupMaxMicros : bareGroupMaxMicros);

    const event = repeatsVictim ? undefined : this.#takeEvent(kill, message);
    const past = event === undefined ? this.#pastEventOf(kill, message, repeatsVictim) : undefined;
    const source = event ?? past?.event;
    const dump = event === undefined ? past?.dump : dumpOf(event, kill);
    const report = reportOf(kill, source, dump, event !== undefined);
    report.killLine = message;
    report.repeatsVictim = repeatsVictim;
    if (lineNumber !== undefined) report.lineNumber = lineNumber;
    if (endOffset !== undefined) report.endOffset = endOffset;
    if (past?.groupCgroup !== undefined) report.groupCgroup = past.groupCgroup;
    if (report.suppressed && this.#isRateLimited(message)) report.isRateLimited = true;

    if (past === undefined) {
      this.#past = {
        event,
        dump,
        first: report,
        nextPrintsDump: event !== undefined && this.#recentDumps(message) < dumpBurst,
      };
    }
    if (!repeatsVictim) this.#rememberVictim(kill, message);
    this.#emit({ kind: "kill", report });
  }

  #rememberVictim(kill: KillLine, line: KernelMessage): void {
    this.#victims.delete(kill.pid);
    // Only the times: a text would keep the whole dump that it was cut from.
    const { printkMicros, timeMs } = line;
    this.#victims.set(kill.pid, { comm: kill.comm, printed: { printkMicros, timeMs } });
    if (this.#victims.size <= maxVictims) return;
    for (const oldest of this.#victims.keys()) {
      this.#victims.delete(oldest);
      return;
    }
  }

  #recentDumps(message: KernelMessage): number {
    return this.#dumpTimes.filter((dump) => microsBetween(dump, message) <= dumpIntervalMicros)
      .length;
  }

  #isRateLimited(message: KernelMessage): boolean {
    return (
      this.#dumpTimes.length >= dumpBurst &&
      this.#dumpTimes.every(
        (dump) => sharesClock(dump, message) && microsBetween(dump, message) <= dumpIntervalMicros,
      )
    );
  }

  /** The open event of a kill, removed from the list. */
  #takeEvent(kill: KillLine, message: KernelMessage): OpenEvent | undefined {
    const fits = (event: OpenEvent): boolean => {
      const caller = event.startedAt.callerId;
      if (caller !== undefined && message.callerId !== undefined && caller !== message.callerId) {
        return false;
      }
      if (event.constraint?.pid === kill.pid) return true;
      const isMemcg = constraintOfPrefix(kill.prefix) === "memcg";
      if (isMemcg && event.dump.isOfHost) return false;
      if (!isMemcg && kill.prefix !== undefined && event.dump.isOfCgroup) return false;
      return microsBetween(event.startedAt, message) <= dumpMaxMicros;
    };
    const candidates = this.#open.filter(fits);
    const event =
      candidates.findLast((candidate) => candidate.constraint?.pid === kill.pid) ??
      candidates.findLast((candidate) => candidate.announcedPrefix !== undefined) ??
      candidates.at(-1);
    if (event === undefined) return undefined;
    // From 5.1 on (prefix on the kill line) events do not overlap, so an older one had no victim.
    // Before that several may overlap.
    const index = this.#open.indexOf(event);
    this.#open =
      kill.prefix === undefined || message.callerId !== undefined
        ? this.#open.filter((other) => other !== event)
        : this.#open.slice(index + 1);
    return event;
  }

  /** The event that a kill without its own dump belongs to: its group's, if that is certain. */
  #pastEventOf(
    kill: KillLine,
    message: KernelMessage,
    repeatsVictim: boolean,
  ): PastEvent | undefined {
    const past = this.#past;
    if (past === undefined) return undefined;
    if (repeatsVictim) return past;
    // 4.19 and 5.0 put the prefix into the announcement, which later victims of a group do not have.
    const isOther = kill.prefix !== undefined && past.first.prefix !== kill.prefix;
    if (past.groupCgroup === undefined || isOther) return undefined;
    const { killLine } = past.first;
    if (microsBetween(killLine, message) > groupMaxMicros) return undefined;
    if (killLine.callerId !== undefined && message.callerId !== undefined) {
      return killLine.callerId === message.callerId ? past : undefined;
    }
    return past.nextPrintsDump ? past : undefined;
  }

  /** Takes `message` as the rest of a split line. False if it is a separate message. */
  #joinTorn(torn: Torn, message: KernelMessage, endOffset: number | undefined): boolean {
    const sameRecord =
      message.continues === true ||
      (message.origin === torn.message.origin &&
        message.sequence === undefined &&
        message.printkMicros === torn.message.printkMicros &&
        (message.printkMicros !== undefined || message.timeMs === torn.message.timeMs));
    const isRest = beginsKill(torn.text) && /^(?:OOM k|K)illed\b/.test(message.text);
    const startsAnew =
      (killHead.test(message.text) && !isRest) || message.text.includes("invoked oom-killer");
    if (!sameRecord || startsAnew || torn.lines >= maxTornLines) {
      this.#giveUpTorn(torn);
      return false;
    }
    const text = `${torn.text}\n${message.text}`;
    if (torn.constraintOf !== undefined) {
      const line = parseConstraintLine(text);
      if (line?.pid === undefined) {
        this.#torn = { ...torn, text, lines: torn.lines + 1 };
      } else {
        torn.constraintOf.constraint = line;
        this.#torn = undefined;
      }
      return true;
    }
    // A name may contain a newline; a pager breaks anywhere, a mail at a blank.
    const kill =
      parseKillLine(text) ??
      parseKillLine(text.replaceAll("\n", "")) ??
      parseKillLine(text.replaceAll(/ ?\n ?/g, " "));
    if (kill === undefined) {
      this.#torn = { ...torn, text, lines: torn.lines + 1 };
      return true;
    }
    this.#torn = undefined;
    this.#kill(kill, { ...torn.message, text }, torn.lineNumber, endOffset ?? torn.endOffset);
    return true;
  }

  /** A truncated kill line counts if its first size is complete, or other lines of its event name the victim. */
  #giveUpTorn(torn: Torn): void {
    this.#torn = undefined;
    const [firstLine = ""] = torn.text.split("\n", 1);
    if (torn.constraintOf !== undefined) {
      const { isInText } = torn.message;
      const line = parseConstraintLine(isInText ? joinedConstraint(torn.text) : firstLine, true);
      // A log that ends in the name may have lost a part of the path too.
      if (line !== undefined && line.pid === undefined && !isInText) line.victimCgroup = undefined;
      torn.constraintOf.constraint = line;
      return;
    }
    if (beginsKill(firstLine)) return;
    // What follows is no rest of the line, or the rest would have completed it.
    const kill = parseCutKillLine(torn.text) ?? parseCutKillLine(firstLine);
    const isNamed = (event: OpenEvent): boolean =>
      event.constraint?.pid === kill?.pid || (kill !== undefined && event.dump.names(kill.pid));
    const old = kill === undefined ? oldKillIn(torn.text) : undefined;
    if (old !== undefined) {
      this.#kill(old, torn.message, torn.lineNumber, torn.endOffset);
      return;
    }
    const isCertain = kill?.totalVmBytes !== undefined || this.#open.some(isNamed);
    if (kill !== undefined && isCertain) {
      this.#kill(kill, torn.message, torn.lineNumber, torn.endOffset);
      return;
    }
    if (kill !== undefined && torn.message.isInText && isWrittenKill(firstLine)) {
      this.#readQuoted({ ...torn.message, text: `${firstLine.trimEnd()}.` }, torn.lineNumber);
      return;
    }
    this.#emit({ kind: "unparsed", message: torn.message, lineNumber: torn.lineNumber });
  }
}

type KernelTimes = Pick<KernelMessage, "printkMicros" | "timeMs">;

/** A line whose end is still missing: a newline in a name splits it in files and in dmesg's output. */
interface Torn {
  message: KernelMessage;
  lineNumber?: number;
  endOffset?: number;
  text: string;
  lines: number;
  /** The event of a constraint line; absent for a kill line. */
  constraintOf?: OpenEvent;
}

/**
 * If two syslog rules write to one file, each line appears twice. A kill line may also be repeated for real: the first
 * victim of a group is named twice.
 */
function isCopy(before: KernelMessage, message: KernelMessage): boolean {
  return (
    message.text === before.text &&
    message.printkMicros === before.printkMicros &&
    message.timeMs === before.timeMs &&
    message.sequence === undefined &&
    message.continues !== true &&
    message.origin === before.origin
  );
}

function sharesClock(a: KernelMessage, b: KernelMessage): boolean {
  return (
    (a.printkMicros !== undefined && b.printkMicros !== undefined) ||
    (a.timeMs !== undefined && b.timeMs !== undefined)
  );
}

/** Time from one message to a later one, by a clock that both have; 0 if they share none. */
function microsBetween(from: KernelTimes, to: KernelTimes): number {
  if (from.printkMicros !== undefined && to.printkMicros !== undefined) {
    return Math.abs(to.printkMicros - from.printkMicros);
  }
  if (from.timeMs !== undefined && to.timeMs !== undefined) {
    return Math.abs(to.timeMs - from.timeMs) * 1000;
  }
  return 0;
}

function reportOf(
  kill: KillLine,
  event: OpenEvent | undefined,
  dump: OomDump | undefined,
  isFirst: boolean,
): OomKillReport {
  const line = event?.constraint;
  const row = dump?.tasks.find((task) => task.pid === kill.pid);
  const prefix = kill.prefix ?? event?.announcedPrefix;
  // The line may name the thread group leader and the kill one of its threads; group members may live elsewhere.
  const isSameTask = line?.task === undefined || line.pid !== undefined || line.task === kill.comm;
  const isNamed = (isFirst && isSameTask) || line?.pid === kill.pid;
  return {
    ...kill,
    killLine: { text: "", origin: "unverified" },
    prefix,
    uid: kill.uid ?? (line?.pid === kill.pid ? line.uid : undefined) ?? row?.uid,
    oomScoreAdj: kill.oomScoreAdj ?? row?.oomScoreAdj,
    constraint: constraintOf(event, prefix),
    customConstraint: line?.customConstraint,
    victimCgroup: isNamed ? (line?.victimCgroup ?? event?.taskIn?.victim) : undefined,
    limitCgroup: line?.limitCgroup ?? limitBefore50(event?.taskIn?.limit, dump?.memcg?.cgroup),
    repeatsVictim: false,
    suppressed: dump === undefined,
    dump,
  };
}

/** The statistics in a cgroup's report begin with the cgroup whose limit was hit; a pager may cut the line that says so. */
function limitBefore50(ofLine: string | undefined, ofStat: string | undefined): string | undefined {
  return ofLine === undefined || ofStat?.startsWith(ofLine) ? (ofStat ?? ofLine) : ofLine;
}

/** The dump of an event. `undefined` if no line of it was printed. */
function dumpOf(event: OpenEvent, kill: KillLine): OomDump | undefined {
  const { dump, constraint } = event;
  if (dump.isEmpty && constraint === undefined && event.taskIn === undefined) return undefined;
  return dump.dumpFor(kill);
}

function constraintOf(event: OpenEvent | undefined, prefix: string | undefined): OomConstraint {
  const line = event?.constraint;
  // 5.0 to 5.2 always print CONSTRAINT_NONE; the cgroup's limit in the dump still shows the constraint.
  const ofPrefix = constraintOfPrefix(prefix);
  const isMemcg = line?.limitCgroup !== undefined || ofPrefix === "memcg";
  const isUsual = line?.constraint === "none" || line?.customConstraint !== undefined;
  if (line !== undefined && isUsual) return isMemcg ? "memcg" : "none";
  if (line !== undefined) return line.constraint;
  const isOfCgroup = event?.taskIn !== undefined || event?.dump.isOfCgroup;
  return isOfCgroup || isMemcg ? "memcg" : ofPrefix;
}
