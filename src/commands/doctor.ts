/** `oom-exporter doctor [--json]`: what can be read here, what cannot, and the fix for each. */
import { userInfo } from "node:os";
import { type CommandHelp, helpText } from "../command-line/flag-help.ts";
import { type FlagTable, parseFlags, UsageError } from "../command-line/flag-table.ts";
import { type Check, checksAnswer, type Place } from "../doctor/check.ts";
import { blindness, examine } from "../doctor/host-checks.ts";
import type { Shipped } from "../doctor/service-fixes.ts";
import { defaultStateDirectory, resolveFlags, serveFlags } from "../flags.ts";
import { openKmsg } from "../log-sources/kmsg-device.ts";
import { HostFiles } from "../sources/host-files.ts";
import { ownProcfs } from "../sources/own-proc.ts";
import { type OwnScoreAdj, ownScoreAdj as readOwnScoreAdj } from "../sources/own-score-adj.ts";
import { isOnPath } from "../sources/program-path.ts";
import { hostTimeZone } from "../sources/time-zone.ts";
import { jsonText } from "../text/json-text.ts";
import { printable } from "../text/printable.ts";
import { columns, wrap } from "../text/wrapping.ts";
import { type Output, type Style, styleFor, widthOf } from "./terminal.ts";

export interface DoctorIo {
  stdout: Output;
  stderr: { write(text: string): unknown };
  env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds since the epoch. */
  clock: () => number;
  /** Name and id of the user that this runs as. */
  user: string;
  userId: number;
  place: Place;
  shipped: Shipped;
  /** The kernel's ring buffer; never under --path.rootfs. Default /dev/kmsg. */
  kmsgPath?: string;
  /** Default: this process's own. */
  ownScoreAdj?: OwnScoreAdj;
}

const about =
  "Checks what oom-exporter can read on this machine, and prints the impact and the fix of whatever is missing. Run it as the user and in the container of the exporter, with the same flags. Exits with 1 if kills would go unseen.";

const doctorFlags = {
  json: { type: "boolean", default: false, help: "Print the checks as JSON." },
  "web.listen-address": serveFlags["web.listen-address"],
  "path.procfs": serveFlags["path.procfs"],
  "path.sysfs": serveFlags["path.sysfs"],
  "path.rootfs": serveFlags["path.rootfs"],
  "kernel-log.source": serveFlags["kernel-log.source"],
  "kernel-log.file": serveFlags["kernel-log.file"],
  "daemon-log.source": serveFlags["daemon-log.source"],
  "state.directory": serveFlags["state.directory"],
  help: { type: "boolean", default: false, help: "Print this help and exit." },
} as const satisfies FlagTable;

export const doctorHelp: CommandHelp = {
  usage: "oom-exporter doctor [FLAGS]",
  about,
  flags: doctorFlags,
  exitCodes: { 0: "every kill would be seen", 1: "kills would go unseen", 2: "wrong usage" },
};

/** Runs the command. Returns its exit code: 0 done, 1 kills would go unseen, 2 wrong usage. */
export async function doctor(argv: readonly string[], io: DoctorIo): Promise<number> {
  let flags: ReturnType<typeof parseDoctorFlags>;
  try {
    flags = parseDoctorFlags(argv, io.env);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.stderr.write(`oom-exporter doctor: ${printable(error.message)}\n`);
    return 2;
  }
  if (flags.help) {
    io.stdout.write(helpText(doctorHelp, widthOf(io.stdout, io.env)));
    return 0;
  }
  const {
    kmsgPath = "/dev/kmsg",
    ownScoreAdj = readOwnScoreAdj(ownProcfs()),
    env,
    clock,
    user,
    userId,
    place,
    shipped,
  } = io;
  const checks = await examine({
    files: new HostFiles({
      procfs: flags["path.procfs"],
      sysfs: flags["path.sysfs"],
      rootfs: flags["path.rootfs"],
    }),
    kmsg: { path: kmsgPath, open: () => openKmsg(kmsgPath) },
    kernelLog: { mode: flags["kernel-log.source"], filePath: flags["kernel-log.file"] },
    daemonLog: flags["daemon-log.source"],
    hasJournalctl: isOnPath("journalctl", env.PATH),
    stateDirectory: flags["state.directory"] ?? defaultStateDirectory,
    listenAddresses: flags.listenAddresses,
    clock: { nowMs: clock, zone: hostTimeZone(flags["path.rootfs"]) },
    user,
    userId,
    place,
    shipped,
    ownScoreAdj,
  });
  io.stdout.write(
    flags.json
      ? `${jsonText(checksAnswer(checks))}\n`
      : textOf(checks, io, styleFor(io.stdout, env)),
  );
  return blindness(checks) === undefined ? 0 : 1;
}

