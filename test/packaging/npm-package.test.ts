import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);

let paths: string[];

beforeAll(async () => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"]);
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  paths = files.map(({ path }) => path);
});

describe("the npm package", () => {
  it("has the program, what is deployed with it and its documents, and nothing else", () => {
    const folders = [
      ...["deploy", "dist", "docker", "docs", "grafana", "packaging", "prometheus-rules"],
      ...["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "THIRD-PARTY-LICENSES.txt"],
      "package.json",
    ];
    expect([...new Set(paths.map((path) => path.replace(/\/.*/, "")))].sort()).toEqual(
      folders.sort(),
    );
    const stray =
      /(^|\/)(src|tests?|node_modules|Dockerfile|compose\.yaml|.*\.(test|spec)\..*)(\/|$)/;
    expect(paths.filter((path) => stray.test(path))).toEqual([]);
  });

  it("has every file that the README names, but for those of a checkout", () => {
    const ofCheckout = /^(CONTRIBUTING\.md|test|docker\/(README\.md|compose\.yaml|Dockerfile)$)/;
    const readme = readFileSync("README.md", "utf8");
    const named = [...readme.matchAll(/(?:`|\]\()([\w.-]+(?:\/[\w.-]+)*)\/?(?:`|\))/g)]
      .map(([, path]) => path as string)
      .filter((path) => existsSync(path) && !ofCheckout.test(path));
    expect(named.length).toBeGreaterThan(10);
    const lacking = named.filter(
      (name) => !paths.some((path) => path === name || path.startsWith(`${name}/`)),
    );
    expect(lacking).toEqual([]);
  });

  it("has a program that starts by its own name, and the manual page and completions for it", () => {
    const manifest = JSON.parse(readFileSync("package.json", "utf8"));
    expect(paths).toContain(manifest.bin["oom-exporter"]);
    expect(paths).toContain(manifest.man);
    expect(paths.filter((path) => path.startsWith("packaging/completions/"))).toHaveLength(3);
  });
});

it("no package of the tree asks for a newer Node.js than 20", () => {
  const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
  const newer = Object.entries<{ engines?: { node?: string } }>(packages)
    .filter(([, { engines }]) => engines?.node !== undefined && !admits20(engines.node))
    .map(([path]) => path);
  expect(newer).toEqual([]);
});

/** Whether one of the alternatives, such as those of `^20.19.0 || >=22.12.0`, begins at 20 or below. */
function admits20(range: string): boolean {
  return range.split("||").some((alternative) => {
    const [, operator = "", major = "0"] = /^\s*([>=^~]*)\s*v?(\d+)/.exec(alternative) ?? [];
    return operator.startsWith(">") ? Number(major) <= 20 : major === "20";
  });
}
