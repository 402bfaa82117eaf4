import { readdirSync } from "node:fs";
import { unkillableScoreAdj } from "../kernel/badness.ts";
import { decimalAt, signedDecimalAt } from "../kernel/flat-keyed.ts";
import { isOutsideNamespace, memoryCgroupOf } from "../kernel/process-cgroup.ts";
import {
  type ProcessMemory,
  type ProcessStatus,
  parseProcessStatus,
} from "../kernel/process-status.ts";
import { type DescriptorBudget, FileUnavailable, type HostFiles, KeptFile } from "./host-files.ts";

/** One user process as last read. */
export interface ProcessReading {
  pid: number;
  comm: string;
  uid?: number;
  parentPid?: number;
  /** Memory cgroup; absent where the reader's cgroup namespace hides it. */
  cgroup?: string;
  /** The kernel's own /proc/PID/oom_score. */
  score: number;
  scoreAdj: number;
  memory: ProcessMemory;
}

/** Who a pid is, or was when it was last seen. */
export interface ProcessIdentity {
  comm: string;
  uid?: number;
  cgroup?: string;
}

export interface ProcessPass {
  /** Every user process, highest score first, equal scores by size. Kernel threads and zombies are none. */
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
}

/** A new process is read whole in its first passes: it may yet exec, or be moved to its own cgroup. */
const youngPasses = 3;
/** So many beyond the leaders are read whole too: sizes among equal scores move unseen. */
const runnersUp = 32;
/** Of all others so many have their turn in each pass. */
const inTurnPerPass = 96;
const rememberGoneForMs = 60_000;
const rememberGoneAtMost = 4096;

/**
 * The host's processes, read again and again: one file of each (`oom_score`), and all details only
 * where they matter - new ones, those whose score moved, the unkillable, the highest ranked, and a
 * few others in turn.
 *
 * Invariant: a pid that another process has taken over is never taken for the old one - a kept
 * descriptor of a dead process says ESRCH.
 */
export class ProcessTable {
  private readonly options: ProcessTableOptions;
  private readonly entries = new Map<number, Entry>();
  private readonly gone = new Map<number, ProcessIdentity & { untilMs: number }>();
  private turn = 0;

  constructor(options: ProcessTableOptions) {
    this.options = options;
  }

  /**
   * Reads every process.
   * @param leaders how many of the highest ranked get fresh details; `Infinity` for all
   * @throws {FileUnavailable} where procfs itself cannot be listed
   */
  read(leaders: number): ProcessPass {
    this.list();
    const cgroups = this.hiddenCgroups();
    let denied = 0;
    for (const entry of this.entries.values()) {
      if (entry.isKernelThread) continue;
      this.guard(entry, () => this.readScore(entry, cgroups));
      if (entry.denied) denied++;
    }
    for (const entry of this.dueForDetails(leaders)) {
      this.guard(entry, () => this.readDetails(entry, cgroups));
    }
    return { processes: this.readings(), denied };
  }

  /** Looks for new pids and who they are, nothing else: cheap enough for many times a second. */
  readNew(): void {
    for (const entry of this.list()) {
      this.guard(entry, () => this.readDetails(entry, undefined));
    }
  }

  /** Who `pid` was when last seen, also up to a minute after it has gone. */
  remembered(pid: number): ProcessIdentity | undefined {
    return this.entries.get(pid)?.reading ?? this.gone.get(pid);
  }

  /** Who `pid` is right now, straight from its files; `undefined` where it has gone. */
  lookUp(pid: number): ProcessIdentity | undefined {
    try {
      const { comm, uid } = this.status(pid);
      return { comm, uid, cgroup: this.cgroup(pid, this.hiddenCgroups()) };
    } catch (error) {
      if (error instanceof FileUnavailable) return undefined;
      throw error;
    }
  }

  /** True where pid 2 is kthreadd: this procfs is the host's, and pid 1 the init that is never killed. */
  seesHostInit(): boolean {
    try {
      const { comm, memory } = this.status(2);
      return comm === "kthreadd" && memory === undefined;
    } catch {
      return false;
    }
  }

  close(): void {
    for (const entry of this.entries.values()) entry.scoreFile.close();
    this.entries.clear();
  }

  /** Brings the entries in line with procfs; returns the new ones. */
  private list(): Entry[] {
    const { files, descriptors } = this.options;
    let names: string[];
    try {
      names = readdirSync(files.roots.procfs);
    } catch (error) {
      throw new FileUnavailable(files.roots.procfs, error);
    }
    const fresh: Entry[] = [];
    const present = new Set<number>();
    for (const name of names) {
      const pid = Number(name);
      if (!Number.isInteger(pid)) continue;
      present.add(pid);
      if (this.entries.has(pid)) continue;
      const scoreFile = new KeptFile(files.procfs(name, "oom_score"), files, descriptors);
      const entry = { pid, scoreFile, passes: 0, denied: false, isKernelThread: false };
      this.entries.set(pid, entry);
      fresh.push(entry);
    }
    for (const entry of this.entries.values()) if (!present.has(entry.pid)) this.drop(entry);
    this.forgetLongGone();
    return fresh;
  }

