import { readdirSync, readlinkSync, statSync } from "node:fs";
import { BoundedMap } from "../collections/bounded-map.ts";
import { finished, type Steps } from "../collections/steps.ts";
import { isUnkillable } from "../kernel/badness.ts";
import { decimalAt, signedDecimalAt } from "../kernel/flat-keyed.ts";
import { fromHierarchyRoot, isOutsideNamespace, memoryCgroupOf } from "../kernel/process-cgroup.ts";
import { type ProcessStat, parseProcessStat } from "../kernel/process-stat.ts";
import {
  type ProcessMemory,
  type ProcessStatus,
  parseProcessStatus,
} from "../kernel/process-status.ts";
import { type DescriptorBudget, FileUnavailable, type HostFiles, KeptFile } from "./host-files.ts";
import type { ProcessCounter } from "./process-counter.ts";

/** One user process as last read. */
export interface ProcessReading {
  readonly pid: number;
  readonly comm: string;
  readonly uid?: number;
  readonly parentPid?: number;
  /** Memory cgroup; absent if the reader's cgroup namespace hides it. */
  readonly cgroup?: string;
  /** The kernel's own /proc/PID/oom_score. */
  readonly score: number;
  readonly scoreAdj: number;
  readonly memory: ProcessMemory;
  /** Has CAP_SYS_ADMIN. */
  readonly isAdmin: boolean;
  /** When this table first saw it, monotonic milliseconds: no two processes have the same pid and this time. */
  readonly sinceMs?: number;
  /** Its first thread, or another one if that has exited; the kernel then uses that thread's name. */
  readonly thread: number;
  /** As of the last `refresh`; absent if it has not been read in detail since. */
  readonly stat?: ProcessStat;
}

/** The process with a pid, or its last reading. */
export interface ProcessIdentity {
  comm: string;
  uid?: number;
  cgroup?: string;
}

export interface ProcessReadings {
  /** Every user process, highest score first, equal scores by size. Excludes kernel threads and zombies. */
  processes: ProcessReading[];
  /** Processes whose files this user may not read. */
  denied: number;
}

export interface ProcessTableOptions {
  files: HostFiles;
  descriptors: DescriptorBudget;
  /** Monotonic milliseconds. */
  now: () => number;
  /** Pids to cgroups from the cgroups' own lists, for a reader whose cgroup namespace hides paths. */
  cgroupsByPid: () => Map<number, string>;
  /** If it is unchanged, procfs is not listed again. Absent: it is listed each time. */
  counter?: Pick<ProcessCounter, "read" | "isLastPid">;
}

/** A new process is read completely in its first passes, because it may still exec or move to its cgroup. */
const youngPasses = 3;
const youngMs = 1000;
/** About 10 µs each. */
const entriesPerStep = 128;
/**
 * Number of processes after the leaders whose memory is read too, because sizes change within one score: each in every
 * fourth pass.
 */
const runnersUp = 32;
const runnersUpPasses = 4;
/** Share of all processes read completely in each pass, in turn, with a minimum and a maximum. */
const turnShare = 1 / 32;
const turnAtLeast = 8;
const turnAtMost = 64;
const nine = 0x39;
const rememberGoneForMs = 60_000;
const findRootEveryMs = 10_000;
const rememberGoneAtMost = 4096;

/**
 * The host's processes, read repeatedly: one file of each (`oom_score`), the memory of the highest-ranked and the
 * unkillable, and all details only for new ones, for those whose score changed, and for a few others in turn.
 *
 * Invariant: a reused pid is never mistaken for the old process. An open descriptor of a dead process returns ESRCH, and
 * without an open descriptor the inode of `oom_score` shows it, which procfs allocates per process.
 */
