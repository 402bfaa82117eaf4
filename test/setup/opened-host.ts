import { Host, type HostOptions } from "../../src/sources/host.ts";
import type { HostRoots } from "../../src/sources/host-files.ts";
import { Snapshot, type SnapshotReaders, type SnapshotSteps } from "../../src/sources/snapshot.ts";

/** A host opened like the exporter does; time stands still unless a clock is passed. */
export function openHost(roots: HostRoots, options: Partial<HostOptions> = {}): Host {
  return new Host({ roots, monotonicMs: () => 0, pageBytes: 4096, ...options });
}

/** A snapshot with parts supplied by the test; reading any other part fails. */
export function snapshotOf(parts: Partial<SnapshotReaders> = {}, steps?: SnapshotSteps): Snapshot {
  const unread = (part: string) => () => {
    throw new Error(`${part}: the test has none`);
  };
  const readers = {
    meminfo: unread("meminfo"),
    cgroups: unread("cgroups"),
    processes: unread("processes"),
    ...parts,
  };
  return new Snapshot(readers, steps);
}
