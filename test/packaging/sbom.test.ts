import { resolve } from "node:path";
import { Spec, Validation } from "@cyclonedx/cyclonedx-library";
import { beforeAll, describe, expect, it } from "vitest";
import { sbom } from "../../scripts/package/sbom.ts";
import { type Bundle, readBundle } from "../../scripts/third-party.ts";

let bundle: Bundle;

beforeAll(async () => {
  bundle = await readBundle(resolve("."));
});

interface Component {
  "bom-ref": string;
  name: string;
  version: string;
  purl?: string;
  components?: Component[];
}

const artefact = (runtimeVersions?: Record<string, string>) =>
  sbom({
    name: "oom-exporter.mjs",
    version: "1.2.3",
    packages: bundle.packages,
    runtimeVersions,
    epoch: 1_790_000_000,
  });

describe("the bill of materials", () => {
  it("keeps to CycloneDX' schema", async () => {
    const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
    expect(await validator.validate(artefact())).toBeNull();
    expect(
      await validator.validate(artefact(process.versions as Record<string, string>)),
    ).toBeNull();
  });

  it("lists every package of the bundle, and by whom it was brought", () => {
    const { components, dependencies } = JSON.parse(artefact()) as {
      components: Component[];
      dependencies: { ref: string; dependsOn?: string[] }[];
    };
    expect(components.map(({ purl }) => purl).sort()).toEqual(
      bundle.packages
        .map(({ name, version }) => `pkg:npm/${name.replace("@", "%40")}@${version}`)
        .sort(),
    );
    const bringersOf = (purl: string) =>
      dependencies.filter(({ dependsOn = [] }) => dependsOn.includes(purl)).map(({ ref }) => ref);
    for (const { name, version, broughtBy } of bundle.packages) {
      const bringers = bringersOf(`pkg:npm/${name.replace("@", "%40")}@${version}`);
      const names = bringers.map(
        (ref) => /^pkg:npm\/(.+)@[^@]+$/.exec(ref)?.[1]?.replace("%40", "@") ?? ref,
      );
      const expected = broughtBy.length === 0 ? ["oom-exporter"] : broughtBy;
      expect(new Set(names), name).toEqual(new Set(expected));
    }
    const reached = new Set<string>();
    const visit = (ref: string) => {
      if (reached.has(ref)) return;
      reached.add(ref);
      for (const next of dependencies.find((one) => one.ref === ref)?.dependsOn ?? []) visit(next);
    };
    visit("oom-exporter");
    expect(reached.size).toBe(components.length + 1);
  });

  it("lists Node.js with its libraries if it is inside", () => {
    const { components } = JSON.parse(artefact({ node: "20.20.2", openssl: "3.0.19", napi: "9" }));
    const node = components.find(({ name }: Component) => name === "node");
    expect(node).toMatchObject({ version: "20.20.2", purl: "pkg:github/nodejs/node@v20.20.2" });
    expect(node.components).toMatchObject([{ name: "openssl", version: "3.0.19" }]);
  });
});
