/*
 * Parsers for what the kubelet and the container runtimes write about a container; owner-names.ts reads the files. Any of
 * them may be incomplete, of another version or written by an attacker, so nothing here throws, and only valid names become
 * names.
 *
 *   /var/log/containers/<pod>_<namespace>_<container>-<64 hex>.log
 *   /var/log/pods/<namespace>_<pod>_<uid>/
 *   config.v2.json of Docker, since 1.10
 *     {"Name":"/web","Config":{"Labels":{"io.kubernetes.pod.name":"web-0"}}}
 *   config.json of containerd and CRI-O, an OCI runtime configuration
 *     {"annotations":{"io.kubernetes.cri.sandbox-name":"web-0"}}
 *   containers.json of containers/storage (Podman, CRI-O)
 *     [{"id":"<64 hex>","names":["web"]}]
 *   daemon.json of Docker
 *     {"data-root":"/data/docker"}
 */
import type { Owner } from "../kills/owner.ts";

/** What a file may add to the information in the path. */
export type Names = Partial<
  Pick<Owner, "container" | "pod" | "namespace" | "podUid" | "runtime" | "platform" | "task">
>;

/** Parses the name of the kubelet's link to a container's log. */
export function containerLogNames(name: string): { containerId: string; names: Names } | undefined {
  const match = /^([^_]+)_([^_]+)_(.+)-([0-9a-f]{64})\.log$/.exec(name);
  if (!match) return undefined;
  const [, pod, namespace, container, containerId] = match;
  const names = {
    pod: nameIn(pod),
    namespace: nameIn(namespace),
    container: nameIn(container),
  };
  return { containerId: containerId as string, names };
}

/** Parses the name of the kubelet's log directory for a pod. */
export function podLogNames(name: string): { podUid: string; names: Names } | undefined {
  const match = /^([^_]+)_([^_]+)_([0-9a-f-]{32,36})$/.exec(name);
  if (!match) return undefined;
  const [, namespace, pod, podUid] = match;
  return { podUid: podUid as string, names: { namespace: nameIn(namespace), pod: nameIn(pod) } };
}

/** `containers.json` of containers/storage, by container id. */
export function storageNames(containers: unknown): Map<string, Names> {
  const byId = new Map<string, Names>();
  for (const container of Array.isArray(containers) ? containers : []) {
    const id = field(container, "id");
    const names = field(container, "names");
    if (typeof id !== "string" || !Array.isArray(names)) continue;
    const found = kubernetesNames(names[0]);
    byId.set(
      id,
      found ? { ...found, runtime: "cri-o" } : { container: nameIn(names[0]), runtime: "podman" },
    );
  }
  return byId;
}

/** Docker's data directory according to `daemon.json`; `undefined` if that does not say. */
export function dockerDataRoot(daemon: unknown): string | undefined {
  const configured = field(daemon, "data-root");
  return typeof configured === "string" && configured.startsWith("/") ? configured : undefined;
}

/** Home of a user according to the text of /etc/passwd. */
export function homeInPasswd(passwd: string, uid: string): string | undefined {
  for (const line of passwd.split("\n")) {
    const fields = line.split(":");
    if (fields[2] === uid && fields[5]?.startsWith("/")) return fields[5];
  }
  return undefined;
}

/**
 * Docker's config.v2.json: `{"Name":"/web","Config":{"Labels":{...}}}`. Under Kubernetes the labels have the pod, and Name
 * is `/k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`.
 */
export function dockerNames(config: unknown): Names | undefined {
  const name = field(config, "Name");
  if (typeof name !== "string") return undefined;
  const labels = field(field(config, "Config"), "Labels");
  const found =
    kubernetesNames(name.slice(1)) ??
    podNames(labels, {
      container: "io.kubernetes.container.name",
      pod: "io.kubernetes.pod.name",
      namespace: "io.kubernetes.pod.namespace",
      podUid: "io.kubernetes.pod.uid",
    }) ??
    withName(nameIn(name.slice(1)));
  return found && { ...found, ...dockerTask(labels), runtime: "docker" };
}

/** The platform that started the container, and its name for it: Nomad, ECS, Swarm or Compose. */
function dockerTask(labels: unknown): Names {
  const label = (key: string): string | null => nameIn(field(labels, key));
  const allocation = label("com.hashicorp.nomad.alloc_id");
  if (allocation) return { platform: "nomad", task: allocation };
  const arn = field(labels, "com.amazonaws.ecs.task-arn");
  const ecsTask = typeof arn === "string" ? nameIn(arn.split("/").at(-1)) : null;
  if (ecsTask) return { platform: "ecs", task: ecsTask };
  const swarmService = label("com.docker.swarm.service.name");
  if (swarmService) return { task: swarmService };
  const project = label("com.docker.compose.project");
  const service = label("com.docker.compose.service");
  return project && service ? { task: `${project}/${service}` } : {};
}

/** containerd's copy of the OCI config: annotations of the CRI plugin, or of nerdctl. */
export function containerdNames(config: unknown): Names | undefined {
  const annotations = field(config, "annotations");
  const found =
    podNames(annotations, {
      container: "io.kubernetes.cri.container-name",
      pod: "io.kubernetes.cri.sandbox-name",
      namespace: "io.kubernetes.cri.sandbox-namespace",
      podUid: "io.kubernetes.cri.sandbox-uid",
    }) ?? withName(nameIn(field(annotations, "nerdctl/name")));
  return found && { ...found, runtime: "containerd" };
}

/** CRI-O's OCI config in the container's userdata. */
export function crioNames(config: unknown): Names | undefined {
  const found = podNames(field(config, "annotations"), {
    container: "io.kubernetes.container.name",
    pod: "io.kubernetes.pod.name",
    namespace: "io.kubernetes.pod.namespace",
    podUid: "io.kubernetes.pod.uid",
  });
  return found && { ...found, runtime: "cri-o" };
}

function podNames(
  from: unknown,
  keys: { container: string; pod: string; namespace: string; podUid: string },
): Names | undefined {
  const pod = nameIn(field(from, keys.pod));
  if (!pod) return undefined;
  const podUid = nameIn(field(from, keys.podUid));
  return {
    container: containerName(field(from, keys.container)),
    pod,
    namespace: nameIn(field(from, keys.namespace)),
    ...(podUid ? { podUid } : undefined),
  };
}

/** `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`; Kubernetes names cannot contain underscores. */
function kubernetesNames(name: unknown): Names | undefined {
  if (typeof name !== "string") return undefined;
  const match = /^k8s_([^_]+)_([^_]+)_([^_]+)_([0-9a-f-]{32,36})_[0-9]+$/.exec(name);
  if (!match) return undefined;
  return {
    container: containerName(match[1]),
    pod: nameIn(match[2]),
    namespace: nameIn(match[3]),
    podUid: match[4],
  };
}

function withName(container: string | null): Names | undefined {
  return container === null ? undefined : { container };
}

/** Docker and CRI-O call the sandbox "POD"; it is not a user's container. */
function containerName(value: unknown): string | null {
  return value === "POD" ? null : nameIn(value);
}

/** The runtimes and Kubernetes allow no other names. */
function nameIn(value: unknown): string | null {
  return typeof value === "string" && /^[A-Za-z0-9][A-Za-z0-9_.-]{0,252}$/.test(value)
    ? value
    : null;
}

function field(value: unknown, key: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Record<string, unknown>)[key];
}
