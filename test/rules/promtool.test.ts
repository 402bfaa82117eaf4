import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { debianTool } from "../setup/debian-tools.ts";
import { needs } from "../setup/needs.ts";
import { rulesDirectory } from "./shipped-rules.ts";

const promtool = await debianTool("prometheus", "usr/bin/promtool");
const docker = fileURLToPath(new URL("../../docker/", import.meta.url));

/** Every minute of hours is evaluated: on a busy machine that takes its time. */
const timeout = 300_000;

async function run(directory: string, ...args: string[]): Promise<string> {
  return (await promisify(execFile)(promtool.path as string, args, { cwd: directory })).stdout;
}

needs(describe, promtool.obstacle)("promtool", () => {
  it("finds nothing to object to in the rules", async () => {
    const said = await run(
      rulesDirectory,
      "check",
      "rules",
      "--lint=all",
      "alerts.yml",
      "recording.yml",
    );
    expect(said).not.toMatch(/FAILED|error/);
  });

  it.concurrent.each(readdirSync(`${rulesDirectory}tests`))(
    "passes the tests in %s",
    async (file) => {
      expect(await run(`${rulesDirectory}tests`, "test", "rules", file)).toContain("SUCCESS");
    },
    timeout,
  );

  it("accepts docker/prometheus.yml", async () => {
    expect(await run(docker, "check", "config", "prometheus.yml")).toContain(
      "is valid prometheus config",
    );
  });
});
