/** A process that the harness started, and how it ended. */
export interface Victim {
  pid: number;
  /** As the kernel has it: 15 bytes at most, not always UTF-8. */
  comm: Buffer;
  /** From the hierarchy's root; absent if it was not put into one. */
  cgroup?: string;
}

export interface Truth {
  /** Those that SIGKILL ended, which nobody but the kernel sent, in the order of their ends. */
  dead: Victim[];
}

/**
 * Reads the truth file of the guest's programs: wait() has seen every end that stands in it. After a reboot a pid
 * may come again.
 *
 *     cgroup 159 2f7379732f66732f6367726f75702f7431
 *     start 159 76696374696d
 *     exit 159 code=-1 sig=9
 */
export function truthOf(text: string): Truth {
  const cgroups = new Map<number, string>();
  const comms = new Map<number, Buffer>();
  const dead: Victim[] = [];
  for (const line of text.split("\n")) {
    const [what, number, rest = ""] = line.split(" ");
    const pid = Number(number);
    if (what === "cgroup") cgroups.set(pid, cgroupPath(Buffer.from(rest, "hex").toString()));
    else if (what === "start") comms.set(pid, Buffer.from(rest, "hex"));
    else if (what === "exit") {
      const victim = { pid, comm: comms.get(pid) ?? Buffer.of(), cgroup: cgroups.get(pid) };
      if (line.endsWith(" sig=9")) dead.push(victim);
      comms.delete(pid);
      cgroups.delete(pid);
    }
  }
  return { dead };
}

function cgroupPath(directory: string): string {
  return directory.replace(/^\/sys\/fs\/cgroup(\/memory(?=\/))?/, "");
}
