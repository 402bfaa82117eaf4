/**
 * Lines lost and doubled in each way of rotation, with a real writer at 5,000 lines a second.
 *
 *   node bench/run.mjs rotation
 *
 * Compared with the `tail` package as it is, and with mtail if Debian's package is available.
 * mtail only counts, so its doubled lines would hide lost ones.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Tail } from "tail";
import { type Rotate, rotationStyles } from "../test/rotation/rotation-styles.ts";
import { followLog, NumberedLines, WriterProcess } from "../test/rotation/writer-process.ts";
import { debianTool } from "../test/setup/debian-tools.ts";

const linesPerSecond = 5000;
const rotations = 6;
const secondsBetween = 1;

/** Follows from the file's beginning; `result` ends it and tells what it has seen of the lines written. */
interface Follower {
  result(written: number): Promise<string>;
}

async function ours(path: string): Promise<Follower> {
  const lines = new NumberedLines();
  const log = followLog(path, "start", lines, (reason) => console.log(reason));
  return {
    result: async (written) => {
      log.stop();
      return summary(lines, written);
    },
  };
}

async function plainTail(path: string): Promise<Follower> {
  const lines = new NumberedLines();
  const tail = new Tail(path, { fromBeginning: true });
  tail.on("line", (line) => lines.line(line));
  tail.on("error", () => {});
  return {
    result: async (written) => {
      tail.unwatch();
      return summary(lines, written);
    },
  };
}

function summary(lines: NumberedLines, written: number): string {
  const { lost, doubled } = lines.check(written);
  return `${lost} lost (${((100 * lost) / written).toFixed(1)} %), ${doubled} doubled`;
}

const mtail = await debianTool("mtail", "usr/bin/mtail");
let port = 23_903;

async function ofMtail(path: string): Promise<Follower> {
  const programs = `${path}.programs`;
  mkdirSync(programs);
  writeFileSync(join(programs, "kills.mtail"), "counter kills\n/Killed process/ {\n  kills++\n}\n");
  port++;
  const child: ChildProcess = spawn(
    mtail.path ?? "",
    [
      ...["--progs", programs, "--logs", path, "--address", "127.0.0.1", "--port", String(port)],
      ...["--log_dir", programs],
    ],
    { stdio: "ignore" },
  );
  await wait(300);
  return {
    result: async (written) => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      const counted = Number(/^kills\{.*\} (\S+)$/m.exec(text)?.[1] ?? 0);
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
      const lost = written - counted;
      return `${lost} lost (${((100 * lost) / written).toFixed(1)} %)`;
    },
  };
}

async function measure(rotate: Rotate, follow: (path: string) => Promise<Follower>) {
  const directory = mkdtempSync(join(tmpdir(), "bench-rotation-"));
  const path = join(directory, "kern.log");
  writeFileSync(path, "");
  const follower = await follow(path);
  const writer = new WriterProcess(path, linesPerSecond);
  for (let rotation = 0; rotation < rotations; rotation++) {
    await wait(1000 * secondsBetween);
    await rotate(path, writer);
  }
  await wait(500);
  const written = await writer.stop();
  await wait(1500);
  const result = await follower.result(written);
  rmSync(directory, { recursive: true });
  return `${result} of ${written}`;
}

const followers: [string, (path: string) => Promise<Follower>][] = [
  ["oom-exporter", ours],
  ["plain tail", plainTail],
];
if (mtail.path !== undefined) followers.push(["mtail", ofMtail]);
for (const [style, rotate] of Object.entries(rotationStyles)) {
  console.log(style);
  for (const [name, follow] of followers) {
    console.log(`  ${name.padEnd(13)} ${await measure(rotate, follow)}`);
  }
}
// tail leaves a timer behind when the file it waits for is gone.
process.exit(0);
