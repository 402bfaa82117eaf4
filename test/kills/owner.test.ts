import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  hasOwner,
  type Owner,
  ownerLabels,
  ownerOfCgroup,
  type Platform,
  unitForPeople,
  unknownOwner,
} from "../../src/kills/owner.ts";

const id = "4f5b1c0e9a7d".padEnd(64, "3");
const nested = "0123456789ab".padEnd(64, "c");
const uid = "1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11";
const uidInSlice = uid.replaceAll("-", "_");
const staticUid = "8d4f6a0b1c2d3e4f5a6b7c8d9e0f1a2b";

const docker = { runtime: "docker", containerId: id };
const containerd = { runtime: "containerd", containerId: id };
const crio = { runtime: "cri-o", containerId: id };
const podman = { runtime: "podman", containerId: id };

const shapes: Record<string, [path: string, owner: Partial<Owner>][]> = {
  "systemd units": [
    ["/system.slice/nginx.service", { unit: "nginx.service" }],
    ["/system.slice/nginx.service/workers/3", { unit: "nginx.service" }],
    ["/system.slice/system-getty.slice/getty@tty1.service", { unit: "getty@tty1.service" }],
    [
      "/system.slice/system-postgresql.slice/postgresql@15\\x2dmain.service",
      { unit: "postgresql@15-main.service" },
    ],
    ["/system.slice/caf\\xc3\\xa9.service", { unit: "café.service" }],
    ["/system.slice/a\\x0ab.service", { unit: "a\\x0ab.service" }],
    ["/system.slice/a\\xffb.service", { unit: "a\\xffb.service" }],
    ["/system.slice/_memory.service", { unit: "memory.service" }],
    ["/system.slice/nginx.service (deleted)", { unit: "nginx.service" }],
    ["/system.slice/mnt-photos.mount", { unit: "mnt-photos.mount" }],
    ["/system.slice/docker.service", { unit: "docker.service" }],
    ["/init.scope", { unit: "init.scope" }],
    ["/user.slice/user-1000.slice/session-3.scope", { unit: "session-3.scope" }],
    [
      "/user.slice/user-1000.slice/user@1000.service/app.slice/emacs.service",
      { unit: "emacs.service" },
    ],
    ["/user.slice/user-1000.slice/user@1000.service/init.scope", { unit: "user@1000.service" }],
    [
      "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-org.gnome.Terminal\\x2d4211.scope",
      { unit: "app-gnome-org.gnome.Terminal-4211.scope" },
    ],
    [
      `/user.slice/user-1000.slice/user@1000.service/app.slice/snap.firefox.firefox-${uid}.scope`,
      { unit: `snap.firefox.firefox-${uid}.scope` },
    ],
    ["/system.slice", {}],
    ["/user.slice/user-1000.slice", {}],
    ["/", {}],
    ["/../../other", {}],
  ],
  Docker: [
    [`/docker/${id}`, docker],
    [`/docker/${id}/init`, docker],
    [`/system.slice/docker-${id}.scope`, docker],
    [`/user.slice/user-1000.slice/user@1000.service/user.slice/docker-${id}.scope`, docker],
    [`/system.slice:docker:${id}`, docker],
    [`/lxc/ct/ns/system.slice/docker-${id}.scope`, docker],
    [`/batch/${id}`, { containerId: id }],
    [`/docker/${nested}/docker/${id}`, docker],
    [`/docker/${id}/system.slice/cron.service`, { ...docker, unit: "cron.service" }],
    ["/docker/buildx/0123", {}],
    [`/docker/buildx/${id}`, docker],
  ],
  containerd: [
    [`/system.slice:cri-containerd:${id}`, containerd],
    [`/:cri-containerd:${id}`, containerd],
    [`/k8s.io/${id}`, containerd],
    [`/system.slice/nerdctl-${id}.scope`, containerd],
    [`/default/${id}`, containerd],
  ],
  Podman: [
    [`/machine.slice/libpod-${id}.scope`, podman],
    [`/machine.slice/libpod-${id}.scope/container`, podman],
    [`/libpod_parent/libpod-${id}`, podman],
    [
      `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope/container`,
      podman,
    ],
    [`/system.slice/shop.service/libpod-payload-${id}`, { ...podman, unit: "shop.service" }],
    [
      `/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service/libpod-payload-${id}`,
      { ...podman, unit: "shop.service" },
    ],
    ["/system.slice/shop.service/supervisor", { unit: "shop.service" }],
    [`/machine.slice/libpod-conmon-${id}.scope`, {}],
  ],
  "LXC, nspawn and virtual machines": [
    ["/lxc.payload.web/ns", { runtime: "lxc", container: "web" }],
    ["/lxc.payload/web", { runtime: "lxc", container: "web" }],
    ["/lxc/101/ns", { runtime: "lxc", container: "101" }],
    [
      "/lxc.payload.web/system.slice/nginx.service",
      { runtime: "lxc", container: "web", unit: "nginx.service" },
    ],
    ["/lxc.payload.odd.service", { runtime: "lxc", container: "odd.service" }],
    ["/lxc.monitor.web", {}],
    ["/lxc.monitor/web", {}],
    ["/machine.slice/machine-build\\x2dbox.scope", { runtime: "nspawn", container: "build-box" }],
    [
      "/machine.slice/systemd-nspawn@build.service/payload",
      { runtime: "nspawn", container: "build", unit: "systemd-nspawn@build.service" },
    ],
    [
      "/machine.slice/systemd-nspawn@build.service/payload/system.slice/cron.service",
      { runtime: "nspawn", container: "build", unit: "cron.service" },
    ],
    ["/machine.slice/machine-lxc\\x2d4711\\x2dweb.scope", { runtime: "lxc", container: "web" }],
    [
      "/machine.slice/machine-qemu\\x2d1\\x2ddb.scope/libvirt/emulator",
      { runtime: "qemu", unit: "machine-qemu-1-db.scope" },
    ],
    ["/qemu.slice/101.scope", { runtime: "qemu", unit: "101.scope" }],
  ],
  Kubernetes: [
    [`/kubepods/pod${uid}/${id}`, { podUid: uid, containerId: id }],
    [`/kubepods/burstable/pod${uid}/${id}`, { podUid: uid, containerId: id }],
    [`/kubepods/besteffort/pod${uid}`, { podUid: uid }],
    [`/kubepods/burstable/pod${staticUid}/${id}`, { podUid: staticUid, containerId: id }],
    [`/kubepods/besteffort/pod${uid}/crio-${id}`, { ...crio, podUid: uid }],
    [`/kubepods/pod${uid}/kata_${id}`, { runtime: "kata", podUid: uid, containerId: id }],
    [`/kata_overhead/${id}`, { runtime: "kata", containerId: id }],
    [
      `/kubepods.slice/kubepods-pod${uidInSlice}.slice/cri-containerd-${id}.scope`,
      { ...containerd, podUid: uid },
    ],
    [
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${uidInSlice}.slice/crio-${id}.scope`,
      { ...crio, podUid: uid },
    ],
    [
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${uidInSlice}.slice/crio-${id}.scope/container`,
      { ...crio, podUid: uid },
    ],
    [
      `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${uidInSlice}.slice/docker-${id}.scope`,
      { ...docker, podUid: uid },
    ],
    [
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${staticUid}.slice`,
      { podUid: staticUid },
    ],
    [
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${uidInSlice}.slice/crio-conmon-${id}.scope`,
      { podUid: uid },
    ],
    [
      `/system.slice/containerd.service/kubepods-burstable-pod${uidInSlice}.slice:cri-containerd:${id}`,
      { ...containerd, podUid: uid },
    ],
    [
      `/docker/${nested}/kubelet/kubepods/besteffort/pod${uid}/${id}`,
      { podUid: uid, containerId: id },
    ],
    [
      `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod${uidInSlice}.slice/cri-containerd-${id}.scope`,
      { ...containerd, podUid: uid },
    ],
    [`/docker/${id}/kubelet.slice/kubelet.service`, { ...docker, unit: "kubelet.service" }],
    [`/lxc/node1/kubepods/burstable/pod${uid}/${id}`, { podUid: uid, containerId: id }],
    [`/kubepods/burstable/pod${uid}/${id}/docker/${nested}`, { podUid: uid, containerId: id }],
    ["/kubepods.slice/kubepods-burstable.slice", {}],
    ["/kubepods/burstable/podinfo", {}],
  ],
  "ECS, Garden and Slurm": [
    [`/ecs/0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e/${id}`, docker],
    [`/ecs/${uid}/${id}`, docker],
    [
      "/ecs/0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e/0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e-2531612879",
      { containerId: "0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e-2531612879" },
    ],
    [
      "/system.slice/garden.service/garden/5a0ea0f4-5d71-4b1e-6a1c-9b5c",
      {
        runtime: "garden",
        container: "5a0ea0f4-5d71-4b1e-6a1c-9b5c",
        containerId: "5a0ea0f4-5d71-4b1e-6a1c-9b5c",
      },
    ],
    ["/garden/good/check-1", { runtime: "garden", container: "check-1", containerId: "check-1" }],
    ["/slurm/uid_1000/job_123/step_0/task_0", { runtime: "slurm", container: "job_123" }],
    [
      "/system.slice/slurmstepd.scope/job_123/step_0/user/task_0",
      { runtime: "slurm", container: "job_123" },
    ],
    ["/system.slice/slurmd.service", { unit: "slurmd.service" }],
  ],
};

