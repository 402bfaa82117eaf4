import { expect } from "vitest";
import type { Scrape } from "./scrape.ts";
import type { Truth } from "./truth.ts";

/** Counted = dead: each victim once, with its own pid and name, and no other process. */
export function expectCountedAsDead(scrape: Scrape, { dead }: Truth): void {
  expect(scrape.sum("oom_log_lost_records_total"), "records that the log lost").toBe(0);
  const byPid = (one: { pid: number }, other: { pid: number }) => one.pid - other.pid;
  const shown = scrape.kills.map(({ pid, comm }) => ({ pid, comm })).sort(byPid);
  expect(shown).toEqual(
    dead.map(({ pid, comm }) => ({ pid, comm: comm.toString("utf8") })).sort(byPid),
  );
  expect(scrape.sum("oom_kills_total")).toBe(dead.length);
  expect(scrape.sum("oom_command_kills_total")).toBe(dead.length);
  expect(scrape.sum("oom_kills_unaccounted")).toBe(0);
}

export interface Naming {
  /** With the cgroup that the victim was in, in the labels that alerts see. */
  right: number;
  /** Without a cgroup. */
  unnamed: number;
  wrong: { pid: number; shown: string; truth: string | undefined }[];
}

/** Whose cgroup the labels name, of victims with this comm; only the hundred newest kills have a series of their own. */
export function namingOf(scrape: Scrape, { dead }: Truth, comm: string): Naming {
  const truth = new Map(dead.map(({ pid, cgroup }) => [pid, cgroup]));
  const naming: Naming = { right: 0, unnamed: 0, wrong: [] };
  for (const { labels } of scrape.samples("oom_kill_timestamp_seconds")) {
    if (labels.comm !== comm) continue;
    const pid = Number(labels.pid);
    const shown = labels.cgroup ?? "";
    if (shown === "") naming.unnamed++;
    else if (shown === truth.get(pid)) naming.right++;
    else naming.wrong.push({ pid, shown, truth: truth.get(pid) });
  }
  return naming;
}

/** Kills to which the API, which learns more than labels may, gives a wrong cgroup. */
export function wronglyTold({ kills }: Scrape, { dead }: Truth): unknown[] {
  const truth = new Map(dead.map(({ pid, cgroup }) => [pid, cgroup]));
  return kills
    .filter(({ pid, cgroup }) => cgroup !== null && cgroup !== truth.get(pid))
    .map(({ pid, cgroup }) => ({ pid, cgroup, truth: truth.get(pid) }));
}
