import { expect, it } from "vitest";
import { dashboards } from "./dashboards.ts";

// `npm run dashboards` runs this file with --update, which rewrites the dashboards.

it.each(dashboards)("grafana/dashboards/$name.json matches its source", async (dashboard) => {
  const { name, json } = dashboard;
  await expect(`${JSON.stringify(json, null, 2)}\n`).toMatchFileSnapshot(
    `../../grafana/dashboards/${name}.json`,
  );
});
