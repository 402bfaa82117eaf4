import { type Meminfo, memoryInUse, memoryUse } from "../kernel/meminfo.ts";
import { type AnyKill, onePerVictim } from "../killers/linked-kills.ts";
import type { CollectorName } from "../metrics/catalog.ts";
import { type CgroupReading, workingSetBytes } from "../sources/cgroup-reading.ts";
import type { Host } from "../sources/host.ts";
import { FileUnavailable } from "../sources/host-files.ts";
import { viewObstacle } from "../sources/host-view.ts";
import type { MayTakeLock } from "../sources/killer-configs.ts";
import type { ProcessReadings } from "../sources/process-table.ts";
import type { HostTotals, Snapshot, SnapshotKeeper } from "../sources/snapshot.ts";
import { isAtRest } from "../sources/threads-at-rest.ts";
import { readUncountedMemory, type UncountedMemory } from "../sources/uncounted-memory.ts";
import { bytes } from "../text/quantities.ts";
import { ScopeVictims } from "../victims/scope-victims.ts";
import { dangerSeconds, secondsLeft } from "./findings.ts";
import type { HostHour } from "./host-hour.ts";
import type { Moment } from "./last-hour.ts";
import { type LimitReading, limitsIn, limitsInForce } from "./limits-in-force.ts";
import {
  actsAt,
  firstToAct,
  type NextOther,
  nextOthers,
  type OtherKiller,
  otherKillers,
} from "./other-killers.ts";
import { nearLimits, type OwnVersion, type StatusAnswer, statusAnswer } from "./status-answer.ts";
import {
  type CgroupView,
  type HostMemoryView,
  heldBytes,
  type LogSourceView,
  type StatusView,
} from "./status-view.ts";
import { type TimeLeft, timeLeft } from "./time-left.ts";

export interface HostStatusOptions {
  host: Host;
  hour: HostHour;
  /** Collectors of history, which keep what they need of the snapshots taken here; includes `hour`. */
  keepers: readonly SnapshotKeeper[];
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
  /** A monotonic clock, milliseconds. */
  monotonicMs: () => number;
  kills: () => readonly AnyKill[];
  unaccounted: () => number | undefined;
  sources: () => readonly (Omit<LogSourceView, "reason"> & { reason?: string })[];
  /** The log of the programs that kill for memory outside the kernel. */
  daemonLogs: () => readonly { up: boolean; reason?: string }[];
  /** Collectors that did not work when they last ran, with the reason. */
  troubles: () => readonly { collector: string; reason: string }[];
  /** False for a disabled collector: then it is read only when the page is requested. */
  watches: (collector: CollectorName) => boolean;
  own: Pick<OwnVersion, "version" | "revision">;
}

/** Maximum number of candidates on the page. */
const victimsShown = 20;
/** How old what is known of the other killers' configuration may be. */
const killersKeptMs = 60_000;
/** A snapshot serves all requests within this time. */
const freshForMs = 1000;

/** The readable parts of a snapshot. */
interface HostSeen {
  meminfo: Meminfo | undefined;
  cgroups: readonly CgroupReading[];
  processes: ProcessReadings | undefined;
  totals: HostTotals;
}

/** The host's current state and its last hour, for the status page and the API. */
export class HostStatus {
  readonly #options: HostStatusOptions;
  readonly #victims: ScopeVictims;
  readonly #startedMs: number;
  #last: { snapshot: Snapshot; atMs: number } | undefined;
  #killers: { list: OtherKiller[]; atMs: number } | undefined;

