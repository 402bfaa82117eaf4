/*
 * /proc/PID/status
 * https://docs.kernel.org/filesystems/proc.html#process-specific-subdirectories
 * Since 2.2; VmSwap since 2.6.34; RssAnon, RssFile, RssShmem since 4.5; VmPMD 4.0 to 4.14 (VmPTE
 * has all levels since); Kthread since 6.8.
 *
 *   file = { name ":" tab text "\n" }
 *
 *   Name:	nginx: worker
 *   Tgid:	812
 *   PPid:	1
 *   Uid:	33	33	33	33
 *   VmRSS:	   48516 kB
 *   VmPTE:	     132 kB
 *   VmSwap:	       0 kB
 *   Threads:	1
 *   CapEff:	000001ffffffffff
 *
 * Name escapes a newline as \n and a backslash as \\. Tasks without an address space (kernel threads and zombies)
 * have no Vm and Rss lines.
 */

/** The parts of a process's status that decide whether and when the kernel kills it. */
export interface ProcessStatus {
  /** The task's name, at most 15 bytes, decoded as UTF-8. */
  comm: string;
  parentPid?: number;
  /** Real user id in the reader's user namespace. */
  uid?: number;
  /** Absent for a task without an address space: a kernel thread or a zombie. */
  memory?: ProcessMemory;
  /** Number of threads, including those that have exited but are not yet reaped. */
  threads?: number;
  /** Has CAP_SYS_ADMIN. */
  isAdmin: boolean;
}

/** The three parts that `oom_badness()` adds up, in bytes. */
export interface ProcessMemory {
  residentBytes: number;
  swapBytes: number;
  pageTablesBytes: number;
}

/** Parses the first `length` bytes of /proc/PID/status. Unknown lines are skipped. */
export function parseProcessStatus(bytes: Buffer, length: number): ProcessStatus {
  // Only the name may be anything but ASCII.
  const text = bytes.toString("latin1", 0, length);
  const residentBytes = kilobytes(text, "\nVmRSS:");
  return {
    comm: unescapeName(nameIn(bytes, length)),
    parentPid: integer(field(text, "\nPPid:")),
    uid: integer(field(text, "\nUid:")),
    threads: integer(field(text, "\nThreads:")),
    isAdmin: holdsSysAdmin(field(text, "\nCapEff:")),
    memory:
      residentBytes === undefined
        ? undefined
        : {
            residentBytes,
            swapBytes: kilobytes(text, "\nVmSwap:") ?? 0,
            pageTablesBytes:
              (kilobytes(text, "\nVmPTE:") ?? 0) + (kilobytes(text, "\nVmPMD:") ?? 0),
          },
  };
}

const tab = 0x09;
/** The first line of the file. */
const nameLabel = "Name:\t";
const nameAt = nameLabel.length;
const sysAdminBit = 2 ** 21;

function holdsSysAdmin(capabilities: string | undefined): boolean {
  return Math.floor(Number.parseInt(capabilities ?? "0", 16) / sysAdminBit) % 2 === 1;
}

function field(text: string, label: string): string | undefined {
  const at = text.indexOf(label);
  if (at < 0) return undefined;
  const after = at + label.length;
  const from = text.charCodeAt(after) === tab ? after + 1 : after;
  const end = text.indexOf("\n", from);
  return text.slice(from, end < 0 ? undefined : end);
}

function integer(value: string | undefined): number | undefined {
  const number = Number.parseInt(value ?? "", 10);
  return Number.isNaN(number) ? undefined : number;
}

function kilobytes(text: string, label: string): number | undefined {
  const value = integer(field(text, label));
  return value === undefined ? undefined : value * 1024;
}

/** Not cut out of the text: a part of it of 13 characters or more would hold the whole file in memory. */
function nameIn(bytes: Buffer, length: number): string {
  const file = bytes.subarray(0, length);
  const newline = file.indexOf(0x0a);
  const line = newline < 0 ? file : file.subarray(0, newline);
  return line.toString("latin1", 0, nameAt) === nameLabel ? line.toString("utf8", nameAt) : "";
}

function unescapeName(name: string): string {
  if (!name.includes("\\")) return name;
  return name.replace(/\\(n|\\)/g, (_, escaped) => (escaped === "n" ? "\n" : "\\"));
}
