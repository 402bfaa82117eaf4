/**
 * How to raise a memory limit on each platform: one row per platform, with the page of its documentation that
 * describes the setting. docs/platforms.md shows the same rows.
 *
 * The row depends only on the cgroup that carries the limit; its ancestors decide only where to run the command.
 */
import { bytes } from "../text/quantities.ts";
import { shellWord } from "../text/shell.ts";
import { type Owner, unknownOwner } from "./owner.ts";

/** One piece of advice. A command is one line that can be pasted into a shell as is. */
export interface Advice {
  text: string;
  command?: string;
}

/** The cgroup that reached its limit. */
export interface LimitPlace {
  cgroup: string;
  owner: Owner;
  limitBytes?: number;
  /** Swap allowed in addition to memory; absent if unlimited or unknown. */
  swapBytes?: number;
  isV1: boolean;
}

interface Row {
  name: string;
  /** The page of the platform's own documentation that describes the setting. */
  source: string;
  /** An example cgroup, for docs/platforms.md and its test. */
  example: string;
  /** Fields of the example's owner that come from the runtime's or orchestrator's files. */
  exampleNames?: Partial<Owner>;
  fits: (at: Site) => boolean;
  raise: (at: Site) => Advice[];
}

/** The parsed cgroup of a limit. */
interface Site extends LimitPlace {
  /** Components of the path, without those that a runtime creates below the limit. */
  names: readonly string[];
  leaf: string;
  parent: string;
  /** Uid of the user service manager that runs it; absent for the system's service manager. */
  managerUid?: string;
  /** Uid of the user slice that contains it. */
  sliceUid?: string;
  /** 1.5 times the limit, in MiB; `SIZE` if the limit is unknown. */
  mib: string;
  /** The system container that contains it; commands must run there. */
  machine?: { runtime: string; name: string };
}

const hex64 = "[0-9a-f]{64}";

/** Below the cgroup that carries the limit: LXC's `ns`, crun's `container`, a manager's `init.scope`. */
const innerNames = new Set(["ns", "container", "init", "payload", "supervisor", "init.scope"]);

function siteOf(place: LimitPlace): Site {
  const names = place.cgroup
    .replace(/ \(deleted\)$/, "")
    .split("/")
    .filter(Boolean);
  while (names.length > 1 && innerNames.has(names.at(-1) ?? "")) names.pop();
  const manager = names.findLastIndex((name) => /^user@[0-9]+\.service$/.test(name));
  const slice = names.findLast((name) => /^user-[0-9]+\.slice$/.test(name));
  const { limitBytes } = place;
  return {
    ...place,
    names,
    leaf: names.at(-1) ?? "",
    parent: names.at(-2) ?? "",
    managerUid:
      manager >= 0 && manager < names.length - 1 ? digitsIn(names[manager] ?? "") : undefined,
    sliceUid: slice === undefined ? undefined : digitsIn(slice),
    mib: limitBytes === undefined ? "SIZE" : String(Math.ceil((limitBytes * 1.5) / 1024 / 1024)),
    machine: machineAround(names),
  };
}

function digitsIn(text: string): string | undefined {
  return /[0-9]+/.exec(text)?.[0];
}

/** The innermost system container (LXC, nspawn) that contains a cgroup; not the cgroup itself. */
function machineAround(names: readonly string[]): Site["machine"] {
  for (let at = names.length - 2; at >= 0; at--) {
    const name = names[at] ?? "";
    const above = names[at - 1] ?? "";
    if (above === "lxc" || above === "lxc.payload") return { runtime: "lxc", name };
    if (name.startsWith("lxc.payload.")) return { runtime: "lxc", name: name.slice(12) };
    const nspawn =
      /^machine-(?!qemu|lxc)(.+)\.scope$/.exec(name) ?? /^systemd-nspawn@(.+)\.service$/.exec(name);
    if (nspawn !== null) {
      return { runtime: "nspawn", name: (nspawn[1] ?? "").replaceAll("\\x2d", "-") };
    }
  }
  return undefined;
}

function withUnit(mib: string, unit: string): string {
  return mib === "SIZE" ? "SIZE" : `${mib}${unit}`;
}

