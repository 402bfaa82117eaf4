import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { beforeAll, expect, inject, it } from "vitest";
import type { ScrapeCost } from "../../bench/cost/scrape.ts";
import { run } from "../kit/run.ts";
import { runInGuest } from "./scenario.ts";

const scrapes = 12;

/** The bench in one file, and its programs where it looks for them. */
beforeAll(async () => {
  const directory = join(inject("guestShare"), "scrape-cost");
  const programs = join(directory, "node_modules/.cache/bench/programs");
  mkdirSync(programs, { recursive: true });
  const script = "bench/cost/floor.mjs";
  mkdirSync(dirname(join(directory, script)), { recursive: true });
  copyFileSync(script, join(directory, script));
  await build({
    entryPoints: ["test/vm/scrape-coster.ts"],
    outfile: join(directory, "scrape-coster.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
  });
  for (const source of ["cost/floor.c", "crowd.c"]) {
    const to = join(programs, source.replace(/.*\/|\.c$/g, ""));
    await run("cc", ["-O2", "-static", "-o", to, join("bench", source)]);
  }
});

it.each([
  [200, 50],
  [2000, 500],
])("a scrape of %i processes and %i cgroups of v2 shows them all", async (processes, cgroups) => {
  const guest = await runInGuest(
    `
      cd /share/scrape-cost
      TMPDIR=/run node scrape-coster.mjs ${processes} ${cgroups} ${scrapes}
    `,
    { memoryMb: 2048 },
  );
  const costs: Record<string, ScrapeCost> = JSON.parse(guest.said("costs"));
  const {
    "oom-exporter": own,
    "C, descriptors kept": kept,
    "C, open, read, close": open,
    "Node.js, descriptors kept": node,
  } = costs;
  if (!own || !kept || !open || !node) throw new Error("no figures");
  console.log(
    `${processes} + ${cgroups}, v2, emulated: ${own.cpuMs.toFixed(0)} ms of CPU, ` +
      `${(own.cpuMs / kept.cpuMs).toFixed(1)} times reading with descriptors kept (${kept.cpuMs.toFixed(0)} ms), ` +
      `${(own.cpuMs / node.cpuMs).toFixed(1)} times the same in Node.js (${node.cpuMs.toFixed(0)} ms), ` +
      `${(own.cpuMs / open.cpuMs).toFixed(1)} times opening each file (${open.cpuMs.toFixed(0)} ms), ${own.series} series`,
  );
  expect(own.series).toBeGreaterThan(cgroups * 9);
});
