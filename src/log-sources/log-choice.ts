import type { HostFiles } from "../sources/host-files.ts";
import { isSystemError } from "../sources/system-error.ts";
import type { KmsgReader } from "./kmsg-device.ts";
import { obstacleOf, obstacleText } from "./log-obstacle.ts";
import type { LogSource } from "./log-source.ts";
import { openLog } from "./open-log.ts";
import { statsOf } from "./rotated-logs.ts";

export interface LogChoice {
  /** Absent if nothing can be read. */
  source?: LogSource;
  /** The preferred sources, and why each was not chosen. */
  passedOver: { source: LogSource; obstacle: string }[];
}

export interface LogChoiceOptions {
  files: HostFiles;
  kmsg: { path: string; open: () => KmsgReader };
  /** When this boot began, milliseconds since the epoch. If absent, no file counts as stale. */
  bootTimeMs?: number;
  /** The ring buffer shows the host's kills, not this container's. */
  isContainer: boolean;
}

/** Uptime and clock are read one after the other, and the clock may be slewed. */
export const bootTimeSlackMs = 5_000;

/**
 * The choice of `--kernel-log.source=auto`: kern.log if it exists, is readable and was written to since boot, else
 * /dev/kmsg, else messages, else syslog. The last two also contain lines written by users.
 */
export function chooseLogSource(options: LogChoiceOptions): LogChoice {
  const { files, kmsg } = options;
  const candidates: LogSource[] = [
    { kind: "file", path: files.rootfs("var/log/kern.log") },
    { kind: "kmsg", path: kmsg.path },
    { kind: "file", path: files.rootfs("var/log/messages") },
    { kind: "file", path: files.rootfs("var/log/syslog") },
  ];
  const passedOver: LogChoice["passedOver"] = [];
  for (const source of candidates) {
    const obstacle = obstacleTo(source, options);
    if (obstacle === undefined) return { source, passedOver };
    passedOver.push({ source, obstacle });
  }
  return { passedOver };
}

/**
 * The system's error code (`EACCES`) if a source cannot be opened for reading, otherwise absent. Only opening shows
 * that: access(2) ignores what capabilities permit.
 */
export function openError(open: () => { close(): void }): string | undefined {
  try {
    open().close();
    return undefined;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return error.code;
  }
}

function obstacleTo(source: LogSource, options: LogChoiceOptions): string | undefined {
  const { kind, path } = source;
  if (kind === "kmsg" && options.isContainer) {
    return "it shows the host's kills, and this is a container";
  }
  const code = openError(kind === "kmsg" ? options.kmsg.open : () => openLog(path));
  if (code === undefined) return isStale(source, options) ? "not written to since boot" : undefined;
  return obstacleText(obstacleOf(kind, { code, message: code }));
}

function isStale({ kind, path }: LogSource, { bootTimeMs }: LogChoiceOptions): boolean {
  const writtenMs = kind === "file" ? statsOf(path)?.mtimeMs : undefined;
  if (writtenMs === undefined || bootTimeMs === undefined) return false;
  return writtenMs < bootTimeMs - bootTimeSlackMs;
}
