/** Kills with one explanation: a group that died together, or a storm at one limit. */
import { killTimeMs } from "../killers/linked-kills.ts";
import type { UserspaceKill } from "../killers/userspace-kill.ts";
import { victimName } from "../killers/userspace-kill.ts";
import { type Kill, residentBytes, taskBytes } from "../kills/kill.ts";
import { processName } from "../kills/process-name.ts";
import { jsonCopy } from "../text/json-text.ts";
import { bytes } from "../text/quantities.ts";
import { utc } from "../text/times.ts";
import { ownerName } from "./owner-name.ts";

/** One kill as a line of the table has it; it keeps no part of the log in memory. */
export interface KillLine {
  /** Milliseconds since 1970; `null` if the log does not say. */
  timeMs: number | null;
  uptimeSeconds: number | null;
  victim: string;
  pid: number | null;
  /** Whose process it was, or whose limit was hit. */
  where: string;
  /** Resident memory of the victim. */
  heldBytes: number | null;
  cause: string;
}

function lineOf(kill: Kill): KillLine {
  return jsonCopy({
    timeMs: killTimeMs(kill) ?? null,
    uptimeSeconds: kill.uptimeSeconds,
    victim: processName(kill),
    pid: kill.pid,
    where: ownerName(kill) ?? kill.limitCgroup ?? kill.group ?? "-",
    heldBytes: residentBytes(kill.memory),
    cause: kill.cause,
  });
}

function lineOfUserspaceKill(kill: UserspaceKill): KillLine {
  const victim = victimName(kill);
  const where = ownerName(kill) ?? "-";
  return jsonCopy({
    timeMs: killTimeMs(kill) ?? null,
    uptimeSeconds: kill.uptimeSeconds,
    victim,
    pid: kill.pid,
    where: where === victim ? "-" : where,
    heldBytes: kill.residentBytes,
    cause: kill.killer,
  });
}

/** A kernel's kill and what is known besides its report. */
export interface ExplainedKill {
  kill: Kill;
  /** What another killer did to the same process, in one sentence. */
  linked?: string;
}

export class Episode {
  readonly lines: KillLine[] = [];
  /** Those with an explanation of their own, of a storm only the first few. As text, which takes least memory. */
  readonly #explained: string[] = [];
  readonly #userspaceKill: string | undefined;
  /** Members of a group besides its first. */
  readonly #members = new Set<KillLine>();

  constructor(userspaceKill?: UserspaceKill) {
    this.#userspaceKill = userspaceKill && JSON.stringify(userspaceKill);
  }

  add(line: KillLine, explained: ExplainedKill | undefined): void {
    this.lines.push(line);
    if (explained === undefined) this.#members.add(line);
    else if (this.#explained.length < stormSize) this.#explained.push(JSON.stringify(explained));
  }

  /** Its newest kill. */
  get last(): KillLine {
    return this.lines.at(-1) as KillLine;
  }

  /** The kill of another killer, if it is one. */
  get userspaceKill(): UserspaceKill | undefined {
    return this.#userspaceKill === undefined ? undefined : JSON.parse(this.#userspaceKill);
  }

  /** The kills to explain: of a storm the first. */
  get explained(): ExplainedKill[] {
    return (this.#isStorm ? this.#explained.slice(0, 1) : this.#explained).map((text) =>
      JSON.parse(text),
    );
  }

  get #isStorm(): boolean {
    return this.lines.length - this.#members.size >= stormSize;
  }

  /** The other processes of a group that died with this one; `undefined` if there are none. */
  group({ group }: Kill): string | undefined {
    if (this.#members.size === 0 || this.#isStorm) return undefined;
    const names = [...this.#members].map(({ victim, pid }) => `${victim} (pid ${pid})`);
    const count = names.length + 1;
    return `memory.oom.group of ${group ?? "its cgroup"}: ${count} processes died together; the others were ${listed(names)}.`;
  }

  /** `5 kills in 1 s, 10 MiB together: the memory is elsewhere`; `undefined` if it is no storm. */
  storm(first: Kill): string | undefined {
    if (!this.#isStorm) return undefined;
    const heldBytes = this.lines.reduce((sum, line) => sum + (line.heldBytes ?? 0), 0);
    const usedBytes =
      first.usageBytes ?? first.tasks.reduce((sum, task) => sum + taskBytes(task), 0);
    const isElsewhere = heldBytes * 4 < usedBytes;
    const of = isElsewhere ? ` (${bytes(usedBytes)} was in use)` : "";
    return `${this.lines.length} kills in ${this.#seconds()} s, ${bytes(heldBytes)} together${isElsewhere ? `: the memory is elsewhere${of}` : ""}. By name: ${counted(this.lines)}. This explains the first.`;
  }

  #seconds(): number {
    let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const line of this.lines) {
      const at = secondsOf(line);
      if (at === undefined) continue;
      first = Math.min(first, at);
      last = Math.max(last, at);
    }
    return Math.max(1, Math.round(last - first));
  }
}

const listedAtMost = 8;

function listed(names: readonly string[]): string {
  const more = names.length - listedAtMost;
  const shown = names.slice(0, listedAtMost).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}

/** `tail 150, sh 50`, the most frequent first. */
export function counted(lines: readonly KillLine[], atMost = 5): string {
  const counts = new Map<string, number>();
  for (const { victim } of lines) counts.set(victim, (counts.get(victim) ?? 0) + 1);
  const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, atMost);
  const more = counts.size - most.length;
  const others = more > 0 ? `, ${more} other ${more === 1 ? "name" : "names"}` : "";
  return `${most.map(([name, count]) => (count === 1 ? name : `${name} ${count}`)).join(", ")}${others}`;
}

