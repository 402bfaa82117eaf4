import { HostFiles } from "./host-files.ts";

/** The procfs of this process's own pid namespace, wherever the host's is mounted. */
export function ownProcfs(): HostFiles {
  return new HostFiles({ procfs: "/proc", sysfs: "/sys", rootfs: "/" });
}

/** Soft RLIMIT_NOFILE, from /proc/self/limits; `undefined` if it cannot be read. */
export function maxDescriptors(ownProc: HostFiles): number | undefined {
  const limits = ownProc.textIfReadable(ownProc.procfs("self", "limits")) ?? "";
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
  if (soft === undefined) return undefined;
  return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}

const pageSizeEntry = 6;

/** Bytes in a page, AT_PAGESZ of /proc/self/auxv; 4,096 if it cannot be read. */
export function pageBytesOf(ownProc: HostFiles): number {
  try {
    const length = ownProc.read(ownProc.procfs("self", "auxv"));
    const words = new BigUint64Array(new Uint8Array(ownProc.bytes.subarray(0, length)).buffer);
    for (let i = 0; i + 1 < words.length; i += 2) {
      if (words[i] === BigInt(pageSizeEntry)) return Number(words[i + 1]);
    }
  } catch {
    // A hardened /proc hides it; all machines except a few arm64 and ppc64 ones use 4 KiB.
  }
  return 4096;
}
