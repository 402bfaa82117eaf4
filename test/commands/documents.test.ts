import { expect, it } from "vitest";
import { placeOfDocument } from "../../src/commands/documents.ts";

const runbook = "runbooks/OomKill.md";

it.each([
  ["the npm package", "/opt/x/dist/oom-exporter.mjs", "/opt/x/docs/runbooks/OomKill.md"],
  ["a tarball", "/opt/oom-exporter/oom-exporter", "/opt/oom-exporter/runbooks/OomKill.md"],
  ["a .deb or .rpm", "/usr/bin/oom-exporter", "/usr/share/oom-exporter/runbooks/OomKill.md"],
])("names the file of %s", (_name, program, path) => {
  const exists = (candidate: string) => candidate === path;
  expect(placeOfDocument(runbook, { exporterUrl: undefined, program, exists })).toBe(path);
});

it("names the page of an exporter that is known", () => {
  const places = { exporterUrl: "https://web-03/oom", program: "/x/y", exists: () => true };
  expect(placeOfDocument(runbook, places)).toBe("https://web-03/oom/runbooks/OomKill");
  expect(placeOfDocument("forecasts.md", places)).toBe("/docs/forecasts.md");
});

it("names the published document where there is no file", () => {
  const places = { exporterUrl: undefined, program: "/x/y", exists: () => false };
  expect(placeOfDocument(runbook, places)).toBe(
    "https://github.com/oom-exporter/oom-exporter/blob/main/docs/runbooks/OomKill.md",
  );
});
