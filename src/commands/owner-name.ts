import { type Owner, unitForPeople } from "../kills/owner.ts";

/** The unit, container or pod by its shortest clear name; else the cgroup. */
export function ownerName({
  owner,
  cgroup,
}: {
  owner: Owner;
  cgroup: string | null;
}): string | undefined {
  const { namespace, pod, container, containerId } = owner;
  const inner = container ?? containerId?.slice(0, 12);
  if (pod !== null) return [namespace, pod, inner].filter((name) => name != null).join("/");
  return inner ?? unitForPeople(owner, cgroup) ?? cgroup ?? undefined;
}
