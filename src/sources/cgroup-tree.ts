import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  type MemoryEvents,
  type MemoryStat,
  parseLimit,
  parseMemoryEvents,
  parseMemoryStatV1,
  parseMemoryStatV2,
  parseOomControlKills,
  parseValue,
} from "../kernel/memory-cgroup.ts";
import { type Pressure, parsePressure } from "../kernel/pressure.ts";
import { type DescriptorBudget, FileUnavailable, type HostFiles, KeptFile } from "./host-files.ts";

export type CgroupVersion = "v1" | "v2";

/** Where the hierarchy that accounts memory stands. */
export interface CgroupHierarchy {
  version: CgroupVersion;
  directory: string;
}

/**
 * Finds the memory controller's hierarchy under `<sysfs>/fs/cgroup`: the unified one, else v1's
 * `memory` (also where it is mounted together with others), else v2 beside v1 (`unified`).
 */
export function findMemoryHierarchy(files: HostFiles): CgroupHierarchy | undefined {
  const root = files.sysfs("fs/cgroup");
  if (hasMemoryController(files, root)) return { version: "v2", directory: root };
  for (const name of directoriesIn(root)) {
    const directory = join(root, name);
    if (name.split(",").includes("memory") && exists(join(directory, "memory.usage_in_bytes"))) {
      return { version: "v1", directory };
    }
  }
  const unified = join(root, "unified");
  return hasMemoryController(files, unified) ? { version: "v2", directory: unified } : undefined;
}

/** One cgroup as it stood in the last pass; what its kernel does not tell is absent. */
export interface CgroupReading extends MemoryStat {
  /** Path from the hierarchy's root, `/` for the root itself. */
  path: string;
  currentBytes: number;
  /** `Infinity` where there is no limit. */
  maxBytes?: number;
  highBytes?: number;
  peakBytes?: number;
  swapCurrentBytes?: number;
  swapMaxBytes?: number;
  /** The tightest limit of this cgroup and its ancestors; `Infinity` where none has one. */
  effectiveMaxBytes: number;
  /** Whose limit `effectiveMaxBytes` is; absent where none has one. */
  limitingCgroup?: string;
  events: MemoryEvents;
  pressure: Pressure;
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

export interface CgroupPass {
  readings: CgroupReading[];
  /** Cgroups that `include` and `exclude` leave out. */
  filtered: number;
  /** Cgroups seen and not read for want of room or time; those below them are not known. */
  beyondLimit: number;
  /** Cgroups whose files this user may not read. */
  unreadable: number;
}

const fileNames = {
  v2: {
    current: "memory.current",
    max: "memory.max",
    high: "memory.high",
    peak: "memory.peak",
    swapCurrent: "memory.swap.current",
    swapMax: "memory.swap.max",
    stat: "memory.stat",
    events: "memory.events.local",
    hierarchicalEvents: "memory.events",
    pressure: "memory.pressure",
  },
  v1: {
    current: "memory.usage_in_bytes",
    max: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
    swapMax: "memory.memsw.limit_in_bytes",
    stat: "memory.stat",
    failures: "memory.failcnt",
    events: "memory.oom_control",
  },
} as const;

/**
 * The memory cgroups of a host, read again and again.
 *
 * Invariant: a cgroup that appears, vanishes or is made anew under the same name between two reads
 * costs its own reading at most, never the pass.
 */
export class CgroupTree {
  readonly hierarchy: CgroupHierarchy;
  private readonly options: CgroupTreeOptions;
  private readonly root: Directory;

  constructor(options: CgroupTreeOptions) {
    this.options = options;
    this.hierarchy = options.hierarchy;
    this.root = new Directory(options, "/", options.hierarchy.directory);
  }

