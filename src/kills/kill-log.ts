/**
 * What counting needs of the kernel log: the lines it brings, and how far it has been read. Counting
 * calls the log; the log calls nobody but the listener it was started with.
 */
import type { OomKillReport } from "../kernel-log/oom-report.ts";

/** One `Killed process` line as a source brings it. */
export interface KillLineRead {
  report: OomKillReport;
  /** Key of the position of its source. */
  source: string;
  sourcePath: string;
  /** Written while the source was followed, as against found in it. */
  isLive: boolean;
  /** The boot that the line is of, as far as the source knows. */
  boot?: string;
  /** The source goes over lines again that it cannot prove to be new. */
  isReread: boolean;
  /** Where reading goes on right after this line; absent where the source has no positions. */
  position?: unknown;
}

export interface KillLogListener {
  killLine(line: KillLineRead): void;
  /** The group line comes after its first victim: `report` is that victim's, now with its group. */
  groupLine(report: OomKillReport): void;
  /** The kernel found no process to kill; only for live lines. */
  noVictim(): void;
  /** A source has delivered all that it had at hand. */
  batchEnd(): void;
  /** Once: every source chosen at the start has been read to its end. */
  caughtUp(): void;
  /** Kills of this boot are missing in these files. */
  blindFiles(paths: readonly string[]): void;
}

/** What an earlier following of the log left. */
export interface SavedFollowing {
  /** By key of the source; absent where it was never read. */
  position(source: string): unknown;
  /** Files in which kills of this boot are known to be missing. */
  blindFiles(): readonly string[];
}

export interface KillLog {
  start(listener: KillLogListener, saved: SavedFollowing): void;
  stop(): void;
  /** About once a second. `unaccounted`: kills that the log has not shown for 10 s. */
  tick(unaccounted: number | undefined): void;
  /** Reads what the sources have at this moment. */
  drain(): Promise<void>;
  /** How far each source has been read, by its key. */
  positions(): Record<string, unknown>;
  /** This program failed to process a line that the log brought. */
  failed(line: KillLineRead, error: unknown): void;
  /** Followed on from a saved position: no line since is missing. */
  readonly holdsBoot: boolean;
  /** False where no log is to be read. */
  readonly isOn: boolean;
}
