import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { NoData } from "../src/collectors/collector.ts";
import { hostCollectors } from "../src/collectors/host-collectors.ts";
import { renderExposition, Samples } from "../src/metrics/exposition.ts";
import type { HostRoots } from "../src/sources/host-files.ts";
import { debianTool } from "./setup/debian-tools.ts";
import { fixtureHost, hostNames } from "./setup/fixture-host.ts";
import { needs } from "./setup/needs.ts";
import { openHost } from "./setup/opened-host.ts";

/*
 * What the exporter says of each host under test/fixtures/hosts, whole. `npm run golden` writes the
 * texts anew; read the difference before committing it.
 */

const update = process.env.UPDATE_GOLDEN === "1";
const promtool = await debianTool("prometheus", "usr/bin/promtool");

function goldenFile(name: string): string {
  return fileURLToPath(new URL(`golden/${name}.prom`, import.meta.url));
}

/** The exposition of all collectors that read the host, over a tree. */
async function expositionOf(roots: HostRoots, keepsDescriptors: boolean): Promise<string> {
  const host = openHost(roots, { keepsDescriptors, leaders: 20, cgroups: { max: 2000 } });
  const snapshot = host.snapshot();
  const samples = new Samples();
  for (const collector of hostCollectors(host, { top: 20, looksAtCgroups: true })) {
    try {
      collector.collect({ sink: samples, snapshot });
    } catch (error) {
      // The host has no such file: no samples, as in a scrape.
      if (!(error instanceof NoData)) throw error;
    }
  }
  host.close();
  return String(await renderExposition(samples, "text"));
}

describe.each(hostNames)("the host %s", (name) => {
  it("has the exposition in test/golden", async () => {
    const text = await expositionOf(fixtureHost(name), false);
    if (update) writeFileSync(goldenFile(name), text);
    expect(text).toBe(readFileSync(goldenFile(name), "utf8"));
  });

  it("has the same one with open descriptors", async () => {
    expect(await expositionOf(fixtureHost(name), true)).toBe(
      readFileSync(goldenFile(name), "utf8"),
    );
  });

  needs(it, promtool.obstacle)("has one that promtool accepts", () => {
    const input = readFileSync(goldenFile(name));
    const findings = execFileSync(promtool.path as string, ["check", "metrics"], { input });
    expect(findings.toString()).toBe("");
  });
});
