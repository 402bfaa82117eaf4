/**
 * One out-of-memory event as the kernel log tells it, put together from its messages.
 *
 * Source: mm/oom_kill.c and mm/memcontrol.c; the shapes of every kernel since 2.4. Only the
 * `Killed process` line says that somebody died: it is printed for every victim, while the dump
 * before it (everything from `invoked oom-killer` to `oom-kill:constraint=`) is limited to 10 in 5 s.
 *
 *     greedy invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
 *     CPU: 0 PID: 226 Comm: greedy Not tainted 6.1.0-56-cloud-amd64 #1  Debian 6.1.192-2
 *     memory: usage 65536kB, limit 65536kB, failcnt 26
 *     Tasks state (memory values in pages):
 *     [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
 *     [    226]     0   226    12576    12307   135168        0             0 greedy
 *     oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=b,mems_allowed=0,oom_memcg=/job,task_memcg=/job/b,task=greedy,pid=226,uid=0
 *     Memory cgroup out of memory: Killed process 226 (greedy) total-vm:50304kB, anon-rss:48516kB, file-rss:4kB, shmem-rss:708kB, UID:0 pgtables:132kB oom_score_adj:0
 *     Tasks in /job are going to be killed due to memory.oom.group set
 */
import type { KernelMessage } from "./kernel-message.ts";
import { decodeUtf8 } from "./kernel-message.ts";

/** The pool of tasks from which the kernel chose, in the words of the metric label. */
export type OomConstraint = "none" | "memcg" | "cpuset" | "memory_policy" | "unknown";

/** `COMM invoked oom-killer: ...`: the task whose allocation failed. */
export interface OomTrigger {
  comm: string;
  /** From the `CPU: 0 PID: 226 Comm: ...` line after the header. */
  pid?: number;
  /** `0xcc0(GFP_KERNEL)` as printed. */
  gfpMask?: string;
  /** Allocation order; -1 is SysRq f. */
  order?: number;
  oomScoreAdj?: number;
}

/** One counter line of a memory cgroup's dump; a limit that means "none" is absent. */
export interface MemcgUsage {
  usageBytes: number;
  limitBytes?: number;
  failcnt: number;
}

/** The memory cgroup part of a dump (`memory: usage ...` and its memory.stat). */
export interface MemcgDump {
  memory?: MemcgUsage;
  /** cgroup v1: memory and swap together. */
  memorySwap?: MemcgUsage;
  /** cgroup v1: kernel memory. */
  kernelMemory?: MemcgUsage;
  /** cgroup v2. */
  swap?: MemcgUsage;
  /** memory.stat of the limit's cgroup in bytes, keys as printed (`anon` on v2, `rss` on v1). */
  stat: ReadonlyMap<string, number>;
}

/** One zone of `Mem-Info:` (`Node 0 Normal free:..kB min:..kB`). */
export interface ZoneInfo {
  node: number;
  zone: string;
  freeBytes: number;
  minBytes?: number;
  lowBytes?: number;
}

/** The host part of a dump (`Mem-Info:`). Everything in bytes. */
export interface MemInfoDump {
  /** `N pages RAM` less `N pages reserved`. */
  totalBytes?: number;
  anonBytes?: number;
  fileBytes?: number;
  shmemBytes?: number;
  slabReclaimableBytes?: number;
  slabUnreclaimableBytes?: number;
  pageTablesBytes?: number;
  kernelStackBytes?: number;
  freeBytes?: number;
  swapTotalBytes?: number;
  swapFreeBytes?: number;
  zones: readonly ZoneInfo[];
}

/** One row of the task table. Sizes in bytes, by the page size of the machine that printed them. */
export interface OomTask {
  pid: number;
  tgid?: number;
  uid?: number;
  comm: string;
  totalVmBytes?: number;
  rssBytes: number;
  /** Shared memory part of rss (>= 6.8). */
  shmemRssBytes?: number;
  swapBytes?: number;
  pageTablesBytes?: number;
  oomScoreAdj?: number;
}

/** The dump that `dump_header()` prints: once per event, at most 10 in 5 s. Shared by all kills of the event. */
export interface OomDump {
  trigger?: OomTrigger;
  memcg?: MemcgDump;
  memInfo?: MemInfoDump;
  tasks: readonly OomTask[];
  pageSizeBytes: number;
}

/**
 * What the kernel says of one kill, in the kernel's own terms. Absent = the log does not say.
 * All strings are decoded (UTF-8, invalid bytes as U+FFFD).
 *
 * Invariant: one report per `Killed process` line that the kernel wrote, and none for any other line.
 */
export interface OomKillReport extends KillLine {
  /** The message of the `Killed process` line itself. */
  killLine: KernelMessage;
  /** 1-based line number in the source; for kmsg the sequence number. */
  lineNumber?: number;
  /** Byte offset just behind the `Killed process` line, where the source has offsets. */
  endOffset?: number;
  constraint: OomConstraint;
  /** `task_memcg=`: the victim's own cgroup. */
  victimCgroup?: string;
  /** `oom_memcg=`: the cgroup whose limit was hit. */
  limitCgroup?: string;
  /** Cgroup named by the `memory.oom.group` line of this event. */
  groupCgroup?: string;
  /** True when this line repeats a victim that this group event has already named: a raw line, not a kill. */
  repeatsVictim: boolean;
  /** True where the kernel printed no dump for this event (rate limit) or the log lost it. */
  suppressed: boolean;
  /** The dump of the event; absent where `suppressed`. */
  dump?: OomDump;
}

/** Something the log says it does not hold. */
export interface LogLoss {
  what: "callbacks_suppressed" | "printk_dropped" | "journal_missed" | "syslog_lost";
  count: number;
  /** The kernel function or the syslog module that says so (`oom_kill_process`, `imuxsock`). */
  by?: string;
}

