/**
 * What counting needs from the kernel log: its lines, and how far it has been read. Counting calls the log; the log
 * calls only the listener passed to `start`.
 */
import type { OomKillReport } from "../kernel-log/oom-report.ts";

/** One `Killed process` line from a source. */
export interface KillLineRead {
  report: OomKillReport;
  /** Key of its source's position. */
  source: string;
  sourcePath: string;
  /** Written while the source was being followed, not found in it at the start. */
  isLive: boolean;
  /** The line's boot, if the source knows it. */
  boot?: string;
  /** The source is reading lines again that it cannot prove to be new. */
  isReread: boolean;
  /** Position right after this line; absent if the source has no positions. */
  position?: unknown;
}

export interface KillLogListener {
  killLine(line: KillLineRead): void;
  /** The group line comes after its first victim: `report` is that victim's, now with its group. */
  groupLine(report: OomKillReport): void;
  /** The kernel found no process to kill; only for live lines. */
  noVictim(): void;
  /** A source has delivered everything available. */
  batchEnd(): void;
  /** Called once: every source chosen at the start has been read to its end. */
  caughtUp(): void;
  /** Kills of this boot are missing in these files. */
  blindFiles(paths: readonly string[]): void;
}

/** What an earlier process saved about the log. */
export interface SavedFollowing {
  /** By source key; absent if that source was never read. */
  position(source: string): unknown;
  /** Files in which kills of this boot are known to be missing. */
  blindFiles(): readonly string[];
}

export interface KillLog {
  start(listener: KillLogListener, saved: SavedFollowing): void;
  stop(): void;
  /** Called about once a second. `unaccounted`: kills that the log has not shown for 10 s. */
  tick(unaccounted: number | undefined): void;
  /** Reads everything currently available. */
  drain(): Promise<void>;
  /** How far each source has been read, by its key. */
  positions(): Record<string, unknown>;
  /** This program failed to process a line of the log. */
  failed(line: KillLineRead, error: unknown): void;
  /** Followed from a saved position: no line since then is missing. */
  readonly holdsBoot: boolean;
  /** False if no log is to be read. */
  readonly isOn: boolean;
}
