/**
 * nohang - https://github.com/hakavlad/nohang, `nohang` (Python), since 0.1; the grammar is that of 0.2.0.
 *
 * Prints to stdout (journal identifier and syslog tag `nohang`), one action in many lines. It acts on
 * available memory and free swap, on zram or on PSI, each with a soft (SIGTERM) and a hard limit (SIGKILL).
 *
 *   action   = ">>=== STARTING implement_corrective_action() ====>>"
 *              { "Memory status that requires corrective actions:" {reading} } {anything}
 *              ("TOP printed in " N "ms; process with highest badness:"
 *              | "Process with highest badness (found in " N "ms):") "  PID: " PID ", name: " COMM ", badness: " N
 *              | "New victim is cached victim " PID " (" COMM ")"
 *              {anything} ["Victim status (found in " N "ms):" {detail}] {anything}
 *              "Implementing a corrective action:" "  Sending " SIGNAL " to the victim"
 *              ("OK; total response time: " N "ms" | no kill) {anything}
 *              "<<=== FINISHING implement_corrective_action() ===<<"
 *   reading  = "  MemAvailable [" N " MiB, " N " %] <= " ("soft"|"hard") "_threshold_min_mem [" N " MiB, " N " %]"
 *            | "  SwapFree [" ... "] <= ..._threshold_min_swap [" ... "]"
 *            | "  Current PSI metric value (" N ") >= ..._threshold_max_psi (" N ")"
 *   detail   = "  PID:       " PID ", name: " COMM ", state: " ... ", EUID: " UID ", SID: " ...
 *            | "  badness:   " N ", oom_score:  " N ", oom_score_adj:  " N
 *            | "  Vm, MiB:   Size: " N ", RSS: " N [" (Anon: " ... ")"] ", Swap: " N
 *            | "  cgroup_v1: " PATH | "  cgroup_v2: " PATH
 *   no kill  = "Selected process died before corrective action" | "Cannot send a signal: PermissionError"
 *
 *   TOP printed in 0ms; process with highest badness:
 *     PID: 402, name: hog, badness: 930
 *   Implementing a corrective action:
 *     Sending SIGTERM to the victim
 *   OK; total response time: 8ms
 *
 * Names and paths of the victim appear unescaped in these lines, including newlines. So the first line that names a pid
 * after the beginning of an action decides, and later lines only add to it. A command line, printed with
 * `print_victim_cmdline`, is never parsed.
 */
import { decodeCgroup, decodeUtf8 } from "../kernel-log/kernel-text.ts";
import {
  bytesOfMebibytes,
  type DaemonGrammar,
  type DaemonKill,
  type DaemonLine,
  type KillReadings,
  stampsOf,
} from "./daemon-kill.ts";
import type { KillReason } from "./killer.ts";

const begins = /^>>=== STARTING implement_corrective_action\(\)/;
const ends = /^<<=== FINISHING implement_corrective_action\(\)/;
const chosen = /^ {2}PID: (\d{1,10}), [Nn]ame: (.{0,15}), badness: (-?\d{1,10})$/s;
const cached = /^New victim is cached victim (\d{1,10}) \((.{0,15})\)$/s;
const sends = /^ {2}Sending (SIGTERM|SIGKILL) to the victim$/;
const sent = /^OK; total response time: \d+ms$/;
const notSent = /^(?:Selected process died before corrective action|Cannot send a signal: )/;

const memory =
  /^ {2}MemAvailable \[[\d.]+ MiB, ([\d.]+) %\] <= (?:soft|hard)_threshold_min_mem \[[\d.]+ MiB, ([\d.]+) %\]/;
const swap =
  /^ {2}SwapFree \[[\d.]+ MiB, ([\d.]+) %\] <= (?:soft|hard)_threshold_min_swap \[[\d.]+ MiB, ([\d.]+|-) %\]/;
const pressure =
  /^ {2}Current PSI metric value \(([\d.]+)\) >= (?:soft|hard)_threshold_max_psi \(([\d.]+)\)/;
const zram = /^ {2}MemUsedZram \[/;

const who = /^ {2}PID: +(\d{1,10}), name: .{0,15}, state: \S.*?, EUID: (\d{1,10}), /s;
const scores = /^ {2}badness: +(-?\d{1,10}), oom_score: +-?\d+, oom_score_adj: +(-?\d{1,5})$/;
const sizes = /^ {2}Vm, MiB: +Size: \d+, RSS: (\d{1,10})(?: \([^)]*\))?, Swap: (\d{1,10})$/;
const group = /^ {2}cgroup_v[12]: (\/.+)$/s;

