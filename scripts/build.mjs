/*
 * Builds the program: `dist/oom-exporter.mjs`, one minified file that npm, the image and the tests run.
 *
 *   node scripts/build.mjs [--cjs] [--outdir DIRECTORY] [--if-possible]
 *
 * `--cjs` writes `oom-exporter.cjs` as well, the form that a single executable needs. `--if-possible` builds nothing
 * where the build tools are not installed, as after `npm ci --omit=dev`.
 * One file instead of 500 modules starts in half the time and holds 3 MiB less anonymous memory.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { leanPackages } from "./lean-packages.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

const { values: options } = parseArgs({
  options: {
    cjs: { type: "boolean" },
    outdir: { type: "string", default: `${root}/dist` },
    "if-possible": { type: "boolean" },
  },
});
const { outdir } = options;

const { build } = await import("esbuild").catch((error) => {
  if (options["if-possible"] && error.code === "ERR_MODULE_NOT_FOUND") process.exit(0);
  throw error;
});

const { packDocuments } = await import("./documents.mjs");

const shared = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  // Error messages and stack traces show names of classes and functions.
  keepNames: false,
  platform: "node",
  target: "node20",
  legalComments: "none",
  logLevel: "warning",
  write: false,
  plugins: [leanPackages],
};

/** A program that starts during a build finds the old file or the new one, never none. */
async function replace(name, format) {
  const { outputFiles } = await build({
    ...shared,
    entryPoints: ["src/main.ts"],
    define: {
      bcryptThread: JSON.stringify(thread.outputFiles[0].text),
      packedDocuments: JSON.stringify(documents),
    },
    ...format,
  });
  const [{ contents }] = outputFiles;
  // One other character makes V8 keep all of it in two bytes a character. esbuild escapes those in strings,
  // but not in regular expressions: write \uXXXX there.
  const other = contents.findIndex((byte) => byte > 0x7f);
  if (other >= 0) {
    const around = Buffer.from(contents.subarray(other - 40, other + 20)).toString();
    throw new Error(`${name} has to be ASCII: ...${around}...`);
  }
  const written = `${outdir}/${name}.${process.pid}`;
  writeFileSync(written, contents, { mode: 0o755 });
  renameSync(written, `${outdir}/${name}`);
}

mkdirSync(outdir, { recursive: true });
const documents = packDocuments();
// The thread that checks passwords, if any are configured: its program is a string in the other one.
const thread = await build({
  ...shared,
  entryPoints: ["src/web-config/bcrypt-thread.ts"],
  format: "cjs",
});
await replace("oom-exporter.mjs", {
  format: "esm",
  // CommonJS packages load Node.js' own modules by `require`.
  banner: {
    js: 'import{createRequire as makeRequire}from"node:module";const require=makeRequire(import.meta.url);',
  },
});
if (options.cjs) await replace("oom-exporter.cjs", { format: "cjs" });

const built = ["oom-exporter.mjs", ...(options.cjs ? ["oom-exporter.cjs"] : [])];
for (const name of readdirSync(outdir)) {
  if (!built.includes(name)) rmSync(`${outdir}/${name}`, { recursive: true, force: true });
}
