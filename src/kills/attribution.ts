import { isWithin } from "../kernel/cgroup-path.ts";

/** How long a kill without a known cgroup is held back. */
export const heldAtMostMs = 500;
/** Maximum number of lines and counter increases that are matched; older ones are dropped. */
const lineLimit = 2048;
const riseLimit = 256;
/** Increases are kept while one of this many last lines may still be attributed by them. */
const openLineLimit = 1024;

/** A process as last seen alive, or as /proc still shows it. */
export interface SeenProcess {
  comm: string;
  uid?: number;
  cgroup: string;
}

/** What is known about a kill when its line is read. */
export interface VictimFacts {
  pid: number;
  comm: string;
  uid?: number;
  /** `task_memcg=` of its constraint line. */
  victimCgroup?: string;
  /** The victim was in this cgroup or below it: the killed group, or the one whose limit was hit. */
  within?: string;
  /** The prefix says `Memory cgroup out of memory`. */
  isMemcgKill: boolean;
  /** /proc/PID of the victim, if it still exists. */
  stillThere?: SeenProcess;
  /** The last reading of the process with this pid. */
  remembered?: SeenProcess;
}

export interface Attributed {
  /** The identifier passed to `take`. */
  key: string;
  /** The victim's own cgroup; absent if nothing proves one. */
  cgroup?: string;
}

interface Line {
  /** Absent for a lost line. */
  key?: string;
  index: number;
  within?: string;
  /** The cgroup it was attributed to. */
  cgroup?: string;
}

/** An increase of a cgroup's `oom_kill` between two readings. */
interface Rise {
  cgroup: string;
  by: number;
  /** Lines read before the first of the two readings: that reading included their kills. */
  after: number;
  /** Lines read when all lines of kills up to the second reading had been read. */
  through?: number;
}

/**
 * Finds the victim's cgroup. In this order: its constraint line; /proc/PID/cgroup if the pid still has the same comm;
 * the last reading of the pid with the same comm and uid; the counters.
 *
 * The counters: the kernel increments `oom_kill` of the victim's own cgroup (`memory.events.local`, v1
 * `memory.oom_control`), then that of /proc/vmstat, then prints the line; once per line, including a group's repeated
 * line. So an increase between two readings of a cgroup belongs to lines read after the first reading and, once as
 * many lines have been read as /proc/vmstat counted after the second, to lines read by then. No clocks are compared.
 * A line without an increase is possible (its cgroup may be gone), an increase without a line is not.
 *
 * Invariant: attribution by counters never names a cgroup unless it is the only possibility: the line has this cgroup
 * in every possible assignment of increases to lines.
 */
export class Attribution {
  /** The last lines, attributed or not, in the order of reading. */
  #lines: Line[] = [];
  #rises: Rise[] = [];
  #lineCount = 0;
  /** Lines up to here are forgotten: an increase that may belong to them proves nothing. */
  #forgotten = 0;
  #lostLines = 0;
  readonly #readAt = new Map<string, number>();
  /** When each kill was held back, in the order of reading. */
  readonly #heldSince = new Map<string, number>();

  /**
   * Takes a new kill. Every kill read while this process follows the log must come here, in order. Returns its cgroup;
   * or `undefined`, and then `allLinesRead` or `due` returns it later.
   */
  take(key: string, facts: VictimFacts, nowMs: number): Attributed | undefined {
    const cgroup = directEvidence(facts);
    this.#addLine({ key, within: facts.within, cgroup });
    if (cgroup !== undefined) return { key, cgroup };
    this.#heldSince.set(key, nowMs);
    return undefined;
  }

  /** Takes another line of a known kill (the first victim of a group is named, and counted, twice). */
  takeFurtherLine({ within }: Pick<VictimFacts, "within">): void {
    this.#addLine({ within });
  }