  private readScore(entry: Entry, cgroups: Map<number, string> | undefined): void {
    const length = entry.scoreFile.read();
    const score = decimalAt(this.options.files.bytes, 0, length) ?? 0;
    if (entry.passes < youngPasses || score !== entry.reading?.score) {
      this.readDetails(entry, cgroups);
      entry.isKernelThread = entry.reading === undefined && entry.passes >= youngPasses;
      if (entry.isKernelThread) entry.scoreFile.close();
    }
    if (entry.reading !== undefined) entry.reading.score = score;
    entry.passes++;
  }

  private dueForDetails(leaders: number): Entry[] {
    const settled = [...this.entries.values()].filter(
      (entry) => entry.reading !== undefined && entry.passes > youngPasses,
    );
    settled.sort((a, b) => byRank(a.reading as ProcessReading, b.reading as ProcessReading));
    const first = settled.slice(0, leaders + runnersUp);
    const rest = settled.slice(first.length);
    const unkillable = rest.filter((entry) => entry.reading?.scoreAdj === unkillableScoreAdj);
    const others = rest.filter((entry) => entry.reading?.scoreAdj !== unkillableScoreAdj);
    const start = others.length === 0 ? 0 : this.turn % others.length;
    this.turn = start + inTurnPerPass;
    const inTurn = [...others.slice(start), ...others.slice(0, start)].slice(0, inTurnPerPass);
    return [...first, ...unkillable, ...inTurn];
  }

  private readDetails(entry: Entry, cgroups: Map<number, string> | undefined): void {
    const status = this.status(entry.pid);
    if (status.memory === undefined) {
      entry.reading = undefined;
      return;
    }
    entry.reading = {
      pid: entry.pid,
      comm: status.comm,
      uid: status.uid,
      parentPid: status.parentPid,
      cgroup: this.cgroup(entry.pid, cgroups),
      score: entry.reading?.score ?? 0,
      scoreAdj: this.scoreAdj(entry.pid),
      memory: status.memory,
    };
  }

  private status(pid: number): ProcessStatus {
    const { files } = this.options;
    const length = files.read(files.procfs(`${pid}`, "status"));
    return parseProcessStatus(files.bytes, length);
  }

  private scoreAdj(pid: number): number {
    const { files } = this.options;
    const length = files.read(files.procfs(`${pid}`, "oom_score_adj"));
    return signedDecimalAt(files.bytes, 0, length) ?? 0;
  }

  private cgroup(pid: number, hidden: Map<number, string> | undefined): string | undefined {
    if (hidden !== undefined) return hidden.get(pid);
    const { files } = this.options;
    const path = memoryCgroupOf(files.text(files.procfs(`${pid}`, "cgroup")));
    return path === undefined || isOutsideNamespace(path) ? undefined : path;
  }

  /**
   * A reader in a cgroup namespace of its own gets paths relative to that: pid 1's then leads outside,
   * and the cgroups' own lists of pids are the only true source.
   */
  private hiddenCgroups(): Map<number, string> | undefined {
    const { files } = this.options;
    const text = files.textIfReadable(files.procfs("1", "cgroup"));
    const path = text === undefined ? undefined : memoryCgroupOf(text);
    return path !== undefined && isOutsideNamespace(path) ? this.options.cgroupsByPid() : undefined;
  }

  private guard(entry: Entry, read: () => void): void {
    try {
      read();
      entry.denied = false;
    } catch (error) {
      if (!(error instanceof FileUnavailable)) throw error;
      entry.denied = error.reason === "denied";
      if (!entry.denied) this.drop(entry);
    }
  }

  private readings(): ProcessReading[] {
    const readings: ProcessReading[] = [];
    for (const { reading } of this.entries.values()) {
      if (reading !== undefined) readings.push(reading);
    }
    return readings.sort(byRank);
  }

  private drop(entry: Entry): void {
    entry.scoreFile.close();
    this.entries.delete(entry.pid);
    if (entry.reading === undefined) return;
    const { comm, uid, cgroup } = entry.reading;
    const untilMs = this.options.now() + rememberGoneForMs;
    this.gone.delete(entry.pid);
    this.gone.set(entry.pid, { comm, uid, cgroup, untilMs });
  }

  private forgetLongGone(): void {
    const now = this.options.now();
    for (const [pid, { untilMs }] of this.gone) {
      if (untilMs > now && this.gone.size <= rememberGoneAtMost) return;
      this.gone.delete(pid);
    }
  }
}

interface Entry {
  pid: number;
  scoreFile: KeptFile;
  passes: number;
  denied: boolean;
  isKernelThread: boolean;
  reading?: ProcessReading;
}

/** The kernel's order as far as these files tell: score, then the pages that a kill would free. */
function byRank(a: ProcessReading, b: ProcessReading): number {
  return b.score - a.score || sizeBytes(b.memory) - sizeBytes(a.memory) || a.pid - b.pid;
}

/** What `oom_badness()` adds up before the adjustment. */
export function sizeBytes(memory: ProcessMemory): number {
  return memory.residentBytes + memory.swapBytes + memory.pageTablesBytes;
}
