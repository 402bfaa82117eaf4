import type { Kill } from "../../src/kills/kill.ts";
import { incidentOf, type KillSighting } from "../../src/kills/kill-deduplicator.ts";
import type { KillEntry } from "../../src/kills/kill-ledger.ts";
import { unknownOwner } from "../../src/kills/owner.ts";

export const bootA = "a".repeat(32);
export const bootB = "b".repeat(32);

/** A line as kmsg delivers it; its text distinguishes kills as the kernel's sizes do. */
export function sighting(more: Partial<KillSighting> = {}): KillSighting {
  const { pid = 42, comm = "hog" } = more;
  const printkMicros = more.printkMicros ?? 1_000_000;
  return {
    boot: bootA,
    pid,
    comm,
    printkMicros,
    timeMs: 1_700_000_000_000 + printkMicros / 1000,
    text: `Memory cgroup out of memory: Killed process ${pid} (${comm}) total-vm:${printkMicros}kB`,
    repeatsVictim: false,
    inGroup: false,
    reread: false,
    ...more,
  };
}

export function killOf(of: KillSighting, more: Partial<Kill> = {}): Kill {
  return {
    incident: incidentOf(of),
    killer: "kernel",
    linkedIncident: null,
    time: of.timeMs === undefined ? null : new Date(of.timeMs).toISOString(),
    uptimeSeconds: null,
    pid: of.pid,
    comm: of.comm,
    program: null,
    uid: 1000,
    ageSeconds: null,
    constraint: "memcg",
    limitCgroup: "/limited",
    cgroup: "/limited/victim.service",
    owner: { ...unknownOwner, unit: "victim.service" },
    trigger: null,
    memory: {
      totalVmBytes: null,
      anonRssBytes: null,
      fileRssBytes: null,
      shmemRssBytes: null,
      pageTablesBytes: null,
    },
    oomScoreAdj: 0,
    limitBytes: null,
    usageBytes: null,
    swapFreeBytes: null,
    cause: "cgroup_limit",
    causeBasis: "read",
    summary: "",
    advice: [],
    tasks: [],
    group: null,
    suppressed: false,
    before: null,
    outcome: null,
    restartSeconds: null,
    loop: null,
    source: { name: "kern.log", line: null },
    ...more,
  };
}

export function entry(of: Partial<KillSighting> = {}, kill: Partial<Kill> = {}): KillEntry {
  const seen = sighting(of);
  return { sighting: seen, kill: killOf(seen, kill), history: false };
}
