import { type CgroupsCollector, workingSetBytes } from "../collectors/cgroups.ts";
import { type CollectorName, NoData } from "../collectors/collector.ts";
import type { HostCollector, HostReading } from "../collectors/host.ts";
import type { LogSourceState } from "../collectors/log.ts";
import type { ProcessesCollector } from "../collectors/processes.ts";
import { nearLimits, type StatusAnswer, statusAnswer } from "../http/api.ts";
import { type Meminfo, memoryUse } from "../kernel/meminfo.ts";
import type { Kill } from "../kills/kill.ts";
import type { OwnProcess } from "../own-process.ts";
import type { CgroupReading, CgroupTree } from "../sources/cgroup-tree.ts";
import { FileUnavailable, type HostFiles } from "../sources/host-files.ts";
import type { OwnerNames } from "../sources/owner-names.ts";
import type { ProcessPass, ProcessTable } from "../sources/process-table.ts";
import { type HostMoment, Victims } from "../victims/scope-victims.ts";
import { dangerSeconds, secondsLeft } from "./findings.ts";
import { LastHour, type Moment } from "./last-hour.ts";
import { type LimitReading, limitsIn, limitsInForce } from "./limits-in-force.ts";
import { type CgroupView, type HostMemoryView, heldBytes, type StatusView } from "./status-view.ts";
import { type TimeLeft, timeLeft, type UsePoint } from "./time-left.ts";

export interface HostStatusOptions {
  host?: HostCollector;
  cgroups?: CgroupsCollector;
  processes?: ProcessesCollector;
  files: HostFiles;
  table: ProcessTable;
  /** Absent where the machine has no memory controller. */
  tree?: CgroupTree;
  owners: OwnerNames;
  pageBytes: number;
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
  /** A clock that never goes back, milliseconds. */
  monotonicMs: () => number;
  kills: () => readonly Kill[];
  unaccounted: () => number | undefined;
  sources: () => readonly LogSourceState[];
  /** Collectors that did not work when they last ran, with the reason. */
  troubles: () => readonly { collector: string; reason: string }[];
  /** False for a collector that is switched off: it is read only for those who ask for the page. */
  watches: (collector: CollectorName) => boolean;
  own: Pick<OwnProcess, "version" | "revision" | "startedMs">;
}

/** Candidates that the page shows. */
const victimsShown = 20;
/** A look at the host serves everybody who asks within this time. */
const freshForMs = 1000;
/** The last hour is kept of so many limits, the nearest ones: 2 MiB at most. */
const limitsKept = 500;

/** Gives what `read` gave last, for a second; `otherwise` where that cannot be read. */
export function shared<Reading>(
  nowMs: () => number,
  read: () => Reading,
  otherwise: Reading,
): () => Reading {
  let last: { reading: Reading; atMs: number } | undefined;
  return () => {
    const now = nowMs();
    if (last === undefined || Math.abs(now - last.atMs) > freshForMs) {
      last = { reading: attempt(read) ?? otherwise, atMs: now };
    }
    return last.reading;
  };
}

function attempt<Reading>(read: () => Reading): Reading | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof NoData || error instanceof FileUnavailable) return undefined;
    throw error;
  }
}

/** How the host stands now and how its last hour went, for the status page and the API. */
export class HostStatus {
  readonly #options: HostStatusOptions;
  readonly #victims: Victims;
  readonly #memory: () => HostReading | undefined;
  readonly #cgroups: () => readonly CgroupReading[];
  readonly #processes: () => ProcessPass | undefined;
  readonly #hostHour = new LastHour(2);
  readonly #cgroupsHour = new LastHour(limitsKept);

  constructor(options: HostStatusOptions) {
    this.#options = options;
    this.#victims = new Victims(options);
    const { host, cgroups, processes, nowMs } = options;
    this.#memory = shared(nowMs, () => host?.read(), undefined);
    this.#cgroups = shared(nowMs, () => cgroups?.read().readings ?? [], []);
    this.#processes = shared(nowMs, () => processes?.read(), undefined);
  }

