import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { exposureOf, ForeignFile, isShared, readStateFile, refuseForeign } from "./state-file.ts";
import { StateLock } from "./state-lock.ts";

/** Format version of the snapshot and the journal's lines. Raise it if older exporters cannot read the new one. */
const formatVersion = 1;
/** A longer journal is compacted into a new snapshot. */
const journalLimitBytes = 16 * 1024 * 1024;
/** Delay before the next attempt after a failed save, which has to write everything. */
const retryMs = 1000;
/** Changes kept in memory while a snapshot waits for the disk. Beyond that another snapshot is needed. */
const tailLimitBytes = 4 * 1024 * 1024;

export interface StateDirectoryOptions {
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
  warn: (message: string) => void;
  info: (message: string) => void;
  /** Where /proc is: shows whether the holder of a lock is still alive. */
  procfs: string;
  /** Shared by directories on one disk, so that a full one is reported once. Default: reported for each. */
  trouble?: SaveTrouble;
  /**
   * This process's user: a directory that other users could change is warned about. Absent in a container: it has no
   * other users, and its volumes may have any owner and mode.
   */
  userId?: number;
}

/** The directories that cannot be saved to, and why. */
export class SaveTrouble {
  readonly #reasons = new Map<string, string>();

  /** Notes that saving fails. False if the same is already known of another directory. */
  begins(path: string, reason: string): boolean {
    const isNews = ![...this.#reasons.values()].includes(reason);
    this.#reasons.set(path, reason);
    return isNews;
  }

  /** Notes that saving works again. False if it still fails for another directory. */
  ends(path: string): boolean {
    this.#reasons.delete(path);
    return this.#reasons.size === 0;
  }
}

/** What an earlier process saved: a snapshot and the changes since, oldest first. */
export interface SavedState {
  snapshot: unknown;
  changes: unknown[];
}

export interface OpenedState {
  directory: StateDirectory;
  /** Absent on the first start. */
  saved?: SavedState;
}

/** A snapshot that is written and waits for the disk. */
interface Compaction {
  /** `state.json.new`, until it is renamed. */
  file: number | undefined;
  /** The sequence number that the snapshot includes. */
  through: number;
  /** The journal's lines since, which its successor begins with. */
  tail: Buffer[];
  tailBytes: number;
  /** The tail has outgrown its limit. */
  overflowed: boolean;
  /** The journal lacks a change, so the changes since are saved only when the snapshot is. */
  isRepair: boolean;
}

/**
 * Keeps one JSON state on disk: `state.json`, a snapshot, and `journal.ndjson`, one line per change since. Every
 * line carries a sequence number and a checksum. A snapshot records the sequence number that it includes and
 * replaces the previous one by rename.
 *
 * Invariant: whenever the process dies, loading gives the state before or after an `append`, never in between: an
 * incomplete line is cut off, and so is everything after it.
 *
 * A killed process loses nothing, because a written line belongs to the kernel. If the machine crashes, the lines
 * since the last `flush` may be lost, always from the end, so counts go back together with the log position saved
 * with them, and the log is read again from there. Neither an append nor a snapshot waits for the disk: while a snapshot is
 * synced, changes go on to the old journal, and the new one begins with them. Only `finish` and `close` wait.
 *
 * The lock keeps out a second exporter on the same machine. An exporter in another PID namespace is detected by
 * the journal's length: an exporter that sees a foreign write stops saving.
 */
export class StateDirectory {
  readonly path: string;
  readonly #options: StateDirectoryOptions;
  readonly #trouble: SaveTrouble;
  readonly #lock: StateLock;
  #journal: number | undefined;
  /** Length of the journal's complete lines, bytes. */
  #journalBytes = 0;
  #lastNumber = 0;
  /** The journal lacks a change, so the next save must be a snapshot. */
  #needsSnapshot = false;
  #compaction: Compaction | undefined;
  #failedMs: number | undefined;
  #shared = false;
  #unsynced = false;
  #syncing = false;
  #failing: string | undefined;
  /** Failed saves since this process started. */
  saveFailures = 0;
  /** Files that could not be read and were set aside. */
  damagedFiles = 0;