  /**
   * Takes a reading of a cgroup's own `oom_kill` counter: the increase since the last reading, or 0 if it is unchanged or
   * was never read before.
   */
  counterRead(cgroup: string, rise: number): void {
    const after = this.#readAt.get(cgroup) ?? 0;
    this.#readAt.set(cgroup, this.#lineCount);
    if (rise <= 0) return;
    this.#rises.push({ cgroup, by: rise, after });
    if (this.#rises.length > riseLimit) this.#rises.shift();
  }

  counterGone(cgroup: string): void {
    this.#readAt.delete(cgroup);
  }

  /**
   * /proc/vmstat, read after the counters, counts no kill whose line has not been read, except `lostLines` whose lines
   * will never come. Returns the kills that this resolves.
   */
  allLinesRead(lostLines: number): Attributed[] {
    for (let lost = this.#lostLines; lost < lostLines; lost++) this.#addLine({});
    this.#lostLines = lostLines;
    let hasNewRise = false;
    for (const rise of this.#rises) {
      if (rise.through !== undefined) continue;
      rise.through = this.#lineCount;
      hasNewRise = true;
    }
    if (!hasNewRise) return [];
    const firstOpen = this.#firstOpenLine();
    this.#rises = this.#rises.filter(
      ({ after, through }) => after >= this.#forgotten && (through as number) >= firstOpen,
    );
    const settled: Attributed[] = [];
    for (const { lines, cgroup } of forced(this.#lines, this.#rises)) {
      for (const line of lines) {
        line.cgroup = cgroup;
        if (line.key === undefined) continue;
        this.#heldSince.delete(line.key);
        settled.push({ key: line.key, cgroup });
      }
    }
    return settled;
  }

  /** Kills held back for the maximum time. Their cgroup stays unknown. */
  due(nowMs: number): Attributed[] {
    const due: Attributed[] = [];
    for (const [key, sinceMs] of this.#heldSince) {
      if (nowMs - sinceMs < heldAtMostMs) break;
      this.#heldSince.delete(key);
      due.push({ key });
    }
    return due;
  }

  /** Index of the first of the last lines whose cgroup is not resolved. */
  #firstOpenLine(): number {
    const last = this.#lines.slice(-openLineLimit);
    const open = last.find(({ key, cgroup }) => key !== undefined && cgroup === undefined);
    return open?.index ?? this.#lineCount + 1;
  }

  #addLine(line: Omit<Line, "index">): void {
    this.#lineCount++;
    this.#lines.push({ ...line, index: this.#lineCount });
    if (this.#lines.length < 2 * lineLimit) return;
    this.#lines = this.#lines.slice(-lineLimit);
    this.#forgotten = this.#lineCount - lineLimit;
  }
}

function directEvidence(facts: VictimFacts): string | undefined {
  const { comm, uid, victimCgroup, stillThere, remembered } = facts;
  if (victimCgroup !== undefined) return victimCgroup;
  if (stillThere?.comm === comm) {
    const cgroup = stillThere.cgroup.replace(/ \(deleted\)$/, "");
    // On v1 the kernel shows `/` for an exiting task; a victim that really is in `/` leaves no other trace.
    if (cgroup !== "/" && mayHaveDiedIn(cgroup, facts)) return cgroup;
  }
  if (remembered?.comm === comm && (uid ?? remembered.uid) === remembered.uid) {
    if (mayHaveDiedIn(remembered.cgroup, facts)) return remembered.cgroup;
  }
  return undefined;
}

/** The root has no limit, so no victim of a memory cgroup kill is in it. */
function mayHaveDiedIn(cgroup: string, { within, isMemcgKill }: VictimFacts): boolean {
  return isWithin(cgroup, within ?? "/") && !(isMemcgKill && cgroup === "/");
}

/** Interchangeable lines: the same increases may belong to them. */
interface LineClass {
  lines: Line[];
  /** Indexes of increases. */
  rises: Set<number>;
}

interface Forced {
  lines: Line[];
  cgroup: string;
}

/** The lines without a cgroup that have the same one in every possible assignment. */
function forced(lines: readonly Line[], rises: readonly Rise[]): Forced[] {
  const assignment = new Assignment(rises, classesOf(lines, rises));
  if (!assignment.isPossible) return [];
  const found: Forced[] = [];
  assignment.classes.forEach((lineClass, index) => {
    const open = lineClass.lines.filter((line) => line.cgroup === undefined);
    const cgroup = open.length === 0 ? undefined : assignment.onlyCgroupOf(index);
    if (cgroup !== undefined) found.push({ lines: open, cgroup });
  });
  return found;
}

function classesOf(lines: readonly Line[], rises: readonly Rise[]): LineClass[] {
  const classes = new Map<string, LineClass>();
  for (const line of lines) {
    const possible: number[] = [];
    rises.forEach((rise, index) => {
      if (mayBeOf(line, rise)) possible.push(index);
    });
    if (possible.length === 0) continue;
    const key = possible.join();
    const known = classes.get(key);
    if (known !== undefined) known.lines.push(line);
    else classes.set(key, { lines: [line], rises: new Set(possible) });
  }
  return [...classes.values()];
}

function mayBeOf(line: Line, rise: Rise): boolean {
  if (line.index <= rise.after || line.index > (rise.through ?? Number.POSITIVE_INFINITY)) {
    return false;
  }
  if (line.cgroup !== undefined) return line.cgroup === rise.cgroup;
  return isWithin(rise.cgroup, line.within ?? "/");
}

/** Assigns every unit of every increase to a line: a flow from increases to classes of lines. */
class Assignment {
  readonly classes: readonly LineClass[];
  readonly isPossible: boolean;
  readonly #rises: readonly Rise[];
  /** Units of an increase in a class: `given[class].get(rise)`. */
  readonly #given: Map<number, number>[];
  readonly #spare: number[];

