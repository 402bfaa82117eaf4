import { setImmediate as nextTurn } from "node:timers/promises";
import { CgroupsCollector } from "./collectors/cgroups.ts";
import type { Collector } from "./collectors/collector.ts";
import { HostCollector } from "./collectors/host.ts";
import { KillsCollector } from "./collectors/kills.ts";
import { LogCollector } from "./collectors/log.ts";
import { ProcessesCollector } from "./collectors/processes.ts";
import { Scraper } from "./collectors/scrape.ts";
import type { ServeFlags } from "./flags.ts";
import { buildApp } from "./http/app.ts";
import { type Listeners, listen } from "./http/listeners.ts";
import { parseVmstat } from "./kernel/vmstat.ts";
import { Attribution } from "./kills/attribution.ts";
import { killOfReport } from "./kills/kill.ts";
import {
  isOnlyPositions,
  KillLedger,
  type LedgerChange,
  type SavedLedger,
} from "./kills/kill-ledger.ts";
import { KernelKillCount, type KillCountBaseline } from "./kills/kill-reconciler.ts";
import { KillIntake } from "./kills/kill-recorder.ts";
import { LiveWorkloads } from "./kills/live-workloads.ts";
import { KernelLog } from "./log-sources/kernel-log.ts";
import type { KmsgReader } from "./log-sources/kmsg-device.ts";
import type { Logger } from "./logger.ts";
import { addOwnSamples, type OwnProcess } from "./own-process.ts";
import { bootTimeMs } from "./sources/boot-time.ts";
import { Host } from "./sources/host.ts";
import type { HostFiles } from "./sources/host-files.ts";
import { ownProcfs } from "./sources/own-proc.ts";
import type { SnapshotKeeper } from "./sources/snapshot.ts";
import type { OpenedState } from "./sources/state-directory.ts";
import { hostTimeZone } from "./sources/time-zone.ts";
import { HostHour } from "./status/host-hour.ts";
import { HostStatus } from "./status/host-status.ts";

export interface ExporterOptions {
  flags: ServeFlags;
  /** Where counts and positions are kept; absent where they cannot be. */
  state?: OpenedState;
  kmsg: { path: string; open: () => KmsgReader };
  hostName: string;
  own: OwnProcess;
  log: Logger;
  /** Wall clock, milliseconds since the epoch. */
  nowMs: () => number;
  /** A clock that never goes back, milliseconds. */
  monotonicMs: () => number;
  /** CLOCK_MONOTONIC, milliseconds: like the kernel's own stamps it stands still while suspended. */
  printkClockMs: () => number;
}

const tickMs = 1000;
/** Positions alone are saved now and then: what is read again holds no kill that was counted. */
const positionsEveryTicks = 5;

/** Everything joined: one host's files read, its kills counted, served over HTTP. */
export class Exporter {
  readonly #options: ExporterOptions;
  readonly #host: Host;
  readonly #files: HostFiles;
  readonly #boot: string;
  readonly #ledger: KillLedger;
  readonly #kernelCount: KernelKillCount;
  readonly #intake: KillIntake;
  readonly #kernelLog: KernelLog;
  readonly #scraper: Scraper;
  readonly #status: HostStatus;
  #listeners: Listeners | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ticks = 0;
  #hasCaughtUp = false;
  #refusedRequests = 0;