function parseDoctorFlags(argv: readonly string[], env: DoctorIo["env"]) {
  const { values, given, positionals } = parseFlags(doctorFlags, argv, "oom-exporter doctor");
  if (positionals[0] !== undefined) {
    throw new UsageError(
      `unexpected argument "${printable(positionals[0])}"; see oom-exporter doctor --help`,
    );
  }
  return { ...values, ...resolveFlags(values, given, env) };
}

/** Name of the user that this process runs as, or its number where it has none. */
export function userName(uid: number): string {
  try {
    return userInfo().username;
  } catch {
    return String(uid);
  }
}

const stateColumns = 9;
const nameColumns = 28;

function textOf(checks: readonly Check[], { user, place }: DoctorIo, style: Style): string {
  const { width } = style;
  const lines = [
    ...wrap(firstSentence(checks, style), width),
    "",
    ...checks.map((check) => summary(check, style)),
  ];
  for (const check of checks) {
    if (check.state !== "ok") lines.push("", ...details(check, style));
  }
  const where = { host: "on the host", container: "in a container", pod: "in a pod" }[place];
  const advice = `Checked as user ${printable(user)} ${where}. Run doctor as the exporter's user and with its flags to see what the exporter sees.`;
  lines.push("", ...wrap(advice, width).map((line) => style.quiet(line)));
  return `${lines.join("\n")}\n`;
}

function firstSentence(checks: readonly Check[], style: Style): string {
  const blind = blindness(checks);
  if (blind !== undefined) {
    return `${style.alarm("Kills would go unseen here")}: see ${blind.name} below.`;
  }
  const wanting = checks.filter(({ state }) => state !== "ok").length;
  const rest =
    wanting === 0
      ? "all checks passed"
      : `${wanting} of ${checks.length} checks ${wanting === 1 ? "needs" : "need"} attention, see below`;
  return `${style.bold("Kills are seen here")}; ${rest}.`;
}

function summary({ name, state, found }: Check, style: Style): string {
  const mark = state.padEnd(stateColumns);
  const painted = { ok: style.quiet, partial: style.bold, missing: style.alarm }[state](mark);
  const head = `${painted}${name.padEnd(nameColumns)}`;
  const room = style.width - columns(head);
  const characters = [...printable(found)];
  const shown =
    characters.length <= room ? characters.join("") : `${characters.slice(0, room - 1).join("")}…`;
  return `${head}${shown}`;
}

const labelColumns = 8;

function details({ name, state, found, impact, fix }: Check, style: Style): string[] {
  const labelled = (label: string, lines: readonly string[]): string[] =>
    lines.map(
      (line, at) => `  ${style.quiet((at === 0 ? label : "").padEnd(labelColumns))}${line}`,
    );
  const wrapped = (text: string) => wrap(printable(text), style.width - labelColumns - 2);
  // Commands are copied, so they are not wrapped.
  const { text, commands = [] } = fix ?? {};
  const copied = commands.map(
    (command) => `${text === undefined ? "" : "  "}${printable(command)}`,
  );
  return [
    style.bold(`${name}: ${state}`),
    ...labelled("Found", wrapped(found)),
    ...labelled("Impact", wrapped(impact ?? "")),
    ...labelled("Fix", [...(text === undefined ? [] : wrapped(text)), ...copied]),
  ];
}
