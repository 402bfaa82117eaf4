/**
 * What counting needs from the daemons' logs: the announced kills, and how far the logs have been read. Counting calls
 * the log; the log calls only the listener passed to `start`.
 */
import type { DaemonKill } from "./daemon-kill.ts";
import type { FollowedKiller } from "./killer.ts";

export type DaemonLogName = "file" | "journal";

/** A kill from a source. */
export interface DaemonKillRead {
  kill: DaemonKill;
  /** Name of the source for people: a file's path, or `journal`. */
  sourcePath: string;
  /** Written while the source was being followed, not found in it at the start. */
  isLive: boolean;
  /** The source was opened without a saved position: it may hold kills from before counting began. */
  isReread: boolean;
  /** The line's boot, if the source knows it. */
  boot?: string;
}

export interface DaemonLogListener {
  kill(read: DaemonKillRead): void;
  /** Called once: the chosen source has been read to its end. */
  caughtUp(): void;
}

export interface DaemonLogState {
  name: DaemonLogName;
  path: string;
  up: boolean;
  /** Why it is not being read, and what to do; one line. */
  reason?: string;
}

export interface DaemonLog {
  /** `position`: where an earlier process stopped reading, by key of the source. */
  start(listener: DaemonLogListener, position: (key: string) => unknown): void;
  stop(): void;
  /** Called a few times a second. */
  beat(): void;
  /** How far each source has been read, by its key. */
  positions(): Record<string, unknown>;
  /** The daemons of this host whose log is followed. */
  readonly watched: readonly FollowedKiller[];
  /** Every source that is read, or should be. */
  readonly states: readonly DaemonLogState[];
  /** How often part of a log was lost since this process started. */
  readonly losses: number;
}
