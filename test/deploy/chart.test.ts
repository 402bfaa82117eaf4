import { readdirSync, readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { chartValues } from "../../scripts/chart.ts";
import { parseServeFlags } from "../../src/flags.ts";
import { chartDigest, chartDirectory, settings, valuesWith } from "../helm/chart.ts";
import { type KubernetesObject, objectsIn, problemsOf, titleOf } from "./kubernetes-objects.ts";

const read = (path: string) => readFileSync(`${chartDirectory}/${path}`, "utf8");
const names = Object.keys(settings);
const rendered = Object.fromEntries(
  names.map((name) => {
    const text = readFileSync(`test/helm/rendered/${name}.yaml`, "utf8");
    return [name, { digest: text.split("\n")[1]?.slice(2), objects: objectsIn(text) }];
  }),
);

/** Objects of the settings, by kind. */
function kind(name: string, wanted: string): KubernetesObject[] {
  return rendered[name]?.objects.filter((object) => object.kind === wanted) ?? [];
}

interface DaemonSet {
  spec: {
    template: {
      metadata: object;
      spec: { containers: [Record<string, unknown>]; volumes: object[]; securityContext: object };
    };
  };
}

const daemonSet = (name: string) => kind(name, "DaemonSet")[0] as unknown as DaemonSet;
const podOf = (name: string) => daemonSet(name).spec.template.spec;
const argsOf = (name: string) => podOf(name).containers[0].args as string[];

/** The objects of a folder's files, patches left out. */
function plain(folder: string): KubernetesObject[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".yaml") && file !== "kustomization.yaml")
    .flatMap((file) => objectsIn(readFileSync(`${folder}/${file}`, "utf8")));
}

const base = plain("deploy/kubernetes/base");

describe.each(names)(
  "the chart with the settings %s, as Go's template engine renders it",
  (name) => {
    it("is rendered from the chart as it is: else npm run test:helm -- --update", () => {
      expect(rendered[name]?.digest).toBe(chartDigest());
    });

    it("is valid by the published schema of every kind", async () => {
      const { objects = [] } = rendered[name] ?? {};
      expect(objects.length).toBeGreaterThan(0);
      expect((await Promise.all(objects.map(problemsOf))).flat()).toEqual([]);
    });

    it("has names and labels of at most 63 characters, a namespace and the chart's labels", () => {
      for (const object of rendered[name]?.objects ?? []) {
        const { name, namespace, labels = {} } = object.metadata;
        expect(name, titleOf(object)).toMatch(/^[a-z\d]([a-z\d-]{0,61}[a-z\d])?$/);
        expect(namespace, titleOf(object)).toMatch(/^(observability|monitoring)$/);
        expect(labels["app.kubernetes.io/name"]).toBe("oom-exporter");
        for (const value of Object.values(labels)) expect(value.length).toBeLessThan(64);
      }
    });

    it("hands the exporter flags that it knows", () => {
      const args = argsOf(name).map((arg) => arg.replace("$(NODE_IP)", "fd00::7"));
      expect(parseServeFlags(args, {})["path.rootfs"]).toBe("/host");
    });
  },
);

describe("the chart with its defaults", () => {
  it("has the objects of deploy/kubernetes/base, without the namespace", () => {
    const kinds = (objects: readonly KubernetesObject[]) => objects.map((object) => object.kind);
    expect(kinds(rendered.default?.objects ?? []).sort()).toEqual(
      kinds(base)
        .filter((kind) => kind !== "Namespace")
        .sort(),
    );
  });

  it("runs the same pod", () => {
    const ofBase = base.find(({ kind }) => kind === "DaemonSet") as unknown as DaemonSet;
    const { containers: own, ...pod } = podOf("default");
    const { containers: theirs, ...basePod } = ofBase.spec.template.spec;
    expect(pod).toEqual({ ...basePod, serviceAccountName: "oom-oom-exporter" });
    const { image: _image, imagePullPolicy: _policy, env, ...container } = own[0];
    const { image: _, env: baseEnv, ...baseContainer } = theirs[0];
    expect(container).toEqual(baseContainer);
    expect(env).toEqual(expect.arrayContaining(baseEnv as object[]));
  });

  it("has the same quota, service account and network policy", () => {
    for (const wanted of ["ResourceQuota", "ServiceAccount"]) {
      const { metadata: _, ...own } = kind("default", wanted)[0] ?? ({} as KubernetesObject);
      const { metadata: __, ...theirs } =
        base.find((object) => object.kind === wanted) ?? ({} as KubernetesObject);
      expect(own, wanted).toEqual(theirs);
    }
    const spec = (objects: readonly KubernetesObject[]) =>
      objects.find((object) => object.kind === "NetworkPolicy")?.spec as { podSelector: object };
    const { podSelector: _, ...own } = spec(rendered.default?.objects ?? []);
    const { podSelector: __, ...theirs } = spec(base);
    expect(own).toEqual(theirs);
  });

  it("is of the version of the package", () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(parse(read("Chart.yaml"))).toMatchObject({ version, appVersion: version });
    expect(podOf("default").containers[0].image).toBe(
      `ghcr.io/oom-exporter/oom-exporter:${version}`,
    );
  });
});

