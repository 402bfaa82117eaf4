/**
 * earlyoom - https://github.com/rfjakob/earlyoom, `kill.c` and `main.c`, versions 1.2 to 1.8.
 *
 * Writes to stderr (journal identifier and syslog tag `earlyoom`). It acts when available memory and
 * free swap are both at or below their limits: SIGTERM first, SIGKILL at the lower limits.
 *
 *   status   = "mem avail: " N " of " N " MiB (" PERCENT "%), swap free: " N " of " N " MiB (" PERCENT "%)"
 *   limits   = "low memory! at or below " SIGNAL " limits: mem " PERCENT "%, swap " PERCENT "%"
 *   kill     = "sending " SIGNAL " to process " PID [" uid " UID] ' "' COMM '": ' SCORE
 *              [", oom_score_adj " N] ", VmRSS " N " MiB" [', cmdline "' ANYTHING '"']
 *   SCORE    = "badness " N | "oom_score " N (since 1.8)
 *   no kill  = "dryrun, not actually sending any signal" (--dryrun) | "kill failed: " REASON
 *
 *   mem avail:   101 of  1987 MiB ( 5.11%), swap free:    0 of    0 MiB ( 0.00%)
 *   low memory! at or below SIGTERM limits: mem 10.00%, swap 10.00%
 *   sending SIGTERM to process 1234 uid 1000 "hog": badness 955, VmRSS 1640 MiB
 *   process exited after 0.1 seconds
 *
 * Development versions write a separate line, `process 1234 cmdline "..."`, and 1.8 appends it to the line of the kill.
 * A command line may contain passwords: it is never parsed, kept or passed on.
 * "kill failed: Timer expired" means that the victim was still there after 10 s; the signal was sent.
 */
import { decodeUtf8 } from "../kernel-log/kernel-text.ts";
import {
  bytesOfMebibytes,
  type DaemonGrammar,
  type DaemonKill,
  type DaemonLine,
  type KillReadings,
  stampsOf,
} from "./daemon-kill.ts";

const status =
  /^mem avail: +\d+ of +\d+ MiB \( *([\d.]+)%\), swap free: +\d+ of +\d+ MiB \( *([\d.]+)%\)/;
const limits = /^low memory! at or below SIG(?:TERM|KILL) limits: mem +([\d.]+)%, swap +([\d.]+)%/;
/** COMM has at most 15 bytes, which is less than the text after it, so it cannot imitate that. */
const kill =
  /^sending (SIGTERM|SIGKILL) to process (\d{1,10})(?: uid (\d{1,10}))? "(.{0,15})": (?:badness|oom_score) (-?\d{1,10})(?:, oom_score_adj (-?\d{1,5}))?, VmRSS (\d{1,10}) MiB(?=$|, cmdline ")/s;
const dryRun = /^dryrun, not actually sending any signal/;
const failed = /^kill failed: (?!Timer expired)/;

export class EarlyoomGrammar implements DaemonGrammar {
  #available: KillReadings = {};
  #limits: KillReadings = {};
  #pending: DaemonKill | undefined;

  get isOpen(): boolean {
    return this.#pending !== undefined;
  }

  read(line: DaemonLine): DaemonKill | undefined {
    const { text } = line;
    const before = dryRun.test(text) || failed.test(text) ? undefined : this.#pending;
    this.#pending = undefined;
    const available = status.exec(text);
    if (available !== null) {
      this.#available = {
        memoryAvailablePercent: Number(available[1]),
        swapFreePercent: Number(available[2]),
      };
    }
    const low = limits.exec(text);
    if (low !== null) {
      this.#limits = { memoryLimitPercent: Number(low[1]), swapLimitPercent: Number(low[2]) };
    }
    const match = kill.exec(text);
    if (match !== null) {
      const [, signal, pid, uid, comm = "", badness, scoreAdj, rss] = match;
      this.#pending = {
        killer: "earlyoom",
        reason: "memory_available",
        pid: Number(pid),
        comm: decodeUtf8(comm),
        uid: uid === undefined ? undefined : Number(uid),
        oomScoreAdj: scoreAdj === undefined ? undefined : Number(scoreAdj),
        badness: Number(badness),
        signal: signal as "SIGTERM" | "SIGKILL",
        rssBytes: bytesOfMebibytes(rss),
        readings: { ...this.#available, ...this.#limits },
        ...stampsOf(line),
      };
      this.#available = {};
      this.#limits = {};
    }
    return before;
  }

  settle(): DaemonKill | undefined {
    const settled = this.#pending;
    this.#pending = undefined;
    return settled;
  }
}
