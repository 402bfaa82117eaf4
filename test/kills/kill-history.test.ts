import { describe, expect, it } from "vitest";
import { KillHistory, type KillLabels } from "../../src/kills/kill-history.ts";
import { killOf, sighting } from "./sample-kill.ts";

const noonMs = Date.parse("2026-11-21T12:00:00Z");
const hourMs = 3_600_000;

/** One kill, read `lateMs` after the time on its stamp. */
function add(history: KillHistory, pid: number, timeMs: number, lateMs = 50): void {
  history.add({
    kill: killOf(sighting({ pid, timeMs, printkMicros: pid })),
    labels: { cgroup: `/job-${pid}` } as KillLabels,
    atMs: timeMs + lateMs,
    timeMs,
    history: false,
  });
}

const pids = (history: KillHistory) => history.kills().map(({ pid }) => pid);

describe("the history of kills", () => {
  it("shows the newest first", () => {
    const history = new KillHistory();
    for (const pid of [1, 2, 3]) add(history, pid, noonMs + pid * 1000);
    expect(pids(history)).toEqual([3, 2, 1]);
  });

  it("shows the newest first though the clock was set back between two kills", () => {
    const history = new KillHistory();
    add(history, 1, noonMs);
    add(history, 2, noonMs + 1000);
    add(history, 3, noonMs - hourMs);
    add(history, 4, noonMs - hourMs + 5000);
    expect(pids(history)).toEqual([4, 3, 2, 1]);
  });

  it("sorts an old kill that was read late by its timestamp", () => {
    const history = new KillHistory();
    add(history, 1, noonMs);
    add(history, 2, noonMs + 1000);
    add(history, 3, noonMs - hourMs, hourMs);
    expect(pids(history)).toEqual([2, 1, 3]);
  });
});
