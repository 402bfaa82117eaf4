import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./run.ts";

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * One of Debian's suites, read with an apt configuration of its own: no root, and this machine's sources and
 * packages stay as they are. The archive is the one that this machine's apt uses.
 */
export class DebianSuite {
  readonly #directory: string;
  readonly #options: string[];

  private constructor(directory: string, options: string[]) {
    this.#directory = directory;
    this.#options = options;
  }

  /**
   * @param names suites that are read together, such as `["trixie", "trixie-security"]`
   * @param installed what dependencies can rely on: `nothing`, or what `this machine` has
   * @throws {Error} if a suite cannot be read
   */
  static async open(
    names: readonly string[],
    installed: "nothing" | "this machine",
  ): Promise<DebianSuite> {
    const directory = await mkdtemp(join(tmpdir(), "oom-exporter-apt-"));
    const path = (name: string) => join(directory, name);
    await Promise.all(
      ["lists/partial", "archives/partial", "none"].map((name) =>
        mkdir(path(name), { recursive: true }),
      ),
    );
    await writeFile(path("status"), "");
    await writeFile(path("sources.list"), (await sourceLines(names)).join("\n"));
    const settings = {
      "Dir::Etc::sourcelist": path("sources.list"),
      "Dir::Etc::sourceparts": path("none"),
      "Dir::Etc::preferencesparts": path("none"),
      "Dir::State::lists": path("lists"),
      "Dir::State::status": installed === "nothing" ? path("status") : "/var/lib/dpkg/status",
      "Dir::Cache": directory,
      "Dir::Cache::archives": path("archives"),
      "Acquire::Languages": "none",
      "APT::Install-Recommends": "false",
      "APT::Sandbox::User": process.env.USER ?? "root",
      "Debug::NoLocking": "true",
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    const suite = new DebianSuite(directory, options);
    try {
      await suite.#apt("apt-get", "update", "--error-on=any");
    } catch (error) {
      await suite.close();
      throw error;
    }
    return suite;
  }

  close(): Promise<void> {
    return rm(this.#directory, { recursive: true, force: true });
  }

  async packagesNamed(pattern: RegExp): Promise<string[]> {
    const names = (await this.#apt("apt-cache", "pkgnames")).split("\n");
    return names.filter((name) => pattern.test(name));
  }

  /** The names of the packages that one depends on. */
  async dependenciesOf(packageName: string): Promise<string[]> {
    const text = await this.#apt("apt-cache", "depends", packageName);
    return [...text.matchAll(/^ [ |](?:Pre)?Depends: ([^<\s]+)/gm)].map(([, name]) => `${name}`);
  }

  /** Downloads these packages and unpacks them into a directory. */
  async unpack(packages: readonly string[], into: string): Promise<void> {
    const archives = join(this.#directory, "archives");
    await run("apt-get", [...this.#options, "download", "-qq", ...packages], { cwd: archives });
    await this.#unpackArchives(into);
  }

  /** The same with every package that they need and that is not installed. */
  async unpackWithDependencies(packages: readonly string[], into: string): Promise<void> {
    await this.#apt("apt-get", "install", "-qq", "--yes", "--download-only", ...packages);
    await this.#unpackArchives(into);
  }

  async #unpackArchives(into: string): Promise<void> {
    const archives = join(this.#directory, "archives");
    await mkdir(into, { recursive: true });
    for (const file of await readdir(archives)) {
      if (!file.endsWith(".deb")) continue;
      await run("dpkg-deb", ["-x", join(archives, file), into]);
      await rm(join(archives, file));
    }
  }

  #apt(program: string, ...args: string[]): Promise<string> {
    return run(program, [...this.#options, ...args]);
  }
}

/** Lines for a sources.list: `deb [signed-by=...] URI SUITE main`. */
export async function sourceLines(suites: readonly string[]): Promise<string[]> {
  const targets = await run("apt-get", ["indextargets", "--format", "$(REPO_URI) $(RELEASE)"]);
  const uriOf = (suffix: RegExp) =>
    targets
      .split("\n")
      .map((line) => line.split(" "))
      .find(([uri = "", release = ""]) => /\bdebian/.test(uri) && suffix.test(release))?.[0];
  const archive = uriOf(/^[a-z]+$/);
  if (archive === undefined) throw new Error("this machine's apt has no Debian archive");
  const security = uriOf(/-security$/) ?? archive.replace(/debian\/?$/, "debian-security/");
  return suites.map((suite) => {
    const uri = suite.endsWith("-security") ? security : archive;
    return `deb [arch=amd64 signed-by=${keyring}] ${uri} ${suite} main`;
  });
}
