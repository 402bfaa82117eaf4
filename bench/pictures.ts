/*
 * Makes the pictures of docs/images: `npm run pictures [-- NAME...]`
 *
 * An invented host at three moments: time and numbers are fixed and randomness is seeded, so that the same source makes
 * the same pictures. Forecasts, diagnosis and pages are the program's own.
 */
import { explain } from "../src/commands/explain.ts";
import type { Kill } from "../src/kills/kill.ts";
import { type Owner, unknownOwner } from "../src/kills/owner.ts";
import type { CgroupView, StatusView, VictimView } from "../src/status/status-view.ts";
import { timeLeft, type UsePoint } from "../src/status/time-left.ts";
import { startChromium } from "../test/browser/chromium.ts";
import { servePages } from "../test/browser/page-server.ts";
import { randomFrom } from "./next-victim-scenario.ts";

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const minuteMs = 60_000;
const killedMs = Date.parse("2026-11-21T08:16:30Z");
const boot = "7f3a91c2-29790482911";

interface Workload {
  unit: string;
  pid: number;
  comm: string;
  limitBytes: number;
  /** Use at a time, without noise. */
  bytesAt(minutesBeforeKill: number): number;
  cacheBytes: number;
}

const leakFrom = 2 * GiB - 26 * 62 * MiB;

const workloads: Workload[] = [
  {
    unit: "mysql.service",
    pid: 1881,
    comm: "mysqld",
    limitBytes: 2 * GiB,
    // Steady, then 62 MiB a minute up to the limit; after the restart from the beginning.
    bytesAt: (minutes) => {
      if (minutes < 0) return 180 * MiB;
      return minutes > 26 ? leakFrom : leakFrom + (26 - minutes) * 62 * MiB;
    },
    cacheBytes: 60 * MiB,
  },
  steady("postgres.service", 1104, "postgres", 1.5 * GiB, 467 * MiB, 310 * MiB),
  {
    ...steady("checkout.service", 1310, "java", 512 * MiB, 148 * MiB, 20 * MiB),
    bytesAt: (minutes) => (110 + (((minutes + 60) * 13) % 80)) * MiB,
  },
  steady("search.service", 1422, "search", 256 * MiB, 35 * MiB, 18 * MiB),
  steady("nginx.service", 980, "nginx", 128 * MiB, 11 * MiB, 6 * MiB),
];

function steady(
  unit: string,
  pid: number,
  comm: string,
  limitBytes: number,
  usedBytes: number,
  cacheBytes: number,
): Workload {
  return { unit, pid, comm, limitBytes, bytesAt: () => usedBytes, cacheBytes };
}

function ownerOf({ unit }: Workload): Owner {
  return { ...unknownOwner, unit, platform: "systemd" };
}

/** The hour until then, a reading every 15 seconds; it wavers by so much. */
function hourOf(seed: number, atMs: number, waver: number, bytesAt: Workload["bytesAt"]) {
  const random = randomFrom(seed);
  return Array.from({ length: 241 }, (_, step): UsePoint => {
    const pointMs = atMs - (240 - step) * 15_000;
    const usedBytes = bytesAt((killedMs - pointMs) / minuteMs) * (1 + (random() - 0.5) * waver);
    return { atMs: pointMs, usedBytes: Math.round(usedBytes) };
  });
}

function viewAt(atMs: number, kills: readonly Kill[]): StatusView {
  const cgroups = workloads.map((workload, seed): CgroupView => {
    const { unit, pid, comm, limitBytes, bytesAt, cacheBytes } = workload;
    const lastHour = hourOf(seed + 1, atMs, unit === "mysql.service" ? 0.002 : 0.02, bytesAt);
    const held = lastHour.at(-1)?.usedBytes ?? 0;
    return {
      cgroup: `/system.slice/${unit}`,
      owner: ownerOf(workload),
      usedBytes: held + cacheBytes,
      unreclaimableBytes: held,
      limitBytes,
      limitCgroup: undefined,
      lastHour,
      timeLeft: timeLeft(lastHour, limitBytes, atMs),
      nextVictim: { pid, comm, program: null },
      bypass: undefined,
    };
  });
  const anon = cgroups.reduce((sum, { unreclaimableBytes = 0 }) => sum + unreclaimableBytes, 0);
  const own = 1.6 * GiB + anon;
  const used = [
    { kind: "anon", bytes: own },
    { kind: "shmem", bytes: 163 * MiB },
    { kind: "slab_unreclaimable", bytes: 122 * MiB },
    { kind: "page_tables", bytes: 41 * MiB },
    { kind: "page_cache", bytes: 3.4 * GiB },
    { kind: "slab_reclaimable", bytes: 486 * MiB },
  ];
  const totalBytes = 15.5 * GiB;
  const freeBytes = totalBytes - used.reduce((sum, { bytes }) => sum + bytes, 0);
  const hostAt = (minutes: number) =>
    1.9 * GiB + workloads.reduce((sum, { bytesAt }) => sum + bytesAt(minutes), 0);
  const victims = workloads
    .map((workload, at): VictimView => {
      const { unit, comm } = workload;
      const residentBytes = cgroups[at]?.unreclaimableBytes ?? 0;
      const hasRestarted = atMs > killedMs && comm === "mysqld";
      return {
        pid: hasRestarted ? 2214 : workload.pid,
        comm,
        program: comm === "java" ? "checkout.jar" : null,
        cgroup: `/system.slice/${unit}`,
        owner: ownerOf(workload),
        score: 666 + Math.round((residentBytes / totalBytes) * 667),
        scoreAdj: 0,
        residentBytes,
        swapBytes: 0,
        freesBytes: residentBytes + 4 * MiB,
        diesWith: [],
      };
    })
    .sort((a, b) => b.residentBytes - a.residentBytes);
  return {
    atMs,
    memory: {
      totalBytes,
      availableBytes: freeBytes + 3.2 * GiB,
      freeBytes,
      used,
      beside: [],
      swapTotalBytes: 0,
      swapFreeBytes: 0,
      lastHour: hourOf(99, atMs, 0.02, hostAt).map((point) => ({ ...point, swapUsedBytes: 0 })),
      timeLeft: { refused: "plenty_left" },
    },
    cgroups: [...cgroups].sort((a, b) => shareOf(b) - shareOf(a)),
    victims,
    bypass: undefined,
    unkillable: { count: 2, residentBytes: 14 * MiB },
    kills,
    unaccountedKills: 0,
    sources: [{ name: "file", path: "/var/log/kern.log", up: true, reason: undefined }],
    otherKillers: [],
    troubles: [],
  };
}

