/** `oom-exporter [serve] [FLAGS]`: the exporter. */
import { accessSync, constants } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { commandSummaries } from "../command-line/commands.ts";
import { type CommandHelp, helpText } from "../command-line/flag-help.ts";
import { Exporter } from "../exporter.ts";
import { defaultStateDirectory, parseServeFlags, serveFlags } from "../flags.ts";
import { openKmsg } from "../log-sources/kmsg-device.ts";
import { createLog, LineOutput, type Logger } from "../logger.ts";
import type { OwnProcess } from "../own-process.ts";
import { ownProcfs } from "../sources/own-proc.ts";
import { protectOwnProcess } from "../sources/own-score-adj.ts";
import { isOnPath } from "../sources/program-path.ts";
import { type OpenedState, SaveTrouble, StateDirectory } from "../sources/state-directory.ts";
import { printable } from "../text/printable.ts";
import { placeOf } from "./place.ts";
import { widthOf } from "./terminal.ts";

export const serveHelp: CommandHelp = {
  usage: "oom-exporter [COMMAND] [FLAGS]",
  about:
    "Prometheus exporter for Linux out-of-memory kills: counts every kill, explains which process was killed and why, and shows which is next. Without a command it serves, with the flags below; oom-exporter help COMMAND lists those of another one.",
  commands: commandSummaries,
  flags: serveFlags,
  exitCodes: {
    0: "ended by a signal, or with --check: healthy",
    1: "cannot serve, or with --check: not healthy",
    2: "wrong usage",
  },
};
/** `--path.rootfs` never applies: a container gets the device itself. */
const kmsgPath = "/dev/kmsg";

/**
 * Serves until a signal ends it.
 * @returns the exit code, or `undefined` while it serves
 * @throws {UsageError | ListenError} with one line for the user
 */
export async function serve(argv: string[]): Promise<number | undefined> {
  const flags = parseServeFlags(argv, process.env);
  const { version } = packageJson;
  if (flags.help) {
    process.stdout.write(helpText(serveHelp, widthOf(process.stdout, process.env)));
    return 0;
  }
  if (flags.version) {
    process.stdout.write(`oom-exporter ${version} (Node.js ${process.versions.node})\n`);
    return 0;
  }
  let lostLogLines = 0;
  const onLost = () => {
    lostLogLines++;
  };
  // From here on a line that cannot be printed is only lost.
  process.stdout.removeAllListeners("error");
  const errors = new LineOutput(process.stderr, onLost);
  const log = createLog({
    level: flags["log.level"],
    format: flags["log.format"],
    write: (line) => errors.write(line),
  });
  const scoreAdj = protectOwnProcess(ownProcfs());
  const trouble = new SaveTrouble();
  const state = openState(flags["state.directory"], log, trouble);
  const exporter = new Exporter({
    flags,
    state,
    // Separate state: kills by daemons are saved when their lines are read, not when the kernel kills.
    userspaceState: state && openState(join(state.directory.path, "killers"), log, trouble),
    kmsg: { path: kmsgPath, open: () => openKmsg(kmsgPath) },
    hostName: hostname(),
    inheritedSockets: inheritedSockets(),
    hasJournalctl: () => isOnPath("journalctl", process.env.PATH),
    own: ownProcess(version, () => lostLogLines),
    log,
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    printkClockMs: () => Number(process.hrtime.bigint()) / 1e6,
  });
  const started = exporter.start();
  let isStopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (isStopping) return;
      isStopping = true;
      log.info({ signal }, "stopping");
      void started.then(
        () => exporter.stop().then(() => end(signal, exporter.isReading)),
        // It ends anyway, with the reason.
        () => {},
      );
    });
  }
  const startUpLine = `${await started} | ${protectionText(scoreAdj)}`;
  const output = new LineOutput(process.stdout, onLost);
  if (flags["log.format"] === "json") {
    const write = (line: string) => output.write(line);
    createLog({ level: "info", format: "json", write }).info(startUpLine);
  } else {
    output.write(`${printable(startUpLine)}\n`);
  }
  return undefined;
}

/** Node.js waits for reads on its thread pool before it exits; an unhandled signal does not. */
function end(signal: NodeJS.Signals, isReading: boolean): void {
  if (isReading) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  }
  // The first process of a container is not ended by such a signal.
  process.exit(0);
}

function protectionText(scoreAdj: number | undefined): string {
  if (scoreAdj === undefined) return "oom_score_adj: not readable";
  return scoreAdj < 0
    ? `protected from the OOM killer: oom_score_adj ${scoreAdj}`
    : `not protected from the OOM killer: oom_score_adj ${scoreAdj}, see oom-exporter doctor`;
}

/** The first descriptor passed by systemd, SD_LISTEN_FDS_START of sd_listen_fds(3). */
const firstInherited = 3;

/** The sockets of a .socket unit: meant for this process only if LISTEN_PID says so. */
function inheritedSockets(): number[] {
  const { LISTEN_PID, LISTEN_FDS } = process.env;
  const count = LISTEN_PID === String(process.pid) ? Number(LISTEN_FDS) : 0;
  return Array.from({ length: count || 0 }, (_, index) => firstInherited + index);
}

function openState(
  given: string | undefined,
  log: Logger,
  trouble: SaveTrouble,
): OpenedState | undefined {
  const path = given ?? (isWritable(defaultStateDirectory) ? defaultStateDirectory : undefined);
  if (path === undefined) return undefined;
  return StateDirectory.open(path, {
    nowMs: () => Date.now(),
    procfs: "/proc",
    trouble,
    userId: placeOf(process.env) === "host" ? process.geteuid?.() : undefined,
    warn: (message) => log.warn(message),
    info: (message) => log.info(message),
  });
}

/** The directory, or its nearest existing parent. */
function isWritable(path: string): boolean {
  for (const candidate of [path, path.slice(0, path.lastIndexOf("/"))]) {
    try {
      accessSync(candidate, constants.W_OK);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") return false;
    }
  }
  return false;
}

function ownProcess(version: string, lostLogLines: () => number): OwnProcess {
  return {
    version,
    revision: process.env.OOM_EXPORTER_REVISION ?? "",
    nodeVersion: process.versions.node,
    startedMs: performance.timeOrigin,
    cpuSeconds: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
    memory: () => process.memoryUsage(),
    lostLogLines,
  };
}
