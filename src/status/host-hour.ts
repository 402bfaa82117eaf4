import { type Meminfo, memoryInUse } from "../kernel/meminfo.ts";
import type { CgroupReadings } from "../sources/cgroup-tree.ts";
import type { SnapshotKeeper } from "../sources/snapshot.ts";
import { LastHour, type Moment } from "./last-hour.ts";
import { type LimitReading, limitsIn } from "./limits-in-force.ts";
import type { UsePoint } from "./time-left.ts";

/** Maximum number of limits with a history, nearest first: 0.8 MiB at most. */
const limitsKept = 500;

/** The last hour of the host's memory and of each limit, from the snapshots of scrapes and pages. */
export class HostHour implements SnapshotKeeper {
  readonly #monotonicMs: () => number;
  readonly #memory = new LastHour(2);
  readonly #limits = new LastHour(limitsKept);

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  noteMeminfo(meminfo: Meminfo): void {
    // Before 3.14 the kernel does not distinguish reclaimable page cache.
    if (meminfo.memAvailableBytes === undefined) return;
    const { usedBytes, swapUsedBytes } = memoryInUse(meminfo);
    this.#memory.note(this.#monotonicMs(), [
      ["memory", usedBytes],
      ["swap", swapUsedBytes],
    ]);
  }

  noteCgroups({ readings, beyondLimit }: CgroupReadings): void {
    const now = this.#monotonicMs();
    if (!this.#limits.takes(now)) return;
    const uses = limitsIn(readings)
      .sort((a, b) => ratio(b) - ratio(a))
      .flatMap(({ reading, unreclaimableBytes }) =>
        unreclaimableBytes === undefined ? [] : [[reading.path, unreclaimableBytes] as const],
      );
    this.#limits.note(now, uses, beyondLimit === 0);
  }

  /** True if the last snapshot is so old that the history needs a new one. */
  isDue(part: "host" | "cgroups"): boolean {
    return (part === "host" ? this.#memory : this.#limits).isDue(this.#monotonicMs());
  }

  /** Oldest first. */
  ofHost(now: Moment): (UsePoint & { swapUsedBytes: number })[] {
    const swap = this.#memory.points("swap", now);
    return this.#memory.points("memory", now).map((point, index) => ({
      ...point,
      swapUsedBytes: (swap[index] as UsePoint).usedBytes,
    }));
  }

  /** Oldest first. */
  ofCgroup(path: string, now: Moment): UsePoint[] {
    return this.#limits.points(path, now);
  }
}

function ratio({ unreclaimableBytes = 0, limitBytes }: LimitReading): number {
  return unreclaimableBytes / limitBytes;
}
