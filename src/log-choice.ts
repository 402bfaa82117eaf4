import { accessSync, constants, statSync } from "node:fs";
import type { HostFiles } from "./sources/host-files.ts";
import type { KmsgReader } from "./sources/kmsg-device.ts";

/** A kernel log that can be read. `/dev/kmsg` is never prefixed by `--path.rootfs`. */
export type LogSource = { kind: "file"; path: string } | { kind: "kmsg"; path: string };

export interface LogChoice {
  /** Absent where nothing can be read. */
  source?: LogSource;
  /** The sources that come first in order, and why each was not taken. */
  passedOver: { source: LogSource; obstacle: string }[];
}

export interface LogChoiceOptions {
  files: HostFiles;
  kmsg: { path: string; open: () => KmsgReader };
  /** When this boot began, milliseconds since the epoch. */
  bootTimeMs: number;
}

/** Uptime and clock are read one after the other, and the clock may be slewed. */
const bootTimeSlackMs = 5_000;

/**
 * What `--kernel-log.source=auto` takes: kern.log where it is there, readable and written to since
 * boot, else /dev/kmsg, else messages, else syslog - the last two mix in lines that users wrote.
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
    const obstacle =
      source.kind === "kmsg" ? kmsgObstacle(kmsg.open) : fileObstacle(source.path, options);
    if (obstacle === undefined) return { source, passedOver };
    passedOver.push({ source, obstacle });
  }
  return { passedOver };
}

function fileObstacle(path: string, { bootTimeMs }: LogChoiceOptions): string | undefined {
  try {
    accessSync(path, constants.R_OK);
    const { mtimeMs } = statSync(path);
    return mtimeMs < bootTimeMs - bootTimeSlackMs ? "not written to since boot" : undefined;
  } catch (error) {
    return obstacleOf(error, "add this user to the group that owns it, often adm");
  }
}

function kmsgObstacle(open: () => KmsgReader): string | undefined {
  try {
    open().close();
    return undefined;
  } catch (error) {
    return obstacleOf(error, "needs root or CAP_SYSLOG (kernel.dmesg_restrict=1)");
  }
}

function obstacleOf(error: unknown, whenDenied: string): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") return "not there";
  return code === "EACCES" || code === "EPERM" ? `not readable, ${whenDenied}` : String(code);
}
