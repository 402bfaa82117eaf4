import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { catalog, collectorNames, metricNames } from "../../src/metrics/catalog.ts";
import { renderExposition, Samples } from "../../src/metrics/exposition.ts";
import { debianTool } from "../setup/debian-tools.ts";
import { needs } from "../setup/needs.ts";

const promtool = await debianTool("prometheus", "usr/bin/promtool");

describe("the catalog", () => {
  it.each(metricNames)("%s follows the naming rules", (name) => {
    const { type, help, labels, collector } = catalog[name];
    expect(name).toMatch(/^(oom|process|nodejs)_[a-z0-9_]+$/);
    expect(name.endsWith("_total")).toBe(type === "counter");
    expect(help).toMatch(/^[A-Z1].*\.$/);
    expect(new Set(labels).size).toBe(labels.length);
    expect([...collectorNames, "scrape", "exporter"]).toContain(collector);
  });

  it("has no metric that nothing adds", () => {
    const code = readdirSync("src", { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts") && path !== "metrics/catalog.ts")
      .map((path) => readFileSync(`src/${path}`, "utf8"))
      .join("\n");
    expect(metricNames.filter((name) => !code.includes(`"${name}"`))).toEqual([]);
  });

  it("closes only label sets that the metric has", () => {
    for (const name of metricNames) {
      const definition = catalog[name];
      if ("values" in definition) {
        for (const label of Object.keys(definition.values)) {
          expect(definition.labels, name).toContain(label);
        }
      }
    }
  });

  it("keeps names distinct in OpenMetrics, where a counter loses its _total", () => {
    const families = metricNames.map((name) => name.replace(/_total$/, ""));
    expect(new Set(families).size).toBe(families.length);
  });

  needs(it, promtool.obstacle)("passes promtool check metrics with every metric", async () => {
    const samples = new Samples();
    for (const name of metricNames) {
      const labels = Object.fromEntries(catalog[name].labels.map((label) => [label, "x"]));
      samples.add(name, 1, labels as never);
    }
    const text = String(await renderExposition(samples, "text"));
    const output = execFileSync(promtool.path as string, ["check", "metrics"], {
      input: text,
      encoding: "utf8",
      stdio: ["pipe", "pipe", "pipe"],
    });
    expect(output).toBe("");
  });
});
