/**
 * What remains of an out-of-memory report without its kill line: a filtered text (`grep oom-kill`), or a log that lost
 * the line. It shows that the kernel chose a victim, but does not count as a kill.
 *
 *     oom-kill:constraint=CONSTRAINT_MEMCG,...,oom_memcg=/docker/0074,task_memcg=/docker/0074,task=java,pid=7134,uid=0
 *     oom_reaper: reaped process 7134 (java), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB
 *     Task in /docker/0074 killed as a result of limit of /docker/0074                      (before 4.19)
 *     Warning  SystemOOM  28s  kubelet  System OOM encountered, victim process: java, pid: 7134
 *     CPU: 0 PID: 776 Comm: systemd-network Not tainted 4.15.0-58-generic #64-Ubuntu
 *      oom_kill_process+0x220/0x440                                                     (a trace without its header)
 *     Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled              (no process is killed)
 *     systemd[1]: shop.service: A process of this unit has been killed by the OOM killer.        (unit-notice.ts)
 */
import { parseConstraintLine, taskIn } from "./constraint-line.ts";
import type { KernelMessage } from "./kernel-message.ts";
import { decodeUtf8 } from "./kernel-text.ts";
import { announcement } from "./kill-line.ts";
import { parseHeader } from "./oom-dump.ts";
import { foundNobody } from "./oom-report.ts";
import { parseUnitNotice, resultWithinMs, type UnitNotice, unitsIn } from "./unit-notice.ts";

/** Absent if the text does not say. */
export interface OomFragment {
  /** The victim. */
  pid?: number;
  comm?: string;
  cgroup?: string;
  limitCgroup?: string;
  /** The task that asked for memory. */
  trigger?: string;
  /** The kernel panicked instead of killing: by `vm.panic_on_oom`, or because it found no process to kill. */
  panic?: "panic_on_oom" | "no_victim";
  /** What the service manager says of a unit. */
  notice?: UnitNotice;
  timeMs?: number;
  lineNumber?: number;
}

/** As many as fit in some 20 MiB. Kills may explain most of them, so far fewer are shown. */
export const keptFragments = 50_000;
/** Texts of which each of the kernel's lines here has one. */
export const fragmentWords = [
  "oom",
  "ut of memory",
  "out_of_memory",
  "killed as a result",
  "OOM enc",
  "deadlocked on memory",
];
/** The kubelet's events about kills that the kernel made. */
const kubeletEvent =
  /\b(?:System|Cgroup) OOM encountered, victim process: (.{1,15}?), pid: (\d{1,10})\b/;
