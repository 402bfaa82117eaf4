import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { expect, test } from "vitest";
import { compiledSource } from "../setup/compiled-source.ts";
import { seededRandom } from "../setup/seeded-random.ts";
import { rotationStyles } from "./rotation-styles.ts";
import { WriterProcess } from "./writer-process.ts";

const script = "test/rotation/saving-reader.mjs";

test("a reader killed with -9 again and again, while the log rotates, has counted each line once", async () => {
  const random = seededRandom();
  const source = await compiledSource();
  const directory = mkdtempSync(join(tmpdir(), "kill-9-"));
  const path = join(directory, "kern.log");
  const state = join(directory, "state.json");
  const startReader = (...more: string[]): ChildProcess =>
    spawn(process.execPath, [script, source, path, state, ...more], {
      stdio: ["ignore", "ignore", "inherit"],
    });
  const writer = new WriterProcess(path, 5000);
  await writer.started();
  const styles = Object.values(rotationStyles);
  try {
    for (let round = 0; round < 10; round++) {
      const reader = startReader();
      // Before anything was saved it would be a first start, which reads no older files.
      while (!existsSync(state)) await wait(10);
      await wait(100 + random() * 300);
      await writer.isOnPath();
      const rotation = styles[round % styles.length]?.(path, writer);
      await wait(random() * 100);
      const dead = once(reader, "exit");
      reader.kill("SIGKILL");
      await dead;
      await rotation;
    }
    const written = await writer.stop();
    await once(startReader("once"), "exit");
    const { next, lost, again } = JSON.parse(readFileSync(state, "utf8"));
    expect({ read: next, lost, again }).toEqual({ read: written, lost: 0, again: 0 });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
