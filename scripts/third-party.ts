import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { leanPackages } from "./lean-packages.mjs";

/** A package that the bundle contains, in whole or in part. */
export interface BundledPackage {
  name: string;
  version: string;
  license: string;
  /** URL of its source. */
  source: string;
  /** Text of its licence file. */
  licenseText: string;
  /** Names of the bundled packages that depend on it; empty for our own dependencies. */
  broughtBy: string[];
}

/** `external`: modules besides Node.js' own that the program still loads at run time; must be empty. */
export interface Bundle {
  packages: BundledPackage[];
  external: string[];
}

interface Manifest {
  name: string;
  version: string;
  license: string;
  repository?: string | { url: string };
  homepage?: string;
}

/** Builds the program in memory as `npm run build` does, and lists the third-party packages in it. */
export async function readBundle(root: string): Promise<Bundle> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ["src/main.ts", "src/web-config/bcrypt-thread.ts"],
    outdir: "dist",
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    metafile: true,
    write: false,
    logLevel: "error",
    plugins: [leanPackages],
  });
  const importers = new Map<string, Set<string>>();
  for (const [path, { imports }] of Object.entries(metafile.inputs)) {
    for (const { path: imported } of imports) {
      const folder = packageOf(imported);
      if (folder === undefined) continue;
      const by = importers.get(folder) ?? new Set();
      by.add(packageOf(path) ?? "");
      importers.set(folder, by);
    }
  }
  const manifestOf = (folder: string) =>
    JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as Manifest;
  const packages = [...importers].map(([folder, by]) => {
    const manifest = manifestOf(folder);
    const { name, version, license } = manifest;
    const others = [...by].filter((importer) => importer !== folder);
    return {
      name,
      version,
      license,
      source: sourceOf(manifest),
      licenseText: licenseTextOf(join(root, folder)),
      broughtBy: others.includes("") ? [] : others.map((other) => manifestOf(other).name).sort(),
    };
  });
  const external = Object.values(metafile.outputs).flatMap(({ imports }) =>
    imports.filter(({ external }) => external).map(({ path }) => path),
  );
  return {
    packages: packages.sort((a, b) => (a.name < b.name ? -1 : 1)),
    external: [...new Set(external)].sort(),
  };
}

/** `node_modules/pino` for a file in it; of nested ones the innermost. */
function packageOf(path: string): string | undefined {
  const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path);
  return match?.[1];
}

function sourceOf({ repository, homepage = "" }: Manifest): string {
  const url = typeof repository === "string" ? repository : (repository?.url ?? homepage);
  const path = /^(?:github:)?([\w.-]+\/[\w.-]+)$/.exec(url)?.[1];
  if (path !== undefined) return `https://github.com/${path}`;
  return url
    .replace(/^git\+/, "")
    .replace(/^(?:git|ssh):\/\/(?:git@)?/, "https://")
    .replace(/^git@github\.com:/, "https://github.com/")
    .replace(/\.git$/, "");
}

function licenseTextOf(folder: string): string {
  const name = readdirSync(folder).find((file) => /^(licen[cs]e|copying)(\.|$)/i.test(file));
  return name === undefined ? "" : readFileSync(join(folder, name), "utf8").trim();
}

/** docs/third-party.md */
export function thirdPartyPage({ packages }: Bundle): string {
  const rows = packages.map(
    ({ name, version, license, source, broughtBy }) =>
      `| [${name}](${source}) | ${version} | ${license} | ${broughtBy.join(", ") || "oom-exporter"} |`,
  );
  return [
    "# Third-party code",
    "",
    "<!-- Generated from the bundle by `npm run licences`; do not edit. -->",
    "",
    "`dist/oom-exporter.mjs` is one file that contains these packages: installing it fetches nothing else, and exactly",
    "these versions run. Their licence texts are in [THIRD-PARTY-LICENSES.txt](../THIRD-PARTY-LICENSES.txt). None has an",
    "install script or native code.",
    "",
    "| package | version | licence | required by |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

/** THIRD-PARTY-LICENSES.txt: each licence text once, with its packages. */
export function licenceTexts({ packages }: Bundle): string {
  const byText = new Map<string, string[]>();
  for (const { name, version, license, licenseText } of packages) {
    const text = licenseText || `${license}; the package has no licence file.`;
    byText.set(text, [...(byText.get(text) ?? []), `${name} ${version}`]);
  }
  const rule = "-".repeat(80);
  const parts = [...byText].map(([text, names]) => `${names.join(", ")}\n${rule}\n\n${text}\n`);
  return `The program contains code of these packages.\n\n${parts.join(`\n${rule}\n`)}`;
}
