import { readdirSync } from "node:fs";
import { parseProcessStat } from "../kernel/process-stat.ts";
import type { HostFiles } from "./host-files.ts";

/** More threads than this are not looked at one by one. */
const threadsAtMost = 256;

/**
 * Whether all threads of a process sleep, have been stopped or have ended. None of them waits for memory then, or holds
 * the mmap lock while it does. False if that cannot be found out.
 */
export function isAtRest(files: HostFiles, pid: number): boolean {
  let threads: string[];
  try {
    threads = readdirSync(files.procfs(`${pid}`, "task"));
  } catch {
    return false;
  }
  if (threads.length > threadsAtMost) return false;
  return threads.every((thread) => {
    const text = files.textIfReadable(files.procfs(`${pid}`, "task", thread, "stat"));
    const state = text === undefined ? undefined : parseProcessStat(text)?.state;
    // S: an interruptible wait; T and t: stopped; Z and X: without memory.
    return state !== undefined && "STtZX".includes(state);
  });
}
