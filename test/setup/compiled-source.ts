import { resolve } from "node:path";
import { build } from "esbuild";

/**
 * The sources as plain JavaScript, for processes that a test starts: Node 20 runs no TypeScript.
 * Compiles into a cache under node_modules; returns its directory, which mirrors `src`.
 */
export async function compiledSource(name: string): Promise<string> {
  const outdir = resolve("node_modules/.cache/compiled-source", name);
  await build({
    entryPoints: ["src/**/*.ts"],
    outbase: "src",
    outdir,
    // Files that several entries share stay one module, and so one class.
    bundle: true,
    splitting: true,
    packages: "external",
    format: "esm",
    outExtension: { ".js": ".mjs" },
    platform: "node",
    target: "node20",
    logLevel: "warning",
  });
  return outdir;
}
