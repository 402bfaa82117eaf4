/** The kernel cuts comm to so many bytes. */
const commBytes = 15;

/**
 * What people call a process: its comm and, where that is known, what it runs. `java billing.jar`;
 * `gnome-shell-calendar-server` for a comm that the kernel cut.
 */
export function processName({ comm, program }: { comm: string; program?: string | null }): string {
  if (comm === "") return "(no name)";
  if (!program) return comm;
  const isWholeName = comm.length >= commBytes && program.startsWith(comm);
  return isWholeName ? program : `${comm} ${program}`;
}
