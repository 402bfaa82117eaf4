/*
 * Makes what is released, in build/:
 *
 *   npm run package [-- --node=PATH] [--node-license=FILE] [--formats=tar,deb,rpm] [--outdir=DIRECTORY]
 *
 * `oom-exporter.mjs` (needs Node.js), `oom-exporter-linux-ARCH` (needs no Node.js: it is inside), and that in a
 * tarball, a Debian package and an RPM package; beside each what is in it (CycloneDX), and SHA256SUMS of all.
 *
 * --node is the Node.js that becomes part of the executable; this one by default. The processor is that of --node:
 * for arm64 give an arm64 Node.js of the very version that runs this script.
 */
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import packageJson from "../../package.json" with { type: "json" };
import { readBundle } from "../third-party.ts";
import { sha256 } from "./checksums.ts";
import { readElf } from "./elf.ts";
import { makeExecutable, nodeLicense, readRuntime } from "./executable.ts";
import { makeDeb, makeRpm, makeTarball } from "./formats.ts";
import { sbom } from "./sbom.ts";

const makers = { tar: makeTarball, deb: makeDeb, rpm: makeRpm };

const { values: options } = parseArgs({
  options: {
    node: { type: "string", default: process.execPath },
    "node-license": { type: "string" },
    formats: { type: "string", default: Object.keys(makers).join(",") },
    outdir: { type: "string", default: "build" },
  },
});

const root = process.cwd();
const outdir = resolve(options.outdir);
const scratch = mkdtempSync(join(tmpdir(), "oom-exporter-package-"));
try {
  await main();
} catch (error) {
  process.stderr.write(`package: ${(error as Error).message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const formats = options.formats.split(",").filter(Boolean);
  const unknown = formats.find((format) => !Object.hasOwn(makers, format));
  if (unknown !== undefined) throw new Error(`--formats: ${unknown} is none of tar, deb, rpm`);
  const { version } = packageJson;
  const epoch = sourceDate();
  const runtime = readRuntime(options.node);
  const license = nodeLicense(runtime, options["node-license"]);
  const { packages } = await readBundle(root);
  mkdirSync(outdir, { recursive: true });

  const bundles = join(scratch, "dist");
  execFileSync(process.execPath, ["scripts/build.mjs", "--cjs", "--outdir", bundles]);
  const put = (name: string, contents: string) => writeFileSync(join(outdir, name), contents);
  copyFileSync(join(bundles, "oom-exporter.mjs"), join(outdir, "oom-exporter.mjs"));
  put("oom-exporter.mjs.cdx.json", sbom({ name: "oom-exporter.mjs", version, packages, epoch }));

  const path = await makeExecutable(join(bundles, "oom-exporter.cjs"), runtime, scratch);
  const executable = readFileSync(path);
  const { architecture } = readElf(executable);
  const name = `oom-exporter-linux-${architecture}`;
  renameOver(path, join(outdir, name));
  const materials = (artefact: string) =>
    sbom({ name: artefact, version, packages, epoch, runtimeVersions: versionsOf(runtime.path) });
  put(`${name}.cdx.json`, materials(name));

  const nodeVersion = runtime.version;
  const built = {
    version,
    nodeVersion,
    epoch,
    executable,
    nodeLicense: license,
    sbom: materials(name),
  };
  for (const format of formats) {
    const artefact = makers[format as keyof typeof makers]({
      root,
      outdir,
      scratch,
      built,
    });
    put(`${artefact}.cdx.json`, materials(artefact));
  }
  writeChecksums();
}

/** What Node.js says of the libraries in it; of one for another processor, this one's, which is the same release. */
function versionsOf(node: string): Record<string, string> {
  const ask = (path: string) =>
    JSON.parse(
      execFileSync(path, ["-p", "JSON.stringify(process.versions)"], { stdio: "pipe" }).toString(),
    );
  try {
    return ask(node);
  } catch {
    return ask(process.execPath);
  }
}

/** Of the commit, so that the same commit makes the same bytes. */
function sourceDate(): number {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined) return Number(given);
  try {
    return Number(execFileSync("git", ["log", "-1", "--format=%ct"], { stdio: "pipe" }).toString());
  } catch {
    throw new Error("this is no git checkout: set SOURCE_DATE_EPOCH to the seconds of the release");
  }
}

/** Across file systems too. */
function renameOver(from: string, to: string): void {
  copyFileSync(from, `${to}.new`);
  renameSync(`${to}.new`, to);
}

function writeChecksums(): void {
  const artefacts = readdirSync(outdir)
    .filter((name) => name !== "SHA256SUMS")
    .sort();
  const lines = artefacts.map((name) => `${sha256(readFileSync(join(outdir, name)))}  ${name}\n`);
  writeFileSync(join(outdir, "SHA256SUMS"), lines.join(""));
  for (const name of artefacts) {
    const size = readFileSync(join(outdir, name)).length;
    process.stdout.write(`${(size / 1e6).toFixed(1).padStart(7)} MB  ${name}\n`);
  }
}
