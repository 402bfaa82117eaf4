import { expect, it } from "vitest";
import { chartReadme, valuesSchema } from "../../scripts/chart.ts";

// `npm run docs` runs this file with --update, which writes both.

it("the chart's README has every value with its default", async () => {
  await expect(chartReadme()).toMatchFileSnapshot("../../deploy/helm/oom-exporter/README.md");
});

it("the chart's schema has every value", async () => {
  await expect(valuesSchema()).toMatchFileSnapshot(
    "../../deploy/helm/oom-exporter/values.schema.json",
  );
});
