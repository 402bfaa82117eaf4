/*
 * Notification of a kill at the moment it happens, on cgroup v2.
 *
 * memory.events, https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files: "a value change in this
 * file generates a file modified event", which inotify shows. Since Linux 5.2 a cgroup counts the events of all
 * cgroups below it too, so the file of a top-level cgroup changes with every kill at any depth, also in cgroups that
 * are made later. The event comes within 10 ms of the kill's line in the kernel log, before or after it.
 *
 *   oom 1
 *   oom_kill 5
 *
 * Not covered: kills of processes in the root cgroup; before 5.2, kills in a cgroup below the top level; and cgroup2
 * mounted with memory_localevents. v1 has no such events. These kills are found when the kernel log is polled next. `max`
 * and `high` change the file too, up to 26 times a second for a cgroup at its limit, so the kill counter is read before
 * the listener is called.
 */
import { type FSWatcher, statSync, watch } from "node:fs";
import { join } from "node:path";
import { parseMemoryEvents } from "../kernel/memory-cgroup.ts";
import { directoriesIn } from "./cgroup-directory.ts";
import { FileUnavailable, type HostFiles } from "./host-files.ts";
import { isSystemError } from "./system-error.ts";

export interface KillNoticesOptions {
  files: HostFiles;
  /** The root of the v2 hierarchy. */
  directory: string;
  /** The kernel has counted a kill. Its line is in the kernel log, or will be within milliseconds. */
  onKill: () => void;
  /** The system has no inotify instances or watches left: there will be no notifications. Called once. */
  onUnavailable: (reason: string) => void;
  /** Default `fs.watch`. */
  watch?: (path: string, onChange: () => void) => Pick<FSWatcher, "close">;
}

/** Hosts have about five top-level cgroups; a watch uses 2.2 KiB of kernel memory. */
const watchesAtMost = 64;
/** Maximum number of events without a kill handled between two ticks, over all cgroups. */
const fruitlessAtMost = 4;
/** A controller may be enabled later, which no event shows. */
const beatsPerListing = 40;

interface Watched {
  readonly path: string;
  /** Distinguishes a cgroup from a later one with the same name. */
  readonly inode: number;
  kills: number;
  /** Absent while the cgroup is paused until the next tick. */
  watcher?: Pick<FSWatcher, "close">;
}

/**
 * Watches the top-level cgroups for kills.
 *
 * Invariant: a host whose cgroups are constantly at their limits wakes this process at most a few times a second; without
 * watches only the notification is lost, not the kill.
 */
export class KillNotices {
  readonly #options: KillNoticesOptions;
  readonly #watch: NonNullable<KillNoticesOptions["watch"]>;
  /** By the path of `memory.events`. */
  readonly #watched = new Map<string, Watched>();
  #rootWatcher: Pick<FSWatcher, "close"> | undefined;
  #fruitless = 0;
  #beats = 0;
  #isClosed = false;

  constructor(options: KillNoticesOptions) {
    this.#options = options;
    this.#watch = options.watch ?? watchQuietly;
  }

  start(): void {
    this.#attempt(() => {
      // Inside a cgroup namespace the root is an ordinary cgroup, and its file shows all kills below it.
      if (this.#add(this.#options.directory)) return;
      this.#rootWatcher = this.#watch(this.#options.directory, () => this.#list());
      this.#list();
    });
  }

  /** Called a few times a second: resumes paused cgroups. */
  beat(): void {
    if (this.#isClosed) return;
    this.#fruitless = 0;
    for (const watched of this.#watched.values()) {
      if (watched.watcher === undefined) this.#attempt(() => this.#arm(watched));
    }
    if (++this.#beats % beatsPerListing === 0 && this.#rootWatcher !== undefined) this.#list();
  }

  close(): void {
    this.#isClosed = true;
    this.#rootWatcher?.close();
    for (const { watcher } of this.#watched.values()) watcher?.close();
    this.#watched.clear();
  }

  /** Adjusts the watches to the current top-level cgroups. */
  #list(): void {
    this.#attempt(() => {
      if (this.#isClosed) return;
      for (const [path, { inode }] of this.#watched) {
        if (inodeOf(path) !== inode) this.#drop(path);
      }
      for (const name of directoriesIn(this.#options.directory)) {
        if (this.#watched.size >= watchesAtMost) return;
        // Top-level cgroups have UTF-8 names.
        if (typeof name === "string") this.#add(join(this.#options.directory, name));
      }
    });
  }

  /** False if the directory has no `memory.events`. */
  #add(directory: string): boolean {
    const path = join(directory, "memory.events");
    if (this.#watched.has(path)) return true;
    const [inode, kills] = [inodeOf(path), this.#kills(path)];
    if (inode === undefined || kills === undefined) return false;
    const watched: Watched = { path, inode, kills };
    this.#watched.set(path, watched);
    this.#arm(watched);
    return true;
  }

  #arm(watched: Watched): void {
    watched.watcher = this.#watch(watched.path, () => this.#changed(watched));
    // Catches a kill between the last reading and the new watch.
    this.#look(watched);
  }

  #changed(watched: Watched): void {
    // An event may arrive after its watch was closed.
    if (this.#watched.get(watched.path) !== watched || watched.watcher === undefined) return;
    if (this.#look(watched) || ++this.#fruitless <= fruitlessAtMost) return;
    watched.watcher.close();
    watched.watcher = undefined;
  }

  /** True if there was a kill. */
  #look(watched: Watched): boolean {
    const kills = this.#kills(watched.path);
    if (kills === undefined) this.#drop(watched.path);
    if (kills === undefined || kills <= watched.kills) return false;
    watched.kills = kills;
    this.#options.onKill();
    return true;
  }

  #kills(path: string): number | undefined {
    const { files } = this.#options;
    try {
      return parseMemoryEvents(files.bytes, files.read(path)).oom_kill;
    } catch (error) {
      if (error instanceof FileUnavailable) return undefined;
      throw error;
    }
  }

  #drop(path: string): void {
    this.#watched.get(path)?.watcher?.close();
    this.#watched.delete(path);
  }

  /** A cgroup that has just gone is skipped; if the system refuses one watch, it will refuse all. */
  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (error instanceof FileUnavailable) return;
      if (!isSystemError(error)) throw error;
      if (error.code === "ENOENT") return;
      this.close();
      this.#options.onUnavailable(reasonOf(error));
    }
  }
}

function watchQuietly(path: string, onChange: () => void): FSWatcher {
  const watcher = watch(path, { persistent: false }, onChange);
  // The only remaining failure is that the file disappears, which its directory shows.
  watcher.on("error", () => watcher.close());
  return watcher;
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.ino;
  } catch (error) {
    throw new FileUnavailable(path, error);
  }
}

function reasonOf({ code }: NodeJS.ErrnoException): string {
  if (code === "ENOSPC") return "no inotify watches left; raise fs.inotify.max_user_watches";
  if (code === "EMFILE") return "no inotify instances left; raise fs.inotify.max_user_instances";
  return `inotify: ${code}`;
}
