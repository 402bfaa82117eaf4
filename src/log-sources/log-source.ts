export type LogSourceName = "file" | "kmsg";

/** A kernel log that can be read. `--path.rootfs` never applies to `/dev/kmsg`. */
export interface LogSource {
  kind: LogSourceName;
  path: string;
}

/** Whether a source is being read. */
export interface ReadState {
  up: boolean;
  /** Why it is not being read, and what to do; one line. */
  reason?: string;
}

/** One source of the kernel log and its state. */
export interface LogSourceState extends ReadState {
  name: LogSourceName;
  path: string;
}

/** The events that every follower of a log reports. */
export interface SourceListener {
  /** Called once: everything that existed at the start has been delivered; what follows is new. */
  caughtUp(): void;
  /** Called on changes only, and once with the first result. */
  stateChanged(state: ReadState): void;
  /**
   * Part of the log will not be delivered. `reason` is one line for people: what, where and, if possible, what to do.
   * `records`: how many, at least.
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