/** What the kernel log tells, in the order in which it tells it. */
export type KernelLogEvent =
  | { kind: "kill"; report: OomKillReport }
  /** The group line comes after its first victim: `report` is that victim's, `groupCgroup` now filled in. */
  | { kind: "group"; report: OomKillReport; cgroup: string }
  | { kind: "loss"; loss: LogLoss }
  /** A line that begins as a kill line and fits no grammar of any kernel. */
  | { kind: "unparsed"; message: KernelMessage; lineNumber?: number }
  /** `Out of memory and no killable processes...`: an event without a victim. */
  | { kind: "no_victim" };

const prefixes =
  "Memory cgroup out of memory(?: \\([a-z_]+\\))?|Out of [mM]emory(?: \\([a-z_]+\\))?|No available memory (?:\\(MPOL_BIND\\)|in cpuset)";
const killHead = new RegExp(`^(?:(${prefixes}): )?Killed process (\\d+)\\b`);
const killGrammar = new RegExp(
  `^(?:(${prefixes}): )?Killed process (\\d+)(?:, UID (\\d+),)? \\((.*)\\)(?:, UID (\\d+),)?` +
    "(\\.|(?:,? (?:[A-Za-z][A-Za-z_-]*:\\d+kB|(?:UID|oom_[a-z_]+):-?\\d+))+|)\\s*$",
  "s",
);
const announcement = new RegExp(`^(${prefixes}): [Kk]ill process (\\d+) \\(`);

/** A task's name has at most 15 bytes; longer ones stand in text that only looks like the kernel's. */
const commMaxBytes = 15;

/** The fields of a `Killed process` line. Sizes in bytes. */
export interface KillLine {
  /** `Out of memory`, `Memory cgroup out of memory`, ...; in a report also that of its announce line. */
  prefix?: string;
  pid: number;
  comm: string;
  uid?: number;
  totalVmBytes?: number;
  anonRssBytes?: number;
  fileRssBytes?: number;
  shmemRssBytes?: number;
  pageTablesBytes?: number;
  oomScoreAdj?: number;
}

/**
 * Reads the text of a `Killed process` line of any kernel, the whole of it: a name may hold `)` and
 * even ` total-vm:9kB`, so the sizes are those behind the last parenthesis. `undefined` for anything
 * else, a line cut short among them.
 */
export function parseKillLine(text: string): KillLine | undefined {
  const match = killGrammar.exec(text);
  if (match === null) return undefined;
  const [, prefix, pid, uidBefore, comm = "", uidAfter, tail = ""] = match;
  if (comm.length > commMaxBytes) return undefined;
  const kill: KillLine = { pid: Number(pid), comm: decodeUtf8(comm) };
  if (prefix !== undefined) kill.prefix = prefix;
  const uid = uidBefore ?? uidAfter;
  if (uid !== undefined) kill.uid = Number(uid);
  if (tail === "" || tail === ".") {
    // Until 2.6.23 the line has a prefix and ends with a full stop, from 2.6.24 on neither.
    return (prefix === undefined) === (tail === "") ? kill : undefined;
  }
  const sizes = killSizes(tail);
  if (sizes.totalVmBytes === undefined || sizes.anonRssBytes === undefined) return undefined;
  return { ...sizes, ...kill };
}

/**
 * The same for a line whose end is missing: what is left of it, at least the whole name. Nothing in
 * such a line proves that the kernel wrote it; the caller needs another line that names the victim.
 */
function parseCutKillLine(text: string): KillLine | undefined {
  const head = killHead.exec(text);
  const name = /\((.{0,15}?)\)(?:, UID \d+,)? (?:total-vm|vsz):/s.exec(text);
  if (head === null || name === null) return undefined;
  const kill: KillLine = { pid: Number(head[2]), comm: decodeUtf8(name[1] ?? "") };
  if (head[1] !== undefined) kill.prefix = head[1];
  return { ...killSizes(text.slice(name.index + name[0].lastIndexOf(" "))), ...kill };
}

function killSizes(tail: string): Partial<KillLine> {
  const values = new Map<string, number>();
  for (const [, key = "", value] of tail.matchAll(/([A-Za-z][A-Za-z_-]*):(\d+)kB/g)) {
    values.set(key, Number(value));
  }
  const bytes = (key: string): number | undefined => {
    const kilobytes = values.get(key);
    return kilobytes === undefined ? undefined : kilobytes * 1024;
  };
  const totalVmBytes = bytes("total-vm") ?? bytes("vsz");
  const sizes: Partial<KillLine> = {
    totalVmBytes,
    anonRssBytes: bytes("anon-rss"),
    fileRssBytes: bytes("file-rss"),
    shmemRssBytes: bytes("shmem-rss"),
    pageTablesBytes: pageTables(values.get("pgtables"), totalVmBytes),
  };
  const adj = /\boom_score_adj:(-?\d+)/.exec(tail)?.[1];
  const uid = /\bUID:(\d+)/.exec(tail)?.[1];
  if (adj !== undefined) sizes.oomScoreAdj = Number(adj);
  if (uid !== undefined) sizes.uid = Number(uid);
  return sizes;
}

/**
 * 5.4.0 to 5.4.11 print bytes and call them kB: a number of whole pages, far more than tables of that
 * much memory need (1/512 of what they map, when it is densely used).
 */
function pageTables(printed: number | undefined, totalVm: number | undefined): number | undefined {
  if (printed === undefined) return undefined;
  const bytes = printed * 1024;
  const isBytes = printed % 4096 === 0 && totalVm !== undefined && bytes > totalVm / 64;
  return isBytes ? printed : bytes;
}

