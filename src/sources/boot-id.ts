import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The id of the running boot, 32 hex digits, from sys/kernel/random/boot_id below `procfs`; `undefined` if it cannot be
 * read.
 */
export function bootIdIn(procfs: string): string | undefined {
  try {
    const text = readFileSync(join(procfs, "sys/kernel/random/boot_id"), "latin1");
    return text.trim().replaceAll("-", "");
  } catch {
    return undefined;
  }
}
