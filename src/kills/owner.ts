/*
 * The owner of a cgroup, from the path alone, as the kernel log and /proc/PID/cgroup print it.
 *
 * The kernel knows no containers, pods or units: the path is the only trace that systemd and the container runtimes
 * leave. Each has its own conventions, and they nest: a unit in an LXC container, a pod in a "node" that is itself a
 * Docker container.
 *
 *   /system.slice/nginx.service
 *   /system.slice/docker-<64 hex>.scope
 *   /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid with _>.slice/cri-containerd-<64 hex>.scope
 *   /docker/<64 hex>/kubelet/kubepods/besteffort/pod<uid>/<64 hex>
 */

/** The platform that runs the workload and sets its limits. If nested, the orchestrator: a pod's container is Kubernetes'. */
export type Platform =
  | "systemd"
  | "systemd_user"
  | "docker"
  | "podman"
  | "containerd"
  | "crio"
  | "kubernetes"
  | "nomad"
  | "ecs"
  | "slurm"
  | "lxc"
  | "nspawn"
  | "talos"
  | "other";

/** The owner of a cgroup. `null` = unknown; never an empty string. */
export interface Owner {
  unit: string | null;
  container: string | null;
  containerId: string | null;
  runtime: string | null;
  pod: string | null;
  podUid: string | null;
  namespace: string | null;
  platform: Platform | null;
  /**
   * The orchestrator's name for the workload: the Nomad allocation, ECS task, Slurm job, YARN container or Swarm
   * service, or `project/service` for Compose.
   */
  task: string | null;
}

export interface OwnerLabels {
  cgroup: string;
  unit: string;
  container: string;
  pod: string;
  namespace: string;
}

export const unknownOwner: Owner = Object.freeze({
  unit: null,
  container: null,
  containerId: null,
  runtime: null,
  pod: null,
  podUid: null,
  namespace: null,
  platform: null,
  task: null,
});

/** The part of an owner that one path component reveals. */
type Container = Pick<Owner, "unit" | "runtime" | "container" | "containerId">;

const platformOfRuntime = new Map<string | null, Platform>([
  ["docker", "docker"],
  ["containerd", "containerd"],
  ["cri-o", "crio"],
  ["podman", "podman"],
  ["lxc", "lxc"],
  ["nspawn", "nspawn"],
  ["slurm", "slurm"],
]);

/** The runtime that creates `<prefix>-<64 hex>.scope`. nerdctl is containerd's command line. */
const runtimeOfPrefix = new Map([
  ["docker", "docker"],
  ["cri-containerd", "containerd"],
  ["nerdctl", "containerd"],
  ["crio", "cri-o"],
  ["libpod", "podman"],
  ["libpod-payload", "podman"],
  ["kata", "kata"],
]);

/** The runtime that creates `<64 hex>` below a directory of that name. */
const runtimeOfParent = new Map([
  ["docker", "docker"],
  // Builders of docker buildx, below /docker/buildx.
  ["buildx", "docker"],
  ["k8s.io", "containerd"],
  ["moby", "docker"],
  ["default", "containerd"],
  ["kata_overhead", "kata"],
]);

/**
 * The owner of a cgroup according to its path: `runtime`, `containerId`, `podUid`, `unit`, and `container` if the path
 * has a name (LXC, nspawn, Slurm, Garden). Names from elsewhere (`pod`, `namespace`, the name of a Docker container)
 * come from `sources/owner-names.ts`.
 *
 * Invariants, whatever the path contains: never throws; a field is `null` or a non-empty string; and
 * - the innermost container, pod and unit win, but anything nested in a pod's container belongs to that container, by
 *   which Kubernetes knows it;
 * - `unit` is the nearest unit that has its own processes (`.service`, `.scope`, `.mount`, `.socket`, `.swap`; slices do
 *   not count), with systemd's escapes decoded. It is null for a container's own scope: that name changes with each
 *   restart, the container's does not. It is set inside a container (`nginx.service` in an LXC container), and around
 *   one only if the container is the service's payload (Podman under systemd);
 * - a container's monitor (`crio-conmon-`, `libpod-conmon-`, `lxc.monitor`) is not the container.
 *
 * @param path as in `task_memcg=` or the last field of a /proc/PID/cgroup line; a trailing ` (deleted)` is ignored.
 */
