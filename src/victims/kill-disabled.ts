/*
 * memory.oom_control of cgroup v1, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html#oom-control
 *
 *   oom_kill_disable 1
 *   under_oom 0
 *
 * With oom_kill_disable the kernel kills nothing when the cgroup reaches its limit: tasks that need memory hang until
 * there is some, or somebody sets it to 0. That of the cgroup whose limit is reached counts.
 */
import { join } from "node:path";
import type { CgroupReading } from "../sources/cgroup-reading.ts";
import type { CgroupTree } from "../sources/cgroup-tree.ts";
import type { HostFiles } from "../sources/host-files.ts";

/**
 * The cgroup with `oom_kill_disable` whose limit `cgroup` reaches: its own path or an ancestor's. `undefined` where the
 * kernel kills, or the cgroup with the limit is out of sight.
 */
export function killDisabledIn(
  files: HostFiles,
  tree: CgroupTree | undefined,
  { limitingCgroup }: Pick<CgroupReading, "limitingCgroup">,
): string | undefined {
  if (tree?.hierarchy.version !== "v1" || limitingCgroup === undefined) return undefined;
  const file = join(tree.hierarchy.directory, limitingCgroup, "memory.oom_control");
  const isDisabled = /^oom_kill_disable 1$/m.test(files.textIfReadable(file) ?? "");
  return isDisabled ? limitingCgroup : undefined;
}
