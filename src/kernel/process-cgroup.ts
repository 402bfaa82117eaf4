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
 * The path is relative to the root of the reader's cgroup namespace (since 4.6); a path outside it starts with
 * "/..", once per level up.
 * A cgroup removed while the task is still dying has " (deleted)" after its path.
 */

/**
 * The path in the hierarchy that accounts memory: the v1 `memory` line if there is one, else the v2 line.
 * `undefined` if there is neither.
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

/** Whether a path leaves the reader's cgroup namespace. */
export function isOutsideNamespace(path: string): boolean {
  return path === "/.." || path.startsWith("/../");
}

/**
 * Converts `path`, as the reader sees it, to the path from the hierarchy's root.
 * @param namespaceRoot the root of the reader's cgroup namespace, as a path from the hierarchy's root
 * @returns `undefined` if `path` leads above the hierarchy's root: the reader sees only a part
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
