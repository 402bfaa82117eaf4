import { parseKmsgRecord } from "../kernel-log/kernel-message.ts";
import type { LogClock } from "../kernel-log/local-time.ts";
import { KernelMessageReader } from "../kernel-log/log-line.ts";
import { type KmsgReader, readRing } from "../log-sources/kmsg-device.ts";
import {
  bootTimeSlackMs,
  chooseLogSource,
  type LogChoice,
  openError,
} from "../log-sources/log-choice.ts";
import { obstacleOf } from "../log-sources/log-obstacle.ts";
import type { LogSource } from "../log-sources/log-source.ts";
import { openLog, readAt } from "../log-sources/open-log.ts";
import { statsOf } from "../log-sources/rotated-logs.ts";
import type { HostFiles } from "../sources/host-files.ts";
import { readHostView } from "../sources/host-view.ts";
import { isSystemError } from "../sources/system-error.ts";
import { ago } from "../text/times.ts";
import { type Check, dockerFlags, type Fix, ok, type Place, run } from "./check.ts";
import { dropInFix, groupFix, type Shipped } from "./service-fixes.ts";

export interface LogCheckOptions {
  files: HostFiles;
  kmsg: { path: string; open: () => KmsgReader };
  mode: "auto" | "file" | "kmsg" | "none";
  /** `--kernel-log.file`, absent if not given. */
  filePath?: string;
  /** Absent if it is not known: then nothing is said of what was written since. */
  bootTimeMs?: number;
  clock: LogClock;
  /** Name of the user that this runs as. */
  user: string;
  place: Place;
  shipped: Shipped;
}

/** The state of the kernel's ring buffer. */
export interface Ring {
  records: number;
  /** When the kernel last wrote to it; absent if it is empty or the boot time is not known. */
  lastMs?: number;
  /** The system's error if it cannot be read. */
  error?: string;
}

const ringName = "/dev/kmsg";
export const logCheckName = "kernel log";
const tailBytes = 64 * 1024;
/** Tolerated difference between ring buffer and file: syslogd is delayed, and clocks are set. */
const stalledMs = 60_000;

export function lookAtRing({ kmsg, bootTimeMs }: LogCheckOptions): Ring {
  try {
    const records = readRing(kmsg.open);
    const stamps = records.flatMap(({ raw }) => {
      const message = parseKmsgRecord(raw.toString("latin1"));
      return message?.origin === "kernel" ? [message.printkMicros ?? 0] : [];
    });
    const last = stamps.at(-1);
    return {
      records: records.length,
      lastMs: last === undefined || bootTimeMs === undefined ? undefined : bootTimeMs + last / 1000,
    };
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return { records: 0, error: error.code };
  }
}

/** Whether the ring buffer can be read: `auto` falls back to it, and it fills the gaps of a file. */
export function checkRing(ring: Ring, options: LogCheckOptions): Check {
  if (ring.error === undefined) return ok(ringName, ringFound(ring, options));
  return {
    name: ringName,
    state: "missing",
    found: wordFor(ring.error),
    impact: "no fallback if the log file stops or has gaps",
    fix: ringFix(options),
  };
}

/** Which source of kills would be read, and whether it is being written. */
export function checkKernelLog(ring: Ring, options: LogCheckOptions): Check {
  const { mode } = options;
  if (mode === "none") {
    return {
      name: logCheckName,
      state: "missing",
      found: "not read: --kernel-log.source=none",
      impact: unseen,
      fix: { text: "Start oom-exporter without --kernel-log.source=none." },
    };
  }
  const { source, passedOver } = choose(options);
  if (source === undefined) {
    return {
      name: logCheckName,
      state: "missing",
      found: passedOver.map(({ source, obstacle }) => `${source.path}: ${obstacle}`).join("; "),
      impact: unseen,
      fix: sourceFix(options, passedOver),
    };
  }
  if (source.kind === "kmsg")
    return ok(logCheckName, `${source.path}: ${ringFound(ring, options)}`);
  return checkFile(source.path, ring, options);
}

const unseen = "kills go unseen: which process was killed, where and why";

