import { expect, it } from "vitest";
import { alertsPage } from "../../scripts/alerts-page.ts";
import { shippedRules } from "./shipped-rules.ts";

// `npm run docs` runs this file with --update, which rewrites the page.

it("docs/alerts.md lists the alerts, thresholds and recordings of prometheus-rules", async () => {
  await expect(alertsPage(shippedRules)).toMatchFileSnapshot("../../docs/alerts.md");
});
