import type { Pace, Steps } from "../collections/steps.ts";
import type { Meminfo } from "../kernel/meminfo.ts";
import type { CgroupReadings } from "./cgroup-tree.ts";
import { FileUnavailable } from "./host-files.ts";
import type { ProcessReadings } from "./process-table.ts";

/** How the parts of a snapshot are read. */
export interface SnapshotReaders {
  /** @throws {FileUnavailable} if /proc/meminfo cannot be read */
  meminfo(): Meminfo;
  /** `undefined` if the machine has no memory controller. */
  cgroups(): CgroupReadings | undefined;
  /** @throws {FileUnavailable} if procfs cannot be listed */
  processes(): ProcessReadings;
}

/** Parts that take long on a large host, and how to read them in slices. */
export interface SnapshotSteps {
  cgroups(): Steps<CgroupReadings | undefined>;
  processes(): Steps<ProcessReadings>;
}

export type LongPart = keyof SnapshotSteps;

/** The memory that processes are ranked against; 0 if /proc/meminfo cannot be read. */
export interface HostTotals {
  /** MemTotal plus SwapTotal. */
  totalBytes: number;
  swapTotalBytes: number;
}

/** Keeps what it needs of snapshots taken by others. */
export interface SnapshotKeeper {
  noteMeminfo?(meminfo: Meminfo): void;
  noteCgroups?(pass: CgroupReadings): void;
  noteProcesses?(pass: ProcessReadings): void;
}

/**
 * The host at one moment. A part is read when it is first requested, and only then.
 *
 * Invariant: everyone who gets the same snapshot sees the same host. A part is never read twice, and a part that failed
 * fails for everyone with the same error.
 */
export class Snapshot {
  readonly #meminfo: Part<Meminfo>;
  readonly #cgroups: Part<CgroupReadings | undefined>;
  readonly #processes: Part<ProcessReadings>;

  constructor({ meminfo, cgroups, processes }: SnapshotReaders, steps?: SnapshotSteps) {
    this.#meminfo = new Part(meminfo);
    this.#cgroups = new Part(cgroups, steps?.cgroups);
    this.#processes = new Part(processes, steps?.processes);
  }

  /** Reads a part in advance, so that reading it later delays nothing else. */
  async readAhead(part: LongPart, pace: Pace): Promise<void> {
    await (part === "cgroups" ? this.#cgroups : this.#processes).readAhead(pace);
  }

  /** @throws {FileUnavailable} if /proc/meminfo cannot be read */
  get meminfo(): Meminfo {
    return this.#meminfo.reading;
  }

  /** `undefined` if the machine has no memory controller. */
  get cgroups(): CgroupReadings | undefined {
    return this.#cgroups.reading;
  }

  /** @throws {FileUnavailable} if procfs cannot be listed */
  get processes(): ProcessReadings {
    return this.#processes.reading;
  }

  get totals(): HostTotals {
    try {
      const { memTotalBytes, swapTotalBytes = 0 } = this.meminfo;
      return { totalBytes: memTotalBytes + swapTotalBytes, swapTotalBytes };
    } catch (error) {
      if (error instanceof FileUnavailable) return { totalBytes: 0, swapTotalBytes: 0 };
      throw error;
    }
  }

  /** Passes each part to the keepers once, as soon as it has been read. */
  handTo(keepers: readonly SnapshotKeeper[]): void {
    const meminfo = this.#meminfo.takeUnkept();
    const cgroups = this.#cgroups.takeUnkept();
    const processes = this.#processes.takeUnkept();
    for (const keeper of keepers) {
      if (meminfo !== undefined) keeper.noteMeminfo?.(meminfo);
      if (cgroups !== undefined) keeper.noteCgroups?.(cgroups);
      if (processes !== undefined) keeper.noteProcesses?.(processes);
    }
  }
}

class Part<Reading> {
  readonly #read: () => Reading;
  readonly #steps: (() => Steps<Reading>) | undefined;
  #outcome: { reading: Reading } | { error: unknown } | undefined;
  #isKept = false;

  constructor(read: () => Reading, steps?: () => Steps<Reading>) {
    this.#read = read;
    this.#steps = steps;
  }

  async readAhead(pace: Pace): Promise<void> {
    if (this.#outcome !== undefined || this.#steps === undefined) return;
    try {
      this.#outcome = { reading: await pace.finished(this.#steps()) };
    } catch (error) {
      this.#outcome = { error };
    }
  }

  get reading(): Reading {
    this.#outcome ??= this.#attempt();
    if ("error" in this.#outcome) throw this.#outcome.error;
    return this.#outcome.reading;
  }

  takeUnkept(): Reading | undefined {
    if (this.#isKept || this.#outcome === undefined || "error" in this.#outcome) return undefined;
    this.#isKept = true;
    return this.#outcome.reading;
  }

  #attempt() {
    try {
      return { reading: this.#read() };
    } catch (error) {
      return { error };
    }
  }
}
