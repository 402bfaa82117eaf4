import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { HostRoots } from "../../src/sources/host-files.ts";

/** The trees under test/fixtures/hosts; its README says what each is for. */
export const hostNames = [
  "v2-systemd",
  "v1-systemd",
  "hybrid",
  "kubernetes-node",
  "container-view",
  "no-psi-no-swap",
  "old-kernel",
] as const;

export type HostName = (typeof hostNames)[number];

const hosts = fileURLToPath(new URL("../fixtures/hosts/", import.meta.url));

/** Roots of a host tree, to be read only: every test sees the same files. */
export function fixtureHost(name: HostName): HostRoots {
  return rootsBelow(join(hosts, name));
}

/** A copy of a host tree that the test may change; `dispose` removes it. */
export async function copyOfHost(
  name: HostName,
): Promise<HostRoots & { dispose: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), `${name}-`));
  // The kubelet's log links are absolute and point at nothing here; they stay as they are.
  await cp(join(hosts, name), directory, { recursive: true, verbatimSymlinks: true });
  return {
    ...rootsBelow(directory),
    dispose: () => rm(directory, { recursive: true, force: true }),
  };
}

function rootsBelow(rootfs: string): HostRoots {
  return { rootfs, procfs: join(rootfs, "proc"), sysfs: join(rootfs, "sys") };
}
