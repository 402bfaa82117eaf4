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
 * The path is relative to the root of the reader's cgroup namespace (since 4.6); what lies outside
 * begins with "/..", one for each level up.
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

/** True where a path leaves the reader's cgroup namespace. */
export function isOutsideNamespace(path: string): boolean {
  return path === "/.." || path.startsWith("/../");
}

/**
 * The path from the hierarchy's root of what a reader sees as `path`.
 * @param namespaceRoot the root of the reader's cgroup namespace, as a path from the hierarchy's root
 * @returns `undefined` where `path` leads above the hierarchy's root: the reader sees only a part
 */
export function fromHierarchyRoot(namespaceRoot: string, path: string): string | undefined {
  const names = namesOf(namespaceRoot);
  for (const name of namesOf(path)) {
    if (name !== "..") names.push(name);
    else if (names.pop() === undefined) return undefined;
  }
  return `/${names.join("/")}`;
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "");
}
