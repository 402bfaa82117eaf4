import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { readlink, rm, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { cached } from "./cache.ts";
import { DebianSuite } from "./debian-suite.ts";
import { run } from "./run.ts";

/** Programs of Debian packages that are unpacked into the cache; nothing is installed. */
export interface DebianPrograms {
  /** Where the packages' files are: `usr/bin`, `usr/share`, ... */
  root: string;
  /** What a process needs to find the programs, their libraries and Perl modules. */
  env: NodeJS.ProcessEnv;
}

/**
 * @param packages taken from this machine's own release, with what they need and is not installed here
 * @throws {Error} if this is no Debian machine or its packages cannot be downloaded
 */
export async function debianPrograms(packages: readonly string[]): Promise<DebianPrograms> {
  const release = thisRelease();
  const key = createHash("sha256")
    .update([release, ...packages].join(" "))
    .digest("hex");
  const root = await cached(`programs/${key.slice(0, 12)}`, async (building) => {
    const suites = [release, `${release}-updates`, `${release}-security`];
    const source = await DebianSuite.open(suites, "this machine");
    try {
      await source.unpackWithDependencies(packages, building);
      await keepLinksInside(building);
    } finally {
      await source.close();
    }
  });
  const binaries = ["usr/sbin", "usr/bin", "sbin", "bin"].map((name) => join(root, name));
  const [libraries, perl] = await Promise.all([
    run("find", [root, "-name", "*.so.*", "-printf", "%h\n"]),
    run("find", [
      root,
      "-type",
      "d",
      "-regex",
      ".*/usr/\\(share\\|lib/[^/]*\\)/perl[^/]*\\(/5[^/]*\\)?",
    ]),
  ]);
  const { PATH, LD_LIBRARY_PATH, PERL5LIB } = process.env;
  return {
    root,
    env: {
      ...process.env,
      PATH: searchPath(binaries, PATH, "/usr/sbin", "/sbin"),
      LD_LIBRARY_PATH: searchPath(libraries.split("\n"), LD_LIBRARY_PATH),
      PERL5LIB: searchPath(perl.split("\n"), PERL5LIB),
    },
  };
}

/** Packages link to absolute paths, as /sbin/depmod does to /bin/kmod. */
async function keepLinksInside(root: string): Promise<void> {
  const links = await run("find", [root, "-type", "l", "-lname", "/*"]);
  for (const link of links.split("\n").filter(Boolean)) {
    const target = join(root, await readlink(link));
    if (!existsSync(target)) continue;
    await rm(link);
    await symlink(relative(dirname(link), target), link);
  }
}

function searchPath(directories: readonly string[], ...more: (string | undefined)[]): string {
  return [...new Set([...directories, ...more].filter(Boolean))].join(":");
}

function thisRelease(): string {
  const text = readFileSync("/etc/os-release", "utf8");
  const release = /^VERSION_CODENAME=(\w+)$/m.exec(text)?.[1];
  if (release === undefined || !/^ID=debian$/m.test(text)) {
    throw new Error("this machine does not run a Debian release");
  }
  return release;
}
