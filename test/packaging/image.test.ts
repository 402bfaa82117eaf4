import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { runCache } from "../setup/test-run.ts";

const directory = join(runCache(), "image");

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What is copied from the checkout. */
function copiedIn(stage: string): string[] {
  const lines = [...stage.matchAll(/^COPY (?!--)(.*) \S+$/gm)];
  return lines.flatMap(([, sources = ""]) => sources.split(" "));
}

it("the build stage of the Dockerfile copies all that the build reads", () => {
  const dockerfile = readFileSync("docker/Dockerfile", "utf8");
  const stages = dockerfile
    .split(/^FROM /m)
    .filter((stage) => / AS (manifest|build)$/m.test(stage));
  expect(stages).toHaveLength(2);
  for (const source of stages.flatMap(copiedIn)) {
    for (const path of pathsOf(source)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      cpSync(path, join(directory, path), { recursive: true });
    }
  }
  execFileSync(process.execPath, ["scripts/build.mjs"], { cwd: directory, stdio: "pipe" });
  const program = join(directory, "dist/oom-exporter.mjs");
  const said = execFileSync(process.execPath, [program, "--version"], { encoding: "utf8" });
  expect(said).toMatch(/^oom-exporter \d/);
});

it("nothing that the Dockerfile copies is hidden from the engine", () => {
  const ignored = readFileSync(".dockerignore", "utf8").split("\n");
  const dockerfile = readFileSync("docker/Dockerfile", "utf8");
  const copied = copiedIn(dockerfile);
  expect(copied.length).toBeGreaterThan(5);
  expect(copied.filter((source) => !ignored.includes(`!${source}`))).toEqual([]);
});

/** The paths of one source of a COPY line: `scripts/*.mjs`, or a file or folder. */
function pathsOf(source: string): string[] {
  const [, folder, ending = ""] = /^(.*)\/\*(\.\w+)$/.exec(source) ?? [];
  if (folder === undefined) return [source];
  return readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
}
