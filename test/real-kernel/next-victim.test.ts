import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  KernelLog,
  machineHere,
  type Outcome,
  type RunOptions,
  run,
} from "../../bench/next-victim-runner.ts";
import { cgroupScenario } from "../../bench/next-victim-scenario.ts";
import {
  type ExporterProcess,
  startExporter,
  temporaryDirectory,
} from "../setup/exporter-process.ts";
import { memoryCgroupObstacle } from "../setup/memory-cgroup.ts";
import { needs } from "../setup/needs.ts";
import { runName } from "../setup/test-run.ts";

const scenarios = 12;
const firstSeed = 101;

function obstacleHere(): string | undefined {
  try {
    execFileSync("cc", ["--version"], { stdio: "ignore" });
  } catch {
    if (process.env.CI === "true") throw new Error("no C compiler (cc) on PATH");
    return "no C compiler (cc) on PATH";
  }
  return memoryCgroupObstacle();
}

/** Random processes in cgroups of this test, one of which this machine's kernel kills. */
needs(describe, obstacleHere())("the next victim", () => {
  const directory = temporaryDirectory();
  const outcomes: Outcome[] = [];
  let exporter: ExporterProcess;
  let options: RunOptions;

  beforeAll(async () => {
    const program = join(directory.path, "next-victim");
    execFileSync("cc", ["-O2", "-static", "-pthread", "-o", program, "bench/next-victim.c"]);
    const file = join(directory.path, "mapped");
    writeFileSync(file, Buffer.alloc(40 << 20));
    exporter = await startExporter([
      "--kernel-log.source=none",
      // However many cgroups others have made on this machine.
      `--collector.cgroups.include=^/${runName()}`,
    ]);
    const kernelLog = new KernelLog();
    options = { machine: machineHere(), program, file, exporterUrl: exporter.url, kernelLog };
    for (let seed = firstSeed; seed < firstSeed + scenarios; seed++) {
      outcomes.push(await run(cgroupScenario(seed, options.machine), options));
    }
  });

  afterAll(async () => {
    options?.kernelLog.close();
    await exporter?.end();
    directory.remove();
  });

  // Between the answer and the kill the process that asks for memory grows, and may overtake.
  const missesBut = (isRight: (outcome: Outcome) => boolean) =>
    outcomes.filter((outcome) => !isRight(outcome) && !outcome.hasOvertaken);

  it(`is whom the kernel then kills, in ${scenarios} random scenarios`, () => {
    expect(outcomes).toHaveLength(scenarios);
    expect(missesBut(({ isHit }) => isHit).map(({ report }) => report)).toEqual([]);
    expect(outcomes.filter(({ isHit }) => isHit).length).toBeGreaterThanOrEqual(scenarios - 1);
  });

  it("is the same in oom_next_victim_info, for the cgroup whose limit is hit", () => {
    const unnamed = outcomes.filter(({ metricSaid }) => metricSaid === undefined);
    expect(unnamed.map(({ scenario }) => scenario.seed)).toEqual([]);
    const wrong = missesBut(({ metricSaid, died }) => metricSaid === died);
    expect(wrong.map(({ report }) => report)).toEqual([]);
  });

  it("kills exactly the processes named in the answer with it", () => {
    const hits = outcomes.filter(({ isHit }) => isHit);
    expect(hits.map(({ diedTogether }) => diedTogether)).toEqual(
      hits.map(({ saidTogether }) => saidTogether),
    );
  });
});