function shareOf({ unreclaimableBytes = 0, limitBytes }: CgroupView): number {
  return unreclaimableBytes / limitBytes;
}

/** The kernel's report of the kill, as Linux 6.12 writes it. */
const report = [
  "mysqld invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
  "CPU: 1 UID: 106 PID: 1881 Comm: mysqld Not tainted 6.12.57+deb13-amd64 #1  Debian 6.12.57-1",
  "memory: usage 2097152kB, limit 2097152kB, failcnt 3117",
  "swap: usage 0kB, limit 0kB, failcnt 0",
  "Memory cgroup stats for /system.slice/mysql.service:",
  "anon 2127560704",
  "file 7340032",
  "kernel_stack 655360",
  "pagetables 4816896",
  "shmem 0",
  "slab_reclaimable 2097152",
  "slab_unreclaimable 1310720",
  "Tasks state (memory values in pages):",
  "[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name",
  "[   1881]   106  1881   812440   521112   519216     1896         0  4816896        0             0 mysqld",
  "[   1902]   106  1902     2411      602      214      388         0    57344        0             0 mysqld-health",
  "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=mysql.service,mems_allowed=0,oom_memcg=/system.slice/mysql.service,task_memcg=/system.slice/mysql.service,task=mysqld,pid=1881,uid=106",
  "Memory cgroup out of memory: Killed process 1881 (mysqld) total-vm:3249760kB, anon-rss:2076864kB, file-rss:7584kB, shmem-rss:0kB, UID:106 pgtables:4704kB oom_score_adj:0",
];

/** What the program says of the report, with what its recorder would have seen. */
async function theKill(): Promise<Kill> {
  const text = report.map(
    (line) => `2026-11-21T08:16:30.000000+00:00 web-03 kernel: [29790.482911] ${line}\n`,
  );
  let json = "";
  await explain(["--json", "-"], {
    stdout: { write: (part) => (json += part) },
    stderr: process.stderr,
    stdin: (async function* () {
      yield Buffer.from(text.join(""));
    })(),
    clock: () => killedMs,
    rootfs: "/nonexistent",
    env: {},
  });
  const kill: Kill = JSON.parse(json);
  const [mysql] = workloads as [Workload, ...Workload[]];
  const limitUse = Array.from({ length: 61 }, (_, step): [number, number] => {
    const seconds = (60 - step) * 15;
    return [seconds, Math.min(mysql.limitBytes, mysql.bytesAt(seconds / 60))];
  });
  return {
    ...kill,
    incident: `${boot}-1881`,
    ageSeconds: 27_214,
    source: { name: "/var/log/kern.log", line: 18_823 },
    before: {
      seconds: 900,
      limitBytes: mysql.limitBytes,
      limitUse,
      growers: [
        {
          cgroup: "/system.slice/mysql.service",
          owner: ownerOf(mysql),
          pid: 1881,
          comm: "mysqld",
          fromBytes: limitUse[0]?.[1] ?? 0,
          toBytes: mysql.limitBytes,
          seconds: 900,
        },
      ],
    },
    outcome: "restarted",
    restartSeconds: 2.1,
  };
}

const kill = await theKill();
const danger = viewAt(killedMs - 8.5 * minuteMs, []);
const killed = viewAt(killedMs + 2 * minuteMs, [kill]);
/** Down to the limits; of the others the whole page. */
const upperPart = { width: 1000, height: 1250 };
const phone = { width: 390, height: 1500 };

const pictures = {
  "status-danger": { view: danger, path: "", viewport: upperPart },
  "status-danger-dark": { view: danger, path: "", viewport: upperPart, isDark: true },
  "status-danger-phone": { view: danger, path: "", viewport: phone },
  "status-healthy": { view: viewAt(killedMs - 22 * minuteMs, []), path: "", viewport: upperPart },
  "status-killed": { view: killed, path: "" },
  "kill-page": { view: killed, path: `kills/${kill.incident}` },
};

const wanted = process.argv.slice(3);
const browser = await startChromium();
const server = await servePages(danger);
try {
  for (const [name, picture] of Object.entries(pictures)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const { view, path } = picture;
    server.view = view;
    const context = await browser.newContext({
      viewport: "viewport" in picture ? picture.viewport : upperPart,
      deviceScaleFactor: 1.5,
      colorScheme: "isDark" in picture ? "dark" : "light",
      // The page without its own refreshes.
      javaScriptEnabled: false,
      locale: "en-GB",
      timezoneId: "UTC",
    });
    const page = await context.newPage();
    await page.goto(`${server.url}${path}`);
    const file = `docs/images/${name}.png`;
    await page.screenshot({ path: file, fullPage: !("viewport" in picture) });
    console.log(file);
    await context.close();
  }
} finally {
  await server.close();
  await browser.close();
}