/** The `oom-kill:constraint=...` line (>= 5.0), its fields unquoted and some of them chosen by users. */
interface ConstraintLine {
  constraint: OomConstraint;
  limitCgroup?: string;
  victimCgroup?: string;
  task?: string;
  pid?: number;
  uid?: number;
}

const constraintNames: Record<string, OomConstraint> = {
  CONSTRAINT_NONE: "none",
  CONSTRAINT_MEMCG: "memcg",
  CONSTRAINT_CPUSET: "cpuset",
  CONSTRAINT_MEMORY_POLICY: "memory_policy",
};

/**
 * Reads a constraint line from both ends. `cpuset=` holds one component of a path, which has no `/`,
 * so the first `,oom_memcg=/` is the real one; the task's fields are the last three. A tail that the
 * record's length cut off is no error, but a path that may be cut is left out.
 */
export function parseConstraintLine(text: string): ConstraintLine | undefined {
  const name = /^oom-kill:constraint=(\w+)/.exec(text);
  if (name === null) return undefined;
  const line: ConstraintLine = { constraint: constraintNames[name[1] ?? ""] ?? "unknown" };

  let paths = text;
  const task = /^(.*),task=(.*),pid=(\d+),uid=(\d+)\s*$/s.exec(text);
  if (task !== null) {
    paths = task[1] ?? "";
    line.task = decodeUtf8(task[2] ?? "");
    line.pid = Number(task[3]);
    line.uid = Number(task[4]);
  }
  const limitAt = paths.indexOf(",oom_memcg=/");
  const globalAt = paths.indexOf(",global_oom,task_memcg=/");
  const hasEnd = task !== null;
  if (limitAt >= 0) {
    const start = limitAt + ",oom_memcg=".length;
    const split = splitLimitAndVictim(paths, start);
    if (split >= 0) {
      line.limitCgroup = decodeUtf8(paths.slice(start, split));
      if (hasEnd) line.victimCgroup = decodeUtf8(paths.slice(split + ",task_memcg=".length));
    }
  } else if (globalAt >= 0 && hasEnd) {
    line.victimCgroup = decodeUtf8(paths.slice(globalAt + ",global_oom,task_memcg=".length));
  } else if (hasEnd) {
    const victimAt = paths.indexOf(",task_memcg=/");
    if (victimAt >= 0)
      line.victimCgroup = decodeUtf8(paths.slice(victimAt + ",task_memcg=".length));
  }
  return line;
}

/** Where `,task_memcg=` begins: of several, the one that leaves the victim at or below the limit. */
function splitLimitAndVictim(paths: string, start: number): number {
  const mark = ",task_memcg=/";
  const first = paths.indexOf(mark, start);
  for (let at = first; at >= 0; at = paths.indexOf(mark, at + 1)) {
    const limit = paths.slice(start, at);
    const victim = paths.slice(at + mark.length - 1);
    if (victim === limit || victim.startsWith(limit === "/" ? "/" : `${limit}/`)) return at;
  }
  return first;
}

/** The numeric columns of a task table's header, in order; the name is what remains of a row. */
type TaskColumns = readonly string[];

interface TaskRow {
  pid: number;
  values: readonly number[];
  comm: string;
}

/** What has been read of an event whose victim is still to come. */
interface OpenEvent {
  startedAt: KernelMessage;
  trigger?: OomTrigger;
  constraint?: ConstraintLine;
  /** `Task in A killed as a result of limit of B` (<= 4.20). */
  taskIn?: { victim?: string; limit?: string };
  /** Text of a `Task in` line that other output tore apart. */
  tornTaskIn?: string;
  announcedPrefix?: string;
  memory?: MemcgUsage;
  memorySwap?: MemcgUsage;
  kernelMemory?: MemcgUsage;
  swap?: MemcgUsage;
  stat?: Map<string, number>;
  memInfo?: MemInfoLines;
  taskColumns?: TaskColumns;
  taskRows: TaskRow[];
}

/** Mem-Info as printed; pages become bytes when the page size is known. */
interface MemInfoLines {
  pages: Map<string, number>;
  kernelStackBytes?: number;
  swapTotalBytes?: number;
  swapFreeBytes?: number;
  zones: ZoneInfo[];
  pageSizeBytes?: number;
}

/** An event after its first kill: group members and repeats belong to it. */
interface PastEvent {
  event?: OpenEvent;
  dump?: OomDump;
  first: OomKillReport;
  groupCgroup?: string;
  /** Fewer than 10 dumps had been printed in 5 s, so the next event must print its own. */
  nextPrintsDump: boolean;
}

const maxOpenEvents = 8;
const maxTaskRows = 65_536;
/** The widest table has ten; a header from who knows where must not grow the pattern of its rows. */
const maxTaskColumns = 20;
/** A dump goes out over the slowest console in less than this. */
const dumpMaxMicros = 120_000_000;
const groupMaxMicros = 60_000_000;
/** Where the group line is missing (filtered by level): sooner than a storm can use up all pids. */
const bareGroupMaxMicros = 2_000_000;
/** Victims of one event, or of a storm whose dumps are suppressed. */
const maxVictims = 4096;
const dumpBurst = 10;
const dumpIntervalMicros = 5_000_000;
/** A name of 15 bytes can split its line at most this often. */
const maxTornLines = 16;

/**
 * Puts reports together from messages in the order of the log. Cheap for messages that have nothing
 * to do with memory.
 *
 * Invariant: exactly one `kill` event per `Killed process` line that the kernel wrote; each dump is
 * used by one event; a dump never serves a kill that stands before it.
 */
