import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { LogFile, type LogFileOptions } from "../../src/log-sources/log-file.ts";

const script = "test/rotation/writer.mjs";

/** A process that writes numbered lines to a log, at the given rate, one write per line. */
export class WriterProcess {
  readonly #child: ChildProcess;
  readonly #path: string;

  constructor(path: string, linesPerSecond: number) {
    this.#path = path;
    this.#child = spawn(process.execPath, [script, path, String(linesPerSecond)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
  }

  async started(): Promise<void> {
    while (!existsSync(this.#path)) await wait(5);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when what it writes goes to the path, not to a file that was renamed. */
  async isOnPath(): Promise<void> {
    while (!statSync(this.#path, { throwIfNoEntry: false })?.size) await wait(5);
  }

  reopen(): void {
    this.#child.kill("SIGHUP");
  }

  /** Stops it (SIGSTOP) and waits until it has stopped. */
  async pause(): Promise<void> {
    this.#child.kill("SIGSTOP");
    while (!readFileSync(`/proc/${this.pid}/stat`, "latin1").includes(") T ")) await wait(1);
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  /** Ends it; returns how many lines it has written. */
  async stop(): Promise<number> {
    let output = "";
    this.#child.stdout?.on("data", (chunk) => {
      output += chunk;
    });
    const closed = once(this.#child, "close");
    this.#child.kill("SIGTERM");
    await closed;
    return Number(output);
  }
}

/** Which of the lines 0 to `written` - 1 did not come, came twice, or came after a later one. */
export class NumberedLines {
  bytes = 0;
  rotations = 0;
  #seen = new Map<number, number>();
  #rest = "";
  #latest = -1;
  #disordered = 0;

  chunk(chunk: Buffer): void {
    this.bytes += chunk.length;
    const parts = (this.#rest + chunk.toString("latin1")).split("\n");
    this.#rest = parts.pop() ?? "";
    for (const line of parts) this.line(line);
  }

  endOfFile(): void {
    this.line(this.#rest);
    this.#rest = "";
  }

  line(line: string): void {
    const digits = /kernel: +\[(\d{9})\] Killed process \1 /.exec(line)?.[1];
    if (digits === undefined) return;
    const number = Number(digits);
    this.#seen.set(number, (this.#seen.get(number) ?? 0) + 1);
    if (number < this.#latest) this.#disordered++;
    this.#latest = number;
  }

  get count(): number {
    return this.#seen.size;
  }

  /** Resolves when so many more lines have come, which paces a test by what is written. */
  async more(lines: number): Promise<void> {
    for (const enough = this.count + lines; this.count < enough; ) await wait(5);
  }

  /** How often one or more lines in a row are missing. */
  gaps(written: number): number {
    const all = Array.from({ length: written }, (_, number) => number);
    const isSeen = (number: number) => number < 0 || this.#seen.has(number);
    return all.filter((number) => !isSeen(number) && isSeen(number - 1)).length;
  }

  check(written: number): { lost: number; doubled: number; disordered: number } {
    const doubled = [...this.#seen.values()].filter((times) => times > 1).length;
    return { lost: written - this.#seen.size, doubled, disordered: this.#disordered };
  }
}

/** Follows a log into `lines`; `lost` hears of what cannot be delivered. */
export function followLog(
  path: string,
  from: LogFileOptions["from"],
  lines: NumberedLines,
  lost: (reason: string) => void,
): LogFile {
  const log = new LogFile({
    path,
    from,
    now: () => performance.now(),
    listener: {
      bytes: (chunk) => lines.chunk(chunk),
      endOfFile: () => lines.endOfFile(),
      caughtUp: () => {},
      stateChanged: () => {},
      rotated: () => {
        lines.rotations++;
      },
      lost,
    },
  });
  log.start();
  setInterval(() => log.beat(), 250).unref();
  return log;
}
