import type { HostFiles } from "./host-files.ts";

/**
 * When this boot began, in milliseconds since the epoch: now minus /proc/uptime, or now if that cannot be read. A NaN
 * would make every kill in the ring buffer's backlog throw.
 */
export function bootTimeMs(files: HostFiles, nowMs: number): number {
  return nowMs - uptimeSeconds(files) * 1000;
}

/** When this boot began, in milliseconds since the epoch; absent if /proc/uptime cannot be read. */
export function knownBootTimeMs(files: HostFiles, nowMs: number): number | undefined {
  const seconds = uptimeSeconds(files);
  return seconds === 0 ? undefined : nowMs - seconds * 1000;
}

/** Seconds since this boot began, time in suspend included, from /proc/uptime; 0 where that cannot be read. */
export function uptimeSeconds(files: HostFiles): number {
  return Number.parseFloat(files.textIfReadable(files.procfs("uptime")) ?? "") || 0;
}
