import { expect, it } from "vitest";
import { completions } from "../scripts/completions.ts";
import { manualPage } from "../scripts/manual.ts";
import { flagsPage, metricsPage, platformsPage } from "../scripts/reference-pages.ts";
import { doctorFlags } from "../src/commands/doctor.ts";
import { explainFlags } from "../src/commands/explain.ts";
import { victimsFlags } from "../src/commands/victims.ts";
import { serveFlags } from "../src/flags.ts";

// `npm run docs` runs this file with --update, which rewrites the pages.

it("docs/metrics.md lists the metrics of the catalog", async () => {
  await expect(metricsPage()).toMatchFileSnapshot("../docs/metrics.md");
});

it("docs/platforms.md shows the advice of each platform", async () => {
  await expect(platformsPage()).toMatchFileSnapshot("../docs/platforms.md");
});

it("docs/flags.md lists the flags of every command", async () => {
  const tables = {
    "oom-exporter [serve]": serveFlags,
    "oom-exporter explain": explainFlags,
    "oom-exporter victims": victimsFlags,
    "oom-exporter doctor": doctorFlags,
  };
  await expect(flagsPage(tables)).toMatchFileSnapshot("../docs/flags.md");
});

it("the manual page has the flags and exit codes of every command", async () => {
  await expect(manualPage()).toMatchFileSnapshot("../packaging/oom-exporter.1");
});

it.each(Object.entries(completions))(
  "%s completes the flags of every command",
  async (name, made) => {
    await expect(made()).toMatchFileSnapshot(`../packaging/completions/${name}`);
  },
);
