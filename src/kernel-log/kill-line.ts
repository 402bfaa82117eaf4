/**
 * The line that names the victim: `Killed process PID (COMM) ...`, in every kernel since 2.4.
 *
 * Source: mm/oom_kill.c, `__oom_kill_process()`, before 5.0 `oom_kill_process()`. It is printed for every victim, and no
 * other line means that a process was killed.
 *
 *     Out of Memory: Killed process 2592 (mysql).                                          (2.4)
 *     Killed process 13 (a) total-vm:50304kB, anon-rss:48516kB, file-rss:4kB               (2.6.36)
 *     Killed process 13, UID 27, (mysqld) total-vm:47388kB, anon-rss:3744kB, file-rss:80kB (RHEL 6)
 *     Out of memory in UB 317592: OOM killed process 2946 (npm) score 0 vm:1506164kB, rss:237752kB, swap:120052kB (OpenVZ 6)
 *     Memory cgroup out of memory: Killed process 226 (greedy) total-vm:50304kB, anon-rss:48516kB, file-rss:4kB, shmem-rss:708kB, UID:0 pgtables:132kB oom_score_adj:0
 */
import type { OomConstraint } from "./constraint-line.ts";
import { decodeUtf8 } from "./kernel-text.ts";

const raw = String.raw;
const prefixes = raw`Memory cgroup out of memory(?: \([a-z_]+\))?|Out of [mM]emory(?: in UB \w{1,12}| \([a-z_]+\))?|No available memory (?:\(MPOL_BIND\)|in cpuset)`;
/** The beginning of such a line. A mail may break it at a blank. */
export const killHead = new RegExp(
  raw`^\s*(?:(${prefixes}):\s{1,4})?(?:OOM\s{1,4}k|K)illed\s{1,4}process\s{1,4}(\d+)\b`,
);
/** What vendors' kernels put between name and sizes: `, UID 27,`, ` score 0`, ` in VE "7"`. */
const extras = raw`((?:,? (?:UID|adj|score|prio) -?\d{1,10},?| in VE "?[\w-]{1,64}"?)*)`;
const sizes = raw`(\.|(?:,?\s+(?:[A-Za-z][A-Za-z_-]*:\d+kB|(?:UID|oom_[a-z_]+):-?\d+))+|)`;
// Fluent Bit may leave a control character at the end.
const killGrammar = new RegExp(
  raw`${killHead.source}(?:, UID (\d+),)?\s\((.*)\)${extras}${sizes}[\s\x00-\x1f]*$`,
  "s",
);
/** The line before it until 5.0: the task the kernel chose, which may survive if a child dies instead. */
export const announcement = new RegExp(
  raw`^(${prefixes}): [Kk]ill process (\d+) \((.{0,15})\)`,
  "s",
);

/** A kill line that a mail broke before its pid. */
const brokenHead = new RegExp(
  raw`^\s*(?:(?:${prefixes}):\s*)?(?:(?:OOM|(?:OOM\s+k|K)illed)(?:\s+process)?)?\s*$`,
);

/** Whether a text is the beginning of a kill line and ends before the pid. */
export function beginsKill(text: string): boolean {
  if (text.length > 100) return false;
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) <= 0x20) end -= 1;
  // Every line of a dump gets here: check for the last letters of `OOM`, `Killed` and `process`, and a colon.
  return end > 0 && ":Mds".includes(text.charAt(end - 1)) && brokenHead.test(text);
}