  /**
   * Walks the tree breadth first, so that where room or time runs out it is the deepest that are left
   * out, and reads each cgroup. `outOfTime` is asked now and then.
   */
  read(outOfTime: () => boolean = () => false): CgroupPass {
    const pass: CgroupPass = { readings: [], filtered: 0, beyondLimit: 0, unreadable: 0 };
    const queue: { directory: Directory; above: Limit }[] = [
      { directory: this.root, above: { bytes: Number.POSITIVE_INFINITY } },
    ];
    for (let next = 0; next < queue.length; next++) {
      const { directory, above } = queue[next] as (typeof queue)[number];
      if (pass.readings.length >= this.options.max || (next % 64 === 63 && outOfTime())) {
        pass.beyondLimit = queue.length - next;
        break;
      }
      try {
        const limit = directory.readLimit(above);
        if (this.isWanted(directory)) {
          const reading = directory.read(limit);
          if (reading !== undefined) pass.readings.push(reading);
          else if (directory.isDenied) pass.unreadable++;
        } else {
          pass.filtered++;
        }
        for (const child of directory.accountedChildren()) {
          queue.push({ directory: child, above: limit });
        }
      } catch (error) {
        if (!(error instanceof FileUnavailable)) throw error;
        directory.forget();
      }
    }
    return pass;
  }

  /**
   * Kills counted at each known cgroup itself since it was made, by path: a quick look between two
   * passes for telling whose kill one was. Only where the kernel counts them locally (v2 since 5.2,
   * v1 since 4.13).
   */
  killCounts(): Map<string, number> {
    const counts = new Map<string, number>();
    const queue: Directory[] = [this.root];
    for (let next = 0; next < queue.length; next++) {
      const directory = queue[next] as Directory;
      try {
        const kills = directory.readKillCount();
        if (kills !== undefined) counts.set(directory.path, kills);
        queue.push(...directory.accountedChildren());
      } catch (error) {
        if (!(error instanceof FileUnavailable)) throw error;
        directory.forget();
      }
    }
    return counts;
  }

  /** The pids in each known cgroup, by pid: for readers whose cgroup namespace is not the host's. */
  cgroupsByPid(): Map<number, string> {
    const cgroups = new Map<number, string>();
    const queue: Directory[] = [this.root];
    for (let next = 0; next < queue.length; next++) {
      const directory = queue[next] as Directory;
      for (const pid of directory.pids()) cgroups.set(pid, directory.path);
      queue.push(...directory.children());
    }
    return cgroups;
  }

  /** The pids in one cgroup and all below it, in the kernel's order; empty where it is gone. */
  pidsUnder(path: string): number[] {
    const start = this.find(path);
    if (start === undefined) return [];
    const pids: number[] = [];
    const queue = [start];
    for (let next = 0; next < queue.length; next++) {
      const directory = queue[next] as Directory;
      pids.push(...directory.pids());
      queue.push(...directory.children());
    }
    return pids;
  }

  close(): void {
    this.root.forget();
  }

  private find(path: string): Directory | undefined {
    let directory: Directory | undefined = this.root;
    for (const name of path.split("/").filter((part) => part !== "")) {
      directory = directory?.children().find((child) => child.name === name);
    }
    return directory;
  }

  private isWanted(directory: Directory): boolean {
    const { include, exclude } = this.options;
    if (include !== undefined && !include.test(directory.path)) return false;
    return exclude === undefined || !exclude.test(directory.path);
  }
}

interface Limit {
  bytes: number;
  cgroup?: string;
}

/** One cgroup's directory: its kept files and the children it had when last looked at. */
class Directory {
  readonly path: string;
  readonly name: string;
  private readonly options: CgroupTreeOptions;
  private readonly directory: string;
  /** `null`: this cgroup has no such file. */
  private readonly kept = new Map<string, KeptFile | null>();
  private childrenByName = new Map<string, Directory>();
  private listedWithLinks: number | undefined;
  private stale = false;
  private accounted = false;
  isDenied = false;
  private maxBytes: number | undefined;