  /**
   * Opens the directory, creating it if needed, and reads the saved state. A file that cannot be understood is set
   * aside as `<file>.damaged-<time>`, with one warning. Returns `undefined`, after one warning, if the directory
   * cannot be used: not created, not readable, or in use by another exporter.
   */
  static open(path: string, options: StateDirectoryOptions): OpenedState | undefined {
    const directory = new StateDirectory(path, options);
    try {
      makeDirectory(path);
      directory.#warnOfExposure();
      if (!directory.#takeLock()) return undefined;
      return { directory, saved: directory.#load() };
    } catch (error) {
      options.warn(`cannot use the state directory ${path}: ${reasonOf(error)}. ${advice}`);
      directory.close();
      return undefined;
    }
  }

  private constructor(path: string, options: StateDirectoryOptions) {
    this.path = path;
    this.#options = options;
    this.#trouble = options.trouble ?? new SaveTrouble();
    this.#lock = new StateLock(path, options.procfs);
  }

  /** Whether the published values would survive a restart. */
  get isSaving(): boolean {
    return !this.#shared && this.#failing === undefined;
  }

  /**
   * Saves a change; `snapshot` returns the whole state including that change, for when the journal is full or has
   * missed a change. Never throws. Returns false if the change is not saved or waits for a snapshot; a failure is logged
   * once and retried at most once a second. `sync` false: the change does not need a `flush`.
   */
  append(change: unknown, snapshot: () => unknown, { sync = true } = {}): boolean {
    if (this.#shared) return false;
    const compaction = this.#compaction;
    if (compaction === undefined && this.#needsSnapshot) return this.#replaceJournal(snapshot);
    const number = this.#lastNumber + 1;
    const line = Buffer.from(sealed({ v: formatVersion, n: number, change }));
    if (compaction !== undefined) {
      keepInTail(compaction, line);
      if (compaction.isRepair) {
        this.#lastNumber = number;
        return false;
      }
    }
    try {
      const journal = this.#journal ?? this.#openJournal();
      if (!this.#isOurs(journal)) return false;
      if (fstatSync(journal).nlink === 0 && compaction === undefined) {
        return this.#replaceJournal(snapshot);
      }
      writeWhole(journal, line);
    } catch (error) {
      this.#cutTornLine();
      if (compaction !== undefined) {
        compaction.isRepair = true;
        this.#lastNumber = number;
      }
      this.#fail(error);
      return false;
    }
    this.#lastNumber = number;
    this.#journalBytes += line.length;
    this.#unsynced ||= sync;
    this.#succeed();
    if (this.#journalBytes > journalLimitBytes) this.compact(snapshot);
    return true;
  }

  /**
   * Starts to replace snapshot and journal by a new snapshot, unless that is under way. Never throws; returns false if it
   * cannot be started.
   */
  compact(snapshot: () => unknown): boolean {
    if (this.#compaction !== undefined) return true;
    if (this.#shared || this.#hasJustFailed()) return false;
    const fresh = this.#freshPath;
    let file: number | undefined;
    try {
      if (this.#journal !== undefined && !this.#isOurs(this.#journal)) return false;
      // A journal that lacks a change must not continue a snapshot: the number after its last line is skipped.
      const through = this.#lastNumber + (this.#needsSnapshot ? 1 : 0);
      makeDirectory(this.path);
      rmSync(fresh, { force: true });
      // Fails where anything is there by now, a link too.
      file = openSync(fresh, "wx", 0o640);
      writeWhole(file, Buffer.from(sealed({ version: formatVersion, through, state: snapshot() })));
      this.#lastNumber = through;
      const compaction: Compaction = {
        file,
        through,
        tail: [],
        tailBytes: 0,
        overflowed: false,
        isRepair: this.#needsSnapshot,
      };
      this.#compaction = compaction;
      // Without this a power failure may leave an empty file under the final name.
      fdatasync(file, (error) => this.#snapshotSynced(compaction, error));
    } catch (error) {
      if (file !== undefined) closeSync(file);
      this.#compactionFailed(error);
      return false;
    }
    return true;
  }

  /** Completes a snapshot that is under way, waiting for the disk. */
  finish(): void {
    const compaction = this.#compaction;
    if (compaction === undefined) return;
    try {
      if (compaction.file !== undefined) {
        fdatasyncSync(compaction.file);
        if (!this.#publish(compaction, compaction.file)) return;
        this.#syncDirectory();
      }
      this.#startJournal(compaction);
    } catch (error) {
      this.#compactionFailed(error);
    }
  }

  #snapshotSynced(compaction: Compaction, error: Error | null): void {
    const { file } = compaction;
    if (this.#compaction !== compaction || file === undefined) return;
    let directory: number;
    try {
      if (error !== null) throw error;
      if (!this.#publish(compaction, file)) return;
      directory = openSync(this.path, "r");
    } catch (failure) {
      this.#compactionFailed(failure);
      return;
    }
    // Its error does not count; see `#syncDirectory`.
    fsync(directory, () => {
      closeSync(directory);
      if (this.#compaction !== compaction) return;
      try {
        this.#startJournal(compaction);
      } catch (failure) {
        this.#compactionFailed(failure);
      }
    });
  }

  /** False if another exporter has written to the journal meanwhile. */
  #publish(compaction: Compaction, file: number): boolean {
    if (this.#shared || (this.#journal !== undefined && !this.#isOurs(this.#journal))) {
      this.#dropCompaction();
      return false;
    }
    compaction.file = undefined;
    closeSync(file);
    renameSync(this.#freshPath, join(this.path, "state.json"));
    return true;
  }

  /** The snapshot is in place. From here on the journal has only what came after it. */
  #startJournal(compaction: Compaction): void {
    if (compaction.overflowed) {
      this.#compaction = undefined;
      this.#needsSnapshot = true;
      return;
    }
    const { tail, tailBytes } = compaction;
    if (tailBytes === 0) {
      this.#emptyJournal();
    } else {
      // None of these lines was flushed, so a power failure may take them.
      const path = join(this.path, "journal.ndjson");
      replaceFile(path, Buffer.concat(tail), { flush: false });
      if (this.#journal !== undefined) closeSync(this.#journal);
      this.#journal = undefined;
      this.#journalBytes = tailBytes;
      this.#openJournal();
      this.#unsynced = true;
    }
    this.#compaction = undefined;
    this.#needsSnapshot = false;
    this.#succeed();
  }

  #replaceJournal(snapshot: () => unknown): false {
    this.#needsSnapshot = true;
    this.compact(snapshot);
    return false;
  }

  #compactionFailed(error: unknown): void {
    this.#dropCompaction();
    this.#needsSnapshot = true;
    this.#fail(error);
  }

  #dropCompaction(): void {
    const file = this.#compaction?.file;
    this.#compaction = undefined;
    if (file !== undefined) closeSync(file);
    discard(this.#freshPath);
  }

  get #freshPath(): string {
    return join(this.path, "state.json.new");
  }

  /**
   * Starts one fdatasync off the event loop, if needed and no snapshot is under way. Call it about once a second. The
   * process cannot exit before it finishes, which takes seconds on a busy disk.
   */
  flush(): void {
    this.#remakeLock();
    const journal = this.#journal;
    if (journal === undefined || !this.#unsynced || this.#syncing) return;
    if (this.#compaction !== undefined) return;
    this.#syncing = true;
    this.#unsynced = false;
    fdatasync(journal, (error) => {
      this.#syncing = false;
      // A snapshot has replaced it since.
      if (error === null || this.#journal !== journal) return;
      // The kernel drops data that it failed to write, so everything must be written again.
      this.#needsSnapshot = true;
      this.#fail(error);
    });
  }

  /** What was loaded is not what this exporter saves: it is set aside, and saving starts again. */
  reject(error: unknown): void {
    if (this.#journal !== undefined) closeSync(this.#journal);
    this.#journal = undefined;
    this.#startAgain(
      new NotUnderstood(`its contents are not a state of this exporter (${reasonOf(error)})`),
    );
    this.#openJournalIfPossible();
  }

  /** Saves what waits for the disk, and releases the directory. */
  close(): void {
    this.finish();
    if (this.#journal !== undefined) closeSync(this.#journal);
    this.#journal = undefined;
    this.#lock.release();
  }

  #warnOfExposure(): void {
    const { userId, warn } = this.#options;
    const exposure = userId === undefined ? undefined : exposureOf(this.path, userId);
    if (exposure === undefined) return;
    warn(
      `other users can change the counts in the state directory ${this.path}: ${exposure.found}. To end that: ${exposure.command}`,
    );
  }

  #load(): SavedState | undefined {
    let saved: SavedState | undefined;
    try {
      saved = this.#read();
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      this.#startAgain(error);
    }
    this.#openJournalIfPossible();
    return saved;
  }

  #startAgain(error: NotUnderstood): void {
    this.#setAside(error);
    this.#lastNumber = 0;
    this.#journalBytes = 0;
  }

  #openJournalIfPossible(): void {
    try {
      this.#openJournal();
    } catch (error) {
      this.#needsSnapshot = true;
      this.#fail(error);
    }
  }

  #read(): SavedState | undefined {
    const text = readText(join(this.path, "state.json"));
    const snapshot = text === undefined ? undefined : openedSnapshot(text);
    this.#lastNumber = snapshot?.through ?? 0;
    const journal = readBytes(join(this.path, "journal.ndjson"));
    const changes = journal === undefined ? [] : this.#readJournal(journal);
    if (snapshot === undefined && changes.length === 0) return undefined;
    return { snapshot: snapshot?.state, changes };
  }

  /** The changes after the snapshot, up to the first line that is incomplete or out of sequence. */
  #readJournal(bytes: Buffer): unknown[] {
    const changes: unknown[] = [];
    while (this.#journalBytes < bytes.length) {
      const end = bytes.indexOf(0x0a, this.#journalBytes) + 1;
      const line =
        end === 0 ? undefined : unsealed(bytes.toString("utf8", this.#journalBytes, end));
      if (line !== undefined && (line.v as number) > formatVersion) throw newer("journal.ndjson");
      const ahead = line === undefined ? undefined : (line.n as number) - this.#lastNumber;
      if (ahead === 1) {
        changes.push(line?.change);
        this.#lastNumber++;
      } else if (ahead === undefined || ahead > 1 || changes.length > 0) {
        if (this.#lastNumber === 0 && ahead !== undefined) {
          throw new NotUnderstood("journal.ndjson exists without state.json");
        }
        // An incomplete last line was being written when the process died. Anything more is damage.
        if (ahead !== undefined || (end > 0 && end < bytes.length)) this.#reportDamage(bytes);
        break;
      }
      // If the process died before emptying the journal, it still has lines that the snapshot includes.
      this.#journalBytes = end;
    }
    return changes;
  }

  #reportDamage(bytes: Buffer): void {
    const copy = `journal.ndjson.damaged-${this.#stamp()}`;
    this.damagedFiles++;
    try {
      writeFileSync(join(this.path, copy), bytes, { mode: 0o640, flag: "wx" });
    } catch (error) {
      this.#fail(error);
    }
    this.#options.warn(
      `${join(this.path, "journal.ndjson")} is damaged at byte ${this.#journalBytes} of ${bytes.length}: using the part before the damage and reading the log again from there; a copy is in ${copy}`,
    );
  }

  #openJournal(): number {
    const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;
    const path = join(this.path, "journal.ndjson");
    const flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
    let journal = openSync(path, flags, 0o640);
    try {
      refuseForeign(journal, path);
      if (isShared(journal)) {
        this.#replaceByCopy(path);
        closeSync(journal);
        journal = openSync(path, flags, 0o640);
      }
      ftruncateSync(journal, this.#journalBytes);
    } catch (error) {
      closeSync(journal);
      throw error;
    }
    this.#journal = journal;
    return journal;
  }

  /** The complete lines of a journal that has another name go into a file of their own. */
  #replaceByCopy(path: string): void {
    const lines = readStateFile(path)?.subarray(0, this.#journalBytes) ?? Buffer.alloc(0);
    replaceFile(path, lines, { flush: true });
    this.#syncDirectory();
  }

  /** A journal that cannot be emptied stays valid: its lines are older than the snapshot. */
  #emptyJournal(): void {
    if (this.#journal !== undefined && fstatSync(this.#journal).nlink !== 1) {
      closeSync(this.#journal);
      this.#journal = undefined;
    }
    this.#journalBytes = 0;
    if (this.#journal === undefined) this.#openJournal();
    else ftruncateSync(this.#journal, 0);
  }

  #cutTornLine(): void {
    this.#needsSnapshot = true;
    if (this.#journal === undefined) return;
    try {
      ftruncateSync(this.#journal, this.#journalBytes);
    } catch {
      // The incomplete line stays last until the snapshot that is now required replaces the journal.
    }
  }

  #isOurs(journal: number): boolean {
    const { size, nlink } = fstatSync(journal);
    if (nlink === 0 || size === this.#journalBytes) return true;
    // A failed append of this process may have left a partial line.
    if (this.#needsSnapshot && size > this.#journalBytes) return true;
    this.#shared = true;
    this.saveFailures++;
    this.#options.warn(
      `another process writes to the state directory ${this.path}: this exporter stops saving but still counts kills. Give each exporter its own --state.directory`,
    );
    return false;
  }

  #setAside(error: NotUnderstood): void {
    const suffix = `damaged-${this.#stamp()}`;
    for (const name of ["state.json", "journal.ndjson"]) {
      const path = join(this.path, name);
      try {
        renameSync(path, `${path}.${suffix}`);
        this.damagedFiles++;
      } catch (renameError) {
        if ((renameError as NodeJS.ErrnoException).code !== "ENOENT") this.#fail(renameError);
      }
    }
    this.#options.warn(
      `cannot use the saved state in ${this.path}: ${error.message}. It was set aside as *.${suffix}; counting starts again from 0`,
    );
  }

  /** Without a lock file the check of the journal's length remains. */
  #takeLock(): boolean {
    let holder: number | undefined;
    try {
      holder = this.#lock.take();
    } catch (error) {
      this.#fail(error);
    }
    if (holder === undefined) return true;
    this.#options.warn(
      `the state directory ${this.path} is in use by process ${holder}: give each exporter its own --state.directory. ${withoutState}`,
    );
    return false;
  }

  #remakeLock(): void {
    try {
      this.#lock.remake();
    } catch {
      // Whatever prevents creating the lock also prevents saving, which is logged.
    }
  }

  /** Readers already see the rename; some file systems cannot sync a directory. */
  #syncDirectory(): void {
    const directory = openSync(this.path, "r");
    try {
      fsyncSync(directory);
    } catch {
      // Only a power failure could bring back the previous snapshot, and then the journal that follows it too.
    } finally {
      closeSync(directory);
    }
  }

  #stamp(): string {
    return new Date(this.#options.nowMs()).toISOString().replace(/[-:]|\.\d+/g, "");
  }

  #fail(error: unknown): void {
    this.saveFailures++;
    this.#failedMs = this.#options.nowMs();
    const reason = reasonOf(error);
    if (this.#failing === undefined && this.#trouble.begins(this.path, reason)) {
      this.#options.warn(`cannot save to the state directory ${this.path}: ${reason}. ${advice}`);
    }
    this.#failing = reason;
  }

  #hasJustFailed(): boolean {
    if (this.#failedMs === undefined) return false;
    const sinceMs = this.#options.nowMs() - this.#failedMs;
    // Negative if the clock was set back.
    return sinceMs >= 0 && sinceMs < retryMs;
  }

  #succeed(): void {
    if (this.#failing === undefined) return;
    this.#failing = undefined;
    if (!this.#trouble.ends(this.path)) return;
    this.#options.info(`saving to the state directory ${this.path} works again`);
  }
}

const withoutState = "Kills are still counted, but the counts will not survive a restart";
const advice = `${withoutState}; make it a writable directory with free space, or choose another with --state.directory`;

/** The saved files are damaged, or written by a newer exporter. */
class NotUnderstood extends Error {
  override readonly name = "NotUnderstood";
}

function newer(file: string): NotUnderstood {
  return new NotUnderstood(`${file} was written by a newer oom-exporter`);
}

function openedSnapshot(text: string): { through: number; state: unknown } {
  const { version, through, state } = unsealed(text) ?? {};
  if (typeof version === "number" && version > formatVersion) throw newer("state.json");
  if (version !== formatVersion || typeof through !== "number") {
    throw new NotUnderstood("state.json is damaged");
  }
  return { through, state };
}

const sealPattern = /,"sum":"([0-9a-f]{16})"\}\n$/;

/** One line of JSON whose last member is the checksum of the rest. */
function sealed(content: object): string {
  const body = JSON.stringify(content).slice(0, -1);
  return `${body},"sum":"${checksum(body)}"}\n`;
}

function unsealed(line: string): Record<string, unknown> | undefined {
  const seal = sealPattern.exec(line.slice(-64));
  if (seal === null) return undefined;
  const body = line.slice(0, line.length - seal[0].length);
  return checksum(body) === seal[1] ? JSON.parse(`${body}}`) : undefined;
}

function checksum(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** Node's own `recursive` loops forever on a file system that answers ENOENT to mkdir, as /proc does. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o750 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && statSync(path).isDirectory()) return;
    if (code !== "ENOENT" || dirname(path) === path) throw error;
    makeDirectory(dirname(path));
    mkdirSync(path, { mode: 0o750 });
  }
}

function writeWhole(file: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(file, bytes, written);
  }
}

function keepInTail(compaction: Compaction, line: Buffer): void {
  compaction.tailBytes += line.length;
  compaction.overflowed ||= compaction.tailBytes > tailLimitBytes;
  if (compaction.overflowed) compaction.tail = [];
  else compaction.tail.push(line);
}

function replaceFile(path: string, bytes: Buffer, { flush }: { flush: boolean }): void {
  const fresh = `${path}.new`;
  rmSync(fresh, { force: true });
  writeFileSync(fresh, bytes, { mode: 0o640, flag: "wx", flush });
  renameSync(fresh, path);
}

function readBytes(path: string): Buffer | undefined {
  try {
    return readStateFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ELOOP") throw new NotUnderstood(`${basename(path)} is a symbolic link`);
    if (error instanceof ForeignFile) throw new NotUnderstood(`${basename(path)} ${error.message}`);
    throw error;
  }
}

function readText(path: string): string | undefined {
  return readBytes(path)?.toString("utf8");
}

/** Removes a file of ours that is no longer needed; it does no harm if it stays. */
function discard(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {}
}

const reasons: Record<string, string> = {
  ELOOP: "a file in it is a symbolic link",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is exceeded",
  EFBIG: "the file size limit is reached (RLIMIT_FSIZE)",
  ENOTDIR: "it is not a directory",
  EEXIST: "it is not a directory",
  ENOENT: "it cannot be created",
};

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return reasons[code ?? ""] ?? message;
}