  constructor(options: HostStatusOptions) {
    this.#options = options;
    this.#startedMs = options.monotonicMs();
    const { files, table, tree, pageBytes, owners, programs } = options.host;
    this.#victims = new ScopeVictims({
      files,
      table,
      tree,
      pageBytes,
      owners,
      programs,
      mayTakeLockOf: (process) => this.#mayTakeLockOf(process),
    });
  }

  /**
   * Takes a snapshot if nothing else has done so for a while, so that the last hour has no gap; drops one that is too old
   * to serve.
   */
  look(): void {
    const { hour, watches, keepers } = this.#options;
    const isDue = (part: "host" | "cgroups") => watches(part) && hour.isDue(part);
    if (!this.#isFresh) this.#last = undefined;
    const [readHost, readCgroups] = [isDue("host"), isDue("cgroups")];
    if (!readHost && !readCgroups) return;
    const snapshot = this.#snapshot();
    // The next scrape meets the same error, logs it and shows it as trouble.
    if (readHost) attempt(() => snapshot.meminfo, isAnyError);
    if (readCgroups) attempt(() => snapshot.cgroups, isAnyError);
    snapshot.handTo(keepers);
  }

  view(): StatusView {
    const { nowMs, kills, unaccounted, sources, troubles } = this.#options;
    const seen = this.#see();
    const processes = this.#rankable(seen, undefined);
    const ranking = this.#victims.rank(processes, seen.totals);
    const { victims, unkillable } = this.#victims.answer(ranking, processes, victimsShown);
    const memory = seen.meminfo && this.#memoryView(seen.meminfo);
    return {
      atMs: nowMs(),
      memory,
      cgroups: this.#cgroupViews(seen),
      victims,
      bypass: ranking.bypass,
      unkillable: this.#knowsProcesses(seen, undefined) ? unkillable : undefined,
      kills: onePerVictim(kills()),
      unaccountedKills: unaccounted(),
      sources: sources().map(({ name, path, up, reason }) => ({ name, path, up, reason })),
      otherKillers: this.#otherKillers(seen, memory),
      troubles: [...troubles(), ...this.#viewTroubles()],
    };
  }

  /** A sentence for each, who acts first, and why their kills are not seen. */
  #otherKillers(seen: HostSeen, memory: StatusView["memory"]): string[] {
    const { daemonLogs } = this.#options;
    const killers = this.#killersHere();
    const left = memory?.timeLeft;
    const first = memory && firstToAct(this.#nextOthers(seen), memory, left && secondsLeft(left));
    const unseen = daemonLogs().find(({ up }) => !up);
    return [
      ...killers.map((one) =>
        one.isRunning
          ? `${one.limits.killer} ${actsAt(one)}.`
          : `${one.limits.killer} is installed and not running.`,
      ),
      ...(first === undefined ? [] : [`First to act: ${first}`]),
      ...(unseen === undefined
        ? []
        : [`Kills by these programs go unseen: ${unseen.reason ?? "their log is not read"}.`]),
    ];
  }

  #nextOthers(seen: HostSeen): NextOther[] {
    if (seen.meminfo === undefined) return [];
    const memory = memoryInUse(seen.meminfo);
    const processes = this.#rankable(seen, undefined);
    const { files } = this.#options.host;
    return nextOthers(this.#killersHere(), { memory, processes, cgroups: seen.cgroups, files });
  }

  #killersHere(): OtherKiller[] {
    const nowMs = this.#options.monotonicMs();
    const { files, programs } = this.#options.host;
    const { list: before, atMs } = this.#killers ?? { atMs: Number.NEGATIVE_INFINITY };
    // While memory is short, reading their configuration may have to wait for the disk.
    const mayRefresh = before === undefined || (programs?.isCalm ?? true);
    if (nowMs - atMs >= killersKeptMs && mayRefresh) {
      const mayTakeLockOf: MayTakeLock = (process) => this.#mayTakeLockOf(process);
      this.#killers = { list: otherKillers(files, { mayTakeLockOf, before }), atMs: nowMs };
    }
    return this.#killers?.list ?? [];
  }

  /** A page must not wait for a process that itself waits for memory. */
  #mayTakeLockOf({ pid, cgroup }: { pid: number; cgroup?: string }): boolean {
    const { files, programs } = this.#options.host;
    return (programs?.mayTakeLockIn(cgroup) ?? true) || isAtRest(files, pid);
  }

  /** Body of `/api/v1/victims`; `undefined` where there is no such cgroup. */
  victims({ cgroup, top }: { cgroup: string | undefined; top: number }): object | undefined {
    const seen = this.#see();
    const processes = this.#rankable(seen, cgroup);
    const reading = seen.cgroups.find(({ path }) => path === cgroup);
    // The root cgroup has no reading: it stands for the host.
    if (reading === undefined && cgroup !== undefined && cgroup !== "/") return undefined;
    const ranking = this.#victims.rank(processes, seen.totals, reading);
    const killers = reading === undefined ? this.#nextOthers(seen) : [];
    const answer = { ...this.#victims.answer(ranking, processes, top), killers };
    return this.#knowsProcesses(seen, cgroup) ? answer : { ...answer, unkillable: null };
  }

  status(): StatusAnswer {
    const { own, monotonicMs } = this.#options;
    const uptimeSeconds = (monotonicMs() - this.#startedMs) / 1000;
    return statusAnswer(this.view(), { ...own, uptimeSeconds });
  }

  /** Without the sizes of memory and swap (the first may be hidden) no ranking is possible. */
  #rankable(seen: HostSeen, cgroup: string | undefined): ProcessReadings["processes"] {
    const isKnown = seen.meminfo !== undefined && this.#knowsProcesses(seen, cgroup);
    return (isKnown && seen.processes?.processes) || [];
  }

  /** Whether all processes of the host, or of one cgroup, are visible. */
  #knowsProcesses({ processes }: HostSeen, cgroup: string | undefined): boolean {
    const { hidesProcesses, isContainer } = this.#options.host.view;
    const isHost = cgroup === undefined || cgroup === "/";
    return processes !== undefined && !hidesProcesses && !(isHost && isContainer);
  }

  #viewTroubles(): StatusView["troubles"] {
    const { host, watches } = this.#options;
    const reason = viewObstacle(host.view);
    return reason === undefined || !watches("processes")
      ? []
      : [{ collector: "processes", reason }];
  }

  get #isFresh(): boolean {
    const { atMs = Number.NEGATIVE_INFINITY } = this.#last ?? {};
    return this.#options.monotonicMs() - atMs <= freshForMs;
  }

  #snapshot(): Snapshot {
    if (this.#last === undefined || !this.#isFresh) {
      this.#last = {
        snapshot: this.#options.host.snapshot(),
        atMs: this.#options.monotonicMs(),
      };
    }
    return this.#last.snapshot;
  }

  #see(): HostSeen {
    const snapshot = this.#snapshot();
    const seen = {
      meminfo: attempt(() => snapshot.meminfo, isUnavailable),
      cgroups: attempt(() => snapshot.cgroups, isUnavailable)?.readings ?? [],
      processes: attempt(() => snapshot.processes, isUnavailable),
      totals: snapshot.totals,
    };
    snapshot.handTo(this.#options.keepers);
    return seen;
  }

  #memoryView(meminfo: Meminfo): HostMemoryView {
    const { totalBytes, availableBytes, swapTotalBytes, swapFreeBytes } = memoryInUse(meminfo);
    const now = this.#now();
    const lastHour = this.#options.hour.ofHost(now);
    const together = lastHour.map(({ atMs, usedBytes, swapUsedBytes }) => ({
      atMs,
      usedBytes: usedBytes + swapUsedBytes,
    }));
    const { files, pageBytes } = this.#options.host;
    const uncounted = readUncountedMemory(files, pageBytes);
    const use = memoryUse(meminfo, uncounted.zspagesBytes);
    return {
      totalBytes,
      availableBytes,
      freeBytes: meminfo.memFreeBytes,
      beside: besideTheKinds(uncounted, meminfo),
      used: Object.entries(use).map(([kind, size]) => ({ kind, bytes: size })),
      swapTotalBytes,
      swapFreeBytes,
      lastHour,
      timeLeft: timeLeft(together, totalBytes + swapTotalBytes, now.wallMs),
    };
  }

  #cgroupViews({ cgroups, processes, totals }: HostSeen): CgroupView[] {
    const readings = new Map<CgroupView, CgroupReading>();
    for (const limit of limitsInForce(limitsIn(cgroups))) {
      readings.set(this.#cgroupView(limit), limit.reading);
    }
    const views = [...readings.keys()].sort(byUrgency);
    const { hidesProcesses } = this.#options.host.view;
    const ranked = (hidesProcesses ? undefined : processes?.processes) ?? [];
    for (const view of nearLimits(views)) {
      const { candidates, bypass } = this.#victims.rank(ranked, totals, readings.get(view));
      view.bypass = bypass;
      const [first] = bypass === undefined ? candidates : [];
      view.nextVictim = first && {
        pid: first.pid,
        comm: first.comm,
        program: this.#options.host.programs?.programOf(first) || null,
      };
    }
    return views;
  }

  #cgroupView({ reading, limitBytes, limitCgroup, unreclaimableBytes }: LimitReading): CgroupView {
    const now = this.#now();
    const lastHour = this.#options.hour.ofCgroup(reading.path, now);
    const left = timeLeft(lastHour, limitBytes, now.wallMs);
    return {
      cgroup: reading.path,
      owner: this.#options.host.owners.ownerOf(reading.path),
      usedBytes: workingSetBytes(reading) ?? reading.currentBytes,
      unreclaimableBytes,
      limitBytes,
      limitCgroup,
      lastHour,
      timeLeft: isFullOfCache(reading, limitBytes, left) ? { refused: "page_cache" } : left,
      nextVictim: undefined,
      bypass: undefined,
    };
  }

  #now(): Moment {
    return { monotonicMs: this.#options.monotonicMs(), wallMs: this.#options.nowMs() };
  }
}