  constructor(options: CgroupTreeOptions, path: string, directory: string) {
    this.options = options;
    this.path = path;
    this.name = path.slice(path.lastIndexOf("/") + 1);
    this.directory = directory;
  }

  readLimit(above: Limit): Limit {
    if (!this.isAccounted()) return above;
    this.maxBytes = this.value(fileNames[this.options.hierarchy.version].max, parseLimit);
    if (this.maxBytes === undefined || this.maxBytes >= above.bytes) return above;
    return { bytes: this.maxBytes, cgroup: this.path };
  }

  /** `undefined` where memory is not accounted: the true root, or the controller is off here. */
  read(limit: Limit): CgroupReading | undefined {
    if (!this.isAccounted()) return undefined;
    return this.options.hierarchy.version === "v2" ? this.readV2(limit) : this.readV1(limit);
  }

  readKillCount(): number | undefined {
    if (!this.isAccounted()) return undefined;
    return this.options.hierarchy.version === "v2"
      ? this.value(fileNames.v2.events, parseMemoryEvents)?.oom_kill
      : this.value(fileNames.v1.events, parseOomControlKills);
  }

  pids(): number[] {
    const file = this.options.files.textIfReadable(join(this.directory, "cgroup.procs"));
    return (file ?? "").split("\n").flatMap((line) => (line === "" ? [] : [Number(line)]));
  }

  /** The cgroups right below that account memory: where v2 has the controller off, all below have. */
  accountedChildren(): Directory[] {
    return this.children().filter((child) => child.isAccounted());
  }

  /**
   * The cgroups right below. kernfs counts a directory's subdirectories in its link count, so a look
   * at that spares listing some 60 files a cgroup; one that went while another came shows itself when
   * its files are gone (`forget`). Other file systems say 1, and are listed each time.
   */
  children(): Directory[] {
    const links = linksOf(this.directory);
    if (links === undefined) {
      this.stale = true;
      return [];
    }
    const gone = [...this.childrenByName.values()].some((child) => child.stale);
    const known = links >= 2 && links === this.listedWithLinks && !gone;
    if (!known) this.list(links);
    return [...this.childrenByName.values()];
  }

  /** Closes what is kept of a cgroup that is gone; its parent lists its children anew. */
  forget(): void {
    this.stale = true;
    for (const file of this.kept.values()) file?.close();
    this.kept.clear();
    for (const child of this.childrenByName.values()) child.forget();
  }

  /** Whether the controller is on here. Switching it off removes its files: kept ones say ENODEV then. */
  private isAccounted(): boolean {
    this.accounted ||= exists(
      join(this.directory, fileNames[this.options.hierarchy.version].current),
    );
    return this.accounted;
  }

  private list(links: number): void {
    const before = this.childrenByName;
    const now = new Map<string, Directory>();
    for (const name of directoriesIn(this.directory).sort()) {
      const known = before.get(name);
      const path = this.path === "/" ? `/${name}` : `${this.path}/${name}`;
      now.set(
        name,
        known === undefined || known.stale
          ? new Directory(this.options, path, join(this.directory, name))
          : known,
      );
    }
    for (const [name, child] of before) if (now.get(name) !== child) child.forget();
    this.childrenByName = now;
    this.listedWithLinks = links;
  }

  private readV2(limit: Limit): CgroupReading | undefined {
    const names = fileNames.v2;
    const currentBytes = this.value(names.current, parseValue);
    if (currentBytes === undefined) return undefined;
    return {
      path: this.path,
      currentBytes,
      maxBytes: this.maxBytes,
      highBytes: this.value(names.high, parseLimit),
      peakBytes: this.value(names.peak, parseValue),
      swapCurrentBytes: this.value(names.swapCurrent, parseValue),
      swapMaxBytes: this.value(names.swapMax, parseLimit),
      ...this.value(names.stat, parseMemoryStatV2),
      events:
        this.value(names.events, parseMemoryEvents) ??
        this.value(names.hierarchicalEvents, parseMemoryEvents) ??
        {},
      pressure: this.value(names.pressure, pressureOf) ?? {},
      effectiveMaxBytes: limit.bytes,
      limitingCgroup: limit.cgroup,
    };
  }

