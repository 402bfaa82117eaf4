import { createHash } from "node:crypto";
import { BoundedMap } from "../collections/bounded-map.ts";
import type { OomKillReport } from "../kernel-log/oom-report.ts";

/** Number of kills remembered individually; of older ones only the newest printk time per boot is kept. */
export const identityLimit = 10_000;
/** A group event repeats its first victim within this time. */
const groupEventMs = 60_000;
/** If the boot is unknown, equal text means the same kill only if the clocks differ by at most this. */
const unknownBootMs = 60_000;
const bootLimit = 16;

/** What identifies the kill of one `Killed process` line. */
export interface KillSighting {
  /** Boot id, 32 hex digits without dashes; absent if the boot of the line is unknown. */
  boot?: string;
  pid: number;
  comm: string;
  /** printk clock, microseconds since boot. */
  printkMicros?: number;
  /** Wall clock, milliseconds since the epoch. */
  timeMs?: number;
  /** The kernel's message without its envelope. */
  text: string;
  /** The scanner has seen this victim before in the same group event. */
  repeatsVictim: boolean;
  /** The line belongs to a group event, according to the group line before it. */
  inGroup: boolean;
  /**
   * The reader cannot prove that this line is new: it is reading a log again (kmsg's ring buffer after a switch, a log
   * without a file that matches the saved position).
   */
  reread: boolean;
}

/** A known kill, as saved in the state. */
export interface KillIdentity {
  /** Kills are numbered without gaps, in the order of first sighting. */
  serial: number;
  boot?: string;
  pid: number;
  comm: string;
  timeMs?: number;
  /** Digest of the message text. */
  digest: string;
  /** Killed in a group event, so its line may be repeated. */
  inGroup?: boolean;
  /** printk times of its lines; more than one after a group event. */
  printks: number[];
  /** Number of lines that the kernel printed for it and that are known: 1, after a group event 2. */
  lines: number;
  /** Those of its lines without printk time. */
  bareLines?: number;
}

export interface SavedIdentities {
  serial: number;
  known: KillIdentity[];
  watermarks: [boot: string, printkMicros: number][];
}

export type Classified =
  /** A kill never seen before. */
  | { as: "new" }
  /** A line that the kernel printed once and that has been read before. */
  | { as: "copy"; identity: KillIdentity }
  /** Another line of a known kill: the group event's repetition of its victim. */
  | { as: "further_line"; identity: KillIdentity };

/** What a copy or another line adds to a known kill. */
export interface IdentityUpdate {
  serial: number;
  printkMicros?: number;
  lines: number;
  bareLines?: number;
}

/**
 * Decides whether a line belongs to a known kill.
 *
 * Invariant: two lines belong to the same kill if and only if they have the same boot and pid and equal printk time;
 * or, if either lacks the time, equal text; or the later one repeats the earlier one's comm within 60 s in one group
 * event.
 *
 * The group event must be in evidence: a storm of 5,000 kills a second uses up the 32,768 pids of a small machine in
 * seconds, and its victims have the same name. After a restart in the middle of the event the evidence is with the
 * first line, not with the repeated one.
 *
 * If the boot of either line is unknown, more is required: equal text in addition to equal printk time, clocks that
 * agree in addition to equal text, and the scanner's mark for a repetition. A second boot gives the same pids at nearly
 * the same times to the same programs.
 */
export class KillDeduplicator {
  #serial = 0;
  /** By serial. */
  readonly #known = new Map<number, KillIdentity>();
  readonly #byPid = new Map<number, KillIdentity[]>();
  readonly #watermarks = new BoundedMap<string, number>(bootLimit);

  classify(sighting: KillSighting): Classified {
    const digest = digestOf(sighting.text);
    const candidates = this.#byPid.get(sighting.pid) ?? [];
    const copy = candidates.findLast((known) => isCopy(known, sighting, digest));
    if (copy !== undefined) {
      return { as: isBareRepeat(copy, sighting) ? "further_line" : "copy", identity: copy };
    }
    const first = candidates.findLast((known) => isGroupRepeat(known, sighting));
    if (first === undefined) return { as: "new" };
    // The other source may already have brought this line, without its printk time.
    const brought = sighting.printkMicros !== undefined && first.lines > first.printks.length;
    return { as: brought ? "copy" : "further_line", identity: first };
  }

