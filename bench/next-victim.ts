/**
 * How often the predicted victim is the one that the kernel then kills.
 *
 *   npm run build && node bench/run.mjs next-victim [SCENARIOS] [SEED] [cgroup|host]
 *
 * Needs root, a C compiler (or $NEXT_VICTIM_PROGRAM, compiled) and a kernel that may be driven out of
 * memory: cgroup scenarios do so in cgroups of their own, host scenarios with the whole machine. $EXPORTER is
 * the program that is asked (default dist/oom-exporter.mjs), $OUTCOMES a file for one line of JSON each.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { KernelLog, machineHere, type Outcome, record, run } from "./next-victim-runner.ts";
import { cgroupScenario, hostScenario } from "./next-victim-scenario.ts";

const [count = "100", firstSeed = "1", kind = "cgroup"] = process.argv.slice(3);
const scratch = mkdtempSync(join(tmpdir(), "oom-exporter-next-victim-"));

function compiled(): string {
  const program = join(scratch, "next-victim");
  const options = ["-O2", "-static", "-pthread", "-o", program, "bench/next-victim.c"];
  execFileSync("cc", options, { stdio: ["ignore", "ignore", "inherit"] });
  return program;
}

async function startExporter() {
  const main = resolve(process.env.EXPORTER ?? "dist/oom-exporter.mjs");
  const flags = [
    "--web.listen-address=127.0.0.1:0",
    "--kernel-log.source=none",
    `--state.directory=${join(scratch, "state")}`,
  ];
  const child = spawn(process.execPath, [main, ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(String(line))?.[0];
  if (url === undefined) throw new Error(`the exporter said ${line}`);
  return { child, url };
}

function summaryOf(outcomes: readonly Outcome[]): string {
  const hits = outcomes.filter(({ isHit }) => isHit);
  const together = hits.filter(
    ({ saidTogether, diedTogether }) => `${saidTogether}` === `${diedTogether}`,
  );
  const near = outcomes.filter(({ metricSaid }) => metricSaid !== undefined);
  const metric = near.filter(({ metricSaid, died }) => metricSaid === died);
  return (
    `${outcomes.length} scenarios: ${hits.length} named right by /api/v1/victims, ` +
    `${metric.length} of ${near.length} by oom_next_victim_info; of the ${hits.length}, ${together.length} with all who died with it`
  );
}

const machine = machineHere();
const file = join(scratch, "mapped");
writeFileSync(file, Buffer.alloc(40 << 20));
const program = process.env.NEXT_VICTIM_PROGRAM ?? compiled();
const exporter = await startExporter();
const options = { machine, program, file, exporterUrl: exporter.url, kernelLog: new KernelLog() };
const outcomes: Outcome[] = [];
try {
  for (let seed = Number(firstSeed); outcomes.length < Number(count); seed++) {
    const scenario = kind === "host" ? hostScenario(seed, machine) : cgroupScenario(seed, machine);
    const outcome = await run(scenario, options);
    outcomes.push(outcome);
    if (process.env.OUTCOMES !== undefined) record(process.env.OUTCOMES, outcome);
    const { isHit, said, metricSaid, died, saidTogether, diedTogether, report } = outcome;
    const summary = `scenario ${seed}: said ${said} (metric ${metricSaid}), died ${died}`;
    if (!isHit || (metricSaid ?? died) !== died) console.log(`${summary}\n${report}`);
    else if (`${saidTogether}` !== `${diedTogether}`) {
      console.log(
        `scenario ${seed}: said ${saidTogether} together, died ${diedTogether}\n${report}`,
      );
    }
  }
} finally {
  options.kernelLog.close();
  exporter.child.kill();
  rmSync(scratch, { recursive: true, force: true });
}
console.log(
  `cgroup ${machine.version}, ${kind}${machine.hasSwap ? ", with swap" : ""}: ${summaryOf(outcomes)}`,
);
