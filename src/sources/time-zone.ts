import { readFileSync, readlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseTzif, type TimeZone, utcZone } from "../kernel-log/local-time.ts";

/**
 * The time zone of a host's logs: `<rootfs>/etc/localtime`, or UTC without that file. Links are resolved under `rootfs`,
 * because in a container an absolute one would lead into the container.
 */
export function hostTimeZone(rootfs: string): TimeZone {
  const path = join(rootfs, "etc/localtime");
  try {
    const link = linkTarget(path);
    const file = link === undefined ? path : join(rootfs, resolve("/etc", link));
    return parseTzif(readFileSync(file)) ?? utcZone;
  } catch {
    return utcZone;
  }
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
