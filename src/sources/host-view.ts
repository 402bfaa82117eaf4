import { existsSync } from "node:fs";
import type { HostFiles } from "./host-files.ts";

/** What the files under the given roots show of the host. */
export interface HostView {
  /**
   * Procfs or the root file system belongs to a container. The kernel's kill counter and its ring buffer still describe the
   * whole host, not the container.
   */
  isContainer: boolean;
  /** Other users' processes are hidden (hidepid): the next victim is unknown. */
  hidesProcesses: boolean;
}

/**
 * Signs of a container: pid 2 is not kthreadd, or systemd left its marker (`/run/systemd/container`: LXC, nspawn). Read
 * under the given roots, so a pod with the host's file systems is no container.
 */
export function readHostView(files: HostFiles): HostView {
  // Without procfs nothing is hidden: each reader reports that itself.
  const isThere = existsSync(files.roots.procfs);
  const seesInit = files.textIfReadable(files.procfs("1", "status")) !== undefined;
  const second = files.textIfReadable(files.procfs("2", "comm"))?.trim();
  return {
    // If pid 1 is hidden, so is pid 2.
    isContainer:
      (seesInit && second !== "kthreadd") ||
      files.textIfReadable(files.rootfs("run/systemd/container")) !== undefined,
    hidesProcesses: isThere && !seesInit,
  };
}

/** Why the next victim on the host is unknown; `undefined` if all its processes are visible. */
export function viewObstacle({ isContainer, hidesProcesses }: HostView): string | undefined {
  if (isContainer) {
    return "this is a container: the host's processes are not visible, and /proc/vmstat and /dev/kmsg show the whole host's kills";
  }
  if (!hidesProcesses) return undefined;
  return "other users' processes are hidden (hidepid), so the next victim is unknown: mount -o remount,hidepid=0 /proc, or run as root";
}
