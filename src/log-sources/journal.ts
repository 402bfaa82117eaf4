/**
 * The journal of systemd, read by journalctl(1) as a child process.
 *
 *   journalctl --output=json --quiet --no-pager [--root=DIR] [--after-cursor=CURSOR | --lines=N] MATCH...
 *   journalctl --output=json --quiet --no-pager --follow --no-tail --after-cursor=CURSOR MATCH...
 *
 * A first journalctl reads everything up to now; its end says that all of it has been delivered. A second one follows
 * from the last cursor. Matches include a field that journald sets itself (`_SYSTEMD_UNIT`), because any program can use
 * the daemon's name.
 *
 * If the second one ends, it is restarted after 1 s, then after twice as long each time, up to 5 minutes, and continues
 * where it was: nothing is lost while the journal keeps it. A cursor that journalctl rejects (`Failed to seek to cursor:
 * Invalid argument`) is dropped: reading starts again at the newest existing entries, and what is older is lost.
 */

import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync } from "node:fs";
import { parseJson } from "../kernel-log/log-object.ts";
import type { HostFiles } from "../sources/host-files.ts";
import { isSystemError } from "../sources/system-error.ts";
import type { ReadState } from "./log-source.ts";

export interface JournalListener {
  /** One entry, as a parsed object. */
  entry(entry: Record<string, unknown>): void;
  /** All entries from before the start have been delivered; later called once for each child that follows. */
  caughtUp(): void;
  /** Called with the first state and on each change. */
  stateChanged(state: ReadState): void;
  /** journalctl rejected the cursor to continue from; the newest existing entries come next, known ones among them. */
  cursorRejected(reason: string): void;
}

export interface JournalOptions {
  files: HostFiles;
  /** True if the host's root file system is mounted elsewhere: journalctl gets its path. */
  rootfs: string;
  /** Alternatives, each a list of `FIELD=value`: what journalctl(1) calls matches. */
  matches: readonly (readonly string[])[];
  /** Where to continue; absent: at the newest existing entries. */
  cursor?: string;
  listener: JournalListener;
  /** Name or path of the program; default `journalctl` on PATH. */
  program?: string;
  /** Delay before the first restart, and the longest one. */
  backOffMs?: { first: number; most: number };
}

/** Maximum number of entries from before the first start. */
const firstStartLines = 1000;
const defaultBackOffMs = { first: 1000, most: 300_000 };
/** A child that ran for this long resets the delay. */
const soundMs = 60_000;
/** Longer entries are not a daemon's. */
const longestEntry = 1024 * 1024;

/** What journalctl says of a cursor that it cannot read. Without memory it fails in the same place. */
const rejectsCursor = /^Failed to seek to cursor: (?!Cannot allocate memory)/;

const install = "install systemd's journalctl, or give --daemon-log.source=file";
const permission = "add this user to the group systemd-journal or adm";

/** Why the journal cannot be read; `undefined` if it can. */
export function journalObstacle(files: HostFiles): string | undefined {
  const directories = ["var/log/journal", "run/log/journal"].map((path) => files.rootfs(path));
  let refused = false;
  for (const directory of directories) {
    for (const machine of namesIn(directory)) {
      const code = openErrorOf(`${directory}/${machine}/system.journal`);
      if (code === undefined) return undefined;
      refused ||= code === "EACCES" || code === "EPERM";
    }
  }
  return refused ? `permission denied, ${permission}` : "no journal is kept on this host";
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    // A directory that cannot be listed counts as a file that cannot be read.
    return error.code === "EACCES" ? ["."] : [];
  }
}

function openErrorOf(path: string): string | undefined {
  try {
    closeSync(openSync(path, "r"));
    return undefined;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return error.code;
  }
}

type Child = ReturnType<typeof spawn>;

