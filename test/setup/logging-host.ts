import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import { killOfReport } from "../../src/kills/kill.ts";
import { KillCounting } from "../../src/kills/kill-counting.ts";
import type { LedgerChange, LedgerStore, SavedLedger } from "../../src/kills/kill-ledger.ts";
import { ownerOfCgroup } from "../../src/kills/owner.ts";
import { KernelLog, type KernelLogOptions } from "../../src/log-sources/kernel-log.ts";
import { HostFiles } from "../../src/sources/host-files.ts";

/**
 * A host that writes a kernel log, in memory but for its log files, with clocks that stand until
 * they are moved. Its kernel prints a kill into the ring and, while syslogd works, into kern.log.
 */
export class LoggingHost {
  readonly rootfs = mkdtempSync(join(tmpdir(), "oom-exporter-host-"));
  readonly ring: string[] = [];
  readonly logged: { level: string; message: string }[] = [];
  nowMs = Date.parse("2026-11-21T04:00:00Z");
  monotonicMs = 0;
  boot = "b".repeat(32);
  bootTimeMs = this.nowMs - 3_600_000;
  isRingReadable = true;
  syslogWorks = true;
  /** syslogd writes the kernel's own `[seconds]` before the text; RHEL and Ubuntu 24.04 do not. */
  hasPrintkStamps = true;
  kernelKills = 0;
  /** What the last exporter on this host has left. */
  saved: SavedLedger | undefined;

  path(name: string): string {
    return join(this.rootfs, "var/log", name);
  }

  advance(ms: number): void {
    this.nowMs += ms;
    this.monotonicMs += ms;
  }

  /** Somebody boots the machine: another boot id, the ring empty, the counter at 0. */
  reboot(): void {
    this.advance(60_000);
    this.boot = "c".repeat(32);
    this.bootTimeMs = this.nowMs;
    this.ring.length = 0;
    this.kernelKills = 0;
    this.advance(30_000);
  }

  /** The kernel kills `pid`: counted, then printed. */
  kill(pid: number, file = "kern.log"): void {
    this.advance(10);
    this.kernelKills++;
    this.print(
      `Memory cgroup out of memory: Killed process ${pid} (worker) total-vm:9000kB, anon-rss:8000kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:44kB oom_score_adj:0`,
      file,
    );
  }

  print(message: string, file = "kern.log"): void {
    const micros = (this.nowMs - this.bootTimeMs) * 1000;
    this.ring.push(`3,${this.ring.length},${micros},-;${message}\n`);
    const stamp = `${Math.floor(micros / 1e6)}.${`${micros % 1e6}`.padStart(6, "0")}`;
    const time = new Date(this.nowMs).toISOString();
    const text = this.hasPrintkStamps ? `[${stamp}] ${message}` : message;
    if (this.syslogWorks) this.write(file, `${time} host kernel: ${text}\n`);
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(this.path(file)), { recursive: true });
    appendFileSync(this.path(file), text);
    utimesSync(this.path(file), this.nowMs / 1000, this.nowMs / 1000);
  }

  rename(from: string, to: string): void {
    renameSync(this.path(from), this.path(to));
  }

  /** Starts counting; what an earlier exporter saved is continued. */
  async follow(options: Partial<KernelLogOptions> = {}): Promise<Following> {
    const following = new Following(this, options);
    await following.start();
    return following;
  }

  remove(): void {
    rmSync(this.rootfs, { recursive: true, force: true });
  }
}

/** Keeps changes as JSON, as a state directory does. */
class SavedChanges implements LedgerStore {
  readonly isSaving = true;
  readonly #snapshot: SavedLedger["snapshot"];
  readonly #changes: string[];

  constructor(saved: SavedLedger | undefined) {
    this.#snapshot = saved?.snapshot;
    this.#changes = (saved?.changes ?? []).map((change) => JSON.stringify(change));
  }

  append(change: LedgerChange): void {
    this.#changes.push(JSON.stringify(change));
  }

  compact(): void {}

  flush(): void {}

