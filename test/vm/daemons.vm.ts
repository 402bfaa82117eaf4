import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, inject, it, onTestFinished } from "vitest";
import type { AnyKill } from "../../src/killers/linked-kills.ts";
import { bootSystemd, type Machine } from "./kit/machine.ts";
import { type Scrape, scrapeOf } from "./scrape.ts";

const packages = ["earlyoom", "nohang", "systemd-oomd"];

interface DaemonGuest {
  stdout: string;
  file(name: string): string;
  scrape(name: string): Scrape;
}

/**
 * Debian with systemd and one of these daemons at work. Two exporters watch, one reads the journal, one syslog;
 * the first is killed and started again in the middle.
 */
async function runWith(
  daemon: string,
  script: string,
  machine: Partial<Machine> = {},
): Promise<DaemonGuest> {
  const { status, stdout, stderr, results } = await bootSystemd({
    packages,
    kernel: process.env.OOM_EXPORTER_VM_KERNEL ?? "6.12",
    memoryMb: 640,
    timeoutSeconds: 1300,
    share: inject("guestShare"),
    ...machine,
    script: `
      . /share/guest.sh
      systemctl stop earlyoom nohang nohang-desktop systemd-oomd.socket systemd-oomd
      watch_journal() { SCORE_ADJ=-1000 exporter e 10137 --kernel-log.source=kmsg --daemon-log.source=journal; }
      restart_exporter() { kill_exporter e; watch_journal; }
      # told PORT N: waits until so many kills of the daemon are shown
      told() {
        local end=$(($(date +%s) + 60))
        while [ "$(sample "$1" oom_userspace_kills_total)" -lt "$2" ] && [ "$(date +%s)" -lt $end ]; do sleep 1; done
      }
      echo booted $(uptime_now)
      watch_journal
      SCORE_ADJ=-1000 exporter f 10138 --kernel-log.source=kmsg --daemon-log.source=file
      settle
      echo watching $(uptime_now)
      ${script}
      sleep 3
      scrape journal 10137
      scrape file 10138
      journalctl -q -o json -u ${daemon} >/results/daemon.journal.json
      journalctl -q -o json _PID=1 | grep -E 'systemd-oomd killed|oom-kill' >/results/pid1.journal.json
      grep '${daemon}' /var/log/syslog >/results/daemon.syslog
      dpkg-query -W ${daemon} >/results/version
      cat /proc/$(pgrep -x journalctl | head -n 1)/stat /proc/$(pgrep -x journalctl | head -n 1)/status >/results/journalctl.txt
      cat /proc/uptime >>/results/journalctl.txt
    `,
  });
  onTestFinished(() => rmSync(results, { recursive: true, force: true }));
  const file = (name: string) => readFileSync(join(results, name), "utf8");
  keepRecordings(daemon, results);
  if (status !== 0) throw new Error(`the guest ended with ${status}:\n${stdout}${stderr}`);
  return {
    stdout,
    file,
    scrape: (name) =>
      scrapeOf({
        metrics: file(`${name}.metrics`),
        kills: file(`${name}.kills.json`),
        vmstat: file(`${name}.vmstat`),
      }),
  };
}

/** OOM_EXPORTER_RECORDINGS: a directory to keep the daemons' own lines in. */
function keepRecordings(daemon: string, results: string): void {
  const directory = process.env.OOM_EXPORTER_RECORDINGS;
  if (directory === undefined) return;
  mkdirSync(directory, { recursive: true });
  for (const name of [
    "daemon.journal.json",
    "daemon.syslog",
    "pid1.journal.json",
    "version",
    "journal.kills.json",
    "journal.metrics",
    "journalctl.txt",
    "truth.txt",
    "e.log",
    "f.log",
  ]) {
    try {
      copyFileSync(join(results, name), join(directory, `${daemon}.${name}`));
    } catch {
      // The script ended before it was written.
    }
  }
}

/** Pids that wait() saw end by SIGTERM or SIGKILL. */
function endedBySignal(truth: string): number[] {
  return [...truth.matchAll(/^exit (\d+) code=\S+ sig=(?:9|15)$/gm)].map(([, pid]) => Number(pid));
}

function pidsOf(kills: readonly AnyKill[], killer: string): (number | null)[] {
  return kills.filter((kill) => kill.killer === killer).map(({ pid }) => pid);
}

const sorted = (pids: Iterable<number | null>) => [...pids].map(Number).sort((a, b) => a - b);