for (const [family, cases] of Object.entries(shapes)) {
  describe(`the owner of a cgroup: ${family}`, () => {
    it.each(cases)("%s", (path, owner) => {
      const { platform, task, ...names } = ownerOfCgroup(path);
      expect({ ...names, platform: null, task: null }).toEqual({ ...unknownOwner, ...owner });
    });
  });
}

const alloc = "de25a563-2409-843f-08ad-5bc6053df174";
const ecsTask = "0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e";
const userManager = "/user.slice/user-1000.slice/user@1000.service";
const platforms: [path: string, platform: Platform | null, task: string | null][] = [
  ["/", null, null],
  ["/batch", null, null],
  ["/system.slice", "systemd", null],
  ["/system.slice/nginx.service/workers/3", "systemd", null],
  ["/user.slice/user-1000.slice/session-3.scope", "systemd", null],
  [userManager, "systemd", null],
  [`${userManager}/app.slice/emacs.service`, "systemd_user", null],
  [`${userManager}/app.slice/run-u12.scope`, "systemd_user", null],
  [`${userManager}/app.slice`, "systemd_user", null],
  [`/system.slice/docker-${id}.scope`, "docker", null],
  [`/docker/${id}/system.slice/cron.service`, "docker", null],
  [`${userManager}/user.slice/libpod-${id}.scope`, "podman", null],
  [`/default/${id}`, "containerd", null],
  [`/batch/${id}`, "other", null],
  ["/lxc/101/ns", "lxc", null],
  ["/lxc.payload.web/system.slice/nginx.service", "lxc", null],
  [`/lxc/101/ns/system.slice/docker-${id}.scope`, "docker", null],
  ["/machine.slice/machine-build\\x2dbox.scope", "nspawn", null],
  ["/qemu.slice/101.scope", "other", null],
  [`/kubepods/burstable/pod${uid}/crio-${id}`, "kubernetes", null],
  ["/kubepods.slice/kubepods-burstable.slice", "kubernetes", null],
  [`/docker/${nested}/kubelet/kubepods/besteffort/pod${uid}/${id}`, "kubernetes", null],
  [`/nomad/${alloc}`, "nomad", alloc],
  [`/nomad/${alloc}.web`, "nomad", alloc],
  [`/nomad.slice/${alloc}.web.scope`, "nomad", alloc],
  [`/nomad.slice/share.slice/${alloc}.web.scope`, "nomad", alloc],
  [`/nomad.slice/share.slice/docker-${id}.scope`, "nomad", null],
  [`/ecs/${ecsTask}`, "ecs", ecsTask],
  [`/ecs/${ecsTask}/${id}`, "ecs", ecsTask],
  [`/ecs/${ecsTask}/${ecsTask}-2531612879`, "ecs", ecsTask],
  [`/ecstasks.slice/ecstasks-${ecsTask}.slice/docker-${id}.scope`, "ecs", ecsTask],
  ["/slurm/uid_1000/job_123/step_0/task_0", "slurm", "123"],
  ["/system.slice/slurmstepd.scope/job_123/step_0/user/task_0", "slurm", "123"],
  [
    "/hadoop-yarn/container_e17_1410901177871_0001_01_000005",
    "other",
    "container_e17_1410901177871_0001_01_000005",
  ],
  [`/mesos/${alloc}`, "other", alloc],
  ["/garden/5a0ea0f4-5d71-4b1e-6a1c-9b5c", "other", null],
  ["/podruntime/kubelet", "talos", null],
  ["/system/apid", "talos", null],
];

