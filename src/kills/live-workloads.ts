import type { KillLedger } from "./kill-ledger.ts";
import { hasOwner, type Owner, ownerLabels } from "./owner.ts";

export interface LiveWorkloadsOptions {
  ledger: Pick<KillLedger, "noteWorkload" | "workloadGone">;
  ownerOf: (cgroup: string) => Owner;
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
}

/** The cgroups that one look found. */
export interface CgroupsSeen {
  readings: readonly { readonly path: string }[];
  /** How many were left out for lack of time or room: what was not seen need not be gone. */
  beyondLimit: number;
}

/** Which workloads live: each gets its series of `oom_workload_kills_total` before its first kill. */
export class LiveWorkloads {
  readonly #options: LiveWorkloadsOptions;
  #live = new Set<string>();

  constructor(options: LiveWorkloadsOptions) {
    this.#options = options;
  }

  noteCgroups({ readings, beyondLimit }: CgroupsSeen): void {
    const { ledger, ownerOf, nowMs } = this.#options;
    const now = nowMs();
    const live = new Set<string>();
    for (const { path } of readings) {
      const owner = ownerOf(path);
      if (!hasOwner(owner)) continue;
      live.add(path);
      ledger.noteWorkload(ownerLabels(path, owner), now);
    }
    for (const path of this.#live) {
      if (live.has(path)) continue;
      if (beyondLimit === 0) ledger.workloadGone(path, now);
      else live.add(path);
    }
    this.#live = live;
  }
}