/** Advice for inside a system container. Proxmox numbers its containers from 100. */
function inMachine({ machine }: Site, advice: Advice): Advice {
  if (machine === undefined) return advice;
  const { command } = advice;
  const isProxmox = machine.runtime === "lxc" && isProxmoxId(machine.name);
  return {
    text: `Inside container ${machine.name}: ${advice.text}`,
    ...(command === undefined
      ? undefined
      : { command: isProxmox ? `pct exec ${machine.name} -- ${command}` : command }),
  };
}

function isProxmoxId(name: string): boolean {
  return /^[1-9][0-9]{2,8}$/.test(name);
}

/** systemd prefixes "_" to a name that looks like a cgroup file ("_memory.service"). */
function unitName({ leaf }: Site): string {
  return shellWord(leaf.startsWith("_") ? leaf.slice(1) : leaf);
}

function isUnit(name: string): boolean {
  return /\.(?:service|scope|slice|mount|socket|swap)$/.test(name);
}

/** Scopes and units named by `systemd-run`: they have no unit file that could keep a limit. */
function isTransient(leaf: string): boolean {
  return leaf.endsWith(".scope") || /^run-[pu0-9i-]+\.service$/.test(leaf);
}

const raiseText = "If the workload needs more, raise the limit:";

function containerOf({ owner }: Site): string {
  return shellWord(owner.container ?? owner.containerId?.slice(0, 12) ?? "NAME");
}

/** `--memory-swap` of Docker and Podman is memory plus swap. */
function memorySwap({ mib, swapBytes = 0 }: Site): string {
  return mib === "SIZE" ? "SIZE" : `${Number(mib) + Math.ceil(swapBytes / 1024 / 1024)}m`;
}

function updateCommand(tool: string, at: Site): string {
  return `${tool} update --memory ${withUnit(at.mib, "m")} --memory-swap ${memorySwap(at)} ${containerOf(at)}`;
}

/** Whether this is a container's own cgroup, with the systemd or the cgroupfs driver. */
function isContainer(at: Site, prefixes: string, parents: readonly string[]): boolean {
  return (
    new RegExp(`^(?:${prefixes})[-_]${hex64}(?:\\.scope)?$|:(?:${prefixes}):${hex64}$`).test(
      at.leaf,
    ) ||
    (new RegExp(`^${hex64}$`).test(at.leaf) && parents.includes(at.parent))
  );
}

/** For a rootless container: which user must run the command. */
function asUser({ sliceUid }: Site): string {
  return sliceUid === undefined ? "" : ` The container is rootless: run this as uid ${sliceUid}.`;
}

function isDocker(at: Site): boolean {
  return isContainer(at, "docker", ["docker", "moby"]);
}

const kubernetesLimits =
  "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/";

function findPod({ owner }: Site): Advice[] {
  if (owner.pod !== null || owner.podUid === null) return [];
  return [
    {
      text: "Find the pod by its uid:",
      command: `kubectl get pods -A -o custom-columns=NAMESPACE:.metadata.namespace,POD:.metadata.name,UID:.metadata.uid | grep ${owner.podUid}`,
    },
  ];
}

/** A static pod's uid is a hash of its manifest, without dashes. */
function isStaticPod({ owner }: Site): boolean {
  return owner.podUid !== null && !owner.podUid.includes("-");
}

function kubectl({ owner }: Site): string {
  return owner.namespace?.startsWith("openshift-") ? "oc" : "kubectl";
}

function setResources(at: Site): string {
  const { owner, mib } = at;
  const namespace = owner.namespace === null ? "NAMESPACE" : shellWord(owner.namespace);
  const isWholePod = owner.containerId === null;
  const container = owner.container === null ? "CONTAINER" : shellWord(owner.container);
  const size = isWholePod ? "SIZE" : withUnit(mib, "Mi");
  return `${kubectl(at)} -n ${namespace} set resources KIND/NAME -c ${container} --limits=memory=${size}`;
}

const controller = "KIND/NAME is the pod's deployment, statefulset or daemonset";

