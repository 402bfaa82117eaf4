import type { Kill } from "../../src/kills/kill.ts";
import { unknownOwner } from "../../src/kills/owner.ts";
import type {
  CgroupView,
  HostMemoryView,
  StatusView,
  VictimView,
} from "../../src/status/status-view.ts";
import type { UsePoint } from "../../src/status/time-left.ts";

/** Time at which `aStatusView` was taken, three minutes after `aKill`. */
export const nowMs = Date.parse("2026-11-21T03:47:10Z");

export const nobody = unknownOwner;

const MiB = 2 ** 20;
const GiB = 2 ** 30;

export function aKill(changes: Partial<Kill> = {}): Kill {
  return {
    incident: "7f3a91c2-88231457812-4242",
    killer: "kernel",
    linkedIncident: null,
    time: "2026-11-21T03:43:58.000Z",
    uptimeSeconds: 88231.457812,
    pid: 4242,
    comm: "java",
    program: null,
    uid: 1000,
    ageSeconds: null,
    constraint: "memcg",
    limitCgroup: "/system.slice/checkout.service",
    cgroup: "/system.slice/checkout.service",
    owner: { ...nobody, unit: "checkout.service" },
    trigger: { comm: "C2 Compiler", pid: 4260, gfpMask: "0xcc0", order: 0, oomScoreAdj: 0 },
    memory: {
      totalVmBytes: 6 * GiB,
      anonRssBytes: 986 * MiB,
      fileRssBytes: 12 * MiB,
      shmemRssBytes: 0,
      pageTablesBytes: 2 * MiB,
    },
    oomScoreAdj: 0,
    limitBytes: GiB,
    usageBytes: GiB,
    swapFreeBytes: 0,
    cause: "cgroup_limit",
    causeBasis: "read",
    summary: "checkout.service used all of its 1 GiB.",
    advice: ["Raise MemoryMax=, see https://example.org/runbooks/OomKill."],
    tasks: [
      { pid: 4242, comm: "java", rssBytes: 998 * MiB, swapBytes: 0, oomScoreAdj: 0, cgroup: null },
      { pid: 77, comm: "agent", rssBytes: 2 * MiB, swapBytes: 0, oomScoreAdj: -1000, cgroup: null },
    ],
    group: null,
    suppressed: false,
    before: null,
    outcome: null,
    restartSeconds: null,
    loop: null,
    source: { name: "/var/log/kern.log", line: 18823 },
    ...changes,
  };
}

/** What grew on a straight line for so many minutes, looked at every 15 seconds, until `nowMs`. */
function aClimb(fromBytes: number, toBytes: number, minutes = 60): UsePoint[] {
  const steps = minutes * 4;
  return Array.from({ length: steps + 1 }, (_, step) => ({
    atMs: nowMs - (steps - step) * 15_000,
    usedBytes: Math.round(fromBytes + ((toBytes - fromBytes) * step) / steps),
  }));
}

export function aMemory(changes: Partial<HostMemoryView> = {}): HostMemoryView {
  return {
    totalBytes: 16 * GiB,
    availableBytes: 10 * GiB,
    freeBytes: 4 * GiB,
    used: [
      { kind: "anon", bytes: 5 * GiB },
      { kind: "page_cache", bytes: 7 * GiB },
    ],
    beside: [],
    swapTotalBytes: 4 * GiB,
    swapFreeBytes: 3 * GiB,
    lastHour: aClimb(5 * GiB, 6 * GiB).map((point) => ({ ...point, swapUsedBytes: GiB })),
    timeLeft: { refused: "plenty_left" },
    ...changes,
  };
}

/** A unit that uses a share of its own limit of 1 GiB. */
export function aCgroup(heldShare: number, changes: Partial<CgroupView> = {}): CgroupView {
  return {
    cgroup: "/system.slice/web.service",
    owner: { ...nobody, unit: "web.service" },
    usedBytes: heldShare * GiB,
    unreclaimableBytes: heldShare * GiB,
    limitBytes: GiB,
    limitCgroup: undefined,
    lastHour: aClimb(heldShare * GiB, heldShare * GiB),
    timeLeft: { refused: heldShare > 0.5 ? "not_growing" : "plenty_left" },
    nextVictim: undefined,
    bypass: undefined,
    ...changes,
  };
}

export function aVictim(changes: Partial<VictimView> = {}): VictimView {
  return {
    pid: 9,
    comm: "postgres",
    program: null,
    cgroup: "/system.slice/postgres.service",
    owner: { ...nobody, unit: "postgres.service" },
    score: 1067,
    scoreAdj: 0,
    residentBytes: 3 * GiB,
    swapBytes: 0,
    freesBytes: 3 * GiB,
    diesWith: [],
    ...changes,
  };
}

/** A unit that holds 1.5 GiB, leaks towards 2 GiB and is there in nine minutes. */
export function aLeak(changes: Partial<CgroupView> = {}): CgroupView {
  return aCgroup(0, {
    cgroup: "/shop.slice/mysql.service",
    owner: { ...nobody, unit: "mysql.service" },
    usedBytes: 1.6 * GiB,
    unreclaimableBytes: 1.5 * GiB,
    limitBytes: 2 * GiB,
    lastHour: aClimb(0.4 * GiB, 1.5 * GiB, 20),
    timeLeft: { seconds: 541, bytesPerSecond: (0.5 * GiB) / 541 },
    nextVictim: { pid: 812, comm: "mysqld", program: null },
    ...changes,
  });
}

/** A host with plenty of memory on which `aKill` has just happened. */
export function aStatusView(changes: Partial<StatusView> = {}): StatusView {
  return {
    atMs: nowMs,
    memory: aMemory(),
    cgroups: [],
    victims: [],
    bypass: undefined,
    unkillable: undefined,
    kills: [aKill()],
    unaccountedKills: 0,
    sources: [{ name: "file", path: "/var/log/kern.log", up: true, reason: undefined }],
    otherKillers: [],
    troubles: [],
    ...changes,
  };
}
