import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { textOf } from "../text/escaped-bytes.ts";
import { type CallPath, callPath, type FilePath } from "./file-path.ts";

/** Mount points of the host's file systems: `/` on the host, `/host/...` in a container. */
export interface HostRoots {
  procfs: string;
  sysfs: string;
  rootfs: string;
}

/** Why a kernel file could not be read. */
export type Unavailable =
  /** No such file: this kernel or configuration does not have it. */
  | "missing"
  /** This user may not read it. */
  | "denied"
  /** The process or cgroup behind it is gone. */
  | "vanished"
  /** Any other error; the message has the system's error. */
  | "failed";

export class FileUnavailable extends Error {
  override readonly name = "FileUnavailable";
  readonly reason: Unavailable;
  readonly path: string;

  constructor(at: CallPath, cause: unknown) {
    const path = typeof at === "string" ? at : textOf(at);
    super(`${path}: ${errnoOf(cause) ?? (cause instanceof Error ? cause.message : cause)}`, {
      cause,
    });
    this.path = path;
    this.reason = reasonOf(cause);
  }
}

function errnoOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

function reasonOf(error: unknown): Unavailable {
  switch (errnoOf(error)) {
    case "ENOENT":
    case "ENOTDIR":
    // Pressure files return this if the kernel was booted with psi=0.
    case "EOPNOTSUPP":
    case "ENOTSUP":
      return "missing";
    case "EACCES":
    case "EPERM":
      return "denied";
    case "ESRCH":
    case "ENODEV":
      return "vanished";
    default:
      return "failed";
  }
}

/**
 * Maximum number of open descriptors. An open procfs or cgroupfs file that has been read uses about 4.4 KiB of kernel slab,
 * charged to the reader's cgroup but not shown in its RSS, and counts against RLIMIT_NOFILE.
 */
export class DescriptorBudget {
  #left: number;

  constructor(limit: number) {
    this.#left = Math.max(0, Math.floor(limit));
  }

  /** Reserves one descriptor; false if none is left: then open, read and close. */
  take(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }

  give(): void {
    this.#left++;
  }
}

/**
 * Reads the kernel's files synchronously into one reused buffer. The kernel answers from memory, so a thread-pool hop would
 * cost several times as much as the read.
 */
export class HostFiles {
  readonly roots: HostRoots;
  /** The result of the last `read`; the next one overwrites it. */
  bytes: Buffer = Buffer.allocUnsafeSlow(64 * 1024);

  constructor(roots: HostRoots) {
    this.roots = roots;
  }

  procfs(...segments: string[]): string {
    return join(this.roots.procfs, ...segments);
  }

  sysfs(...segments: string[]): string {
    return join(this.roots.sysfs, ...segments);
  }

  rootfs(...segments: string[]): string {
    return join(this.roots.rootfs, ...segments);
  }

  /**
   * Reads a whole file into `bytes` and returns its length.
   * @throws {FileUnavailable}
   */
  read(path: CallPath): number {
    let descriptor: number | undefined;
    try {
      descriptor = openSync(path, "r");
      return this.readWhole(descriptor);
    } catch (error) {
      throw new FileUnavailable(path, error);
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }

  /** A whole file as text. @throws {FileUnavailable} */
  text(path: CallPath): string {
    const length = this.read(path);
    const text = this.bytes.toString("utf8", 0, length);
    // The name of a process or its cgroup may not be UTF-8.
    return text.includes("\ufffd") ? textOf(this.bytes.subarray(0, length)) : text;
  }

  /** A kernel setting by its name, e.g. `vm.swappiness`; `undefined` if this kernel does not have it or it cannot be read. */
  sysctl(name: string): number | undefined {
    const text = this.textIfReadable(this.procfs("sys", ...name.split("."))) ?? "";
    const value = Number.parseInt(text, 10);
    return Number.isNaN(value) ? undefined : value;
  }

  /** A whole file as text, or `undefined` if it cannot be read for any reason. */
  textIfReadable(path: CallPath): string | undefined {
    try {
      return this.text(path);
    } catch (error) {
      if (error instanceof FileUnavailable) return undefined;
      throw error;
    }
  }

  /** Reads an open file from its start into `bytes` and returns its length. Throws the system's error. */
  readWhole(descriptor: number): number {
    let length = 0;
    for (;;) {
      if (length === this.bytes.length) {
        this.bytes = Buffer.concat([this.bytes], this.bytes.length * 2);
      }
      const count = readSync(descriptor, this.bytes, length, this.bytes.length - length, length);
      length += count;
      // A seq_file returns a page or more at a time; a short first page is the whole file.
      if (count === 0 || (length === count && count < shortestPageBytes)) return length;
    }
  }
}

const shortestPageBytes = 2048;

/**
 * One kernel file that is read repeatedly. Within the budget its descriptor stays open and a read is one system call;
 * otherwise each read opens and closes it.
 *
 * Invariant: an open descriptor never answers for another process or cgroup that took over the name, because the kernel ties
 * it to the original object and returns ESRCH or ENODEV when that is gone.
 */
export class KeptFile {
  readonly #directory: FilePath;
  readonly #name: string;
  readonly #files: HostFiles;
  readonly #budget: DescriptorBudget;
  #descriptor: number | undefined;

  constructor(directory: FilePath, name: string, files: HostFiles, budget: DescriptorBudget) {
    this.#directory = directory;
    this.#name = name;
    this.#files = files;
    this.#budget = budget;
  }

  /** Built on demand: a cgroup's path may have 4 KiB, and a cgroup has ten files. Valid until the next one is built. */
  get path(): CallPath {
    return callPath(this.#directory, this.#name);
  }

  /** False if each read opens the path again, so that another process or cgroup may answer. */
  get isKept(): boolean {
    return this.#descriptor !== undefined;
  }

  /** Reads the whole file into `HostFiles.bytes`; returns its length. @throws {FileUnavailable} */
  read(): number {
    if (this.#descriptor === undefined) {
      if (!this.#budget.take()) return this.#files.read(this.path);
      try {
        this.#descriptor = openSync(this.path, "r");
      } catch (error) {
        this.#budget.give();
        throw new FileUnavailable(this.path, error);
      }
    }
    try {
      return this.#files.readWhole(this.#descriptor);
    } catch (error) {
      this.close();
      throw new FileUnavailable(this.path, error);
    }
  }

  close(): void {
    if (this.#descriptor === undefined) return;
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
    this.#budget.give();
  }
}