  constructor(rises: readonly Rise[], classes: readonly LineClass[]) {
    this.#rises = rises;
    this.classes = classes;
    this.#given = classes.map(() => new Map());
    this.#spare = classes.map(({ lines }) => lines.length);
    this.isPossible = rises.every((rise, index) => {
      for (let unit = 0; unit < rise.by; unit++) if (!this.#place(index, new Set())) return false;
      return true;
    });
  }

  /** The cgroup that all lines of a class have in every assignment. */
  onlyCgroupOf(index: number): string | undefined {
    const given = this.#given[index] as Map<number, number>;
    const [rise] = given.keys();
    if (rise === undefined || this.#spare[index] !== 0) return undefined;
    const { cgroup } = this.#rises[rise] as Rise;
    for (const other of given.keys()) {
      if ((this.#rises[other] as Rise).cgroup !== cgroup) return undefined;
    }
    // Would the class also work with one unit less of this cgroup?
    for (const unit of [...given.keys()]) {
      this.#move(unit, index, -1);
      if (this.#place(unit, new Set(), { class: index, cgroup })) return undefined;
      this.#move(unit, index, 1);
    }
    return cgroup;
  }

  /** Finds a place for one unit of an increase, moving others if needed. */
  #place(rise: number, tried: Set<number>, barred?: { class: number; cgroup: string }): boolean {
    for (const [index, lineClass] of this.classes.entries()) {
      if (tried.has(index) || !lineClass.rises.has(rise)) continue;
      // This search does not rule out that an increase of another cgroup can still go there.
      if (barred?.class === index && this.#rises[rise]?.cgroup === barred.cgroup) continue;
      tried.add(index);
      if ((this.#spare[index] as number) > 0) {
        this.#move(rise, index, 1);
        return true;
      }
      for (const other of [...(this.#given[index] as Map<number, number>).keys()]) {
        if (other === rise) continue;
        if (!this.#place(other, tried, barred)) continue;
        this.#move(other, index, -1);
        this.#move(rise, index, 1);
        return true;
      }
    }
    return false;
  }

  #move(rise: number, index: number, units: number): void {
    const given = this.#given[index] as Map<number, number>;
    const count = (given.get(rise) ?? 0) + units;
    if (count === 0) given.delete(rise);
    else given.set(rise, count);
    this.#spare[index] = (this.#spare[index] as number) - units;
  }
}
