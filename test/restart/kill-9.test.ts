import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { KillLedger, type SavedLedger } from "../../src/kills/kill-ledger.ts";
import { StateDirectory } from "../../src/sources/state-directory.ts";
import { compiledSource } from "../setup/compiled-source.ts";
// @ts-expect-error plain JavaScript, which the counting process runs too
import { killsIn } from "./numbered-kills.mjs";

const lines = 20_000;
const script = "test/restart/counting-process.mjs";
let source: string;
let path: string;

beforeAll(async () => {
  source = await compiledSource("restart");
});
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), "restart-")), "state");
});
afterEach(() => {
  rmSync(join(path, ".."), { recursive: true });
});

/** A process that counts, what it last showed and what it had to say. */
class Counting {
  shown = 0;
  said = "";
  private readonly child: ChildProcess;

  constructor(shell = "") {
    const command = `${shell} exec "$0" "$@"`;
    const node = [process.execPath, script, source, path, String(lines)];
    this.child = spawn("bash", ["-c", command, ...node], { stdio: ["ignore", "pipe", "pipe"] });
    this.child.stdout?.on("data", (text: Buffer) => {
      this.shown = Number(text.toString().trimEnd().split("\n").at(-1));
    });
    this.child.stderr?.on("data", (text: Buffer) => {
      this.said += text;
    });
  }

  /** Whether it was still counting when it was killed. */
  async killedAfter(ms: number): Promise<boolean> {
    await Promise.race([once(this.child.stdout as NodeJS.EventEmitter, "data"), this.ended()]);
    await wait(ms);
    this.child.kill("SIGKILL");
    await this.ended();
    return this.child.signalCode === "SIGKILL";
  }

  async ended(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await once(this.child, "close");
    }
  }
}

function saved(): { total: number; position: number; rawLines: number; workloads: number } {
  const said: string[] = [];
  const say = (message: string) => said.push(message);
  const state = StateDirectory.open(path, {
    nowMs: Date.now,
    warn: say,
    info: say,
    procfs: "/proc",
  });
  const ledger = new KillLedger({
    saved: state?.saved as SavedLedger | undefined,
    nowMs: Date.now(),
  });
  state?.directory.close();
  expect(said).toEqual([]);
  ledger.showCounts();
  const counts = ledger.counts(Date.now());
  const sum = (all: Iterable<number>) => [...all].reduce((before, one) => before + one, 0);
  const boots = Array.from({ length: lines / 1000 }, (_, boot) => String(boot).padStart(32, "0"));
  return {
    total: sum(counts?.kills.values() ?? []),
    workloads: sum(counts?.workloads.map(({ kills }) => kills) ?? []),
    position: (ledger.position("log") ?? 0) as number,
    rawLines: sum(boots.map((boot) => ledger.rawLines(boot))),
  };
}

function expectExact(): void {
  const { total, position, rawLines, workloads } = saved();
  expect({ total, workloads }).toEqual({ total: killsIn(position), workloads: killsIn(position) });
  // Boots long gone are not held against the kernel any more.
  if (position <= 10_000) expect(rawLines).toBe(position);
}

test("killed with -9 again and again, it has counted every kill once and shown none that was not saved", async () => {
  let kills = 0;
  for (let round = 0; round < 12; round++) {
    const counting = new Counting();
    if (await counting.killedAfter(Math.random() * 150)) kills++;
    expectExact();
    expect(saved().total).toBeGreaterThanOrEqual(counting.shown);
    expect(counting.said).toBe("");
  }
  await new Counting().ended();
  expect(saved()).toMatchObject({ position: lines, total: killsIn(lines) });
  expect(kills).toBeGreaterThan(3);
}, 60_000);

test("with a full disk it goes on counting, says so once, and what it has saved is whole", async () => {
  // To the writer, a file that may not grow is a disk without room: a part is written, then none.
  const full = new Counting("trap '' XFSZ; ulimit -f 300;");
  await full.ended();
  expect(full.shown).toBe(killsIn(lines));
  expect(full.said.trimEnd().split("\n")).toEqual([
    expect.stringMatching(/^cannot save to the state directory .*: the file may not grow/),
  ]);
  expectExact();
  expect(saved().position).toBeGreaterThan(0);
  expect(saved().position).toBeLessThan(lines);

  const next = new Counting();
  await next.ended();
  expect(next.said).toBe("");
  expect(saved()).toMatchObject({ position: lines, total: killsIn(lines) });
}, 60_000);
