import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { parseServeFlags } from "../../src/flags.ts";
import { needs } from "../setup/needs.ts";
import {
  type KubernetesObject,
  kubectl,
  kustomize,
  problemsOf,
  titleOf,
} from "./kubernetes-objects.ts";

const folder = "deploy/kubernetes";
const components = ["prometheus-operator", "grafana-dashboards", "kmsg-privileged", "web-config"];

const daemonSetOf = (objects: readonly KubernetesObject[]) =>
  objects.find(({ kind }) => kind === "DaemonSet") as unknown as {
    spec: {
      template: {
        spec: {
          containers: [{ args: string[]; ports: object[]; securityContext: object }];
          volumes: { name: string }[];
        };
      };
    };
  };

/** An overlay of somebody's own: another namespace, and these components of the shipped ones. */
async function ownOverlay(chosen: readonly string[]): Promise<KubernetesObject[]> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), "kustomize-")));
  const shipped = (path: string) => relative(directory, resolve(folder, path));
  try {
    const kustomization = {
      namespace: "observability",
      resources: [shipped("base")],
      components: chosen.map((name) => shipped(`components/${name}`)),
    };
    await writeFile(join(directory, "kustomization.yaml"), stringify(kustomization));
    return await kustomize(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe("the check against the published schemas", () => {
  it("finds a value of the wrong type and a field that does not exist", async () => {
    const object = (spec: object) => ({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "x" },
      spec: { podSelector: {}, ...spec },
    });
    expect(await problemsOf(object({ egress: [{ ports: [{ port: "http" }] }] }))).toEqual([]);
    expect(await problemsOf(object({ egress: "none" }))).toEqual([
      expect.stringMatching(/NetworkPolicy\/x: .*egress.*array/),
    ]);
    expect(await problemsOf(object({ egress: [{ ports: [{ prot: "TCP" }] }] }))).toEqual([
      "NetworkPolicy/x: no such field: /spec/egress/0/ports/0/prot",
    ]);
  });
});

const builds = [
  { name: "base", build: () => kustomize(`${folder}/base`), count: 5 },
  {
    name: "overlays/prometheus-operator",
    build: () => kustomize(`${folder}/overlays/prometheus-operator`),
    count: 10,
  },
  {
    name: "overlays/kmsg-privileged",
    build: () => kustomize(`${folder}/overlays/kmsg-privileged`),
    count: 5,
  },
  {
    name: "overlays/web-config",
    build: () => kustomize(`${folder}/overlays/web-config`),
    count: 5,
  },
  { name: "an overlay with every component", build: () => ownOverlay(components), count: 10 },
];

needs(describe, kubectl.obstacle).each(builds)("$name, built by kubectl", ({ build, count }) => {
  let objects: KubernetesObject[];

  beforeAll(async () => {
    objects = await build();
  });

  it("is valid by the published schema of every kind", async () => {
    expect(objects).toHaveLength(count);
    expect((await Promise.all(objects.map(problemsOf))).flat()).toEqual([]);
  });

  it("has names and labels of at most 63 characters, and objects that kubectl apply can annotate", () => {
    for (const object of objects) {
      const { name, labels = {} } = object.metadata;
      expect(name, titleOf(object)).toMatch(/^[a-z\d]([a-z\d-]{0,61}[a-z\d])?$/);
      for (const value of Object.values(labels)) expect(value.length).toBeLessThan(64);
      // kubectl keeps the whole object in an annotation, and all annotations together may have 256 KiB.
      expect(JSON.stringify(object).length, titleOf(object)).toBeLessThan(200 << 10);
    }
  });

  it("hands the exporter flags that it knows, with a URL that the node's address completes", () => {
    const { args } = daemonSetOf(objects).spec.template.spec.containers[0];
    const flags = (address: string) =>
      parseServeFlags(
        args.map((arg) => arg.replace("$(NODE_IP)", address)),
        {},
      );
    expect(flags("10.0.0.7").externalUrl).toMatch(/^https?:\/\/10\.0\.0\.7:10137$/);
    expect(flags("fd00::7").externalUrl).toMatch(/^https?:\/\/\[fd00::7\]:10137$/);
  });
});

needs(it, kubectl.obstacle)(
  "each component changes what it is for, and all go together",
  async () => {
    const objects = await ownOverlay(components);
    expect(new Set(objects.map(({ kind, metadata }) => metadata.namespace ?? kind))).toEqual(
      new Set(["observability", "Namespace"]),
    );
    const { containers, volumes } = daemonSetOf(objects).spec.template.spec;
    expect(containers[0].securityContext).toMatchObject({ privileged: true });
    expect(volumes.map(({ name }) => name)).toEqual(expect.arrayContaining(["kmsg", "web-config"]));
    expect(containers[0].args).toContain("--web.external-url=https://$(NODE_IP):10137");
    const monitor = objects.find(({ kind }) => kind === "PodMonitor") as unknown as {
      spec: { podMetricsEndpoints: object[] };
    };
    expect(monitor.spec.podMetricsEndpoints).toMatchObject([
      { honorLabels: true, scheme: "https" },
    ]);
  },
);

needs(it, kubectl.obstacle)("serves the node's page at the port of its URL", async () => {
  const { args, ports } = daemonSetOf(await kustomize(`${folder}/base`)).spec.template.spec
    .containers[0];
  expect(ports).toMatchObject([{ name: "http", hostPort: 10137 }]);
  expect(args).toContain("--web.external-url=http://$(NODE_IP):10137");
});