/** In the order in which they are tried. */
const rows: readonly Row[] = [
  {
    name: "Kubernetes static pod",
    source: "https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/",
    example: "/kubepods/burstable/pod8d4f6a0b1c2d3e4f5a6b7c8d9e0f1a2b",
    fits: (at) => isStaticPod(at) && at.owner.platform === "kubernetes",
    raise: ({ mib }) => [
      {
        text: `If the workload needs more, raise resources.limits.memory to ${withUnit(mib, "Mi")} in the static pod's manifest on this node (usually /etc/kubernetes/manifests/); the kubelet then restarts the pod.`,
      },
    ],
  },
  {
    name: "OpenShift's own namespaces",
    source:
      "https://docs.redhat.com/en/documentation/openshift_container_platform/4.16/html/architecture/control-plane",
    example: "/kubepods.slice/kubepods-pod1d9a4f2e_63c7_4b1a_9f0e_5f2f6f0c8a11.slice",
    exampleNames: { pod: "prometheus-k8s-0", namespace: "openshift-monitoring" },
    fits: ({ owner }) => owner.podUid !== null && (owner.namespace ?? "").startsWith("openshift-"),
    raise: ({ owner, mib }) => [
      {
        text: `An operator manages namespace ${owner.namespace} and reverts changes to its deployments: raise the memory to ${withUnit(mib, "Mi")} in the operator's own configuration, but first see what grows:`,
        command: `oc adm top pods -n ${shellWord(owner.namespace ?? "")} --containers`,
      },
    ],
  },
  {
    name: "Kubernetes container",
    source: kubernetesLimits,
    example: `/kubepods/burstable/pod1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11/${"0123456789ab".padEnd(64, "c")}`,
    exampleNames: { pod: "api-5f6c9d-x7k2p", namespace: "shop", container: "api" },
    fits: ({ owner }) => owner.podUid !== null && owner.containerId !== null,
    raise: (at) => [
      ...findPod(at),
      {
        text: `If the workload needs more, raise the container's limit (${controller}${at.owner.runtime === "cri-o" ? "; oc takes the same arguments on OpenShift" : ""}):`,
        command: setResources(at),
      },
    ],
  },
  {
    name: "Kubernetes pod",
    source: "https://kubernetes.io/docs/tasks/configure-pod-container/assign-pod-level-resources/",
    example:
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1d9a4f2e_63c7_4b1a_9f0e_5f2f6f0c8a11.slice",
    exampleNames: { pod: "api-5f6c9d-x7k2p", namespace: "shop" },
    fits: ({ owner }) => owner.podUid !== null,
    raise: (at) => [
      ...findPod(at),
      {
        text: `The pod's limit is its own spec.resources.limits.memory (from Kubernetes 1.34 on) or, without one, the sum of its containers' limits; files in emptyDir volumes with medium Memory count towards it. If the workload needs more, raise the pod's own limit to ${withUnit(at.mib, "Mi")}, or, if the pod has none, that of the container that grew, until the sum is that much. The command raises a container's limit; it does not change the pod's own (${controller}):`,
        command: setResources(at),
      },
    ],
  },
  {
    name: "Kubernetes node (QoS class, node allocatable)",
    source: "https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/",
    example: "/kubepods.slice/kubepods-burstable.slice",
    fits: ({ leaf }) => /^(?:kubelet-)?kubepods(?:-burstable|-besteffort)?(?:\.slice)?$/.test(leaf),
    raise: () => [
      {
        text: "This limit covers all pods on the node (node allocatable), so raising a container's limit does not help. Compare the pods' requests with their usage:",
        command: "kubectl describe node NODE | grep -A 12 'Allocated resources'",
      },
      {
        text: "Raise the memory requests of pods that use more than they request, so that fewer pods fit on the node, and set limits on pods without one.",
      },
    ],
  },
  {
    name: "Kubernetes QoS class (cgroupfs driver)",
    source: "https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/",
    example: "/kubepods/besteffort",
    fits: ({ leaf, parent }) => parent === "kubepods" && /^(?:burstable|besteffort)$/.test(leaf),
    raise: ({ leaf }) => [
      {
        text: `This limit covers all pods of class ${leaf}, so raising a container's limit does not help: set memory requests near actual usage, so that fewer pods fit on the node.`,
      },
    ],
  },
  {
    name: "Nomad task",
    source: "https://developer.hashicorp.com/nomad/docs/job-specification/resources",
    example: "/nomad.slice/share.slice/de25a563-2409-843f-08ad-5bc6053df174.web.scope",
    fits: ({ owner }) => owner.platform === "nomad",
    raise: (at) => {
      const { owner, mib, names } = at;
      const isExecutorId = names[0] === "nomad" && !/\./.test(names[1] ?? "");
      return [
        ...(owner.task === null || isExecutorId
          ? [
              {
                text: "Find the allocation: this cgroup is named after Nomad's executor, not the allocation, so look at what ran on this node:",
                command: "nomad node status -self -verbose",
              },
            ]
          : [
              { text: "See the task and its events:", command: `nomad alloc status ${owner.task}` },
            ]),
        {
          text: `If the workload needs more, set memory = ${mib} in the task's resources block (memory_max, if the cluster allows oversubscription), then plan and run the job:`,
          command: "nomad job plan JOB.nomad.hcl",
        },
      ];
    },
  },
  {
    name: "Amazon ECS, whole task",
    source:
      "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html",
    example: "/ecs/0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e",
    fits: ({ owner }) => owner.platform === "ecs" && owner.containerId === null,
    raise: ({ mib }) => [
      {
        text: `If the workload needs more, register a new revision of the task definition with task-level memory ${mib}, and update the service:`,
        command:
          "aws ecs update-service --cluster CLUSTER --service SERVICE --task-definition FAMILY",
      },
    ],
  },
  {
    name: "Amazon ECS container",
    source:
      "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html",
    example: `/ecs/0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e/${"0123456789ab".padEnd(64, "c")}`,
    fits: ({ owner }) => owner.platform === "ecs",
    raise: ({ mib }) => [
      {
        text: `If the workload needs more, register a new revision of the task definition with memory ${mib} for this container (memoryReservation is not a limit; if the task itself has a memory value, the sum of its containers' must be lower), and update the service:`,
        command:
          "aws ecs update-service --cluster CLUSTER --service SERVICE --task-definition FAMILY",
      },
    ],
  },
  {
    name: "Slurm job",
    source: "https://slurm.schedmd.com/sbatch.html",
    example: "/system.slice/slurmstepd.scope/job_123/step_0/user/task_0",
    fits: ({ owner }) => owner.platform === "slurm",
    raise: ({ owner, mib }) => [
      {
        text: "Compare the job's request with its usage:",
        command: `sacct -j ${owner.task ?? "JOB"} --format=JobID,State,ReqMem,MaxRSS,Elapsed`,
      },
      {
        text: "If the workload needs more, submit it with more memory (--mem is per node, --mem-per-cpu per core):",
        command: `sbatch --mem=${withUnit(mib, "M")} SCRIPT`,
      },
    ],
  },
  {
    name: "YARN container",
    source:
      "https://hadoop.apache.org/docs/stable/hadoop-yarn/hadoop-yarn-site/NodeManagerCGroupsMemory.html",
    example: "/hadoop-yarn/container_1410901177871_0001_01_000005",
    fits: ({ owner }) => (owner.task ?? "").startsWith("container_"),
    raise: ({ mib, owner }) => {
      const application = /_(\d+_\d+)_\d+_\d+$/.exec(owner.task ?? "")?.[1];
      return [
        {
          text: "See which application it belongs to:",
          command: `yarn application -status application_${application}`,
        },
        {
          text: `If the workload needs more, request containers of ${withUnit(mib, " MB")} (Spark: spark.executor.memory and spark.executor.memoryOverhead together; MapReduce: mapreduce.map.memory.mb, mapreduce.reduce.memory.mb): the limit covers the heap and everything outside it.`,
        },
      ];
    },
  },
  {
    name: "Mesos",
    source: "https://mesos.apache.org/documentation/latest/attributes-resources/",
    example: "/mesos/5a0ea0f4-5d71-4b1e-9a1c-9b5c6b9f7d21",
    fits: ({ parent }) => parent === "mesos",
    raise: ({ mib }) => [
      {
        text: `If the workload needs more, raise mem to ${mib} in the framework's task definition (mem of a Marathon app).`,
      },
    ],
  },
  {
    name: "Cloud Foundry, Concourse (Garden)",
    source: "https://docs.cloudfoundry.org/devguide/deploy-apps/cf-scale.html",
    example: "/garden/5a0ea0f4-5d71-4b1e-6a1c-9b5c",
    fits: ({ owner }) => owner.runtime === "garden",
    raise: ({ mib }) => [
      {
        text: "If the workload needs more, raise the app's memory on Cloud Foundry (in Concourse: container_limits.memory of the task):",
        command: `cf scale APP -m ${withUnit(mib, "M")}`,
      },
    ],
  },
  {
    name: "GitLab runner, Docker executor",
    source: "https://docs.gitlab.com/runner/configuration/advanced-configuration/",
    example: `/docker/${"0123456789ab".padEnd(64, "c")}`,
    exampleNames: { container: "runner-ab12cd-project-7-concurrent-0-9f8e7d-build" },
    fits: (at) =>
      isDocker(at) && /^runner-.+-project-[0-9]+-concurrent-[0-9]+/.test(at.owner.container ?? ""),
    raise: (at) => [
      {
        text: `The container belongs to a CI job. If the job needs more, set memory = "${withUnit(at.mib, "m")}" under [runners.docker] in /etc/gitlab-runner/config.toml, and memory_swap, if set, to at least that.`,
      },
    ],
  },
  {
    name: "BuildKit",
    source: "https://docs.docker.com/build/builders/drivers/docker-container/",
    example: `/docker/${"0123456789ab".padEnd(64, "d")}`,
    exampleNames: { container: "buildx_buildkit_builder0" },
    fits: (at) =>
      (isDocker(at) && (at.owner.container ?? "").startsWith("buildx_buildkit_")) ||
      isContainer(at, "", ["buildx"]),
    raise: (at) => [
      {
        text: "The container is a docker buildx builder, so an image build was killed. If builds need more, create the builder again with a larger limit, or build fewer stages at a time (max-parallelism):",
        command: `docker buildx create --use --driver docker-container --driver-opt memory=${withUnit(at.mib, "m")}`,
      },
    ],
  },
  {
    name: "Docker Compose",
    source: "https://docs.docker.com/reference/compose-file/deploy/#resources",
    example: `/system.slice/docker-${"0123456789ab".padEnd(64, "e")}.scope`,
    exampleNames: { container: "shop-web-1", task: "shop/web" },
    fits: (at) => isDocker(at) && (at.owner.task ?? "").includes("/"),
    raise: (at) => {
      const [project = "", service = ""] = (at.owner.task ?? "").split("/");
      return [
        {
          text: "If the workload needs more, raise the limit now:",
          command: updateCommand("docker", at),
        },
        {
          text: `For the next start, set deploy.resources.limits.memory: ${withUnit(at.mib, "M")} (or mem_limit) of service ${service} in the Compose file, then:`,
          command: `docker compose -p ${shellWord(project)} up -d ${shellWord(service)}`,
        },
      ];
    },
  },
  {
    name: "Docker Swarm",
    source: "https://docs.docker.com/reference/cli/docker/service/update/",
    example: `/docker/${"0123456789ab".padEnd(64, "f")}`,
    exampleNames: { container: "shop_web.1.9x8y7z", task: "shop_web" },
    fits: (at) => isDocker(at) && at.owner.task !== null,
    raise: (at) => [
      {
        text: raiseText,
        command: `docker service update --limit-memory ${withUnit(at.mib, "M")} ${shellWord(at.owner.task ?? "")}`,
      },
    ],
  },
  {
    name: "Docker",
    source: "https://docs.docker.com/reference/cli/docker/container/update/",
    example: `/docker/${"0123456789ab".padEnd(64, "a")}`,
    exampleNames: { container: "web" },
    fits: isDocker,
    raise: (at) => [
      inMachine(at, {
        text: `If the workload needs more, raise the limit, and set --memory to the same value where the container is created.${asUser(at)}`,
        command: updateCommand("docker", at),
      }),
    ],
  },
  {
    name: "Podman pod",
    source: "https://docs.podman.io/en/latest/markdown/podman-pod-create.1.html",
    example: `/machine.slice/machine-libpod_pod_${"0123456789ab".padEnd(64, "a")}.slice`,
    fits: ({ leaf }) => new RegExp(`libpod_pod_${hex64}(?:\\.slice)?$`).test(leaf),
    raise: (at) => [
      {
        text: `The limit applies to a whole Podman pod and is set when the pod is created. If the workload needs more, create the pod again with a larger limit.${asUser(at)}`,
        command: `podman pod create --memory ${withUnit(at.mib, "m")} NAME`,
      },
    ],
  },
  {
    name: "Podman",
    source: "https://docs.podman.io/en/latest/markdown/podman-update.1.html",
    example: `/machine.slice/libpod-${"0123456789ab".padEnd(64, "a")}.scope`,
    exampleNames: { container: "web" },
    fits: (at) => isContainer(at, "libpod|libpod-payload", []),
    raise: (at) => [
      inMachine(at, {
        text: `If the workload needs more, raise the limit, and set --memory to the same value where the container is created (PodmanArgs=--memory=... in a Quadlet file), because Podman 4 forgets the update when the container stops.${asUser(at)}`,
        command: updateCommand("podman", at),
      }),
    ],
  },
  {
    name: "containerd (nerdctl)",
    source: "https://github.com/containerd/nerdctl/blob/main/docs/command-reference.md",
    example: `/default/${"0123456789ab".padEnd(64, "a")}`,
    exampleNames: { container: "web" },
    fits: (at) => isContainer(at, "nerdctl", ["default"]),
    raise: (at) => [
      {
        text: `If the workload needs more, raise the limit, and set --memory to the same value where the container is created.${asUser(at)}`,
        command: updateCommand("nerdctl", at),
      },
    ],
  },
  {
    name: "Proxmox VE container",
    source: "https://pve.proxmox.com/pve-docs/pct.1.html",
    example: "/lxc/107",
    fits: ({ leaf, parent }) => parent === "lxc" && isProxmoxId(leaf),
    raise: ({ leaf, mib }) => [
      { text: raiseText, command: `pct set ${leaf} -memory ${mib}` },
      {
        text: "See what runs in it:",
        command: `pct exec ${leaf} -- ps -eo pid,rss,args --sort=-rss`,
      },
    ],
  },
  {
    name: "LXD, Incus, LXC",
    source: "https://linuxcontainers.org/incus/docs/main/reference/instance_options/",
    example: "/lxc.payload.web",
    fits: ({ leaf, parent }) =>
      leaf.startsWith("lxc.payload.") || parent === "lxc.payload" || parent === "lxc",
    raise: ({ leaf, mib }) => {
      const name = shellWord(leaf.replace(/^lxc\.payload\./, ""));
      const size = withUnit(mib, "MiB");
      return [
        {
          text: "If the workload needs more, raise the limit. With Incus:",
          command: `incus config set ${name} limits.memory=${size}`,
        },
        { text: "With LXD:", command: `lxc config set ${name} limits.memory=${size}` },
        {
          text: `With plain LXC, set lxc.cgroup2.memory.max = ${withUnit(mib, "M")} in the container's configuration (lxc.cgroup.memory.limit_in_bytes on cgroup v1).`,
        },
      ];
    },
  },
  {
    name: "libvirt virtual machine",
    source: "https://libvirt.org/formatdomain.html#memory-tuning",
    example: "/machine.slice/machine-qemu\\x2d1\\x2ddb.scope",
    fits: ({ leaf, parent }) =>
      leaf.startsWith("machine-qemu") || (parent === "qemu.slice" && leaf.endsWith(".scope")),
    raise: ({ leaf, parent }) =>
      parent === "qemu.slice"
        ? [
            {
              text: "The limit of a Proxmox VE virtual machine must cover the guest's memory plus QEMU's own. See its configuration:",
              command: `qm config ${shellWord(leaf.replace(/\.scope$/, ""))}`,
            },
          ]
        : [
            {
              text: "libvirt advises against a hard limit on virtual machines: it must cover the guest's memory plus QEMU's own. See the limit:",
              command: `virsh memtune ${shellWord(domainOf(leaf))}`,
            },
          ],
  },
  {
    name: "systemd-nspawn machine",
    source: "https://www.freedesktop.org/software/systemd/man/latest/systemd-nspawn.html",
    example: "/machine.slice/machine-build\\x2dbox.scope",
    fits: ({ leaf }) => /^machine-.+\.scope$/.test(leaf),
    raise: (at) => [
      {
        text: "If the workload needs more, raise the machine's limit with --property=MemoryMax= of systemd-nspawn, or in a drop-in if systemd-nspawn@.service starts it. For the current run:",
        command: `systemctl set-property ${unitName(at)} MemoryMax=${withUnit(at.mib, "M")}`,
      },
    ],
  },
  {
    name: "snap, quota group",
    source: "https://snapcraft.io/docs/quota-groups",
    example: "/system.slice/snap.databases.slice",
    fits: ({ leaf }) => /^snap\..+\.slice$/.test(leaf),
    raise: ({ leaf, mib }) => {
      const group = leaf.slice("snap.".length, -".slice".length).split("-").at(-1) ?? "";
      return [
        {
          text: "The limit belongs to a quota group of snaps. If the workload needs more, raise it:",
          command: `snap set-quota ${shellWord(group)} --memory=${withUnit(mib, "MB")}`,
        },
      ];
    },
  },
  {
    name: "systemd user scope",
    source: "https://www.freedesktop.org/software/systemd/man/latest/systemd-run.html",
    example: "/user.slice/user-1000.slice/user@1000.service/app.slice/run-u12.scope",
    fits: ({ leaf, managerUid }) => managerUid !== undefined && isTransient(leaf),
    raise: (at) => [
      {
        text: `${at.leaf.endsWith(".scope") ? "The scope" : "The transient unit"} belongs to the service manager of uid ${at.managerUid} and ends with its processes. If the workload needs more, start it with a larger limit, as that user:`,
        command: `systemd-run --user${at.leaf.endsWith(".scope") ? " --scope" : ""} -p MemoryMax=${withUnit(at.mib, "M")} COMMAND`,
      },
      {
        text: "While it is running, raise its limit (as root; as that user without -M):",
        command: userProperty(at),
      },
    ],
  },
  {
    name: "systemd user unit",
    source: "https://www.freedesktop.org/software/systemd/man/latest/systemctl.html",
    example: "/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service",
    fits: ({ leaf, managerUid }) => managerUid !== undefined && isUnit(leaf),
    raise: (at) => [
      {
        text: `If the workload needs more, raise the limit of this unit of uid ${at.managerUid}, which the system's service manager does not know (as root; as that user without -M):`,
        command: userProperty(at),
      },
      ...(at.leaf.endsWith(".service")
        ? [
            {
              text: "It runs only while that user's service manager runs; to start it without a login:",
              command: `loginctl enable-linger ${at.managerUid}`,
            },
          ]
        : []),
    ],
  },
  {
    name: "systemd, a user's session or slice",
    source: "https://www.freedesktop.org/software/systemd/man/latest/user@.service.html",
    example: "/user.slice/user-1000.slice",
    fits: ({ leaf, sliceUid }) => sliceUid !== undefined && isUnit(leaf),
    raise: (at) => [
      {
        text: `The limit applies to everything that uid ${at.sliceUid} runs. If the workload needs more, raise it:`,
        command: `systemctl set-property ${unitName(at)} MemoryMax=${withUnit(at.mib, "M")}`,
      },
    ],
  },
  {
    name: "systemd unit",
    source: "https://www.freedesktop.org/software/systemd/man/latest/systemd.resource-control.html",
    example: "/system.slice/postgresql@15\\x2dmain.service",
    fits: ({ leaf }) => isUnit(leaf),
    raise: (at) => [
      inMachine(at, {
        text: at.leaf.endsWith(".scope")
          ? "If the workload needs more, raise the limit of this scope, which ends with its processes:"
          : at.leaf.endsWith(".slice")
            ? "The limit applies to everything in this slice. If the workload needs more, raise it:"
            : raiseText,
        command: `systemctl set-property ${unitName(at)} MemoryMax=${withUnit(at.mib, "M")}`,
      }),
    ],
  },
  {
    name: "Talos Linux",
    source: "https://www.talos.dev/latest/reference/configuration/v1alpha1/config/",
    example: "/podruntime/kubelet",
    fits: ({ owner }) => owner.platform === "talos",
    raise: ({ cgroup }) => [
      {
        text: `${cgroup} is one of Talos' own services. Talos has no shell; see memory usage from outside:`,
        command: "talosctl -n NODE processes --sort rss",
      },
      {
        text: "Reserve more memory for the system in the machine configuration (machine.kubelet.extraConfig.systemReserved), so that fewer pods fit on the node.",
      },
    ],
  },
  {
    name: "other cgroup",
    source: "https://docs.kernel.org/admin-guide/cgroup-v2.html",
    example: "/batch/nightly",
    fits: ({ cgroup }) => cgroup !== "" && cgroup !== "/",
    raise: ({ cgroup, isV1, mib }) => {
      const file = isV1 ? `memory${cgroup}/memory.limit_in_bytes` : `${cgroup.slice(1)}/memory.max`;
      return [
        {
          text: "If the workload needs more, raise the limit; the software that created this cgroup may reset it:",
          command: `echo ${withUnit(mib, "M")} > ${shellWord(`/sys/fs/cgroup/${file}`)}`,
        },
      ];
    },
  },
];

