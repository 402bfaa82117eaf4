import { keptFragments, type OomFragment } from "../kernel-log/oom-fragment.ts";
import type { KernelLogEvent, OomKillReport } from "../kernel-log/oom-report.ts";
import type { UnitNotice } from "../kernel-log/unit-notice.ts";
import type { DaemonKill } from "../killers/daemon-kill.ts";
import { killTimeMs } from "../killers/linked-kills.ts";
import { documentIn, writeAdvice } from "../kills/advice.ts";
import { type Kill, killOfReport } from "../kills/kill.ts";
import { incidentOf, KillDeduplicator, sightingOf } from "../kills/kill-deduplicator.ts";
import { ownerOfCgroup } from "../kills/owner.ts";
import { jsonText } from "../text/json-text.ts";
import { printable } from "../text/printable.ts";
import { bytes } from "../text/quantities.ts";
import type { Column } from "../text/table.ts";
import { utc } from "../text/times.ts";
import { wrap } from "../text/wrapping.ts";
import { DaemonKills } from "./daemon-kills.ts";
import { counted, type Episode, Episodes, inOrder, type KillLine, whenOfLine } from "./episodes.ts";
import { killStory, sourceName } from "./kill-story.ts";
import { KilledUnits } from "./killed-units.ts";
import { type Output, type Style, styledTable } from "./terminal.ts";
import { linkedSentence, userspaceStory } from "./userspace-story.ts";

/** Explanations where nothing else is asked for; the table has every kill. */
export const explainedAtMost = 20;
/** Fragments that are printed; what a filter left of a log may be nothing else. */
const shownFragments = 1000;

interface KillPrinterOptions {
  placeOf(document: string): string;
  json: boolean;
  /** A line a kill, and no explanations. */
  brief: boolean;
  /** How many of the latest kills are shown; 0 means all. */
  limit: number | undefined;
  sinceMs: number | undefined;
  style: Style;
}

interface Waiting {
  report: OomKillReport;
  name: string;
}

interface Fragment {
  fragment: OomFragment;
  name: string;
}

/**
 * Prints each kill once, even if its line occurs several times or in several files. JSON is printed as kills are read;
 * what is for people when all are known, or all so far of a log that is followed.
 */
export class KillPrinter {
  readonly #stdout: Output;
  readonly #stderr: { write(text: string): unknown };
  readonly #options: KillPrinterOptions;
  readonly #known = new KillDeduplicator();
  #episodes: Episodes;
  /** Lines of JSON that wait because only the latest are wanted. */
  #jsonLines: { timeMs: number | null; text: string }[] = [];
  #hasShown = false;
  #waiting: Waiting | undefined;
  /** The kernel's kill before this one. */
  #before: OomKillReport | undefined;
  #older = 0;
  #unparsed: string[] = [];
  #fragments: Fragment[] = [];
  /** Fragments that are known but not shown. */
  #hiddenFragments = 0;
  /** There were more than are kept. */
  #areFragmentsCut = false;
  readonly #killedUnits = new KilledUnits();
  readonly #empty: string[] = [];
  /** Messages that journalctl left out as "blob data". */
  #hidden = 0;
  /** Kills reported at second hand, until all sources are read: the kernel's own line may follow. */
  #secondHand: Waiting[] = [];
  readonly #firstHand = new Set<string>();
  readonly #daemonKills = new DaemonKills();

