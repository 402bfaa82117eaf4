/**
 * The line that says who died: `Killed process PID (COMM) ...`, of every kernel since 2.4.
 *
 * Source: mm/oom_kill.c, `__oom_kill_process()`, before 5.0 `oom_kill_process()`. Every victim has
 * one, and nothing else says that somebody died.
 *
 *     Out of Memory: Killed process 2592 (mysql).                                          (2.4)
 *     Killed process 13 (a) total-vm:50304kB, anon-rss:48516kB, file-rss:4kB               (2.6.36)
 *     Killed process 13, UID 27, (mysqld) total-vm:47388kB, anon-rss:3744kB, file-rss:80kB (RHEL 6)
 *     Memory cgroup out of memory: Killed process 226 (greedy) total-vm:50304kB, anon-rss:48516kB, file-rss:4kB, shmem-rss:708kB, UID:0 pgtables:132kB oom_score_adj:0
 */
import { decodeUtf8 } from "./kernel-text.ts";

const prefixes =
  "Memory cgroup out of memory(?: \\([a-z_]+\\))?|Out of [mM]emory(?: \\([a-z_]+\\))?|No available memory (?:\\(MPOL_BIND\\)|in cpuset)";
/** How such a line begins. */
export const killHead = new RegExp(`^(?:(${prefixes}): )?Killed process (\\d+)\\b`);
const killGrammar = new RegExp(
  `^(?:(${prefixes}): )?Killed process (\\d+)(?:, UID (\\d+),)?\\s\\((.*)\\)(?:, UID (\\d+),)?` +
    "(\\.|(?:,?\\s+(?:[A-Za-z][A-Za-z_-]*:\\d+kB|(?:UID|oom_[a-z_]+):-?\\d+))+|)\\s*$",
  "s",
);
/** The line before it until 5.0: whom the kernel chose, who may live on while a child dies. */
export const announcement = new RegExp(`^(${prefixes}): [Kk]ill process (\\d+) \\(`);

/** A task's name has at most 15 bytes; longer ones stand in text that only looks like the kernel's. */
export const commMaxBytes = 15;

/** The fields of a `Killed process` line. Sizes in bytes. */
export interface KillLine {
  /** `Out of memory`, `Memory cgroup out of memory`, ...; in a report also that of its announce line. */
  prefix?: string;
  pid: number;
  comm: string;
  uid?: number;
  totalVmBytes?: number;
  anonRssBytes?: number;
  fileRssBytes?: number;
  shmemRssBytes?: number;
  pageTablesBytes?: number;
  oomScoreAdj?: number;
}

/**
 * Reads the text of a `Killed process` line of any kernel, the whole of it: a name may hold `)` and
 * even ` total-vm:9kB`, so the sizes are those behind the last parenthesis. `undefined` for anything
 * else, a line cut short among them.
 */
export function parseKillLine(text: string): KillLine | undefined {
  const match = killGrammar.exec(text);
  if (match === null) return undefined;
  const [, prefix, pid, uidBefore, comm = "", uidAfter, tail = ""] = match;
  if (comm.length > commMaxBytes) return undefined;
  const kill: KillLine = { pid: Number(pid), comm: decodeUtf8(comm) };
  if (prefix !== undefined) kill.prefix = prefix;
  const uid = uidBefore ?? uidAfter;
  if (uid !== undefined) kill.uid = Number(uid);
  if (tail === "" || tail === ".") {
    // Until 2.6.23 the line has a prefix and ends with a full stop, from 2.6.24 on neither.
    return (prefix === undefined) === (tail === "") ? kill : undefined;
  }
  const sizes = killSizes(tail);
  if (sizes.totalVmBytes === undefined || sizes.anonRssBytes === undefined) return undefined;
  return { ...sizes, ...kill };
}

/**
 * The same for a line whose end is missing: what is left of it, at least the whole name and the
 * beginning of the sizes.
 */
export function parseCutKillLine(text: string): KillLine | undefined {
  const head = killHead.exec(text);
  const name = /\((.{0,15}?)\)(?:, UID \d+,)?\s+(?:total-vm|vsz):/s.exec(text);
  if (head === null || name === null) return undefined;
  const kill: KillLine = { pid: Number(head[2]), comm: decodeUtf8(name[1] ?? "") };
  if (head[1] !== undefined) kill.prefix = head[1];
  return { ...killSizes(text.slice(name.index + name[0].lastIndexOf(" "))), ...kill };
}

function killSizes(tail: string): Partial<KillLine> {
  const values = new Map<string, number>();
  // Without the look behind, every letter of a long word would be tried as the first of a key.
  for (const [, key = "", value] of tail.matchAll(/(?<![\w-])([A-Za-z][A-Za-z_-]*):(\d+)kB/g)) {
    values.set(key, Number(value));
  }
  const bytes = (key: string): number | undefined => {
    const kilobytes = values.get(key);
    return kilobytes === undefined ? undefined : kilobytes * 1024;
  };
  const totalVmBytes = bytes("total-vm") ?? bytes("vsz");
  const sizes: Partial<KillLine> = {
    totalVmBytes,
    anonRssBytes: bytes("anon-rss"),
    fileRssBytes: bytes("file-rss"),
    shmemRssBytes: bytes("shmem-rss"),
    pageTablesBytes: pageTables(values.get("pgtables"), totalVmBytes),
  };
  const adj = /\boom_score_adj:(-?\d+)/.exec(tail)?.[1];
  const uid = /\bUID:(\d+)/.exec(tail)?.[1];
  if (adj !== undefined) sizes.oomScoreAdj = Number(adj);
  if (uid !== undefined) sizes.uid = Number(uid);
  return sizes;
}

/**
 * 5.4.0 to 5.4.11 print bytes and call them kB: a number of whole pages, far more than tables of that
 * much memory need (1/512 of what they map, when it is densely used).
 */
function pageTables(printed: number | undefined, totalVm: number | undefined): number | undefined {
  if (printed === undefined) return undefined;
  const bytes = printed * 1024;
  const isBytes = printed % 4096 === 0 && totalVm !== undefined && bytes > totalVm / 64;
  return isBytes ? printed : bytes;
}
