import { readFileSync } from "node:fs";
import { copyFile, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "../../kit/cache.ts";
import { DebianSuite } from "../../kit/debian-suite.ts";
import { run } from "../../kit/run.ts";
import { diskImage } from "./disk-image.ts";
import { hostPrograms } from "./host-programs.ts";

/** Where Debian has a kernel of a series; the first suite that has one is taken. */
const suitesOf: Record<string, string[][]> = {
  "5.10": [["bullseye", "bullseye-security"]],
  "6.1": [["bookworm", "bookworm-security"]],
  "6.12": [["trixie", "trixie-security"], ["bookworm-backports"]],
  "7.2": [["sid"], ["trixie-backports"]],
};

export interface Kernel {
  /** As `uname -r` says it. */
  release: string;
  /** What qemu boots. */
  image: string;
  /** Drivers that the initramfs loads before there is a root, in this order. */
  bootModules: string[];
  /** An ext4 image of /lib/modules. */
  modules: string;
}

/**
 * Debian's newest kernel of a series such as `6.12`, downloaded once.
 * @throws {Error} where Debian has none or it cannot be downloaded
 */
export async function debianKernel(series: string): Promise<Kernel> {
  const directory = await cached(`kernels/${series}`, (building) => fetchKernel(series, building));
  return {
    release: readFileSync(join(directory, "release"), "utf8"),
    image: join(directory, "vmlinuz"),
    bootModules: readFileSync(join(directory, "boot-modules.txt"), "utf8")
      .split("\n")
      .filter(Boolean)
      .map((name) => join(directory, "boot-modules", name)),
    modules: join(directory, "modules.ext4"),
  };
}

async function fetchKernel(series: string, directory: string): Promise<void> {
  const suites = suitesOf[series];
  if (suites === undefined) {
    throw new Error(`no kernel ${series}; known are ${Object.keys(suitesOf).join(", ")}`);
  }
  const failures: string[] = [];
  for (const names of suites) {
    try {
      const suite = await DebianSuite.open(names, "nothing");
      try {
        return await unpackKernel(series, suite, directory);
      } finally {
        await suite.close();
      }
    } catch (error) {
      failures.push(`${names[0]}: ${(error as Error).message}`);
    }
  }
  throw new Error(`no kernel ${series} to be had: ${failures.join("; ")}`);
}

async function unpackKernel(series: string, suite: DebianSuite, directory: string): Promise<void> {
  const escaped = series.replace(".", "\\.");
  const images = await suite.packagesNamed(
    new RegExp(`^linux-image-${escaped}\\.\\d[\\w.+~-]*-cloud-amd64$`),
  );
  const newest = images.sort(byNumbers).at(-1);
  if (newest === undefined) throw new Error(`it has no linux-image-${series}.*-cloud-amd64`);
  const release = newest.replace("linux-image-", "");
  // Since 6.19 the image and its modules are packages of their own.
  const parts = (await suite.dependenciesOf(newest)).filter((name) => name.endsWith(release));
  const files = join(directory, "files");
  await suite.unpack([newest, ...parts], files);

  const [found = ""] = (
    await run("find", [
      files,
      "-type",
      "f",
      "-name",
      `vmlinuz*${release}*`,
      "-o",
      "-name",
      "vmlinuz",
    ])
  ).split("\n");
  const [tree = ""] = (
    await run("find", [
      files,
      "-type",
      "d",
      "-path",
      `*/modules/${release}/kernel`,
      "-printf",
      "%h\n",
    ])
  ).split("\n");
  if (found === "" || tree === "") throw new Error(`${newest} has no image or no modules`);
  await mkdir(join(directory, "root/lib/modules"), { recursive: true });
  await copyFile(found, join(directory, "vmlinuz"));
  await rename(tree, join(directory, "root/lib/modules", release));
  await writeFile(join(directory, "release"), release);
  const { env } = await hostPrograms();
  await run("depmod", ["-b", join(directory, "root"), release], { env });
  await writeBootModules(join(directory, "root/lib/modules", release), directory);
  await diskImage(join(directory, "modules.ext4"), {
    contents: join(directory, "root/lib/modules"),
    isWritable: false,
  });
  await Promise.all(
    ["root", "files"].map((name) => rm(join(directory, name), { recursive: true, force: true })),
  );
}

/** The drivers of the disks and of the root, and what they depend on; whatever is built in is not there. */
async function writeBootModules(tree: string, directory: string): Promise<void> {
  const lines = readFileSync(join(tree, "modules.dep"), "utf8").trim().split("\n");
  const paths = new Map<string, string[]>();
  for (const line of lines) {
    const [path = "", dependencies = ""] = line.split(":");
    const name = /([^/]+)\.ko(\.xz)?$/.exec(path)?.[1] ?? "";
    paths.set(name, [path, ...dependencies.trim().split(" ").filter(Boolean)]);
  }
  const wanted = ["virtio_pci", "virtio_blk", "virtio_rng", "ext4", "overlay"].flatMap(
    (name) => paths.get(name)?.toReversed() ?? [],
  );
  await mkdir(join(directory, "boot-modules"));
  const names: string[] = [];
  for (const path of new Set(wanted)) {
    const name = path.replace(/.*\//, "");
    await copyFile(join(tree, path), join(directory, "boot-modules", name));
    if (name.endsWith(".xz")) await run("xz", ["-d", join(directory, "boot-modules", name)]);
    names.push(name.replace(/\.xz$/, ""));
  }
  await writeFile(join(directory, "boot-modules.txt"), names.join("\n"));
}

function byNumbers(one: string, other: string): number {
  return one.localeCompare(other, "en", { numeric: true });
}
