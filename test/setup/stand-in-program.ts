import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

/** What one run of the program does: everything right, or something else after the first 12 bytes. */
type Run = "works" | "is killed" | "hangs" | "fails";

/**
 * A decompressor that copies its input, so that `kern.log.1.xz` may hold plain text; each run behaves as planned, and
 * works once the plan has ended. `path` is for the environment.
 */
export class StandInProgram {
  readonly path: string;
  readonly #directory: string;

  constructor(name: string, directory: string, plan: readonly Run[] = []) {
    this.#directory = join(directory, "bin");
    this.path = `${this.#directory}${delimiter}${process.env.PATH}`;
    mkdirSync(this.#directory);
    writeFileSync(join(this.#directory, "plan"), plan.map((run) => `${run}\n`).join(""));
    writeFileSync(join(this.#directory, name), script(this.#directory));
    chmodSync(join(this.#directory, name), 0o755);
  }

  /** One line for each run: its process and its arguments. */
  get runs(): string[] {
    const file = join(this.#directory, "runs");
    return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
  }
}

function script(directory: string): string {
  return `#!/bin/sh
echo "$$ $*" >> '${directory}/runs'
run=$(wc -l < '${directory}/runs')
case $(sed -n "$((run))p" '${directory}/plan') in
"is killed") head -c 12; kill -KILL $$ ;;
"hangs") head -c 12; exec sleep 600 ;;
"fails") head -c 12; echo 'xz: (stdin): Compressed data is corrupt' >&2; exit 1 ;;
esac
exec cat
`;
}