export function ownerOfCgroup(path: string | null | undefined): Owner {
  if (!path) return unknownOwner;
  const names = path.replace(/ \(deleted\)$/, "").split("/");
  const owner: Owner = { ...unknownOwner };
  let inUserManager = false;
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const parent = names[i - 1] ?? "";
    const grandparent = names[i - 2] ?? "";
    const podUid = podUidIn(name);
    if (podUid) Object.assign(owner, unknownOwner, { podUid, platform: "kubernetes" });

    const container = containerIn(name, parent, grandparent);
    if (container) {
      if (owner.podUid && owner.containerId) continue;
      // Podman's split cgroups: this container is the payload of the service around it.
      const payload = name.startsWith("libpod-payload-") && parent.endsWith(".service");
      Object.assign(owner, container, payload ? { unit: owner.unit } : undefined);
      if (!isOrchestrated(owner)) owner.platform = platformOfContainer(container);
      owner.task = orchestratedTask(name, parent, grandparent) ?? owner.task;
      continue;
    }
    const scheduler = schedulerIn(name, parent, grandparent);
    if (scheduler && owner.podUid === null) Object.assign(owner, scheduler);
    if (unitName.test(name)) {
      // A user manager's own processes: "init.scope" alone would suggest the machine's init.
      if (name === "init.scope" && parent.startsWith("user@")) continue;
      if (!name.includes("conmon-")) owner.unit = unitOf(name);
    }
    if (unitName.test(name) || name.endsWith(".slice")) {
      const own = inUserManager ? "systemd_user" : "systemd";
      if (owner.platform === null || owner.platform === "systemd") owner.platform = own;
    }
    inUserManager ||= /^user@[0-9]+\.service$/.test(name);
  }
  return owner;
}

/** The platforms that start containers through another runtime: those containers keep the platform. */
function isOrchestrated({ platform }: Owner): boolean {
  return platform === "kubernetes" || platform === "nomad" || platform === "ecs";
}

function platformOfContainer({ runtime, containerId }: Container): Platform | null {
  const isFargate = containerId !== null && fargateName.test(containerId);
  return platformOfRuntime.get(runtime) ?? (isFargate ? "ecs" : "other");
}

const allocation = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.(.+?))?(?:\.scope)?$/;
const talosServices = new Set(["apid", "dashboard", "runtime", "trustd", "udevd"]);

/**
 * The owner fields that a scheduler's own cgroup reveals.
 *
 *   /nomad.slice/share.slice/<allocation>.<task>.scope   Nomad >= 1.7; 1.3 without share.slice
 *   /nomad/<uuid>                                        Nomad < 1.3, cgroup v1: an id of the executor
 *   /ecs/<task>/<container id>, /ecstasks.slice/ecstasks-<task>.slice/docker-<id>.scope
 *   /slurm/uid_1000/job_123/step_0/task_0
 *   /hadoop-yarn/container_1410901177871_0001_01_000005
 *   /mesos/<id>
 *   /podruntime/kubelet, /system/apid                    Talos
 */
function schedulerIn(
  name: string,
  parent: string,
  grandparent: string,
): Pick<Owner, "platform" | "task"> | undefined {
  if (/^(?:kubelet-)?kubepods(?:\.slice)?$/.test(name))
    return { platform: "kubernetes", task: null };
  if (name === "nomad" || name === "nomad.slice") return { platform: "nomad", task: null };
  if (parent === "nomad" || [parent, grandparent].includes("nomad.slice")) {
    const id = allocation.exec(name)?.[1];
    if (id !== undefined) return { platform: "nomad", task: id };
  }
  if (name === "ecs" || name === "ecstasks.slice") return { platform: "ecs", task: null };
  const ecsTask = parent === "ecs" ? name : /^ecstasks-([0-9a-f]{32})\.slice$/.exec(name)?.[1];
  if (ecsTask) return { platform: "ecs", task: ecsTask };
  if (yarnContainer.test(name)) return { platform: "other", task: name };
  if (parent === "mesos" && name !== "") return { platform: "other", task: name };
  const isTalos =
    grandparent === "" &&
    (parent === "podruntime" || (parent === "system" && talosServices.has(name)));
  return isTalos ? { platform: "talos", task: null } : undefined;
}

const yarnContainer = /^container_(?:e[0-9]+_)?[0-9]+_[0-9]+_[0-9]+_[0-9]+$/;

/** The task of a container, named by its path component or the one above. */
function orchestratedTask(name: string, parent: string, grandparent: string): string | undefined {
  if (slurmJob.test(name)) return name.slice("job_".length);
  return grandparent === "ecs" && parent !== "" ? parent : undefined;
}

/** Whether a unit, a container or a pod is known, even if only by id. */
export function hasOwner(owner: Owner): boolean {
  return (owner.unit ?? owner.container ?? owner.containerId ?? owner.podUid) !== null;
}

/**
 * A unit's name for people: a unit of a user's service manager is not the system unit of that name, and `systemctl`
 * without `--user` does not know it.
 */
export function unitForPeople(owner: Owner, cgroup: string | null | undefined): string | null {
  const uid = /\/user@([0-9]+)\.service\//.exec(cgroup ?? "")?.[1];
  const isOfUser = owner.platform === "systemd_user" && uid !== undefined;
  return owner.unit !== null && isOfUser ? `${owner.unit} of user ${uid}` : owner.unit;
}

