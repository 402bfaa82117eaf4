import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { utcZone } from "../../src/kernel-log/local-time.ts";
import { Attribution } from "../../src/kills/attribution.ts";
import { killOfReport } from "../../src/kills/kill.ts";
import { KillLedger, type LedgerSnapshot } from "../../src/kills/kill-ledger.ts";
import { KernelKillCount } from "../../src/kills/kill-reconciler.ts";
import { KillIntake } from "../../src/kills/kill-recorder.ts";
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
  #saved: LedgerSnapshot | undefined;

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

  /** Starts following; what an earlier `follow` saved is continued. */
  async follow(options: Partial<KernelLogOptions> = {}): Promise<Following> {
    const ledger = new KillLedger({
      save: () => {},
      saved: this.#saved === undefined ? undefined : { snapshot: this.#saved, changes: [] },
      nowMs: this.nowMs,
    });
    const following = new Following(this, ledger, options);
    await following.start();
    return following;
  }

  /** What a restart finds: the state as the ledger has it now. */
  save(ledger: KillLedger): void {
    this.#saved = structuredClone(ledger.snapshot());
  }

  remove(): void {
    rmSync(this.rootfs, { recursive: true, force: true });
  }
}

/** One life of the exporter's log side on a host. */
export class Following {
  readonly ledger: KillLedger;
  readonly kernelLog: KernelLog;
  /** Pids of kills whose story makes the program throw. */
  readonly cannotTell = new Set<number>();
  readonly #host: LoggingHost;
  readonly #intake: KillIntake;
  readonly #kernelCount: KernelKillCount;

  constructor(host: LoggingHost, ledger: KillLedger, options: Partial<KernelLogOptions>) {
    this.#host = host;
    this.ledger = ledger;
    const say = (level: string) => (_fields: object, message: string) => {
      host.logged.push({ level, message });
    };
    this.#kernelCount = new KernelKillCount();
    this.#intake = new KillIntake({
      ledger,
      attribution: new Attribution(),
      kernelCount: this.#kernelCount,
      witness: {
        lookUp: () => undefined,
        remembered: () => ({ comm: "worker", uid: 0, cgroup: "/work" }),
        readYoung: () => {},
        killCounts: () => new Map(),
        kernelKills: () => host.kernelKills,
      },
      boot: host.boot,
      ownerOf: ownerOfCgroup,
      tell: (report, context) => {
        if (this.cannotTell.has(report.pid)) throw new TypeError("a mistake");
        return killOfReport(report, { ...context, ownerOf: ownerOfCgroup });
      },
      nowMs: () => host.nowMs,
      monotonicMs: () => host.monotonicMs,
      positions: () => this.kernelLog.positions(),
      drainSources: () => this.kernelLog.drain(),
      log: { warn: say("warn") },
    });
    this.kernelLog = new KernelLog({
      mode: "auto",
      kmsg: { path: "/dev/kmsg", open: () => openRing(host) },
      files: new HostFiles({ procfs: "/proc", sysfs: "/sys", rootfs: host.rootfs }),
      ledger,
      intake: this.#intake,
      clock: { nowMs: () => host.nowMs, zone: utcZone },
      monotonicMs: () => host.monotonicMs,
      boot: host.boot,
      bootTimeMs: () => host.bootTimeMs,
      log: { info: say("info"), warn: say("warn") },
      watch: false,
      onCaughtUp: () => this.#onCaughtUp(),
      ...options,
    });
  }

  async start(): Promise<void> {
    this.kernelLog.start();
    await this.read();
  }

  /** Reads what the sources have. */
  async read(): Promise<void> {
    await this.kernelLog.drain();
    this.#intake.commit();
  }

  /** Lets time pass as the exporter does: once a second a look at the counters and the sources. */
  async live(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.#host.advance(1000);
      await this.read();
      this.#kernelCount.read(this.#counts());
      this.kernelLog.tick(this.#kernelCount.unaccounted);
      await this.read();
    }
  }

  /** Ends as kill -9 does: nothing more is saved than was. */
  end(): void {
    this.kernelLog.stop();
    this.#host.save(this.ledger);
    this.#intake.stop();
  }

  get counted(): number {
    const kills = this.ledger.counts(this.#host.nowMs)?.kills.values() ?? [];
    return [...kills].reduce((sum, count) => sum + count, 0);
  }

  get pids(): number[] {
    return this.ledger
      .list({ limit: 1000 })
      .kills.map(({ pid }) => pid)
      .reverse();
  }

  get unaccounted(): number | undefined {
    return this.#kernelCount.unaccounted;
  }

  get sources(): string[] {
    return this.kernelLog.states.map(({ name, up }) => `${name} ${up ? "up" : "down"}`);
  }

  #onCaughtUp(): void {
    const { nowMs, boot, bootTimeMs } = this.#host;
    this.#intake.commit();
    if (!this.ledger.isContinued) {
      const began = { boot, printkMicros: (nowMs - bootTimeMs) * 1000 };
      this.ledger.record({ atMs: nowMs, began, notes: { firstStartMs: nowMs } });
    }
    this.ledger.showCounts();
    this.#kernelCount.begin(this.#counts(), { logHoldsBoot: this.kernelLog.holdsBoot });
    this.#intake.savePositions();
  }

  #counts() {
    const { boot, kernelKills, monotonicMs } = this.#host;
    return { boot, rawLines: this.#intake.rawLines, oomKill: kernelKills, nowMs: monotonicMs };
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
