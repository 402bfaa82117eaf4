import { finished, type Steps } from "../collections/steps.ts";
import { type CgroupReadings, CgroupTree, findMemoryHierarchy } from "./cgroup-tree.ts";
import { DescriptorBudget, HostFiles, type HostRoots } from "./host-files.ts";
import { type HostView, readHostView } from "./host-view.ts";
import { kernelKills } from "./kernel-kills.ts";
import { readMeminfo } from "./meminfo-file.ts";
import { maxDescriptors, ownProcfs, pageBytesOf } from "./own-proc.ts";
import { OwnerNames, usualEntries } from "./owner-names.ts";
import { ProcessCounter } from "./process-counter.ts";
import { ProcessTable } from "./process-table.ts";
import { ProgramNames, type ReadCommandLine } from "./program-names.ts";
import { Snapshot } from "./snapshot.ts";

export interface HostOptions {
  roots: HostRoots;
  /** A monotonic clock, milliseconds. */
  monotonicMs: () => number;
  /** Number of highest-ranked processes that get fresh details in each snapshot; default all. */
  leaders?: number;
  /** Cgroups to read; default all. */
  cgroups?: { max?: number; include?: RegExp; exclude?: RegExp };
  /** True if the same files are read repeatedly: then they stay open. */
  keepsDescriptors?: boolean;
  /** Number of processes whose program is looked up (`ProgramNames`); default none. */
  programs?: { top: number; readCommandLine?: ReadCommandLine };
  /** Bytes in a page; default this machine's. */
  pageBytes?: number;
}

/**
 * Maximum number of open files for processes, and for cgroups: a share of RLIMIT_NOFILE, with an upper bound. Each uses
 * 4.4 KiB of kernel slab and saves 11 µs per scrape.
 */
const keptShare = 1 / 4;
const keptAtMost = 4096;
const defaultMaxDescriptors = 1024;

/** A single reading of a host need not stay within the cost of a scrape. */
const cgroupsAtMost = 1_000_000;

/** An open host: its files, and the state kept between snapshots. */
export class Host {
  readonly files: HostFiles;
  /** As of opening the host. */
  readonly view: HostView;
  /** Absent if the machine has no memory controller. */
  readonly tree: CgroupTree | undefined;
  readonly table: ProcessTable;
  readonly owners: OwnerNames;
  /** What processes run; absent if not needed. Keeps what it needs of snapshots. */
  readonly programs: ProgramNames | undefined;
  readonly pageBytes: number;
  readonly #counter: ProcessCounter | undefined;
  /** The kernel's own count of kills at the last two passes, latest last. */
  #kills: readonly (number | undefined)[] = [];
  /** As of the last reading of /proc/meminfo; false if that may belong to a container. */
  #hasNoSwap = false;
  readonly #now: () => number;
  readonly #leaders: number;

  constructor(options: HostOptions) {
    const { roots, monotonicMs, cgroups, keepsDescriptors = false } = options;
    const ownProc = ownProcfs();
    const descriptors = () => new DescriptorBudget(keepsDescriptors ? keptBy(ownProc) : 0);
    this.files = new HostFiles(roots);
    this.view = readHostView(this.files);
    this.pageBytes = options.pageBytes ?? pageBytesOf(ownProc);
    const max = cgroups?.max ?? cgroupsAtMost;
    this.owners = new OwnerNames({
      rootfs: roots.rootfs,
      now: monotonicMs,
      // If fewer are remembered than a pass reads, each pass looks up all of them again.
      maxEntries: Math.max(usualEntries, 2 * max),
    });
    const hierarchy = findMemoryHierarchy(this.files);
    this.tree =
      hierarchy &&
      new CgroupTree({
        files: this.files,
        hierarchy,
        descriptors: descriptors(),
        max,
        include: cgroups?.include,
        exclude: cgroups?.exclude,
      });
    this.#counter = keepsDescriptors ? new ProcessCounter(this.files, ownProc) : undefined;
    this.table = new ProcessTable({
      files: this.files,
      descriptors: descriptors(),
      now: monotonicMs,
      cgroupsByPid: () => this.tree?.cgroupsByPid() ?? new Map(),
      counter: this.#counter,
    });
    this.programs =
      options.programs &&
      new ProgramNames({
        ...options.programs,
        files: this.files,
        hasCgroups: hierarchy !== undefined,
        monotonicMs,
      });
    this.#now = monotonicMs;
    this.#leaders = options.leaders ?? Number.POSITIVE_INFINITY;
  }

  /** The kernel's own count of kills; `undefined` before Linux 4.13, and in a container, whose it is not. */
  kernelKills(): number | undefined {
    return this.view.isContainer ? undefined : kernelKills(this.files);
  }

  /** @param deadlineMs monotonic milliseconds; cgroups that are not read by then are left out */
  snapshot(deadlineMs = Number.POSITIVE_INFINITY): Snapshot {
    const { files, table } = this;
    const steps = {
      cgroups: () => this.#readCgroups(deadlineMs),
      processes: () => table.readInSteps(this.#leaders),
    };
    const readers = {
      meminfo: () => {
        const meminfo = readMeminfo(files);
        this.#hasNoSwap = meminfo.swapTotalBytes === 0 && !this.view.isContainer;
        return meminfo;
      },
      cgroups: () => finished(steps.cgroups()),
      processes: () => finished(steps.processes()),
    };
    return new Snapshot(readers, steps);
  }

  *#readCgroups(deadlineMs: number): Steps<CgroupReadings | undefined> {
    if (this.tree === undefined) return undefined;
    return yield* this.tree.readInSteps(() => this.#now() > deadlineMs, {
      hasNoKills: this.tree.hierarchy.version === "v1" && this.#hasNoKills(),
      hasNoSwap: this.#hasNoSwap,
    });
  }

  /**
   * The kernel counts a kill for the host first and then for the cgroup: a pass between the two shows in the
   * next one.
   */
  #hasNoKills(): boolean {
    const [before, last] = this.#kills;
    const now = kernelKills(this.files);
    this.#kills = [last, now];
    return now !== undefined && now === last && now === before;
  }

  close(): void {
    this.table.close();
    this.#counter?.close();
    this.tree?.close();
  }
}

function keptBy(ownProc: HostFiles): number {
  return Math.min((maxDescriptors(ownProc) ?? defaultMaxDescriptors) * keptShare, keptAtMost);
}
