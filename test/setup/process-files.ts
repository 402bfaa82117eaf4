import { existsSync } from "node:fs";
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

/** By kthreadd a procfs is known to be the host's own. */
export function addKthreadd(host: TemporaryTree): void {
  host.write("proc/2", {
    comm: "kthreadd",
    oom_score: 0,
    oom_score_adj: 0,
    status: "Name:\tkthreadd",
  });
}
