/**
 * Why a kill happened, in one word: the value of `cause` in the JSON and in
 * `oom_kill_timestamp_seconds`. In the order in which `diagnosis.ts` tries them.
 */
export const causes = [
  /** Somebody pressed SysRq f. */
  "manual",
  /** A page fault asked for the kill while memory was not out. */
  "page_fault",
  /** The memory nodes of a cpuset or memory policy ran out. */
  "cpuset_or_node",
  /** Memory was free, but not in one piece of the size asked for. */
  "fragmentation",
  /** Tasks that may not be killed hold most. */
  "protected_hog",
  /** Slab, page tables and stacks hold most. */
  "kernel_memory",
  /** The largest share is in none of the kernel's own sums. */
  "unaccounted",
  /** Shared memory or tmpfs holds most. */
  "shmem",
  /** Many tasks of one name hold most. */
  "many_small",
  /** The limit of an ancestor of the victim's own unit, container or pod. */
  "parent_cgroup_limit",
  /** The limit of the victim's own unit, container or pod. */
  "cgroup_limit",
  /** A cgroup's limit, and the log does not say whose. */
  "unknown_limit",
  /** The host's memory and swap were both used up. */
  "swap_exhausted",
  /** One task holds more than half of the host. */
  "memory_hog",
  /** The host ran out, and nothing stands out. */
  "host_exhausted",
  "unknown",
] as const;

export type Cause = (typeof causes)[number];

/** `read`: the kernel's report says so. `concluded`: worked out from the numbers in it. */
export type CauseBasis = "read" | "concluded";
