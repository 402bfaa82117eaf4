import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { explain } from "../../src/commands/explain.ts";
import type { Kill } from "../../src/kills/kill.ts";

/*
 * Reports that people posted, personal details replaced, and beside each the truth, worked out by
 * hand from the text (the format: test/fixtures/reports/README.md).
 */

const reports = fileURLToPath(new URL("../fixtures/reports/", import.meta.url));
const names = readdirSync(reports)
  .filter((name) => name.endsWith(".json"))
  .map((name) => name.slice(0, -".json".length));

interface TrueKill extends Record<string, unknown> {
  accept?: Record<string, unknown[]>;
}

interface Truth {
  kills: TrueKill[];
  fragments?: Record<string, unknown>[];
}

async function explained(name: string) {
  let [stdout, stderr] = ["", ""];
  const code = await explain(["--json", `${reports}${name}.log`], {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    stdin: (async function* () {})(),
    clock: () => Date.parse("2026-11-21T00:00:00Z"),
    rootfs: "/no/such/root",
    env: {},
  });
  const parsed = (text: string) =>
    text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  return { code, kills: parsed(stdout) as Kill[], fragments: parsed(stderr) };
}

const kilobytes = (bytes: number | null) => (bytes === null ? null : bytes / 1024);

/** A kill in the words of the truth. */
function wordsOf({ memory, owner, source, ...kill }: Kill): Record<string, unknown> {
  return {
    pid: kill.pid,
    comm: kill.comm,
    uid: kill.uid,
    totalVmKb: kilobytes(memory.totalVmBytes),
    anonRssKb: kilobytes(memory.anonRssBytes),
    fileRssKb: kilobytes(memory.fileRssBytes),
    shmemRssKb: kilobytes(memory.shmemRssBytes),
    pgtablesKb: kilobytes(memory.pageTablesBytes),
    oomScoreAdj: kill.oomScoreAdj,
    constraint: kill.constraint,
    oomMemcg: kill.limitCgroup,
    taskMemcg: kill.cgroup,
    trigger: kill.trigger?.comm ?? null,
    containerId: owner.containerId,
    podUid: owner.podUid,
    container: owner.container,
    time: kill.time,
    secondHand: source.secondHand,
    lineNumber: source.line,
  };
}

describe.each(names)("report %s", (name) => {
  const truth: Truth = JSON.parse(readFileSync(`${reports}${name}.json`, "utf8"));

  it("has the kills in the text, with every field", async () => {
    const { code, kills, fragments } = await explained(name);
    expect(code).toBe(0);
    const shown = kills.map(wordsOf).map((kill, index) => {
      const { accept = {}, ...fields } = truth.kills[index] ?? {};
      const entries = Object.entries(fields).map(([key, value]) => {
        const isAccepted = accept[key]?.includes(kill[key]) === true;
        return [key, isAccepted ? value : kill[key]];
      });
      return entries.length === 0 ? kill : Object.fromEntries(entries);
    });
    expect(shown).toEqual(truth.kills.map(({ accept: _, ...fields }) => fields));
    expect(fragments).toMatchObject((truth.fragments ?? []).map((fragment) => ({ fragment })));
  });
});
