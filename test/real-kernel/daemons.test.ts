import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import type { UserspaceKill } from "../../src/killers/userspace-kill.ts";
import { debianTool } from "../setup/debian-tools.ts";
import {
  eventually,
  sampleOf,
  startExporter,
  temporaryDirectory,
} from "../setup/exporter-process.ts";
import { needs } from "../setup/needs.ts";

const script = fileURLToPath(new URL("daemons.sh", import.meta.url));
const trials = 10;
const [earlyoom, nohang] = await Promise.all([
  debianTool("earlyoom", "usr/bin/earlyoom"),
  debianTool("nohang", "usr/sbin/nohang"),
]);

/** Debian's daemons, each with so much memory available: below its limit for SIGTERM, above that for SIGKILL. */
const daemons = [
  {
    name: "earlyoom",
    executable: "usr/bin/earlyoom",
    obstacle: earlyoom.obstacle,
    command: [`${earlyoom.path}`, "-r", "0"],
    availablePercent: 8,
  },
  {
    name: "nohang",
    executable: "usr/sbin/nohang",
    obstacle: nohang.obstacle,
    command: [`${nohang.path}`, "--monitor", "--config", nohangConfig()],
    availablePercent: 3,
  },
];

/** Beside the program if it was unpacked, else the installed one. */
function nohangConfig(): string {
  const unpacked = join(dirname(`${nohang.path}`), "root/etc/nohang/nohang.conf");
  return existsSync(unpacked) ? unpacked : "/etc/nohang/nohang.conf";
}

/** A pid namespace with its own /proc needs root. */
function namespaceObstacle(): string | undefined {
  try {
    execFileSync("unshare", ["--pid", "--fork", "--mount", "--mount-proc", "true"], {
      stdio: "ignore",
    });
    return undefined;
  } catch {
    return "needs a pid namespace: root, and unshare of util-linux";
  }
}

/** Debian's own daemons, which really signal processes. */
describe.each(daemons)(
  "$name of Debian",
  ({ name, executable, obstacle, command, availablePercent }) => {
    needs(it, obstacle ?? namespaceObstacle())(
      `is counted as wait() saw its victims end, ${trials} of ${trials}, over a restart of the exporter`,
      async () => {
        const { path: root, remove } = temporaryDirectory();
        onTestFinished(remove);
        const log = join(root, "var/log/syslog");
        mkdirSync(join(root, "var/log"), { recursive: true });
        mkdirSync(dirname(join(root, executable)), { recursive: true });
        writeFileSync(join(root, executable), "");
        writeFileSync(log, "");
        writeFileSync(join(root, "meminfo"), nearlyOut(availablePercent));
        for (let i = 1; i <= trials; i++) copyFileSync("/bin/sleep", join(root, `hog${i}`));
        const flags = [
          `--path.rootfs=${root}`,
          `--state.directory=${join(root, "state")}`,
          "--daemon-log.source=file",
          "--kernel-log.source=none",
        ];
        let exporter = await startExporter(flags);
        onTestFinished(async () => {
          await exporter.end();
        });
        const counted = async () =>
          sampleOf(await exporter.metrics(), `oom_userspace_kills_total{killer="${name}"}`);
        await eventually("the counter is shown", async () => (await counted()) === 0);

        const daemon = runDaemon(root, command, (line) =>
          appendFileSync(log, `${new Date().toISOString()} host ${name}[2]: ${line}\n`),
        );
        const ended = await eventually("all have ended", async () => {
          const seen = daemon.ended();
          return seen.length === trials && seen;
        });
        const dead = ended.filter(({ status }) => status === 128 + 15);
        await eventually("all kills are counted", async () => (await counted()) === dead.length);
        await daemon.stop();
        await exporter.end("SIGKILL");
        exporter = await startExporter(flags);
        await eventually("the counter is shown again", async () => (await counted()) !== undefined);

        expect(dead).toHaveLength(trials);
        expect(await counted()).toBe(trials);
        const kills = (await exporter.kills()) as unknown as UserspaceKill[];
        // A name may still be the shell's: it is taken before or after exec.
        const shown = kills.map(({ killer, pid, signal }) => `${killer} ${pid} ${signal}`);
        expect(shown.sort()).toEqual(dead.map(({ pid }) => `${name} ${pid} SIGTERM`).sort());
      },
    );
  },
);

/** What this machine's /proc/meminfo says, with this much memory available and no swap. */
function nearlyOut(availablePercent: number): string {
  const text = readFileSync("/proc/meminfo", "utf8");
  const total = Number(/^MemTotal: +(\d+)/m.exec(text)?.[1]);
  return text
    .replace(/^(MemAvailable: +)\d+/m, `$1${Math.round((total * availablePercent) / 100)}`)
    .replace(/^(Swap(?:Total|Free): +)\d+/gm, "$10");
}

interface Ended {
  pid: number;
  status: number;
}

interface RunningDaemon {
  /** The processes that wait() has seen end. */
  ended(): Ended[];
  stop(): Promise<void>;
}

function runDaemon(
  root: string,
  command: readonly string[],
  onLine: (line: string) => void,
): RunningDaemon {
  const namespace = ["--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];
  const child = spawn("unshare", [...namespace, "sh", script, root, `${trials}`, ...command], {
    stdio: "pipe",
  });
  const closed = once(child, "close");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await closed;
  });
  let statuses = "";
  let begun = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    statuses += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    const lines = (begun + text).split("\n");
    begun = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  });
  return {
    ended: () =>
      [...statuses.matchAll(/^\S+ (\d+) (\d+)$/gm)].map(([, pid, status]) => ({
        pid: Number(pid),
        status: Number(status),
      })),
    stop: async () => {
      child.stdin.end();
      await closed;
    },
  };
}
