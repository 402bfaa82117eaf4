import { close, open, read, readlinkSync } from "node:fs";
import { BoundedMap } from "../collections/bounded-map.ts";
import { ancestorsOf } from "../kernel/cgroup-path.ts";
import { isCut, programOf } from "../kernel/command-line.ts";
import { isHostNear, type Meminfo } from "../kernel/meminfo.ts";
import { stalledPercent } from "../kernel/pressure.ts";
import { parseProcessStat } from "../kernel/process-stat.ts";
import { fullestLimits } from "./cgroup-reading.ts";
import type { CgroupReadings } from "./cgroup-tree.ts";
import { FileUnavailable, type HostFiles } from "./host-files.ts";
import type { ProcessReading, ProcessReadings } from "./process-table.ts";
import type { SnapshotKeeper } from "./snapshot.ts";

/** Reads the beginning of a file; `undefined` if it cannot be read. */
export type ReadCommandLine = (
  path: string,
  done: (read: { bytes: Buffer; isWhole: boolean } | undefined) => void,
) => void;

export interface ProgramNamesOptions {
  files: HostFiles;
  /** Number of highest-ranked processes to read, and number of limits for which the first below each is read. */
  top: number;
  /** False if the machine has no limits. */
  hasCgroups: boolean;
  /** A monotonic clock, milliseconds. */
  monotonicMs: () => number;
  /** Default: on the thread pool. */
  readCommandLine?: ReadCommandLine;
}

/** Long class paths come before the main class. */
const readAtMost = 64 * 1024;
const knownAtMost = 2048;
/** A reading of the cgroups expires after this. */
const limitsKnownForMs = 45_000;
const stalledAtMostPercent = 0.1;
const quietAfterKillMs = 10_000;
const closesWithinMs = 1000;

interface Known {
  comm: string;
  /** As in its reading. */
  sinceMs: number | undefined;
  /** Clock ticks since boot. */
  startTicks: number;
  /** Empty until it has been read, and if nothing may be taken from it. */
  program: string;
}

interface Candidate {
  pid: number;
  known: Known;
}

/** Limits as of the last reading of the cgroups. */
interface Limits {
  /** Cgroups that are near their own limit. */
  near: Set<string>;
  /** Cgroups with a limit, fullest first. */
  fullest: Set<string>;
  untilMs: number;
}

/**
 * What processes run, for those that the kernel would kill first.
 *
 * Reading /proc/PID/cmdline takes the process's mmap lock, which a process that waits for memory may hold for long. So it is
 * read once per process, and again when its comm changes, one at a time and on the thread pool; never while the host stalls
 * on memory, while the host or a limit on the process is nearly full, or after a kill. A blocked read delays only the
 * reads after it. Others that read such a file ask `mayTakeLockIn` first.
 */