  /**
   * Whether a line that is read again is older than the kills still remembered individually. Never applied to lines
   * after a saved position: those count whatever their timestamps are.
   */
  isBelowWatermark({ reread, boot, printkMicros }: KillSighting): boolean {
    if (!reread || boot === undefined || printkMicros === undefined) return false;
    return printkMicros <= (this.#watermarks.get(boot) ?? -1);
  }

  /** Remembers a new kill; forgets the oldest one except for its boot's watermark. */
  add(identity: KillIdentity): void {
    // The group line follows its first victim, which may have been remembered before the group line was read.
    const before = this.#known.get(identity.serial - 1);
    if (identity.inGroup && before?.boot === identity.boot && before) before.inGroup = true;
    this.#serial = identity.serial;
    const own = { ...identity, printks: [...identity.printks] };
    this.#known.set(own.serial, own);
    const samePid = this.#byPid.get(own.pid);
    if (samePid === undefined) this.#byPid.set(own.pid, [own]);
    else samePid.push(own);
    const oldest = this.#known.get(own.serial - identityLimit);
    if (oldest !== undefined) this.#forget(oldest);
  }

  identify(sighting: KillSighting): KillIdentity {
    const { boot, pid, comm, timeMs, printkMicros } = sighting;
    return {
      serial: this.#serial + 1,
      boot,
      pid,
      comm,
      timeMs,
      digest: digestOf(sighting.text),
      inGroup: sighting.inGroup || undefined,
      printks: printkMicros === undefined ? [] : [printkMicros],
      lines: 1,
      bareLines: printkMicros === undefined ? 1 : undefined,
    };
  }

  /** What another line of a known kill adds to its identity; `undefined` if nothing. */
  updateFor(classified: Classified, sighting: KillSighting): IdentityUpdate | undefined {
    if (classified.as === "new") return undefined;
    const { serial, printks, lines, bareLines } = classified.identity;
    const { printkMicros, reread } = sighting;
    if (printkMicros !== undefined) {
      if (printks.includes(printkMicros)) return undefined;
      const known = classified.as === "copy" ? lines : lines + 1;
      return { serial, printkMicros, lines: Math.max(known, printks.length + 1), bareLines };
    }
    if (reread || (bareLines !== undefined && !isSecondNaming(sighting))) return undefined;
    const seen = (bareLines ?? 0) + 1;
    return { serial, lines: Math.max(lines, seen), bareLines: seen };
  }

  update({ serial, printkMicros, lines, bareLines }: IdentityUpdate): void {
    const identity = this.#known.get(serial);
    if (identity === undefined) return;
    if (printkMicros !== undefined) identity.printks.push(printkMicros);
    identity.lines = lines;
    identity.bareLines = bareLines;
  }

  save(): SavedIdentities {
    const serial = this.#serial;
    return { serial, known: [...this.#known.values()], watermarks: [...this.#watermarks] };
  }

  restore({ serial, known, watermarks }: SavedIdentities): void {
    for (const [boot, printkMicros] of watermarks) this.#watermarks.set(boot, printkMicros);
    for (const identity of known) this.add(identity);
    this.#serial = serial;
  }

  #forget(identity: KillIdentity): void {
    this.#known.delete(identity.serial);
    const others = (this.#byPid.get(identity.pid) ?? []).filter((other) => other !== identity);
    if (others.length === 0) this.#byPid.delete(identity.pid);
    else this.#byPid.set(identity.pid, others);
    const { boot, printks } = identity;
    if (boot === undefined || printks.length === 0) return;
    this.#watermarks.set(boot, Math.max(this.#watermarks.get(boot) ?? -1, ...printks));
  }
}

type SameBoot = "yes" | "no" | "unknown";

function sameBoot(known: KillIdentity, { boot }: KillSighting): SameBoot {
  if (known.boot === undefined || boot === undefined) return "unknown";
  return known.boot === boot ? "yes" : "no";
}

function isCopy(known: KillIdentity, sighting: KillSighting, digest: string): boolean {
  const boot = sameBoot(known, sighting);
  if (boot === "no") return false;
  const sameText = known.digest === digest;
  const { printkMicros, timeMs } = sighting;
  if (printkMicros !== undefined && known.printks.length > 0) {
    return known.printks.includes(printkMicros) && (boot === "yes" || sameText);
  }
  if (!sameText || boot === "yes") return sameText;
  if (known.timeMs === undefined || timeMs === undefined) return false;
  return Math.abs(known.timeMs - timeMs) <= unknownBootMs;
}

/** In a log without printk times the group's second line is an exact copy of the first. */
function isBareRepeat({ bareLines, lines }: KillIdentity, sighting: KillSighting): boolean {
  if (sighting.printkMicros !== undefined || sighting.reread) return false;
  return isSecondNaming(sighting) && bareLines !== undefined && bareLines + 1 > lines;
}

/**
 * Whether the log has announced a group event before this line. Similarity to the first line is not enough: a
 * restarted logger may write a line twice with the same timestamp.
 */
function isSecondNaming({ repeatsVictim, inGroup }: KillSighting): boolean {
  return repeatsVictim && inGroup;
}

function isGroupRepeat(known: KillIdentity, sighting: KillSighting): boolean {
  const boot = sameBoot(known, sighting);
  if (boot === "no" || known.comm !== sighting.comm) return false;
  const isAnnounced = boot === "yes" && (sighting.inGroup || known.inGroup === true);
  if (!isAnnounced && !sighting.repeatsVictim) return false;
  const apartMs = timeApartMs(known, sighting);
  return apartMs === undefined || apartMs <= groupEventMs;
}

function timeApartMs(known: KillIdentity, sighting: KillSighting): number | undefined {
  const { printkMicros, timeMs } = sighting;
  if (printkMicros !== undefined && known.printks.length > 0) {
    return Math.min(...known.printks.map((printk) => Math.abs(printk - printkMicros))) / 1000;
  }
  if (known.timeMs === undefined || timeMs === undefined) return undefined;
  return Math.abs(known.timeMs - timeMs);
}

function digestOf(text: string): string {
  return createHash("sha1").update(text.trimEnd(), "latin1").digest("base64url").slice(0, 12);
}

/** The identity in a report's kill line. `boot`: the source's information about the boot. */
export function sightingOf(
  report: OomKillReport,
  { boot, reread }: { boot?: string; reread: boolean },
): KillSighting {
  const { killLine, pid, comm, repeatsVictim, groupCgroup } = report;
  return {
    boot: killLine.bootId ?? boot,
    pid,
    comm,
    printkMicros: killLine.printkMicros,
    timeMs: killLine.timeMs,
    text: killLine.text,
    repeatsVictim,
    inGroup: groupCgroup !== undefined,
    reread,
  };
}

/** `<boot id, 8 hex, or 0>-<printk µs or epoch s>-<pid>` */
export function incidentOf({ boot, printkMicros, timeMs, pid }: KillSighting): string {
  const time = printkMicros ?? Math.floor((timeMs ?? 0) / 1000);
  return `${boot?.slice(0, 8) ?? "0"}-${time}-${pid}`;
}
