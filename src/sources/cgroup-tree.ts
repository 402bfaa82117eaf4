import { join } from "node:path";
import { finished, type Steps } from "../collections/steps.ts";
import {
  CgroupDirectory,
  directoriesIn,
  type HostFacts,
  type Limit,
  linksOf,
} from "./cgroup-directory.ts";
import type { CgroupReading, CgroupVersion } from "./cgroup-reading.ts";
import { type DescriptorBudget, FileUnavailable, type HostFiles } from "./host-files.ts";

/** Location of the hierarchy that accounts memory. */
export interface CgroupHierarchy {
  version: CgroupVersion;
  directory: string;
}

/**
 * Finds the memory controller's hierarchy under `<sysfs>/fs/cgroup`: the unified one, else v1's `memory` (also if it is
 * mounted together with others), else v2 next to v1 (`unified`). `undefined` if there is none, or none that this user may
 * read.
 */
export function findMemoryHierarchy(files: HostFiles): CgroupHierarchy | undefined {
  const root = files.sysfs("fs/cgroup");
  try {
    if (hasMemoryController(files, root)) return { version: "v2", directory: root };
    for (const name of directoriesIn(root)) {
      if (typeof name !== "string") continue;
      const directory = join(root, name);
      if (!name.split(",").includes("memory")) continue;
      if (linksOf(join(directory, "memory.usage_in_bytes")) !== undefined) {
        return { version: "v1", directory };
      }
    }
    const unified = join(root, "unified");
    return hasMemoryController(files, unified) ? { version: "v2", directory: unified } : undefined;
  } catch (error) {
    if (error instanceof FileUnavailable) return undefined;
    throw error;
  }
}

function hasMemoryController(files: HostFiles, directory: string): boolean {
  const controllers = files.textIfReadable(join(directory, "cgroup.controllers"));
  return controllers?.trim().split(" ").includes("memory") ?? false;
}

export interface CgroupTreeOptions {
  files: HostFiles;
  hierarchy: CgroupHierarchy;
  descriptors: DescriptorBudget;
  /** At most this many cgroups are read. */
  max: number;
  include?: RegExp;
  exclude?: RegExp;
}

export interface CgroupReadings {
  readings: CgroupReading[];
  /** Cgroups excluded by `include` and `exclude`. */
  filtered: number;
  /** Cgroups found but not read, for lack of room or time; those below them are unknown. */
  beyondLimit: number;
  /** Cgroups whose files or children cannot be read. */
  unreadable: number;
}

/** A cgroup in the queue of a walk. */
interface Visit {
  directory: CgroupDirectory;
  above: Limit;
  /** It failed once in this walk, so a later answer may come from another cgroup with the same name. */
  again?: boolean;
}

/** Filters may exclude most of the walked cgroups, but a walk must end. */
const walkedPerRead = 10;
/** About 50 µs each. */
const cgroupsPerStep = 64;

/** v1 counts a removed cgroup until its last page is gone: a new one may be hidden behind it for this long. */
const passesPerWalkV1 = 4;

/**
 * The memory cgroups of a host, read repeatedly.
 *
 * Invariant: a cgroup that appears, vanishes or is recreated under the same name between two reads loses at most its own
 * reading, never the pass.
 */
export class CgroupTree {
  readonly hierarchy: CgroupHierarchy;
  readonly #options: CgroupTreeOptions;
  readonly #root: CgroupDirectory;
  /** Descendants of the root at the last pass. */
  #size: number | undefined;
  #passes = 0;

  constructor(options: CgroupTreeOptions) {
    this.#options = options;
    this.hierarchy = options.hierarchy;
    const { files, descriptors } = options;
    const { version, directory } = options.hierarchy;
    this.#root = new CgroupDirectory({ files, version, descriptors }, "/", directory);
  }

  /**
   * Walks the tree breadth first, so that the deepest are left out if room or time runs out, and reads each cgroup.
   * @param outOfTime checked now and then; once true, the walk ends
   * @param host allows skipping files that cannot have changed
   */
  read(outOfTime: () => boolean = () => false, host: HostFacts = {}): CgroupReadings {
    return finished(this.readInSteps(outOfTime, host));
  }