export class ProcessTable {
  readonly #options: ProcessTableOptions;
  readonly #entries = new Map<number, Entry>();
  readonly #gone = new BoundedMap<number, ProcessIdentity & { sinceMs: number; untilMs: number }>(
    rememberGoneAtMost,
  );
  /** In the order of the last pass; some may be gone. */
  #ranked: Entry[] = [];
  /** Less than a second old at the last check. */
  #young: Entry[] = [];
  #turn = 0;
  #passes = 0;
  /** Number of the procfs listing: an entry missing in the last one is gone. */
  #listings = 0;
  /** As of the last pass. */
  #listingsAtPass = 0;
  /** What the counter of processes showed before the last listing, where that met them all. */
  #listedAt: number | undefined;
  /** The last pid as of the last listing. */
  #lastPid: number | undefined;
  #namespaceRoot: string | undefined;
  #findRootAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ProcessTableOptions) {
    this.#options = options;
  }

  /**
   * Reads every process.
   * @param leaders number of highest-ranked processes that get fresh details; `Infinity` for all
   * @throws {FileUnavailable} if procfs itself cannot be listed
   */
  read(leaders: number): ProcessReadings {
    return finished(this.readInSteps(leaders));
  }

  /** Like `read`. Between two steps others may check for new processes, or read all of them. */
  *readInSteps(leaders: number): Steps<ProcessReadings> {
    this.#listNew();
    // Where no process was made since the pass before, no pid has changed hands.
    const mayBeOthers = this.#listings !== this.#listingsAtPass;
    this.#listingsAtPass = this.#listings;
    let count = 0;
    for (const entry of this.#entries.values()) {
      if (++count % entriesPerStep === 0) yield;
      if (entry.isIdle) continue;
      try {
        this.#readScore(entry, mayBeOthers);
        entry.isDenied = false;
      } catch (error) {
        this.#fail(entry, error);
      }
    }
    this.#readInTurn();
    this.#readLeaders(leaders);
    this.#rank();
    let denied = 0;
    for (const entry of this.#entries.values()) if (entry.isDenied) denied++;
    return { processes: this.#ranked.map(({ reading }) => reading as ProcessReading), denied };
  }

  /**
   * The same processes with current details and stat, without those that are gone.
   */
  refresh(processes: readonly ProcessReading[]): ProcessReading[] {
    return this.#again(processes, (entry) => {
      this.#readDetails(entry);
      this.#readStat(entry);
    });
  }

  /** The same processes, just read, with their stat. */
  lookClosely(processes: readonly ProcessReading[]): ProcessReading[] {
    return this.#again(processes, (entry) => this.#readStat(entry));
  }

  #again(processes: readonly ProcessReading[], read: (entry: Entry) => void): ProcessReading[] {
    return processes.flatMap(({ pid }) => {
      const entry = this.#entries.get(pid);
      if (entry === undefined) return [];
      this.#guard(entry, () => read(entry));
      return entry.reading === undefined || !this.#entries.has(pid) ? [] : [entry.reading];
    });
  }

  /**
   * Identifies new processes, and again those created within the last second, because such a process may just have moved to
   * its cgroup and called exec. Cheap enough for many times a second. If /proc cannot be listed, for lack of memory or
   * descriptors, new processes stay unknown.
   */
  readYoung(): void {
    try {
      this.#listNew();
    } catch (error) {
      if (!(error instanceof FileUnavailable)) throw error;
      return;
    }
    const youngSinceMs = this.#options.now() - youngMs;
    this.#young = this.#young.filter(
      (entry) => entry.sinceMs >= youngSinceMs && this.#entries.get(entry.pid) === entry,
    );
    for (const entry of this.#young) this.#guard(entry, () => this.#readDetails(entry));
  }

  /** The last reading of `pid`, up to a minute after its end. */
  remembered(pid: number): ProcessIdentity | undefined {
    return this.#entries.get(pid)?.reading ?? this.#gone.get(pid);
  }

  /** When `pid` came, monotonic milliseconds; `undefined` for one that was there before this process. */
  firstSeenMs(pid: number): number | undefined {
    const { sinceMs = Number.NEGATIVE_INFINITY } =
      this.#entries.get(pid) ?? this.#gone.get(pid) ?? {};
    return Number.isFinite(sinceMs) ? sinceMs : undefined;
  }

  /** Who `pid` is right now, straight from its files; `undefined` where it has gone. */
  lookUp(pid: number): ProcessIdentity | undefined {
    try {
      const { comm, uid } = this.#status(pid);
      return { comm, uid, cgroup: this.#cgroup(`${pid}`) };
    } catch (error) {
      if (error instanceof FileUnavailable) return undefined;
      throw error;
    }
  }

  /** True if pid 2 is kthreadd: this is the host's procfs, and pid 1 is the init that is never killed. */
  seesHostInit(): boolean {
    try {
      const { comm, memory } = this.#status(2);
      return comm === "kthreadd" && memory === undefined;
    } catch (error) {
      if (error instanceof FileUnavailable) return false;
      throw error;
    }
  }

  close(): void {
    for (const entry of this.#entries.values()) closeFiles(entry);
    this.#entries.clear();
    this.#ranked = [];
  }

  /**
   * Lists procfs if a process may have been created since the last listing. Processes that have ended are detected when they
   * are read.
   */
  #listNew(): void {
    const { counter } = this.#options;
    const made = counter?.read();
    if (made !== undefined && made === this.#listedAt) return;
    this.#list();
    // A pid is assigned a moment before procfs shows its process, so the next check lists once more.
    const isUnseen = counter?.isLastPid && made !== this.#lastPid && !this.#entries.has(made ?? 0);
    this.#listedAt = isUnseen ? undefined : made;
    this.#lastPid = made;
  }

  /** Updates the entries from procfs, in the order of first sighting. */
  #list(): void {
    const { files, descriptors } = this.#options;
    let names: string[];
    try {
      names = readdirSync(files.roots.procfs);
    } catch (error) {
      throw new FileUnavailable(files.roots.procfs, error);
    }
    // Processes older than the exporter already have their place.
    const isFirst = this.#entries.size === 0;
    const passes = isFirst ? youngPasses - 1 : 0;
    const sinceMs = isFirst ? Number.NEGATIVE_INFINITY : this.#options.now();
    const listing = ++this.#listings;
    for (const name of names) {
      // Of the other entries none begins with a digit.
      if (name.charCodeAt(0) > nine) continue;
      const pid = Number(name);
      if (!Number.isInteger(pid)) continue;
      const known = this.#entries.get(pid);
      if (known !== undefined) {
        known.listing = listing;
        continue;
      }
      const scoreFile = new KeptFile(files.procfs(name), "oom_score", files, descriptors);
      const entry: Entry = {
        pid,
        scoreFile,
        score: 0,
        passes,
        sinceMs,
        listing,
        isDenied: false,
        isIdle: false,
        isRanked: false,
      };
      this.#entries.set(pid, entry);
      if (!isFirst) this.#young.push(entry);
    }
    for (const entry of this.#entries.values()) if (entry.listing !== listing) this.#drop(entry);
    this.#forgetLongGone();
  }

  #readScore(entry: Entry, mayBeAnother: boolean): void {
    const length = entry.scoreFile.read();
    const score = decimalAt(this.#options.files.bytes, 0, length) ?? 0;
    if (!entry.scoreFile.isKept && (mayBeAnother || entry.inode === undefined)) {
      this.#checkIdentity(entry);
    }
    const isYoung = entry.passes < youngPasses;
    entry.passes++;
    if (!isYoung && score === entry.score) return;
    entry.score = score;
    this.#readDetails(entry);
    entry.isIdle = entry.reading === undefined && entry.passes >= youngPasses;
    if (entry.isIdle) closeFiles(entry);
  }

  /** The pid of a kernel thread or zombie may have been reused by a process: the next listing brings it as a new one. */
  #wake(entry: Entry): void {
    if (this.#status(entry.pid).memory === undefined) return;
    this.#entries.delete(entry.pid);
    this.#listedAt = undefined;
  }

  #checkIdentity(entry: Entry): void {
    const inode = statSync(entry.scoreFile.path, { throwIfNoEntry: false })?.ino;
    if (entry.inode !== undefined && entry.inode !== inode) {
      this.#remember(entry);
      entry.reading = undefined;
      entry.passes = 0;
      entry.sinceMs = this.#options.now();
    }
    entry.inode = inode;
  }

  /** Some of all, in the order of first sighting, so that a move or rename is noticed in time. */
  #readInTurn(): void {
    const size = this.#entries.size;
    const count = Math.min(size, turnAtMost, Math.max(turnAtLeast, Math.ceil(size * turnShare)));
    const from = this.#turn % Math.max(1, size);
    this.#turn = from + count;
    let at = 0;
    for (const entry of this.#entries.values()) {
      const isDue = (at >= from && at < from + count) || at < from + count - size;
      at++;
      if (!isDue || (!entry.isIdle && entry.passes <= youngPasses)) continue;
      this.#guard(entry, () => (entry.isIdle ? this.#wake(entry) : this.#readDetails(entry)));
    }
  }

  #readLeaders(count: number): void {
    const turn = this.#passes++ % runnersUpPasses;
    for (let rank = 0; rank < this.#ranked.length; rank++) {
      const entry = this.#ranked[rank] as Entry;
      const isLeader = rank < count || isUnkillable(entry.reading?.scoreAdj ?? 0);
      if (!isLeader && rank >= count + runnersUp) {
        entry.statusFile?.close();
        entry.statusFile = undefined;
      } else if (
        (isLeader || entry.pid % runnersUpPasses === turn) &&
        entry.passes > youngPasses &&
        this.#entries.get(entry.pid) === entry
      ) {
        this.#guard(entry, () => this.#readMemory(entry));
      }
    }
  }

  /** Starts from the order of the last pass: little has changed. */
  #rank(): void {
    for (const entry of this.#ranked) entry.isRanked = false;
    const ranked = this.#ranked.filter((entry) => {
      entry.isRanked = entry.reading !== undefined && this.#entries.get(entry.pid) === entry;
      return entry.isRanked;
    });
    for (const entry of this.#entries.values()) {
      if (entry.reading === undefined || entry.isRanked) continue;
      entry.isRanked = true;
      ranked.push(entry);
    }
    this.#ranked = ranked.sort(byRank);
  }

  /** Only the memory, through an open descriptor: leaders are read in each pass. */
  #readMemory(entry: Entry): void {
    const { reading, pid } = entry;
    const { files, descriptors } = this.#options;
    if (reading === undefined || reading.thread !== pid) {
      this.#readDetails(entry);
      return;
    }
    entry.statusFile ??= new KeptFile(files.procfs(`${pid}`), "status", files, descriptors);
    const { comm, uid, parentPid, isAdmin, memory } = parseProcessStatus(
      files.bytes,
      entry.statusFile.read(),
    );
    if (memory === undefined) this.#readDetails(entry);
    else entry.reading = { ...reading, comm, uid, parentPid, isAdmin, memory, stat: undefined };
  }

  #readDetails(entry: Entry): void {
    const { pid, score } = entry;
    const first = this.#status(pid);
    const { thread, memory } = this.#holder(pid, first);
    entry.reading = memory && {
      pid,
      comm: first.comm,
      uid: first.uid,
      parentPid: first.parentPid,
      // A thread that has exited is in no cgroup.
      cgroup: this.#cgroup(pathOf(pid, thread)),
      score,
      scoreAdj: this.#scoreAdj(pid),
      memory,
      isAdmin: first.isAdmin,
      sinceMs: entry.sinceMs,
      thread,
    };
  }

  #readStat(entry: Entry): void {
    if (entry.reading === undefined) return;
    const { files } = this.#options;
    const text = files.textIfReadable(files.procfs(taskPath(entry.reading), "stat"));
    entry.reading = { ...entry.reading, stat: parseProcessStat(text ?? "") };
  }

  #status(pid: number | string): ProcessStatus {
    const { files } = this.#options;
    const length = files.read(files.procfs(`${pid}`, "status"));
    return parseProcessStatus(files.bytes, length);
  }

  /**
   * The thread that shows the memory. A process whose first thread has exited shows none in its own status, but its other
   * threads have it, and the kernel counts and kills it (`find_lock_task_mm()`).
   */
  #holder(pid: number, first: ProcessStatus): { thread: number; memory?: ProcessMemory } {
    if (first.memory !== undefined || (first.threads ?? 1) < 2) {
      return { thread: pid, memory: first.memory };
    }
    const directory = this.#options.files.procfs(`${pid}`, "task");
    let threads: string[];
    try {
      threads = readdirSync(directory);
    } catch (error) {
      throw new FileUnavailable(directory, error);
    }
    for (const thread of threads) {
      const { memory } = this.#status(`${pid}/task/${thread}`);
      if (memory !== undefined) return { thread: Number(thread), memory };
    }
    return { thread: pid };
  }

  #scoreAdj(pid: number): number {
    const { files } = this.#options;
    const length = files.read(files.procfs(`${pid}`, "oom_score_adj"));
    return signedDecimalAt(files.bytes, 0, length) ?? 0;
  }

  #cgroup(task: string): string | undefined {
    const path = this.#visibleCgroup(task);
    const root = this.#readersRoot();
    if (path === undefined || root === undefined) return undefined;
    return fromHierarchyRoot(root, path);
  }

  /** The path as the reader's cgroup namespace shows it. */
  #visibleCgroup(task: string): string | undefined {
    const { files } = this.#options;
    const text = files.textIfReadable(files.procfs(task, "cgroup"));
    return text === undefined ? undefined : memoryCgroupOf(text);
  }

  /**
   * The root of the reader's cgroup namespace, from the hierarchy's root; `undefined` if it cannot be determined.
   */
  #readersRoot(): string | undefined {
    const now = this.#options.now();
    if (this.#namespaceRoot === undefined && now >= this.#findRootAtMs) {
      this.#findRootAtMs = now + findRootEveryMs;
      this.#namespaceRoot = this.#findReadersRoot();
    }
    return this.#namespaceRoot;
  }

  /**
   * A container on v2 has its own namespace: the path of the host's init then leads outside, and only the cgroups' own pid
   * lists show where the reader is.
   */
  #findReadersRoot(): string | undefined {
    const initsPath = this.#visibleCgroup("1");
    if (initsPath === undefined || !isOutsideNamespace(initsPath)) return "/";
    const visible = this.#visibleCgroup("self")?.replace(/\/$/, "");
    const actual = this.#options.cgroupsByPid().get(this.#ownPid());
    if (visible === undefined || !actual?.endsWith(visible)) return undefined;
    return actual.slice(0, actual.length - visible.length) || "/";
  }

  #ownPid(): number {
    try {
      return Number(readlinkSync(this.#options.files.procfs("self")));
    } catch {
      return Number.NaN;
    }
  }

  #guard(entry: Entry, read: () => void): void {
    try {
      read();
      entry.isDenied = false;
    } catch (error) {
      this.#fail(entry, error);
    }
  }

  #fail(entry: Entry, error: unknown): void {
    if (!(error instanceof FileUnavailable)) throw error;
    entry.isDenied = error.reason === "denied" || error.reason === "failed";
    if (entry.isDenied) entry.reading = undefined;
    else this.#drop(entry);
  }

  #drop(entry: Entry): void {
    closeFiles(entry);
    this.#entries.delete(entry.pid);
    this.#remember(entry);
  }

  #remember({ pid, reading, sinceMs }: Entry): void {
    if (reading === undefined) return;
    const { comm, uid, cgroup } = reading;
    const untilMs = this.#options.now() + rememberGoneForMs;
    this.#gone.set(pid, { comm, uid, cgroup, sinceMs, untilMs });
  }

  #forgetLongGone(): void {
    const now = this.#options.now();
    for (const [pid, { untilMs }] of this.#gone) {
      if (untilMs > now) return;
      this.#gone.delete(pid);
    }
  }
}

