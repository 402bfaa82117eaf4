/** The kernel truncates comm to this many bytes. */
const commBytes = 15;

/**
 * The name of a process for people: its comm and, if known, what it runs. `java billing.jar`;
 * `gnome-shell-calendar-server` for a truncated comm.
 */
export function processName({ comm, program }: { comm: string; program?: string | null }): string {
  if (comm === "") return "(no name)";
  if (!program) return comm;
  const isWholeName = comm.length >= commBytes && program.startsWith(comm);
  return isWholeName ? program : `${comm} ${program}`;
}