describe("the chart with everything on", () => {
  it("reads /dev/kmsg as the component does", () => {
    const [patch] = plain("deploy/kubernetes/components/kmsg-privileged") as unknown as [DaemonSet];
    const { volumes, containers } = patch.spec.template.spec;
    const [container] = podOf("everything").containers;
    expect(container.securityContext).toMatchObject({ privileged: true });
    expect(container.volumeMounts).toEqual(
      expect.arrayContaining(containers[0].volumeMounts as object[]),
    );
    const { emptyDir: _, ...state } = volumes.find(
      (volume) => (volume as { name: string }).name === "state",
    ) as { emptyDir: null };
    const kmsg = volumes.find((volume) => (volume as { name: string }).name === "kmsg");
    expect(podOf("everything").volumes).toEqual(expect.arrayContaining([kmsg, state]));
    expect(podOf("everything").securityContext).toMatchObject({ runAsUser: 0 });
  });

  it("serves TLS, is probed at its port and links by https", () => {
    const [container] = podOf("everything").containers;
    for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"]) {
      expect(container[probe]).toMatchObject({ tcpSocket: { port: "http" } });
    }
    expect(argsOf("everything")).toEqual(
      expect.arrayContaining([
        "--web.external-url=https://$(NODE_IP):10137",
        "--web.config.file=/etc/oom-exporter/web.yml",
        "--collector.cgroups.max=4000",
      ]),
    );
    expect(container.image).toMatch(
      /^registry\.example\.org\/oom-exporter\/oom-exporter@sha256:a+$/,
    );
  });

  it("scrapes with both monitors as the component's PodMonitor does", () => {
    const endpoints = (object: KubernetesObject | undefined, field: string) =>
      ((object?.spec ?? {}) as Record<string, Record<string, unknown>[]>)[field]?.[0] ?? {};
    const [monitor] = plain("deploy/kubernetes/components/prometheus-operator").filter(
      (object) => object.kind === "PodMonitor",
    );
    const wanted = endpoints(monitor, "podMetricsEndpoints");
    const relabelings = wanted.relabelings as object[];
    for (const [kindName, field] of [
      ["PodMonitor", "podMetricsEndpoints"],
      ["ServiceMonitor", "endpoints"],
    ] as const) {
      const own = endpoints(kind("everything", kindName)[0], field);
      expect(own).toMatchObject({
        ...wanted,
        relabelings: [...relabelings, { targetLabel: "zone" }],
      });
    }
    expect(kind("everything", "PodMonitor")[0]?.spec).toMatchObject({
      jobLabel: "app.kubernetes.io/name",
      sampleLimit: 50000,
    });
  });

  it("puts rules, dashboards and monitors where and as they were asked for", () => {
    expect(kind("everything", "ConfigMap").map(({ metadata }) => metadata)).toMatchObject(
      ["fleet", "host", "workload"].map((name) => ({
        name: `oom-oom-exporter-dashboard-${name}`,
        namespace: "monitoring",
        labels: { grafana_dashboard: "1", team: "sre" },
      })),
    );
    expect(kind("everything", "PrometheusRule")[0]?.metadata).toMatchObject({
      namespace: "monitoring",
      labels: { release: "kube-prometheus-stack" },
    });
  });
});

it("the reduced chart leaves out what its values turn off", () => {
  const [container] = podOf("reduced").containers;
  expect(container.ports).toEqual([{ name: "http", containerPort: 10137 }]);
  expect(argsOf("reduced").join()).not.toContain("external-url");
  expect(podOf("reduced")).toMatchObject({ serviceAccountName: "shared" });
  expect(podOf("reduced")).not.toHaveProperty("priorityClassName");
  expect(podOf("reduced")).not.toHaveProperty("tolerations");
  expect(rendered.reduced?.objects.map((object) => object.kind)).toEqual(["DaemonSet"]);
});

describe("the chart's values", () => {
  const schema = JSON.parse(read("values.schema.json"));
  const validate = new Ajv({ allErrors: true }).compile(schema);

  it.each(Object.entries(settings))("accept the settings %s", (_name, own) => {
    validate(valuesWith(own));
    expect(validate.errors ?? []).toEqual([]);
  });

  it.each([
    { kmsg: { enable: true } },
    { image: { digest: "latest" } },
    { hostPort: 70000 },
    { extraArgs: ["log.level=debug"] },
    { podMonitor: { interval: "often" } },
    { prometheusRule: { runbookUrl: "https://example.org/runbooks" } },
    { unknown: 1 },
  ])("refuse %j", (own) => {
    expect(validate(valuesWith(own))).toBe(false);
  });

  it("are all read by a template, and no template reads another", () => {
    const templates = readdirSync(`${chartDirectory}/templates`)
      .map((file) => read(`templates/${file}`))
      .join("\n")
      .replaceAll('"oom-exporter.endpoint" .Values.podMonitor', endpointOf("podMonitor"))
      .replaceAll('"oom-exporter.endpoint" .Values.serviceMonitor', endpointOf("serviceMonitor"));
    const paths = chartValues().map(({ path }) => path);
    expect(paths.length).toBeGreaterThan(60);
    const used = [...templates.matchAll(/\.Values\.([\w.]+)/g)].map(([, path]) => path as string);
    expect(paths.filter((path) => !used.includes(path))).toEqual([]);
    expect(used.filter((path) => !paths.some((known) => known === path))).toEqual([]);
  });
});

/** The values that the template of an endpoint reads. */
function endpointOf(monitor: string): string {
  const fields = ["interval", "scrapeTimeout", "scheme", "tlsConfig", "basicAuth"];
  return [...fields, "relabelings", "metricRelabelings"]
    .map((field) => `.Values.${monitor}.${field}`)
    .join(" ");
}
