/**
 * /proc/self/oom_score_adj (Documentation/filesystems/proc.rst, section 3.1), since Linux 2.6.36: a number from
 * -1000 (never killed) to 1000, inherited by children. Lowering it takes CAP_SYS_RESOURCE.
 */
import { writeFileSync } from "node:fs";
import type { HostFiles } from "./host-files.ts";

/** The kernel kills everything else first, and can still kill the exporter if that is not enough. */
export const protectedScoreAdj = -900;

export interface OwnScoreAdj {
  /** `undefined` if it cannot be read. */
  value: number | undefined;
  /** Whether this process may lower it. */
  mayLower: boolean;
}

const capSysResource = 24n;

export function ownScoreAdj(ownProc: HostFiles): OwnScoreAdj {
  const text = ownProc.textIfReadable(ownProc.procfs("self", "oom_score_adj"))?.trim();
  const status = ownProc.textIfReadable(ownProc.procfs("self", "status")) ?? "";
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return {
    value: text === undefined || !/^-?\d+$/.test(text) ? undefined : Number(text),
    mayLower: ((BigInt(`0x${effective}`) >> capSysResource) & 1n) === 1n,
  };
}

/**
 * Lowers this process's own value to -900 if it is not set already and the process may lower it.
 * @returns the resulting value; `undefined` if it cannot be read
 */
export function protectOwnProcess(ownProc: HostFiles): number | undefined {
  const { value } = ownScoreAdj(ownProc);
  if (value !== 0) return value;
  try {
    writeFileSync(ownProc.procfs("self", "oom_score_adj"), `${protectedScoreAdj}`);
  } catch {
    // Not permitted: the start-up line and doctor report it.
  }
  return ownScoreAdj(ownProc).value;
}
