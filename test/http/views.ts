import type { StatusView } from "../../src/http/status-page.ts";
import type { Kill, Owner } from "../../src/model/kill.ts";

/** Time at which `aStatusView` was taken, three minutes after `aKill`. */
export const nowMs = Date.parse("2026-11-21T03:47:10Z");

export const nobody: Owner = {
  unit: null,
  container: null,
  containerId: null,
  runtime: null,
  pod: null,
  podUid: null,
  namespace: null,
};

const MiB = 2 ** 20;
const GiB = 2 ** 30;

export function aKill(changes: Partial<Kill> = {}): Kill {
  return {
    incident: "7f3a91c2-88231457812-4242",
    time: "2026-11-21T03:43:58.000Z",
    uptimeSeconds: 88231.457812,
    pid: 4242,
    comm: "java",
    uid: 1000,
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
    summary: "checkout.service used all of its 1 GiB.",
    advice: ["Raise MemoryMax=, see https://example.org/runbooks/OomKill."],
    tasks: [
      { pid: 4242, comm: "java", rssBytes: 998 * MiB, swapBytes: 0, oomScoreAdj: 0, cgroup: null },
      { pid: 77, comm: "agent", rssBytes: 2 * MiB, swapBytes: 0, oomScoreAdj: -1000, cgroup: null },
    ],
    group: null,
    suppressed: false,
    source: { name: "/var/log/kern.log", line: 18823 },
    ...changes,
  };
}

/** A host with plenty of memory on which `aKill` has just happened. */
export function aStatusView(changes: Partial<StatusView> = {}): StatusView {
  return {
    atMs: nowMs,
    memory: {
      totalBytes: 16 * GiB,
      availableBytes: 10 * GiB,
      freeBytes: 4 * GiB,
      used: [
        { kind: "anon", bytes: 5 * GiB },
        { kind: "page_cache", bytes: 7 * GiB },
      ],
      swapTotalBytes: 4 * GiB,
      swapFreeBytes: 3 * GiB,
    },
    cgroups: [],
    victims: [],
    unkillable: undefined,
    kills: [aKill()],
    unaccountedKills: 0,
    sources: [{ name: "file", path: "/var/log/kern.log", up: true, reason: undefined }],
    troubles: [],
    ...changes,
  };
}