  constructor(options: ExporterOptions) {
    const { flags, state, log, nowMs, monotonicMs, kmsg } = options;
    this.#options = options;
    const host = new Host({
      roots: {
        procfs: flags["path.procfs"],
        sysfs: flags["path.sysfs"],
        rootfs: flags["path.rootfs"],
      },
      monotonicMs,
      leaders: flags["collector.processes.top"] || Number.POSITIVE_INFINITY,
      cgroups: {
        max: flags["collector.cgroups.max"],
        include: flags["collector.cgroups.include"],
        exclude: flags["collector.cgroups.exclude"],
      },
      keepsDescriptors: true,
    });
    this.#host = host;
    this.#files = host.files;
    this.#boot = this.#bootId();
    const ownerOf = (cgroup: string | null | undefined) => host.owners.ownerOf(cgroup ?? "");
    this.#ledger = new KillLedger({
      save: (change) => this.#save(change),
      saved: state?.saved as SavedLedger | undefined,
      nowMs: nowMs(),
    });
    this.#kernelCount = new KernelKillCount(
      this.#ledger.note("kernelCount") as KillCountBaseline | undefined,
    );
    this.#intake = new KillIntake({
      ledger: this.#ledger,
      attribution: new Attribution(),
      kernelCount: this.#kernelCount,
      witness: {
        lookUp: (pid) => host.table.lookUp(pid),
        remembered: (pid) => host.table.remembered(pid),
        readYoung: () => host.table.readYoung(),
        killCounts: () => host.tree?.killCounts() ?? new Map(),
        kernelKills: () => this.#kernelKills(),
      },
      boot: this.#boot,
      ownerOf,
      tell: (report, context) => killOfReport(report, { ...context, ownerOf }),
      nowMs,
      monotonicMs,
      positions: () => this.#kernelLog.positions(),
      drainSources: () => this.#kernelLog.drain(),
      log,
    });
    this.#kernelLog = new KernelLog({
      mode: flags.collectors.includes("kills") ? flags["kernel-log.source"] : "none",
      filePath: flags["kernel-log.file"],
      kmsg,
      files: this.#files,
      ledger: this.#ledger,
      intake: this.#intake,
      clock: { nowMs, zone: hostTimeZone(flags["path.rootfs"]) },
      monotonicMs,
      boot: this.#boot,
      bootTimeMs: () => bootTimeMs(this.#files, nowMs()),
      log,
      onCaughtUp: () => this.#onCaughtUp(),
    });
    const hour = new HostHour(monotonicMs);
    const keepers: SnapshotKeeper[] = [
      new LiveWorkloads({ ledger: this.#ledger, ownerOf, nowMs }),
      hour,
    ];
    const ownProc = ownProcfs();
    this.#scraper = new Scraper({
      collectors: this.#collectors().filter(({ name }) => flags.collectors.includes(name)),
      snapshot: (deadlineMs) => host.snapshot(deadlineMs),
      keepers,
      addOwnSamples: (sink) => addOwnSamples(sink, options.own, ownProc, this.#refusedRequests),
      now: monotonicMs,
      log,
    });
    this.#status = new HostStatus({
      host,
      hour,
      keepers,
      nowMs,
      monotonicMs,
      kills: () => this.#kills(),
      unaccounted: () => this.#unaccounted(),
      sources: () => this.#kernelLog.states,
      troubles: () => this.#scraper.troubles,
      watches: (collector) => flags.collectors.includes(collector),
      own: options.own,
    });
  }

  /**
   * Reads what there is, then serves. Resolves with the start-up line.
   * @throws {ListenError} where an address cannot be had
   */
  async start(): Promise<string> {
    const { flags, monotonicMs, nowMs } = this.#options;
    const app = buildApp({
      scraper: this.#scraper,
      hostName: this.#options.hostName,
      telemetryPath: flags["web.telemetry-path"],
      maxRequests: flags["web.max-requests"],
      basePath: new URL(flags["web.external-url"] ?? "http://localhost").pathname.replace(
        /\/$/,
        "",
      ),
      ui: flags["web.ui"],
      isReady: () => this.#hasCaughtUp && this.#scraper.hasRun,
      kills: () => this.#kills(),
      victims: (query) => this.#status.victims(query),
      status: () => this.#status.status(),
      statusView: () => this.#status.view(),
      now: nowMs,
      onRefused: () => {
        this.#refusedRequests++;
      },
      onError: (error, path) => {
        this.#options.log.error({ path, reason: String(error) }, "a request failed");
      },
    });
    await app.ready();
    this.#listeners = await listen(flags.listenAddresses, (request, response) =>
      app.routing(request, response),
    );
    // Before the first line: workloads are born at 0, and pids known, before a kill can count.
    const first = { collectors: ["cgroups", "processes"] as const };
    await this.#scraper.scrape(first, { format: "text", gzip: false });
    this.#kernelLog.start();
    this.#kernelCount.read(this.#countReading(monotonicMs()));
    this.#timer = setInterval(() => this.#tick(), tickMs);
    // A file's reader finds out in its first turn that it may not read it.
    await nextTurn();
    return this.#startUpLine(this.#listeners.urls);
  }

  /** Stops listening, lets the scrapes in flight finish, saves. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#listeners?.close();
    this.#kernelLog.stop();
    this.#intake.stop();
    this.#options.state?.directory.close();
    this.#host.close();
  }

  #collectors(): Collector[] {
    const { flags, nowMs, state } = this.#options;
    const host = new HostCollector(this.#host);
    const cgroups = new CgroupsCollector(this.#host);
    const processes = new ProcessesCollector(this.#host, {
      top: flags["collector.processes.top"],
      looksAtCgroups: flags.collectors.includes("cgroups"),
    });
    const kills = new KillsCollector({
      ledger: this.#ledger,
      nowMs,
      unaccounted: () => this.#unaccounted(),
      state: state?.directory,
    });
    const log = new LogCollector({
      sources: () => this.#kernelLog.states,
      tally: () => this.#kernelLog.tally,
    });
    return [host, cgroups, processes, kills, log];
  }

  #onCaughtUp(): void {
    const { nowMs, monotonicMs, printkClockMs } = this.#options;
    this.#intake.commit();
    if (!this.#ledger.isContinued) {
      const printkMicros = Math.round(printkClockMs() * 1000);
      this.#ledger.record({
        atMs: nowMs(),
        began: { boot: this.#boot, printkMicros },
        notes: { firstStartMs: nowMs() },
      });
    }
    this.#hasCaughtUp = true;
    this.#ledger.showCounts();
    this.#kernelCount.begin(this.#countReading(monotonicMs()), {
      logHoldsBoot: this.#kernelLog.holdsBoot,
    });
    this.#intake.readCounters();
    this.#intake.savePositions();
    this.#saveBaseline();
  }

  #tick(): void {
    const { state, monotonicMs } = this.#options;
    if (this.#hasCaughtUp) {
      this.#kernelCount.read(this.#countReading(monotonicMs()));
      this.#saveBaseline();
      this.#kernelLog.tick(this.#unaccounted());
    }
    this.#status.look();
    if (++this.#ticks % positionsEveryTicks === 0) this.#intake.savePositions();
    if (state?.directory.isSaving === false) {
      state.directory.compact(() => this.#ledger.snapshot());
    }
    state?.directory.flush();
  }

  #countReading(nowMs: number) {
    const rawLines = this.#intake.rawLines;
    return { boot: this.#boot, rawLines, oomKill: this.#kernelKills(), nowMs };
  }

  #unaccounted(): number | undefined {
    return this.#kernelLog.states.length === 0 ? undefined : this.#kernelCount.unaccounted;
  }

  #saveBaseline(): void {
    const { baseline } = this.#kernelCount;
    if (JSON.stringify(baseline) === JSON.stringify(this.#ledger.note("kernelCount"))) return;
    this.#ledger.record({ atMs: this.#options.nowMs(), notes: { kernelCount: baseline ?? null } });
  }

  #save(change: LedgerChange): void {
    const sync = !isOnlyPositions(change);
    this.#options.state?.directory.append(change, () => this.#ledger.snapshot(), { sync });
  }

  #kills() {
    return this.#ledger.list({ limit: Number.POSITIVE_INFINITY }).kills;
  }

  #kernelKills(): number | undefined {
    const length = this.#readIfThere("vmstat");
    return length === undefined ? undefined : parseVmstat(this.#files.bytes, length).oomKills;
  }

  #readIfThere(name: string): number | undefined {
    try {
      return this.#files.read(this.#files.procfs(name));
    } catch {
      return undefined;
    }
  }

  #bootId(): string {
    const path = this.#files.procfs("sys/kernel/random/boot_id");
    return this.#files.textIfReadable(path)?.trim().replaceAll("-", "") ?? "";
  }

  #startUpLine(urls: readonly string[]): string {
    const { flags, own, state } = this.#options;
    const states = this.#kernelLog.states;
    const read = states.filter(({ up }) => up).map(({ path }) => path);
    const parts = [
      `oom-exporter ${own.version} serves ${urls.join(" and ")}`,
      `kernel log: ${read.join(" and ") || "none"}`,
      `cgroups: ${this.#host.tree?.hierarchy.version ?? "none"}`,
      `collectors: ${flags.collectors.join(", ")}`,
      `state: ${state?.directory.path ?? "not kept over a restart"}`,
    ];
    const { passedOver } = this.#kernelLog;
    const unread = [
      ...passedOver.map(({ source, obstacle }) => `${source.path}: ${obstacle}`),
      ...states
        .filter(({ up, path }) => !up && !passedOver.some(({ source }) => source.path === path))
        .map(({ path, reason = "" }) => (reason.includes(path) ? reason : `${path}: ${reason}`)),
      ...this.#missing(),
    ];
    if (unread.length > 0) parts.push(`cannot read: ${unread.join("; ")}`);
    return parts.join(" | ");
  }

  #missing(): string[] {
    const missing: string[] = [];
    if (this.#files.textIfReadable(this.#files.procfs("pressure/memory")) === undefined) {
      missing.push("memory pressure: needs Linux 4.20 with CONFIG_PSI, on some with psi=1");
    }
    if (this.#host.tree === undefined) missing.push("cgroups: no memory controller is mounted");
    if (this.#kernelKills() === undefined) {
      missing.push("the kernel's own kill count: needs Linux 4.13");
    }
    return missing;
  }
}