/** `machine-qemu\x2d1\x2ddb.scope` is domain `db`. */
function domainOf(leaf: string): string {
  return leaf
    .replaceAll("\\x2d", "-")
    .replace(/^machine-qemu-[0-9]+-/, "")
    .replace(/\.scope$/, "");
}

function userProperty(at: Site): string {
  return `systemctl --user -M ${at.managerUid}@ set-property ${unitName(at)} MemoryMax=${withUnit(at.mib, "M")}`;
}

/** Every platform that has a row, for docs/platforms.md. */
export const platformRows: readonly Pick<Row, "name" | "source" | "example" | "exampleNames">[] =
  rows;

/** Name of the row that applies to a limit's cgroup; `undefined` for the root. */
export function platformRow(place: LimitPlace): string | undefined {
  const at = siteOf(place);
  return rows.find((row) => row.fits(at))?.name;
}

/** How to raise the limit of a cgroup with the tools of its platform. */
export function raiseLimit(place: LimitPlace): Advice[] {
  const at = siteOf(place);
  return rows.find((row) => row.fits(at))?.raise(at) ?? [];
}

/**
 * OpenVZ and Virtuozzo: the kill line names the container but no cgroup.
 * https://docs.openvz.org/ (vzctl(8), prlctl(8)).
 */
