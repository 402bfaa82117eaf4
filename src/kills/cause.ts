/**
 * Causes of a kill: the values of `cause` in the JSON and in `oom_kill_timestamp_seconds`, in the order in which
 * `diagnosis.ts` tries them.
 */
export const causes = [
  /** Somebody pressed SysRq f. */
  "manual",
  /** A page fault triggered the kill although memory had not run out. */
  "page_fault",
  /** The memory nodes of a cpuset or memory policy ran out. */
  "cpuset_or_node",
  /** Memory was free, but not as one block of the requested size. */
  "fragmentation",
  /** Exempt tasks use most of it. */
  "protected_hog",
  /** Slab, page tables and stacks use most of it. */
  "kernel_memory",
  /** The largest share appears in none of the kernel's totals. */
  "unaccounted",
  /** Shared memory or tmpfs uses most of it. */
  "shmem",
  /** Many tasks with the same name use most of it. */
  "many_small",
  /** The limit of an ancestor of the victim's own unit, container or pod. */
  "parent_cgroup_limit",
  /** The limit of the victim's own unit, container or pod. */
  "cgroup_limit",
  /** A cgroup's limit, but the log does not say which. */
  "unknown_limit",
  /** The host's memory and swap were both used up. */
  "swap_exhausted",
  /** One task uses more than half of the host. */
  "memory_hog",
  /** The host ran out without a single obvious consumer. */
  "host_exhausted",
  "unknown",
] as const;

export type Cause = (typeof causes)[number];

/** `read`: the kernel's report states it. `concluded`: it follows from the numbers in the report. */
export type CauseBasis = "read" | "concluded";
