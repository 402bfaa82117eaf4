import type { ServeFlags } from "./flags.ts";
import { type AnyKill, allKills } from "./killers/linked-kills.ts";
import { UserspaceCounting } from "./killers/userspace-counting.ts";
import type { SavedUserspaceLedger } from "./killers/userspace-ledger.ts";
import { KillCounting } from "./kills/kill-counting.ts";
import type { SavedLedger } from "./kills/kill-ledger.ts";
import { DaemonLogs } from "./log-sources/daemon-logs.ts";
import { KernelLog } from "./log-sources/kernel-log.ts";
import type { KmsgReader } from "./log-sources/kmsg-device.ts";
import type { Logger } from "./logger.ts";
import type { FlightRecorder } from "./recorder/flight-recorder.ts";
import { HostWitness } from "./recorder/kill-witness.ts";
import { bootTimeMs, uptimeSeconds } from "./sources/boot-time.ts";
import type { Host } from "./sources/host.ts";
import { KillNotices } from "./sources/kill-notices.ts";
import type { OpenedState } from "./sources/state-directory.ts";
import { hostTimeZone } from "./sources/time-zone.ts";

export interface KillWatchOptions {
  flags: ServeFlags;
  /** Directory of counts and positions; absent if it cannot be used. */
  state?: OpenedState;
  /** The same for the kills of programs outside the kernel. */
  userspaceState?: OpenedState;
  kmsg: { path: string; open: () => KmsgReader };
  /** Whether journalctl is on PATH. */
  hasJournalctl: () => boolean;
  log: Logger;
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
  /** A monotonic clock, milliseconds. */
  monotonicMs: () => number;
  /** CLOCK_MONOTONIC, milliseconds: like the kernel's timestamps it stops during suspend. */
  printkClockMs: () => number;
  host: Host;
  /** Boot id of the running kernel, 32 hex digits. */
  boot: string;
  recorder: FlightRecorder;
}

/** Follows the logs of one host and counts its kills: the kernel's, and those of programs outside it. */
export class KillWatch {
  readonly kernelLog: KernelLog;
  readonly counting: KillCounting;
  readonly daemonLogs: DaemonLogs;
  readonly userspace: UserspaceCounting;
  /** Absent if kills are not counted, and on cgroup v1, which has no notifications. */
  readonly #notices: KillNotices | undefined;

  constructor(options: KillWatchOptions) {
    const { flags, host, nowMs, kmsg, hasJournalctl, log, monotonicMs, boot } = options;
    const { files } = host;
    const isOn = flags.collectors.includes("kills");
    const common = {
      files,
      clock: { nowMs, zone: hostTimeZone(flags["path.rootfs"]) },
      monotonicMs,
      boot,
      bootTimeMs: () => bootTimeMs(files, nowMs()),
      log,
    };
    this.kernelLog = new KernelLog({
      ...common,
      mode: isOn ? flags["kernel-log.source"] : "none",
      filePath: flags["kernel-log.file"],
      kmsg,
      isContainer: host.view.isContainer,
    });
    this.daemonLogs = new DaemonLogs({
      ...common,
      mode: isOn ? flags["daemon-log.source"] : "none",
      rootfs: flags["path.rootfs"],
      hasJournalctl,
    });
    this.counting = kernelCounting(this.kernelLog, options);
    this.userspace = userspaceCounting(this.daemonLogs, options);
    this.#notices = isOn ? killNotices(this.kernelLog, options) : undefined;
  }

  start(): void {
    this.counting.start();
    this.userspace.start();
    this.#notices?.start();
  }

  /** Four times a second. */
  beat(): void {
    this.#notices?.beat();
    this.kernelLog.beat();
    this.daemonLogs.beat();
  }

  /** Once a second. */
  tick(): void {
    this.counting.tick();
    this.userspace.tick();
  }

  /** Stops reading, and saves. */
  stop(): void {
    this.#notices?.close();
    this.counting.stop();
    this.userspace.stop();
  }

  /** Every known kill, newest first. */
  kills(): AnyKill[] {
    return allKills(this.counting.kills(), this.userspace.kills());
  }
}

/** What both countings need of the host. */
function needsOf({ host, nowMs, log }: KillWatchOptions) {
  const { owners, table } = host;
  return {
    lookUp: (pid: number) => table.lookUp(pid),
    remembered: (pid: number) => table.remembered(pid),
    ownerOf: (cgroup: string | null | undefined) => owners.ownerOf(cgroup ?? ""),
    nowMs,
    logger: log,
  };
}

function kernelCounting(log: KernelLog, options: KillWatchOptions): KillCounting {
  const { host, state, recorder, boot, monotonicMs, printkClockMs } = options;
  const { files, table, tree, programs } = host;
  const { lookUp, remembered, ...needs } = needsOf(options);
  const witness = new HostWitness({
    files,
    table,
    programs,
    recorder,
    bootSeconds: () => uptimeSeconds(files),
    monotonicMs,
    printkMs: printkClockMs,
  });
  return restored(
    state,
    (saved) =>
      new KillCounting({
        ...needs,
        log,
        lookup: {
          lookUp,
          remembered,
          readYoung: () => table.readYoung(),
          killCounts: () => tree?.killCounts() ?? new Map(),
          kernelKills: () => host.kernelKills(),
        },
        witness,
        store: state?.directory,
        saved: saved as SavedLedger | undefined,
        boot,
        monotonicMs,
        printkMs: printkClockMs,
      }),
  );
}

function userspaceCounting(log: DaemonLogs, options: KillWatchOptions): UserspaceCounting {
  const { host, userspaceState: state } = options;
  const { lookUp, remembered, ...needs } = needsOf(options);
  return restored(
    state,
    (saved) =>
      new UserspaceCounting({
        ...needs,
        log,
        lookup: {
          lookUp,
          remembered,
          programOf: (process) => host.programs?.programOf(process) ?? "",
        },
        store: state?.directory,
        saved: saved as SavedUserspaceLedger | undefined,
      }),
  );
}

/** Builds with the saved state, or without it if it is of another kind and has to be set aside. */
function restored<Built>(
  state: OpenedState | undefined,
  build: (saved: OpenedState["saved"]) => Built,
): Built {
  if (state?.saved === undefined) return build(undefined);
  try {
    return build(state.saved);
  } catch (error) {
    state.directory.reject(error);
    return build(undefined);
  }
}

function killNotices(
  kernelLog: KernelLog,
  { host, log }: KillWatchOptions,
): KillNotices | undefined {
  const { files, table, tree, programs } = host;
  if (tree?.hierarchy.version !== "v2") return undefined;
  return new KillNotices({
    files,
    directory: tree.hierarchy.directory,
    onKill: () => {
      programs?.killBegan();
      // The victim stays in /proc for a few more milliseconds, and more kills may follow.
      table.readYoung();
      kernelLog.expectKill();
    },
    onUnavailable: (reason) => {
      log.info(
        { reason },
        "kill notifications are not available; the kernel log is polled four times a second",
      );
    },
  });
}