/** This many kills at one limit, each soon after the last, are a storm. */
const stormSize = 3;
/** The kernel writes at most ten reports in this time, then only kill lines. */
const stormGapSeconds = 5;
const lateStampMs = 60_000;

/** A common clock of kills that are close to each other. */
function secondsOf({ uptimeSeconds, timeMs }: KillLine): number | undefined {
  return uptimeSeconds ?? (timeMs === null ? undefined : timeMs / 1000);
}

/** Sorts kills into episodes as they are read. */
export class Episodes {
  readonly lines: KillLine[] = [];
  /** Those with an explanation that may still be printed. */
  #episodes: Episode[] = [];
  /** The latest of each limit, which its next kill may belong to. */
  readonly #latest = new Map<string, Episode>();
  readonly #keep: number;
  #dropped = 0;
  #members = 0;

  /** `keep`: how many of the latest are wanted. */
  constructor(keep: number) {
    this.#keep = keep;
  }

  /** `isMember`: it died with the group of the kill before. */
  add(explained: ExplainedKill, isMember: boolean): void {
    const { kill } = explained;
    const line = lineOf(kill);
    const limit = JSON.stringify([kill.constraint, kill.limitCgroup]);
    const before = this.#latest.get(limit);
    const isSame = before !== undefined && (isMember || isSoonAfter(line, before.last));
    const joinsGroup = isSame && isMember;
    const episode = isSame ? before : this.#begin(new Episode());
    episode.add(line, joinsGroup ? undefined : explained);
    if (joinsGroup) this.#members++;
    this.lines.push(line);
    this.#latest.set(limit, episode);
  }

  addUserspaceKill(kill: UserspaceKill): void {
    const line = lineOfUserspaceKill(kill);
    this.#begin(new Episode(kill)).lines.push(line);
    this.lines.push(line);
  }

  #begin(episode: Episode): Episode {
    this.#episodes.push(episode);
    // The one that begins has no kill yet, so it is not sorted.
    if (this.#episodes.length > 2 * this.#keep + 100) {
      const older = inOrder(this.#episodes.slice(0, -1), ({ last }) => last.timeMs);
      const dropped = new Set(older.slice(0, -this.#keep));
      for (const [limit, latest] of this.#latest) {
        if (dropped.has(latest)) this.#latest.delete(limit);
      }
      this.#dropped += older.length - this.#keep;
      this.#episodes = [...older.slice(-this.#keep), episode];
    }
    return episode;
  }

  /** Whether there is more than one kill, or one group that died together. */
  get areMany(): boolean {
    return this.lines.length - this.#members > 1;
  }

  /** The latest, in the order of their times. */
  latest(): Episode[] {
    return inOrder(this.#episodes, ({ last }) => last.timeMs).slice(-this.#keep);
  }

  /** How many there are that `latest` leaves out. */
  get leftOut(): number {
    return Math.max(0, this.#episodes.length + this.#dropped - this.#keep);
  }
}

function isSoonAfter(line: KillLine, before: KillLine): boolean {
  const [now, then] = [secondsOf(line), secondsOf(before)];
  if (now === undefined || then === undefined) return false;
  return Math.abs(now - then) <= stormGapSeconds && !isOfAnotherBoot(line, before);
}

/** The same time after another boot. The two clocks of one boot differ where a busy daemon stamps late. */
function isOfAnotherBoot({ timeMs }: KillLine, before: KillLine): boolean {
  if (timeMs === null || before.timeMs === null) return false;
  return Math.abs(timeMs - before.timeMs) > lateStampMs;
}

/** By time if all have one; else as they were read. */
export function inOrder<Item>(
  items: readonly Item[],
  timeMsOf: (item: Item) => number | null,
): Item[] {
  const times = new Map(items.map((item) => [item, timeMsOf(item)]));
  const isTimed = [...times.values()].every((timeMs) => timeMs !== null);
  return isTimed
    ? [...items].sort((a, b) => (times.get(a) ?? 0) - (times.get(b) ?? 0))
    : [...items];
}

/** `2026-11-20 13:23:50`, short without the year, or `+8.6 s` after boot where the log has no clock. */
export function whenOfLine({ timeMs, uptimeSeconds }: KillLine, isShort: boolean): string {
  if (timeMs !== null)
    return utc(timeMs)
      .replace(" UTC", "")
      .slice(isShort ? 5 : 0);
  return uptimeSeconds === null ? "-" : `+${uptimeSeconds.toFixed(1)} s`;
}
