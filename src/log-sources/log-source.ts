export type LogSourceName = "file" | "kmsg";

/** A kernel log that can be read. `/dev/kmsg` is never prefixed by `--path.rootfs`. */
export interface LogSource {
  kind: LogSourceName;
  path: string;
}

/** Whether a source is being read. */
export interface ReadState {
  up: boolean;
  /** Why it is not up, and what to do; one line. */
  reason?: string;
}

/** One source of the kernel log and its state. */
export interface LogSourceState extends ReadState {
  name: LogSourceName;
  path: string;
}

/** What every follower of a log reports, whatever it follows. */
export interface SourceListener {
  /** Once: all that was there at the start has been delivered; what comes from now on is new. */
  caughtUp(): void;
  /** On change only, and once with the first finding. */
  stateChanged(state: ReadState): void;
  /**
   * Part of the log will not be delivered. `reason` is one line for people: what, where and, where
   * there is something to do, what. `records`: how many, at least.
   */
  lost(reason: string, records: number): void;
}

/** What was read from the kernel log since this process started. */
export interface LogTally {
  lines: number;
  bytes: number;
  rotations: number;
  truncations: number;
  lostRecords: number;
  suppressedDumps: number;
  unparsedKills: number;
  readErrors: number;
  /** Wall clock, milliseconds since the epoch; absent before the first record. */
  lastRecordMs?: number;
}

export function emptyTally(): LogTally {
  return {
    lines: 0,
    bytes: 0,
    rotations: 0,
    truncations: 0,
    lostRecords: 0,
    suppressedDumps: 0,
    unparsedKills: 0,
    readErrors: 0,
  };
}

export function sumOfTallies(tallies: readonly LogTally[]): LogTally {
  const sum = emptyTally();
  for (const { lastRecordMs, ...counts } of tallies) {
    for (const field of Object.keys(counts) as (keyof typeof counts)[]) sum[field] += counts[field];
    if (lastRecordMs !== undefined)
      sum.lastRecordMs = Math.max(sum.lastRecordMs ?? 0, lastRecordMs);
  }
  return sum;
}
