import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import prepareRun, { runName } from "./test-run.ts";

const ours = process.env.TMPDIR;
let parent: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "runs-"));
  process.env.TMPDIR = parent;
});

afterEach(() => {
  process.env.TMPDIR = ours;
  rmSync(parent, { recursive: true });
});

function runIn(directory: string, name: string): string {
  const path = join(directory, name);
  mkdirSync(path);
  writeFileSync(join(path, "file"), "");
  return path;
}

/** A dead process stays in /proc until its parent or reaper has waited for it. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

it("has a directory for all that it writes, which goes with it", () => {
  const end = prepareRun();
  const directory = tmpdir();
  expect(directory.startsWith(`${parent}/oom-run-`)).toBe(true);
  expect(runName()).toBe(basename(directory));
  mkdtempSync(join(tmpdir(), "more-"));
  end();
  expect(existsSync(directory)).toBe(false);
  expect(tmpdir()).toBe(parent);
});

it("removes the files of a dead run, and ends its processes", async () => {
  const { pid } = spawnSync("true");
  const left = runIn(parent, runName().replace(/[^-]+-[^-]+$/, `${pid.toString(36)}-1`));
  const orphan = spawn("sh", ["-c", 'sleep 600 & echo "$!"'], {
    env: { ...process.env, TMPDIR: left },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [line] = await once(orphan.stdout, "data");
  prepareRun()();
  expect(existsSync(left)).toBe(false);
  await expect.poll(() => isRunning(Number(line))).toBe(false);
});

it("leaves another run alone that is under way", () => {
  const other = runIn(parent, basename(ours as string));
  prepareRun()();
  expect(existsSync(join(other, "file"))).toBe(true);
});
