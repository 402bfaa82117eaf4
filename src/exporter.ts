import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Pace } from "./collections/steps.ts";
import type { Collector } from "./collectors/collector.ts";
import { hostCollectors } from "./collectors/host-collectors.ts";
import { KillsCollector } from "./collectors/kills.ts";
import { LogCollector } from "./collectors/log.ts";
import { Scraper } from "./collectors/scrape.ts";
import type { ServeFlags } from "./flags.ts";
import { buildApp } from "./http/app.ts";
import { Connections } from "./http/connections.ts";
import { builtInDocuments } from "./http/documents.ts";
import { acceptedHostNames } from "./http/host-name.ts";
import { ListenError } from "./http/listen-error.ts";
import {
  type ListenAddress,
  type ListenDescriptor,
  type Listeners,
  listen,
  type RequestHandler,
  timeouts,
} from "./http/listeners.ts";
import { KillWatch, type KillWatchOptions } from "./kill-watch.ts";
import { notThere } from "./log-sources/log-obstacle.ts";
import { addOwnSamples, LoopLag, type OwnProcess } from "./own-process.ts";
import { FlightRecorder } from "./recorder/flight-recorder.ts";
import { OutcomeWatch } from "./recorder/outcome-watch.ts";
import { bootIdIn } from "./sources/boot-id.ts";
import { uptimeSeconds } from "./sources/boot-time.ts";
import { useOfCgroup } from "./sources/cgroup-use.ts";
import { Host } from "./sources/host.ts";
import { viewObstacle } from "./sources/host-view.ts";
import { meminfoIfReadable } from "./sources/meminfo-file.ts";
import { NewProcesses } from "./sources/new-processes.ts";
import { maxDescriptors, ownProcfs } from "./sources/own-proc.ts";
import type { SnapshotKeeper } from "./sources/snapshot.ts";
import { HostHour } from "./status/host-hour.ts";
import { HostStatus } from "./status/host-status.ts";
import type { WebAccess } from "./web-config/web-access.ts";

export interface ExporterOptions extends Omit<KillWatchOptions, "host" | "boot" | "recorder"> {
  hostName: string;
  /** Descriptors of the sockets passed by systemd. */
  inheritedSockets: readonly number[];
  own: OwnProcess;
}

/** Short enough to know a process that lives half a second before it is killed. */
const beatMs = 250;
const beatsPerTick = 4;

function hostOf(flags: ServeFlags, monotonicMs: () => number): Host {
  const top = flags["collector.processes.top"] || Number.POSITIVE_INFINITY;
  return new Host({
    roots: {
      procfs: flags["path.procfs"],
      sysfs: flags["path.sysfs"],
      rootfs: flags["path.rootfs"],
    },
    monotonicMs,
    leaders: top,
    cgroups: {
      max: flags["collector.cgroups.max"],
      include: flags["collector.cgroups.include"],
      exclude: flags["collector.cgroups.exclude"],
    },
    programs: { top: flags["collector.processes.program"] ? top : 0 },
    keepsDescriptors: true,
  });
}

/** Wires everything together: reads one host's files, counts its kills, serves over HTTP. */
export class Exporter {
  readonly #options: ExporterOptions;
  readonly #host: Host;
  readonly #newProcesses: NewProcesses;
  readonly #lag = new LoopLag(beatMs);
  readonly #kills: KillWatch;
  readonly #outcomes: OutcomeWatch;
  readonly #recorder: FlightRecorder;
  readonly #scraper: Scraper;
  readonly #status: HostStatus;
  readonly #connections: Connections;
  #listeners: Listeners | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #refused = { requests: 0, connections: 0 };
  #beats = 0;

