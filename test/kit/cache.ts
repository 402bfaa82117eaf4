import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { takeLock } from "../setup/file-lock.ts";

/** Where kernels, images and unpacked packages stay from run to run; all checkouts of a user share it. */
export const cacheDirectory =
  process.env.OOM_EXPORTER_TEST_CACHE ??
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "oom-exporter-tests");

/**
 * The path of a cached file or directory; if it does not exist, `make` creates it at the given path.
 * A process that needs the same at the same time waits; what an interrupted one left behind is removed.
 */
export async function cached(
  name: string,
  make: (building: string) => Promise<void>,
): Promise<string> {
  const path = join(cacheDirectory, name);
  if (existsSync(path)) return path;
  await mkdir(dirname(path), { recursive: true });
  const unlock = await takeLock(`${path}.lock`);
  try {
    if (existsSync(path)) return path;
    const prefix = `${basename(path)}.building-`;
    for (const entry of await readdir(dirname(path))) {
      if (entry.startsWith(prefix)) await remove(join(dirname(path), entry));
    }
    const building = join(dirname(path), `${prefix}${process.pid}`);
    try {
      await make(building);
      await rename(building, path);
    } finally {
      await remove(building);
    }
    return path;
  } finally {
    await unlock();
  }
}

const remove = (path: string) => rm(path, { recursive: true, force: true });
