import { isUtf8 } from "node:buffer";
import { readdirSync, statSync } from "node:fs";
import {
  type MemoryEvents,
  parseLimit,
  parseMemoryEvents,
  parseMemoryStatV1,
  parseMemoryStatV2,
  parseOomControlKills,
  parseValue,
} from "../kernel/memory-cgroup.ts";
import { parsePressure } from "../kernel/pressure.ts";
import { textOf } from "../text/escaped-bytes.ts";
import type { CgroupReading, CgroupVersion } from "./cgroup-reading.ts";
import { callPath, type FileName, type FilePath, pathsBelow } from "./file-path.ts";
import { type DescriptorBudget, FileUnavailable, type HostFiles, KeptFile } from "./host-files.ts";

/** The smallest limit on the path from the root to a cgroup. */
export interface Limit {
  bytes: number;
  cgroup?: string;
}

export interface CgroupDirectoryOptions {
  files: HostFiles;
  version: CgroupVersion;
  descriptors: DescriptorBudget;
}

/** The files of each version; their index here is their index among the open files. */
const fileNames = {
  v2: [
    "memory.current",
    "memory.max",
    "memory.peak",
    "memory.stat",
    "memory.events.local",
    "memory.high",
    "memory.swap.current",
    "memory.swap.max",
    "memory.events",
    "memory.pressure",
  ],
  v1: [
    "memory.usage_in_bytes",
    "memory.limit_in_bytes",
    "memory.max_usage_in_bytes",
    "memory.stat",
    "memory.oom_control",
    "memory.memsw.limit_in_bytes",
    "memory.failcnt",
  ],
} as const;

/** Indexes in `fileNames`: files of both versions first, then those of each version. */
const current = 0;
const max = 1;
const peak = 2;
const stat = 3;
const events = 4;
const v2 = { high: 5, swapCurrent: 6, swapMax: 7, hierarchicalEvents: 8, pressure: 9 } as const;
const v1 = { memoryAndSwapMax: 5, failures: 6 } as const;

/** Limits rarely change: they and the peak are read in every fourth pass, staggered across cgroups... */
const limitPasses = 4;
/** ...and in each pass if the limit is this near or has been reached since. */
const nearLimitShare = 0.8;

let nextTurn = 0;

/** What is known about the whole host while its cgroups are read. */
export interface HostFacts {
  /** No kill has been counted since the previous pass, nor right before that. */
  hasNoKills?: boolean;
  hasNoSwap?: boolean;
}

/**
 * One cgroup's directory: its open files and its child cgroups. Methods that read throw `FileUnavailable` if the cgroup
 * is gone or was replaced by another: then call `reset`.
 */
export class CgroupDirectory {
  readonly path: string;
  readonly #options: CgroupDirectoryOptions;
  readonly #directory: FilePath;
  /** By index in `fileNames`. `null`: this cgroup has no such file. */
  readonly #kept: (KeptFile | null | undefined)[] = [];
  #children: CgroupDirectory[] = [];
  #listedWithLinks: number | undefined;
  #unnamed = 0;
  #isAccounted = false;
  #isGone = false;
  #isUnreadable = false;
  #passesUntilLimits = 0;
  #limits: { maxBytes?: number; highBytes?: number; swapMaxBytes?: number } = {};
  #currentBytes: number | undefined;
  #peakBytes: number | undefined;
  #swapCurrentBytes: number | undefined;
  #events: MemoryEvents = {};

  constructor(options: CgroupDirectoryOptions, path: string, directory: FilePath) {
    this.#options = options;
    this.path = path;
    this.#directory = directory;
  }

  /** Number of child cgroups left out because their name collides with another one's. */
  get unnamed(): number {
    return this.#unnamed;
  }

  /** True if a file of the last reading existed but could not be read. */
  get isUnreadable(): boolean {
    return this.#isUnreadable;
  }

