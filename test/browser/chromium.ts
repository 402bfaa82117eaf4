import { execFile } from "node:child_process";
import { access, chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { promisify } from "node:util";
import { type Browser, chromium } from "playwright-core";

const run = promisify(execFile);
const cache = resolve("node_modules/.cache/debian-tools");

/** No call but to the page that is opened; and a container's /dev/shm is small. */
const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A headless Chromium with a profile of its own, which it removes when it is closed. */
export async function startChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: await chromiumPath(), args: flags });
}

/**
 * Chromium on PATH, else the Debian package with all that it lacks, downloaded with apt and unpacked
 * into a cache under node_modules; nothing is installed.
 * @throws where it can be had neither way, in one line that says what to do
 */
async function chromiumPath(): Promise<string> {
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    const candidate = join(directory, "chromium");
    if (directory !== "" && (await exists(candidate))) return candidate;
  }
  const home = join(cache, "chromium");
  try {
    if (!(await exists(join(home, "chromium")))) await unpack(home);
    return join(home, "chromium");
  } catch (error) {
    throw new Error(
      `no Chromium to test the pages in, nor Debian's package of it (${firstLine(error)}): install one, e.g. apt-get install chromium`,
    );
  }
}

async function unpack(home: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  // Test files run in parallel: each builds its own copy, the rename decides whose is used.
  const building = await mkdtemp(join(cache, ".chromium-"));
  try {
    const install = ["-s", "-qq", "--no-install-recommends", "install", "chromium"];
    const { stdout } = await run("apt-get", install);
    const missing = [...stdout.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name as string);
    await run("apt-get", ["download", "-qq", ...missing], { cwd: building, timeout: 300_000 });
    for (const file of await readdir(building)) {
      if (!file.endsWith(".deb")) continue;
      await run("dpkg", ["-x", file, "root"], { cwd: building });
      await rm(join(building, file));
    }
    await writeFile(join(building, "fonts.conf"), fontsConfiguration(home));
    await writeFile(join(building, "chromium"), wrapper(home));
    await chmod(join(building, "chromium"), 0o755);
    await rename(building, home).catch(async (error: unknown) => {
      if (!(await exists(join(home, "chromium")))) throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

function wrapper(home: string): string {
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  return [
    "#!/bin/sh",
    `root='${home}/root'`,
    `export LD_LIBRARY_PATH="$root/usr/lib/${triplet}:$root/lib/${triplet}"`,
    `[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_FILE='${home}/fonts.conf'`,
    'exec "$root/usr/lib/chromium/chromium" "$@"',
    "",
  ].join("\n");
}

/** For a machine that has no fonts of its own: without any, every page crashes. */
function fontsConfiguration(home: string): string {
  return `<?xml version="1.0"?>
<fontconfig>
<dir>${home}/root/usr/share/fonts</dir>
<cachedir>${home}/font-cache</cachedir>
</fontconfig>
`;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function firstLine(error: unknown): string {
  return String(error).split("\n", 1)[0] ?? "";
}
