import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { removeCgroup, runName } from "./test-run.ts";

/** A memory cgroup of the test's own, with a limit that a greedy process runs into. */
export interface TestCgroup {
  /** From the hierarchy's root, as the kernel log prints it. */
  path: string;
  /** Of one that is named by bytes: below a descriptor of this process, so that a path of any length and bytes works. */
  directory: string;
  /**
   * Runs a command inside. It is `exec`ed by the shell that moves itself in, so the pid is the
   * victim's.
   */
  start(command: string): Started;
  /** The same; resolves once it has ended, by whatever signal. */
  run(command: string): Started["ended"];
  child(name: string | Buffer, limitBytes?: number): TestCgroup;
  /** With those below it, and whatever still runs in them. */
  remove(): void;
}

export interface Started {
  pid: number;
  ended: Promise<{ pid: number; signal: NodeJS.Signals | null }>;
}

const hierarchies = [
  { root: "/sys/fs/cgroup", limit: "memory.max", mark: "cgroup.controllers" },
  { root: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes", mark: "memory.limit_in_bytes" },
];

/**
 * Why no memory cgroup can be made here, or `undefined` where one can. Never touches a cgroup that
 * it did not make; on v2 it also needs memory delegated to the root's children, as systemd does.
 */
export function memoryCgroupObstacle(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  return hierarchy() === undefined ? "no writable memory cgroup hierarchy" : undefined;
}

/** Where tests can make memory cgroups. */
export function memoryCgroupRoot(): string | undefined {
  return memoryCgroupObstacle() === undefined ? hierarchy()?.root : undefined;
}

/** Makes a memory cgroup below the root of the hierarchy. */
export function makeMemoryCgroup(limitBytes?: number): TestCgroup {
  const found = hierarchy();
  if (found === undefined) throw new Error("no writable memory cgroup hierarchy");
  const name = `${runName()}-${randomBytes(3).toString("hex")}`;
  return make(found, `/${name}`, limitBytes);
}

type Hierarchy = (typeof hierarchies)[number];

function hierarchy(): Hierarchy | undefined {
  return hierarchies.find(({ root, mark }) => {
    try {
      accessSync(root, constants.W_OK);
      const text = readFileSync(join(root, mark), "utf8");
      if (mark !== "cgroup.controllers") return true;
      const delegated = readFileSync(join(root, "cgroup.subtree_control"), "utf8");
      return text.includes("memory") && delegated.includes("memory");
    } catch {
      return false;
    }
  });
}

function make(
  found: Hierarchy,
  path: string,
  limitBytes?: number,
  byBytes?: { above: string; name: Buffer },
): TestCgroup {
  const made = byBytes
    ? Buffer.concat([Buffer.from(`${byBytes.above}/`), byBytes.name])
    : join(found.root, path);
  mkdirSync(made);
  const descriptor = byBytes ? openSync(made, "r") : undefined;
  const directory =
    descriptor === undefined ? join(found.root, path) : `/proc/${process.pid}/fd/${descriptor}`;
  if (limitBytes !== undefined) writeFileSync(join(directory, found.limit), `${limitBytes}`);
  return {
    path,
    directory,
    start: (command) => startInside(join(directory, "cgroup.procs"), command),
    run: (command) => startInside(join(directory, "cgroup.procs"), command).ended,
    child(name, childLimitBytes) {
      if (found.limit === "memory.max") {
        writeFileSync(join(directory, "cgroup.subtree_control"), "+memory");
      }
      const bytes = typeof name === "string" ? undefined : { above: directory, name };
      const text = typeof name === "string" ? name : name.toString("latin1");
      return make(found, `${path}/${text}`, childLimitBytes, bytes);
    },
    remove() {
      if (descriptor !== undefined) closeSync(descriptor);
      removeCgroup(made);
    },
  };
}

function startInside(procs: string, command: string): Started {
  const script = `echo $$ > ${procs} && exec ${command}`;
  const child = spawn("/bin/sh", ["-c", script], { stdio: "ignore" });
  const pid = child.pid as number;
  const ended: Started["ended"] = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (_code, signal) => resolve({ pid, signal }));
  });
  return { pid, ended };
}
