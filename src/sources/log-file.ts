import type { LogPosition } from "./log-identity.ts";

/** Bytes that were in the log and will not be delivered. */
export interface LogLoss {
  /** One line for people: what, where and, where there is something to do, what. */
  reason: string;
  /** How many, where that is known. */
  bytes?: number;
}

/** What a `LogFile` tells its reader. Everything is called in order, never re-entrantly. */
export interface LogFileListener {
  /**
   * Bytes of the log in order, each exactly once, split anywhere. `chunk` is valid only during the
   * call. `at` is the position of its first byte.
   */
  bytes(chunk: Buffer, at: LogPosition): void;
  /** This file is finished (rotated away or truncated): what stands unterminated is a line, the next bytes are another file's. */
  endOfFile(): void;
  /**
   * Once after `start()`: everything that was in the log at that moment has been delivered, to the
   * byte; what comes from now on was written since. Waits while the file cannot be read; comes at
   * once where there is no file yet.
   */
  caughtUp(): void;
  /** Called on change only, and once with the first finding. `reason` is one line that says what to do. */
  stateChanged(state: { up: boolean; reason?: string }): void;
  rotated(kind: "rename" | "truncate"): void;
  lost(loss: LogLoss): void;
}

export interface LogFileOptions {
  path: string;
  /**
   * `start`: the beginning of the file that is there now. `end`: only what is written from now on
   * (a file that does not exist yet is read whole once it appears). A position: the rest of that
   * file, wherever rotation has put it, then every newer one.
   */
  from: LogPosition | "start" | "end";
  listener: LogFileListener;
  /** False: neither watches nor timers, `poll()` does everything (tests). Default true. */
  watch?: boolean;
  /** Monotonic milliseconds. */
  now: () => number;
  /** Largest chunk handed over, default 1 MiB. */
  maxChunkBytes?: number;
}

/** `LogFile` since `start()`. */
export interface LogFileCounters {
  bytes: number;
  rotations: number;
  truncations: number;
  losses: number;
}
