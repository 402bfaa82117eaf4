/*
 * Whether a process has been made since the last look, for a few microseconds.
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
 * Both move with threads as well.
 */
import { readlinkSync } from "node:fs";
import { decimalAt } from "../kernel/flat-keyed.ts";
import { DescriptorBudget, FileUnavailable, type HostFiles, KeptFile } from "./host-files.ts";
import type { ProcessTable } from "./process-table.ts";

export interface NewProcessesOptions {
  files: HostFiles;
  /** The procfs of this process itself. */
  ownProc: HostFiles;
  table: Pick<ProcessTable, "readYoung" | "hasYoung">;
  /** Monotonic milliseconds. */
  now: () => number;
}

/** A host that forks without end, or has many processes to list, is looked at less often. */
const cpuShareAtMost = 1 / 100;

const blank = 0x20;
const forks = Buffer.from("\nprocesses ", "latin1");

/**
 * Finds out who the new processes are soon after they are made. In a storm of kills most victims are dead
 * before anything else can be asked about them.
 */
export class NewProcesses {
  readonly #options: NewProcessesOptions;
  readonly #counter: KeptFile;
  readonly #isOwnNamespace: boolean;
  #last: number | undefined;
  #restUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: NewProcessesOptions) {
    const { files, ownProc } = options;
    this.#options = options;
    this.#isOwnNamespace = selfIn(files) === selfIn(ownProc);
    const name = this.#isOwnNamespace ? "loadavg" : "stat";
    this.#counter = new KeptFile(files.procfs(), name, files, new DescriptorBudget(1));
  }

  /**
   * To be called some times a second. Those made since the last look are read, and again for as long as they
   * are young: a process moves to its cgroup and becomes another program shortly after it is made.
   */
  look(): void {
    const { table, now } = this.#options;
    const startMs = now();
    if (startMs < this.#restUntilMs) return;
    const made = this.#made();
    const hasNew = made === undefined || made !== this.#last;
    this.#last = made;
    if (hasNew || table.hasYoung) table.readYoung({ list: hasNew });
    const endMs = now();
    this.#restUntilMs = endMs + (endMs - startMs) / cpuShareAtMost;
  }

  close(): void {
    this.#counter.close();
  }

  /** Moves with each process that is made; `undefined` where it cannot be read. */
  #made(): number | undefined {
    try {
      const length = this.#counter.read();
      const file = this.#options.files.bytes.subarray(0, length);
      if (this.#isOwnNamespace) return decimalAt(file, file.lastIndexOf(blank) + 1);
      const at = file.indexOf(forks);
      return at < 0 ? undefined : decimalAt(file, at + forks.length);
    } catch (error) {
      if (error instanceof FileUnavailable) return undefined;
      throw error;
    }
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
