import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { debianTool } from "../setup/debian-tools.ts";
import { rulesDirectory } from "./shipped-rules.ts";

const promtool = await debianTool("prometheus", "usr/bin/promtool");
const docker = fileURLToPath(new URL("../../docker/", import.meta.url));

function run(directory: string, ...args: string[]): string {
  return execFileSync(promtool as string, args, { cwd: directory, encoding: "utf8" });
}

describe.skipIf(promtool === undefined)("promtool", () => {
  it("finds nothing to object to in the rules", () => {
    const said = run(rulesDirectory, "check", "rules", "--lint=all", "alerts.yml", "recording.yml");
    expect(said).not.toMatch(/FAILED|error/);
  });

  it.each(readdirSync(`${rulesDirectory}tests`))("passes the tests in %s", (file) => {
    expect(run(`${rulesDirectory}tests`, "test", "rules", file)).toContain("SUCCESS");
  });

  it("accepts docker/prometheus.yml", () => {
    expect(run(docker, "check", "config", "prometheus.yml")).toContain(
      "is valid prometheus config",
    );
  });
});
