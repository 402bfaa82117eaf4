import { readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { resolve } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type Bundle, licenceTexts, readBundle, thirdPartyPage } from "../scripts/third-party.ts";

// `npm run licences` runs this file with --update, which writes page and texts.

let bundle: Bundle;
const manifest = JSON.parse(readFileSync("package.json", "utf8"));

beforeAll(async () => {
  bundle = await readBundle(resolve("."));
});

describe("the program", () => {
  it("needs no package at run time, so that every installation has the same versions", () => {
    expect(bundle.external.filter((name) => !isBuiltin(name))).toEqual([]);
    expect(manifest.dependencies).toBeUndefined();
  });

  it("contains only code that may be redistributed under its own licence", () => {
    const known = ["MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"];
    const others = bundle.packages.filter(({ license }) => !known.includes(license));
    expect(others).toEqual([]);
  });

  it("has packages of exact versions only", () => {
    const named = bundle.packages.filter(({ broughtBy }) => broughtBy.length === 0);
    for (const { name, version } of named) {
      expect(manifest.devDependencies[name], name).toBe(version);
    }
  });

  it("has a reason for each of them in the README", () => {
    const readme = readFileSync("README.md", "utf8");
    for (const { name, broughtBy, source } of bundle.packages) {
      if (broughtBy.length === 0) expect(readme).toContain(`| [${name}](${source}) |`);
    }
  });

  it("has the versions of the lock file, each with a checksum, from no other place than the registry", () => {
    const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
    for (const { name, version } of bundle.packages) {
      const locked = lock.packages[`node_modules/${name}`];
      expect(locked, name).toMatchObject({ version, integrity: expect.stringMatching(/^sha512-/) });
      expect(locked.resolved ?? "https://registry.npmjs.org/", name).toMatch(
        /^https:\/\/registry\.npmjs\.org\//,
      );
    }
  });

  it("has none that runs a script when it is installed", () => {
    const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
    for (const { name } of bundle.packages) {
      expect(lock.packages[`node_modules/${name}`]?.hasInstallScript, name).toBeUndefined();
    }
  });
});

it("docs/third-party.md lists its contents", async () => {
  await expect(thirdPartyPage(bundle)).toMatchFileSnapshot("../docs/third-party.md");
});

it("THIRD-PARTY-LICENSES.txt has its licence texts", async () => {
  await expect(licenceTexts(bundle)).toMatchFileSnapshot("../THIRD-PARTY-LICENSES.txt");
});

function isBuiltin(name: string): boolean {
  return name.startsWith("node:") || builtinModules.includes(name);
}
