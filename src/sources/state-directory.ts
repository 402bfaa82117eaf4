import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
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
import { readStateFile } from "./state-file.ts";
import { StateLock } from "./state-lock.ts";

/** Of the snapshot and of the journal's lines. Raise it when an older exporter could not read them. */
const formatVersion = 1;
/** A longer journal is folded into a new snapshot. */
const journalLimitBytes = 16 * 1024 * 1024;
/** How long a failed save waits for its next attempt, which has to write everything. */
const retryMs = 1000;

export interface StateDirectoryOptions {
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
  warn: (message: string) => void;
  info: (message: string) => void;
  /** Where /proc is: shows whether the holder of a lock still lives. */
  procfs: string;
}

/** What an earlier process left: a snapshot, and the changes since, oldest first. */
export interface SavedState {
  snapshot: unknown;
  changes: unknown[];
}

export interface OpenedState {
  directory: StateDirectory;
  /** Absent on the first start. */
  saved?: SavedState;
}

/**
 * Keeps one JSON state on disk: `state.json`, a snapshot, and `journal.ndjson`, one line per change
 * since. Every line carries a running number and a checksum; a snapshot says up to which number it
 * holds the changes, and replaces the former by rename.
 *
 * Invariant: whenever the process dies, what is loaded is the state before or after an `append`,
 * never in between: a line that is not whole is cut off, and so is everything after it.
 *
 * A process that is killed loses nothing: a written line is the kernel's. When the machine dies,
 * the lines since the last `flush` may be lost, always from the end, so that counts go back together
 * with the log position saved with them and the log is read again from there. No append waits for
 * the disk.
 *
 * The lock keeps out a second exporter on the same machine. One in another PID namespace
 * is noticed by the journal's length: an exporter that sees a foreign write stops saving.
 */
export class StateDirectory {
  readonly path: string;
  readonly #options: StateDirectoryOptions;
  readonly #lock: StateLock;
  #journal: number | undefined;
  /** Bytes of whole lines in the journal. */
  #journalBytes = 0;
  #lastNumber = 0;
  /** The journal lacks a change: only a snapshot can be saved next. */
  #needsSnapshot = false;
  #failedMs: number | undefined;
  #shared = false;
  #unsynced = false;
  #syncing = false;
  #failing: string | undefined;
  /** Saves that failed since this process started. */
  saveFailures = 0;
  /** Files that could not be understood and were set aside. */
  damagedFiles = 0;

