import { expect, it } from "vitest";
import { flagsPage, metricsPage } from "../scripts/reference-pages.ts";
import { serveFlags } from "../src/flags.ts";

// `npm run docs` runs this file with --update, which writes the pages anew.

it("docs/metrics.md lists the metrics of the catalog", async () => {
  await expect(metricsPage()).toMatchFileSnapshot("../docs/metrics.md");
});

it("docs/flags.md lists the flags of the table", async () => {
  await expect(flagsPage(serveFlags)).toMatchFileSnapshot("../docs/flags.md");
});