export class OomReportAssembler {
  readonly #tell: (event: KernelLogEvent) => void;
  #open: OpenEvent[] = [];
  #past: PastEvent | undefined;
  #victims = new Map<number, { comm: string; line: KernelMessage }>();
  #dumpTimes: KernelMessage[] = [];
  /** A group line has been read since the last dump began. */
  #groupSeen = false;
  #inStat = false;
  /** What a line without an envelope would continue; `undefined` once the record has been understood. */
  #previousText: string | undefined;
  #torn: Torn | undefined;

  constructor(tell: (event: KernelLogEvent) => void) {
    this.#tell = tell;
  }

  /**
   * Takes the next message. `lineNumber` is where a kill in it is said to stand, `endOffset` the byte
   * behind it.
   */
  push(message: KernelMessage, lineNumber?: number, endOffset?: number): void {
    if (this.#torn !== undefined) {
      const rest = this.#joinTorn(this.#torn, message, endOffset);
      if (rest) return;
    }
    if (message.origin === "user") {
      this.#inStat = false;
      this.#previousText = undefined;
      const loss = parseLoss(message);
      if (loss !== undefined) this.#tell({ kind: "loss", loss });
      return;
    }
    if (message.continues) {
      if (this.#inStat && this.#readStat(message.text)) return;
      if (this.#previousText === undefined || this.#previousText.length > 4096) return;
      this.#previousText = `${this.#previousText}\n${message.text}`;
      this.#read({ ...message, text: this.#previousText }, lineNumber, endOffset);
      return;
    }
    this.#previousText = message.text;
    this.#read(message, lineNumber, endOffset);
  }

  /** The log ends here (or is cut): a line still waiting for its rest is told as what it is. */
  end(): void {
    if (this.#torn !== undefined) this.#giveUpTorn(this.#torn);
  }

  /** True while a dump has been read whose victim has not. */
  get isOpen(): boolean {
    return this.#open.length > 0 || this.isTorn;
  }

  /** True while the next message may be the rest of a kill line. */
  get isTorn(): boolean {
    return this.#torn !== undefined;
  }

  #read(message: KernelMessage, lineNumber?: number, endOffset?: number): void {
    const { text } = message;
    if (this.#inStat && this.#readStat(text)) return;
    this.#inStat = false;

    if (text.includes("Killed process ") && killHead.test(text)) {
      const kill = parseKillLine(text);
      this.#previousText = undefined;
      if (kill !== undefined) this.#kill(kill, message, lineNumber, endOffset);
      else this.#torn = { message, lineNumber, endOffset, text, lines: 1 };
      return;
    }
    if (text.startsWith("oom-kill:constraint=")) {
      this.#previousText = undefined;
      this.#readConstraint(text, message);
      return;
    }
    if (text.includes("invoked oom-killer: ") || text.startsWith("oom-killer: gfp_mask=")) {
      this.#previousText = undefined;
      this.#readHeader(text, message);
      return;
    }
    if (this.#readOutsideOfDump(text, message)) return;
    const event = this.#eventOf(message);
    if (event !== undefined) this.#readDumpLine(event, text);
  }

  #readHeader(text: string, message: KernelMessage): void {
    const match = /^(?:(.*) invoked )?oom-killer: (.*)$/s.exec(text);
    const comm = match?.[1];
    const fields = match?.[2];
    if (fields === undefined || (comm !== undefined && comm.length > commMaxBytes)) return;
    this.#endPastEvent(message);
    const trigger: OomTrigger = { comm: decodeUtf8(comm ?? "") };
    const gfpMask = /\bgfp_mask=(0x[0-9a-f]+(?:\([^)]*\))?|\d+)/i.exec(fields)?.[1];
    const order = /\border=(-?\d+)/.exec(fields)?.[1];
    const adj = /\boom_score_adj=(-?\d+)/.exec(fields)?.[1];
    if (gfpMask !== undefined) trigger.gfpMask = gfpMask;
    if (order !== undefined) trigger.order = Number(order);
    if (adj !== undefined) trigger.oomScoreAdj = Number(adj);
    this.#openEvent(message).trigger = trigger;
  }

  #openEvent(message: KernelMessage): OpenEvent {
    const event: OpenEvent = { startedAt: message, taskRows: [] };
    this.#open.push(event);
    if (this.#open.length > maxOpenEvents) this.#open.shift();
    return event;
  }

  /** The open event a line belongs to: the same thread's, else the latest. */
  #eventOf(message: KernelMessage): OpenEvent | undefined {
    if (message.callerId !== undefined) {
      const own = this.#open.findLast((event) => event.startedAt.callerId === message.callerId);
      if (own !== undefined) return own;
      if (this.#open.some((event) => event.startedAt.callerId !== undefined)) return undefined;
    }
    return this.#open.at(-1);
  }

  #readConstraint(text: string, message: KernelMessage): void {
    const line = parseConstraintLine(text);
    if (line === undefined) return;
    let event = this.#eventOf(message);
    if (event === undefined || event.constraint !== undefined) {
      // Its header is missing (filtered by level, or cut off by a rotation): the event begins here.
      this.#endPastEvent(message);
      event = this.#openEvent(message);
    }
    event.constraint = line;
    if (line.pid === undefined) {
      this.#torn = { message, text, lines: 1, constraintOf: event };
    }
  }

  #readOutsideOfDump(text: string, message: KernelMessage): boolean {
    const announced = announcement.exec(text);
    if (announced !== null) {
      const event = this.#eventOf(message) ?? this.#openEvent(message);
      event.announcedPrefix = announced[1];
      return true;
    }
    if (text.startsWith("Tasks in ")) {
      const group = /^Tasks in (.*) are going to be killed due to memory\.oom\.group set\s*$/s.exec(
        text,
      );
      this.#groupSeen ||= group !== null;
      if (group !== null && this.#past !== undefined) {
        const { first } = this.#past;
        const cgroup = decodeUtf8(group[1] ?? "");
        this.#past.groupCgroup = cgroup;
        first.groupCgroup = cgroup;
        this.#tell({ kind: "group", report: first, cgroup });
      }
      return true;
    }
    if (text.startsWith("Task in ")) {
      const event = this.#eventOf(message) ?? this.#openEvent(message);
      event.taskIn ??= taskIn(text);
      if (event.taskIn.limit === undefined) event.tornTaskIn = text;
      return true;
    }
    if (text.startsWith("Out of memory and no killable processes")) {
      const event = this.#eventOf(message);
      if (event !== undefined) this.#open.splice(this.#open.indexOf(event), 1);
      this.#tell({ kind: "no_victim" });
      return true;
    }
    const loss = parseLoss(message);
    if (loss === undefined) return false;
    this.#tell({ kind: "loss", loss });
    return true;
  }