  /** Told of every reading of the host, whoever asked for it. */
  noteHost({ meminfo }: HostReading): void {
    // Before 3.14 the kernel does not tell page cache from what is in use for good.
    if (meminfo.memAvailableBytes === undefined) return;
    const { usedBytes, swapUsedBytes } = useOf(meminfo);
    this.#hostHour.note(this.#options.monotonicMs(), [
      ["memory", usedBytes],
      ["swap", swapUsedBytes],
    ]);
  }

  /** Told of every reading of the cgroups; `isWhole` where none was left out. */
  noteCgroups(readings: readonly CgroupReading[], isWhole: boolean): void {
    const uses = limitsIn(readings)
      .sort((a, b) => ratio(b) - ratio(a))
      .flatMap(({ reading, unreclaimableBytes }) =>
        unreclaimableBytes === undefined ? [] : [[reading.path, unreclaimableBytes] as const],
      );
    this.#cgroupsHour.note(this.#options.monotonicMs(), uses, isWhole);
  }

  /** Looks at what is watched where nobody has for a while, so that the last hour has no gap. */
  look(): void {
    const { monotonicMs, watches } = this.#options;
    const watched = [
      ["host", this.#hostHour, this.#memory],
      ["cgroups", this.#cgroupsHour, this.#cgroups],
    ] as const;
    for (const [collector, hour, read] of watched) {
      if (!watches(collector) || !hour.isDue(monotonicMs())) continue;
      try {
        read();
      } catch {
        // Whatever it is, the next scrape meets it too, logs it and shows it as trouble.
      }
    }
  }

  view(): StatusView {
    const { nowMs, kills, unaccounted, sources, troubles } = this.#options;
    const moment = this.#moment();
    const ranking = this.#victims.rank(moment);
    const { victims, unkillable } = this.#victims.answer(ranking, moment, victimsShown);
    return {
      atMs: nowMs(),
      memory: this.#memoryView(),
      cgroups: this.#cgroupViews(moment),
      victims,
      unkillable: this.#processes() && unkillable,
      kills: kills(),
      unaccountedKills: unaccounted(),
      sources: sources().map(({ name, path, up, reason }) => ({ name, path, up, reason })),
      troubles: troubles(),
    };
  }

  /** Body of `/api/v1/victims`; `undefined` where there is no such cgroup. */
  victims({ cgroup, top }: { cgroup: string | undefined; top: number }): object | undefined {
    const moment = this.#moment();
    const reading = this.#cgroups().find(({ path }) => path === cgroup);
    // The true root has no reading of its own: it is the host.
    if (reading === undefined && cgroup !== undefined && cgroup !== "/") return undefined;
    const answer = this.#victims.answer(this.#victims.rank(moment, reading), moment, top);
    return this.#processes() === undefined ? { ...answer, unkillable: null } : answer;
  }

  status(): StatusAnswer {
    return statusAnswer(this.view(), this.#options.own);
  }

  #memoryView(): HostMemoryView | undefined {
    const reading = this.#memory();
    if (reading === undefined) return undefined;
    const { meminfo } = reading;
    const { totalBytes, availableBytes, swapTotalBytes, swapFreeBytes } = useOf(meminfo);
    const now = this.#now();
    const swap = this.#hostHour.points("swap", now);
    const lastHour = this.#hostHour.points("memory", now).map((point, index) => ({
      ...point,
      swapUsedBytes: (swap[index] as UsePoint).usedBytes,
    }));
    const together = lastHour.map(({ atMs, usedBytes, swapUsedBytes }) => ({
      atMs,
      usedBytes: usedBytes + swapUsedBytes,
    }));
    return {
      totalBytes,
      availableBytes,
      freeBytes: meminfo.memFreeBytes,
      used: Object.entries(memoryUse(meminfo)).map(([kind, bytes]) => ({ kind, bytes })),
      swapTotalBytes,
      swapFreeBytes,
      lastHour,
      timeLeft: timeLeft(together, totalBytes + swapTotalBytes, now.wallMs),
    };
  }

  #cgroupViews(moment: HostMoment): CgroupView[] {
    const readings = new Map<CgroupView, CgroupReading>();
    for (const limit of limitsInForce(limitsIn(this.#cgroups()))) {
      readings.set(this.#cgroupView(limit), limit.reading);
    }
    const views = [...readings.keys()].sort(byUrgency);
    for (const view of nearLimits(views)) {
      const [first] = this.#victims.rank(moment, readings.get(view)).candidates;
      view.nextVictim = first && { pid: first.pid, comm: first.comm };
    }
    return views;
  }

  #cgroupView({ reading, limitBytes, limitCgroup, unreclaimableBytes }: LimitReading): CgroupView {
    const now = this.#now();
    const lastHour = this.#cgroupsHour.points(reading.path, now);
    const left = timeLeft(lastHour, limitBytes, now.wallMs);
    return {
      cgroup: reading.path,
      owner: this.#options.owners.ownerOf(reading.path),
      usedBytes: workingSetBytes(reading) ?? reading.currentBytes,
      unreclaimableBytes,
      limitBytes,
      limitCgroup,
      lastHour,
      timeLeft: isFullOfCache(reading, limitBytes, left) ? { refused: "page_cache" } : left,
      nextVictim: undefined,
    };
  }

  #now(): Moment {
    return { monotonicMs: this.#options.monotonicMs(), wallMs: this.#options.nowMs() };
  }

  #moment(): HostMoment {
    const meminfo = this.#memory()?.meminfo;
    return {
      processes: this.#processes()?.processes ?? [],
      memTotalBytes: meminfo?.memTotalBytes ?? 0,
      swapTotalBytes: meminfo?.swapTotalBytes ?? 0,
    };
  }
}

/** Sizes of the host's memory and swap, and how much of each is in use for good. */
function useOf(meminfo: Meminfo) {
  const { memTotalBytes: totalBytes, swapTotalBytes = 0, swapFreeBytes = 0 } = meminfo;
  const availableBytes = meminfo.memAvailableBytes ?? meminfo.memFreeBytes;
  return {
    totalBytes,
    availableBytes,
    usedBytes: totalBytes - availableBytes,
    swapTotalBytes,
    swapFreeBytes,
    swapUsedBytes: swapTotalBytes - swapFreeBytes,
  };
}

function ratio({ unreclaimableBytes = 0, limitBytes }: LimitReading): number {
  return unreclaimableBytes / limitBytes;
}

function isFullOfCache({ currentBytes }: CgroupReading, limitBytes: number, left: TimeLeft) {
  return "refused" in left && left.refused === "plenty_left" && currentBytes > limitBytes / 2;
}

/** Those that run out soon come first, the soonest before the others; then the fullest. */
function byUrgency(a: CgroupView, b: CgroupView): number {
  return dangerIn(a) - dangerIn(b) || heldBytes(b) / b.limitBytes - heldBytes(a) / a.limitBytes;
}

/** The same for all that are in no danger. */
function dangerIn({ timeLeft }: CgroupView): number {
  return Math.min(secondsLeft(timeLeft) ?? dangerSeconds, dangerSeconds);
}
