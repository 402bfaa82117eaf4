/** `oom-exporter victims [--json] [--cgroup PATH] [--top N]`: which process dies next on this machine. */
import { readlinkSync } from "node:fs";
import { type CommandHelp, helpText } from "../command-line/flag-help.ts";
import {
  type FlagTable,
  type FlagValues,
  parseFlags,
  UsageError,
} from "../command-line/flag-table.ts";
import { serveFlags } from "../flags.ts";
import { type Meminfo, memoryInUse } from "../kernel/meminfo.ts";
import type { Advice } from "../kills/advice.ts";
import { processName } from "../kills/process-name.ts";
import type { CgroupReading } from "../sources/cgroup-reading.ts";
import type { CgroupTree } from "../sources/cgroup-tree.ts";
import { Host } from "../sources/host.ts";
import { FileUnavailable, type HostFiles } from "../sources/host-files.ts";
import { readingAtOnce } from "../sources/program-names.ts";
import type { Snapshot } from "../sources/snapshot.ts";
import { firstToAct, nextOthers, otherKillers } from "../status/other-killers.ts";
import { jsonText } from "../text/json-text.ts";
import { printable } from "../text/printable.ts";
import { bytes, percent } from "../text/quantities.ts";
import { shellWord } from "../text/shell.ts";
import type { Column } from "../text/table.ts";
import { wrap } from "../text/wrapping.ts";
import { type Bypass, insteadOfKill } from "../victims/bypass.ts";
import {
  type Ranking,
  ScopeVictims,
  type Victim,
  type VictimsAnswer,
} from "../victims/scope-victims.ts";
import { ownerName } from "./owner-name.ts";
import { type Output, type Style, styledTable, styleFor, widthOf } from "./terminal.ts";

export interface VictimsIo {
  stdout: Output;
  stderr: { write(text: string): unknown };
  env: Readonly<Record<string, string | undefined>>;
  /** A monotonic clock, milliseconds. */
  monotonicMs: () => number;
}

const about =
  "Ranks the processes of this machine in the order the kernel would kill them if memory ran out, with the memory each kill would free.";

const victimsFlags = {
  json: { type: "boolean", default: false, help: "Print the JSON of /api/v1/victims." },
  cgroup: {
    type: "string",
    placeholder: "PATH",
    check: (value) =>
      value.startsWith("/")
        ? undefined
        : "must be a path from the top of the hierarchy, such as /system.slice/mysql.service",
    help: "Rank the processes of this cgroup, as if it reached its limit.",
  },
  top: { type: "integer", default: 20, minimum: 1, help: "Maximum number of candidates listed." },
  "collector.processes.program": serveFlags["collector.processes.program"],
  "path.procfs": serveFlags["path.procfs"],
  "path.sysfs": serveFlags["path.sysfs"],
  "path.rootfs": serveFlags["path.rootfs"],
  help: { type: "boolean", default: false, help: "Print this help and exit." },
} as const satisfies FlagTable;

export const victimsHelp: CommandHelp = {
  usage: "oom-exporter victims [FLAGS]",
  about,
  flags: victimsFlags,
  exitCodes: { 0: "done", 1: "this machine's processes cannot be read", 2: "wrong usage" },
};

class Failure extends Error {}

/** Runs the command. Returns its exit code: 0 done, 1 the host cannot be read, 2 wrong usage. */
export function victims(argv: readonly string[], io: VictimsIo): number {
  try {
    const { values, positionals } = parseFlags(victimsFlags, argv, "oom-exporter victims");
    if (positionals[0] !== undefined) {
      throw new UsageError(
        `unexpected argument "${printable(positionals[0])}"; see oom-exporter victims --help`,
      );
    }
    io.stdout.write(
      values.help ? helpText(victimsHelp, widthOf(io.stdout, io.env)) : report(values, io),
    );
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      io.stderr.write(`oom-exporter victims: ${printable(error.message)}\n`);
      return 2;
    }
    if (error instanceof Failure || error instanceof FileUnavailable) {
      io.stderr.write(`oom-exporter victims: ${printable(failureOf(error))}\n`);
      return 1;
    }
    throw error;
  }
}

function failureOf(error: Failure | FileUnavailable): string {
  if (error instanceof Failure) return error.message;
  const { path, reason, message } = error;
  if (reason === "missing") return `${path}: not found; pass its mount point with --path.procfs`;
  return reason === "denied" ? `${message}; run as root` : `${message}; see oom-exporter doctor`;
}

