import { open } from "node:fs/promises";
import { run } from "../../kit/run.ts";
import { hostPrograms } from "./host-programs.ts";

export interface DiskImage {
  /** A directory whose files it holds. */
  contents?: string;
  isWritable: boolean;
  /** Beside what the contents need. */
  spareMb?: number;
}

/** Makes an ext4 image; the file is sparse. */
export async function diskImage(path: string, image: DiskImage): Promise<void> {
  const { contents, isWritable, spareMb = 8 } = image;
  const { env } = await hostPrograms();
  const kb =
    contents === undefined ? 0 : Number((await run("du", ["-sk", contents])).split("\t")[0]);
  await sparseFile(path, spareMb + Math.ceil((kb * 1.1) / 1024));
  const features = isWritable ? [] : ["-O", "^has_journal"];
  const from = contents === undefined ? [] : ["-d", contents];
  const type = ["-q", "-F", "-t", "ext4", "-m", "0", "-i", "4096"];
  const ownedByRoot = ["-E", "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1"];
  await run("mke2fs", [...type, ...ownedByRoot, ...features, ...from, path], { env });
}

export async function sparseFile(path: string, megabytes: number): Promise<void> {
  const file = await open(path, "w");
  await file.truncate(megabytes * 1024 * 1024);
  await file.close();
}
