import { existsSync } from "node:fs";
import type { HostFiles } from "./host-files.ts";

/** What the files under the given roots show of the host. */
export interface HostView {
  /**
   * Procfs or the root file system is a container's own. The kernel's count of kills and its log ring
   * are still the whole host's: they say nothing of the container.
   */
  isContainer: boolean;
  /** Other users' processes are out of sight (hidepid): nobody can say who dies next. */
  hidesProcesses: boolean;
}

/**
 * Signs of a container: pid 2 is not kthreadd, or systemd left its mark (`/run/systemd/container`: LXC,
 * nspawn). Read under the given roots, so that a pod which is given the host's is none.
 */
export function readHostView(files: HostFiles): HostView {
  // Where there is no procfs, nothing hides it: each reader says that for itself.
  const isThere = existsSync(files.roots.procfs);
  const seesInit = files.textIfReadable(files.procfs("1", "status")) !== undefined;
  const second = files.textIfReadable(files.procfs("2", "comm"))?.trim();
  return {
    // Where pid 1 is hidden, so is pid 2.
    isContainer:
      (seesInit && second !== "kthreadd") ||
      files.textIfReadable(files.rootfs("run/systemd/container")) !== undefined,
    hidesProcesses: isThere && !seesInit,
  };
}

/** Why nobody can say who dies next on the host; `undefined` where all its processes are in sight. */
export function viewObstacle({ isContainer, hidesProcesses }: HostView): string | undefined {
  if (isContainer) {
    return "this is a container: the host's processes are out of sight, /proc/vmstat and /dev/kmsg show the whole host's kills";
  }
  if (!hidesProcesses) return undefined;
  return "other users' processes are hidden (hidepid), so that it is not known who dies next: mount -o remount,hidepid=0 /proc, or run as root";
}
