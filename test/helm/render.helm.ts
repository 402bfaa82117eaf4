import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { type KubernetesObject, objectsIn } from "../deploy/kubernetes-objects.ts";
import { cached } from "../kit/cache.ts";
import { debianPrograms } from "../kit/debian-programs.ts";
import { run } from "../kit/run.ts";
import { chartDigest, chartDirectory, release, settings, valuesWith } from "./chart.ts";

/*
 * The chart, rendered by Go's template engine and sprig from Debian's packages (render.go). helm is neither in Debian
 * nor in npm. `npm run test:helm -- --update` rewrites test/helm/rendered, which test/deploy/chart.test.ts judges in
 * every test run.
 */

let renderer: string;

beforeAll(async () => {
  const source = resolve("test/helm/render.go");
  const key = createHash("sha256")
    .update(await readFile(source))
    .digest("hex")
    .slice(0, 12);
  renderer = await cached(`chart-renderer-${key}`, async (building) => {
    const { root, env } = await debianPrograms([
      "golang-go",
      "golang-github-masterminds-sprig-dev",
      "golang-k8s-sigs-yaml-dev",
    ]);
    const found = await run("sh", ["-c", `ls -d ${root}/usr/lib/go-*`]);
    await run(join(found.trim(), "bin/go"), ["build", "-o", building, source], {
      env: {
        ...env,
        GOROOT: found.trim(),
        GOPATH: join(root, "usr/share/gocode"),
        GOCACHE: await mkdtemp(join(tmpdir(), "go-cache-")),
        GO111MODULE: "off",
        GOFLAGS: "",
        CGO_ENABLED: "0",
      },
    });
  });
});

async function render(own: object): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "chart-"));
  try {
    const { name, version, appVersion } = parse(
      await readFile(join(chartDirectory, "Chart.yaml"), "utf8"),
    );
    const data = join(directory, "data.json");
    await writeFile(
      data,
      JSON.stringify({
        Values: valuesWith(own),
        Release: release,
        Chart: { Name: name, Version: version, AppVersion: appVersion },
      }),
    );
    return await run(renderer, [chartDirectory, data]);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** The documents by the template that they come from. */
function bySource(manifest: string): { source: string; text: string }[] {
  return manifest
    .split(/^---\n(?=# Source: )/m)
    .filter(Boolean)
    .map((part) => {
      const [, source = "", text = ""] = /^# Source: (\S+)\n(.*)$/s.exec(part) ?? [];
      return { source, text };
    });
}

/** Large contents, checked here and then left out of the written manifest. */
function withoutContents(object: KubernetesObject): KubernetesObject {
  if (object.kind === "ConfigMap") {
    const [[key = "", text = ""] = []] = Object.entries(object.data as Record<string, string>);
    const [, name] = /^oom-exporter-(\w+)\.json$/.exec(key) ?? [];
    expect(JSON.parse(text)).toEqual(
      JSON.parse(readFileSync(`grafana/dashboards/${name}.json`, "utf8")),
    );
    return { ...object, data: { [key]: "{}" } };
  }
  if (object.kind === "PrometheusRule") {
    const groups = (object.spec as { groups: object[] }).groups;
    const shipped = ["recording.yml", "alerts.yml"].flatMap(
      (file) => parse(readFileSync(`prometheus-rules/${file}`, "utf8")).groups,
    );
    const own = JSON.stringify(shipped).replaceAll(
      "https://github.com/oom-exporter/oom-exporter/blob/main/docs/runbooks/",
      "https://runbooks.example.org/",
    );
    expect(groups.slice(0, -1)).toEqual(JSON.parse(own));
    return { ...object, spec: { groups: groups.slice(-1) } };
  }
  return object;
}

it.each(Object.entries(settings))("renders with the settings %s", async (name, own) => {
  const parts = bySource(await render(own));
  const notes = parts.find(({ source }) => source === "NOTES.txt");
  const objects = parts
    .filter((part) => part !== notes)
    .flatMap(({ text }) => objectsIn(text))
    .map(withoutContents);
  const head = `# Rendered by \`npm run test:helm -- --update\` from the chart with this digest:\n# ${chartDigest()}\n`;
  const text = head + objects.map((object) => `---\n${stringify(object)}`).join("");
  await expect(text).toMatchFileSnapshot(`rendered/${name}.yaml`);
  await expect(notes?.text).toMatchFileSnapshot(`rendered/${name}.NOTES.txt`);
});
