import { type Meminfo, parseMeminfo } from "../kernel/meminfo.ts";
import { FileUnavailable, type HostFiles } from "./host-files.ts";

/**
 * The host's /proc/meminfo, parsed.
 * @throws {FileUnavailable} if it cannot be read, or lacks fields that every kernel writes
 */
export function readMeminfo(files: HostFiles): Meminfo {
  const path = files.procfs("meminfo");
  const text = files.text(path);
  try {
    return parseMeminfo(text);
  } catch (error) {
    throw new FileUnavailable(path, error);
  }
}

/** As `readMeminfo`; `undefined` where that throws. */
export function meminfoIfReadable(files: HostFiles): Meminfo | undefined {
  try {
    return readMeminfo(files);
  } catch (error) {
    if (error instanceof FileUnavailable) return undefined;
    throw error;
  }
}
