import { join } from "node:path";
import { isUnkillable } from "../kernel/badness.ts";
import { ancestorsOf, isWithin } from "../kernel/cgroup-path.ts";
import { type ProcessReading, sizeBytes, taskPath } from "../sources/process-table.ts";
import { addressSpaceOf } from "./address-space.ts";
import type { VictimRankingOptions } from "./victim-ranking.ts";

/** Two readings of one address space, taken up to a second apart, may differ by this share of its size. */
const alikeWithin = 1 / 16;
/** Maximum number of similar processes compared page by page, nearest pids first. */
const alikeAtMost = 32;
/** For a whole group, each process is compared with this many before it: clones have close pids. */
const neighboursAtMost = 4;

export interface KilledTogetherOptions extends VictimRankingOptions {
  /**
   * Whether the memory map of a process may be read, which waits for its mmap lock: false where it may wait for long.
   * Default: always.
   */
  mayTakeLockOf?: (process: ProcessReading) => boolean;
}

/** Which processes die together, in one scope at one moment. */
export class KilledTogether {
  readonly #options: KilledTogetherOptions;
  readonly #processes: readonly ProcessReading[];
  readonly #scope: string;
  /** By the victim's cgroup. */
  readonly #groups = new Map<string, string | undefined>();
  readonly #groupBytes = new Map<string, number>();
  readonly #closely = new Map<number, ProcessReading | undefined>();
  readonly #mayTakeLock = new Map<number, boolean>();

  constructor(options: KilledTogetherOptions, processes: readonly ProcessReading[], scope: string) {
    this.#options = options;
    this.#processes = processes;
    this.#scope = scope;
  }

  /** The processes that a kill of `process` includes, and their memory in total. */
  with(process: ProcessReading): { others: ProcessReading[]; freesBytes: number } {
    const group = this.#groupOf(process.cgroup);
    const members = group === undefined ? [] : this.#membersOf(group);
    const others = new Map<number, ProcessReading>();
    for (const other of [...this.#sharing(process, this.#processes), ...members]) {
      if (other.pid !== process.pid) others.set(other.pid, other);
    }
    return {
      others: [...others.values()],
      freesBytes: group === undefined ? sizeBytes(process.memory) : this.#bytesOf(group, members),
    };
  }

  #membersOf(group: string): ProcessReading[] {
    return this.#processes.filter(
      ({ scoreAdj, cgroup }) => !isUnkillable(scoreAdj) && isWithin(cgroup, group),
    );
  }

  /** The memory of a group, counting each address space once. */
  #bytesOf(group: string, members: readonly ProcessReading[]): number {
    let bytes = this.#groupBytes.get(group);
    if (bytes === undefined) {
      const byPid = [...members].sort((a, b) => a.pid - b.pid);
      const counted = byPid.filter((member, index) => {
        const before = byPid.slice(Math.max(0, index - neighboursAtMost), index);
        return this.#sharing(member, before).length === 0;
      });
      bytes = counted.reduce((sum, { memory }) => sum + sizeBytes(memory), 0);
      this.#groupBytes.set(group, bytes);
    }
    return bytes;
  }

  /** Those of `others` that run in the address space of `process`; none while that may not be found out. */
  #sharing(process: ProcessReading, others: readonly ProcessReading[]): ProcessReading[] {
    const { files, pageBytes } = this.#options;
    const size = sizeBytes(process.memory);
    const alike = others.filter(
      ({ pid, scoreAdj, memory }) =>
        pid !== process.pid &&
        scoreAdj === process.scoreAdj &&
        Math.abs(sizeBytes(memory) - size) <= size * alikeWithin,
    );
    if (alike.length === 0 || !this.#mayTakeLockOf(process)) return [];
    const layout = this.#lookedAt(process)?.stat?.layout;
    if (layout === undefined) return [];
    const isIn = addressSpaceOf(files, taskPath(process), pageBytes);
    const distance = ({ pid }: ProcessReading) => Math.abs(pid - process.pid);
    return alike
      .sort((a, b) => distance(a) - distance(b))
      .slice(0, alikeAtMost)
      .filter(
        (other) =>
          this.#lookedAt(other)?.stat?.layout === layout &&
          this.#mayTakeLockOf(other) &&
          isIn(taskPath(other)),
      );
  }

  /** Asked once per process: each answer reads files, and a process is compared with many others. */
  #mayTakeLockOf(process: ProcessReading): boolean {
    let may = this.#mayTakeLock.get(process.pid);
    if (may === undefined) {
      may = this.#options.mayTakeLockOf?.(process) ?? true;
      this.#mayTakeLock.set(process.pid, may);
    }
    return may;
  }

  #lookedAt(process: ProcessReading): ProcessReading | undefined {
    if (process.stat !== undefined) return process;
    const { pid } = process;
    if (!this.#closely.has(pid)) {
      this.#closely.set(pid, this.#options.table.lookClosely([process])[0]);
    }
    return this.#closely.get(pid);
  }

  /** The cgroup that is killed as a whole when a process in `cgroup` is killed. */
  #groupOf(cgroup: string | undefined): string | undefined {
    if (cgroup === undefined) return undefined;
    if (!this.#groups.has(cgroup)) this.#groups.set(cgroup, this.#oomGroup(cgroup));
    return this.#groups.get(cgroup);
  }

  /** The highest ancestor within the scope that has memory.oom.group set (`mem_cgroup_get_oom_group()`). */
  #oomGroup(cgroup: string): string | undefined {
    const { files, tree } = this.#options;
    if (tree?.hierarchy.version !== "v2") return undefined;
    let group: string | undefined;
    for (const path of [cgroup, ...ancestorsOf(cgroup)]) {
      const file = join(tree.hierarchy.directory, path, "memory.oom.group");
      if (files.textIfReadable(file)?.trim() === "1") group = path;
      if (path === this.#scope) break;
    }
    return group;
  }
}
