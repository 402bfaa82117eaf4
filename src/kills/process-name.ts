import { isCut } from "../kernel/command-line.ts";

/**
 * The name of a process for people: its comm and, if known, what it runs. `java billing.jar`;
 * `gnome-shell-calendar-server` for a truncated comm.
 */
export function processName({ comm, program }: { comm: string; program?: string | null }): string {
  if (comm === "") return "(no name)";
  if (!program) return comm;
  const isWholeName = isCut(comm) && program.startsWith(comm);
  return isWholeName ? program : `${comm} ${program}`;
}
