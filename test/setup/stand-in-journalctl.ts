import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/**
 * A journal in a directory, and an executable `journalctl` that reads it as the real one does: what stands
 * after the cursor, or the last lines, then, with --follow, what is added. Entries are lines of JSON. A cursor that is not
 * of its form is rejected in the words of systemd 252.
 */
export class StandInJournal {
  readonly program: string;
  readonly #entries: string;
  readonly #control: string;
  readonly #calls: string;
  #count = 0;

  constructor(directory: string) {
    this.program = join(directory, "bin", "journalctl");
    this.#entries = join(directory, "entries");
    this.#control = join(directory, "control");
    this.#calls = join(directory, "calls");
    mkdirSync(join(directory, "bin"), { recursive: true });
    writeFileSync(this.#entries, "");
    writeFileSync(this.#calls, "");
    writeFileSync(this.program, script(process.execPath, directory));
    chmodSync(this.program, 0o755);
  }

  /** Adds an entry and gives its cursor. */
  write(fields: Record<string, unknown>): string {
    const cursor = `s=${++this.#count}`;
    appendFileSync(this.#entries, `${JSON.stringify({ __CURSOR: cursor, ...fields })}\n`);
    return cursor;
  }

  /** What the next journalctl does instead of reading: fails with these words. */
  failWith(words: string | undefined): void {
    writeFileSync(this.#control, words ?? "");
  }

  /** The arguments of every call so far. */
  calls(): string[][] {
    return lines(this.#calls).map((line) => JSON.parse(line).args);
  }

  /** The process that follows at this moment. */
  follower(): number {
    const pids = lines(this.#calls).map((line) => JSON.parse(line));
    return pids.findLast(({ args }) => args.includes("--follow"))?.pid;
  }
}

function lines(path: string): string[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

function script(node: string, directory: string): string {
  return `#!${node}
const fs = require("node:fs");
const directory = ${JSON.stringify(directory)};
const args = process.argv.slice(2);
fs.appendFileSync(directory + "/calls", JSON.stringify({ pid: process.pid, args }) + "\\n");
const words = fs.existsSync(directory + "/control") ? fs.readFileSync(directory + "/control", "utf8") : "";
if (words !== "") {
  process.stderr.write(words + "\\n");
  process.exit(1);
}
const flag = (name) => args.find((arg) => arg.startsWith(name + "="))?.slice(name.length + 1);
const cursor = flag("--after-cursor");
if (cursor !== undefined && !/^s=\\d+$/.test(cursor)) {
  process.stderr.write("Failed to seek to cursor: Invalid argument\\n");
  process.exit(1);
}
const path = directory + "/entries";
let printed = 0;
const print = () => {
  const all = fs.readFileSync(path, "utf8").split("\\n").filter((line) => line !== "");
  const known = cursor === undefined ? 0 : all.findIndex((line) => JSON.parse(line).__CURSOR === cursor) + 1;
  const last = flag("--lines") === undefined ? 0 : Math.max(0, all.length - Number(flag("--lines")));
  const from = Math.max(printed, known, last);
  for (const line of all.slice(from)) process.stdout.write(line + "\\n");
  printed = all.length;
};
print();
if (args.includes("--follow")) {
  fs.watch(path, print);
  print();
  process.stdout.on("error", () => process.exit(0));
}
`;
}