interface Action {
  victim?: Pick<DaemonKill, "pid" | "comm" | "badness">;
  details: Pick<DaemonKill, "uid" | "oomScoreAdj" | "rssBytes" | "swapBytes" | "cgroup">;
  readings: KillReadings;
  reason: KillReason;
  signal?: "SIGTERM" | "SIGKILL";
  /** The following status belongs to the victim. */
  isOfVictim?: boolean;
}

const newAction = (): Action => ({ details: {}, readings: {}, reason: "other" });

export class NohangGrammar implements DaemonGrammar {
  #action: Action | undefined;

  get isOpen(): boolean {
    return this.#action !== undefined;
  }

  read(line: DaemonLine): DaemonKill | undefined {
    const { text } = line;
    if (begins.test(text)) this.#action = newAction();
    else if (ends.test(text)) this.#action = undefined;
    else if (sent.test(text)) return this.#sent(line);
    else if (notSent.test(text) && this.#action !== undefined) this.#action.signal = undefined;
    else if (sends.test(text)) this.#sends(sends.exec(text)?.[1] as "SIGTERM" | "SIGKILL");
    else this.#learn(text);
    return undefined;
  }

  settle(): undefined {
    return undefined;
  }

  #sends(signal: "SIGTERM" | "SIGKILL"): void {
    if (this.#action?.victim !== undefined) this.#action.signal = signal;
  }

  #sent(line: DaemonLine): DaemonKill | undefined {
    const { victim, signal, details, readings, reason } = this.#action ?? newAction();
    // The statistics of the victim's death follow: the action is complete.
    this.#action = undefined;
    if (victim === undefined || signal === undefined) return undefined;
    return {
      killer: "nohang",
      reason,
      ...victim,
      ...details,
      signal,
      readings,
      ...stampsOf(line),
    };
  }

  #learn(text: string): void {
    // The beginning may be missing if the log was cut or filtered.
    const victim = chosen.exec(text) ?? cached.exec(text);
    if (victim !== null) {
      this.#action ??= newAction();
      this.#action.victim ??= {
        pid: Number(victim[1]),
        comm: decodeUtf8(victim[2] ?? ""),
        badness: victim[3] === undefined ? undefined : Number(victim[3]),
      };
      return;
    }
    if (text.startsWith("  ") && this.#action !== undefined) {
      this.#learnReading(text, this.#action);
      this.#learnDetail(text, this.#action);
    }
  }

  #learnReading(text: string, action: Action): void {
    const { readings } = action;
    const available = memory.exec(text);
    if (available !== null) {
      readings.memoryAvailablePercent = Number(available[1]);
      readings.memoryLimitPercent = Number(available[2]);
      if (action.reason === "other") action.reason = "memory_available";
    }
    const free = swap.exec(text);
    if (free !== null) {
      readings.swapFreePercent = Number(free[1]);
      readings.swapLimitPercent = free[2] === "-" ? undefined : Number(free[2]);
    }
    const stall = pressure.exec(text);
    if (stall !== null) {
      readings.pressurePercent = Number(stall[1]);
      readings.pressureLimitPercent = Number(stall[2]);
      action.reason = "memory_pressure";
    }
    if (zram.test(text)) action.reason = "swap";
  }

  #learnDetail(text: string, action: Action): void {
    const status = who.exec(text);
    if (status !== null) {
      action.isOfVictim = Number(status[1]) === action.victim?.pid;
      if (action.isOfVictim) action.details.uid ??= Number(status[2]);
    }
    if (!action.isOfVictim) return;
    const { details } = action;
    const score = scores.exec(text);
    if (score !== null) details.oomScoreAdj ??= Number(score[2]);
    const size = sizes.exec(text);
    if (size !== null) {
      details.rssBytes ??= bytesOfMebibytes(size[1]);
      details.swapBytes ??= bytesOfMebibytes(size[2]);
    }
    const path = group.exec(text)?.[1];
    // A process of a container or of cgroup v1 has nothing but the root in one of the two.
    if (path !== undefined && path !== "/") details.cgroup ??= decodeCgroup(path);
  }
}
