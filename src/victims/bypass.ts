/*
 * What keeps the kernel from killing the first of the ranking.
 *
 * memory.oom_control of cgroup v1, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html#oom-control
 *
 *   oom_kill_disable 1
 *   under_oom 0
 *
 * With oom_kill_disable the kernel kills nothing when the cgroup reaches its limit: tasks that need memory hang until
 * there is some, or somebody sets it to 0. That of the cgroup whose limit is reached counts.
 *
 * /proc/sys/vm/panic_on_oom, https://docs.kernel.org/admin-guide/sysctl/vm.html: with 1 the machine panics when the host
 * runs out, with 2 at the limit of a cgroup too.
 *
 * /proc/sys/vm/oom_kill_allocating_task, the same document: if the host runs out, the task that asks for memory is killed.
 */
import { join } from "node:path";
import type { CgroupReading } from "../sources/cgroup-reading.ts";
import type { CgroupTree } from "../sources/cgroup-tree.ts";
import type { HostFiles } from "../sources/host-files.ts";

/** A setting by which the kernel does something else than to kill the first of the ranking. */
export interface Bypass {
  setting: "oom_kill_disable" | "vm.panic_on_oom" | "vm.oom_kill_allocating_task";
  /** Of `oom_kill_disable`: the cgroup whose limit would be reached, an ancestor's or its own; otherwise `null`. */
  cgroup: string | null;
}

/** What the kernel would do instead of a kill by the ranking, as a clause. */
export const insteadOfKill: Record<Bypass["setting"], string> = {
  oom_kill_disable: "the kernel would kill nothing, and tasks that need memory would hang",
  "vm.panic_on_oom": "the machine would panic",
  "vm.oom_kill_allocating_task":
    "the kernel would kill the task that asks for memory at that moment",
};

type Limit = Pick<CgroupReading, "limitingCgroup" | "effectiveMaxBytes">;

/**
 * Finds the setting that applies if the host runs out or, for a cgroup, at its effective limit; `undefined` where the
 * kernel would kill by the ranking, or cannot be seen to do otherwise. Settings of the host are read once, here.
 */
export function bypasses(
  files: HostFiles,
  tree: CgroupTree | undefined,
): (cgroup?: Limit) => Bypass | undefined {
  const panicOnOom = files.sysctl("vm.panic_on_oom") ?? 0;
  const killAllocatingTask = files.sysctl("vm.oom_kill_allocating_task") ?? 0;
  return (cgroup) => {
    // Without a limit a cgroup runs out only together with the host.
    const limit = cgroup?.effectiveMaxBytes === Number.POSITIVE_INFINITY ? undefined : cgroup;
    if (limit !== undefined && isKillDisabled(files, tree, limit)) {
      return { setting: "oom_kill_disable", cgroup: limit.limitingCgroup ?? null };
    }
    if (panicOnOom > (limit === undefined ? 0 : 1)) {
      return { setting: "vm.panic_on_oom", cgroup: null };
    }
    return limit === undefined && killAllocatingTask !== 0
      ? { setting: "vm.oom_kill_allocating_task", cgroup: null }
      : undefined;
  };
}

function isKillDisabled(
  files: HostFiles,
  tree: CgroupTree | undefined,
  { limitingCgroup }: Limit,
): boolean {
  if (tree?.hierarchy.version !== "v1" || limitingCgroup === undefined) return false;
  const file = join(tree.hierarchy.directory, limitingCgroup, "memory.oom_control");
  return /^oom_kill_disable 1$/m.test(files.textIfReadable(file) ?? "");
}
