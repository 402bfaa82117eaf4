import { join } from "node:path";
import {
  type MemoryStat,
  parseMemoryStatV1,
  parseMemoryStatV2,
  parseValue,
} from "../kernel/memory-cgroup.ts";
import { heldBytes } from "./cgroup-reading.ts";
import type { CgroupHierarchy } from "./cgroup-tree.ts";
import { FileUnavailable, type HostFiles } from "./host-files.ts";

export interface CgroupUse {
  /** What only a kill or swap takes back. */
  heldBytes: number;
  swapBytes: number;
}

/** What one cgroup uses now, read on its own between the passes over all; `undefined` if it is gone. */
export function useOfCgroup(
  files: HostFiles,
  { version, directory }: CgroupHierarchy,
  path: string,
): CgroupUse | undefined {
  const at = join(directory, path);
  const isV2 = version === "v2";
  const value = (name: string) => {
    try {
      return parseValue(files.bytes, files.read(join(at, name)));
    } catch (error) {
      if (error instanceof FileUnavailable) return undefined;
      throw error;
    }
  };
  const currentBytes = value(isV2 ? "memory.current" : "memory.usage_in_bytes");
  if (currentBytes === undefined) return undefined;
  let stat: MemoryStat = {};
  try {
    const length = files.read(join(at, "memory.stat"));
    stat = (isV2 ? parseMemoryStatV2 : parseMemoryStatV1)(files.bytes, length);
  } catch (error) {
    if (!(error instanceof FileUnavailable)) throw error;
  }
  const swapBytes = isV2 ? value("memory.swap.current") : stat.swapBytes;
  return { heldBytes: heldBytes({ currentBytes, ...stat }), swapBytes: swapBytes ?? 0 };
}
