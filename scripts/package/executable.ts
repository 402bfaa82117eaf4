import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { inject } from "postject";

/** The Node.js that becomes part of the executable. */
export interface Runtime {
  path: string;
  version: string;
  /** Whether this machine can run it; not where it is for another processor. */
  isRunnable: boolean;
}

/** @throws {Error} where the file is not Node.js */
export function readRuntime(path: string): Runtime {
  const inside = /nodejs\.org\/download\/release\/v(\d+\.\d+\.\d+)\//.exec(
    readFileSync(path).toString("latin1"),
  )?.[1];
  if (inside === undefined) throw new Error(`${path} is not an executable of Node.js`);
  try {
    const version = execFileSync(path, ["--version"], { encoding: "utf8", stdio: "pipe" });
    return { path, version: version.trim().replace(/^v/, ""), isRunnable: true };
  } catch {
    return { path, version: inside, isRunnable: false };
  }
}

/** The mark in Node.js that says whether a program was put in (nodejs.org, Single executable applications). */
const fuse = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

/**
 * Puts the CommonJS bundle into a copy of Node.js, so that one file runs without Node.js on the machine.
 *
 * The program is stored with V8's code cache, which saves a third of the start, where Node.js can be run here to
 * make it. `--single-threaded` saves memory; Node.js 20 has no way to carry it and ignores the field.
 *
 * @param directory where it may write; @returns the path of the executable in it
 * @throws {Error} where the program cannot be stored for this Node.js
 */
export async function makeExecutable(
  bundle: string,
  runtime: Runtime,
  directory: string,
): Promise<string> {
  const maker = runtime.isRunnable ? runtime.path : process.execPath;
  if (!runtime.isRunnable && process.versions.node !== runtime.version) {
    throw new Error(
      `--node is Node.js ${runtime.version} for another processor: run this with Node.js ${runtime.version} too, ` +
        `not ${process.versions.node}, since the stored program must fit it`,
    );
  }
  const blob = join(directory, "program.blob");
  const config = join(directory, "sea.json");
  const settings = {
    main: bundle,
    output: blob,
    disableExperimentalSEAWarning: true,
    useCodeCache: runtime.isRunnable,
    execArgv: ["--single-threaded"],
  };
  writeFileSync(config, JSON.stringify(settings));
  execFileSync(maker, ["--experimental-sea-config", config], { stdio: "pipe" });
  const executable = join(directory, "oom-exporter");
  copyFileSync(runtime.path, executable);
  strip(executable);
  // It warns of each name of a note that it keeps.
  const { warn } = console;
  console.warn = () => {};
  try {
    await inject(executable, "NODE_SEA_BLOB", readFileSync(blob), { sentinelFuse: fuse });
  } finally {
    console.warn = warn;
  }
  return executable;
}

/** Symbols are an eighth of Node.js. Debian's strip knows this machine's processor only. */
function strip(path: string): void {
  try {
    execFileSync("strip", [path], { stdio: "pipe" });
  } catch {
    process.stderr.write(`${path} keeps its symbols: strip(1) of binutils cannot read it here\n`);
  }
}

/** Where Node.js' releases, Debian's package and NodeSource's package have its licence. */
const licencePlaces = [
  "../LICENSE",
  "../share/doc/nodejs/LICENSE",
  "../share/doc/nodejs/copyright",
];

/**
 * The licence of Node.js and of what is in it.
 * @throws {Error} where it is in none of the usual places
 */
export function nodeLicense(runtime: Runtime, given?: string): string {
  const places = licencePlaces.map((place) => join(dirname(runtime.path), place));
  const path = given ?? places.find((place) => existsSync(place));
  if (path === undefined) {
    throw new Error(
      `no licence of Node.js at ${places.join(", ")}; say where it is with --node-license=FILE`,
    );
  }
  return readFileSync(path, "utf8");
}
