import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parse, parseAllDocuments, stringify } from "yaml";
import { parseServeFlags } from "../../src/flags.ts";

const rules = ["recording.yml", "alerts.yml"].map((name) =>
  parse(readFileSync(`prometheus-rules/${name}`, "utf8")),
);
const components = "deploy/kubernetes/components";

// `npm run manifests` runs this file with --update, which writes the manifests.

it("wraps the plain rules unchanged in a PrometheusRule", async () => {
  const manifest = {
    apiVersion: "monitoring.coreos.com/v1",
    kind: "PrometheusRule",
    metadata: {
      name: "oom-exporter",
      namespace: "oom-exporter",
      labels: { "app.kubernetes.io/name": "oom-exporter" },
    },
    spec: { groups: rules.flatMap(({ groups }) => groups) },
  };
  const text = `# Made from prometheus-rules/ by \`npm run manifests\`.\n${stringify(manifest)}`;
  await expect(text).toMatchFileSnapshot(
    `../../${components}/prometheus-operator/prometheus-rule.yaml`,
  );
});

it.each(["fleet", "host", "workload"])(
  "wraps the dashboard %s in a ConfigMap with the label of Grafana's sidecar",
  async (name) => {
    const dashboard = JSON.parse(readFileSync(`grafana/dashboards/${name}.json`, "utf8"));
    const manifest = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: `oom-exporter-dashboard-${name}`,
        namespace: "oom-exporter",
        labels: { "app.kubernetes.io/name": "oom-exporter", grafana_dashboard: "1" },
        annotations: { grafana_folder: "oom-exporter" },
      },
      data: { [`oom-exporter-${name}.json`]: JSON.stringify(dashboard) },
    };
    const text = `# Made from grafana/dashboards/ by \`npm run manifests\`.\n${stringify(manifest, { lineWidth: 0 })}`;
    await expect(text).toMatchFileSnapshot(`../../${components}/grafana-dashboards/${name}.yaml`);
  },
);

it("the chart has the same rules and dashboards", async () => {
  const files = "../../deploy/helm/oom-exporter/files";
  const groups = rules.flatMap(({ groups }) => groups);
  await expect(stringify(groups)).toMatchFileSnapshot(`${files}/groups.yaml`);
  for (const name of ["fleet", "host", "workload"]) {
    const dashboard = JSON.parse(readFileSync(`grafana/dashboards/${name}.json`, "utf8"));
    await expect(`${JSON.stringify(dashboard)}\n`).toMatchFileSnapshot(`${files}/${name}.json`);
  }
});

const kustomizations = readdirSync("deploy/kubernetes", { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith("/kustomization.yaml"))
  .map((path) => ({ name: path.replace("/kustomization.yaml", "") }));

it.each(kustomizations)("lists in the kustomization of $name every file beside it", ({ name }) => {
  const folder = `deploy/kubernetes/${name}`;
  const files = readdirSync(folder).filter((file) => file !== "kustomization.yaml");
  const { resources = [], patches = [] } = parse(
    readFileSync(`${folder}/kustomization.yaml`, "utf8"),
  );
  const listed = [...resources, ...patches.map(({ path }: { path: string }) => path)];
  expect(listed.filter((path) => !path.startsWith("..")).sort()).toEqual(files.sort());
});

it("mounts the host at the same places in a pod and in Compose", () => {
  const [daemonSet] = parseAllDocuments(
    readFileSync("deploy/kubernetes/base/daemon-set.yaml", "utf8"),
  ).map((document) => document.toJSON());
  const compose = parse(readFileSync("docker/compose.yaml", "utf8"), { merge: true });
  const paths = (args: string[]) => args.filter((arg) => arg.startsWith("--path."));
  const inPod = paths(daemonSet.spec.template.spec.containers[0].args);
  expect(inPod).toEqual(paths(compose.services.exporter.command));
  expect(parseServeFlags(inPod, {})["path.rootfs"]).toBe("/host");
});

it("probes only the port if the web configuration requires certificates or passwords", () => {
  interface Operation {
    op: string;
    path: string;
    value: unknown;
  }
  const operations = parse(
    readFileSync(`${components}/web-config/daemon-set.yaml`, "utf8"),
  ) as Operation[];
  const [daemonSet] = parseAllDocuments(
    readFileSync("deploy/kubernetes/base/daemon-set.yaml", "utf8"),
  ).map((document) => document.toJSON());
  const probes = Object.keys(daemonSet.spec.template.spec.containers[0]).filter((key) =>
    key.endsWith("Probe"),
  );
  const ofContainer = "/spec/template/spec/containers/0/";
  for (const probe of probes) {
    const replaced = operations.find(({ path }) => path === ofContainer + probe);
    expect(replaced, probe).toMatchObject({
      op: "replace",
      value: { tcpSocket: { port: "http" } },
    });
  }
  const flag = operations.find(({ path }) => path === `${ofContainer}args/-`)?.value as string;
  expect(parseServeFlags([flag], {})["web.config.file"]).toBe("/etc/oom-exporter/web.yml");
});

it("honours the labels of the victim's owner in the PodMonitor", () => {
  const { spec } = parse(
    readFileSync(`${components}/prometheus-operator/pod-monitor.yaml`, "utf8"),
  );
  expect(spec.podMetricsEndpoints).toMatchObject([{ honorLabels: true }]);
  expect(spec.jobLabel).toBe("app.kubernetes.io/name");
});

it.each(["oom-exporter.service", "oom-exporter.service.d/kmsg.conf"])(
  "keeps %s free of settings that break Node.js or procfs",
  (name) => {
    const settings = readFileSync(`deploy/systemd/${name}`, "utf8").match(/^\w+=.*$/gm) ?? [];
    expect(settings.length).toBeGreaterThan(3);
    const forbidden = /^(MemoryDenyWriteExecute|ProtectProc|ProcSubset|PrivateUsers)=/;
    expect(settings.filter((setting) => forbidden.test(setting))).toEqual([]);
  },
);

it("protects the unit's memory in its slice too, which is at the top", () => {
  const setting = (file: string, name: string) =>
    new RegExp(`^${name}=(.*)$`, "m").exec(readFileSync(`deploy/systemd/${file}`, "utf8"))?.[1];
  const slice = setting("oom-exporter.service", "Slice") ?? "";
  expect(slice).toMatch(/^[^-]+\.slice$/);
  expect(setting(slice, "MemoryMin")).toBe(setting("oom-exporter.service", "MemoryMin"));
});
