import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  parseLimit,
  parseMemoryEvents,
  parseMemoryStatV1,
  parseMemoryStatV2,
  parseOomControlKills,
  parseValue,
} from "../kernel/memory-cgroup.ts";
import { type Pressure, parsePressure } from "../kernel/pressure.ts";
import type { CgroupReading, CgroupVersion } from "./cgroup-reading.ts";
import { type DescriptorBudget, FileUnavailable, type HostFiles, KeptFile } from "./host-files.ts";

/** The tightest limit on the way down to a cgroup. */
export interface Limit {
  bytes: number;
  cgroup?: string;
}

export interface CgroupDirectoryOptions {
  files: HostFiles;
  version: CgroupVersion;
  descriptors: DescriptorBudget;
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
    memoryAndSwapMax: "memory.memsw.limit_in_bytes",
    stat: "memory.stat",
    failures: "memory.failcnt",
    events: "memory.oom_control",
  },
} as const;

/**
 * One cgroup's directory: its kept files and the cgroups right below it. Methods that read throw
 * `FileUnavailable` where the cgroup is gone, or is another one than before: `reset` it then.
 */
export class CgroupDirectory {
  readonly path: string;
  readonly #options: CgroupDirectoryOptions;
  readonly #directory: string;
  /** `null`: this cgroup has no such file. */
  readonly #kept = new Map<string, KeptFile | null>();
  #children = new Map<string, CgroupDirectory>();
  #listedWithLinks: number | undefined;
  #isAccounted = false;
  #isGone = false;
  #isUnreadable = false;
  #maxBytes: number | undefined;

  constructor(options: CgroupDirectoryOptions, path: string, directory: string) {
    this.#options = options;
    this.path = path;
    this.#directory = directory;
  }

  /** True where a file of the last reading was there and could not be read. */
  get isUnreadable(): boolean {
    return this.#isUnreadable;
  }

