import { decimalAt, FlatKeyedFile } from "./flat-keyed.ts";

/*
 * The memory controller's files, one directory per cgroup.
 * v2: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
 * v1: https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
 * v2 since 4.5; memory.events.local since 5.2; memory.peak since 5.19; oom_group_kill since 5.17.
 * v1 oom_kill in memory.oom_control since 4.13.
 *
 *   single value   memory.current: "67108864\n"; memory.max: decimal or "max\n"
 *   flat keyed     memory.stat, memory.events, memory.oom_control (flat-keyed.ts)
 *
 *   low 0
 *   high 0
 *   max 26
 *   oom 1
 *   oom_kill 5
 *   oom_group_kill 1
 */

/** Events of one cgroup since it was created. An event that this kernel does not count is absent. */
export interface MemoryEvents {
  low?: number;
  high?: number;
  max?: number;
  oom?: number;
  oom_kill?: number;
  oom_group_kill?: number;
}

/** Composition of one cgroup's memory, including its descendants, in bytes. */
export interface MemoryStat {
  anonBytes?: number;
  /** Page cache including shared memory, as v2 counts it. */
  fileBytes?: number;
  shmemBytes?: number;
  inactiveFileBytes?: number;
  /** v1 only: v2 has memory.swap.current. */
  swapBytes?: number;
  /** v1 only: the smallest limit of the cgroup and its ancestors, if memory.use_hierarchy is on. */
  hierarchicalLimitBytes?: number;
}

const m = 0x6d;

/**
 * v1 writes "no limit" as the largest multiple of the page size below 2^63. Any value close to that is no limit
 * either: no machine has an exabyte.
 */
const unlimitedFromBytes = 2 ** 60;

/** A single value, in the file's own unit; `undefined` if the file has no number. */
export function parseValue(bytes: Uint8Array, length: number): number | undefined {
  return decimalAt(bytes, 0, length);
}

/** A limit in bytes, `Infinity` for none ("max" on v2, a number beyond any machine on v1). */
export function parseLimit(bytes: Uint8Array, length: number): number | undefined {
  if (bytes[0] === m && length > 0) return Number.POSITIVE_INFINITY;
  const value = decimalAt(bytes, 0, length);
  return value !== undefined && value >= unlimitedFromBytes ? Number.POSITIVE_INFINITY : value;
}

/** Reused destination for the values of one file; a scrape reads thousands of files. */
const numbers: (number | undefined)[] = [];

const eventsFile = new FlatKeyedFile([
  "low",
  "high",
  "max",
  "oom",
  "oom_kill",
  "oom_group_kill",
] as const);

/** Parses v2 memory.events or memory.events.local. */
export function parseMemoryEvents(bytes: Uint8Array, length: number): MemoryEvents {
  eventsFile.parseInto(numbers, bytes, length);
  const [low, high, max, oom, oom_kill, oom_group_kill] = numbers;
  return { low, high, max, oom, oom_kill, oom_group_kill };
}

const oomControlFile = new FlatKeyedFile(["oom_kill"] as const);

/** The `oom_kill` line of v1 memory.oom_control: kills among this cgroup's own tasks. */
export function parseOomControlKills(bytes: Uint8Array, length: number): number | undefined {
  oomControlFile.parseInto(numbers, bytes, length);
  return numbers[0];
}

const statFileV2 = new FlatKeyedFile(["anon", "file", "shmem", "inactive_file"] as const);

/** Parses v2 memory.stat. */
export function parseMemoryStatV2(bytes: Uint8Array, length: number): MemoryStat {
  statFileV2.parseInto(numbers, bytes, length);
  const [anonBytes, fileBytes, shmemBytes, inactiveFileBytes] = numbers;
  return { anonBytes, fileBytes, shmemBytes, inactiveFileBytes };
}

const statFileV1 = new FlatKeyedFile([
  "total_rss",
  "total_cache",
  "total_shmem",
  "total_inactive_file",
  "total_swap",
  "hierarchical_memory_limit",
] as const);

/** Parses v1 memory.stat; the `total_` lines include descendants, as usage and limit do. */
export function parseMemoryStatV1(bytes: Uint8Array, length: number): MemoryStat {
  statFileV1.parseInto(numbers, bytes, length);
  const [anonBytes, fileBytes, shmemBytes, inactiveFileBytes, swapBytes, limit] = numbers;
  return {
    anonBytes,
    fileBytes,
    shmemBytes,
    inactiveFileBytes,
    swapBytes,
    hierarchicalLimitBytes:
      limit !== undefined && limit >= unlimitedFromBytes ? Number.POSITIVE_INFINITY : limit,
  };
}
