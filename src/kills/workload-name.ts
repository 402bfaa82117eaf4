import { type Owner, unitForPeople } from "./owner.ts";

/** The same for all cgroups of a workload: what is restarted as one, whatever its cgroup is called then. */
export function workloadKey(owner: Owner, cgroup: string | null): string | undefined {
  const { podUid, pod, namespace, container } = owner;
  if (podUid !== null || pod !== null) {
    return ["pod", podUid ?? `${namespace}/${pod}`, container ?? ""].join("\n");
  }
  if (container !== null) return `container\n${container}`;
  const unit = unitForPeople(owner, cgroup);
  return unit === null ? (cgroup ?? undefined) : `unit\n${unit}`;
}

/** The name of a cgroup's owner for people: container and pod, container, unit, or the path itself. */
export function workloadName(owner: Owner, cgroup: string | null): string | undefined {
  if (owner.pod !== null) {
    const pod = owner.namespace === null ? owner.pod : `${owner.namespace}/${owner.pod}`;
    return owner.container === null ? pod : `${owner.container} in ${pod}`;
  }
  return owner.container ?? unitForPeople(owner, cgroup) ?? cgroup ?? undefined;
}
