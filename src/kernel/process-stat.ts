/*
 * /proc/PID/stat, fs/proc/array.c
 * https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 * Since 1.0; field 48 and its neighbours since 3.5.
 *
 *   file = pid " (" comm ") " state { " " number } "\n"
 *
 *   812 (nginx: worker) S 811 811 811 0 -1 4194624 1021 0 0 0 2 1 0 0 20 0 1 0 3412 11313152 1893 ...
 *
 * comm may contain blanks and parentheses, so fields are counted from the last parenthesis. Addresses are 0 for a
 * reader who may not trace the process; memory is 0 for a task without an address space.
 */

/** USER_HZ, the clock ticks of these files: 100 on every architecture that Node.js runs on. */
export const ticksPerSecond = 100;

/** What stat adds to the information in status. */
export interface ProcessStat {
  /** One letter: R runs, D waits uninterruptibly, S sleeps, T is stopped, Z has ended; proc_pid_stat(5) has them all. */
  state: string;
  /** Start time in clock ticks since boot. */
  startTicks: number;
  /** Resident memory from `get_mm_rss()`, which `oom_badness()` uses on some kernels (badness.ts). */
  residentPages: number;
  /**
   * Size and addresses of its memory: equal for all processes in one address space, but also for forks of one
   * process. Absent if the reader may not see it.
   */
  layout?: string;
}

/** Who a process is, as long as it lives. */
export interface ProcessBirth {
  comm: string;
  /** Clock ticks from boot until it was made. */
  startTicks: number;
  /** It has ended, and is only waited for. */
  hasEnded: boolean;
}

/** Parses the same file; `undefined` where the text is not that. */
export function parseProcessBirth(text: string): ProcessBirth | undefined {
  const stat = parseProcessStat(text);
  if (stat === undefined) return undefined;
  const { startTicks, state } = stat;
  const comm = text.slice(text.indexOf("(") + 1, text.lastIndexOf(")"));
  return { comm, startTicks, hasEnded: "ZXx".includes(state) };
}

/** Counted from the first field after comm, which is field 3 in the manual page. */
const field = {
  state: 0,
  startTicks: 19,
  size: 20,
  resident: 21,
  startStack: 25,
  startBrk: 44,
  argStart: 45,
};

/** Parses /proc/PID/stat; `undefined` for other text. */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const startTicks = Number.parseInt(fields[field.startTicks] ?? "", 10);
  const residentPages = Number.parseInt(fields[field.resident] ?? "", 10);
  const state = fields[field.state];
  if (!state || Number.isNaN(startTicks) || Number.isNaN(residentPages)) return undefined;
  const { size, startStack, startBrk, argStart } = field;
  const layout = [size, startStack, startBrk, argStart].map((at) => fields[at]).join(" ");
  const isHidden = fields[startStack] === "0";
  return { state, startTicks, residentPages, layout: isHidden ? undefined : layout };
}
