import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BadRequest, listKills } from "../../src/http/api.ts";
import type { Kill } from "../../src/kills/kill.ts";
import { aKill, nowMs } from "./views.ts";

/** Kills one minute apart, newest first, the first a minute ago. */
function history(count: number): Kill[] {
  return Array.from({ length: count }, (_, index) =>
    aKill({
      incident: `7f3a91c2-0-${index}`,
      time: new Date(nowMs - (index + 1) * 60_000).toISOString(),
    }),
  );
}

function list(kills: readonly Kill[], query: Record<string, string | string[]>) {
  return listKills(kills, query, "/api/v1/kills", nowMs);
}

function queryOf(next: string): Record<string, string> {
  return Object.fromEntries(new URL(next, "http://localhost").searchParams);
}

describe("listKills", () => {
  it("leads through every kill once, whatever the page size", () => {
    fc.assert(
      fc.property(fc.nat(40), fc.integer({ min: 1, max: 15 }), (count, limit) => {
        const kills = history(count);
        const seen: Kill[] = [];
        let answer = list(kills, { limit: String(limit) });
        seen.push(...answer.kills);
        while (answer.next !== null) {
          answer = list(kills, queryOf(answer.next));
          expect(answer.kills.length).toBeGreaterThan(0);
          seen.push(...answer.kills);
        }
        expect(seen).toEqual(kills);
      }),
    );
  });

  it("does not shift pages when a kill happens while paging", () => {
    const kills = history(4);
    const { next } = list(kills.slice(1), { limit: "2" });
    expect(list(kills, queryOf(next as string)).kills).toEqual(kills.slice(3));
  });

  it.each([
    ["3m", 3],
    ["2h", 10],
    ["1w", 10],
    [new Date(nowMs - 180_000).toISOString(), 3],
    [String((nowMs - 180_000) / 1000), 3],
    ["2026-11-21", 10],
    ["0s", 0],
  ])("accepts since=%s", (since, count) => {
    expect(list(history(10), { since }).kills).toHaveLength(count);
  });

  it("keeps to the same since from page to page", () => {
    const first = list(history(10), { since: "3m", limit: "2" });
    expect(list(history(10), queryOf(first.next as string))).toEqual({
      kills: history(10).slice(2, 3),
      next: null,
    });
  });

  it("leaves kills without a time out of a since", () => {
    expect(list([aKill({ time: null })], { since: "1d" }).kills).toEqual([]);
    expect(list([aKill({ time: null })], {}).kills).toHaveLength(1);
  });

  it("returns 100 by default", () => {
    expect(list(history(101), {}).kills).toHaveLength(100);
  });

  it("rejects invalid parameters and never fails otherwise", () => {
    fc.assert(
      fc.property(
        fc.record(
          { since: fc.string(), limit: fc.string(), before: fc.string() },
          { requiredKeys: [] },
        ),
        (query) => {
          try {
            list(history(3), query);
          } catch (error) {
            expect(error).toBeInstanceOf(BadRequest);
          }
        },
      ),
    );
  });
});
