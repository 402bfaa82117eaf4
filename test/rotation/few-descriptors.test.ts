import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, it, onTestFinished } from "vitest";
import { compiledSource } from "../setup/compiled-source.ts";

let source: string;
beforeAll(async () => {
  source = await compiledSource();
});

it.each([0, 1, 2])(
  "with %i descriptors free a rotated log waits until there are more, and no line of it is lost",
  (free) => {
    const directory = mkdtempSync(join(tmpdir(), "few-descriptors-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const script = "test/rotation/few-descriptors.mjs";
    const command = ["-c", 'ulimit -n 64; exec "$0" "$@"'];
    const node = [process.execPath, script, source, directory, String(free)];
    const { before, atFirst, inTheEnd } = JSON.parse(
      execFileSync("bash", [...command, ...node], { encoding: "utf8" }),
    );
    expect(before).toBe("first\n");
    expect(atFirst).toMatchObject({ text: "", losses: [] });
    expect(atFirst.states).toEqual([
      { up: false, reason: expect.stringMatching(/^cannot read .*kern.log: EMFILE/) },
    ]);
    expect(inTheEnd).toMatchObject({ text: "second\nthird\nfourth\n", losses: [] });
    expect(inTheEnd.states.at(-1)).toEqual({ up: true });
  },
);