  constructor(
    { stdout, stderr }: { stdout: Output; stderr: { write(text: string): unknown } },
    options: KillPrinterOptions,
  ) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#options = options;
    this.#episodes = this.#newEpisodes();
  }

  #newEpisodes(): Episodes {
    const { limit = explainedAtMost } = this.#options;
    return new Episodes(limit === 0 ? Number.POSITIVE_INFINITY : limit);
  }

  take(event: KernelLogEvent, name: string): void {
    // A report waits for the next event, because the line that names its group comes after it.
    if (event.kind === "kill") {
      if (event.report.repeatsVictim) return;
      this.#addWaiting();
      if (event.report.killLine.isQuoted) this.#secondHand.push({ report: event.report, name });
      else this.#waiting = { report: event.report, name };
    } else if (event.kind === "fragment") {
      const { fragment } = event;
      if (this.#isBeforeSince(fragment.timeMs)) return;
      if (this.#fragments.length < keptFragments) this.#fragments.push({ fragment, name });
      else this.#areFragmentsCut = true;
    } else if (event.kind === "fragments_cut") {
      this.#areFragmentsCut = true;
    } else if (event.kind === "hidden") {
      this.#hidden += event.count;
    } else if (event.kind === "unparsed") {
      this.#killedUnits.add(null, event.message.timeMs);
      this.#unparsed.push(`${sourceName(name)}:${event.lineNumber ?? "?"}`);
    }
  }

  /** A source without a byte in it. */
  takeEmpty(name: string): void {
    this.#empty.push(name);
  }

  takeDaemonKill(kill: DaemonKill, name: string): void {
    this.#daemonKills.take(kill, name);
  }

  endOfSource(): void {
    this.#addWaiting();
    this.#addDaemonKills();
  }

  /** Whether there are kills that have not been printed. */
  get hasNews(): boolean {
    return (
      this.#waiting !== undefined ||
      this.#secondHand.length > 0 ||
      this.#daemonKills.areWaiting ||
      this.#episodes.lines.length > 0 ||
      this.#jsonLines.length > 0
    );
  }

  /** Prints the kills of a log that is followed, like a log of their own, without waiting for what may follow them. */
  showSoFar(): void {
    this.endOfSource();
    this.#addSecondHand();
    if (this.#options.json) this.#printJson();
    else if (this.#episodes.lines.length > 0) {
      if (this.#options.brief) this.#printRows();
      else this.#printKills();
      this.#hasShown = true;
      this.#older = 0;
      this.#episodes = this.#newEpisodes();
    }
  }

  /** Prints what is for people, and what could not be read. `unread`: a source failed. */
  end(names: readonly string[], unread: boolean): void {
    this.#addSecondHand();
    const unexplained = this.#fragments.filter(({ fragment: { notice, timeMs } }) => {
      return notice === undefined || !this.#killedUnits.explain(notice, timeMs);
    });
    this.#fragments = unexplained.slice(0, shownFragments);
    this.#hiddenFragments = unexplained.length - this.#fragments.length;
    if (this.#options.json) this.#endJson();
    else this.#endText(names, unread);
  }

  #addSecondHand(): void {
    for (const quoted of this.#secondHand) {
      const key = quotedKey(quoted.report);
      if (this.#firstHand.has(key)) continue;
      this.#firstHand.add(key);
      this.#waiting = quoted;
      this.#addWaiting();
    }
    this.#secondHand = [];
  }

  #printJson(): void {
    const { limit = 0 } = this.#options;
    const latest = new Set(inOrder(this.#jsonLines, ({ timeMs }) => timeMs).slice(-limit));
    for (const line of this.#jsonLines) {
      if (latest.has(line)) this.#stdout.write(line.text);
    }
    this.#jsonLines = [];
  }

  #endJson(): void {
    this.#printJson();
    for (const { fragment, name } of this.#fragments) {
      const { pid, comm, cgroup, limitCgroup, trigger, panic, notice, lineNumber } = fragment;
      const source = { name, line: lineNumber ?? null };
      const shown = { pid, comm, cgroup, limitCgroup, trigger, panic, ...notice, source };
      this.#stderr.write(`${jsonText({ fragment: shown })}\n`);
    }
    const [count, mayBeMore] = [this.#hiddenFragments, this.#areFragmentsCut];
    if (count > 0 || mayBeMore) {
      this.#stderr.write(`${jsonText({ fragmentsLeftOut: { count, mayBeMore } })}\n`);
    }
  }

  #printKills(): void {
    const { lines, areMany } = this.#episodes;
    if (this.#hasShown && lines.length > 0) this.#stdout.write("\n");
    if (areMany || (this.#options.brief && lines.length > 0)) this.#printTable(lines);
    else if (this.#older > 0 && lines.length > 0) this.#say(this.#olderSentence());
    if (!this.#options.brief) this.#printStories(areMany);
  }

  #endText(names: readonly string[], unread: boolean): void {
    const { lines } = this.#episodes;
    if (this.#options.brief && this.#hasShown) this.#printRows();
    else this.#printKills();
    for (const { fragment, name } of this.#fragments) this.#say(fragmentStory(fragment, name));
    if (this.#hiddenFragments > 0) {
      this.#say(`${this.#hiddenFragments} more without a line of the kill are not shown.`);
    }
    if (this.#areFragmentsCut) {
      this.#say(
        "The log says more of kills than is kept: there may be more without a line of the kill.",
      );
    }
    const isEmpty = lines.length === 0 && this.#fragments.length === 0 && !this.#hasShown;
    if (isEmpty && !unread) {
      const { sinceMs } = this.#options;
      const since = sinceMs === undefined ? "" : ` since ${utc(sinceMs)}`;
      const listed = (named: readonly string[]) =>
        named.map((name) => printable(sourceName(name))).join(", ");
      const older = this.#older === 0 ? "" : ` ${this.#olderSentence()}`;
      if (names.length === 1 && this.#empty.length === 1) {
        this.#say(`No out-of-memory kill: ${listed(names)} is empty.`);
      } else {
        const empty = this.#empty.length === 0 ? "" : ` Empty: ${listed(this.#empty)}.`;
        this.#say(`No out-of-memory kill${since} in ${listed(names)}.${older}${empty}`);
      }
    }
    if (this.#hidden > 0) {
      this.#say(
        `${this.#hidden} kernel ${this.#hidden === 1 ? "message is" : "messages are"} hidden as "blob data", and a kill may be among them. Export the log again:`,
      );
      this.#stdout.write("    journalctl -k -a\n");
    }
    if (this.#unparsed.length === 0) return;
    const places = this.#unparsed.slice(0, 5).map(printable).join(", ");
    const count = this.#unparsed.length;
    this.#say(
      `${count} ${count === 1 ? "line looks like a kill but does" : "lines look like a kill but do"} not match any known kernel's format: ${places}`,
    );
  }

  #say(text: string): void {
    this.#stdout.write(`${wrap(text, this.#options.style.width).join("\n")}\n`);
  }

  #olderSentence(): string {
    const { sinceMs = 0 } = this.#options;
    const kills = this.#older === 1 ? "1 kill is" : `${this.#older} kills are`;
    return `${kills} older than ${utc(sinceMs)}.`;
  }

  #printTable(lines: readonly KillLine[]): void {
    const { style, limit = 0 } = this.#options;
    const shown = inOrder(lines, ({ timeMs }) => timeMs).slice(-limit);
    const total = `${lines.length} ${lines.length === 1 ? "kill" : "kills"}`;
    this.#say(`${style.bold(total)}: ${printable(counted(lines))}.`);
    if (this.#older > 0) this.#say(this.#olderSentence());
    this.#stdout.write(`\n${tableOf(shown, style).join("\n")}\n`);
    const hidden = lines.length - shown.length;
    if (hidden > 0) this.#say(`\n${hidden} earlier not shown; --limit=0 shows all.`);
  }

  /** The next rows of one table, whose head is printed once. */
  #printRows(): void {
    const { lines } = this.#episodes;
    if (lines.length === 0) return;
    if (this.#older > 0) this.#say(this.#olderSentence());
    const [head = "", ...rows] = tableOf(
      inOrder(lines, ({ timeMs }) => timeMs),
      this.#options.style,
    );
    if (!this.#hasShown) this.#stdout.write(`${head}\n`);
    this.#stdout.write(`${rows.join("\n")}\n`);
  }

  #printStories(hasTable: boolean): void {
    const { leftOut } = this.#episodes;
    let isFirst = !hasTable;
    for (const episode of this.#episodes.latest()) {
      for (const story of this.#storiesOf(episode)) {
        this.#stdout.write(`${isFirst ? "" : "\n"}${story}`);
        isFirst = false;
      }
    }
    if (leftOut > 0 && this.#options.limit === undefined) {
      this.#say(
        `\nOnly the latest ${explainedAtMost} are explained; --limit=0 explains all, --brief none.`,
      );
    }
  }

  #storiesOf(episode: Episode): string[] {
    const { style } = this.#options;
    const { userspaceKill } = episode;
    if (userspaceKill !== undefined) {
      return [userspaceStory(this.#withPlaces(userspaceKill), style)];
    }
    return episode.explained.map(({ kill, linked }) =>
      killStory(this.#withPlaces(kill), style, {
        linked,
        group: episode.group(kill),
        storm: episode.storm(kill),
      }),
    );
  }

  #addWaiting(): void {
    if (this.#waiting === undefined) return;
    const { report, name } = this.#waiting;
    this.#waiting = undefined;
    this.#firstHand.add(quotedKey(report));
    const sighting = sightingOf(report, { reread: false });
    if (this.#known.classify(sighting).as !== "new") return;
    this.#known.add(this.#known.identify(sighting));
    const { timeMs } = report.killLine;
    // What systemd says of a kill just before --since may be just after it.
    this.#killedUnits.add(report.victimCgroup ?? null, timeMs);
    if (this.#isOlder(timeMs)) return;
    if (timeMs !== undefined) this.#addDaemonKills(timeMs);

    const incident = incidentOf(sighting);
    const kill = killOfReport(report, { incident, sourceName: name, ownerOf: ownerOfCgroup });
    const linked = this.#daemonKills.link(kill);
    if (linked !== undefined) kill.linkedIncident = linked.incident;
    if (this.#options.json) {
      this.#addJson(kill, timeMs);
    } else {
      const explained = { kill, linked: linked && linkedSentence(linked, kill) };
      this.#episodes.add(explained, isOfSameGroup(this.#before, report));
    }
    this.#before = report;
  }

  /** Adds the kills that daemons announced before a moment, or all there are. */
  #addDaemonKills(untilMs?: number): void {
    for (const kill of this.#daemonKills.drain(untilMs)) {
      const timeMs = killTimeMs(kill);
      this.#killedUnits.add(kill.cgroup, timeMs);
      if (this.#isOlder(timeMs)) continue;
      if (this.#options.json) {
        this.#addJson(kill, timeMs);
        continue;
      }
      // The kernel kill's explanation mentions what the daemon did.
      if (kill.linkedIncident !== null) continue;
      this.#episodes.addUserspaceKill(kill);
      this.#before = undefined;
    }
  }

  /** Whether a kill is older than `--since`; such kills are counted. */
  #isOlder(timeMs: number | undefined): boolean {
    const isOlder = this.#isBeforeSince(timeMs);
    if (isOlder) this.#older++;
    return isOlder;
  }

  #isBeforeSince(timeMs: number | undefined): boolean {
    const { sinceMs } = this.#options;
    return sinceMs !== undefined && timeMs !== undefined && timeMs < sinceMs;
  }

  #addJson(kill: object, timeMs: number | undefined): void {
    const text = `${jsonText(kill)}\n`;
    if ((this.#options.limit ?? 0) > 0) this.#jsonLines.push({ timeMs: timeMs ?? null, text });
    else this.#stdout.write(text);
  }

  /** The kill with advice that says where documents are for people at this machine, each on a line of its own. */
  #withPlaces<K extends Pick<Kill, "advice">>(kill: K): K {
    const advice = kill.advice.map((line) => {
      const found = documentIn(line);
      if (found === undefined) return line;
      return writeAdvice({ text: found.text, command: this.#options.placeOf(found.document) });
    });
    return { ...kill, advice };
  }
}

/** On a narrower terminal the table leaves out the year. */
const narrow = 80;

const tableColumns: Column[] = [
  { head: "time (UTC)" },
  { head: "victim", least: 10 },
  { head: "pid", align: "right" },
  { head: "memory", align: "right" },
  { head: "cause", least: 9 },
  { head: "of", least: 9 },
];

function tableOf(lines: readonly KillLine[], style: Style): string[] {
  const rows = lines.map((line) => [
    whenOfLine(line, style.width < narrow),
    printable(line.victim),
    line.pid === null ? "-" : String(line.pid),
    line.heldBytes === null ? "-" : bytes(line.heldBytes),
    line.cause,
    printable(line.where),
  ]);
  return styledTable(tableColumns, rows, style);
}

/** Whether a kill belongs to the group of the one before. */
function isOfSameGroup(before: OomKillReport | undefined, report: OomKillReport): boolean {
  return (
    before !== undefined &&
    report.groupCgroup !== undefined &&
    before.groupCgroup === report.groupCgroup &&
    before.dump === report.dump
  );
}

/** What a kill's own line and its quotation have in common; a string that keeps no part of the log alive. */
function quotedKey({ pid, comm, ...kill }: OomKillReport): string {
  const { totalVmBytes, anonRssBytes, fileRssBytes, shmemRssBytes } = kill;
  return JSON.stringify([pid, comm, totalVmBytes, anonRssBytes, fileRssBytes, shmemRssBytes]);
}

/** What the service manager says of a kill whose own line is missing. */
function noticeStory({ unit, killer, processes }: UnitNotice): string {
  const where = unit === undefined ? "a unit" : `unit ${printable(unit)}`;
  if (killer === undefined) {
    return `systemd says that ${where} ended because of an out-of-memory kill, but the log has no line of the kill itself; see journalctl -k and journalctl -u systemd-oomd`;
  }
  const what =
    processes === undefined
      ? "processes"
      : processes === 1
        ? "1 process"
        : `${processes} processes`;
  const [who, log] =
    killer === "kernel" ? ["the kernel", "-k"] : ["systemd-oomd", "-u systemd-oomd"];
  return `systemd says that ${who} killed ${what} in ${where} for lack of memory, but the log has no line of the kill itself; see journalctl ${log}`;
}

/** The remains of a report whose kill line is missing. */
function fragmentStory(fragment: OomFragment, name: string): string {
  const { pid, comm, notice, ...rest } = fragment;
  const at = rest.lineNumber === undefined ? "" : `:${rest.lineNumber}`;
  if (notice !== undefined) return `${noticeStory(notice)} [${printable(sourceName(name))}${at}]`;
  const victim = comm === undefined ? "a process" : printable(comm);
  const who = pid === undefined ? "" : `: ${victim} (pid ${pid})`;
  const place = rest.cgroup ?? rest.limitCgroup;
  const { container, unit } = ownerOfCgroup(place);
  const owner = container ?? unit;
  const where =
    place === undefined ? "" : ` in ${owner === null ? `cgroup ${printable(place)}` : owner}`;
  const by = rest.trigger === undefined ? "" : `, asked for by ${printable(rest.trigger)}`;
  if (rest.panic !== undefined) {
    const why =
      rest.panic === "panic_on_oom"
        ? "as vm.panic_on_oom demands; set it to 0 and the kernel kills a process"
        : "because it found no process that it may kill; see which have oom_score_adj -1000";
    return `The kernel ran out of memory${by} and panicked ${why} [${printable(sourceName(name))}${at}]`;
  }
  return `An OOM report without its kill line${who}${where}${by}; the rest was filtered out or lost [${printable(sourceName(name))}${at}]`;
}
