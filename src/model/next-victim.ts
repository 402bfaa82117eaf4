import { badnessBytes, unkillableScoreAdj } from "../kernel/badness.ts";
import type { ProcessMemory } from "../kernel/process-status.ts";

/** A process that the kernel may have to choose among. */
export interface Candidate {
  pid: number;
  comm: string;
  /** The kernel's own oom_score, on the host's scale. */
  score: number;
  scoreAdj: number;
  memory: ProcessMemory;
}

/** What the kernel measures candidates against. */
export interface VictimScope {
  /** Memory plus swap that the scope may use: the host's, or a cgroup's limit plus its swap. */
  totalBytes: number;
  pageBytes: number;
  /** True where pid 1 is the init of the whole host, which is never killed. */
  hostInit: boolean;
}

/**
 * The scope of a cgroup's own limit (`mem_cgroup_get_max()`): the limit plus the swap it may use.
 * @param swapMaxBytes absent where the kernel does not account swap by cgroup, which limits nothing
 */
export function cgroupScope(
  host: VictimScope,
  limit: { maxBytes: number; swapMaxBytes?: number },
  swapTotalBytes: number,
): VictimScope {
  const swapBytes = Math.min(limit.swapMaxBytes ?? swapTotalBytes, swapTotalBytes);
  return { ...host, totalBytes: limit.maxBytes + swapBytes };
}

/** True where the kernel never chooses the process, whatever runs out. */
export function isUntouchable(candidate: Candidate, hostInit: boolean): boolean {
  return candidate.scoreAdj === unkillableScoreAdj || (hostInit && candidate.pid === 1);
}

/**
 * The order in which the kernel would choose, the next victim first, untouchable ones left out.
 * `out_of_memory()` takes the task with the most points (badness.ts); among equals the one made last,
 * as `oom_evaluate_task()` lets a later task replace an equal one.
 */
export function rankVictims<Task extends Candidate>(
  candidates: readonly Task[],
  scope: VictimScope,
): Task[] {
  const points = new Map<Task, number>();
  for (const candidate of candidates) {
    if (isUntouchable(candidate, scope.hostInit)) continue;
    const { memory, scoreAdj } = candidate;
    const task = { ...memory, oomScoreAdj: scoreAdj };
    const badness = badnessBytes(task, scope.totalBytes, scope.pageBytes);
    if (badness !== undefined) points.set(candidate, badness);
  }
  return [...points.keys()].sort(
    (a, b) => (points.get(b) as number) - (points.get(a) as number) || b.pid - a.pid,
  );
}
