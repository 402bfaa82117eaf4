/** Cgroup paths from the root of the hierarchy: `/`, `/system.slice/nginx.service`. */

/** Whether it is `path` itself or below it; false for an unknown cgroup. */
export function isWithin(cgroup: string | undefined, path: string): boolean {
  if (cgroup === undefined) return false;
  return path === "/" || cgroup === path || cgroup.startsWith(`${path}/`);
}

/** The ancestors of a path, nearest first. */
export function ancestorsOf(path: string): string[] {
  const ancestors: string[] = [];
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    ancestors.push(path.slice(0, end));
  }
  return path === "/" ? ancestors : [...ancestors, "/"];
}