  constructor(options: ExporterOptions) {
    const { flags, state, userspaceState, own, log, nowMs, monotonicMs } = options;
    const host = hostOf(flags, monotonicMs);
    const { files, owners, table, tree, programs } = host;
    const ownProc = ownProcfs();
    const boot = bootIdIn(flags["path.procfs"]) ?? "";
    const keepers: SnapshotKeeper[] = [];
    const recorder = new FlightRecorder({
      ownerOf: (cgroup) => owners.ownerOf(cgroup),
      cgroupOf: (pid) => table.remembered(pid)?.cgroup,
      useOf: (cgroup) => tree && useOfCgroup(files, tree.hierarchy, cgroup),
      readMeminfo: () => meminfoIfReadable(files),
      readProcesses: () => {
        if (flags.collectors.includes("processes")) this.#readProcesses(keepers);
      },
      monotonicMs,
    });
    const kills = new KillWatch({ ...options, host, boot, recorder });
    const newProcesses = new NewProcesses({ table, now: monotonicMs });
    const { counting, userspace, kernelLog, daemonLogs } = kills;
    const hour = new HostHour(monotonicMs);
    const outcomes = new OutcomeWatch({
      counting,
      files,
      // Where processes are hidden, a cgroup that is full of them would look empty.
      tree: host.view.hidesProcesses ? undefined : tree,
      owners,
      boot,
      bootSeconds: () => uptimeSeconds(files),
      monotonicMs,
    });
    keepers.push(counting, hour, outcomes, recorder);
    if (programs !== undefined) keepers.push(programs);
    const collectors: Collector[] = [
      ...hostCollectors(host, {
        top: flags["collector.processes.top"],
        looksAtCgroups: flags.collectors.includes("cgroups"),
      }),
      new KillsCollector({
        counting,
        userspace,
        states: [state?.directory, userspaceState?.directory],
      }),
      new LogCollector(kernelLog, daemonLogs),
    ];
    const scraper = new Scraper({
      collectors: collectors.filter(({ name }) => flags.collectors.includes(name)),
      snapshot: (deadlineMs) => host.snapshot(deadlineMs),
      keepers,
      killsRead: () => counting.killsRead,
      addOwnSamples: (sink) => {
        addOwnSamples(sink, own, ownProc, this.#refused, this.#lag);
        if (flags.externalUrl !== undefined) {
          sink.add("oom_exporter_web_info", 1, { url: flags.externalUrl });
        }
      },
      now: monotonicMs,
      rest: () => nextTurn(),
      log,
    });
    this.#connections = new Connections({
      monotonicMs,
      maxDescriptors: maxDescriptors(ownProc),
      onRefused: () => {
        this.#refused.connections++;
      },
      onCrowded: (event) => {
        if (event.began) log.warn("too many connections, closing idle ones");
        else log.info({ closed: event.refused }, "connections are below the limit again");
      },
    });
    const status = new HostStatus({
      host,
      hour,
      keepers,
      nowMs,
      monotonicMs,
      kills: () => kills.kills(),
      unaccounted: () => counting.unaccounted,
      sources: () => kernelLog.states,
      daemonLogs: () => daemonLogs.states,
      troubles: () => scraper.troubles,
      watches: (collector) => flags.collectors.includes(collector),
      own,
    });

