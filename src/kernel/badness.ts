/*
 * oom_badness() and oom_evaluate_task(), mm/oom_kill.c; /proc/PID/oom_score, fs/proc/base.c
 *
 *   points = rss + swap entries + page tables      (in pages; page tables since 2.6.36)
 *   points += oom_score_adj * (total pages / 1000)
 *
 * The task with the most points dies. "total" is memory plus swap of the host or, for a cgroup, its limit plus
 * the swap it may use. Exempt are tasks with oom_score_adj -1000, a child between vfork() and exec() (since 4.8)
 * and a task whose memory has already been reaped (MMF_OOM_SKIP). A task in swapoff() goes first
 * (oom_task_origin()). While a task is already dying the kernel waits instead of choosing another. No file shows
 * vfork(), reaping, swapoff() and dying.
 *
 * Changes by mainline release; distributions backport some of them:
 *
 *   until 4.14  page tables are PTEs, since 4.0 PMDs too; since 4.15 PUDs too (mm_pgtables_bytes())
 *   until 4.16  3 % less for a task with CAP_SYS_ADMIN (removed by d46078b28889)
 *   until 5.0   the worst child of the chosen task that has its own memory died instead
 *               (removed by bbbe48029720, in oom_kill_process())
 *   until 5.2   among equals the first was chosen, since then the last (oom_evaluate_task())
 *   until 5.8   points below 1 counted as 1, so all strongly negative tasks were equal (9066e5cfb73c)
 *   until 6.1   rss was the value in /proc/PID/status; 6.2 made it a counter that each processor adds to in
 *               batches. oom_badness() and /proc/PID/stat read it without pending batches; status shows the
 *               exact sum since 6.16 (82241a83cd15). From 7.0 on oom_badness() also uses the exact sum
 *               (get_mm_rss_sum()). The same holds for swap entries, but no file shows those.
 *
 * oom_score is points * 1000 / total until 5.8 and (1000 + points * 1000 / total) * 2 / 3 since, which gives every
 * small task 666.
 */

/** Differences between releases. */
export interface BadnessRules {
  /** 3 % less for a task with CAP_SYS_ADMIN. */
  adminDiscount: boolean;
  /** A child with its own memory dies instead of its parent. */
  childrenFirst: boolean;
  /** Which one of several equals is chosen, in the order in which the kernel visits them. */
  ofEquals: "first" | "last";
  /** Points below 1 count as 1. */
  atLeastOne: boolean;
  /** The file that shows resident memory as oom_badness() counts it. */
  residentFrom: "stat" | "status";
}

/**
 * The rules of a kernel, by its release as in /proc/sys/kernel/osrelease: `5.10.0-46-cloud-amd64`. For a missing
 * or unknown release: the newest rules.
 */
export function badnessRules(release: string | undefined): BadnessRules {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release ?? "") ?? [];
  const version = major === undefined ? Number.POSITIVE_INFINITY : +major * 1000 + Number(minor);
  return {
    adminDiscount: version < 4_017,
    childrenFirst: version < 5_001,
    ofEquals: version < 5_003 ? "first" : "last",
    atLeastOne: version < 5_009,
    residentFrom: version >= 6_002 && version < 7_000 ? "stat" : "status",
  };
}

/** OOM_SCORE_ADJ_MIN: the kernel never chooses a task with this value. */
const unkillableScoreAdj = -1000;

/** Whether oom_score_adj exempts a task from kills; `false` if it is unknown. */
export function isUnkillable(oomScoreAdj: number | null | undefined): boolean {
  return oomScoreAdj === unkillableScoreAdj;
}

/** The parts of a task's badness, in bytes. */
export interface BadnessTask {
  residentBytes: number;
  swapBytes: number;
  pageTablesBytes: number;
  oomScoreAdj: number;
  /** Has CAP_SYS_ADMIN. */
  isAdmin?: boolean;
}

/**
 * A task's badness in pages, relative to memory and swap of `totalBytes`. `undefined` if oom_score_adj exempts the
 * task.
 */
export function badnessPages(
  task: BadnessTask,
  totalBytes: number,
  pageBytes: number,
  rules: BadnessRules,
): number | undefined {
  if (isUnkillable(task.oomScoreAdj)) return undefined;
  const held = task.residentBytes + task.swapBytes + task.pageTablesBytes;
  let points = Math.floor(held / pageBytes);
  if (rules.adminDiscount && task.isAdmin) points -= Math.floor((points * 3) / 100);
  points += task.oomScoreAdj * Math.floor(totalBytes / pageBytes / 1000);
  return rules.atLeastOne ? Math.max(1, points) : points;
}

/** How an operator has set a task's oom_score_adj. */
export type Protection = "unkillable" | "protected" | "default" | "sacrificial";

export function protectionOf(oomScoreAdj: number): Protection {
  if (isUnkillable(oomScoreAdj)) return "unkillable";
  if (oomScoreAdj < 0) return "protected";
  return oomScoreAdj === 0 ? "default" : "sacrificial";
}
