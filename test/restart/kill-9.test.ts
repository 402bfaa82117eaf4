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
import { seededRandom } from "../setup/seeded-random.ts";
// @ts-expect-error plain JavaScript, which the counting process runs too
import { killsIn } from "./numbered-kills.mjs";

const lines = 20_000;
const script = "test/restart/counting-process.mjs";
let source: string;
let path: string;

beforeAll(async () => {
  source = await compiledSource();
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

  /** @param end the line before which it stops; else it counts until it is killed */
  constructor({ shell = "", end = Number.POSITIVE_INFINITY, seed = 1 } = {}) {
    const command = `${shell} exec "$0" "$@"`;
    const node = [process.execPath, script, source, path, String(end), String(seed)];
    this.child = spawn("bash", ["-c", command, ...node], { stdio: ["ignore", "pipe", "pipe"] });
    this.child.stdout?.on("data", (text: Buffer) => {
      this.shown = Number(text.toString().trimEnd().split("\n").at(-1));
    });
    this.child.stderr?.on("data", (text: Buffer) => {
      this.said += text;
    });
  }

  /** Kills it some time after it has begun to count. */
  async killAfter(ms: number): Promise<void> {
    await Promise.race([once(this.child.stdout as NodeJS.EventEmitter, "data"), this.ended()]);
    await wait(ms);
    this.child.kill("SIGKILL");
    await this.ended();
    expect(this.child.signalCode, this.said).toBe("SIGKILL");
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
  const position = (ledger.position("log") ?? 0) as number;
  const boots = Array.from({ length: Math.ceil(position / 1000) }, (_, boot) =>
    String(boot).padStart(32, "0"),
  );
  return {
    total: sum(counts?.kills.values() ?? []),
    workloads: sum(counts?.workloads.map(({ kills }) => kills) ?? []),
    position,
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
  const random = seededRandom();
  for (let round = 0; round < 12; round++) {
    const counting = new Counting({ seed: Math.floor(random() * 2 ** 31) });
    await counting.killAfter(random() * 150);
    expectExact();
    expect(saved().total).toBeGreaterThanOrEqual(counting.shown);
    expect(counting.said).toBe("");
  }
  const end = saved().position + 1000;
  await new Counting({ end }).ended();
  expect(saved()).toMatchObject({ position: end, total: killsIn(end) });
});

test("with a full disk it keeps counting, says so once, and its saved state is intact", async () => {
  // To the writer, a file that may not grow is a disk without room: a part is written, then none.
  const full = new Counting({ shell: "trap '' XFSZ; ulimit -f 300;", end: lines });
  await full.ended();
  expect(full.shown).toBe(killsIn(lines));
  expect(full.said.trimEnd().split("\n")).toEqual([
    expect.stringMatching(/^cannot save to the state directory .*: the file size limit is reached/),
  ]);
  expectExact();
  expect(saved().position).toBeGreaterThan(0);
  expect(saved().position).toBeLessThan(lines);

  const next = new Counting({ end: lines });
  await next.ended();
  expect(next.said).toBe("");
  expect(saved()).toMatchObject({ position: lines, total: killsIn(lines) });
});