function report(flags: FlagValues<typeof victimsFlags>, { stdout, env, monotonicMs }: VictimsIo) {
  const host: Host = new Host({
    roots: {
      procfs: flags["path.procfs"],
      sysfs: flags["path.sysfs"],
      rootfs: flags["path.rootfs"],
    },
    programs: {
      top: flags["collector.processes.program"] ? flags.top : 0,
      readCommandLine: readingAtOnce(() => host.files),
    },
    monotonicMs,
  });
  const { files, table, tree } = host;
  const victims = new ScopeVictims(host);
  const snapshot = host.snapshot();
  const { meminfo, totals } = snapshot;
  if (host.view.hidesProcesses) {
    throw new Failure(
      "other users' processes are hidden (hidepid), so the next victim is unknown; run as root",
    );
  }
  // It ends before anybody reads the answer, and on a small machine it would be ranked high.
  const own = ownPid(files);
  const processes = snapshot.processes.processes.filter(({ pid }) => pid !== own);
  const cgroup = cgroupAt(flags.cgroup, tree, snapshot);
  if (host.programs !== undefined) snapshot.handTo([host.programs]);
  const ranking = victims.rank(processes, totals, cgroup);
  const answer = victims.answer(ranking, processes, flags.top);
  const memory = memoryInUse(meminfo);
  const isOfHost = cgroup === undefined && !host.view.isContainer;
  const others = isOfHost ? otherKillers(files) : [];
  const cgroups = others.length === 0 ? [] : (snapshot.cgroups?.readings ?? []);
  const killers = nextOthers(others, { memory, processes, cgroups, files });
  if (flags.json) return `${jsonText({ ...answer, killers })}\n`;
  const seen: Seen = {
    meminfo,
    cgroup,
    ranking,
    answer,
    firstToAct: firstToAct(killers, memory),
    names: new Map(processes.map(({ pid, comm }) => [pid, comm])),
    denied: snapshot.processes.denied,
    seesHostInit: table.seesHostInit(),
  };
  return textOf(seen, styleFor(stdout, env));
}

/** This process, as numbered in the procfs being read. */
function ownPid(files: HostFiles): number | undefined {
  try {
    return Number(readlinkSync(files.procfs("self")));
  } catch {
    return undefined;
  }
}

/** The requested cgroup; `undefined` for the host, which the true root stands for. */
function cgroupAt(
  asked: string | undefined,
  tree: CgroupTree | undefined,
  snapshot: Snapshot,
): CgroupReading | undefined {
  const path = asked?.replace(/(?<=.)\/+$/, "");
  if (path === undefined) return undefined;
  const reading = snapshot.cgroups?.readings.find((candidate) => candidate.path === path);
  if (reading !== undefined || path === "/") return reading;
  throw new Failure(
    tree === undefined
      ? "--cgroup: no memory controller is mounted here; run oom-exporter doctor for the fix"
      : `--cgroup=${path}: no such cgroup with memory accounting below ${tree.hierarchy.directory}; list them with systemd-cgls`,
  );
}

interface Seen {
  meminfo: Meminfo;
  cgroup: CgroupReading | undefined;
  ranking: Ranking;
  answer: VictimsAnswer;
  /** Another program that would act before the kernel. */
  firstToAct: string | undefined;
  /** Names by pid. */
  names: ReadonlyMap<number, string>;
  denied: number;
  seesHostInit: boolean;
}

