import { copyFileSync, renameSync, truncateSync, writeFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import type { WriterProcess } from "./writer-process.ts";

/** How a log can be rotated while it is being written; each resolves when the rotation is complete. */
export type Rotate = (path: string, writer: WriterProcess) => Promise<void>;

async function renameAndCreate(path: string, writer: WriterProcess): Promise<void> {
  shift(path);
  renameSync(path, `${path}.1`);
  writeFileSync(path, "");
  writer.reopen();
}

async function renameAndCreateLater(path: string, writer: WriterProcess): Promise<void> {
  shift(path);
  renameSync(path, `${path}.1`);
  await wait(400);
  writer.reopen();
}

async function writerStaysOnTheOldFile(path: string, writer: WriterProcess): Promise<void> {
  shift(path);
  renameSync(path, `${path}.1`);
  writeFileSync(path, "");
  await wait(400);
  writer.reopen();
}

/** The writer is stopped in between: what it wrote between copy and cut would be gone for everybody. */
async function copyAndTruncate(path: string, writer: WriterProcess): Promise<void> {
  await writer.pause();
  shift(path);
  copyFileSync(path, `${path}.1`);
  truncateSync(path);
  writer.resume();
}

async function twiceAtOnce(path: string, writer: WriterProcess): Promise<void> {
  await copyAndTruncate(path, writer);
  await wait(3);
  await copyAndTruncate(path, writer);
}

export const rotationStyles: Record<string, Rotate> = {
  "rename and create": renameAndCreate,
  "rename, the new file comes late": renameAndCreateLater,
  "rename, the writer stays on the old file": writerStaysOnTheOldFile,
  "copy and truncate": copyAndTruncate,
  "copy and truncate twice within 3 ms": twiceAtOnce,
};

function shift(path: string): void {
  for (let count = 40; count >= 1; count--) {
    try {
      renameSync(`${path}.${count}`, `${path}.${count + 1}`);
    } catch {
      // Not that many yet.
    }
  }
}
