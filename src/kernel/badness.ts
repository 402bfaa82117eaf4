/*
 * oom_badness(), mm/oom_kill.c, and /proc/PID/oom_score, fs/proc/base.c
 *
 *   points = rss + swap entries + page tables      (in pages; page tables since 2.6.36)
 *   points += oom_score_adj * (total pages / 1000)
 *
 * The task with the most points dies. "total" is memory plus swap of the host, or, for a cgroup, its
 * limit plus the swap it may use. oom_score_adj -1000 takes a task out.
 *
 * Versions: a task of a CAP_SYS_ADMIN holder had 3 % less until 4.16; points below 1 became 1 until
 * 5.8, so that all tasks deep in the negative were equal; since 5.9 points may be negative. oom_score
 * is points * 1000 / total until 5.8 and (1000 + points * 1000 / total) * 2 / 3 since, which makes every
 * small task 666.
 */

/** The oom_score_adj that takes a task out of the choice. */
export const unkillableScoreAdj = -1000;

/** The parts of a task's badness, in bytes. */
export interface BadnessTask {
  residentBytes: number;
  swapBytes: number;
  pageTablesBytes: number;
  oomScoreAdj: number;
}

/**
 * A task's badness in bytes, as kernels since 5.9 compute it, within memory and swap of `totalBytes`.
 * `undefined` where oom_score_adj takes the task out.
 */
export function badnessBytes(
  task: BadnessTask,
  totalBytes: number,
  pageBytes: number,
): number | undefined {
  if (task.oomScoreAdj === unkillableScoreAdj) return undefined;
  const adjUnitPages = Math.floor(totalBytes / pageBytes / 1000);
  return (
    task.residentBytes +
    task.swapBytes +
    task.pageTablesBytes +
    task.oomScoreAdj * adjUnitPages * pageBytes
  );
}

/** How an operator set a task, by its oom_score_adj. */
export type Protection = "unkillable" | "protected" | "default" | "sacrificial";

export function protectionOf(oomScoreAdj: number): Protection {
  if (oomScoreAdj === unkillableScoreAdj) return "unkillable";
  if (oomScoreAdj < 0) return "protected";
  return oomScoreAdj === 0 ? "default" : "sacrificial";
}
