import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { md5, sha256 } from "./checksums.ts";
import { type Architecture, debianDependencies, readElf } from "./elf.ts";
import { type Built, maintainer, type PackagedFile, packageTree } from "./tree.ts";

export interface Job {
  /** The checkout. */
  root: string;
  /** Where artefacts are put. */
  outdir: string;
  /** Where it may write meanwhile. */
  scratch: string;
  built: Built;
}

const rpmArchitectures: Readonly<Record<Architecture, string>> = {
  amd64: "x86_64",
  arm64: "aarch64",
};

/** @returns the artefact's file name; so do the others */
export function makeTarball(job: Job): string {
  const { root, outdir, built } = job;
  const { architecture } = readElf(built.executable);
  const name = `oom-exporter-${built.version}-linux-${architecture}`;
  const files = packageTree(root, "tar", built);
  const sums = files.map(({ path, contents }) => `${sha256(contents)}  ${path}\n`).join("");
  const tree = join(job.scratch, "tar");
  write(join(tree, name), [...files, { path: "SHA256SUMS", mode: 0o644, contents: sums }]);
  const tar = join(job.scratch, `${name}.tar`);
  const owner = ["--owner=0", "--group=0", "--numeric-owner"];
  const order = ["--sort=name", "--format=gnu", `--mtime=@${built.epoch}`];
  run(job, "tar", ["-C", tree, ...owner, ...order, "-cf", tar, name]);
  run(job, "gzip", ["-9", "--no-name", tar]);
  renameSync(`${tar}.gz`, join(outdir, `${name}.tar.gz`));
  return `${name}.tar.gz`;
}

/** The control file of the Debian package (deb-control(5)). */
export function debianControl(built: Built, installedBytes: number): string {
  const needs = readElf(built.executable);
  return [
    "Package: oom-exporter",
    `Version: ${built.version}`,
    `Architecture: ${needs.architecture}`,
    `Maintainer: ${maintainer}`,
    `Installed-Size: ${Math.ceil(installedBytes / 1024)}`,
    `Depends: ${[...debianDependencies(needs), "init-system-helpers (>= 1.54)"].join(", ")}`,
    "Suggests: prometheus",
    "Section: net",
    "Priority: optional",
    "Homepage: https://github.com/oom-exporter/oom-exporter",
    "Description: Prometheus exporter for Linux out-of-memory kills",
    " Counts every process that the kernel kills because memory ran out, explains",
    " which one was killed and why, and shows which is next: as metrics, as a status",
    " page and on the command line.",
    " .",
    ` Node.js ${built.nodeVersion} is part of the executable.`,
    "",
  ].join("\n");
}

const maintainerScripts = ["postinst", "prerm", "postrm"] as const;

export function makeDeb(job: Job): string {
  const { root, outdir, built } = job;
  const { architecture } = readElf(built.executable);
  const files = packageTree(root, "deb", built);
  const tree = join(job.scratch, "deb");
  write(tree, files);
  const bytes = files.reduce((sum, { contents }) => sum + Buffer.byteLength(contents), 0);
  const sums = files
    .filter(({ isConfiguration }) => !isConfiguration)
    .map(({ path, contents }) => `${md5(contents)}  ${path}\n`);
  const configurations = files.filter(({ isConfiguration }) => isConfiguration);
  write(join(tree, "DEBIAN"), [
    { path: "control", mode: 0o644, contents: debianControl(built, bytes) },
    { path: "md5sums", mode: 0o644, contents: sums.join("") },
    {
      path: "conffiles",
      mode: 0o644,
      contents: configurations.map(({ path }) => `/${path}\n`).join(""),
    },
    ...maintainerScripts.map(
      (name): PackagedFile => ({
        path: name,
        mode: 0o755,
        contents: readFileSync(join(root, "packaging/debian", name)),
      }),
    ),
  ]);
  const name = `oom-exporter_${built.version}_${architecture}.deb`;
  const options = ["--root-owner-group", "-Zxz", "--build"];
  run(job, "dpkg-deb", [...options, tree, join(outdir, name)]);
  return name;
}

export function makeRpm(job: Job): string {
  const { root, outdir, built } = job;
  const architecture = rpmArchitectures[readElf(built.executable).architecture];
  const tree = join(job.scratch, "rpm");
  write(tree, packageTree(root, "rpm", built));
  const top = join(job.scratch, "rpmbuild");
  const name = `oom-exporter-${built.version}-1.${architecture}.rpm`;
  const macros = {
    _topdir: top,
    _tmppath: join(top, "tmp"),
    _rpmdir: top,
    _rpmfilename: name,
    _binary_payload: "w6.xzdio",
    _buildhost: "localhost",
    version: built.version,
    node_version: built.nodeVersion,
    tree,
  };
  const defines = Object.entries(macros).flatMap(([key, value]) => ["--define", `${key} ${value}`]);
  const spec = join(root, "packaging/rpm/oom-exporter.spec");
  run(job, "rpmbuild", ["-bb", "--target", architecture, ...defines, spec]);
  renameSync(join(top, name), join(outdir, name));
  return name;
}

function write(directory: string, files: readonly PackagedFile[]): void {
  rmSync(directory, { recursive: true, force: true });
  for (const { path, mode, contents } of files) {
    const target = join(directory, path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    writeFileSync(target, contents);
    chmodSync(target, mode);
  }
}

function run({ built }: Job, program: string, args: string[]): void {
  const settings = { SOURCE_DATE_EPOCH: `${built.epoch}`, LC_ALL: "C" };
  try {
    execFileSync(program, args, { env: { ...process.env, ...settings }, stdio: "pipe" });
  } catch (error) {
    const { stderr, message, code } = error as { stderr?: Buffer; message: string; code?: string };
    if (code === "ENOENT") throw new Error(`${program} is not on PATH`);
    throw new Error(`${program}: ${stderr?.toString().trim() || message}`);
  }
}
