/** The bench's C programs, compiled once into a cache beside the compiled bench. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { createInterface } from "node:readline";

const cache = resolve("node_modules/.cache/bench/programs");

/**
 * The path of a compiled program. A program that is newer than its source is used as it is, so that a
 * machine without a compiler can run what another one has compiled.
 *
 * @param source below `bench`, e.g. `cost/floor.c`
 */
export function program(source: string): string {
  const from = resolve("bench", source);
  const to = resolve(cache, basename(source, ".c"));
  if (existsSync(to) && (!existsSync(from) || statSync(to).mtimeMs > statSync(from).mtimeMs)) {
    return to;
  }
  mkdirSync(cache, { recursive: true });
  execFileSync("cc", ["-O2", "-static", "-o", to, from], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  return to;
}

/** A helper program of the bench that says what it does line by line and ends with its standard input. */
export interface Helper {
  /** The next line. @throws where it has ended */
  line(): Promise<string>;
  send(line: string): void;
  /** Ends its standard input and waits until it has cleaned up. */
  end(): Promise<void>;
}

export function startHelper(source: string, args: readonly string[]): Helper {
  const child = spawn(program(source), [...args], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, "exit");
  return {
    async line() {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${source} ended`);
      return value;
    },
    send: (line) => child.stdin.write(`${line}\n`),
    async end() {
      child.stdin.end();
      await ended;
    },
  };
}

/** So many processes and cgroups to read. */
export interface Size {
  processes: number;
  cgroups: number;
}

/** Sleeping processes in cgroups of their own; `directory` holds the cgroups. */
export interface Crowd extends Helper {
  readonly size: Size;
  readonly directory: string;
  /** Replaces so many cgroups, and the processes in them, by new ones. */
  replace(cgroups: number): Promise<void>;
}

/** Runs `work` beside a crowd and takes it down afterwards. */
export async function withCrowd<Result>(
  size: Size,
  work: (crowd: Crowd) => Promise<Result>,
): Promise<Result> {
  const helper = startHelper("crowd.c", [`${size.processes}`, `${size.cgroups}`]);
  try {
    const [, directory = ""] = (await helper.line()).split(" ");
    const replace = async (cgroups: number) => {
      helper.send(`${cgroups}`);
      await helper.line();
    };
    return await work({ ...helper, size, directory, replace });
  } finally {
    await helper.end();
  }
}
