/*
 * select_bad_process(), oom_kill_process(), mm/oom_kill.c; mem_cgroup_get_max(), mm/memcontrol.c
 *
 * The kernel visits each process and keeps the one with the most points (badness.ts). On the host it visits them in
 * order of creation. In a cgroup it first visits the cgroup's own processes, in the order in which they joined it, then
 * those of each cgroup below, oldest cgroup first. It never considers the host's init and kernel threads. If the first
 * thread of a process has exited, another one represents it. All processes in the address space of the chosen one die
 * with it, without a line in the log; since 4.8 they share one oom_score_adj, so that none of them can be exempt alone.
 * Before that, an exempt one survived and kept the memory that the kill should have freed.
 *
 * vm.oom_kill_allocating_task and vm.panic_on_oom bypass the ranking.
 */
import { type BadnessRules, badnessPages, isUnkillable } from "../kernel/badness.ts";
import type { ProcessStat } from "../kernel/process-stat.ts";
import type { ProcessMemory } from "../kernel/process-status.ts";

/** A process that the kernel may choose. */
export interface Candidate {
  pid: number;
  parentPid?: number;
  comm: string;
  cgroup?: string;
  /** The kernel's oom_score, relative to the whole host. */
  score: number;
  scoreAdj: number;
  memory: ProcessMemory;
  /** Has CAP_SYS_ADMIN. */
  isAdmin?: boolean;
  /** Present if it was read in detail. */
  stat?: ProcessStat;
}

/** The scope and rules that candidates are ranked by. */
export interface VictimScope {
  /** Memory plus swap that the scope may use: the host's, or a cgroup's limit plus its swap. */
  totalBytes: number;
  pageBytes: number;
  /** True if pid 1 is the host's init, which is never killed. */
  hostInit: boolean;
  /** For a cgroup, the order of two cgroups in it: negative if the kernel visits `a` first. */
  cgroupOrder?: (a: string, b: string) => number;
  rules: BadnessRules;
}

/**
 * The scope of a cgroup's own limit (`mem_cgroup_get_max()`): the limit plus the swap it may use.
 * @param limit.swapMaxBytes absent if the kernel does not account swap by cgroup, which means no limit
 * @param limit.swappiness 0: the kernel counts no swap; absent: unknown
 */
export function cgroupScope(
  host: VictimScope,
  limit: { maxBytes: number; swapMaxBytes?: number; swappiness?: number },
  swapTotalBytes: number,
): VictimScope {
  const mayUse = limit.swappiness === 0 ? 0 : (limit.swapMaxBytes ?? swapTotalBytes);
  return { ...host, totalBytes: limit.maxBytes + Math.min(mayUse, swapTotalBytes) };
}

/** True if the kernel never chooses the process, whatever runs out. */
export function isExempt(candidate: Candidate, hostInit: boolean): boolean {
  return isUnkillable(candidate.scoreAdj) || (hostInit && candidate.pid === 1);
}

/** The order in which the kernel would choose, next victim first, without exempt processes. */
export function rankVictims<Task extends Candidate>(
  candidates: readonly Task[],
  scope: VictimScope,
): Task[] {
  const { rules } = scope;
  const points = new Map<Task, number>();
  for (const candidate of candidates) {
    if (isExempt(candidate, scope.hostInit)) continue;
    const badness = badnessPages(
      badnessTask(candidate, scope),
      scope.totalBytes,
      scope.pageBytes,
      rules,
    );
    if (badness !== undefined) points.set(candidate, badness);
  }
  const later = rules.ofEquals === "last" ? 1 : -1;
  const ranked = [...points.keys()].sort(
    (a, b) => (points.get(b) as number) - (points.get(a) as number) || later * order(b, a, scope),
  );
  return rules.childrenFirst ? childrenFirst(ranked) : ranked;
}

function badnessTask(candidate: Candidate, { pageBytes, rules }: VictimScope) {
  const { memory, scoreAdj, stat, isAdmin } = candidate;
  const residentBytes =
    rules.residentFrom === "stat" && stat !== undefined
      ? stat.residentPages * pageBytes
      : memory.residentBytes;
  return { ...memory, residentBytes, oomScoreAdj: scoreAdj, isAdmin };
}

/** Positive if the kernel visits `a` after `b`. */
function order(a: Candidate, b: Candidate, { cgroupOrder }: VictimScope): number {
  if (cgroupOrder !== undefined && a.cgroup !== undefined && b.cgroup !== undefined) {
    const between = a.cgroup === b.cgroup ? 0 : cgroupOrder(a.cgroup, b.cgroup);
    if (between !== 0) return between;
  }
  // Pids are reused; start times are read only for the first candidates, and in hundredths of a second.
  const age = a.stat && b.stat ? a.stat.startTicks - b.stat.startTicks : 0;
  return age || a.pid - b.pid;
}

/** Children in their parent's address space are not killed first; they are rare, and not known here. */
function childrenFirst<Task extends Candidate>(ranked: readonly Task[]): Task[] {
  const children = new Map<number | undefined, Task[]>();
  for (const task of ranked) {
    const siblings = children.get(task.parentPid);
    if (siblings === undefined) children.set(task.parentPid, [task]);
    else siblings.push(task);
  }
  return [...new Set(ranked.flatMap((task) => [...(children.get(task.pid) ?? []), task]))];
}
