import { readdirSync } from "node:fs";
import { parseArcSize } from "../kernel/arcstats.ts";
import { parseVmstat } from "../kernel/vmstat.ts";
import { parseZram, type ZramUse } from "../kernel/zram.ts";
import { FileUnavailable, type HostFiles } from "./host-files.ts";

/** Memory that `oom_host_memory_used_bytes` does not show as a kind of its own. Absent = none here. */
export interface UncountedMemory {
  /** The ZFS cache; part of it is slab, the rest is in `other`. */
  arcBytes?: number;
  /** All zram devices together; their memory is kind `zspages`. */
  zram?: ZramUse;
  /** Pages of zram and zswap, /proc/vmstat: nr_zspages. */
  zspagesBytes: number;
}

/** Reads whatever exists; nothing here fails on a machine without it. */
export function readUncountedMemory(files: HostFiles, pageBytes: number): UncountedMemory {
  const arc = files.textIfReadable(files.procfs("spl", "kstat", "zfs", "arcstats"));
  return {
    arcBytes: arc === undefined ? undefined : parseArcSize(arc),
    zram: readZram(files),
    zspagesBytes: readZspages(files) * pageBytes,
  };
}

function readZspages(files: HostFiles): number {
  try {
    const length = files.read(files.procfs("vmstat"));
    return parseVmstat(files.bytes, length).zspages ?? 0;
  } catch (error) {
    if (error instanceof FileUnavailable) return 0;
    throw error;
  }
}

function readZram(files: HostFiles): ZramUse | undefined {
  const devices = blockDevices(files).filter((name) => /^zram[0-9]+$/.test(name));
  const uses = devices.flatMap((name) => {
    const text = files.textIfReadable(files.sysfs("block", name, "mm_stat"));
    return (text === undefined ? undefined : parseZram(text)) ?? [];
  });
  if (uses.length === 0) return undefined;
  return {
    storedBytes: uses.reduce((total, { storedBytes }) => total + storedBytes, 0),
    usedBytes: uses.reduce((total, { usedBytes }) => total + usedBytes, 0),
  };
}

function blockDevices(files: HostFiles): string[] {
  try {
    return readdirSync(files.sysfs("block"));
  } catch {
    return [];
  }
}
