import { closeSync, openSync, readSync } from "node:fs";
import type { HostFiles } from "../sources/host-files.ts";

/**
 * Tells of other tasks whether they are known to run in the address space of `task`, as after clone()
 * with CLONE_VM: the kernel kills one with the other, and their memory is the same.
 *
 * Their equal figures are no proof: idle forks of one process have these too. What tells is the page
 * that a task's stack pointer stands in. A fork gets a page of its own there with the first call that
 * either of the two makes, so that only tasks of one address space have the very same page. Needs
 * CAP_SYS_ADMIN, without which pagemap hides where a page is; else the answer is false.
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
 * The stack pointer: the last field but one of /proc/PID/syscall, which reads "running" while the task is
 * on a processor. User addresses of 47 bits are exact as numbers; of 57 bits the page still is.
 */
function stackPointer(files: HostFiles, task: string): number | undefined {
  const text = files.textIfReadable(files.procfs(task, "syscall"))?.trim() ?? "";
  const pointer = Number(text.split(" ").at(-2));
  return pointer > 0 ? pointer : undefined;
}

/** Bits 0 to 54 of a pagemap entry: the page frame, or where in swap it is. */
const pageMask = (1n << 55n) - 1n;
const entryBytes = 8;

/** Where a page of a process is; `undefined` where it has none there, or that is not to be seen. */
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
    // It has gone, or this user may not look.
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
