import { closeSync, openSync, readSync } from "node:fs";
import type { HostFiles } from "../sources/host-files.ts";

/**
 * Finds out which other tasks run in the address space of `task`, as after clone() with CLONE_VM: the kernel kills
 * them together, and they share the same memory.
 *
 * Equal sizes prove nothing: idle forks of one process have equal sizes too. The page under a task's stack pointer
 * decides. A fork gets its own copy of that page with the first call that either process makes, so only tasks in one
 * address space have the very same page. Needs CAP_SYS_ADMIN, without which pagemap hides page frames; otherwise the
 * answer is false.
 * @param task and the other: directories below procfs, such as `812` or `812/task/815`
 */
export function addressSpaceOf(
  files: HostFiles,
  task: string,
  pageBytes: number,
): (other: string) => boolean {
  const stack = stackPointer(files, task);
  if (stack === undefined) return () => false;
  const pageNumber = Math.floor(stack / pageBytes);
  const page = pageAt(files.procfs(task, "pagemap"), pageNumber);
  if (page === undefined) return () => false;
  return (other) => page === pageAt(files.procfs(other, "pagemap"), pageNumber);
}

/**
 * The stack pointer: the second to last field of /proc/PID/syscall, which reads "running" while the task is on a
 * processor. 47-bit user addresses are exact as numbers; for 57-bit ones the page is still exact.
 */
function stackPointer(files: HostFiles, task: string): number | undefined {
  const text = files.textIfReadable(files.procfs(task, "syscall"))?.trim() ?? "";
  const pointer = Number(text.split(" ").at(-2));
  return pointer > 0 ? pointer : undefined;
}

/** Bits 0 to 54 of a pagemap entry: the page frame, or the location in swap. */
const pageMask = (1n << 55n) - 1n;
const entryBytes = 8;

/** The location of a process's page; `undefined` if it is not present or not visible. */
function pageAt(path: string, pageNumber: number): bigint | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r");
    const entry = Buffer.alloc(entryBytes);
    if (readSync(descriptor, entry, 0, entryBytes, pageNumber * entryBytes) !== entryBytes) {
      return undefined;
    }
    const page = entry.readBigUInt64LE() & pageMask;
    return page === 0n ? undefined : page;
  } catch {
    // The process is gone, or this user may not look.
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