  #readDumpLine(event: OpenEvent, text: string): void {
    if (event.tornTaskIn !== undefined && event.taskIn?.limit === undefined) {
      const whole = `${event.tornTaskIn}${text}`;
      const joined = taskIn(whole);
      if (joined.limit !== undefined) {
        event.taskIn = joined;
        event.tornTaskIn = undefined;
        return;
      }
      if (/^ ?killed as|^\//.test(text)) {
        event.tornTaskIn = whole;
        return;
      }
    }
    const first = text.trimStart();
    if (first.startsWith("[")) {
      this.#readTaskTable(event, first);
    } else if (text.includes(": usage ")) {
      readUsage(event, text);
    } else if (text.startsWith("Memory cgroup stats for ") || text === "Memory cgroup stats:") {
      this.#startStat(event, text);
    } else if (text.startsWith("CPU: ") || text.startsWith("Pid: ")) {
      this.#readTriggerPid(event, text);
    } else if (event.memInfo !== undefined) {
      readMemInfo(event.memInfo, text);
    } else if (text.startsWith("Mem-Info") || text.startsWith("Mem-info")) {
      event.memInfo = { pages: new Map(), zones: [] };
    }
  }

  #readTriggerPid(event: OpenEvent, text: string): void {
    const { trigger } = event;
    if (trigger === undefined || trigger.pid !== undefined) return;
    const match =
      /^CPU: \d+ (?:UID: \d+ )?PID: (\d+) Comm: (.*)$/s.exec(text) ??
      /^Pid: (\d+), comm: (.*)$/s.exec(text);
    if (match !== null) trigger.pid = Number(match[1]);
  }

  #startStat(event: OpenEvent, text: string): void {
    this.#inStat = true;
    if (event.stat !== undefined) {
      // <= 4.20 prints one line for each cgroup of the tree; the first is the one with the limit.
      this.#inStat = false;
      return;
    }
    event.stat = new Map();
    const inline = /:((?: ?[a-z_]+:\d+KB)+)\s*$/.exec(text);
    for (const [, key = "", value] of (inline?.[1] ?? "").matchAll(/([a-z_]+):(\d+)KB/g)) {
      event.stat.set(key, Number(value) * 1024);
    }
  }

  /** True where the text is part of memory.stat: `anon 50176000`, one or many lines of it. */
  #readStat(text: string): boolean {
    const stat = this.#open.findLast((event) => event.stat !== undefined)?.stat;
    if (stat === undefined) return false;
    const lines = text.split("\n");
    for (const line of lines) {
      const match = /^\s*([a-z][a-z0-9_]*) (\d+)\s*$/.exec(line);
      if (match === null) return false;
      if (!stat.has(match[1] ?? "")) stat.set(match[1] ?? "", Number(match[2]));
    }
    return true;
  }

  #readTaskTable(event: OpenEvent, text: string): void {
    const header = /^\[ *pid *\] +(.*\S)\s*$/.exec(text);
    if (header !== null) {
      event.taskColumns = (header[1] ?? "").split(/\s+/, maxTaskColumns).slice(0, -1);
      return;
    }
    if (event.taskColumns === undefined || event.taskRows.length >= maxTaskRows) return;
    const row = taskRow(event.taskColumns, text);
    if (row !== undefined) event.taskRows.push(row);
  }

  /** A new dump begins: whoever dies from now on belongs to another event. */
  #endPastEvent(message: KernelMessage): void {
    this.#victims.clear();
    this.#past = undefined;
    this.#groupSeen = false;
    this.#dumpTimes.push(message);
    if (this.#dumpTimes.length > dumpBurst) this.#dumpTimes.shift();
  }

  #kill(
    kill: KillLine,
    message: KernelMessage,
    lineNumber: number | undefined,
    endOffset: number | undefined,
  ): void {
    const known = this.#victims.get(kill.pid);
    const repeatsVictim =
      known !== undefined &&
      known.comm === kill.comm &&
      microsBetween(known.line, message) <= (this.#groupSeen ? groupMaxMicros : bareGroupMaxMicros);

    const event = repeatsVictim ? undefined : this.#takeEvent(kill, message);
    const past = event === undefined ? this.#pastEventOf(kill, message, repeatsVictim) : undefined;
    const source = event ?? past?.event;
    const dump = event === undefined ? past?.dump : dumpOf(event, kill);
    const report = reportOf(kill, source, dump, event !== undefined);
    report.killLine = message;
    report.repeatsVictim = repeatsVictim;
    if (lineNumber !== undefined) report.lineNumber = lineNumber;
    if (endOffset !== undefined) report.endOffset = endOffset;
    if (past?.groupCgroup !== undefined) report.groupCgroup = past.groupCgroup;

    if (past === undefined) {
      this.#past = {
        event,
        dump,
        first: report,
        nextPrintsDump: event !== undefined && this.#recentDumps(message) < dumpBurst,
      };
    }
    if (!repeatsVictim) this.#rememberVictim(kill, message);
    this.#tell({ kind: "kill", report });
  }

  #rememberVictim(kill: KillLine, line: KernelMessage): void {
    this.#victims.delete(kill.pid);
    this.#victims.set(kill.pid, { comm: kill.comm, line });
    if (this.#victims.size <= maxVictims) return;
    for (const oldest of this.#victims.keys()) {
      this.#victims.delete(oldest);
      return;
    }
  }

  #recentDumps(message: KernelMessage): number {
    return this.#dumpTimes.filter((dump) => microsBetween(dump, message) <= dumpIntervalMicros)
      .length;
  }

  /** The open event of a kill, taken out of the list. */
  #takeEvent(kill: KillLine, message: KernelMessage): OpenEvent | undefined {
    const fits = (event: OpenEvent): boolean => {
      const caller = event.startedAt.callerId;
      if (caller !== undefined && message.callerId !== undefined && caller !== message.callerId) {
        return false;
      }
      if (event.constraint?.pid === kill.pid) return true;
      const isMemcg = kill.prefix?.startsWith("Memory cgroup");
      if (isMemcg === true && event.memInfo !== undefined) return false;
      if (isMemcg === false && event.memory !== undefined) return false;
      return microsBetween(event.startedAt, message) <= dumpMaxMicros;
    };
    const candidates = this.#open.filter(fits);
    const event =
      candidates.findLast((candidate) => candidate.constraint?.pid === kill.pid) ??
      candidates.findLast((candidate) => candidate.announcedPrefix !== undefined) ??
      candidates.at(-1);
    if (event === undefined) return undefined;
    // From 5.1 on (prefix on the kill line) one event runs at a time, so what is older had no victim.
    // Before that several may run at once.
    const index = this.#open.indexOf(event);
    this.#open =
      kill.prefix === undefined || message.callerId !== undefined
        ? this.#open.filter((other) => other !== event)
        : this.#open.slice(index + 1);
    return event;
  }

  /** The event a kill without a dump of its own goes on: its group's, where that is certain. */
  #pastEventOf(
    kill: KillLine,
    message: KernelMessage,
    repeatsVictim: boolean,
  ): PastEvent | undefined {
    const past = this.#past;
    if (past === undefined) return undefined;
    if (repeatsVictim) return past;
    if (past.groupCgroup === undefined || past.first.prefix !== kill.prefix) return undefined;
    const { killLine } = past.first;
    if (microsBetween(killLine, message) > groupMaxMicros) return undefined;
    if (killLine.callerId !== undefined && message.callerId !== undefined) {
      return killLine.callerId === message.callerId ? past : undefined;
    }
    return past.nextPrintsDump ? past : undefined;
  }

  /** Takes `message` as the rest of a torn line. False where it is not: it stands for itself. */
  #joinTorn(torn: Torn, message: KernelMessage, endOffset: number | undefined): boolean {
    const sameRecord =
      message.continues === true ||
      (message.origin === torn.message.origin &&
        message.sequence === undefined &&
        message.printkMicros === torn.message.printkMicros &&
        (message.printkMicros !== undefined || message.timeMs === torn.message.timeMs));
    const startsAnew = killHead.test(message.text) || message.text.includes("invoked oom-killer");
    if (!sameRecord || startsAnew || torn.lines >= maxTornLines) {
      this.#giveUpTorn(torn);
      return false;
    }
    const text = `${torn.text}\n${message.text}`;
    if (torn.constraintOf !== undefined) {
      const line = parseConstraintLine(text);
      if (line?.pid === undefined) {
        this.#torn = { ...torn, text, lines: torn.lines + 1 };
      } else {
        torn.constraintOf.constraint = line;
        this.#torn = undefined;
      }
      return true;
    }
    const kill = parseKillLine(text);
    if (kill === undefined) {
      this.#torn = { ...torn, text, lines: torn.lines + 1 };
      return true;
    }
    this.#torn = undefined;
    this.#kill(kill, { ...torn.message, text }, torn.lineNumber, endOffset ?? torn.endOffset);
    return true;
  }

  /** A cut kill line counts where its event's other lines name the same victim. */
  #giveUpTorn(torn: Torn): void {
    this.#torn = undefined;
    if (torn.constraintOf !== undefined) return;
    const kill = parseCutKillLine(torn.text);
    const isNamed = (event: OpenEvent): boolean =>
      event.constraint?.pid === kill?.pid || event.taskRows.some((row) => row.pid === kill?.pid);
    if (kill !== undefined && this.#open.some(isNamed)) {
      this.#kill(kill, torn.message, torn.lineNumber, torn.endOffset);
      return;
    }
    this.#tell({ kind: "unparsed", message: torn.message, lineNumber: torn.lineNumber });
  }
}

