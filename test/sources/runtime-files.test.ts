import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  containerdNames,
  containerLogNames,
  crioNames,
  dockerDataRoot,
  dockerNames,
  homeInPasswd,
  podLogNames,
  storageNames,
} from "../../src/sources/runtime-files.ts";

const id = "5f".repeat(32);
const uid = "7b2f9c1e-0d4a-4c3b-8e6f-1a2b3c4d5e6f";

describe("the kubelet's names of logs", () => {
  it("say container, pod and namespace", () => {
    expect(containerLogNames(`web-0_shop_nginx-side-${id}.log`)).toEqual({
      containerId: id,
      names: { pod: "web-0", namespace: "shop", container: "nginx-side" },
    });
    expect(podLogNames(`shop_web-0_${uid}`)).toEqual({
      podUid: uid,
      names: { pod: "web-0", namespace: "shop" },
    });
  });

  it("give nothing if they have another format", () => {
    for (const name of ["", "web-0.log", `web-0_shop_nginx-${id}.log.gz`, "shop_web-0"]) {
      expect(containerLogNames(name), name).toBeUndefined();
      expect(podLogNames(name), name).toBeUndefined();
    }
  });
});

describe("the runtimes' descriptions", () => {
  it("name Docker's containers, and Kubernetes' in Docker", () => {
    expect(dockerNames({ Name: "/web" })).toEqual({ container: "web", runtime: "docker" });
    expect(dockerNames({ Name: `/k8s_nginx_web-0_shop_${uid}_0` })).toEqual({
      container: "nginx",
      pod: "web-0",
      namespace: "shop",
      podUid: uid,
      runtime: "docker",
    });
  });

  it("name a pod's sandbox by its pod alone", () => {
    const Labels = {
      "io.kubernetes.container.name": "POD",
      "io.kubernetes.pod.name": "web-0",
      "io.kubernetes.pod.namespace": "shop",
    };
    expect(dockerNames({ Name: "/any", Config: { Labels } })).toEqual({
      container: null,
      pod: "web-0",
      namespace: "shop",
      runtime: "docker",
    });
  });

  it("name containerd's and CRI-O's by the annotations of their own plugins", () => {
    expect(containerdNames({ annotations: { "nerdctl/name": "web" } })).toEqual({
      container: "web",
      runtime: "containerd",
    });
    const annotations = {
      "io.kubernetes.container.name": "nginx",
      "io.kubernetes.pod.name": "web-0",
      "io.kubernetes.pod.namespace": "shop",
      "io.kubernetes.pod.uid": uid,
    };
    const pod = { container: "nginx", pod: "web-0", namespace: "shop", podUid: uid };
    expect(crioNames({ annotations })).toEqual({ ...pod, runtime: "cri-o" });
    expect(containerdNames({ annotations })).toBeUndefined();
  });

  it("tell Podman's containers from CRI-O's in the storage they share", () => {
    const names = storageNames([
      { id: "a", names: ["web"] },
      { id: "b", names: [`k8s_nginx_web-0_shop_${uid}_0`] },
      { id: "c" },
      "torn",
    ]);
    expect([...names.keys()]).toEqual(["a", "b"]);
    expect(names.get("a")).toEqual({ container: "web", runtime: "podman" });
    expect(names.get("b")).toMatchObject({ container: "nginx", pod: "web-0", runtime: "cri-o" });
  });

  it("give no name that no runtime allows", () => {
    expect(dockerNames({ Name: "/<script>" })).toBeUndefined();
    expect(storageNames([{ id: "a", names: ["\u202eweb"] }]).get("a")).toMatchObject({
      container: null,
    });
  });

  it("never throw, whatever the documents hold", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (document) => {
        for (const parse of [dockerNames, containerdNames, crioNames, dockerDataRoot]) {
          parse(document);
        }
        storageNames(document);
      }),
    );
  });
});

describe("data directories", () => {
  it("is Docker's data-root if daemon.json sets a valid path", () => {
    expect(dockerDataRoot({ "data-root": "/data/docker" })).toBe("/data/docker");
    expect(dockerDataRoot({ "data-root": "docker" })).toBeUndefined();
    expect(dockerDataRoot(null)).toBeUndefined();
  });

  it("is a user's home by /etc/passwd", () => {
    const passwd =
      "root:x:0:0::/root:/bin/sh\n# x\nann:x:1000:1000:Ann:/srv/ann:/bin/sh\nbob:x:1001:";
    expect(homeInPasswd(passwd, "1000")).toBe("/srv/ann");
    expect(homeInPasswd(passwd, "1001")).toBeUndefined();
    expect(homeInPasswd(passwd, "7")).toBeUndefined();
  });
});
