/** Whether a state directory can be used or made at a path, without touching anything there. */
import { accessSync, constants, existsSync, lstatSync, statfsSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** File systems of the kernel in which no file can be made, by `f_type` of statfs(2), linux/magic.h. */
const kernelFileSystems = new Map<number, string>([
  [0x9fa0, "procfs"],
  [0x62656572, "sysfs"],
  [0x27e0eb, "cgroupfs"],
  [0x63677270, "cgroupfs"],
  [0x64626720, "debugfs"],
  [0x74726163, "tracefs"],
  [0x73636673, "securityfs"],
  [0x62656570, "configfs"],
  [0xcafe4a11, "bpffs"],
  [0x1cd1, "devpts"],
  [0x6165676c, "pstore"],
  [0xde5e81e4, "efivarfs"],
  [0x42494e4d, "binfmt_misc"],
  [0xf97cff8c, "selinuxfs"],
]);
/** NAME_MAX and PATH_MAX, linux/limits.h; the latter includes the terminating zero. */
const longestName = 255;
const longestPath = 4095;

export interface StatePlace {
  /** The path itself, or the nearest directory above it that exists. */
  directory: string;
  /** Why no state can be kept at the path. */
  obstacle?: string;
}

/** @param user the name of the user that the exporter runs as */
export function statePlaceAt(path: string, user: string): StatePlace {
  let directory = path;
  while (!existsSync(directory) && directory !== dirname(directory)) {
    if (isLink(directory)) return { directory, obstacle: `${directory} is a link to nothing` };
    directory = dirname(directory);
  }
  return { directory, obstacle: nameObstacle(path, directory) ?? writeObstacle(directory, user) };
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}

function nameObstacle(path: string, directory: string): string | undefined {
  const isTooLong =
    // With the names of the files in it.
    Buffer.byteLength(join(path, "state.json.new")) > longestPath ||
    relative(directory, path)
      .split("/")
      .some((name) => Buffer.byteLength(name) > longestName);
  return isTooLong ? "the name is too long for a file system" : undefined;
}

function writeObstacle(directory: string, user: string): string | undefined {
  if (!statSync(directory).isDirectory()) return `${directory} is not a directory`;
  const fileSystem = kernelFileSystems.get(statfsSync(directory).type);
  if (fileSystem !== undefined) return `no file can be made in ${fileSystem}`;
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    const isReadOnly = (error as NodeJS.ErrnoException).code === "EROFS";
    return isReadOnly ? "on a read-only file system" : `not writable for ${user}`;
  }
}