const hogs = (n: number) => `
  for i in $(seq 1 ${n}); do
    systemd-run --quiet --wait --collect --unit=hog$i -E TRUTH=$TRUTH \\
      /kit/bin/run --adj 300 -- /kit/bin/hog --step-kb 1024 --comm hog$i
    echo ended hog$i $(uptime_now)
    [ $i != ${Math.ceil(n / 2)} ] || restart_exporter
  done
  told 10137 ${n}
  told 10138 ${n}
`;

it.each([
  ["earlyoom", 4],
  ["nohang", 4],
] as const)("%s: each process that it ended is counted once, with its unit", async (daemon, n) => {
  const guest = await runWith(daemon, `systemctl start ${daemon}\n${hogs(n)}`);
  const dead = sorted(endedBySignal(guest.file("truth.txt")));
  expect(dead).toHaveLength(n);
  for (const source of ["journal", "file"]) {
    const { kills, sum } = shown(guest, source);
    const [byDaemon, byKernel] = [pidsOf(kills, daemon), pidsOf(kills, "kernel")];
    console.log(
      `${daemon}, ${source}: ${dead.length} ended by a signal, ${byDaemon.length} told of ${daemon}, ${byKernel.length} of the kernel`,
    );
    expect(sorted(new Set([...byDaemon, ...byKernel]))).toEqual(dead);
    expect(byDaemon.length).toBeGreaterThan(0);
    expect(new Set(byDaemon).size).toBe(byDaemon.length);
    expect(sum(`oom_userspace_kills_total`)).toBe(byDaemon.length);
    expect(sum("oom_kills_total")).toBe(byKernel.length);
    expect(sum("oom_daemon_log_up")).toBe(1);
    const both = kills.filter(
      ({ pid, linkedIncident }) =>
        linkedIncident !== null && byDaemon.includes(pid) && byKernel.includes(pid),
    );
    expect(both.length).toBe(2 * byKernel.filter((pid) => byDaemon.includes(pid)).length);
  }
  const units = shown(guest, "journal")
    .kills.filter(({ killer }) => killer === daemon)
    .map(({ comm, owner }) => [comm, owner.unit]);
  console.log(JSON.stringify(units));
});

it("systemd-oomd: each cgroup that it killed is counted once", async () => {
  const n = 3;
  const guest = await runWith(
    "systemd-oomd",
    `
      mkdir -p /etc/systemd/oomd.conf.d
      printf '[OOM]\\nDefaultMemoryPressureDurationSec=2s\\n' >/etc/systemd/oomd.conf.d/fast.conf
      printf '[Slice]\\nMemoryHigh=32M\\nManagedOOMMemoryPressure=kill\\nManagedOOMMemoryPressureLimit=5%%\\n' \\
        >/etc/systemd/system/squeezed.slice
      systemctl daemon-reload
      systemctl start systemd-oomd
      for i in $(seq 1 ${n}); do
        systemd-run --quiet --collect --unit=leaf$i --slice=squeezed.slice -p OOMScoreAdjust=300 \\
          /kit/bin/thrash --n 1 --mb 96 --seconds 90
        while systemctl is-active --quiet leaf$i; do sleep 0.5; done
        journalctl --sync
        journalctl -q -o cat -u leaf$i | grep -E 'oom-kill|systemd-oomd killed' | tail -n 1
        echo ended leaf$i $(uptime_now)
        [ $i != 2 ] || restart_exporter
      done
      told 10137 ${n}
      told 10138 ${n}
    `,
    { swapMb: 256 },
  );
  const dead = [...guest.stdout.matchAll(/^(leaf\d+)\.service: .*oom/gm)].map(([, unit]) => unit);
  expect(dead.toSorted()).toEqual(Array.from({ length: n }, (_, i) => `leaf${i + 1}`));
  for (const source of ["journal", "file"]) {
    const { kills, sum } = shown(guest, source);
    const units = kills
      .filter(({ killer }) => killer === "systemd-oomd")
      .map(({ owner }) => owner.unit?.replace(".service", ""));
    console.log(`systemd-oomd, ${source}: ${dead.length} units ended by oom-kill, told ${units}`);
    expect(units.sort()).toEqual(dead.sort());
    expect(sum("oom_userspace_kills_total")).toBe(dead.length);
  }
});

function shown(guest: DaemonGuest, source: string) {
  const scrape = guest.scrape(source);
  return {
    kills: scrape.kills as readonly AnyKill[],
    sum: (metric: string) => scrape.sum(metric),
  };
}
