import type { HostFiles } from "./host-files.ts";

/**
 * When this boot began, in milliseconds since the epoch: now less /proc/uptime, or now where that
 * cannot be read. A time that is no number would make every kill of the ring's backlog throw.
 */
export function bootTimeMs(files: HostFiles, nowMs: number): number {
  const text = files.textIfReadable(files.procfs("uptime"));
  const uptimeSeconds = Number.parseFloat(text ?? "") || 0;
  return nowMs - uptimeSeconds * 1000;
}
