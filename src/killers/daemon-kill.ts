/** What the daemons' grammars have in common: a line of a daemon, and the kill that it announces. */
import type { KillReason, UserspaceKiller } from "./killer.ts";

/** One line of a daemon's log without its envelope. */
export interface DaemonLine {
  killer: UserspaceKiller;
  /** One character per byte (latin1). */
  text: string;
  /** Process id of the daemon, if the envelope has one. */
  writerPid?: number;
  /** Wall clock, milliseconds since the epoch. */
  timeMs?: number;
  /** CLOCK_MONOTONIC, microseconds since boot; only the journal has it. */
  monotonicMicros?: number;
  /** Boot id, 32 hex digits; only the journal has it. */
  bootId?: string;
  /** The unit that wrote it, according to the journal. */
  unit?: string;
  /** 1-based line number in the log; only if lines are counted. */
  lineNumber?: number;
}

/** The numbers behind the daemon's decision. A field is absent if its line does not say. */
export interface KillReadings {
  /** Memory available, in percent of MemTotal, and the limit at or below which the daemon acts. */
  memoryAvailablePercent?: number;
  memoryLimitPercent?: number;
  /** Free swap, in percent of SwapTotal, and the limit at or below which the daemon acts. */
  swapFreePercent?: number;
  swapLimitPercent?: number;
  /** Memory pressure (PSI full, avg10) of `pressureCgroup`, its limit, and for how long it held. */
  pressurePercent?: number;
  pressureLimitPercent?: number;
  pressureCgroup?: string;
  /** As the daemon prints it: `20s`, `1min`. */
  pressureDuration?: string;
  /** Kubernetes quantities, as the kubelet prints them: `100Mi`. */
  availableQuantity?: string;
  thresholdQuantity?: string;
  /** The daemon's own words, from a closed set in its source. */
  words?: string;
}

/** A kill as announced by one daemon, which may announce it several times. */
export interface DaemonKill {
  killer: UserspaceKiller;
  reason: KillReason;
  /** Absent if a whole cgroup or pod was killed. */
  pid?: number;
  comm?: string;
  uid?: number;
  oomScoreAdj?: number;
  /** The daemon's own ranking of the victim, if it prints one. */
  badness?: number;
  cgroup?: string;
  pod?: string;
  namespace?: string;
  podUid?: string;
  signal?: "SIGTERM" | "SIGKILL";
  rssBytes?: number;
  swapBytes?: number;
  readings: KillReadings;
  timeMs?: number;
  monotonicMicros?: number;
  bootId?: string;
  /** The line that confirms the kill. */
  lineNumber?: number;
}

/**
 * The grammar of one daemon. Lines come in the order in which the daemon wrote them.
 *
 * Invariant: whatever a line contains, `read` does not throw, and a dry run or a signal that could not be sent is not a
 * kill.
 */
export interface DaemonGrammar {
  /** The kill confirmed by this line; a daemon's next line may say that its last kill did not happen. */
  read(line: DaemonLine): DaemonKill | undefined;
  /** Nothing more comes for now: returns the kill that waited for another line. */
  settle(): DaemonKill | undefined;
  /** True while lines already read are still needed: reading must resume before them. */
  readonly isOpen: boolean;
}

/** What every kill takes from the line that announces it. */
export function stampsOf({ timeMs, monotonicMicros, bootId, lineNumber }: DaemonLine) {
  return { timeMs, monotonicMicros, bootId, lineNumber };
}

const mebibyte = 1024 * 1024;

/** `97` of `97 MiB`, in bytes. */
export function bytesOfMebibytes(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text) * mebibyte;
}
