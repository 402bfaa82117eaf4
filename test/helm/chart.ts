import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

export const chartDirectory = "deploy/helm/oom-exporter";

/** Settings that the chart is rendered with; each turns on what the one before leaves off. */
export const settings: Readonly<Record<string, object>> = {
  default: {},
  everything: {
    commonLabels: { team: "sre" },
    image: { registry: "registry.example.org", digest: `sha256:${"a".repeat(64)}` },
    imagePullSecrets: [{ name: "registry" }],
    kmsg: { enabled: true },
    state: { hostPath: "/var/lib/oom-exporter" },
    webConfig: { secretName: "oom-exporter-web-config" },
    extraArgs: ["--collector.cgroups.max=4000", "--log.level=debug"],
    extraEnv: [{ name: "TZ", value: "UTC" }],
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: "pool", operator: "NotIn", values: ["virtual"] }] },
          ],
        },
      },
    },
    daemonSetAnnotations: { "example.org/owner": "sre" },
    podAnnotations: { "example.org/scrape": "no" },
    podLabels: { tier: "node" },
    extraVolumes: [{ name: "localtime", hostPath: { path: "/etc/localtime", type: "File" } }],
    extraVolumeMounts: [{ name: "localtime", mountPath: "/host/etc/localtime", readOnly: true }],
    serviceAccount: { annotations: { "example.org/role": "none" } },
    service: { enabled: true, annotations: { "example.org/x": "y" }, labels: { monitor: "yes" } },
    podMonitor: {
      enabled: true,
      additionalLabels: { release: "kube-prometheus-stack" },
      scheme: "https",
      tlsConfig: {
        ca: { secret: { name: "oom-exporter-web-config", key: "ca.crt" } },
        serverName: "oom-exporter",
      },
      basicAuth: {
        username: { name: "scrape", key: "user" },
        password: { name: "scrape", key: "password" },
      },
      relabelings: [{ sourceLabels: ["__meta_kubernetes_node_label_zone"], targetLabel: "zone" }],
      metricRelabelings: [{ sourceLabels: ["__name__"], regex: "nodejs_.*", action: "drop" }],
      sampleLimit: 50000,
    },
    serviceMonitor: {
      enabled: true,
      additionalLabels: { release: "kube-prometheus-stack" },
      namespace: "monitoring",
      relabelings: [{ sourceLabels: ["__meta_kubernetes_node_label_zone"], targetLabel: "zone" }],
    },
    prometheusRule: {
      enabled: true,
      namespace: "monitoring",
      additionalLabels: { release: "kube-prometheus-stack" },
      runbookUrl: "https://runbooks.example.org/",
      additionalGroups: [{ name: "own", rules: [{ record: "x:y:z", expr: "vector(1)" }] }],
    },
    dashboards: { enabled: true, namespace: "monitoring" },
    networkPolicy: {
      from: [
        { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "monitoring" } } },
      ],
    },
  },
  reduced: {
    fullnameOverride: "a-name-that-is-much-longer-than-any-object-of-kubernetes-may-have",
    externalUrl: { enabled: false },
    hostPort: 0,
    priorityClassName: "",
    nodeSelector: {},
    tolerations: [],
    serviceAccount: { create: false, name: "shared" },
    networkPolicy: { enabled: false },
    image: { tag: "1.2.3" },
  },
};

export const release = { Name: "oom", Namespace: "observability", Service: "Helm" };

/** The values of the chart with these in their place, merged as helm merges `--values`. */
export function valuesWith(own: object): object {
  return merged(parse(readFileSync(join(chartDirectory, "values.yaml"), "utf8")), own);
}

function merged(base: unknown, over: unknown): object {
  const result: Record<string, unknown> = { ...(base as object) };
  for (const [key, value] of Object.entries(over as object)) {
    result[key] = isMap(value) && isMap(result[key]) ? merged(result[key], value) : value;
  }
  return result;
}

function isMap(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Changes with all that the rendered manifests are made of, but for rules and dashboards, which are not in them. */
export function chartDigest(): string {
  const digest = createHash("sha256");
  const files = readdirSync(chartDirectory, { recursive: true, encoding: "utf8" })
    .filter((path) => /^(templates\/.|values\.yaml$|Chart\.yaml$)/.test(path))
    .sort();
  for (const path of files) {
    digest.update(`${path}\n`).update(readFileSync(join(chartDirectory, path)));
  }
  return digest.update(JSON.stringify([settings, release])).digest("hex");
}
