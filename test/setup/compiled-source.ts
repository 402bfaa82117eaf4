import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { runCache } from "./test-run.ts";

/**
 * The sources as plain JavaScript, for processes that a test starts: Node 20 runs no TypeScript.
 * Returns their directory, which mirrors `src` and goes with the test run.
 */
export async function compiledSource(): Promise<string> {
  mkdirSync(runCache(), { recursive: true });
  const outdir = mkdtempSync(join(runCache(), "compiled-source-"));
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
