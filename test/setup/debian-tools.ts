import { type ExecFileOptions, execFile } from "node:child_process";
import { access, chmod, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, delimiter, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { takeLock } from "./file-lock.ts";
import { runName } from "./test-run.ts";

const abandoned = new AbortController();
const execute = promisify(execFile);
const run = (program: string, words: readonly string[], options: ExecFileOptions = {}) =>
  execute(program, words, { ...options, encoding: "utf8", signal: abandoned.signal });
const cache = resolve("node_modules/.cache/debian-tools");
const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";

/** A program that tests run for real: its path, or why this machine cannot have it. */
export type Tool = { path: string; obstacle?: undefined } | { path?: undefined; obstacle: string };

/**
 * On PATH: that one. Otherwise the Debian package, with all that this machine lacks of its
 * dependencies, is downloaded with apt and unpacked into a cache under node_modules. Nothing is
 * installed, and neither root nor an `apt-get update` beforehand is needed.
 * Example: `debianTool("logrotate", "usr/sbin/logrotate")`.
 *
 * @throws {Error} with CI=true, if the program is not available: no check may be skipped silently there
 */
export async function debianTool(packageName: string, pathInside: string): Promise<Tool> {
  const found = await onPath(basename(pathInside));
  return found === undefined ? unpacked({ packageName, pathInside }) : { path: found };
}

/**
 * The same of another suite of Debian than this machine's, such as sid; never from PATH.
 *
 * @throws {Error} with CI=true, if the program is not available
 */
export function debianToolOf(
  suite: string,
  packageName: string,
  pathInside: string,
): Promise<Tool> {
  return unpacked({ packageName, pathInside, suite });
}

/** Ends what this process is fetching: nobody waits for it any more. */
export function abandonFetching(): void {
  abandoned.abort();
}

interface Wanted {
  packageName: string;
  pathInside: string;
  /** This machine's where absent. */
  suite?: string;
}

/** Its folder in the cache. */
function folderOf({ packageName, suite }: Wanted): string {
  return suite === undefined ? packageName : `${packageName}-${suite}`;
}

async function unpacked(wanted: Wanted): Promise<Tool> {
  const program = basename(wanted.pathInside);
  const path = join(cache, folderOf(wanted), program);
  if (await exists(path)) return { path };
  try {
    await unpackOnce(wanted);
    return { path };
  } catch (error) {
    const obstacle = `no ${program}: ${reasonOf(error)}`;
    if (process.env.CI === "true") throw new Error(obstacle);
    return { obstacle };
  }
}

/** What a package needs to run from the directory where it was unpacked. */
interface Peculiarity {
  /** A folder of libraries that the program loads by itself, below the root. */
  plugins?: string;
  /** A folder that is compiled into the program, and what is written in its place. */
  compiledIn?: { folder: string; instead: string };
  /** Lines of the shell script that starts a program, before it does. */
  before?: string[];
}

const peculiarities: Record<string, Peculiarity> = {
  "chromium-headless-shell": {
    // Without any fonts every page crashes.
    before: [
      '[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_FILE="$root/../fonts.conf" XDG_CACHE_HOME="$root/../cache"',
    ],
  },
  debootstrap: {
    before: ['export DEBOOTSTRAP_DIR="$root/usr/share/debootstrap"'],
  },
  openssl: {
    before: ['[ -e /usr/lib/ssl/openssl.cnf ] || export OPENSSL_CONF="$root/etc/ssl/openssl.cnf"'],
  },
  rsyslog: {
    plugins: `usr/lib/${triplet}/rsyslog`,
    before: [`export RSYSLOG_MODDIR="$root/usr/lib/${triplet}/rsyslog/"`],
  },
  "prometheus-alertmanager": {
    // Its templates: descriptor 9 is their folder, wherever that is.
    compiledIn: { folder: "/usr/share/prometheus/alertmanager", instead: "/proc/self/fd/9" },
    before: ['exec 9<"$root/usr/share/prometheus/alertmanager"'],
  },
};

async function onPath(program: string): Promise<string | undefined> {
  const directories = (process.env.PATH ?? "").split(delimiter);
  for (const directory of [...directories, "/usr/local/sbin", "/usr/sbin", "/sbin"]) {
    const candidate = join(directory, program);
    if (directory !== "" && (await exists(candidate))) return candidate;
  }
  return undefined;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Test files and test runs may want the same package at once: one unpacks, the others wait. What a
 * killed run left half unpacked is removed; what failed in this run is not tried again in it.
 */
async function unpackOnce(wanted: Wanted): Promise<void> {
  const { pathInside } = wanted;
  const folder = folderOf(wanted);
  await mkdir(cache, { recursive: true });
  const release = await takeLock(join(cache, "lock"));
  try {
    const home = join(cache, folder);
    const failure = join(cache, `${folder}.failed`);
    const failed = await readFile(failure, "utf8").catch(() => "");
    const [run, reason] = failed.split("\n", 2);
    if (run === runName() && reason !== undefined) throw new Error(reason);
    try {
      // Another program of the same package may have brought it.
      if (!(await exists(join(home, "root", pathInside)))) {
        const building = join(cache, `.${folder}`);
        await rm(building, { recursive: true, force: true });
        await unpack(wanted, building);
        await rm(home, { recursive: true, force: true });
        await rename(building, home);
      }
      await writeStarter(wanted, home);
      await rm(failure, { force: true });
    } catch (error) {
      await writeFile(failure, `${runName()}\n${reasonOf(error)}`);
      throw error;
    }
  } finally {
    await release();
  }
}

async function unpack({ packageName, pathInside, suite }: Wanted, home: string): Promise<void> {
  const root = join(home, "root");
  await mkdir(root, { recursive: true });
  const packages = await fetchPackage(packageName, root, suite);
  const { plugins } = peculiarities[packageName] ?? {};
  const folders = await completeLibraries(join(root, pathInside), root, packages, plugins);
  await writeFile(join(home, "library-path"), folders.join(":"));
  if (packageName === "chromium-headless-shell")
    await writeFile(join(home, "fonts.conf"), fontsConfiguration);
}

async function fetchPackage(name: string, root: string, suite?: string): Promise<Packages> {
  if (suite !== undefined) {
    const packages = await Packages.ofSuite(suite, join(cache, `apt-${suite}`));
    // All else that it depends on would be of that suite too, libc included.
    // A newer version of another origin may be installed here.
    await packages.fetch([`${name}/${suite}`], root);
    return packages;
  }
  const packages = new Packages([]);
  try {
    await packages.fetch(await packages.lackedBy(name), root);
    return packages;
  } catch {
    // The machine has no package lists, or old ones.
    const fresh = await Packages.withOwnLists(join(cache, "apt"));
    await fresh.fetch(await fresh.lackedBy(name), root);
    return fresh;
  }
}

/** Debian's packages, by apt. */
class Packages {
  readonly #options: readonly string[];

  constructor(options: readonly string[]) {
    this.#options = ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2", ...options];
  }

  /** With lists that are fetched now, into a directory of our own. */
  static withOwnLists(directory: string): Promise<Packages> {
    return Packages.#updated(directory, []);
  }

  /** Packages of another suite, from the same mirror as this machine's. */
  static async ofSuite(suite: string, directory: string): Promise<Packages> {
    const { stdout } = await run("apt-get", ["indextargets", "--format", "$(SITE) $(COMPONENT)"]);
    const site = /^(\S+\/debian) main$/m.exec(stdout)?.[1];
    if (site === undefined) throw new Error("this machine's apt has no Debian main");
    const sources = join(directory, "sources.list");
    const keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    await mkdir(directory, { recursive: true });
    await writeFile(sources, `deb [signed-by=${keys}] ${site} ${suite} main\n`);
    const only = ["-o", `Dir::Etc::SourceList=${sources}`, "-o", "Dir::Etc::SourceParts=/dev/null"];
    return Packages.#updated(directory, only);
  }

  static async #updated(directory: string, options: readonly string[]): Promise<Packages> {
    const lists = join(directory, "lists");
    const archives = join(directory, "cache");
    await mkdir(join(lists, "partial"), { recursive: true });
    await mkdir(join(archives, "archives/partial"), { recursive: true });
    const own = ["-o", `Dir::State::Lists=${lists}`, "-o", `Dir::Cache=${archives}`];
    const packages = new Packages([...own, ...options]);
    await packages.#apt(["-o", "Acquire::Languages=none", "-qq", "update"]);
    return packages;
  }

  /** The package itself and what it depends on and this machine has not. */
  async lackedBy(name: string): Promise<string[]> {
    const words = ["-s", "-qq", "--no-install-recommends", "install", name];
    const installed = (await this.#apt(words)).matchAll(/^Inst (\S+)/gm);
    const names = new Set([name, ...[...installed].map(([, lacked]) => lacked as string)]);
    // A second libc next to the installed one would not even start.
    names.delete("libc6");
    return [...names];
  }

  async fetch(names: readonly string[], root: string): Promise<void> {
    const directory = join(root, "../archives");
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory);
    await this.#apt(["-qq", "download", ...names], directory);
    for (const file of await readdir(directory)) {
      await run("dpkg", ["-x", join(directory, file), root]);
    }
    await rm(directory, { recursive: true });
  }

  async exists(name: string): Promise<boolean> {
    return (await this.#apt(["-qq", "--print-uris", "download", name]).catch(() => "")) !== "";
  }

  async #apt(words: readonly string[], cwd?: string): Promise<string> {
    const env = { ...process.env, LC_ALL: "C" };
    const limits = { timeout: 600_000, maxBuffer: 64 << 20 };
    const options = { cwd, env, ...limits };
    return (await run("apt-get", [...this.#options, ...words], options)).stdout;
  }
}

/**
 * The folders that the loader has to search for the program to start. A library that it misses is
 * looked for among what was unpacked, private folders included, then in the package that has it.
 * @throws {Error} with the name of the library that nothing has
 */
async function completeLibraries(
  program: string,
  root: string,
  packages: Packages,
  plugins?: string,
): Promise<string[]> {
  const folders = [`usr/lib/${triplet}`, `lib/${triplet}`];
  const loaded = [program];
  if (plugins !== undefined) {
    const names = await readdir(join(root, plugins));
    loaded.push(...names.map((name) => join(root, plugins, name)));
  }
  const fetched = new Set<string>();
  for (;;) {
    const paths = folders.map((folder) => join(root, folder)).join(":");
    const [library] = missingLibraries(await loaderSays(loaded, paths));
    if (library === undefined) return folders;
    const unpacked = await readdir(root, { recursive: true });
    const place = unpacked.find((path) => basename(path) === library && /\blib\d*\//.test(path));
    if (place !== undefined && !folders.includes(dirname(place))) {
      folders.push(dirname(place));
      continue;
    }
    const owner = place === undefined ? await packageWith(library, packages) : undefined;
    if (owner === undefined || fetched.has(owner)) {
      throw new Error(`${basename(program)} needs ${library}, and no package has it`);
    }
    fetched.add(owner);
    await packages.fetch([owner], root);
  }
}

async function loaderSays(files: readonly string[], libraryPath: string): Promise<string> {
  const env = { ...process.env, LC_ALL: "C", LD_LIBRARY_PATH: libraryPath };
  // A static program is "not a dynamic executable", which is an error to ldd.
  return run("ldd", [...files], { env, maxBuffer: 64 << 20 }).then(
    ({ stdout }) => stdout,
    ({ stdout }: { stdout?: string }) => stdout ?? "",
  );
}

/** The libraries that `ldd` does not find: `libpulsecommon-16.1.so => not found`. */
export function missingLibraries(ldd: string): string[] {
  const names = [...ldd.matchAll(/^\s*(\S+) => not found$/gm)].map(([, name]) => name as string);
  return [...new Set(names)];
}

async function packageWith(library: string, packages: Packages): Promise<string | undefined> {
  // Installed by name, but its files were removed, as slim images do.
  const { stdout } = await run("dpkg-query", ["-S", `*/${library}`]).catch(() => ({ stdout: "" }));
  const installed = /^([^:,\s]+)/.exec(stdout)?.[1];
  for (const name of installed === undefined ? packageNames(library) : [installed]) {
    if (await packages.exists(name)) return name;
  }
  return undefined;
}

/**
 * What Debian calls the package of a library, by section 8.1 of its policy: `libfoo.so.2` is in
 * libfoo2, `libfoo-1.0.so.2` in libfoo-1.0-2; since 2024 with t64 behind where time_t grew.
 */
export function packageNames(library: string): string[] {
  const [, stem = "", version = ""] = /^(.+?)\.so(?:\.([\w.]+))?$/.exec(library) ?? [];
  if (stem === "") return [];
  const between = /\d$/.test(stem) && version !== "" ? "-" : "";
  const name = `${stem}${between}${version}`.toLowerCase().replaceAll("_", "-");
  return [name, `${name}t64`];
}

async function writeStarter({ packageName, pathInside }: Wanted, home: string): Promise<void> {
  const program = basename(pathInside);
  const folders = (await readFile(join(home, "library-path"), "utf8")).split(":");
  const { compiledIn, before = [] } = peculiarities[packageName] ?? {};
  if (compiledIn !== undefined) await replaceFolder(join(home, "root", pathInside), compiledIn);
  const script = [
    "#!/bin/sh",
    // Relative to itself: a checkout may be moved or copied with what it unpacked.
    'root="$(dirname "$0")/root"',
    `export LD_LIBRARY_PATH="${folders.map((folder) => `$root/${folder}`).join(":")}"`,
    ...before,
    `exec "$root/${pathInside}" "$@"`,
    "",
  ].join("\n");
  const written = join(home, `.${program}`);
  await writeFile(written, script);
  await chmod(written, 0o755);
  await rename(written, join(home, program));
}

/** Of the same length, since a path may have more than one slash in a place. */
async function replaceFolder(
  file: string,
  { folder, instead }: { folder: string; instead: string },
): Promise<void> {
  const program = await readFile(file, "latin1");
  const replaced = program.replaceAll(folder, instead.padStart(folder.length, "/"));
  if (replaced === program) return;
  await writeFile(`${file}.new`, replaced, { encoding: "latin1", mode: 0o755 });
  await rename(`${file}.new`, file);
}

/** For a machine without fonts. */
const fontsConfiguration = `<?xml version="1.0"?>
<fontconfig>
<dir prefix="relative">root/usr/share/fonts</dir>
<cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`;

/** One line: what apt or dpkg wrote of its failure, else the error's own first line. */
function reasonOf(error: unknown): string {
  const { stderr = "", message = String(error) } = error as { stderr?: string; message?: string };
  const said = stderr.split("\n").find((line) => /^(E:|W:|dpkg)/.test(line));
  const missing = /^spawn (\S+) ENOENT/.exec(message)?.[1];
  if (missing !== undefined) return `it is not on PATH, and ${missing} to fetch it is not either`;
  return said ?? message.split("\n", 1)[0] ?? "";
}