  load(): SavedLedger {
    return { snapshot: this.#snapshot, changes: this.#changes.map((text) => JSON.parse(text)) };
  }
}

/** One life of the exporter's counting on a host: the real thing, but for the host and the clocks. */
export class Following {
  readonly kernelLog: KernelLog;
  readonly counting: KillCounting;
  /** Pids of kills that the program fails to describe. */
  readonly indescribable = new Set<number>();
  readonly #host: LoggingHost;
  readonly #store: SavedChanges;

  constructor(host: LoggingHost, options: Partial<KernelLogOptions>) {
    this.#host = host;
    this.#store = new SavedChanges(host.saved);
    const log = (level: string) => (_fields: object, message: string) => {
      host.logged.push({ level, message });
    };
    this.kernelLog = new KernelLog({
      mode: "auto",
      kmsg: { path: "/dev/kmsg", open: () => openRing(host) },
      files: new HostFiles({ procfs: "/proc", sysfs: "/sys", rootfs: host.rootfs }),
      clock: { nowMs: () => host.nowMs, zone: utcZone },
      monotonicMs: () => host.monotonicMs,
      boot: host.boot,
      bootTimeMs: () => host.bootTimeMs,
      isContainer: false,
      log: { info: log("info"), warn: log("warn") },
      watch: false,
      ...options,
    });
    this.counting = new KillCounting({
      log: this.kernelLog,
      lookup: {
        lookUp: () => undefined,
        remembered: () => ({ comm: "worker", uid: 0, cgroup: "/work" }),
        readYoung: () => {},
        killCounts: () => new Map(),
        kernelKills: () => host.kernelKills,
      },
      store: this.#store,
      saved: host.saved,
      boot: host.boot,
      ownerOf: ownerOfCgroup,
      nowMs: () => host.nowMs,
      monotonicMs: () => host.monotonicMs,
      printkMs: () => host.nowMs - host.bootTimeMs,
      logger: { warn: log("warn") },
      describe: (report, context) => {
        if (this.indescribable.has(report.pid)) throw new TypeError("a mistake");
        return killOfReport(report, context);
      },
    });
  }

  async start(): Promise<void> {
    this.counting.start();
    await this.read();
  }

  /** Reads what the sources have. */
  async read(): Promise<void> {
    await this.kernelLog.drain();
  }

  /** Lets time pass: once a second the exporter reads and ticks. */
  async live(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.#host.advance(1000);
      await this.read();
      this.counting.tick();
      await this.read();
    }
  }

  /** Ends as kill -9 does: nothing more is saved than was. */
  end(): void {
    this.#host.saved = this.#store.load();
    this.counting.stop();
  }

  /** Ends as if kill -9 had come before the log was read to its end. */
  endBeforeCaughtUp(): void {
    this.end();
    const { snapshot, changes } = this.#host.saved as SavedLedger;
    const caughtUp = changes.findIndex(({ began }) => began !== undefined);
    this.#host.saved = { snapshot, changes: changes.slice(0, caughtUp) };
  }

  get counted(): number {
    const kills = this.counting.counts()?.kills.values() ?? [];
    return [...kills].reduce((sum, count) => sum + count, 0);
  }

  /** In the order in which they died. */
  get pids(): number[] {
    return this.counting
      .kills()
      .map(({ pid }) => pid)
      .reverse();
  }

  get unaccounted(): number | undefined {
    return this.counting.unaccounted;
  }

  get sources(): string[] {
    return this.kernelLog.states.map(({ name, up }) => `${name} ${up ? "up" : "down"}`);
  }
}

function openRing(host: LoggingHost) {
  if (!host.isRingReadable) throw Object.assign(new Error("EPERM"), { code: "EPERM", errno: -1 });
  let next = 0;
  return {
    read(buffer: Buffer): number {
      const record = host.ring[next];
      if (record === undefined)
        throw Object.assign(new Error("EAGAIN"), { code: "EAGAIN", errno: -11 });
      next++;
      return buffer.write(record, "latin1");
    },
    close() {},
  };
}