/** A line whose end is still missing: a newline in a name splits it in files and in dmesg's output. */
interface Torn {
  message: KernelMessage;
  lineNumber?: number;
  endOffset?: number;
  text: string;
  lines: number;
  /** The event of a constraint line; absent for a kill line. */
  constraintOf?: OpenEvent;
}

/** Time from one message to a later one, by whichever clock both carry; 0 where they share none. */
function microsBetween(from: KernelMessage, to: KernelMessage): number {
  if (from.printkMicros !== undefined && to.printkMicros !== undefined) {
    return Math.abs(to.printkMicros - from.printkMicros);
  }
  if (from.timeMs !== undefined && to.timeMs !== undefined) {
    return Math.abs(to.timeMs - from.timeMs) * 1000;
  }
  return 0;
}

function reportOf(
  kill: KillLine,
  event: OpenEvent | undefined,
  dump: OomDump | undefined,
  isFirst: boolean,
): OomKillReport {
  const line = event?.constraint;
  const row = dump?.tasks.find((task) => task.pid === kill.pid);
  const prefix = kill.prefix ?? event?.announcedPrefix;
  // The line may name the leader and the kill a thread of it; the group's others may live elsewhere.
  const isNamed = isFirst || line?.pid === kill.pid;
  return {
    ...kill,
    killLine: { text: "", origin: "unverified" },
    prefix,
    uid: kill.uid ?? (line?.pid === kill.pid ? line.uid : undefined) ?? row?.uid,
    oomScoreAdj: kill.oomScoreAdj ?? row?.oomScoreAdj,
    constraint: constraintOf(event, prefix),
    victimCgroup: isNamed ? (line?.victimCgroup ?? event?.taskIn?.victim) : undefined,
    limitCgroup: line?.limitCgroup ?? event?.taskIn?.limit,
    repeatsVictim: false,
    suppressed: dump === undefined,
    dump,
  };
}

