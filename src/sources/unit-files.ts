/**
 * Unit files of the system manager with their drop-ins, as systemd.unit(5) orders them.
 *
 * Paths, below the root file system, the first one wins: /etc/systemd/system.control and /run/systemd/system.control
 * (`systemctl set-property`), /run/systemd/transient, /etc/systemd/system, /run/systemd/system,
 * /usr/local/lib/systemd/system, /usr/lib/systemd/system, /lib/systemd/system.
 */
import { readdirSync } from "node:fs";
import type { HostFiles } from "./host-files.ts";

const directories = [
  "etc/systemd/system.control",
  "run/systemd/system.control",
  "run/systemd/transient",
  "etc/systemd/system",
  "run/systemd/system",
  "usr/local/lib/systemd/system",
  "usr/lib/systemd/system",
  "lib/systemd/system",
];

/** Unit files as of its construction; contents are read when they are asked for. */
export class UnitFiles {
  readonly #files: HostFiles;
  readonly #entries: { directory: string; names: ReadonlySet<string> }[];

  constructor(files: HostFiles) {
    this.#files = files;
    this.#entries = directories.map((directory) => ({
      directory,
      names: new Set(namesIn(files.rootfs(directory))),
    }));
  }

  /** Units that have a file or drop-ins, templates (`user@.service`) included. */
  get units(): ReadonlySet<string> {
    const all = this.#entries.flatMap(({ names }) => [...names]);
    return new Set(
      all
        .map((name) => name.replace(/\.d$/, ""))
        .filter((name) => /.\../.test(name) && !/\.(?:wants|requires|upholds)$/.test(name)),
    );
  }

  /** The unit's file and its drop-ins; a later setting overrides an earlier one. */
  textsOf(unit: string): string[] {
    const names = namesOf(unit);
    const main = names.findLast((name) => this.#directoryOf(name) !== undefined);
    const paths = main === undefined ? [] : [`${this.#directoryOf(main)}/${main}`];
    const lastFirst = [...this.#entries].reverse();
    const dropIns = [unit.replace(/^.*\./, ""), ...names].flatMap((name) =>
      lastFirst
        .filter((entry) => entry.names.has(`${name}.d`))
        .map(({ directory }) => `${directory}/${name}.d`),
    );
    return [...paths, ...dropInsIn(this.#files, dropIns)].flatMap(
      (path) => this.#files.textIfReadable(this.#files.rootfs(path)) ?? [],
    );
  }

  #directoryOf(name: string): string | undefined {
    return this.#entries.find(({ names }) => names.has(name))?.directory;
  }
}

/** Names whose files apply to a unit, the most general first: `user-.slice`, `user@.service`, the unit itself. */
function namesOf(unit: string): string[] {
  const [, stem = "", type = ""] = /^(.*)\.([a-z]+)$/.exec(unit) ?? [];
  const dashes = [...stem.matchAll(/-(?=.)/g)].map(
    ({ index }) => `${stem.slice(0, index + 1)}.${type}`,
  );
  const template = /^([^@]+@)./.exec(stem)?.[1];
  return [...dashes, ...(template === undefined ? [] : [`${template}.${type}`]), unit];
}

/** Drop-ins in these directories, sorted by name; of one name that in the last directory counts. */
export function dropInsIn(files: HostFiles, places: readonly string[]): string[] {
  const byName = new Map<string, string>();
  for (const place of places) {
    for (const name of namesIn(files.rootfs(place))) {
      if (name.endsWith(".conf")) byName.set(name, `${place}/${name}`);
    }
  }
  return [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
}

/** Names in a directory; none if it cannot be listed. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
