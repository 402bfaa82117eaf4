/**
 * What counting needs of the logs of daemons: the kills they announce, and how far they have been read.
 * Counting calls the log; the log calls nobody but the listener it was started with.
 */
import type { DaemonKill } from "./daemon-kill.ts";
import type { FollowedKiller } from "./killer.ts";

export type DaemonLogName = "file" | "journal";

/** A kill as a source brings it. */
export interface DaemonKillRead {
  kill: DaemonKill;
  /** Name of the source for people: a file's path, or `journal`. */
  sourcePath: string;
  /** Written while the source was followed, as against found in it. */
  isLive: boolean;
  /** The boot that the line is of, as far as the source knows. */
  boot?: string;
}

export interface DaemonLogListener {
  kill(read: DaemonKillRead): void;
  /** Once: the source that was chosen has been read to its end. */
  caughtUp(): void;
}

export interface DaemonLogState {
  name: DaemonLogName;
  path: string;
  up: boolean;
  /** Why it is not read, and what to do; one line. */
  reason?: string;
}

export interface DaemonLog {
  /** `position`: where an earlier process stopped reading, by key of the source. */
  start(listener: DaemonLogListener, position: (key: string) => unknown): void;
  stop(): void;
  /** A few times a second. */
  beat(): void;
  /** How far each source has been read, by its key. */
  positions(): Record<string, unknown>;
  /** The daemons of this host whose log is followed. */
  readonly watched: readonly FollowedKiller[];
  /** Every source that is read, or should be. */
  readonly states: readonly DaemonLogState[];
}
