import { type DebianPrograms, debianPrograms } from "../../kit/debian-programs.ts";

/** What the kit runs on this machine. */
export function hostPrograms(): Promise<DebianPrograms> {
  return debianPrograms([
    "qemu-system-x86",
    "seabios",
    "mmdebstrap",
    "genext2fs",
    "busybox-static",
    "kmod",
    "xz-utils",
    "e2fsprogs",
  ]);
}