/** A constraint line that somebody shortened. */
const shortened = /^oom-kill:\s?(?:constraint=|\.\.\.).*?\boom_memcg=(\/[^,\s`]{1,400})/s;
/** Until 4.18 the kernel panics with the words of the second kind, from 4.19 on with the last after a line of its own. */
const panicText =
  /^Kernel panic - not syncing: (?:[Oo]ut of memory\b.{1,40}panic_on_oom|(Out of memory and no killable processes|System is deadlocked on memory))/;
/** Each panic has these words. */
export const panicWords = "Kernel panic - not syncing: ";
const reaped = /^oom_reaper: reaped process (\d+) \((.*)\), now /s;
/** Who runs the code of the trace that follows: `CPU: 0 PID: 776 Comm: a.out Not tainted`, `Pid: 776, comm: a.out ...`. */
const traced =
  /^(?:CPU: \d+ (?:UID: \d+ )?PID: \d+ Comm: |Pid: \d+, comm: )(.{1,15}?) (?:Kdump: |Not tainted|Tainted: )/s;
const isOomTrace =
  /^\s*(?:\[<?[\da-f]+>?\] )*(?:\? )?\.?(?:oom_kill_process|out_of_memory)(?:\.\w+)*\+0x/;
/** Notices about the same kill may be so far apart; the result may come later (`resultWithinMs`). */
const sameNoticeMs = 60_000;

/** What is known of the latest kill in a unit. */
interface UnitKill {
  fragment: OomFragment;
  /** When the result of the unit was logged. */
  resultMs?: number;
}

/** Whether a kernel message says that the machine panicked for lack of memory. */
export function isOomPanic({ text, origin }: KernelMessage): boolean {
  return origin !== "user" && panicText.test(text);
}

/** Collects the fragments of a text without any kill line. */
export class FragmentFinder {
  readonly #found: OomFragment[] = [];
  readonly #ofPid = new Map<number, OomFragment>();
  readonly #ofUnit = new Map<string | undefined, UnitKill>();
  #isCut = false;
  /** A report that has begun, and whose victim is still to come. */
  #header: OomFragment | undefined;
  /** The latest report that ended without a victim. */
  #vain: OomFragment | undefined;
  /** The task of the last trace. */
  #traced: string | undefined;
  /** When the machine panicked: its traces are about the same report, until the next boot. */
  #panicMicros: number | undefined;

  push(message: KernelMessage, lineNumber?: number): void {
    const { text, origin, timeMs, printkMicros = 0 } = message;
    const notice = parseUnitNotice(text);
    if (notice !== undefined) {
      this.#addNotice(notice, timeMs, lineNumber);
      return;
    }
    if (origin === "user") return;
    this.#traced = traced.exec(text)?.[1] ?? this.#traced;
    if (!fragmentWords.some((words) => text.includes(words))) return;
    if (isOomTrace.test(text)) {
      if (this.#panicMicros !== undefined && printkMicros >= this.#panicMicros) return;
      const comm = this.#traced === undefined ? undefined : decodeUtf8(this.#traced);
      // Each report has both functions in its trace.
      this.#header ??= { ...definedOf({ trigger: comm }), timeMs, lineNumber };
      return;
    }
    const panic = panicText.exec(text);
    if (panic !== null) {
      this.#header = {
        timeMs,
        lineNumber,
        ...(this.#header ?? this.#vain),
        panic: panic[1] === undefined ? "panic_on_oom" : "no_victim",
      };
      this.#flushHeader();
      this.#panicMicros = printkMicros;
      return;
    }
    if (foundNobody(message)) {
      this.#vain = this.#header;
      this.#header = undefined;
    }
    const header = text.includes("oom-killer: ") ? parseHeader(text) : undefined;
    if (header !== undefined) {
      this.#flushHeader();
      this.#panicMicros = undefined;
      // Until 2.6.12 the header has no name.
      const trigger = header.comm === "" ? undefined : header.comm;
      this.#header = { trigger, timeMs, lineNumber };
      return;
    }
    const { victim: cgroup, limit: limitCgroup } = taskIn(text.trimStart());
    if (limitCgroup !== undefined) {
      if (this.#header?.limitCgroup !== undefined) this.#flushHeader();
      this.#header = { timeMs, lineNumber, ...this.#header, cgroup, limitCgroup };
      return;
    }
    const victim = victimIn(text.replace(/^[\s`*>-]+/, ""));
    if (victim === undefined) return;
    const known = victim.pid === undefined ? undefined : this.#ofPid.get(victim.pid);
    if (known !== undefined) {
      known.comm ??= victim.comm;
      known.cgroup ??= victim.cgroup;
      known.limitCgroup ??= victim.limitCgroup;
      this.#index(known);
    } else {
      const { trigger, cgroup: begunIn, limitCgroup: limit } = this.#header ?? {};
      const begun = { cgroup: begunIn, limitCgroup: limit, trigger };
      this.#keep({ ...begun, ...definedOf(victim), timeMs, lineNumber });
    }
    this.#header = undefined;
  }

  /** Whether there were more fragments than are kept; those that follow are not needed any more. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Adds a notice, unless it is about a kill that is known already. */
  #addNotice(notice: UnitNotice, timeMs?: number, lineNumber?: number): void {
    const { unit, killer, processes } = notice;
    const known = this.#ofUnit.get(unit);
    if (known === undefined || !isOfSameKill(known, notice, timeMs)) {
      // A copy, which keeps no part of the log alive.
      this.#keep({ notice: structuredClone(notice), timeMs, lineNumber });
    } else if (known.fragment.notice !== undefined) {
      known.fragment.notice.killer ??= killer;
      known.fragment.notice.processes ??= processes;
    }
    const latest = this.#ofUnit.get(unit);
    if (latest !== undefined && killer === undefined) latest.resultMs = timeMs;
  }

  end(): OomFragment[] {
    this.#flushHeader();
    return this.#found;
  }

  #flushHeader(): void {
    if (this.#header !== undefined) this.#keep(this.#header);
    this.#header = undefined;
  }

  #keep(fragment: OomFragment): void {
    if (this.#found.length >= keptFragments) {
      this.#isCut = true;
      return;
    }
    this.#found.push(fragment);
    if (fragment.pid !== undefined) this.#ofPid.set(fragment.pid, fragment);
    this.#index(fragment);
  }

  #index(fragment: OomFragment): void {
    const { notice, cgroup, limitCgroup } = fragment;
    const units = notice === undefined ? unitsIn(cgroup ?? limitCgroup ?? "") : [notice.unit];
    for (const unit of units) {
      if (this.#ofUnit.get(unit)?.fragment !== fragment) this.#ofUnit.set(unit, { fragment });
    }
  }
}

/** Whether a notice of a unit is about the latest kill that is known of it. */
function isOfSameKill(
  { fragment, resultMs }: UnitKill,
  { killer }: UnitNotice,
  timeMs: number | undefined,
): boolean {
  const knownKiller = fragment.notice?.killer;
  if (killer !== undefined && knownKiller !== undefined && knownKiller !== killer) return false;
  if (timeMs === undefined || fragment.timeMs === undefined) return true;
  const agoMs = timeMs - fragment.timeMs;
  if (killer !== undefined) return Math.abs(agoMs) <= sameNoticeMs;
  // A unit ends once for a kill.
  if (resultMs !== undefined) return Math.abs(timeMs - resultMs) <= sameNoticeMs;
  return agoMs >= -sameNoticeMs && agoMs <= resultWithinMs;
}

function definedOf(fragment: OomFragment): OomFragment {
  return Object.fromEntries(Object.entries(fragment).filter(([, value]) => value !== undefined));
}

function victimIn(text: string): OomFragment | undefined {
  const constraint = parseConstraintLine(text);
  if (constraint !== undefined) {
    const { pid, task, victimCgroup, limitCgroup } = constraint;
    const limit = limitCgroup ?? (pid === undefined ? shortened.exec(text)?.[1] : undefined);
    return { pid, comm: task, cgroup: victimCgroup, limitCgroup: limit };
  }
  const event = kubeletEvent.exec(text);
  if (event !== null) return { pid: Number(event[2]), comm: decodeUtf8(event[1] ?? "") };
  const announced = announcement.exec(text);
  if (announced !== null)
    return { pid: Number(announced[2]), comm: decodeUtf8(announced[3] ?? "") };
  const match = reaped.exec(text);
  return match === null ? undefined : { pid: Number(match[1]), comm: decodeUtf8(match[2] ?? "") };
}
