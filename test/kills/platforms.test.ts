import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ownerOfCgroup } from "../../src/kills/owner.ts";
import {
  lookBelow,
  platformRow,
  platformRows,
  raiseLimit,
  shrinkGuest,
} from "../../src/kills/platforms.ts";

const mib = 1024 * 1024;
const gib = 1024 * mib;
const id = "ab".repeat(32);
const manager = "/user.slice/user-1000.slice/user@1000.service";
const alloc = "de25a563-2409-843f-08ad-5bc6053df174";

const place = (cgroup: string, more = {}, size = {}) => ({
  cgroup,
  owner: { ...ownerOfCgroup(cgroup), ...more },
  limitBytes: gib,
  isV1: false,
  ...size,
});
const commands = (cgroup: string, more = {}, size = {}) =>
  raiseLimit(place(cgroup, more, size)).flatMap(({ command }) => command ?? []);
const words = (cgroup: string, more = {}) =>
  raiseLimit(place(cgroup, more))
    .map(({ text }) => text)
    .join("\n");

describe("every platform of the table", () => {
  it.each(platformRows.map((row) => [row.name, row] as const))(
    "%s matches its example, and names a setting and a source",
    (name, { example, exampleNames, source }) => {
      expect(platformRow(place(example, exampleNames))).toBe(name);
      expect(raiseLimit(place(example, exampleNames))).not.toEqual([]);
      expect(source).toMatch(/^https:\/\//);
    },
  );

  it("has one-line commands", () => {
    for (const { example, exampleNames } of platformRows) {
      for (const command of commands(example, exampleNames)) expect(command).not.toContain("\n");
    }
  });
});

describe("the limit is raised by half, in the platform's own way", () => {
  it.each<[cgroup: string, command: string, names?: object]>([
    ["/system.slice/app.service", "systemctl set-property app.service MemoryMax=1536M"],
    [
      "/system.slice/system-postgresql.slice/postgresql@15\\x2dmain.service",
      "systemctl set-property 'postgresql@15\\x2dmain.service' MemoryMax=1536M",
    ],
    ["/system.slice/_memory.service", "systemctl set-property memory.service MemoryMax=1536M"],
    ["/system.slice", "systemctl set-property system.slice MemoryMax=1536M"],
    [
      "/user.slice/user-1000.slice/session-3.scope",
      "systemctl set-property session-3.scope MemoryMax=1536M",
    ],
    [manager, "systemctl set-property user@1000.service MemoryMax=1536M"],
    [
      `${manager}/app.slice/shop.service`,
      "systemctl --user -M 1000@ set-property shop.service MemoryMax=1536M",
    ],
    [`${manager}/app.slice/run-u12.scope`, "systemd-run --user --scope -p MemoryMax=1536M COMMAND"],
    [
      `${manager}/app.slice/app-gnome\\x2d4211.scope`,
      "systemctl --user -M 1000@ set-property 'app-gnome\\x2d4211.scope' MemoryMax=1536M",
    ],
    [`/docker/${id}`, "docker update --memory 1536m --memory-swap 1536m abababababab"],
    [
      `/system.slice/docker-${id}.scope`,
      "docker compose -p shop up -d web",
      { container: "shop-web-1", task: "shop/web" },
    ],
    [
      `/system.slice/docker-${id}.scope`,
      "docker service update --limit-memory 1536M shop_web",
      { task: "shop_web" },
    ],
    [
      `/system.slice/docker-${id}.scope`,
      "docker buildx create --use --driver docker-container --driver-opt memory=1536m",
      { container: "buildx_buildkit_ci0" },
    ],
    [
      `/docker/buildx/${id}`,
      "docker buildx create --use --driver docker-container --driver-opt memory=1536m",
    ],
    [
      `/machine.slice/libpod-${id}.scope/container`,
      "podman update --memory 1536m --memory-swap 1536m web",
      { container: "web" },
    ],
    [`/machine.slice/machine-libpod_pod_${id}.slice`, "podman pod create --memory 1536m NAME"],
    [`/default/${id}`, "nerdctl update --memory 1536m --memory-swap 1536m abababababab"],
    [
      `/kubepods/burstable/pod1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11/${id}`,
      "kubectl -n shop set resources KIND/NAME -c api --limits=memory=1536Mi",
      { namespace: "shop", pod: "api-1", container: "api" },
    ],
    [
      "/kubepods.slice/kubepods-burstable.slice",
      "kubectl describe node NODE | grep -A 12 'Allocated resources'",
    ],
    [
      `/kubepods/burstable/pod1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11/${id}`,
      "kubectl -n NAMESPACE set resources KIND/NAME -c CONTAINER --limits=memory=1536Mi",
    ],
    [
      "/kubepods/burstable/pod1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11",
      "kubectl -n shop set resources KIND/NAME -c CONTAINER --limits=memory=SIZE",
      { namespace: "shop", pod: "api-1" },
    ],
    [`/nomad.slice/share.slice/${alloc}.web.scope`, `nomad alloc status ${alloc}`],
    [
      "/slurm/uid_1000/job_123/step_0/task_0",
      "sacct -j 123 --format=JobID,State,ReqMem,MaxRSS,Elapsed",
    ],
    ["/slurm/uid_1000/job_123", "sbatch --mem=1536M SCRIPT"],
    [
      "/hadoop-yarn/container_e17_1410901177871_0001_01_000005",
      "yarn application -status application_1410901177871_0001",
    ],
    ["/lxc/107", "pct set 107 -memory 1536"],
    ["/lxc/107/ns", "pct set 107 -memory 1536"],
    [
      "/lxc/107/ns/system.slice/app.service",
      "pct exec 107 -- systemctl set-property app.service MemoryMax=1536M",
    ],
    [
      `/lxc/107/ns/system.slice/docker-${id}.scope`,
      "pct exec 107 -- docker update --memory 1536m --memory-swap 1536m abababababab",
    ],
    ["/lxc.payload.web", "incus config set web limits.memory=1536MiB"],
    ["/lxc.payload.web/ns", "lxc config set web limits.memory=1536MiB"],
    [
      "/machine.slice/machine-build\\x2dbox.scope",
      "systemctl set-property 'machine-build\\x2dbox.scope' MemoryMax=1536M",
    ],
    ["/machine.slice/machine-qemu\\x2d1\\x2ddb.scope", "virsh memtune db"],
    ["/garden/5a0ea0f4-5d71-4b1e-6a1c-9b5c", "cf scale APP -m 1536M"],
    ["/system.slice/snap.databases.slice", "snap set-quota databases --memory=1536MB"],
    ["/odd name", "echo 1536M > '/sys/fs/cgroup/odd name/memory.max'"],
    ["/it's", "echo 1536M > '/sys/fs/cgroup/it'\\''s/memory.max'"],
  ])("%s: %s", (cgroup, command, names) => {
    expect(commands(cgroup, names)).toContain(command);
  });

  it.each<[cgroup: string, text: string, names?: object]>([
    [`${manager}/app.slice/shop.service`, "which the system's service manager does not know"],
    [
      `${manager}/user.slice/libpod-${id}.scope`,
      "The container is rootless: run this as uid 1000.",
    ],
    ["/lxc.payload.web/system.slice/app.service", "Inside container web:"],
    [
      "/kubepods/burstable/pod1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11",
      "without one, the sum of its containers' limits",
    ],
    [
      "/kubepods/burstable/pod1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11",
      "raise the pod's own limit to 1536Mi, or, if the pod has none, that of the container that grew, until the sum is that much. The command raises a container's limit; it does not change the pod's own",
    ],
    [
      `/ecs/0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e/${id}`,
      "if the task itself has a memory value, the sum of its containers' must be lower",
    ],
    [
      "/kubepods/burstable/pod8d4f6a0b1c2d3e4f5a6b7c8d9e0f1a2b",
      "the static pod's manifest on this node",
    ],
    ["/kubepods/besteffort", "This limit covers all pods of class besteffort"],
    [
      "/kubepods/burstable/pod1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11",
      "reverts changes to its deployments",
      { namespace: "openshift-ingress" },
    ],
    [`/nomad/${alloc}`, "named after Nomad's executor, not the allocation"],
    ["/podruntime/kubelet", "Talos has no shell"],
    [
      `/docker/${id}`,
      'memory = "1536m" under [runners.docker]',
      { container: "runner-ab-project-7-concurrent-0-ef-build" },
    ],
  ])("%s says: %s", (cgroup, text, names) => {
    expect(words(cgroup, names)).toContain(text);
  });
});

describe("a limit's advice", () => {
  it("never runs systemctl on the host for a unit of a user or of a container", () => {
    for (const cgroup of [
      `${manager}/app.slice/shop.service`,
      "/lxc/107/ns/system.slice/app.service",
    ]) {
      for (const command of commands(cgroup)) {
        expect(command).not.toMatch(/^systemctl (?!--user)/);
      }
    }
  });

  it("keeps the swap that a container may use in addition to memory", () => {
    expect(commands(`/docker/${id}`, {}, { swapBytes: 512 * mib })).toEqual([
      "docker update --memory 1536m --memory-swap 2048m abababababab",
    ]);
  });

  it("leaves the size to the reader if the limit is unknown", () => {
    expect(commands("/system.slice/app.service", {}, { limitBytes: undefined })).toEqual([
      "systemctl set-property app.service MemoryMax=SIZE",
    ]);
  });

  it("finds a pod by its uid if its name is unknown", () => {
    expect(commands(`/kubepods/pod1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11/${id}`)[0]).toMatch(
      /grep 1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11$/,
    );
  });

  it("writes to the file of cgroup v1 if that is in use", () => {
    expect(commands("/job", {}, { isV1: true })).toEqual([
      "echo 1536M > /sys/fs/cgroup/memory/job/memory.limit_in_bytes",
    ]);
  });

  it("has no advice for the root, which has no limit", () => {
    expect(raiseLimit(place("/"))).toEqual([]);
  });

  it("names a unit as systemd has it, escapes and all", () => {
    const part = fc.stringMatching(/^[a-z][a-z0-9.]{0,12}$/);
    const escapes = fc.constantFrom("\\x2d", "\\x20", "\\x5c", "\\xc3\\xa4");
    fc.assert(
      fc.property(part, escapes, part, fc.boolean(), (first, escaped, last, isUsers) => {
        const unit = `${first}${escaped}${last}.service`;
        const parent = isUsers ? `${manager}/app.slice` : "/system.slice";
        const [command = ""] = commands(`${parent}/${unit}`);
        expect(command).toContain(`set-property '${unit}' MemoryMax=`);
      }),
    );
  });

  it("can be pasted whatever a cgroup is called", () => {
    expect(commands("/a;rm -rf $(x)\n'b'")).toEqual([
      "echo 1536M > $'/sys/fs/cgroup/a;rm -rf $(x)\\x0a\\'b\\'/memory.max'",
    ]);
  });
});

describe("a virtual machine that its host killed", () => {
  it.each([
    ["/qemu.slice/101.scope", "qm set 101 --memory SIZE", "in MiB"],
    [
      "/machine.slice/machine-qemu\\x2d1\\x2ddb.scope/libvirt/emulator",
      "virsh setmaxmem db SIZE --config && virsh setmem db SIZE --config",
      "in KiB",
    ],
  ])("gets less memory, by the tool that started it: %s", (cgroup, command, unit) => {
    const [advice] = shrinkGuest(cgroup);
    expect(advice?.command).toBe(command);
    expect(advice?.text).toContain(unit);
  });
});

describe("the processes that share a limit", () => {
  it("is seen with kubectl for pods and with victims elsewhere", () => {
    const pod = place("/kubepods/pod1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11", { namespace: "shop" });
    expect(lookBelow(pod).command).toBe("kubectl top pod -n shop --containers --sort-by=memory");
    expect(lookBelow(place("/job")).command).toBe("oom-exporter victims --cgroup /job");
  });
});
