import { expect, it } from "vitest";
import { dashboardsPage } from "../../scripts/dashboards-page.ts";
import { dashboards } from "./dashboards.ts";

// `npm run docs` runs this file with --update, which writes the page.

it("docs/dashboards.md lists every panel", async () => {
  await expect(dashboardsPage(dashboards)).toMatchFileSnapshot("../../docs/dashboards.md");
});