export function raiseOpenVz(container: string): Advice[] {
  return [
    {
      text: "If the workload needs more, raise the container's memory on its host (for a rented server, in the provider's panel). OpenVZ 6:",
      command: `vzctl set ${shellWord(container)} --ram SIZE --swap SIZE --save`,
    },
    {
      text: "Virtuozzo 7, OpenVZ 7 (MiB):",
      command: `prlctl set ${shellWord(container)} --memsize SIZE`,
    },
  ];
}

/** OpenVZ 6 counts failures per container; the kill line named it, and the log lost that. */
export const findOpenVzContainer: Advice = {
  text: "Find the container whose failcnt (last column) grows, on the host or inside it:",
  command: "grep -E 'uid|physpages|oomguarpages|privvmpages' /proc/user_beancounters",
};

/**
 * How to give a virtual machine less memory, where its host ran out and killed it.
 * https://pve.proxmox.com/pve-docs/qm.1.html, https://www.libvirt.org/manpages/virsh.html#setmaxmem.
 */
export function shrinkGuest(cgroup: string): Advice[] {
  const { names } = siteOf({ cgroup, owner: unknownOwner, isV1: false });
  const parent = names.indexOf("qemu.slice");
  const why =
    "A virtual machine was killed: its host has less memory than the guests, QEMU and the host itself (caches such as the ZFS ARC too) need, and swap or limits inside the guest do not help. Give it less memory, or move a guest to another host";
  const isProxmox = parent >= 0;
  const scope = isProxmox
    ? names[parent + 1]
    : names.find((part) => part.startsWith("machine-qemu"));
  const name = shellWord(isProxmox ? (scope ?? "").replace(/\.scope$/, "") : domainOf(scope ?? ""));
  return [
    {
      text: `${why} (SIZE in ${isProxmox ? "MiB" : "KiB"}; from the guest's next start on):`,
      command: isProxmox
        ? `qm set ${name} --memory SIZE`
        : `virsh setmaxmem ${name} SIZE --config && virsh setmem ${name} SIZE --config`,
    },
  ];
}

/** How to see everything below a limit. */
export function lookBelow({ cgroup, owner, limitBytes }: LimitPlace): Advice {
  const size = limitBytes === undefined ? "" : ` the limit of ${bytes(limitBytes)}`;
  if (owner.platform === "kubernetes") {
    const namespace = owner.namespace === null ? "-A" : `-n ${shellWord(owner.namespace)}`;
    return {
      text: `See what shares${size === "" ? " the limit" : size}:`,
      command: `kubectl top pod ${namespace} --containers --sort-by=memory`,
    };
  }
  return {
    text: `See what shares${size === "" ? " the limit" : size}:`,
    command: `oom-exporter victims --cgroup ${shellWord(cgroup)}`,
  };
}
