import { execFile } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { debianTool } from "../setup/debian-tools.ts";
import { needs } from "../setup/needs.ts";
import { rulesDirectory } from "./shipped-rules.ts";

const promtool = await debianTool("prometheus", "usr/bin/promtool");
const docker = fileURLToPath(new URL("../../docker/", import.meta.url));
const ruleFiles = ["recording.yml", "alerts.yml"];
const testFiles = readdirSync(`${rulesDirectory}tests`);

interface TestFile {
  rule_files: string[];
  group_eval_order: string[];
}

async function run(directory: string, ...args: string[]): Promise<string> {
  const options = { cwd: directory, maxBuffer: 64 << 20 };
  return (await promisify(execFile)(promtool.path as string, args, options)).stdout;
}

function read<Content>(path: string): Content {
  return parse(readFileSync(join(rulesDirectory, path), "utf8")) as Content;
}

/**
 * The test file beside rule files with the groups that it is about: promtool evaluates every rule that
 * it is given at every step, which is most of its time.
 */
function withItsGroups(file: string): string {
  const directory = mkdtempSync(join(tmpdir(), "rules-"));
  mkdirSync(join(directory, "tests"));
  copyFileSync(join(rulesDirectory, "tests", file), join(directory, "tests", file));
  const names = read<TestFile>(`tests/${file}`).group_eval_order;
  for (const ruleFile of ruleFiles) {
    const { groups } = read<{ groups: { name: string }[] }>(ruleFile);
    const ours = groups.filter(({ name }) => names.includes(name));
    writeFileSync(join(directory, ruleFile), stringify({ groups: ours }));
  }
  return join(directory, "tests");
}

needs(describe, promtool.obstacle)("promtool", () => {
  it("finds nothing to object to in the rules", async () => {
    const said = await run(rulesDirectory, "check", "rules", "--lint=all", ...ruleFiles);
    expect(said).not.toMatch(/FAILED|error/);
  });

  it.concurrent.each(testFiles)("passes the tests in %s", async (file) => {
    expect(await run(withItsGroups(file), "test", "rules", file)).toContain("SUCCESS");
  });

  it("accepts docker/prometheus.yml", async () => {
    expect(await run(docker, "check", "config", "prometheus.yml")).toContain(
      "is valid prometheus config",
    );
  });
});

describe("the rule tests", () => {
  it.each(testFiles)("%s reads the shipped files and names the groups that it is about", (file) => {
    const { rule_files, group_eval_order } = read<TestFile>(`tests/${file}`);
    expect(rule_files).toEqual(ruleFiles.map((name) => `../${name}`));
    expect(group_eval_order.length).toBeGreaterThan(0);
  });

  it("are about every group", () => {
    const about = testFiles.flatMap((file) => read<TestFile>(`tests/${file}`).group_eval_order);
    const groups = ruleFiles.flatMap(
      (file) => read<{ groups: { name: string }[] }>(file).groups as { name: string }[],
    );
    expect(groups.map(({ name }) => name).filter((name) => !about.includes(name))).toEqual([]);
  });
});