describe("the platform of a cgroup, and its own name for the work", () => {
  it.each(platforms)("%s", (path, platform, task) => {
    const owner = ownerOfCgroup(path);
    expect([owner.platform, owner.task]).toEqual([platform, task]);
  });

  it("distinguishes a user's unit from the system unit of that name", () => {
    const named = (path: string) => unitForPeople(ownerOfCgroup(path), path);
    expect(named(`${userManager}/app.slice/shop.service`)).toBe("shop.service of user 1000");
    expect(named("/system.slice/shop.service")).toBe("shop.service");
    expect(named("/system.slice")).toBeNull();
  });
});

describe("the owner of a cgroup", () => {
  it("is unknown without a path", () => {
    expect(ownerOfCgroup(null)).toEqual(unknownOwner);
    expect(ownerOfCgroup(undefined)).toEqual(unknownOwner);
    expect(ownerOfCgroup("")).toEqual(unknownOwner);
    expect(hasOwner(unknownOwner)).toBe(false);
  });

  it("has an id of 64 hex digits and no other", () => {
    for (const wrong of [id.slice(1), `${id}0`, id.toUpperCase(), id.replace("3", "g")]) {
      expect(ownerOfCgroup(`/system.slice/docker-${wrong}.scope`).containerId).toBeNull();
      expect(ownerOfCgroup(`/docker/${wrong}`).containerId).toBeNull();
    }
  });

  it("has empty labels if nothing is known", () => {
    const path = `/docker/${id}`;
    const empty = { unit: "", container: "", pod: "", namespace: "" };
    expect(ownerLabels(path, ownerOfCgroup(path))).toEqual({ cgroup: path, ...empty });
    expect(ownerLabels(null, unknownOwner)).toEqual({ cgroup: "", ...empty });
    expect(ownerLabels("/a.service", ownerOfCgroup("/a.service")).unit).toBe("a.service");
  });

  it("has no task if a path has an empty component", () => {
    expect(ownerOfCgroup(`/ecs//${id}`).task).toBeNull();
  });

  it("never throws; a field is null or a string that is not empty", () => {
    const piece = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("docker", "lxc", "garden", "good", "ecs", "uid_1", "job_1", "k8s.io"),
      fc.constantFrom("lxc.payload.", "lxc.payload", "machine-.scope", "machine-\\x00.scope"),
      fc.constantFrom(".service", "_.service", "systemd-nspawn@.service", "a\\x.service", ".."),
      fc.constantFrom(id, `docker-${id}.scope`, `pod${uid}`, `x-pod${uidInSlice}.slice`),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const owner = ownerOfCgroup(pieces.join("/"));
        for (const value of Object.values(owner)) expect(value).not.toBe("");
        expect(Object.keys(owner)).toEqual(Object.keys(unknownOwner));
        if (owner.podUid) expect(owner.podUid).toMatch(/^[0-9a-f]{8}-.{27}$|^[0-9a-f]{32}$/);
      }),
    );
  });

  it("finds container and pod wherever a node's cgroups hang", () => {
    const above = fc.array(fc.constantFrom("system.slice", "lxc", "ct", `docker/${nested}`, "x"));
    fc.assert(
      fc.property(above, (parents) => {
        const prefix = parents.map((parent) => `/${parent}`).join("");
        const path = `${prefix}/kubepods/burstable/pod${uid}/${id}`;
        expect(ownerOfCgroup(path)).toMatchObject({ podUid: uid, containerId: id });
      }),
    );
  });
});