function textOf(seen: Seen, style: Style): string {
  const { answer } = seen;
  const { width } = style;
  const paragraphs = [
    wrap(firstSentence(seen, style), width),
    seen.firstToAct === undefined ? [] : wrap(printable(`Before that: ${seen.firstToAct}`), width),
    notes(seen).flatMap(({ text, command }) => [
      ...wrap(text, width),
      ...(command === undefined ? [] : [`    ${command}`]),
    ]),
    answer.victims.length === 0 ? [] : tableOf(answer.victims, style),
    together(seen, width),
    wrap(exempt(seen), width),
  ];
  return `${paragraphs
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

function firstSentence({ answer, cgroup }: Seen, style: Style): string {
  const [first] = answer.victims;
  const when = condition(cgroup);
  if (first === undefined) {
    if (answer.unkillable.count === 0)
      return `No process is visible in ${printable(answer.scope)}.`;
    const then = cgroup === undefined ? "would panic" : "would leave its tasks hanging";
    return `${when}, the kernel would find ${style.alarm("no process it may kill")} and ${then}.`;
  }
  const owner = ownerName(first);
  const isOwnName = owner === undefined || owner === first.comm;
  const who = `(pid ${first.pid}${isOwnName ? "" : `, ${printable(owner)}`})`;
  const count = first.diesWith.length;
  const others = count === 0 ? "" : `, ${count} more with it,`;
  return `${when}, the kernel would kill ${style.alarm(printable(processName(first)))} ${who}${others} and free ${bytes(first.freesBytes)}.`;
}

function condition(cgroup: CgroupReading | undefined): string {
  if (cgroup === undefined) return "If the host ran out of memory now";
  const path = printable(cgroup.path);
  const { effectiveMaxBytes, limitingCgroup, currentBytes } = cgroup;
  if (effectiveMaxBytes === Number.POSITIVE_INFINITY) {
    return `${path} has no limit and runs out only with the host; among its own tasks`;
  }
  const limit = bytes(effectiveMaxBytes);
  const use = `${percent(currentBytes, effectiveMaxBytes)} in use`;
  return limitingCgroup === cgroup.path
    ? `If ${path} reached its limit of ${limit} (${use}) now`
    : `If ${path} alone ran out at the ${limit} of ${limitOwner(limitingCgroup)} now`;
}

function limitOwner(limitingCgroup: string | undefined): string {
  return limitingCgroup === undefined ? "a cgroup above it" : printable(limitingCgroup);
}

/** Conditions under which the first sentence is wrong, and notes on missing data. */
function notes(seen: Seen): Advice[] {
  const { cgroup, denied, seesHostInit, answer } = seen;
  const notes: Advice[] = [];
  const limiting = cgroup?.limitingCgroup;
  if (limiting !== undefined && limiting !== cgroup?.path) {
    notes.push({
      text: `At that limit the kernel chooses among all processes in ${printable(limiting)}:`,
      command: `oom-exporter victims --cgroup ${shellWord(printable(limiting))}`,
    });
  }
  if (answer.bypass !== null) notes.push(bypassNote(answer.bypass));
  if (denied > 0) {
    notes.push({
      text:
        denied === 1
          ? "1 process is not ranked because this user may not read it. Run as root."
          : `${denied} processes are not ranked because this user may not read them. Run as root.`,
    });
  } else if (!seesHostInit) {
    notes.push({
      text: "Only the processes of this container are visible, not the host's: run on the host, or mount its /proc and pass --path.procfs.",
    });
  }
  // A pod's sandbox has no name of its own.
  const nameless = answer.victims.filter(
    ({ owner }) => owner.containerId !== null && owner.container === null && owner.pod === null,
  );
  if (nameless.length > 0) {
    notes.push({
      text: "Some containers are shown by id because this user cannot read their names: run as root, or pass the host's / with --path.rootfs.",
    });
  }
  return notes;
}

/** What happens instead of the first sentence, and how to change that. */
function bypassNote({ setting, cgroup }: Bypass): Advice {
  const note = (where: string) =>
    `But ${setting} is set${where}: ${insteadOfKill[setting]}. To change that:`;
  if (setting !== "oom_kill_disable") {
    return { text: note(""), command: `sysctl -w ${setting}=0` };
  }
  const path = printable(cgroup ?? "/");
  return {
    text: note(` in memory.oom_control of ${path}`),
    command: `echo 0 > ${shellWord(`/sys/fs/cgroup/memory${path}/memory.oom_control`)}`,
  };
}

const victimColumns: Column[] = [
  { head: "#", align: "right" },
  { head: "pid", align: "right" },
  { head: "comm", least: 8 },
  { head: "owner", least: 8 },
  { head: "memory", align: "right" },
  { head: "adj", align: "right" },
  { head: "score", align: "right" },
  { head: "frees", align: "right" },
  { head: "with", align: "right" },
];

function tableOf(victims: readonly Victim[], style: Style): string[] {
  const rows = victims.map((victim) => [
    String(victim.rank),
    String(victim.pid),
    printable(processName(victim)),
    printable(ownerName(victim) ?? "-"),
    bytes(victim.residentBytes + victim.swapBytes),
    String(victim.scoreAdj),
    String(victim.score),
    bytes(victim.freesBytes),
    victim.diesWith.length === 0 ? "" : `+${victim.diesWith.length}`,
  ]);
  return styledTable(victimColumns, rows, style);
}

function nameOf(comm: string): string {
  return printable(processName({ comm }));
}

const namedAtMost = 6;

/** Which processes die together, once for each group. */
function together({ answer, names }: Seen, width: number): string[] {
  const listed = new Set<number>();
  return answer.victims.flatMap(({ pid, comm, diesWith }) => {
    if (diesWith.length === 0 || listed.has(pid)) return [];
    for (const member of [pid, ...diesWith]) listed.add(member);
    const named = diesWith
      .slice(0, namedAtMost)
      .map((member) => `${nameOf(names.get(member) ?? "")} (pid ${member})`);
    const rest = diesWith.length > namedAtMost ? [`${diesWith.length - namedAtMost} more`] : [];
    return wrap(
      `${nameOf(comm)} (pid ${pid}) takes others with it (memory.oom.group or shared memory): ${[...named, ...rest].join(", ")}.`,
      width,
    );
  });
}

/** Processes that the kernel never kills, and their memory. */
function exempt({ answer, ranking, meminfo, cgroup }: Seen): string {
  const { count, residentBytes } = answer.unkillable;
  const where = cgroup === undefined ? "" : " here";
  if (count === 0) return `No process${where} is exempt (oom_score_adj -1000).`;
  const largest = [...ranking.unkillable]
    .sort((a, b) => b.memory.residentBytes - a.memory.residentBytes)
    .slice(0, 3)
    .map(({ comm, pid, memory }) => ({
      name: `${nameOf(comm)} (pid ${pid})`,
      held: bytes(memory.residentBytes),
    }));
  const share = `${bytes(residentBytes)}, ${percent(residentBytes, meminfo.memTotalBytes)} of the host's memory`;
  const who =
    count === 1
      ? `${largest[0]?.name} uses ${share}`
      : `${count} processes use ${share}; the largest: ${largest.map(({ name, held }) => `${name} ${held}`).join(", ")}`;
  return `Exempt${where} (oom_score_adj -1000): ${who}.`;
}
