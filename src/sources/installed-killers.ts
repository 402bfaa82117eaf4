/**
 * Which programs that kill for memory are on this host: by their executables, and by the cgroups of their
 * units, which are there while they run.
 *
 * Paths: <rootfs>/usr/bin/earlyoom and the like; <sysfs>/fs/cgroup/[systemd/]*.slice/<unit>.
 */
import { statSync } from "node:fs";
import type { HostFiles } from "./host-files.ts";

/** How a killer shows that it is here. */
export interface KillerPlaces<Name extends string> {
  name: Name;
  /** Below the root file system. */
  executables: readonly string[];
  units: readonly string[];
}

const slices = ["system.slice", "hostcritical.slice"];
const hierarchies = ["fs/cgroup", "fs/cgroup/systemd", "fs/cgroup/unified"];

/** Those that are installed or run, in the order given. */
export function installedKillers<Name extends string>(
  files: HostFiles,
  places: readonly KillerPlaces<Name>[],
): Name[] {
  return places.filter((place) => isHere(files, place)).map(({ name }) => name);
}

function isHere(files: HostFiles, { executables, units }: KillerPlaces<string>): boolean {
  return (
    executables.some((path) => exists(files.rootfs(path))) ||
    units.some((unit) => isRunning(files, unit))
  );
}

/** Whether a unit has a cgroup. */
export function isRunning(files: HostFiles, unit: string): boolean {
  return cgroupsOfUnit(files, unit).some(({ directory }) => exists(directory));
}

/** The cgroups that a unit of the system may have, by path, and their directories in each hierarchy. */
export function cgroupsOfUnit(
  files: HostFiles,
  unit: string,
): { path: string; directory: string }[] {
  return hierarchies.flatMap((hierarchy) =>
    slices.map((slice) => ({
      path: `/${slice}/${unit}`,
      directory: files.sysfs(hierarchy, slice, unit),
    })),
  );
}

/** What cannot be seen is not there for this exporter. */
function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}
