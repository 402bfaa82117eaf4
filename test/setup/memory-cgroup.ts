import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { accessSync, constants, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A memory cgroup of the test's own, with a limit that a greedy process runs into. */
export interface TestCgroup {
  /** From the hierarchy's root, as the kernel log prints it. */
  path: string;
  directory: string;
  /**
   * Runs a command inside and resolves with its pid once it has ended, by whatever signal. The
   * command is `exec`ed by the shell that moves itself in, so the pid is the victim's.
   */
  run(command: string): Promise<{ pid: number; signal: NodeJS.Signals | null }>;
  child(name: string, limitBytes?: number): TestCgroup;
  remove(): void;
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

/** Makes a memory cgroup below the root of the hierarchy. */
export function makeMemoryCgroup(limitBytes?: number): TestCgroup {
  const found = hierarchy();
  if (found === undefined) throw new Error("no writable memory cgroup hierarchy");
  const name = `oom-exporter-test-${process.pid}-${randomBytes(3).toString("hex")}`;
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

function make(found: Hierarchy, path: string, limitBytes?: number): TestCgroup {
  const directory = join(found.root, path);
  mkdirSync(directory);
  if (limitBytes !== undefined) writeFileSync(join(directory, found.limit), `${limitBytes}`);
  const children: TestCgroup[] = [];
  return {
    path,
    directory,
    run: (command) => runInside(join(directory, "cgroup.procs"), command),
    child(name, childLimitBytes) {
      if (found.limit === "memory.max") {
        writeFileSync(join(directory, "cgroup.subtree_control"), "+memory");
      }
      const child = make(found, `${path}/${name}`, childLimitBytes);
      children.push(child);
      return child;
    },
    remove() {
      for (const child of children) child.remove();
      rmdirSync(directory);
    },
  };
}

function runInside(procs: string, command: string): ReturnType<TestCgroup["run"]> {
  return new Promise((resolve, reject) => {
    const script = `echo $$ > ${procs} && exec ${command}`;
    const child = spawn("/bin/sh", ["-c", script], { stdio: "ignore" });
    child.once("error", reject);
    child.once("exit", (_code, signal) => resolve({ pid: child.pid as number, signal }));
  });
}