function constraintOf(event: OpenEvent | undefined, prefix: string | undefined): OomConstraint {
  if (event?.constraint !== undefined) return event.constraint.constraint;
  if (event?.taskIn !== undefined) return "memcg";
  if (prefix === undefined) return "unknown";
  if (prefix.startsWith("Memory cgroup")) return "memcg";
  if (prefix.startsWith("Out of")) return "none";
  return prefix.endsWith("in cpuset") ? "cpuset" : "memory_policy";
}

/** `Task in A killed as a result of limit of B`, or as much of it as there is. */
function taskIn(text: string): { victim?: string; limit?: string } {
  const whole = /^Task in (.*?) ?killed as a result of limit of (\/.*?)\s*$/s.exec(text);
  if (whole === null) return {};
  return { victim: decodeUtf8(whole[1] ?? ""), limit: decodeUtf8(whole[2] ?? "") };
}

/** Page counters' "no limit" differs by kernel and page size, and is always beyond an exbibyte. */
const unlimitedKilobytes = 2 ** 50;

function readUsage(event: OpenEvent, text: string): void {
  const match =
    /^(memory|memory\+swap|kmem|swap): usage (\d+)kB, limit (\d+)kB, failcnt (\d+)/.exec(text);
  if (match === null) return;
  const usage: MemcgUsage = { usageBytes: Number(match[2]) * 1024, failcnt: Number(match[4]) };
  if (Number(match[3]) < unlimitedKilobytes) usage.limitBytes = Number(match[3]) * 1024;
  if (match[1] === "memory") event.memory ??= usage;
  else if (match[1] === "memory+swap") event.memorySwap ??= usage;
  else if (match[1] === "kmem") event.kernelMemory ??= usage;
  else event.swap ??= usage;
}

const memInfoCounters = /\b([a-z_]+):(\d+)(?=\s|$)/g;
const zoneLine = /^Node (\d+) (\S+) free:(\d+)kB (?:boost:\d+kB )?min:(\d+)kB low:(\d+)kB/;

/** One line of Mem-Info. Page counts (`active_anon:2005`) come without unit, sizes with one. */
function readMemInfo(info: MemInfoLines, text: string): void {
  if (/^\s*[a-z_]+:\d+(\s|$)/.test(text)) {
    for (const [, key = "", pages] of text.matchAll(memInfoCounters)) {
      if (!info.pages.has(key)) info.pages.set(key, Number(pages));
    }
    return;
  }
  const stack = /^Node .*\bkernel_stack:(\d+)kB/.exec(text);
  if (stack !== null)
    info.kernelStackBytes = (info.kernelStackBytes ?? 0) + Number(stack[1]) * 1024;
  const zone = zoneLine.exec(text);
  if (zone !== null) {
    info.zones.push({
      node: Number(zone[1]),
      zone: zone[2] ?? "",
      freeBytes: Number(zone[3]) * 1024,
      minBytes: Number(zone[4]) * 1024,
      lowBytes: Number(zone[5]) * 1024,
    });
    return;
  }
  const buddy = /^Node \d+ \S+: \d+\*(\d+)kB /.exec(text);
  if (buddy !== null) {
    info.pageSizeBytes ??= Number(buddy[1]) * 1024;
    return;
  }
  const swap = /^(Free|Total) swap *[=:] *(\d+)kB/.exec(text);
  if (swap?.[1] === "Free") info.swapFreeBytes = Number(swap[2]) * 1024;
  else if (swap?.[1] === "Total") info.swapTotalBytes = Number(swap[2]) * 1024;
  const ram = /^(\d+) (pages (?:of )?RAM|pages reserved|reserved pages)/.exec(text);
  if (ram !== null) info.pages.set(ram[2]?.includes("RAM") ? "RAM" : "reserved", Number(ram[1]));
}

/** One pattern per number of columns. Patched kernels write a tag before a number (`(01)123`). */
const rowPatterns: RegExp[] = [];

function taskRow(columns: TaskColumns, text: string): TaskRow | undefined {
  const number = "(?: +(?:\\([^)]*\\))?(-?\\d+))";
  rowPatterns[columns.length] ??= new RegExp(
    `^\\[ *(\\d+)\\]${number.repeat(columns.length)} (.*)$`,
    "s",
  );
  const match = rowPatterns[columns.length]?.exec(text) ?? null;
  if (match === null) return undefined;
  return {
    pid: Number(match[1]),
    values: match.slice(2, 2 + columns.length).map(Number),
    comm: match.at(-1) ?? "",
  };
}