export class ProgramNames implements SnapshotKeeper {
  readonly #options: ProgramNamesOptions;
  readonly #read: ReadCommandLine;
  readonly #known = new BoundedMap<number, Known>(knownAtMost);
  #waiting: Candidate[] = [];
  #isReading = false;
  #onRead: (() => void) | undefined;
  #isHostNear = true;
  #limits: Limits | undefined;
  #quietUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: ProgramNamesOptions) {
    // What is forgotten between two passes would be read in each of them.
    this.#options = { ...options, top: Math.min(options.top, knownAtMost / 2) };
    this.#read = options.readCommandLine ?? readOnPool;
  }

  /** Whether a file of a process in this cgroup that takes its mmap lock may be read now, and is unlikely to wait for it. */
  mayTakeLockIn(cgroup: string | undefined): boolean {
    const limits = this.#limitsInForce();
    return limits !== undefined && this.isCalm && !isWithinAny(cgroup, limits.near);
  }

  /** Whether the host neither stalls on memory nor is nearly full, and no kill has just begun. */
  get isCalm(): boolean {
    const { files, monotonicMs } = this.#options;
    if (this.#isHostNear || monotonicMs() < this.#quietUntilMs) return false;
    const pressure = files.textIfReadable(files.procfs("pressure/memory")) ?? "";
    return (stalledPercent(pressure) ?? 0) < stalledAtMostPercent;
  }

  /** What a process runs, if already known; otherwise empty. */
  programOf({ pid, comm }: { pid: number; comm: string }): string {
    const known = this.#known.get(pid);
    return known?.comm === comm ? known.program : "";
  }

  /** Starts no more reads, and waits at most a second for the current one. */
  async close(): Promise<void> {
    this.#quietUntilMs = Number.POSITIVE_INFINITY;
    this.#waiting = [];
    if (!this.#isReading) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, closesWithinMs);
      this.#onRead = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Whether a read has not returned: this process cannot exit before it does. */
  get isReading(): boolean {
    return this.#isReading;
  }

  /** When a process was made, in clock ticks from boot, where that has been read. */
  startTicksOf({ pid, comm }: { pid: number; comm: string }): number | undefined {
    const known = this.#known.get(pid);
    return known?.comm === comm ? known.startTicks : undefined;
  }

  /** A kill has begun: nothing is read for a while. */
  killBegan(): void {
    this.#quietUntilMs = this.#options.monotonicMs() + quietAfterKillMs;
    this.#waiting = [];
  }

  noteMeminfo(meminfo: Meminfo): void {
    this.#isHostNear = isHostNear(meminfo);
  }

  noteCgroups({ readings }: CgroupReadings): void {
    const limits = fullestLimits(readings);
    const { top, monotonicMs } = this.#options;
    this.#limits = {
      near: new Set(limits.filter(({ isNear }) => isNear).map(({ reading }) => reading.path)),
      fullest: new Set(limits.slice(0, top).map(({ reading }) => reading.path)),
      untilMs: monotonicMs() + limitsKnownForMs,
    };
  }

  noteProcesses({ processes }: ProcessReadings): void {
    const limits = this.#limitsInForce();
    if (limits === undefined || !this.isCalm) return;
    this.#waiting = [];
    for (const process of firstOf(processes, limits, this.#options.top)) {
      if (isWithinAny(process.cgroup, limits.near)) continue;
      const { pid, comm, sinceMs } = process;
      const known = this.#known.get(pid);
      if (sinceMs !== undefined && known?.comm === comm && known.sinceMs === sinceMs) continue;
      const startTicks = this.#startTicks(pid);
      if (startTicks === undefined) continue;
      if (known?.comm === comm && known.startTicks === startTicks) {
        known.sinceMs = sinceMs;
        continue;
      }
      this.#waiting.push({ pid, known: { comm, sinceMs, startTicks, program: "" } });
    }
    this.#next();
  }

  /** `undefined` if there may be limits nearby that have not been read. */
  #limitsInForce(): Limits | undefined {
    const { hasCgroups, monotonicMs } = this.#options;
    if (!hasCgroups) return { near: new Set(), fullest: new Set(), untilMs: 0 };
    return (this.#limits?.untilMs ?? 0) > monotonicMs() ? this.#limits : undefined;
  }

  #next(): void {
    while (!this.#isReading && this.#waiting.length > 0 && this.isCalm) {
      const { pid, known } = this.#waiting.shift() as Candidate;
      // Whatever the result, this process is not read again.
      this.#known.set(pid, known);
      this.#isReading = true;
      let isLater = false;
      this.#read(this.#options.files.procfs(`${pid}`, "cmdline"), (line) => {
        this.#isReading = false;
        if (line !== undefined && this.#startTicks(pid) === known.startTicks) {
          const { comm } = known;
          const executable = isCut(comm) ? this.#executable(pid) : undefined;
          known.program = programOf({ ...line, comm, executable }) ?? "";
        }
        this.#onRead?.();
        if (isLater) this.#next();
      });
      isLater = true;
    }
  }

  #startTicks(pid: number): number | undefined {
    const { files } = this.#options;
    return parseProcessStat(files.textIfReadable(files.procfs(`${pid}`, "stat")) ?? "")?.startTicks;
  }

  /** Does not need the process's lock. */
  #executable(pid: number): string | undefined {
    try {
      return readlinkSync(this.#options.files.procfs(`${pid}`, "exe"));
    } catch {
      return undefined;
    }
  }
}

function isWithinAny(cgroup: string | undefined, paths: ReadonlySet<string>): boolean {
  if (cgroup === undefined || paths.size === 0) return false;
  return paths.has(cgroup) || ancestorsOf(cgroup).some((path) => paths.has(path));
}

/**
 * The first `top` of the ranking, and the first below each limit: the victims of that limit.
 * @param processes highest ranked first
 */
function firstOf(
  processes: readonly ProcessReading[],
  { fullest }: Limits,
  top: number,
): Set<ProcessReading> {
  const found = new Set(processes.slice(0, top));
  const open = new Set(fullest);
  const seen = new Set<string>();
  for (const process of processes) {
    if (open.size === 0) break;
    const { cgroup } = process;
    // The first process of a cgroup stands for the others: they are below the same limits.
    if (cgroup === undefined || seen.has(cgroup)) continue;
    seen.add(cgroup);
    for (const path of [cgroup, ...ancestorsOf(cgroup)]) if (open.delete(path)) found.add(process);
  }
  return found;
}

/** For a command that reads once and may block. */
export function readingAtOnce(files: () => HostFiles): ReadCommandLine {
  return (path, done) => {
    const host = files();
    try {
      const length = host.read(path);
      // The next file read overwrites the buffer.
      done({ bytes: Buffer.from(host.bytes.subarray(0, length)), isWhole: true });
    } catch (error) {
      if (!(error instanceof FileUnavailable)) throw error;
      done(undefined);
    }
  };
}

const readOnPool: ReadCommandLine = (path, done) => {
  open(path, "r", (openError, file) => {
    if (openError !== null) return done(undefined);
    const buffer = Buffer.allocUnsafe(readAtMost);
    read(file, buffer, 0, readAtMost, 0, (readError, length) => {
      close(file, () => undefined);
      if (readError !== null) return done(undefined);
      done({ bytes: buffer.subarray(0, length), isWhole: length < readAtMost });
      buffer.fill(0, 0, length);
    });
  });
};
