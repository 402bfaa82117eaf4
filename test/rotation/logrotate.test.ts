import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { LogFile, LogFileOptions } from "../../src/log-sources/log-file.ts";
import { debianTool } from "../setup/debian-tools.ts";
import { needs } from "../setup/needs.ts";
import { followLog, NumberedLines, WriterProcess } from "./writer-process.ts";

const run = promisify(execFile);
const logrotate = await debianTool("logrotate", "usr/sbin/logrotate");

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "logrotate-"));
  // logrotate refuses a directory that others may write to.
  chmodSync(directory, 0o755);
  path = join(directory, "kern.log");
});
afterEach(() => rmSync(directory, { recursive: true }));

async function rotate(directives: string): Promise<void> {
  const configuration = join(directory, "logrotate.conf");
  writeFileSync(configuration, `${path} {\n${directives}\n}\n`);
  chmodSync(configuration, 0o644);
  const state = join(directory, "logrotate.state");
  await run(logrotate.path as string, ["--force", "--state", state, configuration]);
}

function follow(lines: NumberedLines, from: LogFileOptions["from"]): LogFile {
  return followLog(path, from, lines, (reason) => expect.unreachable(reason));
}

/** logrotate's dateformat counts whole seconds: two rotations in one would be one file. */
async function nextSecond(): Promise<void> {
  await wait(1000 - (Date.now() % 1000));
}

const hup = (writer: WriterProcess) => `postrotate\nkill -HUP ${writer.pid}\nendscript`;

needs(describe, logrotate.obstacle)("with the real logrotate", () => {
  const styles: Record<string, (writer: WriterProcess) => string> = {
    "Debian's rsyslog configuration": (writer) =>
      `rotate 9\nmissingok\nnotifempty\ncompress\ndelaycompress\nsharedscripts\n${hup(writer)}`,
    "create, dateext, compressed at once": (writer) =>
      `rotate 9\ncreate\ndateext\ndateformat -%Y%m%d-%s\ncompress\n${hup(writer)}`,
    nocreate: (writer) => `rotate 9\nnocreate\n${hup(writer)}`,
  };

  test.each(Object.entries(styles))(
    "at 5,000 lines a second nothing is lost or doubled: %s",
    async (_name, directives) => {
      const writer = new WriterProcess(path, 5000);
      await writer.started();
      const lines = new NumberedLines();
      const log = follow(lines, "start");
      for (let rotation = 0; rotation < 3; rotation++) {
        await lines.more(1000);
        await writer.isOnPath();
        await nextSecond();
        await rotate(directives(writer));
      }
      await lines.more(1000);
      const written = await writer.stop();
      await log.poll();
      log.stop();
      expect(lines.check(written)).toEqual({ lost: 0, doubled: 0, disordered: 0 });
    },
  );

  test("copytruncate loses only lines written between its two steps", async () => {
    const writer = new WriterProcess(path, 5000);
    await writer.started();
    const lines = new NumberedLines();
    const log = follow(lines, "start");
    for (let rotation = 0; rotation < 3; rotation++) {
      await lines.more(1000);
      await rotate("rotate 9\ncopytruncate");
    }
    await lines.more(1000);
    const written = await writer.stop();
    await log.poll();
    log.stop();
    expect(lines.check(written)).toMatchObject({ doubled: 0, disordered: 0 });
    // How long a gap is depends on how busy the machine is between the two steps.
    expect(lines.gaps(written)).toBeLessThanOrEqual(3);
  });

  test("after three rotations without a reader, compressed or not, everything is found", async () => {
    const writer = new WriterProcess(path, 5000);
    await writer.started();
    const lines = new NumberedLines();
    const first = follow(lines, "start");
    await lines.more(1000);
    first.stop();
    const position = first.position();
    for (let rotation = 0; rotation < 3; rotation++) {
      await writer.isOnPath();
      await rotate(`rotate 9\ncompress\ndelaycompress\n${hup(writer)}`);
    }
    expect(readdirSync(directory)).toEqual(expect.arrayContaining(["kern.log.1", "kern.log.2.gz"]));
    await writer.isOnPath();
    const written = await writer.stop();
    const second = follow(lines, position ?? "start");
    await second.poll();
    second.stop();
    expect(lines.check(written)).toEqual({ lost: 0, doubled: 0, disordered: 0 });
  });
});
