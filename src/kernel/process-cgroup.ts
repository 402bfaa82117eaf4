/*
 * /proc/PID/cgroup
 * https://docs.kernel.org/admin-guide/cgroup-v2.html#processes
 * Since 2.6.24; the v2 line ("0::") since 4.5.
 *
 *   file = { hierarchy ":" controllers ":" path "\n" }
 *
 *   4:memory:/system.slice/nginx.service
 *   0::/system.slice/nginx.service
 *
 * The path is relative to the reader's cgroup namespace; what lies outside it begins with "/..".
 * A cgroup that was removed while the task still dies has " (deleted)" behind its path.
 */

/**
 * The path in the hierarchy that accounts memory: the v1 `memory` line where there is one, else the
 * v2 line. `undefined` where neither stands there.
 */
export function memoryCgroupOf(text: string): string | undefined {
  let unified: string | undefined;
  for (const line of text.split("\n")) {
    const first = line.indexOf(":");
    const second = line.indexOf(":", first + 1);
    if (first < 0 || second < 0) continue;
    const controllers = line.slice(first + 1, second);
    const path = line.slice(second + 1).replace(/ \(deleted\)$/, "");
    if (controllers.split(",").includes("memory")) return path;
    if (line.startsWith("0::")) unified = path;
  }
  return unified;
}

/** True where a path leaves the reader's cgroup namespace: it names no cgroup that the reader can see. */
export function isOutsideNamespace(path: string): boolean {
  return path === "/.." || path.startsWith("/../");
}
