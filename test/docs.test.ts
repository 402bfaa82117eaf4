import { expect, it } from "vitest";
import { completions } from "../scripts/completions.ts";
import { commands, manualPage } from "../scripts/manual.ts";
import { flagsPage, metricsPage, platformsPage } from "../scripts/reference-pages.ts";

// `npm run docs` runs this file with --update, which rewrites the pages.

it("docs/metrics.md lists the metrics of the catalog", async () => {
  await expect(metricsPage()).toMatchFileSnapshot("../docs/metrics.md");
});

it("docs/platforms.md shows the advice of each platform", async () => {
  await expect(platformsPage()).toMatchFileSnapshot("../docs/platforms.md");
});

it("docs/flags.md lists the flags of every command", async () => {
  await expect(flagsPage(commands)).toMatchFileSnapshot("../docs/flags.md");
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
