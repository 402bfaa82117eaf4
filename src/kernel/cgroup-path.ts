/** Paths of cgroups, from the hierarchy's root: `/`, `/system.slice/nginx.service`. */

/** True for `path` itself and all below it; a cgroup that is not known is in none. */
export function isWithin(cgroup: string | undefined, path: string): boolean {
  if (cgroup === undefined) return false;
  return path === "/" || cgroup === path || cgroup.startsWith(`${path}/`);
}

/** The paths above a path, the nearest first. */
export function ancestorsOf(path: string): string[] {
  const ancestors: string[] = [];
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    ancestors.push(path.slice(0, end));
  }
  return path === "/" ? ancestors : [...ancestors, "/"];
}
