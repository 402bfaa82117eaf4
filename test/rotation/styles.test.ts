import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { expect, test } from "vitest";
import { LogFile } from "../../src/sources/log-file.ts";
import { rotationStyles } from "./rotation-styles.ts";
import { NumberedLines, WriterProcess } from "./writer-process.ts";

test.each(Object.entries(rotationStyles))(
  "at 5,000 lines a second nothing is lost or doubled: %s",
  async (_name, rotate) => {
    const directory = mkdtempSync(join(tmpdir(), "rotation-"));
    const path = join(directory, "kern.log");
    const writer = new WriterProcess(path, 5000);
    await writer.started();
    const lines = new NumberedLines();
    const log = new LogFile({
      path,
      from: "start",
      now: () => performance.now(),
      listener: {
        bytes: (chunk) => lines.chunk(chunk),
        endOfFile: () => lines.endOfFile(),
        caughtUp: () => {},
        stateChanged: () => {},
        rotated: () => {},
        lost: ({ reason }) => expect.unreachable(reason),
      },
    });
    log.start();
    try {
      for (let rotation = 0; rotation < 4; rotation++) {
        await wait(250);
        await rotate(path, writer);
      }
      await wait(250);
      const written = await writer.stop();
      await log.poll();
      expect(written).toBeGreaterThan(4000);
      expect(lines.check(written)).toEqual({ lost: 0, doubled: 0, disordered: 0 });
    } finally {
      log.stop();
      rmSync(directory, { recursive: true });
    }
  },
);
