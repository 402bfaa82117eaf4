import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { main, temporaryDirectory } from "../setup/exporter-process.ts";

const log = gunzipSync(readFileSync("test/fixtures/logs/threads.kern.log.gz")).toString();
const [first = ""] = log.split(/(?<=Killed process .*\n)/);

/** The built program, whose reader may be a pipe that stays open. */
describe("oom-exporter explain -", () => {
  let child: ChildProcess | undefined;

  afterEach(() => {
    child?.kill("SIGKILL");
  });

  it("explains a kill while its input stays open, as dmesg -w keeps it", async () => {
    const following = spawn(process.execPath, [main, "explain", "-"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    child = following;
    following.stdin.write(first);
    let shown = "";
    for await (const part of following.stdout.setEncoding("utf8")) {
      shown += part;
      if (shown.includes("[standard input:")) break;
    }
    expect(shown.split("\n")[0]).toMatch(/killed|Killed/);
    expect(following.exitCode).toBeNull();
  });

  it("shows a file that is its input as one log, the table first", async () => {
    const directory = temporaryDirectory();
    const path = join(directory.path, "kern.log");
    writeFileSync(path, log);
    const input = openSync(path, "r");
    child = spawn(process.execPath, [main, "explain", "-"], { stdio: [input, "pipe", "inherit"] });
    closeSync(input);
    expect((await text(child.stdout as Readable)).match(/^2 kills: /gm)).toHaveLength(1);
    directory.remove();
  });
});
