import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { explain } from "../../src/commands/explain.ts";

const log = gunzipSync(
  readFileSync(new URL("../fixtures/logs/threads.kern.log.gz", import.meta.url)),
).toString();
/** Each kill with the report before it. */
const [first = "", second = "", rest = ""] = log.split(/(?<=Killed process .*\n)/);
const killLine = (pid: number, second: number) =>
  `Nov 20 13:23:${second} web1 kernel: [   ${second}.640407] Memory cgroup out of memory: Killed process ${pid} (greedy) total-vm:50304kB, anon-rss:48516kB, file-rss:4kB, shmem-rss:708kB, UID:0 pgtables:132kB oom_score_adj:0\n`;

/** `explain -` whose input comes piece by piece, and whose half seconds pass when the test says so. */
class FollowedExplain {
  stdout = "";
  readonly ended: Promise<number>;
  tick: () => void = () => {};
  isTicking = false;
  #wanted: ((piece: string | undefined) => void) | undefined;
  #onWanted: (() => void) | undefined;

  constructor(...args: string[]) {
    const pieces = this.#pieces();
    this.ended = explain([...args, "-"], {
      stdout: { write: (text) => (this.stdout += text) },
      stderr: { write: (text) => (this.stdout += text) },
      stdin: pieces,
      ticker: (tick) => {
        this.tick = tick;
        this.isTicking = true;
        return () => {
          this.isTicking = false;
        };
      },
      clock: () => Date.parse("2026-11-21T00:00:00Z"),
      rootfs: "/nonexistent",
      env: {},
    });
  }

  /** Resolves when it has read the piece and wants more. */
  async read(piece: string | undefined): Promise<void> {
    await this.#isWaiting();
    this.#wanted?.(piece);
    this.#wanted = undefined;
    await (piece === undefined ? this.ended : this.#isWaiting());
  }

  /** What was printed since the last call. */
  printed(): string {
    const text = this.stdout;
    this.stdout = "";
    return text;
  }

  async #isWaiting(): Promise<void> {
    if (this.#wanted === undefined) {
      await new Promise<void>((resolve) => {
        this.#onWanted = resolve;
      });
    }
  }

  async *#pieces(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = await new Promise<string | undefined>((resolve) => {
        this.#wanted = resolve;
        this.#onWanted?.();
      });
      if (piece === undefined) return;
      yield Buffer.from(piece);
    }
  }
}

describe("explain - of a pipe that stays open", () => {
  it("explains each kill within a second, once, and says nothing in between", async () => {
    const followed = new FollowedExplain();
    await followed.read(first);
    expect(followed.printed()).toBe("");
    followed.tick();
    expect(followed.printed()).toBe("");
    followed.tick();
    const shown = followed.printed();
    expect(shown).toMatch(/^\S/);
    expect(shown.match(/\[standard input:\d+\]/g)).toHaveLength(1);
    followed.tick();
    followed.tick();
    expect(followed.printed()).toBe("");

    await followed.read(second);
    followed.tick();
    followed.tick();
    const next = followed.printed();
    expect(next).toMatch(/^\n\S/);
    expect(next.match(/\[standard input:\d+\]/g)).toHaveLength(1);
    await followed.read(rest);
    await followed.read(undefined);
    expect(followed.printed()).toBe("");
    expect(await followed.ended).toBe(0);
    expect(followed.isTicking).toBe(false);
  });

  it("shows kills that come together together, the table first", async () => {
    const followed = new FollowedExplain();
    await followed.read(first + second);
    followed.tick();
    followed.tick();
    expect(followed.printed()).toMatch(/^2 kills: /);
    await followed.read(undefined);
    expect(followed.printed()).toBe("");
  });

  it("is in no hurry while much comes, as from a log that is read from its start", async () => {
    const followed = new FollowedExplain();
    const much = "Nov 20 13:23:00 web1 kernel: nothing of note\n".repeat(1000);
    await followed.read(first);
    for (let half = 0; half < 4; half++) {
      await followed.read(much);
      followed.tick();
    }
    expect(followed.printed()).toBe("");
    await followed.read(second);
    await followed.read(undefined);
    expect(followed.printed()).toMatch(/^2 kills: /);
  });

  it("prints JSON within a second, too", async () => {
    const followed = new FollowedExplain("--json");
    for (const pid of [201, 202]) {
      await followed.read(killLine(pid, pid - 190));
      followed.tick();
      followed.tick();
      expect(JSON.parse(followed.printed())).toMatchObject({ pid });
    }
    await followed.read(undefined);
    expect(followed.printed()).toBe("");
  });

  it.each([["--json"], ["--brief"]])(
    "prints the latest kills of all at the end with --limit: %s",
    async (form) => {
      const followed = new FollowedExplain(form, "--limit=1");
      for (const pid of [201, 202, 203]) {
        await followed.read(killLine(pid, pid - 190));
        followed.tick();
        followed.tick();
      }
      expect(followed.printed()).toBe("");
      await followed.read(undefined);
      const shown = followed.printed();
      expect(shown).toContain("203");
      expect(shown).not.toMatch(/\b20[12]\b/);
    },
  );

  it("prints the head of the table once with --brief, and a row for each kill", async () => {
    const followed = new FollowedExplain("--brief");
    const shown: string[] = [];
    for (const pid of [201, 202, 203]) {
      await followed.read(killLine(pid, pid - 190));
      if (pid < 203) {
        followed.tick();
        followed.tick();
        shown.push(followed.printed());
      }
    }
    await followed.read(undefined);
    shown.push(followed.printed());
    expect(shown.map((text) => text.trimEnd().split("\n").length)).toEqual([2, 1, 1]);
    expect(shown[0]).toMatch(/^time \(UTC\) .*\n2026-11-20 13:23:11 {2}greedy/);
    expect(shown[1]).toMatch(/^2026-11-20 13:23:12 {2}greedy/);
    expect(shown[2]).toMatch(/^2026-11-20 13:23:13 {2}greedy/);
  });

  it("shows what another killer announced, without waiting for the lines after it", async () => {
    const followed = new FollowedExplain();
    await followed.read(
      "Nov 20 13:23:50 web1 systemd-oomd[611]: Killed /system.slice/batch.service due to memory pressure for /system.slice being 62.11% > 60.00% for > 30s with reclaim activity\n",
    );
    followed.tick();
    followed.tick();
    expect(followed.printed()).toContain("batch.service");
    await followed.read(undefined);
    expect(followed.printed()).toBe("");
  });

  it("says at the end that there was no kill, but not after one", async () => {
    const empty = new FollowedExplain();
    await empty.read("nothing\n");
    empty.tick();
    empty.tick();
    expect(empty.printed()).toBe("");
    await empty.read(undefined);
    expect(empty.printed()).toBe("No out-of-memory kill in standard input.\n");
  });
});