  private readV1(limit: Limit): CgroupReading | undefined {
    // Only the hierarchy's true root has release_agent: what it counts is the host, not a cgroup.
    if (this.path === "/" && exists(join(this.directory, "release_agent"))) return undefined;
    const names = fileNames.v1;
    const currentBytes = this.value(names.current, parseValue);
    if (currentBytes === undefined) return undefined;
    const stat = this.value(names.stat, parseMemoryStatV1) ?? {};
    const memoryAndSwapMaxBytes = this.value(names.swapMax, parseLimit);
    return {
      path: this.path,
      currentBytes,
      maxBytes: this.maxBytes,
      peakBytes: this.value(names.peak, parseValue),
      swapCurrentBytes: memoryAndSwapMaxBytes === undefined ? undefined : stat.swapBytes,
      swapMaxBytes: swapMaxOf(this.maxBytes, memoryAndSwapMaxBytes),
      ...stat,
      events: {
        max: this.value(names.failures, parseValue),
        oom_kill: this.value(names.events, parseOomControlKills),
      },
      pressure: {},
      ...effectiveV1(limit, stat.hierarchicalLimitBytes),
    };
  }

  private value<Value>(
    name: string,
    parse: (bytes: Buffer, length: number) => Value,
  ): Value | undefined {
    let file = this.kept.get(name);
    if (file === null) return undefined;
    if (file === undefined) {
      file = new KeptFile(join(this.directory, name), this.options.files, this.options.descriptors);
      this.kept.set(name, file);
    }
    try {
      const length = file.read();
      return parse(this.options.files.bytes, length);
    } catch (error) {
      if (!(error instanceof FileUnavailable)) throw error;
      if (error.reason === "vanished") throw error;
      // A missing file may mean a missing cgroup: only a directory that is there lacks the file.
      if (error.reason === "missing" && !exists(this.directory)) throw error;
      file.close();
      if (error.reason === "denied") this.isDenied = true;
      else this.kept.set(name, null);
      return undefined;
    }
  }
}

/**
 * v1 without memory.use_hierarchy: ancestors' limits do not count, and hierarchical_memory_limit says
 * so by being larger than the walk's.
 */
function effectiveV1(
  walked: Limit,
  hierarchicalLimitBytes: number | undefined,
): Pick<CgroupReading, "effectiveMaxBytes" | "limitingCgroup"> {
  if (hierarchicalLimitBytes === undefined || hierarchicalLimitBytes <= walked.bytes) {
    return { effectiveMaxBytes: walked.bytes, limitingCgroup: walked.cgroup };
  }
  return { effectiveMaxBytes: hierarchicalLimitBytes, limitingCgroup: undefined };
}

/** v1 limits memory and swap together: what swap alone may take is the difference. */
function swapMaxOf(
  maxBytes: number | undefined,
  memoryAndSwapMaxBytes: number | undefined,
): number | undefined {
  if (memoryAndSwapMaxBytes === undefined) return undefined;
  if (memoryAndSwapMaxBytes === Number.POSITIVE_INFINITY) return memoryAndSwapMaxBytes;
  return maxBytes === undefined ? undefined : Math.max(0, memoryAndSwapMaxBytes - maxBytes);
}

function pressureOf(bytes: Buffer, length: number): Pressure {
  return parsePressure(bytes.toString("latin1", 0, length));
}

function hasMemoryController(files: HostFiles, directory: string): boolean {
  const controllers = files.textIfReadable(join(directory, "cgroup.controllers"));
  return controllers?.trim().split(" ").includes("memory") ?? false;
}

function exists(path: string): boolean {
  return linksOf(path) !== undefined;
}

function linksOf(path: string): number | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.nlink;
  } catch {
    return undefined;
  }
}

function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}
