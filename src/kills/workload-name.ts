import { type Owner, unitForPeople } from "./owner.ts";

/** The name of a cgroup's owner for people: container and pod, container, unit, or the path itself. */
export function workloadName(owner: Owner, cgroup: string | null): string | undefined {
  if (owner.pod !== null) {
    const pod = owner.namespace === null ? owner.pod : `${owner.namespace}/${owner.pod}`;
    return owner.container === null ? pod : `${owner.container} in ${pod}`;
  }
  return owner.container ?? unitForPeople(owner, cgroup) ?? cgroup ?? undefined;
}
