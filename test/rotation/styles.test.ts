import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { rotationStyles } from "./rotation-styles.ts";
import { followLog, NumberedLines, WriterProcess } from "./writer-process.ts";

test.each(Object.entries(rotationStyles))(
  "at 5,000 lines a second nothing is lost or doubled: %s",
  async (_name, rotate) => {
    const directory = mkdtempSync(join(tmpdir(), "rotation-"));
    const path = join(directory, "kern.log");
    const writer = new WriterProcess(path, 5000);
    await writer.started();
    const lines = new NumberedLines();
    const log = followLog(path, "start", lines, (reason) => expect.unreachable(reason));
    try {
      for (let rotation = 0; rotation < 4; rotation++) {
        await lines.more(1000);
        await writer.isOnPath();
        await rotate(path, writer);
      }
      await lines.more(1000);
      const written = await writer.stop();
      await log.poll();
      expect(lines.check(written)).toEqual({ lost: 0, doubled: 0, disordered: 0 });
    } finally {
      log.stop();
      rmSync(directory, { recursive: true });
    }
  },
);
