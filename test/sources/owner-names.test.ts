import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Owner } from "../../src/kills/owner.ts";
import { ownerOfCgroup } from "../../src/kills/owner.ts";
import { OwnerNames } from "../../src/sources/owner-names.ts";
import { fixtureHost, type HostName } from "../setup/fixture-host.ts";
import { heldBytes, mebibyte } from "../setup/held-memory.ts";
import { openHost } from "../setup/opened-host.ts";

const id = "4f5b1c0e9a7d".padEnd(64, "3");
const other = "0123456789ab".padEnd(64, "c");
const uid = "1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11";
const podSlice = `/kubepods.slice/kubepods-pod${uid.replaceAll("-", "_")}.slice`;
const kubernetes = { pod: "web-7d4f", namespace: "shop", podUid: uid };

let rootfs: string;
let nowMs: number;
let names: OwnerNames;

beforeEach(() => {
  rootfs = mkdtempSync(join(tmpdir(), "owner-names-"));
  nowMs = 0;
  names = new OwnerNames({ rootfs, now: () => nowMs });
});

afterEach(() => rmSync(rootfs, { recursive: true }));

function put(path: string, content: unknown): void {
  const file = join(rootfs, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
}

function putDocker(container: string, config: unknown, root = "/var/lib/docker"): void {
  put(`${root}/containers/${container}/config.v2.json`, config);
}

function putContainerLog(name: string): void {
  mkdirSync(join(rootfs, "var/log/containers"), { recursive: true });
  symlinkSync("/var/log/pods/gone/0.log", join(rootfs, "var/log/containers", name));
}

describe("names of Kubernetes containers", () => {
  it("come from the kubelet's log links, whatever the runtime", () => {
    putContainerLog(`web-7d4f_shop_nginx-${id}.log`);
    for (const path of [
      `${podSlice}/cri-containerd-${id}.scope`,
      `/kubepods/burstable/pod${uid}/${id}`,
      `${podSlice}/crio-${id}.scope/container`,
    ]) {
      expect(names.ownerOf(path)).toEqual({
        ...ownerOfCgroup(path),
        ...kubernetes,
        container: "nginx",
      });
    }
  });

  it("come from the pod's log directory if only the pod is named", () => {
    put(`/var/log/pods/shop_web-7d4f_${uid}/nginx/0.log`, "");
    expect(names.ownerOf(podSlice)).toMatchObject({ ...kubernetes, container: null });
    expect(names.ownerOf(`${podSlice}/crio-${id}.scope`)).toMatchObject({
      ...kubernetes,
      container: null,
    });
  });

  it("know static pods by their hash", () => {
    const hash = "8d4f6a0b1c2d3e4f5a6b7c8d9e0f1a2b";
    put(`/var/log/pods/kube-system_etcd-node1_${hash}/etcd/0.log`, "");
    expect(names.ownerOf(`/kubepods/burstable/pod${hash}`)).toMatchObject({
      pod: "etcd-node1",
      namespace: "kube-system",
    });
  });

  it.each(["/run/containerd", "/run/k3s/containerd"])(
    "come from containerd's copy of the OCI config below %s",
    (state) => {
      put(`${state}/io.containerd.runtime.v2.task/k8s.io/${id}/config.json`, {
        annotations: {
          "io.kubernetes.cri.container-name": "nginx",
          "io.kubernetes.cri.container-type": "container",
          "io.kubernetes.cri.sandbox-name": "web-7d4f",
          "io.kubernetes.cri.sandbox-namespace": "shop",
          "io.kubernetes.cri.sandbox-uid": uid,
        },
      });
      expect(names.ownerOf(`/system.slice:cri-containerd:${id}`)).toMatchObject({
        ...kubernetes,
        container: "nginx",
      });
    },
  );

  it("of a pod come from its containers if the kubelet's files are gone", () => {
    put(`/run/containerd/io.containerd.runtime.v2.task/k8s.io/${id}/config.json`, {
      annotations: {
        "io.kubernetes.cri.container-name": "nginx",
        "io.kubernetes.cri.sandbox-name": "web-7d4f",
        "io.kubernetes.cri.sandbox-namespace": "shop",
      },
    });
    expect(names.ownerOf(podSlice).pod).toBeNull();
    names.ownerOf(`${podSlice}/cri-containerd-${id}.scope`);
    nowMs = 1_000;
    expect(names.ownerOf(podSlice)).toMatchObject({ ...kubernetes, container: null });
  });

  it("come from CRI-O's OCI config", () => {
    put(`/run/containers/storage/overlay-containers/${id}/userdata/config.json`, {
      annotations: {
        "io.kubernetes.container.name": "nginx",
        "io.kubernetes.pod.name": "web-7d4f",
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.uid": uid,
      },
    });
    expect(names.ownerOf(`${podSlice}/crio-${id}.scope`)).toMatchObject({
      ...kubernetes,
      container: "nginx",
      runtime: "cri-o",
    });
  });

  it("come from CRI-O's container list", () => {
    put("/var/lib/containers/storage/overlay-containers/containers.json", [
      { id, names: [`k8s_nginx_web-7d4f_shop_${uid}_0`] },
      { id: other, names: [`k8s_POD_web-7d4f_shop_${uid}_0`] },
    ]);
    const path = `/kubepods/pod${uid}/${id}`;
    expect(names.ownerOf(path)).toMatchObject({
      ...kubernetes,
      container: "nginx",
      runtime: "cri-o",
    });
    expect(names.ownerOf(`/kubepods/pod${uid}/${other}`)).toMatchObject({
      ...kubernetes,
      container: null,
    });
  });

  it("come from Docker's labels and from the names that the kubelet gave", () => {
    putDocker(id, {
      Name: "/k8s_nginx_web-7d4f_shop_1d9a4f2e-63c7-4b1a-9f0e-5f2f6f0c8a11_2",
      Config: { Labels: {} },
    });
    putDocker(other, {
      Name: "/renamed",
      Config: {
        Labels: {
          "io.kubernetes.container.name": "sidecar",
          "io.kubernetes.pod.name": "web-7d4f",
          "io.kubernetes.pod.namespace": "shop",
        },
      },
    });
    expect(names.ownerOf(`${podSlice}/docker-${id}.scope`).container).toBe("nginx");
    expect(names.ownerOf(`${podSlice}/docker-${other}.scope`)).toMatchObject({
      ...kubernetes,
      container: "sidecar",
    });
  });
});

describe("names on whole hosts", () => {
  it.each<[HostName, cgroup: string, owner: Partial<Owner>]>([
    [
      "kubernetes-node",
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1d9a4f2e_63c7_4b1a_9f0e_5f2f6f0c8a11.slice/cri-containerd-22d6e4f8a0b2c4d6e8f0a2b4c6d8eafcae02b4c6d8eafcae02b4c6d8eafcae02.scope",
      { container: "proxy", pod: "web-7d4f9c6b5-x2x7q", namespace: "shop" },
    ],
    [
      "kubernetes-node",
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod8d4f6a0b1c2d3e4f5a6b7c8d9e0f1a2b.slice/cri-containerd-5509b7cbd3e5f7091b3c5d7e9fb0d1cfd135e7f90bd1cfd135e7f90bd1cfd135.scope",
      { container: "etcd", pod: "etcd-node-1", namespace: "kube-system" },
    ],
    [
      "kubernetes-node",
      "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podc0b4e8d6_1f27_4a39_bd58_90e6c7a2f135.slice/cri-containerd-44f8a6bac2d4e6f80a2b4c6d8eafc0bec024d6e8fac0bec024d6e8fac0bec024.scope",
      { container: "report", pod: "report-28412-k9zvw", namespace: "batch" },
    ],
    [
      "v2-systemd",
      "/system.slice/docker-c41d8e02b7f6a5930e1f2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978.scope",
      { container: "shop-import-1", runtime: "docker", unit: null },
    ],
    [
      "v2-systemd",
      "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-9a8b7c6d5e4f30213243546576879809a1b2c3d4e5f60718293a4b5c6d7e8f90.scope/container",
      { container: "browser", runtime: "podman", unit: null },
    ],
    [
      "v1-systemd",
      "/docker/b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef",
      { container: "thumbnails", runtime: "docker" },
    ],
    [
      "hybrid",
      "/machine.slice/libpod-2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae.scope",
      { container: "mailer", runtime: "podman" },
    ],
  ])("%s %s", (host, cgroup, owner) => {
    names = new OwnerNames({ rootfs: fixtureHost(host).rootfs, now: () => nowMs });
    expect(names.ownerOf(cgroup)).toMatchObject(owner);
  });
});

describe("names of other containers", () => {
  it("come from Docker's config", () => {
    putDocker(id, { Name: "/shop-db-1", Config: { Labels: null } });
    expect(names.ownerOf(`/system.slice/docker-${id}.scope`)).toEqual({
      unit: null,
      container: "shop-db-1",
      containerId: id,
      runtime: "docker",
      pod: null,
      podUid: null,
      namespace: null,
      platform: "docker",
      task: null,
    });
  });

  it.each<[string, Record<string, string>, object]>([
    [
      "Compose",
      { "com.docker.compose.project": "shop", "com.docker.compose.service": "web" },
      { platform: "docker", task: "shop/web" },
    ],
    [
      "Swarm",
      { "com.docker.swarm.service.name": "shop_web" },
      { platform: "docker", task: "shop_web" },
    ],
    [
      "Nomad",
      { "com.hashicorp.nomad.alloc_id": "de25a563-2409-843f-08ad-5bc6053df174" },
      { platform: "nomad", task: "de25a563-2409-843f-08ad-5bc6053df174" },
    ],
    [
      "ECS",
      { "com.amazonaws.ecs.task-arn": "arn:aws:ecs:eu-west-1:1:task/prod/0b1c2d3e4f5a" },
      { platform: "ecs", task: "0b1c2d3e4f5a" },
    ],
    ["nobody that is known", { "com.docker.compose.project": "shop" }, { task: null }],
  ])("say that a container is of %s", (_who, labels, owner) => {
    putDocker(id, { Name: "/shop-db-1", Config: { Labels: labels } });
    expect(names.ownerOf(`/system.slice/docker-${id}.scope`)).toMatchObject(owner);
  });

  it("are found under the data-root that daemon.json sets", () => {
    put("/etc/docker/daemon.json", { "data-root": "/srv/docker" });
    putDocker(id, { Name: "/db" }, "/srv/docker");
    expect(names.ownerOf(`/docker/${id}`).container).toBe("db");
  });

  it("come from nerdctl's annotation", () => {
    put(`/run/containerd/io.containerd.runtime.v2.task/default/${id}/config.json`, {
      annotations: { "nerdctl/name": "cache" },
    });
    expect(names.ownerOf(`/system.slice/nerdctl-${id}.scope`).container).toBe("cache");
  });

  it.each(["containers.json", "volatile-containers.json"])("come from Podman's %s", (file) => {
    put(`/var/lib/containers/storage/overlay-containers/${file}`, [{ id, names: ["queue"] }]);
    expect(names.ownerOf(`/machine.slice/libpod-${id}.scope/container`)).toMatchObject({
      container: "queue",
      runtime: "podman",
    });
  });

  it("give the runtime if the path does not", () => {
    putDocker(id, { Name: "/db" });
    expect(names.ownerOf(`/batch/${id}`)).toMatchObject({ container: "db", runtime: "docker" });
  });

  it("of a rootless container come from the home of the user whose slice it is in", () => {
    const storage = ".local/share/containers/storage/overlay-containers/containers.json";
    put("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nana:x:4242:4242::/home/ana:/bin/sh\n");
    put(`/home/ana/${storage}`, [{ id, names: ["notes"] }]);
    put(`/home/eve/${storage}`, [{ id, names: ["forged"] }]);
    const slice = "user@4242.service/user.slice";
    const path = `/user.slice/user-4242.slice/${slice}/libpod-${id}.scope`;
    expect(names.ownerOf(path).container).toBe("notes");
  });

  it("of a rootless container are found for users that are not in /etc/passwd", () => {
    const self = process.getuid?.();
    mkdirSync(join(rootfs, "home"));
    symlinkSync("loop", join(rootfs, "home/loop"));
    putDocker(id, { Name: "/notes" }, "/home/ana/.local/share/docker");
    expect(
      names.ownerOf(`/user.slice/user-${self}.slice/user@${self}.service/docker-${id}.scope`)
        .container,
    ).toBe("notes");
    expect(
      names.ownerOf(`/user.slice/user-4243.slice/user@4243.service/docker-${id}.scope`).container,
    ).toBeNull();
  });

  it("never come from a user's files for another's container, even with its id in a cgroup", () => {
    put("/etc/passwd", "eve:x:4242:4242::/home/eve:/bin/sh\n");
    put("/home/eve/.local/share/containers/storage/overlay-containers/containers.json", [
      { id, names: ["forged"] },
    ]);
    const own = `/user.slice/user-4242.slice/user@4242.service/libpod-${id}.scope`;
    expect(names.ownerOf(own).container).toBe("forged");
    expect(names.ownerOf(`/machine.slice/libpod-${id}.scope`).container).toBeNull();
  });
});

describe("remembered containers", () => {
  const path = `/docker/${id}`;

  it("stays known after the container and its files are gone", () => {
    putDocker(id, { Name: "/db" });
    const owner = names.ownerOf(path);
    rmSync(join(rootfs, "var"), { recursive: true });
    nowMs += 1e9;
    expect(names.ownerOf(path)).toBe(owner);
    expect(names.ownerOf(`${path}/init`).container).toBe("db");
  });

  it("is asked for again when a runtime wrote its files late", () => {
    expect(names.ownerOf(path).container).toBeNull();
    putDocker(id, '{"Name":"/d');
    nowMs = 1_000;
    expect(names.ownerOf(path).container).toBeNull();
    putDocker(id, { Name: "/db" });
    nowMs = 10_999;
    expect(names.ownerOf(path).container).toBeNull();
    nowMs = 11_000;
    expect(names.ownerOf(path).container).toBe("db");
  });

  it("is asked for five times and then left unknown", () => {
    for (nowMs of [0, 1_000, 11_000, 71_000, 671_000]) names.ownerOf(path);
    putDocker(id, { Name: "/db" });
    nowMs = 1e9;
    expect(names.ownerOf(path).container).toBeNull();
  });

  it("keeps the pod that was found while the container is still looked for", () => {
    put(`/var/log/pods/shop_web-7d4f_${uid}/nginx/0.log`, "");
    const inPod = `/kubepods/pod${uid}/${id}`;
    names.ownerOf(inPod);
    rmSync(join(rootfs, "var"), { recursive: true });
    nowMs = 1_000;
    expect(names.ownerOf(inPod).pod).toBe("web-7d4f");
  });

  it("are bounded: the least recently used one is forgotten first", () => {
    names = new OwnerNames({ rootfs, now: () => nowMs, maxEntries: 2 });
    const [first, second, third] = ["a", "b", "c"].map((digit) => digit.repeat(64));
    for (const each of [first, second, third] as string[]) {
      putDocker(each, { Name: `/name-${each[0]}` });
      names.ownerOf(`/docker/${each}`);
    }
    rmSync(join(rootfs, "var"), { recursive: true });
    expect(
      [third, second, first].map((each) => names.ownerOf(`/docker/${each}`).container),
    ).toEqual(["name-c", "name-b", null]);
  });

  it("are remembered of as many cgroups as a pass may read", () => {
    const { owners } = openHost(
      { rootfs, procfs: join(rootfs, "proc"), sysfs: join(rootfs, "sys") },
      { cgroups: { max: 10_000 } },
    );
    const paths = Array.from({ length: 10_000 }, (_, index) => `/a/${index}.service`);
    const [first] = paths.map((path) => owners.ownerOf(path));
    expect(owners.ownerOf("/a/0.service")).toBe(first);
  });

  it("cost nothing if the path has all names", () => {
    const nginx = names.ownerOf("/system.slice/nginx.service");
    expect(nginx).toEqual(ownerOfCgroup("/system.slice/nginx.service"));
    expect(names.ownerOf("/system.slice/nginx.service")).toBe(nginx);
  });
});

describe("invalid files", () => {
  const path = `/docker/${id}`;
  const file = `/var/lib/docker/containers/${id}/config.v2.json`;

  it("give no name that a runtime would not allow", () => {
    for (const name of ["/../../x", '/a"b', "/a\nb", "/", "", "/".padEnd(400, "a"), 7, null]) {
      putDocker(id, { Name: name });
      names = new OwnerNames({ rootfs, now: () => nowMs });
      expect(names.ownerOf(path).container).toBeNull();
    }
  });

  it("are not followed: a pipe, a directory, a link", () => {
    mkdirSync(join(rootfs, dirname(file)), { recursive: true });
    execFileSync("mkfifo", [join(rootfs, file)]);
    expect(names.ownerOf(path).container).toBeNull();
    rmSync(join(rootfs, file));
    mkdirSync(join(rootfs, file));
    nowMs = 1_000;
    expect(names.ownerOf(path).container).toBeNull();
    rmSync(join(rootfs, file), { recursive: true });
    put("/elsewhere", { Name: "/db" });
    symlinkSync(join(rootfs, "elsewhere"), join(rootfs, file));
    nowMs = 11_000;
    expect(names.ownerOf(path).container).toBeNull();
  });

  it("are not read when they are too long", () => {
    putDocker(id, { Name: "/db", padding: "x".repeat(1 << 20) });
    expect(names.ownerOf(path).container).toBeNull();
  });

  it("never make it throw, whatever they contain", () => {
    const json = fc.oneof(fc.string(), fc.json(), fc.constant("[".repeat(200_000)));
    const found = fc.record(
      {
        Name: fc.anything(),
        names: fc.anything(),
        id: fc.constant(id),
        annotations: fc.anything(),
      },
      { requiredKeys: [] },
    );
    const content = fc.oneof(
      json,
      fc.oneof(found, fc.array(found)).map((value) => safeJson(value)),
    );
    fc.assert(
      fc.property(content, (text) => {
        put(file, text);
        put("/var/lib/containers/storage/overlay-containers/containers.json", text);
        put(`/run/containerd/io.containerd.runtime.v2.task/k8s.io/${id}/config.json`, text);
        put("/etc/docker/daemon.json", text);
        put("/etc/passwd", text);
        const fresh = new OwnerNames({ rootfs, now: () => nowMs });
        for (const each of [`/x/${id}`, `/user.slice/user-1.slice/libpod-${id}.scope`]) {
          expect(fresh.ownerOf(each).containerId).toBe(id);
        }
      }),
      { numRuns: 60 },
    );
  });
});

function safeJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "";
  }
}

it("keeps the names of a host's other containers for a second only", () => {
  const containers = Array.from({ length: 8000 }, (_, n) => ({
    id: `${n}`.padEnd(64, "f"),
    names: [`a-container-with-a-name-of-its-own-${n}`],
    metadata: "x".repeat(600),
  }));
  containers.push({ id, names: ["web"], metadata: "" });
  put("/var/lib/containers/storage/overlay-containers/containers.json", containers);
  const path = `/machine.slice/libpod-${id}.scope`;
  const ask = () => {
    expect(names.ownerOf(path)).toMatchObject({ container: "web" });
    nowMs += 1000;
    names.ownerOf(path);
    return names;
  };
  expect(heldBytes(ask)).toBeLessThan(mebibyte);
});