/** The owner labels that every metric shares; empty when unknown. `container` is a name, never an id. */
export function ownerLabels(cgroup: string | null | undefined, owner: Owner): OwnerLabels {
  return {
    cgroup: cgroup ?? "",
    unit: owner.unit ?? "",
    container: owner.container ?? "",
    pod: owner.pod ?? "",
    namespace: owner.namespace ?? "",
  };
}

const podDirectory = /^pod([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})$/;
// The second form is runc's "slice:prefix:id" notation, which its cgroupfs driver uses as a name.
const podSlice =
  /(?:^|-)pod([0-9a-f]{8}(?:_[0-9a-f]{4}){3}_[0-9a-f]{12}|[0-9a-f]{32})\.slice(?:$|:)/;

function podUidIn(name: string): string | undefined {
  if (!name.includes("pod")) return undefined;
  const uid = (podDirectory.exec(name) ?? podSlice.exec(name))?.[1];
  return uid?.replaceAll("_", "-");
}

const hexName = /^(?:([a-z][a-z-]*)[-_])?([0-9a-f]{64})(?:\.scope)?$/;
const colonName = /^[^:]*:([a-z][a-z-]*):([0-9a-f]{64})$/;
const fargateName = /^([0-9a-f]{32})-[0-9]+$/;
const slurmJob = /^job_[0-9]+$/;
/** Garden groups its containers by how much processor time they use. */
const gardenPool = /^(?:good|bad)$/;

function containerIn(name: string, parent: string, grandparent: string): Container | undefined {
  const hex = hexName.exec(name) ?? colonName.exec(name);
  if (hex) {
    const prefix = hex[1];
    if (prefix?.endsWith("conmon")) return undefined;
    const runtime =
      prefix !== undefined
        ? runtimeOfPrefix.get(prefix)
        : (runtimeOfParent.get(parent) ?? (grandparent === "ecs" ? "docker" : undefined));
    return identified(runtime ?? null, hex[2] as string);
  }
  if (name.startsWith("lxc.payload.")) return named("lxc", name.slice(12));
  if (parent === "lxc.payload" || parent === "lxc") return named("lxc", name);
  if (name.startsWith("machine-") && name.endsWith(".scope")) {
    const machine = unescapeUnit(name.slice(8, -6));
    if (machine.startsWith("qemu-")) return virtualMachine(name);
    // libvirt puts a counter in front of its containers' names.
    return named(
      machine.startsWith("lxc-") ? "lxc" : "nspawn",
      machine.replace(/^lxc-[0-9]+-/, ""),
    );
  }
  if (parent === "qemu.slice" && name.endsWith(".scope")) return virtualMachine(name);
  if (name.startsWith("systemd-nspawn@") && name.endsWith(".service")) {
    const machine = named("nspawn", unescapeUnit(name.slice(15, -8)));
    return machine && { ...machine, unit: unitOf(name) };
  }
  if (parent === "garden" || (grandparent === "garden" && gardenPool.test(parent))) {
    const container = gardenPool.test(name) ? undefined : named("garden", name);
    return container && { ...container, containerId: name };
  }
  if (slurmJob.test(name) && (parent.startsWith("uid_") || parent.endsWith("slurmstepd.scope"))) {
    return named("slurm", name);
  }
  if (fargateName.exec(name)?.[1] === parent) return identified(null, name);
  return undefined;
}

function identified(runtime: string | null, containerId: string): Container {
  return { unit: null, runtime, container: null, containerId };
}

function named(runtime: string, container: string): Container | undefined {
  return container === "" ? undefined : { unit: null, runtime, container, containerId: null };
}

/** Not a container: its scope is its only name here. */
function virtualMachine(scope: string): Container {
  return { unit: unitOf(scope), runtime: "qemu", container: null, containerId: null };
}

const unitName = /^.+\.(?:service|scope|mount|socket|swap)$/s;

/** systemd prefixes "_" to a name that looks like a cgroup file ("_memory.service"). */
function unitOf(name: string): string {
  return unescapeUnit(name.startsWith("_") ? name.slice(1) : name);
}

/**
 * Decodes systemd's `\x2d`: `postgresql@15\x2dmain.service` is `...@15-main.service`. Control characters and bytes that
 * are not UTF-8 stay escaped, because they would break a label.
 */
function unescapeUnit(name: string): string {
  if (!name.includes("\\x")) return name;
  return name.replace(/(?:\\x[0-9a-f]{2})+/g, (escapes) => {
    const bytes = Buffer.from(escapes.replaceAll("\\x", ""), "hex");
    const text = bytes.toString("utf8");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    return /[\x00-\x1f\x7f\ufffd]/.test(text) ? escapes : text;
  });
}
