import { existsSync, writeFileSync } from "node:fs";
import type { TemporaryTree } from "./temporary-tree.ts";

/** What procfs shows of one process. */
export interface ProcessFiles {
  comm?: string;
  score?: number;
  scoreAdj?: number;
  residentKb?: number;
  swapKb?: number;
  cgroup?: string;
  stat?: string;
}

/** Puts a process into a host's own procfs: by default a small one, of the root cgroup. */
export function addProcess(host: TemporaryTree, pid: number, shown: ProcessFiles = {}): void {
  const { comm = `p${pid}`, residentKb = 100, swapKb } = shown;
  const swap = swapKb === undefined ? "" : `\nVmSwap:\t${swapKb} kB`;
  if (pid > 2 && !existsSync(host.path("proc/1")) && !existsSync(host.path("proc/2"))) {
    // These mark a procfs as the host's with all processes visible; nothing else of them is read.
    host.write("proc", { "1/status": "Name:\tinit", "2/comm": "kthreadd" });
  }
  host.write(`proc/${pid}`, {
    oom_score: shown.score ?? 666,
    oom_score_adj: shown.scoreAdj ?? 0,
    cgroup: `0::${shown.cgroup ?? "/"}`,
    status: `Name:\t${comm}\nVmRSS:\t${residentKb} kB${swap}`,
    ...(shown.stat === undefined ? {} : { stat: shown.stat }),
  });
}

/** Its only thread runs (R), sleeps (S), ... */
export function setState(host: TemporaryTree, pid: number, state: string): void {
  const stack = 5 * 4096;
  const stat = `${pid} (p${pid}) ${state}${" 7".repeat(22)} 1 1 ${stack} 0 0 0`;
  host.write(`proc/${pid}`, { stat });
  host.write(`proc/${pid}/task/${pid}`, { stat });
}

/** A process with its stack in page 5 of its memory, which is page `frame` of the machine's: equal in one address space. */
export function addSharing(host: TemporaryTree, pid: number, frame: number, cgroup: string): void {
  addProcess(host, pid, { residentKb: 5_000, cgroup });
  const stack = 5 * 4096;
  setState(host, pid, "S");
  host.write(`proc/${pid}`, { syscall: `35 0x0 0x${stack.toString(16)} 0x401000` });
  const pagemap = Buffer.alloc(8 * 6);
  pagemap.writeBigUInt64LE(BigInt(frame) | (1n << 63n), 8 * 5);
  writeFileSync(host.path(`proc/${pid}/pagemap`), pagemap);
}

/** By kthreadd a procfs is known to be the host's own. */
export function addKthreadd(host: TemporaryTree): void {
  host.write("proc/2", {
    comm: "kthreadd",
    oom_score: 0,
    oom_score_adj: 0,
    status: "Name:\tkthreadd",
  });
}