/** A kill line in a kernel's own wording; the console's secure attention key kills too. */
const likeKill = /^(?!SAK\b)[\w .()[\]:-]{0,60}?\b[Kk]illed process \d+,? ?(?:UID \d+,? ?)?\(/;

/** Whether a kernel message looks like a kill, even if no known kernel writes it that way. */
export function looksLikeKill(text: string): boolean {
  return text.includes("illed process ") && likeKill.test(text);
}

const anyKill = new RegExp(
  raw`(?:(?:${prefixes}): )?(?:OOM k|K)illed process \d{1,10}\b.{1,400}`,
  "s",
);
const announced = new RegExp(raw`(${prefixes}): [Kk]ill process \d{1,10} \(`);

/** The kill line of the oldest kernels, which has no sizes: the full stop ends it. */
const anyOldKill = /Out of [mM]emory: Killed process \d{1,10} \([^()]{1,15}\)\./;

const written = raw`(?:${prefixes}): Killed process \d{1,10} \([^()]{1,15}\)`;
const writtenAlone = new RegExp(raw`^${written}\s*$`);
/** Whether a text is a kill line without its sizes. From 2.6.36 on no kernel writes one: somebody shortened it. */
export function isWrittenKill(text: string): boolean {
  return writtenAlone.test(text);
}

/** A kill line that somebody wrote down without its sizes, alone on a line or in Markdown's marks for code. */
export const bareKill = new RegExp(
  raw`^[\s>|*-]{0,20}${written}(?: in /\S{1,200})?\s*$|\x60${written}\x60`,
);
const writtenKill = new RegExp(written);

const quotedAnnouncement = new RegExp(
  raw`(?:${prefixes}): [Kk]ill process \d{1,10} \([^)]{0,15}\) score \d{1,5}\b`,
);

/** The kill line quoted in a text; `undefined` if there is none. */
export function quotedKill(text: string): string | undefined {
  const kill = anyKill.exec(text.slice(0, 4096))?.[0];
  const whole =
    kill === undefined ? undefined : /^.*(?:\dkB|oom_score_adj:-?\d{1,5})/s.exec(kill)?.[0];
  if (whole === undefined) {
    const written = bareKill.test(text) ? writtenKill.exec(text)?.[0] : undefined;
    return written === undefined ? anyOldKill.exec(text.slice(0, 4096))?.[0] : `${written}.`;
  }
  const prefix = whole.startsWith("Killed") ? announced.exec(text.slice(0, 4096))?.[1] : undefined;
  return prefix === undefined ? whole : `${prefix}: ${whole}`;
}

/** The same, or the line before it if the quotation ends there: the task the kernel chose. */
export function quotedText(text: string): string | undefined {
  return quotedKill(text) ?? quotedAnnouncement.exec(text.slice(0, 4096))?.[0];
}

/** The line of the oldest kernels at the beginning of a text whose sentences were joined. */
export function oldKillIn(text: string): KillLine | undefined {
  const line = anyOldKill.exec(text);
  return line?.index === 0 ? parseKillLine(line[0]) : undefined;
}

/** A task's name has at most 15 bytes; longer ones stand in text that only looks like the kernel's. */
export const commMaxBytes = 15;

/** The fields of a `Killed process` line. Sizes in bytes. */
export interface KillLine {
  /** `Out of memory`, `Memory cgroup out of memory`, ...; in a report also that of its announce line. */
  prefix?: string;
  pid: number;
  comm: string;
  uid?: number;
  /** OpenVZ and Virtuozzo: the container whose limit was hit, or that the victim ran in. */
  veId?: string;
  totalVmBytes?: number;
  anonRssBytes?: number;
  fileRssBytes?: number;
  shmemRssBytes?: number;
  pageTablesBytes?: number;
  oomScoreAdj?: number;
}

/**
 * Where the kernel looked for a victim, according to the prefix: `Memory cgroup...` and OpenVZ's `in UB 7` mean a
 * cgroup, `Out of memory` the host. `unknown` without a prefix.
 */
export function constraintOfPrefix(prefix: string | undefined): OomConstraint {
  if (prefix === undefined) return "unknown";
  if (prefix.startsWith("Memory cgroup") || prefix.includes(" in UB ")) return "memcg";
  if (prefix.startsWith("Out of")) return "none";
  return prefix.endsWith("in cpuset") ? "cpuset" : "memory_policy";
}

/**
 * Parses the complete text of a `Killed process` line of any kernel. A name may contain `)` and even ` total-vm:9kB`, so
 * the sizes are those after the last parenthesis. `undefined` for anything else, including a truncated line.
 */
export function parseKillLine(text: string): KillLine | undefined {
  const match = killGrammar.exec(text);
  if (match === null) return undefined;
  const [, prefix, pid, uidBefore, comm = "", extra = "", tail = ""] = match;
  if (comm.length > commMaxBytes) return undefined;
  const kill: KillLine = { pid: Number(pid), comm: decodeUtf8(comm) };
  if (prefix !== undefined) kill.prefix = prefix;
  const uid = uidBefore ?? /UID (\d+)/.exec(extra)?.[1];
  if (uid !== undefined) kill.uid = Number(uid);
  const adj = /adj (-?\d+)/.exec(extra)?.[1];
  if (adj !== undefined) kill.oomScoreAdj = Number(adj);
  const veId = / in UB (\d+)$/.exec(prefix ?? "")?.[1] ?? / in VE "?([\w-]+)/.exec(extra)?.[1];
  if (veId !== undefined) kill.veId = veId;
  if (tail === "" || tail === ".") {
    // Until 2.6.23 the line has a prefix and ends with a full stop, from 2.6.24 on neither.
    return (prefix === undefined) === (tail === "") ? kill : undefined;
  }
  const held = killSizes(tail);
  const hasRss = held.anonRssBytes !== undefined || /\brss:\d/.test(tail);
  if (held.totalVmBytes === undefined || !hasRss) return undefined;
  return { ...held, ...kill };
}

/** The name, and the first size or as much of its key as is left. */
const cutName =
  /\((.{0,15}?)\)(?:,? (?:UID|adj|score) -?\d+,?)*\s*(?:\s(?:total-vm|vsz|vm):|(?:\st(?:o(?:t(?:a(?:l(?:-(?:v(?:m)?)?)?)?)?)?)?)?\s*$)/s;

/** A terminal may have broken the line inside the pid; no name can begin before its bracket. */
const brokenPid = /(illed\s{1,4}process\s{1,4}\d{1,9})\n(?=\d{1,9}(?:, UID \d{1,10},)?\s\()/;
/** What follows may be another report. */
const otherRecord = /illed\s{1,4}process|oom-kill|oom_reaper/;
const beforeName = /^(?:, UID \d{1,10},)?\s*$/;

/** The same for a line whose end is missing: what is left of it, at least the whole name. */
export function parseCutKillLine(cutText: string): KillLine | undefined {
  const text = cutText.replace(brokenPid, "$1");
  const head = killHead.exec(text);
  const name = cutName.exec(text);
  if (head === null || name === null) return undefined;
  // What is between them may be the rest of the pid.
  if (!beforeName.test(text.slice(head[0].length, name.index))) return undefined;
  const kill: KillLine = { pid: Number(head[2]), comm: decodeUtf8(name[1] ?? "") };
  if (head[1] !== undefined) kill.prefix = head[1];
  const [own = ""] = text.slice(name.index + name[0].lastIndexOf(")")).split(otherRecord, 1);
  return { ...killSizes(own), ...kill };
}

const dots = raw`[\s,]{0,4}[[(]?(?:\.{2,}(?!\.)|\xe2\x80\xa6)[\])]?`;
const shortened = new RegExp(
  raw`${killHead.source}(?:, UID (\d+),)? ?\(([^()]{1,15})\)((?:[\s,]{1,4}(?:[A-Za-z][A-Za-z_-]{0,20}:\d{1,15}kB|UID[: ]\d{1,10}|oom_score_adj:-?\d{1,5})|${dots}){1,12})[\s,]*$`,
);
const anyDots = new RegExp(dots);

/**
 * The same for a line that a person shortened, who left out sizes or put dots in their place. Not for a log that is
 * followed: no kernel writes such a line.
 */
export function parseShortenedKillLine(text: string): KillLine | undefined {
  const match = shortened.exec(text);
  if (match === null) return undefined;
  const [, prefix, pid, uid, comm = "", tail = ""] = match;
  const sizes = killSizes(tail);
  // Without dots, the rest may follow on the next line.
  const isWhole = anyDots.test(tail) || (sizes.anonRssBytes !== undefined && !/,\s*$/.test(text));
  if (!isWhole || (prefix === undefined && sizes.anonRssBytes === undefined)) return undefined;
  const kill: KillLine = { ...sizes, pid: Number(pid), comm: decodeUtf8(comm) };
  if (prefix !== undefined) kill.prefix = prefix;
  const before = uid ?? /UID (\d+)/.exec(tail)?.[1];
  if (before !== undefined) kill.uid = Number(before);
  return kill;
}

function killSizes(tail: string): Partial<KillLine> {
  const values = new Map<string, number>();
  // Without the lookbehind, every letter of a long word would be tried as the first of a key.
  for (const [, key = "", value] of tail.matchAll(/(?<![\w-])([A-Za-z][A-Za-z_-]*):(\d+)[kK]B/g)) {
    values.set(key, Number(value));
  }
  const bytes = (key: string): number | undefined => {
    const kilobytes = values.get(key);
    return kilobytes === undefined ? undefined : kilobytes * 1024;
  };
  const totalVmBytes = bytes("total-vm") ?? bytes("vsz") ?? bytes("vm");
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
 * 5.4.0 to 5.4.11 print bytes and call them kB. This is one if it is a number of whole pages, and far more than page
 * tables for that much memory need (1/512 of what they map, when densely used).
 */
function pageTables(printed: number | undefined, totalVm: number | undefined): number | undefined {
  if (printed === undefined) return undefined;
  const bytes = printed * 1024;
  const isBytes = printed % 4096 === 0 && totalVm !== undefined && bytes > totalVm / 64;
  return isBytes ? printed : bytes;
}