  /** False for v2's true root, which accounts nothing, and if the memory controller is off. */
  isAccounted(): boolean {
    this.#isAccounted ||=
      linksOf(this.#directory, fileNames[this.#options.version][current]) !== undefined;
    return this.#isAccounted;
  }

  /** False if the directory is gone; one that this user may not read still exists. */
  exists(): boolean {
    try {
      return linksOf(this.#directory) !== undefined;
    } catch {
      return true;
    }
  }

  /** The smaller of this cgroup's own limit and its parent's, if nothing else is needed. */
  readLimit(above: Limit): Limit {
    this.#isUnreadable = false;
    return this.#tightest(this.#value(max, parseLimit), above);
  }

  /**
   * Reads everything that the metrics need.
   * @returns the smallest limit, and the reading: `undefined` if there is none, because it is unreadable or v1's true root
   */
  read(above: Limit, host: HostFacts = {}): { limit: Limit; reading: CgroupReading | undefined } {
    this.#isUnreadable = false;
    const isV2 = this.#options.version === "v2";
    this.#currentBytes = this.#value(current, parseValue);
    // Every accounted cgroup has this file; without it the controller has been disabled.
    if (this.#kept[current] === null) {
      this.reset();
      return { limit: above, reading: undefined };
    }
    const metBefore = this.#events.max;
    const isTurn = --this.#passesUntilLimits < 0;
    this.#events = isV2 ? this.#eventsV2() : this.#eventsV1(isTurn, host);
    const { maxBytes } = this.#limits;
    const isNear =
      (this.#currentBytes ?? 0) >= nearLimitShare * Math.min(maxBytes ?? 0, above.bytes);
    if (isTurn || isNear || this.#events.max !== metBefore) this.#readLimits();
    if (isTurn || isNear || (this.#currentBytes ?? 0) > (this.#peakBytes ?? 0)) {
      this.#peakBytes = this.#value(peak, parseValue);
    }
    const limit = this.#tightest(this.#limits.maxBytes, above);
    return { limit, reading: isV2 ? this.#readV2(limit, host) : this.#readV1(limit) };
  }

  #tightest(maxBytes: number | undefined, above: Limit): Limit {
    if (maxBytes === undefined || maxBytes >= above.bytes) return above;
    return { bytes: maxBytes, cgroup: this.path };
  }

  #readLimits(): void {
    // The first time, cgroups are spread across passes, so that each pass has its share.
    const isFirst = this.#limits.maxBytes === undefined;
    this.#passesUntilLimits = isFirst ? nextTurn++ % limitPasses : limitPasses - 1;
    const maxBytes = this.#value(max, parseLimit);
    this.#limits =
      this.#options.version === "v2"
        ? {
            maxBytes,
            highBytes: this.#value(v2.high, parseLimit),
            swapMaxBytes: this.#value(v2.swapMax, parseLimit),
          }
        : {
            maxBytes,
            swapMaxBytes: swapMaxOf(maxBytes, this.#value(v1.memoryAndSwapMax, parseLimit)),
          };
  }

  #eventsV2(): MemoryEvents {
    return (
      this.#value(events, parseMemoryEvents) ??
      this.#value(v2.hierarchicalEvents, parseMemoryEvents) ??
      {}
    );
  }

  /** Without a limit no charge fails; if the host counts no kill, no cgroup does. */
  #eventsV1(isTurn: boolean, { hasNoKills }: HostFacts): MemoryEvents {
    const { max: failures, oom_kill: kills } = this.#events;
    const isLimited = this.#limits.maxBytes !== Number.POSITIVE_INFINITY;
    return {
      max: isTurn || isLimited ? this.#value(v1.failures, parseValue) : failures,
      oom_kill:
        hasNoKills && kills !== undefined ? kills : this.#value(events, parseOomControlKills),
    };
  }

  /** Kills of this cgroup's own processes; `undefined` if the kernel counts only whole subtrees. */
  readKillCount(): number | undefined {
    return this.#options.version === "v2"
      ? this.#value(events, parseMemoryEvents)?.oom_kill
      : this.#value(events, parseOomControlKills);
  }

  /** Pids of the processes directly in this cgroup. */
  pids(): number[] {
    const { files } = this.#options;
    const text = files.textIfReadable(callPath(this.#directory, "cgroup.procs")) ?? "";
    return text.split("\n").flatMap((line) => (line === "" ? [] : [Number(line)]));
  }

  /**
   * The child cgroups. kernfs counts subdirectories in a directory's link count, so checking it avoids listing some 60 files
   * per cgroup. If one was removed and another added, this shows when the removed one is found to be gone. Other file
   * systems return 1, and are listed each time.
   */
  children(): readonly CgroupDirectory[] {
    const links = linksOf(this.#directory);
    if (links === undefined) return [];
    if (links === 2 && this.#children.length === 0) {
      this.#listedWithLinks = links;
      return this.#children;
    }
    if (links > 2 && links === this.#listedWithLinks && !this.#hasLostChild()) {
      return this.#children;
    }
    this.#list(links);
    return this.#children;
  }

  /** The last result of `children`, if it is known that no cgroup has come or gone since. */
  knownChildren(): readonly CgroupDirectory[] {
    return this.#listedWithLinks === undefined || this.#hasLostChild()
      ? this.children()
      : this.#children;
  }

  #hasLostChild(): boolean {
    for (const child of this.#children) if (child.#isGone) return true;
    return false;
  }

  /** Closes and forgets everything, so that the next reading is like the first. */
  reset(): void {
    for (const file of this.#kept) file?.close();
    this.#kept.length = 0;
    this.#limits = {};
    this.#events = {};
    this.#peakBytes = undefined;
    this.#swapCurrentBytes = undefined;
    this.#passesUntilLimits = 0;
    for (const child of this.#children) child.remove();
    this.#children = [];
    this.#listedWithLinks = undefined;
    this.#unnamed = 0;
    this.#isAccounted = false;
  }

  /** The cgroup is gone: closes its files, and makes its parent list its children again. */
  remove(): void {
    this.reset();
    this.#isGone = true;
  }

  #list(links: number): void {
    const before = new Map(this.#children.map((child) => [child.path, child]));
    const named = new Map<string, FileName>();
    this.#unnamed = 0;
    for (const name of directoriesIn(this.#directory)) {
      const text = typeof name === "string" ? name : textOf(name);
      // A cgroup named `\xff` and one whose name is that byte cannot be distinguished.
      if (named.has(text)) this.#unnamed++;
      else named.set(text, name);
    }
    const pathOf = pathsBelow(this.#directory);
    this.#children = [...named.keys()].sort().map((text) => {
      const path = this.path === "/" ? `/${text}` : `${this.path}/${text}`;
      const known = before.get(path);
      if (known !== undefined && !known.#isGone) {
        before.delete(path);
        return known;
      }
      const directory = pathOf(named.get(text) as FileName);
      return new CgroupDirectory(this.#options, path, directory);
    });
    for (const child of before.values()) child.remove();
    this.#listedWithLinks = links;
  }

  #readV2(limit: Limit, { hasNoSwap }: HostFacts): CgroupReading | undefined {
    if (this.#currentBytes === undefined) return undefined;
    if (!hasNoSwap || this.#swapCurrentBytes !== 0) {
      this.#swapCurrentBytes = this.#value(v2.swapCurrent, parseValue);
    }
    const memory = this.#value(stat, parseMemoryStatV2);
    return {
      path: this.path,
      currentBytes: this.#currentBytes,
      maxBytes: this.#limits.maxBytes,
      highBytes: this.#limits.highBytes,
      peakBytes: this.#peakBytes,
      swapCurrentBytes: this.#swapCurrentBytes,
      swapMaxBytes: this.#limits.swapMaxBytes,
      anonBytes: memory?.anonBytes,
      fileBytes: memory?.fileBytes,
      shmemBytes: memory?.shmemBytes,
      inactiveFileBytes: memory?.inactiveFileBytes,
      events: this.#events,
      pressure: this.#value(v2.pressure, parsePressure) ?? {},
      effectiveMaxBytes: limit.bytes,
      limitingCgroup: limit.cgroup,
    };
  }

  #readV1(limit: Limit): CgroupReading | undefined {
    if (this.#currentBytes === undefined || this.#isTrueRootV1()) return undefined;
    const memory = this.#value(stat, parseMemoryStatV1);
    const { maxBytes, swapMaxBytes } = this.#limits;
    const effective = this.#effectiveV1(limit, memory?.hierarchicalLimitBytes);
    return {
      path: this.path,
      currentBytes: this.#currentBytes,
      maxBytes,
      highBytes: undefined,
      peakBytes: this.#peakBytes,
      // Without swap accounting (swapaccount=0) the line exists but means nothing.
      swapCurrentBytes: swapMaxBytes === undefined ? undefined : memory?.swapBytes,
      swapMaxBytes,
      anonBytes: memory?.anonBytes,
      fileBytes: memory?.fileBytes,
      shmemBytes: memory?.shmemBytes,
      inactiveFileBytes: memory?.inactiveFileBytes,
      events: this.#events,
      pressure: {},
      effectiveMaxBytes: effective.bytes,
      limitingCgroup: effective.cgroup,
    };
  }

  /** Only the hierarchy's true root has release_agent; its counters describe the host, not a cgroup. */
  #isTrueRootV1(): boolean {
    return this.path === "/" && linksOf(this.#directory, "release_agent") !== undefined;
  }

  /**
   * hierarchical_memory_limit is the kernel's own value: larger than the walk's if memory.use_hierarchy is off and ancestors
   * do not count, smaller if the reader cannot see an ancestor.
   */
  #effectiveV1(walked: Limit, hierarchicalLimitBytes: number | undefined): Limit {
    if (hierarchicalLimitBytes === undefined || hierarchicalLimitBytes === walked.bytes) {
      return walked;
    }
    const { maxBytes } = this.#limits;
    const own = maxBytes === hierarchicalLimitBytes && Number.isFinite(maxBytes);
    return { bytes: hierarchicalLimitBytes, cgroup: own ? this.path : undefined };
  }

  #value<Value>(place: number, parse: (bytes: Buffer, length: number) => Value): Value | undefined {
    const { files, descriptors, version } = this.#options;
    let file = this.#kept[place];
    if (file === null) return undefined;
    if (file === undefined) {
      const name = fileNames[version][place] as string;
      file = new KeptFile(this.#directory, name, files, descriptors);
      this.#kept[place] = file;
    }
    try {
      const length = file.read();
      return parse(files.bytes, length);
    } catch (error) {
      if (!(error instanceof FileUnavailable)) throw error;
      if (error.reason === "vanished") throw error;
      if (error.reason !== "missing") this.#isUnreadable = true;
      // A missing file may mean a missing cgroup: the file is missing only if the directory exists.
      else if (!this.exists()) throw error;
      else this.#kept[place] = null;
      return undefined;
    }
  }
}

/** v1 limits memory and swap together; the difference is the limit on swap alone. */
function swapMaxOf(
  maxBytes: number | undefined,
  memoryAndSwapMaxBytes: number | undefined,
): number | undefined {
  if (memoryAndSwapMaxBytes === undefined) return undefined;
  if (memoryAndSwapMaxBytes === Number.POSITIVE_INFINITY) return memoryAndSwapMaxBytes;
  return maxBytes === undefined ? undefined : Math.max(0, memoryAndSwapMaxBytes - maxBytes);
}

/** Link count of a path, or of an entry below it; `undefined` if it does not exist. @throws {FileUnavailable} */
export function linksOf(path: FilePath, entry?: string): number | undefined {
  try {
    return statSync(callPath(path, entry), { throwIfNoEntry: false })?.nlink;
  } catch (error) {
    throw new FileUnavailable(callPath(path, entry), error);
  }
}

/**
 * Names of the subdirectories, as bytes if they are not UTF-8; none if the directory is gone.
 * @throws {FileUnavailable}
 */
export function directoriesIn(directory: FilePath): FileName[] {
  const path = callPath(directory);
  try {
    const names = readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
    // Bytes that are not UTF-8 are decoded as U+FFFD, which leads nowhere.
    if (!names.some((name) => name.includes("\ufffd"))) return names;
    return readdirSync(path, { withFileTypes: true, encoding: "buffer" })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => (isUtf8(name) ? name.toString() : name));
  } catch (error) {
    const unavailable = new FileUnavailable(path, error);
    if (unavailable.reason === "missing") return [];
    throw unavailable;
  }
}
