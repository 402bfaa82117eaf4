/**
 * Unit files of the system manager with their drop-ins, as systemd.unit(5) orders them.
 *
 * Paths, below the root file system, the first one wins: /run/systemd/system.control, /run/systemd/transient,
 * /etc/systemd/system, /run/systemd/system, /usr/lib/systemd/system, /lib/systemd/system.
 */
import { readdirSync } from "node:fs";
import type { HostFiles } from "./host-files.ts";

const directories = [
  "run/systemd/system.control",
  "run/systemd/transient",
  "etc/systemd/system",
  "run/systemd/system",
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
    return new Set(all.map((name) => name.replace(/\.d$/, "")).filter((name) => /.\../.test(name)));
  }

  /** The unit's file and its drop-ins; a later setting overrides an earlier one. */
  textsOf(unit: string): string[] {
    const names = namesOf(unit);
    const main = names.findLast((name) => this.#directoryOf(name) !== undefined);
    const paths = main === undefined ? [] : [`${this.#directoryOf(main)}/${main}`];
    const dropIns = new Map<string, string>();
    for (const name of [unit.replace(/^.*\./, ""), ...names]) {
      for (const { directory, names: entries } of [...this.#entries].reverse()) {
        if (!entries.has(`${name}.d`)) continue;
        const place = `${directory}/${name}.d`;
        for (const file of namesIn(this.#files.rootfs(place))) {
          if (file.endsWith(".conf")) dropIns.set(file, `${place}/${file}`);
        }
      }
    }
    const sorted = [...dropIns].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
    return [...paths, ...sorted].flatMap(
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

/** Names in a directory; none if it cannot be listed. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