interface Entry {
  readonly pid: number;
  readonly scoreFile: KeptFile;
  /** Of a leader. */
  statusFile?: KeptFile;
  /** Inode of `oom_score`; known if its descriptor is not open. */
  inode?: number;
  score: number;
  passes: number;
  /** First sighting, by the monotonic clock. */
  sinceMs: number;
  /** Number of the last procfs listing that included it. */
  listing: number;
  isDenied: boolean;
  /** A kernel thread or a zombie: it has no memory, and is read again only in its turn. */
  isIdle: boolean;
  /** Part of the ranking. */
  isRanked: boolean;
  /** Absent if it has no memory. */
  reading?: ProcessReading;
}

function closeFiles(entry: Entry): void {
  entry.scoreFile.close();
  entry.statusFile?.close();
  entry.statusFile = undefined;
}

/**
 * The kernel's order as far as these files show it: score, then the memory that a kill would free; among equals the one
 * created last (next-victim.ts).
 */
function byRank({ reading: a }: Entry, { reading: b }: Entry): number {
  if (a === undefined || b === undefined) return 0;
  return b.score - a.score || sizeBytes(b.memory) - sizeBytes(a.memory) || b.pid - a.pid;
}

/** Below procfs, the directory of the thread that shows a process's memory. */
export function taskPath({ pid, thread }: ProcessReading): string {
  return pathOf(pid, thread);
}

function pathOf(pid: number, thread: number): string {
  return thread === pid ? `${pid}` : `${pid}/task/${thread}`;
}

/** The sum of `oom_badness()` before the adjustment. */
export function sizeBytes(memory: ProcessMemory): number {
  return memory.residentBytes + memory.swapBytes + memory.pageTablesBytes;
}
