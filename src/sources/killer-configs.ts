/**
 * The configuration of programs that kill for memory, as far as it decides when they act.
 *
 * Paths, below the root file system: /etc/default/earlyoom, /etc/nohang/nohang.conf,
 * systemd/oomd.conf and oomd.conf.d of /etc, /run, /usr/local/lib and /usr/lib, /var/lib/kubelet/config.yaml.
 * earlyoom's own command line is read while it runs, from /proc/PID/cmdline.
 */
import { join } from "node:path";
import type { HostFiles } from "./host-files.ts";
import { cgroupsOfUnit } from "./installed-killers.ts";
import { dropInsIn } from "./unit-files.ts";

/** Whether a file of a process that takes its mmap lock may be read now; a command that reads once may wait for it. */
export type MayTakeLock = (process: { pid: number; cgroup: string }) => boolean;

/** The arguments of the first process of a unit, without its name; `undefined` where none is seen or may be read. */
export function argumentsOf(
  files: HostFiles,
  unit: string,
  mayTakeLockOf: MayTakeLock = () => true,
): string[] | undefined {
  for (const { path: cgroup, directory } of cgroupsOfUnit(files, unit)) {
    const pid = files.textIfReadable(join(directory, "cgroup.procs"))?.split("\n")[0];
    if (pid === undefined || pid === "") continue;
    if (!mayTakeLockOf({ pid: Number(pid), cgroup })) return undefined;
    const line = files.textIfReadable(files.procfs(pid, "cmdline"));
    if (line)
      return line
        .split("\0")
        .slice(1)
        .filter((word) => word !== "");
  }
  return undefined;
}

/** The words of a variable in a shell-like file: `EARLYOOM_ARGS="-m 5 --avoid '^(init)$'"`. */
export function wordsOfVariable(text: string, name: string): string[] {
  const value = new RegExp(`^${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|'([^']*)'|(.*))$`, "m").exec(text);
  const line = value?.[1] ?? value?.[2] ?? value?.[3] ?? "";
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare = ""]) => single ?? double ?? bare,
  );
}

/** oomd.conf and its drop-ins, in the order in which they count. Only the last oomd.conf is read, but all drop-ins. */
export function oomdConfigs(files: HostFiles): string[] {
  const textOf = (path: string): string | undefined => files.textIfReadable(files.rootfs(path));
  const directories = ["usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd"];
  const mains = directories.flatMap((directory) => textOf(`${directory}/oomd.conf`) ?? []);
  const dropIns = dropInsIn(
    files,
    directories.map((directory) => `${directory}/oomd.conf.d`),
  );
  return [...mains.slice(-1), ...dropIns.flatMap((path) => textOf(path) ?? [])];
}
