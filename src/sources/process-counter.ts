/*
 * Detects whether a process has been created since the last check, at a cost of a few microseconds.
 *
 * /proc/loadavg, https://docs.kernel.org/filesystems/proc.html#kernel-data. The last field is the pid made last, in
 * the *reader's* pid namespace, whichever procfs it is read from.
 *
 *   0.20 0.18 0.12 1/80 11206
 *
 * /proc/stat, https://docs.kernel.org/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat. `processes`
 * counts forks of the whole host. On a host with many processors it takes milliseconds to read.
 *
 *   processes 52183
 *
 * Both move with threads as well. lxcfs lays its own files over them, up to five seconds old.
 */
import { readlinkSync, statfsSync } from "node:fs";
import { decimalAt } from "../kernel/flat-keyed.ts";
import { DescriptorBudget, FileUnavailable, type HostFiles, KeptFile } from "./host-files.ts";

const blank = 0x20;
const forks = Buffer.from("\nprocesses ", "latin1");
/** FUSE_SUPER_MAGIC, statfs(2): not the kernel's own file. */
const fuse = 0x65735546;

/** Changes with each process created on the host. */
export class ProcessCounter {
  /** Its value is the last pid; otherwise a number of forks. */
  readonly isLastPid: boolean;
  readonly #files: HostFiles;
  readonly #file: KeptFile;
  readonly #isKernels: boolean;

  /**
   * @param ownProc the procfs of this process itself
   * @param typeOf the type of the file system that a file is on; `undefined` if unknown
   */
  constructor(
    files: HostFiles,
    ownProc: HostFiles,
    typeOf: (path: string) => number | undefined = fileSystemType,
  ) {
    this.isLastPid = selfIn(files) === selfIn(ownProc);
    this.#files = files;
    const name = this.isLastPid ? "loadavg" : "stat";
    this.#file = new KeptFile(files.procfs(), name, files, new DescriptorBudget(1));
    this.#isKernels = typeOf(files.procfs(name)) !== fuse;
  }

  /** `undefined` where it cannot be read, or does not come from the kernel. */
  read(): number | undefined {
    if (!this.#isKernels) return undefined;
    try {
      const length = this.#file.read();
      const file = this.#files.bytes.subarray(0, length);
      if (this.isLastPid) return decimalAt(file, file.lastIndexOf(blank) + 1);
      const at = file.indexOf(forks);
      return at < 0 ? undefined : decimalAt(file, at + forks.length);
    } catch (error) {
      if (error instanceof FileUnavailable) return undefined;
      throw error;
    }
  }

  close(): void {
    this.#file.close();
  }
}

function fileSystemType(path: string): number | undefined {
  try {
    return statfsSync(path).type;
  } catch {
    return undefined;
  }
}

/** This process's pid as a procfs shows it; `undefined` where that shows another pid namespace. */
function selfIn(files: HostFiles): string | undefined {
  try {
    return readlinkSync(files.procfs("self"));
  } catch {
    return undefined;
  }
}
