/*
 * oom_badness() and oom_evaluate_task(), mm/oom_kill.c; /proc/PID/oom_score, fs/proc/base.c
 *
 *   points = rss + swap entries + page tables      (in pages; page tables since 2.6.36)
 *   points += oom_score_adj * (total pages / 1000)
 *
 * The task with the most points dies. "total" is memory plus swap of the host, or, for a cgroup, its
 * limit plus the swap it may use. oom_score_adj -1000 takes a task out, and so do a child between
 * vfork() and exec() (since 4.8) and a task whose memory has been reaped already (MMF_OOM_SKIP).
 * A task in swapoff() goes before all (oom_task_origin()). No file tells of these three, nor of one
 * that is dying already, for which the kernel waits instead of choosing.
 *
 * What it took when, by the mainline release; distributions carry some of it back:
 *
 *   until 4.14  page tables are PTEs, since 4.0 PMDs too; since 4.15 PUDs too (mm_pgtables_bytes())
 *   until 4.16  3 % less for a task that holds CAP_SYS_ADMIN (d46078b28889 ended it)
 *   until 5.0   of the chosen one's children with memory of their own the worst died for it
 *               (bbbe48029720 ended it, in oom_kill_process())
 *   until 5.2   the first of equals was taken, since then the last (oom_evaluate_task())
 *   until 5.8   points below 1 counted as 1, so all deep in the negative were equal (9066e5cfb73c)
 *   until 6.1   rss was what /proc/PID/status shows; 6.2 made it a counter that each processor adds
 *               to in batches. oom_badness() reads it as it stands, and so does /proc/PID/stat;
 *               status shows the exact sum since 6.16 (82241a83cd15). From 7.0 on the killer takes
 *               the exact sum as well (get_mm_rss_sum()). Swap entries, too, but no file has theirs.
 *
 * oom_score is points * 1000 / total until 5.8 and (1000 + points * 1000 / total) * 2 / 3 since, which
 * makes every small task 666.
 */

/** What differs by release. */
export interface BadnessRules {
  /** 3 % less for a task that holds CAP_SYS_ADMIN. */
  adminDiscount: boolean;
  /** A child with memory of its own dies for its parent. */
  childrenFirst: boolean;
  /** Which of equals is taken, in the order in which the kernel comes by them. */
  ofEquals: "first" | "last";
  /** Points below 1 count as 1. */
  atLeastOne: boolean;
  /** The file that shows resident memory as the killer counts it. */
  residentFrom: "stat" | "status";
}

/**
 * The rules of a kernel, by its release as in /proc/sys/kernel/osrelease: `5.10.0-46-cloud-amd64`.
 * Of a release that is absent or not understood: the newest.
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

/** OOM_SCORE_ADJ_MIN: the kernel never chooses a task that has it. */
const unkillableScoreAdj = -1000;

/** Whether oom_score_adj exempts a task from kills; `false` if it is unknown. */
export function isUnkillable(oomScoreAdj: number | null | undefined): boolean {
  return oomScoreAdj === unkillableScoreAdj;
}

/** What a task's badness is made of, in bytes. */
export interface BadnessTask {
  residentBytes: number;
  swapBytes: number;
  pageTablesBytes: number;
  oomScoreAdj: number;
  /** Holds CAP_SYS_ADMIN. */
  isAdmin?: boolean;
}

/**
 * A task's badness in pages, within memory and swap of `totalBytes`. `undefined` where oom_score_adj
 * takes the task out.
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

/** How an operator set a task, by its oom_score_adj. */
export type Protection = "unkillable" | "protected" | "default" | "sacrificial";

export function protectionOf(oomScoreAdj: number): Protection {
  if (isUnkillable(oomScoreAdj)) return "unkillable";
  if (oomScoreAdj < 0) return "protected";
  return oomScoreAdj === 0 ? "default" : "sacrificial";
}