function checkFile(path: string, ring: Ring, options: LogCheckOptions): Check {
  const { bootTimeMs, clock, mode } = options;
  const error = readError(path);
  if (error !== undefined) {
    return {
      name: logCheckName,
      state: "missing",
      found: `${path}: ${wordFor(error)}`,
      impact: unseen,
      fix: fileFix(path, options),
    };
  }
  const lastMs = lastStampMs(path, clock);
  const restart = run("systemctl restart rsyslog");
  // Rotation leaves an empty file, and the kernel may be silent for days, so this proves nothing.
  if (lastMs === undefined) {
    return {
      name: logCheckName,
      state: "partial",
      found: `${path}: no line with a timestamp`,
      impact: "the log may not be written to",
      fix: restart,
    };
  }
  const found = `${path}: last line ${ago(lastMs, clock.nowMs())}`;
  if (bootTimeMs !== undefined && lastMs < bootTimeMs - bootTimeSlackMs) {
    return {
      name: logCheckName,
      state: mode === "auto" ? "partial" : "missing",
      found: `${found}, none since boot`,
      impact: mode === "auto" ? "nothing has been written to it since boot" : unseen,
      fix: restart,
    };
  }
  if (ring.lastMs !== undefined && ring.lastMs - lastMs > stalledMs) {
    return {
      name: logCheckName,
      state: mode === "auto" ? "partial" : "missing",
      found: `${found}, but the kernel last wrote ${ago(ring.lastMs, clock.nowMs())}`,
      impact:
        mode === "auto"
          ? "a kill appears only after the kernel's count has been ahead for 10 s"
          : unseen,
      fix: restart,
    };
  }
  if (mode === "auto" && !path.endsWith("kern.log")) {
    return {
      name: logCheckName,
      state: "partial",
      found,
      impact: "users can write lines into it that look like the kernel's",
      fix: ringFix(options),
    };
  }
  return ok(logCheckName, found);
}

function choose(options: LogCheckOptions): LogChoice {
  const { mode, filePath, files, kmsg, bootTimeMs } = options;
  if (mode === "auto")
    return chooseLogSource({
      files,
      kmsg,
      bootTimeMs,
      isContainer: readHostView(files).isContainer,
    });
  const source: LogSource =
    mode === "kmsg"
      ? { kind: "kmsg", path: kmsg.path }
      : { kind: "file", path: filePath ?? files.rootfs("var/log/kern.log") };
  const error = source.kind === "kmsg" ? openError(kmsg.open) : readError(source.path);
  if (error === undefined) return { source, passedOver: [] };
  return { passedOver: [{ source, obstacle: wordFor(error) }] };
}

function readError(path: string): string | undefined {
  return openError(() => openLog(path));
}

function wordFor(code: string): string {
  return obstacleOf("file", { code, message: code }).what;
}

function ringFound({ records, lastMs }: Ring, { clock }: LogCheckOptions): string {
  const held = records === 1 ? "1 record" : `${records} records`;
  return lastMs === undefined
    ? held
    : `${held}, the kernel's last one ${ago(lastMs, clock.nowMs())}`;
}

/** The newest wall-clock timestamp in the last lines of a log. */
function lastStampMs(path: string, clock: LogClock): number | undefined {
  const log = openLog(path);
  try {
    const { size } = log;
    const bytes = Buffer.alloc(Math.min(size, tailBytes));
    const length = readAt(log.fd, bytes, bytes.length, size - bytes.length);
    const lines = bytes.toString("latin1", 0, length).split("\n");
    if (size > tailBytes) lines.shift();
    const reader = new KernelMessageReader(clock);
    const stamps = lines.flatMap((line) => reader.read(line)?.timeMs ?? []);
    return stamps.length === 0 ? undefined : Math.max(...stamps);
  } finally {
    log.close();
  }
}

/** An existing file only needs its group; otherwise the ring buffer needs no daemon. */
function sourceFix(options: LogCheckOptions, passedOver: LogChoice["passedOver"]): Fix {
  const denied = passedOver.find(
    ({ source }) => source.kind === "file" && /^E(ACCES|PERM)$/.test(readError(source.path) ?? ""),
  );
  if (denied !== undefined) return fileFix(denied.source.path, options);
  const { mode, place } = options;
  if (mode === "file" && place === "host") {
    return {
      text: "Start oom-exporter with --kernel-log.source=auto, or have the file written:",
      commands: ["apt-get install rsyslog"],
    };
  }
  return ringFix(options);
}

function fileFix(path: string, { files, user, place }: LogCheckOptions): Fix {
  const gid = statsOf(path)?.gid ?? 0;
  if (place === "container") return dockerFlags(`--group-add ${gid}`);
  if (place === "pod") {
    return {
      text: "In the pod's spec:",
      commands: [`securityContext: {supplementalGroups: [${gid}]}`],
    };
  }
  const groups = files.textIfReadable(files.rootfs("etc/group")) ?? "";
  const name = new RegExp(`^([^:]+):[^:]*:${gid}:`, "m").exec(groups)?.[1] ?? `${gid}`;
  return groupFix(name, user, files);
}

function ringFix({ place, kmsg, shipped }: LogCheckOptions): Fix {
  switch (place) {
    case "container":
      return dockerFlags("--user 0 --device /dev/kmsg:/dev/kmsg:r --cap-add SYSLOG");
    case "pod":
      return {
        text: "In the container's spec; the device cgroup refuses it otherwise:",
        commands: ["securityContext: {privileged: true}"],
      };
    case "host":
      return openError(kmsg.open) === "ENOENT"
        ? run("mknod /dev/kmsg c 1 11 && chmod 644 /dev/kmsg")
        : dropInFix("kmsg.conf", shipped);
  }
}
