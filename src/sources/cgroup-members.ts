import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ProcessBirth, parseProcessBirth } from "../kernel/process-stat.ts";
import { directoriesIn, linksOf } from "./cgroup-directory.ts";
import type { CgroupHierarchy } from "./cgroup-tree.ts";
import { callPath, type FilePath, pathsBelow } from "./file-path.ts";
import { FileUnavailable, type HostFiles } from "./host-files.ts";

export interface Member extends ProcessBirth {
  pid: number;
}

export interface CgroupMembers {
  /** False where there is no such cgroup. */
  exists: boolean;
  /** Its processes and those of all cgroups below it, without those that have ended. */
  processes: Member[];
}

/** At most this many are read: a cgroup with more has many small processes, and a part of them is enough. */
const membersAtMost = 2000;

/**
 * The processes of one cgroup and of those below it, from the lists of the cgroups themselves.
 * `undefined` where some are out of the reader's sight: another pid namespace, another part of the hierarchy, a list
 * that cannot be read.
 */
export function membersOf(
  files: HostFiles,
  hierarchy: CgroupHierarchy,
  path: string,
): CgroupMembers | undefined {
  const directory = join(hierarchy.directory, path);
  const pids: number[] = [];
  let exists: boolean;
  try {
    exists = collectPids(files, directory, pids);
  } catch (error) {
    if (error instanceof FileUnavailable) return undefined;
    throw error;
  }
  // Without the root of the hierarchy a cgroup may be elsewhere.
  if (!exists && !seesRoot(hierarchy)) return undefined;
  if (pids.includes(0)) return undefined;
  const processes: Member[] = [];
  for (const pid of pids.slice(0, membersAtMost)) {
    const text = files.textIfReadable(files.procfs(`${pid}`, "stat"));
    const birth = text === undefined ? undefined : parseProcessBirth(text);
    if (birth !== undefined && !birth.hasEnded) processes.push({ pid, ...birth });
  }
  return { exists, processes };
}

/**
 * False where the directory is not there.
 * @throws {FileUnavailable}
 */
function collectPids(files: HostFiles, directory: FilePath, pids: number[]): boolean {
  let text: string;
  try {
    text = files.text(callPath(directory, "cgroup.procs"));
  } catch (error) {
    const isGone =
      error instanceof FileUnavailable &&
      (error.reason === "missing" || error.reason === "vanished");
    if (!isGone) throw error;
    return linksOf(directory) !== undefined;
  }
  for (const line of text.split("\n")) if (line !== "") pids.push(Number(line));
  const pathOf = pathsBelow(directory);
  for (const name of directoriesIn(directory)) collectPids(files, pathOf(name), pids);
  return true;
}

/** Files that only the root of the whole hierarchy lacks (v2), or has (v1). */
function seesRoot({ version, directory }: CgroupHierarchy): boolean {
  return version === "v2"
    ? !existsSync(join(directory, "cgroup.events"))
    : existsSync(join(directory, "release_agent"));
}
