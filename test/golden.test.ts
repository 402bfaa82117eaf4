import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { CgroupsCollector } from "../src/collectors/cgroups.ts";
import { HostCollector } from "../src/collectors/host.ts";
import { ProcessesCollector } from "../src/collectors/processes.ts";
import { renderExposition, Samples } from "../src/metrics/exposition.ts";
import { type CgroupReading, CgroupTree, findMemoryHierarchy } from "../src/sources/cgroup-tree.ts";
import { DescriptorBudget, HostFiles, type HostRoots } from "../src/sources/host-files.ts";
import { OwnerNames } from "../src/sources/owner-names.ts";
import { ProcessTable } from "../src/sources/process-table.ts";
import { VictimRanking } from "../src/victims/victim-ranking.ts";
import { debianTool } from "./setup/debian-tools.ts";
import { fixtureHost, hostNames } from "./setup/fixture-host.ts";
import { needs } from "./setup/needs.ts";

/*
 * What the exporter says of each host under test/fixtures/hosts, whole. `npm run golden` writes the
 * texts anew; read the difference before committing it.
 */

const update = process.env.UPDATE_GOLDEN === "1";
const promtool = await debianTool("prometheus", "usr/bin/promtool");

function goldenFile(name: string): string {
  return fileURLToPath(new URL(`golden/${name}.prom`, import.meta.url));
}

/** The exposition of the host, cgroups and processes collectors over a tree. */
function expositionOf(roots: HostRoots, descriptors: number): Promise<string> {
  const files = new HostFiles(roots);
  const owners = new OwnerNames({ rootfs: roots.rootfs, now: () => 0 });
  const hierarchy = findMemoryHierarchy(files);
  const budget = new DescriptorBudget(descriptors);
  const tree = hierarchy && new CgroupTree({ files, hierarchy, descriptors: budget, max: 2000 });
  const table = new ProcessTable({
    files,
    descriptors: budget,
    now: () => 0,
    cgroupsByPid: () => tree?.cgroupsByPid() ?? new Map(),
  });
  const host = new HostCollector(files, 4096);
  const { meminfo } = host.read();
  const swapTotalBytes = meminfo.swapTotalBytes ?? 0;
  let readings: readonly CgroupReading[] = [];
  const cgroups = new CgroupsCollector({
    tree,
    owners,
    hostTotalBytes: () => meminfo.memTotalBytes,
    onRead: (all) => {
      readings = all;
    },
  });
  const processes = new ProcessesCollector({
    table,
    owners,
    top: 20,
    ranking: new VictimRanking({ files, table, tree, pageBytes: 4096 }),
    hostMemory: () => ({ totalBytes: meminfo.memTotalBytes + swapTotalBytes, swapTotalBytes }),
    cgroups: () => readings,
  });
  const samples = new Samples();
  for (const collector of [host, cgroups, processes]) {
    collector.collect({ sink: samples, deadlineMs: Number.POSITIVE_INFINITY, now: () => 0 });
  }
  table.close();
  tree?.close();
  return renderExposition(samples, "text");
}

describe.each(hostNames)("the host %s", (name) => {
  it("has the exposition that stands in test/golden", async () => {
    const text = await expositionOf(fixtureHost(name), 0);
    if (update) writeFileSync(goldenFile(name), text);
    expect(text).toBe(readFileSync(goldenFile(name), "utf8"));
  });

  it("has the same one where descriptors are kept", async () => {
    expect(await expositionOf(fixtureHost(name), 1000)).toBe(
      readFileSync(goldenFile(name), "utf8"),
    );
  });

  needs(it, promtool.obstacle)("has one that promtool accepts", () => {
    const input = readFileSync(goldenFile(name));
    const findings = execFileSync(promtool.path as string, ["check", "metrics"], { input });
    expect(findings.toString()).toBe("");
  });
});
