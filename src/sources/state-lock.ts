import { existsSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bootIdIn } from "./boot-id.ts";
import { ForeignFile, readStateFile } from "./state-file.ts";

/** Pid, start time and boot of a process: this combination never occurs twice. */
interface Holder {
  pid: number;
  start: string;
  boot: string;
}

/**
 * The file `lock` in a directory, which names the process that uses it. The lock of a dead process is void. In another PID
 * namespace the lock proves nothing, because its processes are different.
 */
export class StateLock {
  readonly #path: string;
  readonly #procfs: string;
  #held: string | undefined;

  /** @param procfs where /proc is: shows whether the holder of a lock is still alive */
  constructor(directory: string, procfs: string) {
    this.#path = join(directory, "lock");
    this.#procfs = procfs;
  }

  /**
   * Takes the lock. Returns the pid of the live process that holds it, or `undefined` if it is ours now or this process cannot
   * identify itself and does without.
   * Throws the system's error if the lock cannot be read or written.
   */
  take(): number | undefined {
    const own = this.#ownHolder();
    if (own === undefined) return undefined;
    const holder = this.#liveHolder();
    if (holder !== undefined) return holder;
    const text = JSON.stringify(own);
    this.#write(text);
    this.#held = text;
    return undefined;
  }

  /** Creates the lock again if it was deleted. Throws the system's error on failure. */
  remake(): void {
    if (this.#held !== undefined && !existsSync(this.#path)) this.#write(this.#held);
  }

  /** Releases the lock, unless another process has taken it in the meantime. */
  release(): void {
    if (this.#held === undefined) return;
    try {
      if (this.#text() === this.#held) rmSync(this.#path, { force: true });
    } catch {
      // It names a process that has ended, so it does no harm.
    }
  }

  #write(text: string): void {
    const fresh = `${this.#path}.new`;
    rmSync(fresh, { force: true });
    // Fails where anything is there by now, a symbolic link too.
    writeFileSync(fresh, text, { mode: 0o640, flag: "wx" });
    renameSync(fresh, this.#path);
  }

  #ownHolder(): Holder | undefined {
    try {
      const pid = readlinkSync(join(this.#procfs, "self"));
      const [start, boot] = [this.#startOf(pid), bootIdIn(this.#procfs)];
      if (start === undefined || boot === undefined) return undefined;
      return { pid: Number(pid), start, boot };
    } catch {
      return undefined;
    }
  }

  #liveHolder(): number | undefined {
    const text = this.#text() ?? "";
    try {
      const { pid, start, boot } = JSON.parse(text);
      // Earlier versions wrote the boot id with dashes.
      const lives =
        boot.replaceAll("-", "") === bootIdIn(this.#procfs) && start === this.#startOf(String(pid));
      return lives ? Number(pid) : undefined;
    } catch {
      return undefined;
    }
  }

  #text(): string | undefined {
    try {
      return readStateFile(this.#path)?.toString("utf8");
    } catch (error) {
      // A symbolic link is not our lock, and is replaced.
      if (error instanceof ForeignFile) return undefined;
      if ((error as NodeJS.ErrnoException).code === "ELOOP") return undefined;
      throw error;
    }
  }

  /** Field `starttime` of /proc/PID/stat; the comm before it may hold blanks and parentheses. */
  #startOf(pid: string): string | undefined {
    const stat = readFileSync(join(this.#procfs, pid, "stat"), "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  }
}
