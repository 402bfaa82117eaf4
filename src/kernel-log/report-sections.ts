/**
 * A text about one kill that shows its report in sections, the kill line before the numbers.
 *
 *     ### 1. The OOM killer was invoked
 *     [Tue Mar 26 09:27:41 2024] Memory cgroup out of memory: Killed process 226 (greedy) total-vm:50304kB, ...
 *     ### 2. The limit is too small
 *     memory: usage 65536kB, limit 65536kB, failcnt 26
 *
 * The kernel writes the kill line last: it is moved behind the last line of its report.
 */
import { ArrivingLines } from "./arriving-lines.ts";
import { parseConstraintLine, taskIn } from "./constraint-line.ts";
import type { KernelMessage } from "./kernel-message.ts";
import { killHead } from "./kill-line.ts";
import type { LogClock } from "./local-time.ts";
import { KernelMessageReader } from "./log-line.ts";
import { isOfDump, isOfMemInfo } from "./oom-dump.ts";
import { isReversed } from "./reversed-log.ts";

/** A longer text is a log, and is not held until its end. */
export const maxSectionsLength = 64 * 1024 - 1;
const sameReportMs = 10_000;
/** Other dumps of memory. */
const isOtherDump = /allocation failure|Show Memory|Memory limit reached of cgroup/;
const isHeader = /\boom-killer: /;
const isRow = /^\[ *\d+\] +\d/;

/** Where the kill line of a text stands, and the last line of its report behind it; `undefined` for any other text. */
function sectionsOf(
  lines: readonly string[],
  clock: LogClock,
): { kill: number; last: number } | undefined {
  if (!lines.some((line) => line.includes("illed process "))) return undefined;
  const reader = new KernelMessageReader(clock, { copied: true });
  const messages = lines.map((line) => reader.read(line));
  const texts = messages.map((message) => message?.text.trimStart() ?? "");
  const kills = texts.flatMap((text, index) => (killHead.test(text) ? [index] : []));
  const [kill = -1] = kills;
  if (kills.length !== 1) return undefined;
  const pid = Number(killHead.exec(texts[kill] ?? "")?.[2]);
  const behind = texts.slice(kill + 1);
  if (behind.some((text) => isOtherDump.test(text))) return undefined;
  const isNamed = behind.some((text) => parseConstraintLine(text)?.pid === pid);
  // The next report begins with its header.
  if (!isNamed && behind.some((text) => isHeader.test(text))) return undefined;

  const isMemcg = texts.some(
    (text) => /^Memory cgroup out of memory|CONSTRAINT_MEMCG/.test(text) || isTaskIn(text),
  );
  const isPart = (text: string): boolean =>
    isMemcg ? isOfDump(text) || isTaskIn(text) : isOfMemInfo(text) || isRow.test(text);
  if (texts.slice(0, kill).some((text) => isPart(text) && !isTaskIn(text))) return undefined;
  const last = behind.findLastIndex(
    (text, index) =>
      (isPart(text) || isRow.test(text) || parseConstraintLine(text)?.pid === pid) &&
      isOfTime(messages[kill + 1 + index], messages[kill]),
  );
  // A log in newest-first order has its kill first as well.
  const rest = Buffer.from(lines.toSpliced(kill, 1).join("\n"), "latin1");
  return last < 0 || isReversed(rest, clock) ? undefined : { kill, last: kill + 1 + last };
}

function isTaskIn(text: string): boolean {
  return taskIn(text).limit !== undefined;
}

/** Whether a line may belong to a kill by its time, if it has one of its own. */
function isOfTime(line: KernelMessage | undefined, kill: KernelMessage | undefined): boolean {
  if (line === undefined || kill === undefined || line.continues) return true;
  if (line.printkMicros !== undefined && kill.printkMicros !== undefined) {
    return Math.abs(line.printkMicros - kill.printkMicros) <= sameReportMs * 1000;
  }
  if (line.timeMs === undefined || kill.timeMs === undefined) return true;
  return Math.abs(line.timeMs - kill.timeMs) <= sameReportMs;
}

/** Whether a text, if this is all of it, shows the kill line before the rest of its report. */
export function isInSections(text: Uint8Array, clock: LogClock): boolean {
  if (text.length > maxSectionsLength) return false;
  return sectionsOf(Buffer.from(text).toString("latin1").split(/\r?\n/), clock) !== undefined;
}

/** Moves the kill line behind its report when the text has ended. */
export class ReportSections {
  readonly #clock: LogClock;
  readonly #arriving = new ArrivingLines();
  #lines: string[] = [];
  #length = 0;
  #isLog = false;
  #moved: { kill: number; last: number } | undefined;

  constructor(clock: LogClock) {
    this.#clock = clock;
  }

  /** Takes bytes of the text. Returns lines only of a text that is too long. */
  push(bytes: Uint8Array): Buffer {
    this.#lines.push(...this.#arriving.push(bytes));
    this.#length += bytes.length;
    this.#isLog ||= this.#length > maxSectionsLength;
    return this.#isLog ? this.#take() : Buffer.alloc(0);
  }

  end(): Buffer {
    this.#lines.push(...this.#arriving.end());
    const sections = this.#isLog ? undefined : sectionsOf(this.#lines, this.#clock);
    if (sections !== undefined) {
      this.#moved = sections;
      this.#lines.splice(sections.last, 0, ...this.#lines.splice(sections.kill, 1));
    }
    return this.#take();
  }

  /** Line of the text where a returned line begins (both 1-based). */
  lineNumber(line: number): number {
    if (this.#moved === undefined) return line;
    const { kill, last } = this.#moved;
    if (line === last + 1) return kill + 1;
    return line > kill && line <= last ? line + 1 : line;
  }

  #take(): Buffer {
    const lines = this.#lines;
    this.#lines = [];
    return Buffer.from(lines.map((line) => `${line}\n`).join(""), "latin1");
  }
}
