import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";

/*
 * Each test run has a name of its own. Its temporary directory and its cgroups are called by it, and
 * what it starts has that directory as TMPDIR, so that runs do not disturb each other and a run that
 * was killed is cleared away by the next one.
 */

/** `oom-run-<pid namespace>-<pid>-<start time of the pid>`, in digits to base 36: paths stay short. */
const runNames = /^oom-run-([a-z\d]+)-([a-z\d]+)-([a-z\d]+)/;

/** The name of the run that this process belongs to. */
export function runName(): string {
  const name = basename(tmpdir());
  return runNames.test(name) ? name : nameOf(process.pid);
}

const cache = resolve("node_modules/.cache");

/** A directory of the run from which the project's packages can be imported. */
export function runCache(): string {
  return join(cache, runName());
}

/** The roots of memory cgroup hierarchies in which tests make cgroups, where they exist. */
const cgroupRoots = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"];

/** Vitest's global set-up; returns the tear-down. */
export default function prepareRun(): () => void {
  for (const directory of deadIn(tmpdir())) removeRun(directory);
  for (const directory of deadIn(cache)) remove(directory);
  for (const root of cgroupRoots) for (const cgroup of deadIn(root)) removeCgroup(cgroup);
  const directory = join(tmpdir(), nameOf(process.pid));
  mkdirSync(directory);
  // Tests drop their privileges in it.
  chmodSync(directory, 0o755);
  const before = process.env.TMPDIR;
  process.env.TMPDIR = directory;
  return () => {
    remove(runCache());
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    removeRun(directory);
  };
}

function nameOf(pid: number): string {
  return `oom-run-${pidNamespace()}-${pid.toString(36)}-${startTicks(pid)}`;
}

function pidNamespace(): string {
  return short(/\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0]);
}

function short(digits: string | undefined): string {
  return Number(digits).toString(36);
}

/** When the process started, in ticks since boot; a pid is given out again, with another time. */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // Field 22, counted from behind the name, which may contain anything.
    return short(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  } catch {
    return undefined;
  }
}

/** What runs of this user that no longer exist have left in a directory. */
function deadIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => {
      const [, namespace, pid, ticks] = runNames.exec(name) ?? [];
      return (
        namespace === pidNamespace() && startTicks(Number.parseInt(pid as string, 36)) !== ticks
      );
    })
    .map((name) => join(directory, name))
    .filter((path) => {
      const found = lstatSync(path, { throwIfNoEntry: false });
      return found?.isDirectory() && found.uid === process.getuid?.();
    });
}

function removeRun(directory: string): void {
  const mark = `\0TMPDIR=${directory}\0`;
  for (const pid of readdirSync("/proc").map(Number)) {
    // The workers of the run that ends are vitest's to end.
    if (Number.isNaN(pid) || parentOf(pid) === process.pid) continue;
    const isOurs =
      `\0${textOf(`/proc/${pid}/environ`)}`.includes(mark) ||
      rootOf(pid).startsWith(`${directory}/`);
    if (isOurs) kill(pid);
  }
  remove(directory);
}

function remove(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

/** None if another run has removed the directory meanwhile. */
function entriesOf(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true, encoding: "buffer" });
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/** Another run may remove what a dead run left at the same time. */
function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENODEV";
}

/**
 * Removes a cgroup and those below it, and ends whatever still runs in them. Names are bytes, and each level is reached
 * from the one above, so that neither odd names nor long paths stay.
 */
export function removeCgroup(directory: string | Buffer): void {
  let descriptor: number;
  try {
    descriptor = openSync(directory, "r");
  } catch (error) {
    if (isGone(error)) return;
    throw error;
  }
  const here = `/proc/self/fd/${descriptor}`;
  try {
    for (const entry of entriesOf(here)) {
      if (entry.isDirectory()) removeCgroup(Buffer.concat([Buffer.from(`${here}/`), entry.name]));
    }
    for (let tries = 0; ; tries++) {
      for (const pid of textOf(`${here}/cgroup.procs`).split("\n")) {
        if (pid !== "") kill(Number(pid));
      }
      try {
        rmdirSync(directory);
        return;
      } catch (error) {
        if (isGone(error)) return;
        // A process that was killed leaves its cgroup a moment later.
        if (tries === 1000) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

function parentOf(pid: number): number {
  const stat = textOf(`/proc/${pid}/stat`);
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

function rootOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/root`);
  } catch {
    return "";
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}
