import { ticksPerSecond } from "../kernel/process-stat.ts";
import type { KillCounting } from "../kills/kill-counting.ts";
import type { WatchedKill } from "../kills/kill-history.ts";
import { type CgroupSeen, judge, keyOf, watchSeconds } from "../kills/outcome.ts";
import type { Owner } from "../kills/owner.ts";
import { workloadKey } from "../kills/workload-name.ts";
import { type CgroupMembers, membersOf } from "../sources/cgroup-members.ts";
import type { CgroupReadings, CgroupTree } from "../sources/cgroup-tree.ts";
import type { HostFiles } from "../sources/host-files.ts";
import type { OwnerNames } from "../sources/owner-names.ts";
import type { SnapshotKeeper } from "../sources/snapshot.ts";

export interface OutcomeWatchOptions {
  counting: Pick<KillCounting, "watched" | "settle">;
  files: HostFiles;
  /** Absent if the machine has no memory controller, or processes are hidden from this one. */
  tree: CgroupTree | undefined;
  owners: Pick<OwnerNames, "ownerOf">;
  /** Boot id of the running kernel, 32 hex digits. */
  boot: string;
  /** Seconds from boot, time in suspend included, as /proc/PID/stat counts them. */
  bootSeconds: () => number;
  /** A clock that never goes back, milliseconds. */
  monotonicMs: () => number;
}

const lookEveryMs = 2000;
/** A look at cgroups with many processes takes at most 1 % of the time, but on a busy machine looks go on. */
const restShare = 100;
const restAtMostMs = 10_000;
/** A watch interrupted for longer than this is given up. */
const resumedWithinSeconds = 600;

/** Watches the cgroup of each victim for two minutes: did the workload survive? */
export class OutcomeWatch implements SnapshotKeeper {
  readonly #options: OutcomeWatchOptions;
  /** Processes seen by the previous look, by incident. */
  #seen = new Map<string, ReadonlySet<string>>();
  #paths: readonly string[] = [];
  #nextMs = Number.NEGATIVE_INFINITY;

  constructor(options: OutcomeWatchOptions) {
    this.#options = options;
  }

  noteCgroups({ readings }: CgroupReadings): void {
    if (this.#options.counting.watched().length === 0) return;
    this.#paths = readings.map(({ path }) => path);
  }

  /** About once a second. */
  look(): void {
    const { counting, monotonicMs } = this.#options;
    const startMs = monotonicMs();
    if (startMs < this.#nextMs) return;
    const watched = counting.watched();
    if (watched.length === 0) {
      this.#paths = [];
      this.#seen.clear();
      return;
    }
    const seen = new Map<string, ReadonlySet<string>>();
    const members = new LookedAt(this.#options);
    const nowSeconds = this.#options.bootSeconds();
    for (const one of watched) this.#judge(one, nowSeconds, members, seen);
    this.#seen = seen;
    const tookMs = monotonicMs() - startMs;
    this.#nextMs = startMs + Math.max(lookEveryMs, Math.min(restAtMostMs, tookMs * restShare));
  }

  #judge(
    { kill, killedSeconds }: WatchedKill,
    nowSeconds: number,
    members: LookedAt,
    seen: Map<string, ReadonlySet<string>>,
  ): void {
    const { counting, boot } = this.#options;
    const { incident, cgroup, pid, comm, owner } = kill;
    const ageSeconds = nowSeconds - killedSeconds;
    const isLast = ageSeconds >= watchSeconds;
    const isOfThisBoot = incident.startsWith(`${boot.slice(0, 8)}-`);
    const isLost = !isOfThisBoot || ageSeconds > resumedWithinSeconds || ageSeconds < 0;
    const own = isLost || cgroup === null ? undefined : members.of(cgroup);
    if (cgroup === null || own === undefined) {
      counting.settle(incident, undefined);
      return;
    }
    const others =
      own.processes.length > 0
        ? []
        : this.#cgroupsOf(owner, cgroup, isLast ? members.paths : this.#paths).flatMap(
            (path) => members.of(path) ?? [],
          );
    const settled = judge({ pid, comm, killedSeconds }, own, others, {
      isLast,
      seenBefore: this.#seen.get(incident) ?? new Set(),
    });
    if (settled !== undefined) counting.settle(incident, settled);
    else seen.set(incident, new Set([own, ...others].flatMap((one) => one.processes.map(keyOf))));
  }

  /** Other cgroups of the same workload. */
  #cgroupsOf(owner: Owner, cgroup: string, paths: readonly string[]): string[] {
    const { owners } = this.#options;
    const key = workloadKey(owner, cgroup);
    return paths.filter(
      (path) => path !== cgroup && workloadKey(owners.ownerOf(path), path) === key,
    );
  }
}

/** Reads each cgroup once per look, however many of its processes were killed. */
class LookedAt {
  readonly #options: OutcomeWatchOptions;
  readonly #seen = new Map<string, CgroupSeen | undefined>();
  #paths: readonly string[] | undefined;

  constructor(options: OutcomeWatchOptions) {
    this.#options = options;
  }

  /** All cgroups as of now: the last snapshot may lack the newest ones. */
  get paths(): readonly string[] {
    this.#paths ??= this.#options.tree?.paths() ?? [];
    return this.#paths;
  }

  of(path: string): CgroupSeen | undefined {
    if (!this.#seen.has(path)) this.#seen.set(path, this.#look(path));
    return this.#seen.get(path);
  }

  #look(path: string): CgroupSeen | undefined {
    const { files, tree } = this.#options;
    // The root is not a workload; a name that is not UTF-8 cannot be opened by its text.
    if (tree === undefined || path === "/" || /\\x[89a-f][0-9a-f]/.test(path)) return undefined;
    const members = membersOf(files, tree.hierarchy, path);
    return members && seenOf(members);
  }
}

function seenOf({ exists, processes }: CgroupMembers): CgroupSeen {
  return {
    exists,
    processes: processes.map(({ pid, comm, startTicks }) => ({
      pid,
      comm,
      bornSeconds: startTicks / ticksPerSecond,
    })),
  };
}
