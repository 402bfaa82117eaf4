import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, constants, copyFileSync, openSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { eventually } from "./exporter-process.ts";
import type { Started, TestCgroup } from "./memory-cgroup.ts";

/** A process in a cgroup with a limit that does nothing until it is released; then the kernel kills it. */
export interface HeldVictim extends Started {
  /** The path of its cgroup. */
  cgroup: string;
  /** From now on it allocates memory without end. */
  release(): void;
}

/** A program that takes memory without end, under a name that no other process on the machine has. */
export class GreedyProgram {
  readonly comm = `oom-${randomBytes(4).toString("hex")}`;
  readonly path: string;
  readonly #directory: string;
  #held = 0;

  constructor(directory: string) {
    this.#directory = directory;
    this.path = join(directory, this.comm);
    copyFileSync("/usr/bin/tail", this.path);
  }

  /** Starts it in the cgroup and resolves once it has been killed. */
  runIn(cgroup: TestCgroup): Started["ended"] {
    return cgroup.run(`${this.path} /dev/zero`);
  }

  /** Starts it in each cgroup and resolves when all of them run and wait. */
  async holdIn(cgroups: readonly TestCgroup[]): Promise<HeldVictim[]> {
    const gates = cgroups.map(() => join(this.#directory, `gate-${this.#held++}`));
    execFileSync("mkfifo", gates);
    const victims = cgroups.map((cgroup, index) => {
      // It waits until something opens the first of the two for writing.
      const gate = gates[index] as string;
      const { pid, ended } = cgroup.start(`${this.path} ${gate} /dev/zero`);
      const release = () => closeSync(openSync(gate, constants.O_WRONLY | constants.O_NONBLOCK));
      return { cgroup: cgroup.path, pid, ended, release };
    });
    for (const { pid } of victims) {
      await eventually(`${pid} waits`, async () => isWaiting(pid, this.path));
    }
    return victims;
  }
}

/** It has become the program, and sleeps in the system call that opens the gate. */
function isWaiting(pid: number, program: string): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return stat.includes(`(${basename(program)}) S`);
}
