import { FlatKeyedFile } from "./flat-keyed.ts";

/*
 * /proc/vmstat
 * https://docs.kernel.org/filesystems/proc.html (the counters are named in mm/vmstat.c)
 * Since 2.6; oom_kill since 4.13; allocstall split by zone since 4.10 (allocstall_normal, ...).
 * Grammar: flat keyed (flat-keyed.ts). pswpin and pswpout count pages.
 *
 *   pswpin 0
 *   pgmajfault 1523
 *   allocstall_normal 12
 *   oom_kill 3
 */

/** Counters since boot. A counter that this kernel does not have is absent. */
export interface Vmstat {
  /** Kills by the OOM killer, memory-cgroup and global together. */
  oomKills?: number;
  swapInPages?: number;
  swapOutPages?: number;
  majorFaults?: number;
  directReclaimStalls?: number;
  /** Pages in which zram and zswap store compressed data; a gauge. */
  zspages?: number;
}

const allocstallZones = [
  "allocstall",
  "allocstall_dma",
  "allocstall_dma32",
  "allocstall_normal",
  "allocstall_movable",
  "allocstall_high",
  "allocstall_device",
] as const;

const file = new FlatKeyedFile([
  "oom_kill",
  "pswpin",
  "pswpout",
  "pgmajfault",
  "nr_zspages",
  ...allocstallZones,
] as const);

/** Parses /proc/vmstat from the first `length` bytes. */
export function parseVmstat(bytes: Uint8Array, length: number = bytes.length): Vmstat {
  const values = file.parse(bytes, length);
  const stalls = allocstallZones.map((zone) => values[zone]).filter((stall) => stall !== undefined);
  return {
    oomKills: values.oom_kill,
    swapInPages: values.pswpin,
    swapOutPages: values.pswpout,
    majorFaults: values.pgmajfault,
    directReclaimStalls:
      stalls.length === 0 ? undefined : stalls.reduce((sum, stall) => sum + stall, 0),
    zspages: values.nr_zspages,
  };
}