function attempt<Reading>(
  read: () => Reading,
  isExpected: (error: unknown) => boolean,
): Reading | undefined {
  try {
    return read();
  } catch (error) {
    if (isExpected(error)) return undefined;
    throw error;
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof FileUnavailable;
}

function isAnyError(): boolean {
  return true;
}

function isFullOfCache({ currentBytes }: CgroupReading, limitBytes: number, left: TimeLeft) {
  return "refused" in left && left.refused === "plenty_left" && currentBytes > limitBytes / 2;
}

/** Limits that will be reached soon come first, soonest first; then the fullest. */
function byUrgency(a: CgroupView, b: CgroupView): number {
  return dangerIn(a) - dangerIn(b) || heldBytes(b) / b.limitBytes - heldBytes(a) / a.limitBytes;
}

/** The same for limits that are not in danger. */
function dangerIn({ timeLeft }: CgroupView): number {
  return Math.min(secondsLeft(timeLeft) ?? dangerSeconds, dangerSeconds);
}

/** Memory shown next to the kinds, because it is part of one of them or of free memory. */
function besideTheKinds({ arcBytes = 0, zram }: UncountedMemory, meminfo: Meminfo) {
  const { cmaFreeBytes = 0 } = meminfo;
  const all = [
    { name: "ZFS cache (ARC)", bytes: arcBytes, detail: "in kernel objects and other" },
    {
      name: "zram",
      bytes: zram?.usedBytes ?? 0,
      detail: `holds ${bytes(zram?.storedBytes ?? 0)} of swap`,
    },
    { name: "Free in CMA", bytes: cmaFreeBytes, detail: "free, but for movable memory only" },
  ];
  return all.filter((part) => part.bytes > 0);
}