  /** False at v2's true root, which accounts nothing, and where the memory controller is off. */
  isAccounted(): boolean {
    this.#isAccounted ||=
      linksOf(join(this.#directory, fileNames[this.#options.version].current)) !== undefined;
    return this.#isAccounted;
  }

  /** False where the directory is gone; one that this user may not look at is there. */
  exists(): boolean {
    try {
      return linksOf(this.#directory) !== undefined;
    } catch {
      return true;
    }
  }

  /** The tightest of this cgroup's own limit and the one above. */
  readLimit(above: Limit): Limit {
    this.#isUnreadable = false;
    this.#maxBytes = this.#value(fileNames[this.#options.version].max, parseLimit);
    if (this.#maxBytes === undefined || this.#maxBytes >= above.bytes) return above;
    return { bytes: this.#maxBytes, cgroup: this.path };
  }

  /**
   * Reads all that the metrics want.
   * @param limit what `readLimit` gave just before
   * @returns `undefined` where there is nothing to tell: unreadable, or v1's true root
   */
  read(limit: Limit): CgroupReading | undefined {
    return this.#options.version === "v2" ? this.#readV2(limit) : this.#readV1(limit);
  }

  /** Kills of this cgroup's own processes; `undefined` where the kernel counts only whole subtrees. */
  readKillCount(): number | undefined {
    return this.#options.version === "v2"
      ? this.#value(fileNames.v2.events, parseMemoryEvents)?.oom_kill
      : this.#value(fileNames.v1.events, parseOomControlKills);
  }

  /** Pids of the processes right here. */
  pids(): number[] {
    const { files } = this.#options;
    const text = files.textIfReadable(join(this.#directory, "cgroup.procs")) ?? "";
    return text.split("\n").flatMap((line) => (line === "" ? [] : [Number(line)]));
  }

  /**
   * The cgroups right below. kernfs counts a directory's subdirectories in its link count, so a look
   * at that spares listing some 60 files a cgroup; one that went while another came shows when the
   * first is found gone. Other file systems say 1, and are listed each time.
   */
  children(): CgroupDirectory[] {
    const links = linksOf(this.#directory);
    if (links === undefined) return [];
    const known = [...this.#children.values()];
    if (links >= 2 && links === this.#listedWithLinks && !known.some((child) => child.#isGone)) {
      return known;
    }
    this.#list(links);
    return [...this.#children.values()];
  }

  /** Closes and forgets all that was known, so that the next look is the first. */
  reset(): void {
    for (const file of this.#kept.values()) file?.close();
    this.#kept.clear();
    for (const child of this.#children.values()) child.remove();
    this.#children.clear();
    this.#listedWithLinks = undefined;
    this.#isAccounted = false;
  }

  /** The cgroup is gone: closes its files, and its parent lists its children anew. */
  remove(): void {
    this.reset();
    this.#isGone = true;
  }

  #list(links: number): void {
    const before = this.#children;
    const now = new Map<string, CgroupDirectory>();
    for (const name of directoriesIn(this.#directory).sort()) {
      const known = before.get(name);
      const path = this.path === "/" ? `/${name}` : `${this.path}/${name}`;
      const child =
        known === undefined || known.#isGone
          ? new CgroupDirectory(this.#options, path, join(this.#directory, name))
          : known;
      now.set(name, child);
    }
    for (const [name, child] of before) if (now.get(name) !== child) child.remove();
    this.#children = now;
    this.#listedWithLinks = links;
  }

  #readV2(limit: Limit): CgroupReading | undefined {
    const names = fileNames.v2;
    const currentBytes = this.#current(names.current);
    if (currentBytes === undefined) return undefined;
    return {
      path: this.path,
      currentBytes,
      maxBytes: this.#maxBytes,
      highBytes: this.#value(names.high, parseLimit),
      peakBytes: this.#value(names.peak, parseValue),
      swapCurrentBytes: this.#value(names.swapCurrent, parseValue),
      swapMaxBytes: this.#value(names.swapMax, parseLimit),
      ...this.#value(names.stat, parseMemoryStatV2),
      events:
        this.#value(names.events, parseMemoryEvents) ??
        this.#value(names.hierarchicalEvents, parseMemoryEvents) ??
        {},
      pressure: this.#value(names.pressure, parsePressure) ?? {},
      effectiveMaxBytes: limit.bytes,
      limitingCgroup: limit.cgroup,
    };
  }

  #readV1(limit: Limit): CgroupReading | undefined {
    // Only the hierarchy's true root has release_agent: what it counts is the host, not a cgroup.
    if (this.path === "/" && linksOf(join(this.#directory, "release_agent")) !== undefined) {
      return undefined;
    }
    const names = fileNames.v1;
    const currentBytes = this.#current(names.current);
    if (currentBytes === undefined) return undefined;
    const { swapBytes, hierarchicalLimitBytes, ...stat } =
      this.#value(names.stat, parseMemoryStatV1) ?? {};
    const memoryAndSwapMaxBytes = this.#value(names.memoryAndSwapMax, parseLimit);
    const effective = this.#effectiveV1(limit, hierarchicalLimitBytes);
    return {
      path: this.path,
      currentBytes,
      maxBytes: this.#maxBytes,
      peakBytes: this.#value(names.peak, parseValue),
      // Without swap accounting (swapaccount=0) the line is there and says nothing.
      swapCurrentBytes: memoryAndSwapMaxBytes === undefined ? undefined : swapBytes,
      swapMaxBytes: swapMaxOf(this.#maxBytes, memoryAndSwapMaxBytes),
      ...stat,
      events: {
        max: this.#value(names.failures, parseValue),
        oom_kill: this.#value(names.events, parseOomControlKills),
      },
      pressure: {},
      effectiveMaxBytes: effective.bytes,
      limitingCgroup: effective.cgroup,
    };
  }

  /**
   * hierarchical_memory_limit is the kernel's word: wider than the walk's where memory.use_hierarchy
   * is off and ancestors do not count, tighter where an ancestor is out of the reader's sight.
   */
  #effectiveV1(walked: Limit, hierarchicalLimitBytes: number | undefined): Limit {
    if (hierarchicalLimitBytes === undefined || hierarchicalLimitBytes === walked.bytes) {
      return walked;
    }
    const own = this.#maxBytes === hierarchicalLimitBytes && Number.isFinite(this.#maxBytes);
    return { bytes: hierarchicalLimitBytes, cgroup: own ? this.path : undefined };
  }

  /** The one file that every accounted cgroup has: without it the controller has been switched off. */
  #current(name: string): number | undefined {
    const value = this.#value(name, parseValue);
    if (this.#kept.get(name) === null) this.reset();
    return value;
  }

  #value<Value>(name: string, parse: (bytes: Buffer, length: number) => Value): Value | undefined {
    const { files, descriptors } = this.#options;
    let file = this.#kept.get(name);
    if (file === null) return undefined;
    if (file === undefined) {
      file = new KeptFile(join(this.#directory, name), files, descriptors);
      this.#kept.set(name, file);
    }
    try {
      const length = file.read();
      return parse(files.bytes, length);
    } catch (error) {
      if (!(error instanceof FileUnavailable)) throw error;
      if (error.reason === "vanished") throw error;
      if (error.reason !== "missing") this.#isUnreadable = true;
      // A missing file may mean a missing cgroup: only a directory that is there lacks the file.
      else if (!this.exists()) throw error;
      else this.#kept.set(name, null);
      return undefined;
    }
  }
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

/** Link count of what stands at a path; `undefined` where nothing does. @throws {FileUnavailable} */
export function linksOf(path: string): number | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.nlink;
  } catch (error) {
    throw new FileUnavailable(path, error);
  }
}

/** Names of the directories in a directory; none where it is gone. @throws {FileUnavailable} */
export function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    const unavailable = new FileUnavailable(path, error);
    if (unavailable.reason === "missing") return [];
    throw unavailable;
  }
}
