import { Enums, Models, Serialize, Spec } from "@cyclonedx/cyclonedx-library";
import type { BundledPackage } from "../third-party.ts";

export interface SbomOf {
  /** The artefact's file name. */
  name: string;
  version: string;
  packages: readonly BundledPackage[];
  /** `process.versions` of the Node.js inside; absent where none is. */
  runtimeVersions?: Readonly<Partial<Record<string, string>>>;
  epoch: number;
}

const license = (id: string) => new Models.LicenseRepository([new Models.SpdxLicense(id)]);

/** Numbers of interfaces, not of libraries. */
const notLibraries = new Set(["modules", "napi", "node"]);

/** A bill of materials in CycloneDX 1.6 (ECMA-424): what of others is in an artefact. */
export function sbom({ name, version, packages, runtimeVersions, epoch }: SbomOf): string {
  const product = new Models.Component(Enums.ComponentType.Application, "oom-exporter", {
    bomRef: "oom-exporter",
    version,
    licenses: license("Apache-2.0"),
    purl: `pkg:npm/oom-exporter@${version}`,
  });
  const bom = new Models.Bom({
    metadata: new Models.Metadata({ timestamp: new Date(epoch * 1000), component: product }),
  });
  product.properties.add(new Models.Property("oom-exporter:artefact", name));
  // Of one package there may be two versions.
  const made = packages.map((bundled) => ({ bundled, component: npmComponent(bundled) }));
  for (const { bundled, component } of made) {
    bom.components.add(component);
    const owners = made.filter(({ bundled: { name } }) => bundled.broughtBy.includes(name));
    if (bundled.broughtBy.length === 0) product.dependencies.add(component.bomRef);
    for (const owner of owners) owner.component.dependencies.add(component.bomRef);
  }
  if (runtimeVersions !== undefined) {
    const node = runtimeComponent(runtimeVersions);
    bom.components.add(node);
    product.dependencies.add(node.bomRef);
  }
  const serializer = new Serialize.JsonSerializer(
    new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6),
  );
  return `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`;
}

function npmComponent({ name, version, license: id, source }: BundledPackage): Models.Component {
  const [, group, ownName = name] = /^(@[^/]+)\/(.+)$/.exec(name) ?? [];
  const purl = `pkg:npm/${group === undefined ? "" : `${group.replace("@", "%40")}/`}${ownName}@${version}`;
  return new Models.Component(Enums.ComponentType.Library, ownName, {
    bomRef: purl,
    group,
    version,
    licenses: license(id),
    purl,
    externalReferences: new Models.ExternalReferenceRepository([
      new Models.ExternalReference(source, Enums.ExternalReferenceType.VCS),
    ]),
  });
}

function runtimeComponent(versions: Readonly<Partial<Record<string, string>>>): Models.Component {
  const { node: version = "" } = versions;
  const purl = `pkg:github/nodejs/node@v${version}`;
  const libraries = Object.entries(versions).flatMap(([library, libraryVersion]) =>
    notLibraries.has(library)
      ? []
      : [
          new Models.Component(Enums.ComponentType.Library, library, {
            bomRef: `nodejs/${library}`,
            version: libraryVersion,
          }),
        ],
  );
  return new Models.Component(Enums.ComponentType.Platform, "node", {
    bomRef: purl,
    version,
    purl,
    licenses: license("MIT"),
    components: new Models.ComponentRepository(libraries),
  });
}