  /**
   * Opens the directory, made if need be, and reads what was saved last. What cannot be understood
   * is set aside as `<file>.damaged-<time>`, with one warning. `undefined`, after one warning, where
   * the directory cannot be had: not to be made, not to be read, or in use by another exporter.
   */
  static open(path: string, options: StateDirectoryOptions): OpenedState | undefined {
    const directory = new StateDirectory(path, options);
    try {
      makeDirectory(path);
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
    this.#lock = new StateLock(path, options.procfs);
  }

  /** Whether what is shown now would survive a restart. */
  get isSaving(): boolean {
    return !this.#shared && this.#failing === undefined;
  }

  /**
   * Saves a change; `snapshot` gives the whole state with that change in it, for when the journal is
   * full or has missed a change. Never throws: false where it could not be saved, which is said once
   * and then tried again, at most once a second. `sync` false: no reason for a `flush`.
   */
  append(change: unknown, snapshot: () => unknown, { sync = true } = {}): boolean {
    if (this.#shared) return false;
    if (this.#needsSnapshot) return this.compact(snapshot);
    const number = this.#lastNumber + 1;
    const line = Buffer.from(sealed({ v: formatVersion, n: number, change }));
    try {
      const journal = this.#journal ?? this.#openJournal();
      if (!this.#isOurs(journal)) return false;
      if (fstatSync(journal).nlink === 0) return this.compact(snapshot);
      writeWhole(journal, line);
    } catch (error) {
      this.#cutTornLine();
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

  /** Replaces snapshot and journal by a new snapshot. Never throws; false where that failed. */
  compact(snapshot: () => unknown): boolean {
    if (this.#shared || this.#hasJustFailed()) return false;
    const target = join(this.path, "state.json");
    const fresh = `${target}.new`;
    try {
      if (this.#journal !== undefined && !this.#isOurs(this.#journal)) return false;
      const through = this.#lastNumber + 1;
      makeDirectory(this.path);
      const { O_CREAT, O_NOFOLLOW, O_TRUNC, O_WRONLY } = constants;
      const file = openSync(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o640);
      try {
        writeWhole(
          file,
          Buffer.from(sealed({ version: formatVersion, through, state: snapshot() })),
        );
        // Without this a power cut may leave an empty file under the final name.
        fdatasyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(fresh, target);
      this.#syncDirectory();
      this.#lastNumber = through;
      this.#needsSnapshot = false;
      this.#emptyJournal();
    } catch (error) {
      discard(fresh);
      this.#needsSnapshot = true;
      this.#fail(error);
      return false;
    }
    this.#succeed();
    return true;
  }

  /**
   * Starts one fdatasync off the event loop, if there is reason to. For about once a second. A process
   * cannot end before it, and where the disk is busy with others' data that takes seconds.
   */
  flush(): void {
    this.#remakeLock();
    if (this.#journal === undefined || !this.#unsynced || this.#syncing) return;
    this.#syncing = true;
    this.#unsynced = false;
    fdatasync(this.#journal, (error) => {
      this.#syncing = false;
      if (error === null || this.#journal === undefined) return;
      // What the kernel could not write it has dropped: everything has to be written again.
      this.#needsSnapshot = true;
      this.#fail(error);
    });
  }

  /** Gives the directory up. */
  close(): void {
    if (this.#journal !== undefined) closeSync(this.#journal);
    this.#journal = undefined;
    this.#lock.release();
  }

  #load(): SavedState | undefined {
    let saved: SavedState | undefined;
    try {
      saved = this.#read();
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      this.#setAside(error);
      this.#lastNumber = 0;
      this.#journalBytes = 0;
    }
    try {
      this.#openJournal();
    } catch (error) {
      this.#needsSnapshot = true;
      this.#fail(error);
    }
    return saved;
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

  /** The changes after the snapshot, up to the first line that is not whole or not the next. */
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
          throw new NotUnderstood("state.json is missing, which journal.ndjson continues");
        }
        // A last line that is not whole was being written when the process died. More is damage.
        if (ahead !== undefined || (end > 0 && end < bytes.length)) this.#reportDamage(bytes);
        break;
      }
      // Lines that the snapshot holds are left over where the process died before emptying the journal.
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
      `${join(this.path, "journal.ndjson")} is damaged at byte ${this.#journalBytes} of ${bytes.length}: what comes before it is used, and the log read again from there; a copy is in ${copy}`,
    );
  }

  #openJournal(): number {
    const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
    const path = join(this.path, "journal.ndjson");
    const journal = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o640);
    try {
      ftruncateSync(journal, this.#journalBytes);
    } catch (error) {
      closeSync(journal);
      throw error;
    }
    this.#journal = journal;
    return journal;
  }

  /** A journal that cannot be emptied stays right: its lines are older than the snapshot. */
  #emptyJournal(): void {
    if (this.#journal !== undefined && fstatSync(this.#journal).nlink === 0) {
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
      // The torn line stays last until the snapshot that is needed now has taken the journal's place.
    }
  }

  #isOurs(journal: number): boolean {
    const { size, nlink } = fstatSync(journal);
    if (nlink === 0 || size === this.#journalBytes) return true;
    // What a failed append left behind is our own.
    if (this.#needsSnapshot && size > this.#journalBytes) return true;
    this.#shared = true;
    this.saveFailures++;
    this.#options.warn(
      `another process writes to the state directory ${this.path}: saving stops here, kills are still counted. Give each exporter its own --state.directory`,
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
      `cannot use the saved state in ${this.path}: ${error.message}. It is set aside as *.${suffix}; kills are counted from 0 again`,
    );
  }

  /** Without a lock file there is still the check of the journal's length. */
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
      // What keeps the lock from being made keeps the state from being saved, which is said.
    }
  }

  /** Every reader sees the rename by now; some file systems cannot sync a directory. */
  #syncDirectory(): void {
    const directory = openSync(this.path, "r");
    try {
      fsyncSync(directory);
    } catch {
      // Only after a power cut would the former snapshot be back, with the journal that follows it.
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
    if (this.#failing === undefined) {
      this.#options.warn(`cannot save to the state directory ${this.path}: ${reason}. ${advice}`);
    }
    this.#failing = reason;
  }

  #hasJustFailed(): boolean {
    if (this.#failedMs === undefined) return false;
    const sinceMs = this.#options.nowMs() - this.#failedMs;
    // Less than nothing where the clock was set back.
    return sinceMs >= 0 && sinceMs < retryMs;
  }

  #succeed(): void {
    if (this.#failing === undefined) return;
    this.#failing = undefined;
    this.#options.info(`saving to the state directory ${this.path} works again`);
  }
}

const withoutState = "Kills are still counted, but not beyond a restart";
const advice = `${withoutState}; make it a writable directory with room, or name another with --state.directory`;

/** The saved files are damaged, or a newer exporter's. */
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

/** One line of JSON whose last member is the checksum of what comes before it. */
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

/** Node's own `recursive` never returns where a file system knows no new names and says ENOENT, as /proc does. */
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

function readBytes(path: string): Buffer | undefined {
  try {
    return readStateFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ELOOP") throw new NotUnderstood(`${basename(path)} is a symbolic link`);
    throw error;
  }
}

function readText(path: string): string | undefined {
  return readBytes(path)?.toString("utf8");
}

/** Removes a file of ours that is of no use; where it stays, it does no harm. */
function discard(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {}
}

const reasons: Record<string, string> = {
  ELOOP: "a file in it is a symbolic link, which is not followed",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file may not grow (RLIMIT_FSIZE)",
  ENOTDIR: "it is not a directory",
  EEXIST: "it is not a directory",
  ENOENT: "nothing can be made there",
};

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return reasons[code ?? ""] ?? message;
}