    this.#options = options;
    this.#host = host;
    this.#newProcesses = newProcesses;
    this.#kills = kills;
    this.#outcomes = outcomes;
    this.#recorder = recorder;
    this.#scraper = scraper;
    this.#status = status;
  }

  /**
   * Reads the existing log, then serves. Resolves with the start-up line.
   * @throws {ListenError} if an address cannot be used
   */
  async start(): Promise<string> {
    const { flags, hostName, log, nowMs } = this.#options;
    const [scraper, kills, status] = [this.#scraper, this.#kills, this.#status];
    const access = await this.#webAccess();
    const addresses = this.#addresses();
    const app = buildApp({
      scraper,
      hostName,
      telemetryPath: flags["web.telemetry-path"],
      maxRequests: flags["web.max-requests"],
      hostNames: acceptedHostNames({
        hostName: this.#options.hostName,
        externalUrl: flags.externalUrl,
        listenHosts: addresses.map((address) => ("host" in address ? address.host : undefined)),
      }),
      configuredHeaders: access && (() => access.headers()),
      basePath: new URL(flags.externalUrl ?? "http://localhost").pathname.replace(/\/$/, ""),
      documents: builtInDocuments,
      version: this.#options.own.version,
      ui: flags["web.ui"],
      isReady: () => kills.counting.hasCaughtUp && scraper.hasRun,
      kills: () => kills.kills(),
      victims: (query) => status.victims(query),
      status: () => status.status(),
      statusView: () => status.view(),
      now: nowMs,
      onRefused: () => {
        this.#refused.requests++;
      },
      onCut: () => {
        this.#refused.connections++;
      },
      onError: (error, path) => {
        log.error({ path, reason: String(error) }, "a request failed");
      },
    });
    await app.ready();
    const handler: RequestHandler = (request, response) =>
      app.routing(request as IncomingMessage, response as ServerResponse);
    this.#listeners = await listen(addresses, access?.guard(handler) ?? handler, {
      connections: this.#connections,
      factory: access,
    });
    // Before the first log line: workloads start at 0 and pids are known before a kill can be counted.
    const first = { collectors: ["cgroups", "processes"] as const };
    await scraper.read(first);
    this.#kills.start();
    this.#timer = setInterval(() => this.#beat(), beatMs);
    // The reader of a file finds out on its first poll that it may not read the file.
    await nextTurn();
    return this.#startUpLine(this.#listeners.urls);
  }

  /** Stops counting, saves, stops listening and lets the scrapes in flight finish. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    // First of all: systemd ends the programs that decompress a log together with this process.
    this.#kills.stop();
    await this.#listeners?.close();
    this.#options.state?.directory.close();
    this.#options.userspaceState?.directory.close();
    await this.#host.programs?.close();
    this.#host.close();
  }

  /** Whether the kernel has not answered a read yet: this process cannot exit before it has. */
  get isReading(): boolean {
    return this.#host.programs?.isReading === true;
  }

  /** TLS, users and the rest of `--web.config.file`; loaded only if the flag is given. */
  async #webAccess(): Promise<WebAccess | undefined> {
    const { flags, monotonicMs, nowMs, log } = this.#options;
    const path = flags["web.config.file"];
    if (path === undefined) return undefined;
    const [{ WebAccess }, { PasswordWorker }] = await Promise.all([
      import("./web-config/web-access.ts"),
      import("./web-config/password-worker.ts"),
    ]);
    const passwords = new PasswordWorker();
    const { compare } = passwords;
    return new WebAccess({
      path,
      compare,
      secret: randomBytes(32),
      monotonicMs,
      nowMs,
      timeouts,
      log,
    });
  }

  #addresses(): readonly (ListenAddress | ListenDescriptor)[] {
    const { flags, inheritedSockets } = this.#options;
    if (!flags["web.systemd-socket"]) return flags.listenAddresses;
    if (inheritedSockets.length === 0) {
      throw new ListenError(
        "--web.systemd-socket: systemd passed no sockets; start the .socket unit, or remove the flag",
      );
    }
    return inheritedSockets.map((fd) => ({ fd }));
  }

  /** In slices, as scrapes do. */
  #readProcesses(keepers: readonly SnapshotKeeper[]): void {
    const snapshot = this.#host.snapshot();
    const pace = new Pace({ now: this.#options.monotonicMs, rest: () => nextTurn() });
    snapshot
      .readAhead("processes", pace)
      .then(() => snapshot.handTo(keepers))
      // The next scrape fails for the same reason, and logs it.
      .catch(() => {});
  }

  /** All periodic work shares this one timer: a wake-up costs more than most of that work. */
  #beat(): void {
    this.#lag.note(this.#options.monotonicMs());
    this.#newProcesses.look();
    this.#kills.beat();
    if (++this.#beats % beatsPerTick !== 0) return;
    this.#connections.look();
    this.#kills.tick();
    this.#outcomes.look();
    this.#recorder.look();
    this.#status.look();
  }

  #startUpLine(urls: readonly string[]): string {
    const { flags, own, state } = this.#options;
    const { states, passedOver } = this.#kills.kernelLog;
    const read = states.filter(({ up }) => up).map(({ path }) => path);
    const parts = [
      `oom-exporter ${own.version} serves ${urls.join(" and ")}`,
      `kernel log: ${read.join(" and ") || "none"}`,
      `cgroups: ${this.#host.tree?.hierarchy.version ?? "none"}`,
      `collectors: ${flags.collectors.join(", ")}`,
      `state: ${state?.directory.path ?? "not kept across restarts"}`,
    ];
    const unread = [
      // A log that does not exist is no news where another one is read.
      ...passedOver
        .filter(({ obstacle }) => read.length === 0 || obstacle !== notThere)
        .map(({ source, obstacle }) => `${source.path}: ${obstacle}`),
      ...states
        .filter(({ up, path }) => !up && !passedOver.some(({ source }) => source.path === path))
        .map(({ path, reason = "" }) => (reason.includes(path) ? reason : `${path}: ${reason}`)),
      ...this.#missing(),
    ];
    if (unread.length > 0) parts.push(`cannot read: ${unread.join("; ")}`);
    if (read.length === 0 && this.#kills.kernelLog.isOn) {
      parts.push("kills are not seen, oom-exporter doctor with the same flags says what to do");
    }
    return parts.join(" | ");
  }

  #missing(): string[] {
    const { files, tree, view } = this.#host;
    const missing: string[] = [];
    if (files.textIfReadable(files.procfs("pressure/memory")) === undefined) {
      missing.push(
        "memory pressure: needs Linux 4.20 with CONFIG_PSI, on some distributions psi=1",
      );
    }
    if (tree === undefined) missing.push("cgroups: no memory controller is mounted");
    const obstacle = viewObstacle(view);
    if (obstacle !== undefined) missing.push(`next victim on the host: ${obstacle}`);
    if (!view.isContainer && this.#host.kernelKills() === undefined) {
      missing.push("the kernel's own kill count: needs Linux 4.13");
    }
    return missing;
  }
}