export class Journal {
  readonly #options: JournalOptions;
  #matches: JournalOptions["matches"];
  #cursor: string | undefined;
  #child: Child | undefined;
  #timer: NodeJS.Timeout | undefined;
  #waitMs: number;
  #state: ReadState | undefined;
  #stopped = false;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#matches = options.matches;
    this.#cursor = options.cursor;
    this.#waitMs = this.#backOff.first;
  }

  start(): void {
    this.#readBacklog();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#end();
  }

  /** From now on delivers other entries: new ones only, none again. */
  match(matches: JournalOptions["matches"]): void {
    if (JSON.stringify(matches) === JSON.stringify(this.#matches)) return;
    this.#matches = matches;
    if (this.#child === undefined) return;
    this.#end();
    this.#readBacklog();
  }

  get #backOff(): { first: number; most: number } {
    return this.#options.backOffMs ?? defaultBackOffMs;
  }

  #end(): void {
    const child = this.#child;
    this.#child = undefined;
    child?.removeAllListeners();
    child?.stdout?.removeAllListeners();
    // Its error is no longer of interest.
    child?.on("error", () => {});
    child?.kill("SIGTERM");
  }

  #readBacklog(): void {
    const obstacle = journalObstacle(this.#options.files);
    if (obstacle !== undefined) {
      this.#failed(obstacle);
      return;
    }
    const from =
      this.#cursor === undefined ? `--lines=${firstStartLines}` : `--after-cursor=${this.#cursor}`;
    this.#run([from], (reason, said = "") => {
      if (reason === undefined) this.#follow();
      else if (this.#cursor !== undefined && rejectsCursor.test(said)) this.#dropCursor(said);
      else this.#failed(reason);
    });
  }

  #dropCursor(said: string): void {
    this.#cursor = undefined;
    this.#options.listener.cursorRejected(
      `journalctl: ${said}; reading again from the newest ${firstStartLines} entries`,
    );
    this.#readBacklog();
  }

  #follow(): void {
    const from = this.#cursor === undefined ? [] : [`--after-cursor=${this.#cursor}`];
    this.#setState({ up: true });
    this.#options.listener.caughtUp();
    const beganMs = performance.now();
    this.#run(["--follow", "--no-tail", ...from], (reason) => {
      if (performance.now() - beganMs >= soundMs) this.#waitMs = this.#backOff.first;
      this.#failed(reason ?? "journalctl ended");
    });
  }

  #failed(reason: string): void {
    this.#setState({ up: false, reason });
    this.#timer = setTimeout(() => this.#readBacklog(), this.#waitMs);
    this.#waitMs = Math.min(this.#backOff.most, this.#waitMs * 2);
  }

  #setState(state: ReadState): void {
    if (state.up === this.#state?.up && state.reason === this.#state.reason) return;
    this.#state = state;
    this.#options.listener.stateChanged(state);
  }

  /** `ended`: with the reason if it failed, and the last line of its own message. */
  #run(more: readonly string[], ended: (reason?: string, said?: string) => void): void {
    const { program = "journalctl", rootfs } = this.#options;
    const root = rootfs === "/" ? [] : [`--root=${rootfs}`];
    const matches = this.#matches.flatMap((match, index) =>
      index === 0 ? match : ["+", ...match],
    );
    const args = ["--output=json", "--quiet", "--no-pager", ...root, ...more, ...matches];
    let child: Child;
    try {
      child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    } catch (error) {
      // Thrown, not emitted: ENOMEM, for one.
      if (!isSystemError(error)) throw error;
      ended(`${program}: ${error.message}`);
      return;
    }
    this.#child = child;
    const entries = new EntryLines((entry) => this.#take(entry));
    let said = "";
    child.stdout?.on("data", (chunk: Buffer) => entries.push(chunk));
    child.stderr?.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString("utf8")).slice(-1000);
    });
    const settle = (reason?: string, said?: string): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      if (!this.#stopped) ended(reason, said);
    };
    child.once("error", (error: NodeJS.ErrnoException) => {
      settle(
        error.code === "ENOENT"
          ? `${program} is not there, ${install}`
          : `${program}: ${error.message}`,
      );
    });
    // All of its output has been read by then.
    child.once("close", (code, signal) => {
      if (code === 0) return settle();
      const last = said.trim().split("\n").at(-1);
      const how = signal === null ? `exit code ${code}` : `${signal}`;
      settle(`journalctl ended (${how})${last ? `: ${last}` : ""}`, last);
    });
  }

  #take(entry: Record<string, unknown>): void {
    if (typeof entry.__CURSOR === "string") this.#cursor = entry.__CURSOR;
    this.#options.listener.entry(entry);
  }
}

/** Lines of JSON that come in chunks. Anything else is skipped. */
class EntryLines {
  readonly #take: (entry: Record<string, unknown>) => void;
  #begun = "";
  #skips = false;

  constructor(take: (entry: Record<string, unknown>) => void) {
    this.#take = take;
  }

  push(chunk: Buffer): void {
    // journalctl's JSON is UTF-8, and only strings contain more than ASCII: latin1 preserves their bytes.
    const lines = (this.#begun + chunk.toString("latin1")).split("\n");
    this.#begun = lines.pop() ?? "";
    for (const line of lines) {
      if (!this.#skips) this.#read(line);
      this.#skips = false;
    }
    if (this.#begun.length > longestEntry) {
      this.#begun = "";
      this.#skips = true;
    }
  }

  #read(line: string): void {
    const value = parseJson(line);
    if (typeof value === "object" && value !== null) this.#take(value as Record<string, unknown>);
  }
}
