import { parseVmstat } from "../kernel/vmstat.ts";
import { FileUnavailable, type HostFiles } from "./host-files.ts";

/** `oom_kill` of /proc/vmstat: kills since boot as counted by the kernel; absent before Linux 4.13. */
export function kernelKills(files: HostFiles): number | undefined {
  try {
    const length = files.read(files.procfs("vmstat"));
    return parseVmstat(files.bytes, length).oomKills;
  } catch (error) {
    if (error instanceof FileUnavailable) return undefined;
    throw error;
  }
}