/** The dump of an event that has one. `undefined` where not a line of it was printed. */
function dumpOf(event: OpenEvent, kill: KillLine): OomDump | undefined {
  const { trigger, memory, memInfo, taskRows, constraint } = event;
  const hasAny =
    trigger !== undefined ||
    memory !== undefined ||
    memInfo !== undefined ||
    taskRows.length > 0 ||
    constraint !== undefined ||
    event.taskIn !== undefined;
  if (!hasAny) return undefined;
  const pageSizeBytes = pageSizeOf(event, kill);
  const dump: OomDump = { tasks: tasksOf(event, kill, pageSizeBytes), pageSizeBytes };
  if (trigger !== undefined) dump.trigger = { ...trigger, comm: triggerComm(trigger, kill) };
  if (memory !== undefined) {
    dump.memcg = {
      memory,
      memorySwap: event.memorySwap,
      kernelMemory: event.kernelMemory,
      swap: event.swap,
      stat: event.stat ?? new Map(),
    };
  }
  if (memInfo !== undefined) dump.memInfo = memInfoOf(memInfo, pageSizeBytes);
  return dump;
}

/** A newline in a name cuts the header's line; where the victim itself asked, its name is whole. */
function triggerComm(trigger: OomTrigger, kill: KillLine): string {
  return trigger.pid === kill.pid && kill.comm.endsWith(`\n${trigger.comm}`)
    ? kill.comm
    : trigger.comm;
}

/** Rows count pages, the kill line kB: the victim has both. Else the smallest block of the buddy lists. */
function pageSizeOf(event: OpenEvent, kill: KillLine): number {
  const totalVm = event.taskColumns?.indexOf("total_vm") ?? -1;
  const row = event.taskRows.find((candidate) => candidate.pid === kill.pid);
  const pages = row?.values[totalVm];
  if (pages !== undefined && pages > 0 && kill.totalVmBytes !== undefined) {
    const size = kill.totalVmBytes / pages;
    if (size === 4096 || size === 8192 || size === 16_384 || size === 65_536) return size;
  }
  return event.memInfo?.pageSizeBytes ?? 4096;
}

function tasksOf(event: OpenEvent, kill: KillLine, pageSizeBytes: number): OomTask[] {
  const columns = event.taskColumns ?? [];
  const at = (name: string): number => columns.indexOf(name);
  const [uid, tgid, totalVm, rss, shmem, swap, tables, adj] = [
    at("uid"),
    at("tgid"),
    at("total_vm"),
    at("rss"),
    at("rss_shmem"),
    at("swapents"),
    at("pgtables_bytes"),
    at("oom_score_adj"),
  ];
  return event.taskRows.map(({ pid, values, comm }) => {
    const pages = (index: number): number | undefined => {
      const count = values[index];
      return count === undefined ? undefined : count * pageSizeBytes;
    };
    return {
      pid,
      tgid: values[tgid],
      uid: values[uid],
      // A newline in the name cuts the row; the kill line holds the whole name.
      comm: pid === kill.pid ? kill.comm : decodeUtf8(comm),
      totalVmBytes: pages(totalVm),
      rssBytes: pages(rss) ?? 0,
      shmemRssBytes: pages(shmem),
      swapBytes: pages(swap),
      pageTablesBytes: values[tables],
      oomScoreAdj: values[adj],
    };
  });
}

function memInfoOf(lines: MemInfoLines, pageSizeBytes: number): MemInfoDump {
  const bytes = (...keys: string[]): number | undefined => {
    const counts = keys.map((key) => lines.pages.get(key)).filter((count) => count !== undefined);
    return counts.length === 0
      ? undefined
      : counts.reduce((sum, count) => sum + count, 0) * pageSizeBytes;
  };
  const ram = bytes("RAM");
  return {
    totalBytes: ram === undefined ? undefined : ram - (bytes("reserved") ?? 0),
    anonBytes: bytes("active_anon", "inactive_anon", "isolated_anon"),
    fileBytes: bytes("active_file", "inactive_file", "isolated_file"),
    shmemBytes: bytes("shmem"),
    slabReclaimableBytes: bytes("slab_reclaimable"),
    slabUnreclaimableBytes: bytes("slab_unreclaimable"),
    pageTablesBytes: bytes("pagetables"),
    kernelStackBytes: lines.kernelStackBytes,
    freeBytes: bytes("free"),
    swapTotalBytes: lines.swapTotalBytes,
    swapFreeBytes: lines.swapFreeBytes,
    zones: lines.zones,
  };
}

const losses: readonly [RegExp, LogLoss["what"]][] = [
  [/^(?:(\S+): )?(\d+) callbacks suppressed\s*$/, "callbacks_suppressed"],
  [/^(?:\*\* )?(?:(printk): )?(\d+)(?: printk)? messages dropped(?: \*\*)?\s*/, "printk_dropped"],
];

/** The same of the daemons that carry the log, in lines of their own. */
function parseDaemonLoss(text: string): LogLoss | undefined {
  const match =
    /\b(systemd-journald)(?:\[\d+\])?: Missed (\d+) kernel messages/.exec(text) ??
    /\brsyslogd: (im[a-z]+)\b.* lost (\d+) messages/.exec(text);
  if (match === null) return undefined;
  const what = match[1] === "systemd-journald" ? "journal_missed" : "syslog_lost";
  return { what, count: Number(match[2]), by: match[1] };
}

/** A message that says how many others are missing; `undefined` for any other. */
export function parseLoss({ text, origin }: KernelMessage): LogLoss | undefined {
  if (origin === "user") return parseDaemonLoss(text);
  if (!/suppressed|dropped/.test(text)) return undefined;
  for (const [shape, what] of losses) {
    const match = shape.exec(text);
    if (match === null) continue;
    const loss: LogLoss = { what, count: Number(match[2]) };
    if (match[1] !== undefined) loss.by = match[1];
    return loss;
  }
  return undefined;
}