  /** Like `read`. Between two steps others may read single cgroups, or all of them. */
  *readInSteps(outOfTime: () => boolean, host: HostFacts): Steps<CgroupReadings> {
    const size = this.#size;
    this.#size = this.#countCgroups();
    const isDue = this.hierarchy.version === "v1" && ++this.#passes % passesPerWalkV1 === 0;
    const isKnown = this.#size !== undefined && this.#size === size && !isDue;
    // If one is gone although the number is unchanged, another was added somewhere.
    const known = isKnown ? yield* this.#pass(true, outOfTime, host) : undefined;
    return known ?? ((yield* this.#pass(false, outOfTime, host)) as CgroupReadings);
  }

  /**
   * @param isKnown no cgroup has come or gone since the last pass, judging by their number
   * @returns `undefined` if that turns out to be wrong, and only then
   */
  *#pass(
    isKnown: boolean,
    outOfTime: () => boolean,
    host: HostFacts,
  ): Steps<CgroupReadings | undefined> {
    const pass: CgroupReadings = { readings: [], filtered: 0, beyondLimit: 0, unreadable: 0 };
    const queue: Visit[] = [{ directory: this.#root, above: { bytes: Number.POSITIVE_INFINITY } }];
    for (let next = 0; next < queue.length; next++) {
      const full = pass.readings.length >= this.#options.max || next > this.#walkedAtMost;
      const isStep = next % cgroupsPerStep === cgroupsPerStep - 1;
      if (isStep) yield;
      if (full || (isStep && outOfTime())) {
        pass.beyondLimit = queue.length - next;
        break;
      }
      const isThere = this.#visit(queue[next] as Visit, pass, queue, isKnown, host);
      if (!isThere && isKnown) return undefined;
    }
    return pass;
  }

  /** Number of cgroups; on v1 including removed ones that still hold memory. */
  #countCgroups(): number | undefined {
    const { files } = this.#options;
    const [path, line] =
      this.hierarchy.version === "v1"
        ? [files.procfs("cgroups"), /^memory\t\d+\t(\d+)\t/m]
        : [join(this.hierarchy.directory, "cgroup.stat"), /^nr_descendants (\d+)$/m];
    const count = line.exec(files.textIfReadable(path) ?? "")?.[1];
    return count === undefined ? undefined : Number(count);
  }

  /**
   * Kills counted by each known cgroup itself since its creation, by path: a quick reading between two passes, to attribute
   * a kill. Only if the kernel counts them locally (v2 since 5.2, v1 since 4.13).
   */
  killCounts(): Map<string, number> {
    const counts = new Map<string, number>();
    this.#walk((directory) => {
      if (!directory.isAccounted()) return;
      const kills = directory.readKillCount();
      if (kills !== undefined) counts.set(directory.path, kills);
    });
    return counts;
  }

  /** Of all cgroups, those that the readings leave out included. */
  paths(): string[] {
    const paths: string[] = [];
    this.#walk(({ path }) => {
      paths.push(path);
    });
    return paths;
  }

  /** The cgroup of each process by pid, from the cgroups' own lists. */
  cgroupsByPid(): Map<number, string> {
    const cgroups = new Map<number, string>();
    this.#walk((directory) => {
      for (const pid of directory.pids()) cgroups.set(pid, directory.path);
    });
    return cgroups;
  }

  close(): void {
    this.#root.reset();
  }

  /** Reads one cgroup into `pass` and queues its children; false if it is gone. */
  #visit(
    visit: Visit,
    pass: CgroupReadings,
    queue: Visit[],
    isKnown: boolean,
    host: HostFacts,
  ): boolean {
    const { directory, above } = visit;
    try {
      const isAccounted = directory.isAccounted();
      // If the controller is off for a v2 cgroup, it is off for all below; the true root never has it.
      if (!isAccounted && directory !== this.#root) {
        if (directory.exists()) return true;
        directory.remove();
        return false;
      }
      const limit = isAccounted ? this.#read(directory, above, pass, host) : above;
      const children = isKnown ? directory.knownChildren() : directory.children();
      for (const child of children) queue.push({ directory: child, above: limit });
      pass.unreadable += directory.unnamed;
      return true;
    } catch (error) {
      if (!(error instanceof FileUnavailable)) throw error;
      // `failed`: mostly a path of more than 4,096 bytes, which no system call accepts.
      if (error.reason === "denied" || error.reason === "failed") {
        pass.unreadable++;
        return true;
      }
      directory.reset();
      if (!visit.again) queue.push({ ...visit, again: true });
      return false;
    }
  }

  /** Returns the smallest limit from here downwards. */
  #read(directory: CgroupDirectory, above: Limit, pass: CgroupReadings, host: HostFacts): Limit {
    const { include, exclude } = this.#options;
    const { path } = directory;
    if ((include !== undefined && !include.test(path)) || exclude?.test(path)) {
      pass.filtered++;
      return directory.readLimit(above);
    }
    const { limit, reading } = directory.read(above, host);
    if (reading !== undefined) pass.readings.push(reading);
    else if (directory.isUnreadable) pass.unreadable++;
    return limit;
  }

  #walk(look: (directory: CgroupDirectory) => void): void {
    const queue = [this.#root];
    for (let next = 0; next < queue.length && next <= this.#walkedAtMost; next++) {
      const directory = queue[next] as CgroupDirectory;
      try {
        look(directory);
        queue.push(...directory.children());
      } catch (error) {
        if (!(error instanceof FileUnavailable)) throw error;
        if (error.reason === "denied" || error.reason === "failed") continue;
        directory.reset();
        if (!directory.exists()) directory.remove();
      }
    }
  }

  get #walkedAtMost(): number {
    return this.#options.max * walkedPerRead;
  }
}
