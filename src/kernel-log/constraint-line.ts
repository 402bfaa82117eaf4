/**
 * The lines that name the limit that was hit and the victim's cgroup.
 *
 * Source: mm/oom_kill.c, `dump_oom_victim()` (>= 5.0); before that mm/memcontrol.c,
 * `mem_cgroup_print_oom_info()`, for cgroups only.
 *
 *     oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=b,mems_allowed=0,oom_memcg=/job,task_memcg=/job/b,task=greedy,pid=226,uid=0
 *     Task in /job/b killed as a result of limit of /job
 */
import { decodeCgroup, decodeUtf8 } from "./kernel-text.ts";

/** Where the kernel looked for a victim, as in the metric label. */
export type OomConstraint = "none" | "memcg" | "cpuset" | "memory_policy" | "unknown";

/** The `oom-kill:constraint=...` line (>= 5.0). Its fields are unquoted, and users choose some of them. */
export interface ConstraintLine {
  constraint: OomConstraint;
  /** The kernel's word for it, if that is none of its own: a BPF program chose it. */
  customConstraint?: string;
  limitCgroup?: string;
  victimCgroup?: string;
  task?: string;
  pid?: number;
  uid?: number;
}

const constraintNames: Record<string, OomConstraint> = {
  CONSTRAINT_NONE: "none",
  CONSTRAINT_MEMCG: "memcg",
  CONSTRAINT_CPUSET: "cpuset",
  CONSTRAINT_MEMORY_POLICY: "memory_policy",
};

/**
 * Parses a constraint line from both ends. `cpuset=` holds one component of a path, which has no `/`, so the first
 * `,oom_memcg=/` is the real one; the task's fields are the last three. A tail cut off by the record's maximum length is
 * no error, but a path that may be cut is left out. With `isShortened` the line may also end behind the task, the pid or
 * the limit: people leave out the rest.
 */
export function parseConstraintLine(text: string, isShortened = false): ConstraintLine | undefined {
  const name = /^oom-kill:constraint=(\w+)/.exec(text);
  if (name === null) return undefined;
  const known = constraintNames[name[1] ?? ""];
  const line: ConstraintLine = { constraint: known ?? "unknown" };
  if (known === undefined && name[1]?.startsWith("CONSTRAINT_")) line.customConstraint = name[1];

  let paths = text;
  const task =
    /^(.*),task=(.*),pid=(\d+),uid=(-?\d+)\s*$/s.exec(text) ??
    (isShortened ? /^(.*),task=(.*?)(?:,pid=(\d+))?,?\s*$/s.exec(text) : null);
  if (task !== null) {
    paths = task[1] ?? "";
    line.task = decodeUtf8(task[2] ?? "");
    if (task[3] !== undefined) line.pid = Number(task[3]);
    // 4.20 and 5.0 print the number as a signed one.
    if (task[4] !== undefined) line.uid = Number(task[4]) >>> 0;
  }
  const limitAt = paths.indexOf(",oom_memcg=/");
  const globalAt = paths.indexOf(",global_oom,task_memcg=/");
  const hasEnd = task !== null;
  if (limitAt >= 0) {
    const start = limitAt + ",oom_memcg=".length;
    const split = splitLimitAndVictim(paths, start);
    const alone = isShortened && split < 0 ? paths.slice(start) : "";
    if (wholePath.test(alone)) line.limitCgroup = decodeCgroup(alone);
    if (split >= 0) {
      line.limitCgroup = decodeCgroup(paths.slice(start, split));
      if (hasEnd) line.victimCgroup = decodeCgroup(paths.slice(split + ",task_memcg=".length));
    }
  } else if (globalAt >= 0 && hasEnd) {
    line.victimCgroup = decodeCgroup(paths.slice(globalAt + ",global_oom,task_memcg=".length));
  } else if (hasEnd) {
    const victimAt = paths.indexOf(",task_memcg=/");
    if (victimAt >= 0)
      line.victimCgroup = decodeCgroup(paths.slice(victimAt + ",task_memcg=".length));
  }
  return line;
}

const brokenField = /^[ \t]*(?:[a-z_]+=|global_oom,)/;

/** A constraint line of a text in which somebody broke it between its fields; other lines that follow are left out. */
export function joinedConstraint(text: string): string {
  const [first = "", ...rest] = text.split("\n");
  const end = rest.findIndex((line) => !brokenField.test(line));
  const fields = rest.slice(0, end < 0 ? rest.length : end);
  return [first, ...fields].map((line) => line.trim().replace(/, +(?=[a-z_])/g, ",")).join("");
}

/** A path that ends in a whole name, so it is not cut: a unit's, or a container's id. */
const wholePath = /^\/[^,\s]*(?:\.(?:service|scope|slice)|\/[\da-f]{64})$/;

/** Where `,task_memcg=` begins: if there are several, the one that puts the victim at or below the limit. */
function splitLimitAndVictim(paths: string, start: number): number {
  const mark = ",task_memcg=/";
  const first = paths.indexOf(mark, start);
  for (let at = first; at >= 0; at = paths.indexOf(mark, at + 1)) {
    const limit = paths.slice(start, at);
    const victim = paths.slice(at + mark.length - 1);
    if (victim === limit || victim.startsWith(limit === "/" ? "/" : `${limit}/`)) return at;
  }
  return first;
}

/** `Task in A killed as a result of limit of B`, or as much of it as there is. */
export function taskIn(text: string): { victim?: string; limit?: string } {
  const whole = /^Task in (.*?) ?killed as a result of limit of (\/.*?)\s*$/s.exec(text);
  if (whole === null) return {};
  return { victim: decodeCgroup(whole[1] ?? ""), limit: decodeCgroup(whole[2] ?? "") };
}
