import { execFile } from "node:child_process";
import { access, chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, delimiter, join, resolve } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const cache = resolve("node_modules/.cache/debian-tools");

/**
 * The path of a program that tests run for real, or undefined where this machine cannot have it.
 * On PATH: that one. Otherwise the Debian package (and the libraries it lacks) is downloaded with
 * apt and unpacked into a cache under node_modules; nothing is installed.
 * Example: `debianTool("logrotate", "usr/sbin/logrotate")`.
 *
 * With CI=true a program that cannot be had is an error, so that no check is skipped unseen.
 */
export async function debianTool(
  packageName: string,
  pathInside: string,
): Promise<string | undefined> {
  const program = basename(pathInside);
  const found = await onPath(program);
  if (found !== undefined) return found;

  const home = join(cache, packageName);
  const wrapper = join(home, program);
  if (await exists(wrapper)) return wrapper;
  try {
    // Another program of the same package may have brought it.
    if (!(await exists(join(home, "root", pathInside))))
      await unpack(packageName, pathInside, home);
    await writeWrapper(packageName, pathInside, home);
    return wrapper;
  } catch (error) {
    if (process.env.CI === "true") {
      throw new Error(`cannot get ${program} from the Debian package ${packageName}`, {
        cause: error,
      });
    }
    return undefined;
  }
}

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

async function unpack(packageName: string, pathInside: string, home: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  // Test files run in parallel: each builds its own copy, the rename decides whose is used.
  const building = await mkdtemp(join(cache, `.${packageName}-`));
  try {
    const root = join(building, "root");
    let wanted = [packageName];
    for (let round = 0; wanted.length > 0; round++) {
      if (round === 5) throw new Error(`no end to the libraries of ${packageName}`);
      const dependencies = new Set<string>();
      for (const name of wanted) {
        for (const dependency of await download(name, building, root)) dependencies.add(dependency);
      }
      wanted = (await lacksLibraries(join(root, pathInside), libraryPath(root)))
        ? await notInstalled([...dependencies].filter((name) => name.startsWith("lib")))
        : [];
    }
    await rename(building, home).catch(async (error: unknown) => {
      if (!(await exists(join(home, "root", pathInside)))) throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

async function writeWrapper(packageName: string, pathInside: string, home: string): Promise<void> {
  const program = basename(pathInside);
  const script = [
    "#!/bin/sh",
    `root=${join(home, "root")}`,
    `export LD_LIBRARY_PATH="${libraryPath("$root")}"`,
    // Where rsyslogd looks for its modules.
    ...(packageName === "rsyslog"
      ? ['for d in "$root"/usr/lib/*/rsyslog; do export RSYSLOG_MODDIR="$d/"; done']
      : []),
    // Alertmanager looks for its own templates at one place only.
    ...(program === "prometheus-alertmanager"
      ? [
          `mount='mount -t overlay overlay -o "lowerdir=$0/usr/share:/usr/share" /usr/share && exec "$@"'`,
          "[ -e /usr/share/prometheus/alertmanager/default.tmpl ] ||",
          `exec unshare --mount sh -c "$mount" "$root" "$root/${pathInside}" "$@"`,
        ]
      : []),
    `exec "$root/${pathInside}" "$@"`,
    "",
  ].join("\n");
  const written = join(home, `.${program}-${process.pid}`);
  await writeFile(written, script);
  await chmod(written, 0o755);
  await rename(written, join(home, program));
}

/** Downloads and unpacks one package; returns the names of the packages it depends on. */
async function download(name: string, directory: string, root: string): Promise<string[]> {
  const before = new Set(await readdir(directory));
  await run("apt-get", ["download", "--quiet", name], { cwd: directory, timeout: 60_000 });
  const archive = (await readdir(directory)).find(
    (file) => file.endsWith(".deb") && !before.has(file),
  );
  if (archive === undefined) throw new Error(`apt-get download ${name} brought no package`);
  await run("dpkg", ["-x", archive, root], { cwd: directory });
  const { stdout } = await run("dpkg-deb", ["-f", archive, "Depends"], { cwd: directory });
  return stdout
    .split(",")
    .map((part) => part.trim().split(/[ (:|]/)[0] ?? "")
    .filter((dependency) => dependency !== "");
}

/** A second libc beside the installed one would not even start. */
async function notInstalled(packageNames: string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const name of packageNames) {
    const { stdout } = await run("dpkg", ["-s", name]).catch(() => ({ stdout: "" }));
    if (!stdout.includes("Status: install ok installed")) missing.push(name);
  }
  return missing;
}

async function lacksLibraries(program: string, libraries: string): Promise<boolean> {
  const { stdout } = await run("ldd", [program], {
    env: { ...process.env, LD_LIBRARY_PATH: libraries },
  }).catch(() => ({ stdout: "" })); // a static program is not dynamic to ldd
  return stdout.includes("not found");
}

function libraryPath(root: string): string {
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  return [`${root}/usr/lib/${triplet}`, `${root}/lib/${triplet}`].join(":");
}
