/**
 * The directory where logrotate moves rotated files, if not next to the log: `olddir` in its configuration.
 *
 * Path: /etc/logrotate.conf and /etc/logrotate.d/* of the host whose /var/log it is; logrotate(8).
 *
 *     /var/log/kern.log
 *     {
 *         weekly
 *         olddir /var/log/archive
 *     }
 */
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { isShortage } from "../sources/system-error.ts";
import { entriesOf } from "./open-log.ts";

const logDirectory = "/var/log/";
const maxFiles = 500;
const maxBytes = 64 * 1024;

/** The directories given by `olddir` for the log at `path`; none if that is not below a /var/log. */
export function oldDirectories(path: string): string[] {
  const at = path.lastIndexOf(logDirectory);
  if (at < 0) return [];
  const root = path.slice(0, at);
  const etc = join(root || "/", "etc");
  const names = entriesOf(join(etc, "logrotate.d")).slice(0, maxFiles);
  const files = ["logrotate.conf", ...names.map((name) => join("logrotate.d", name))];
  const found = new Set<string>();
  for (const file of files) {
    for (const directory of namedIn(textOf(join(etc, file)), path.slice(at))) {
      found.add(
        directory.startsWith("/")
          ? join(root || "/", directory)
          : resolve(dirname(path), directory),
      );
    }
  }
  return [...found];
}

/** `olddir` outside all blocks, and in blocks that name `log`. */
function* namedIn(text: string, log: string): Generator<string> {
  let names = "";
  let isInBlock = false;
  let isMeant = true;
  for (const raw of text.split("\n")) {
    const line = raw.replace(/#.*/, "").trim();
    const option = /^olddir\s+"?([^"\s]+)/.exec(line)?.[1];
    if (option !== undefined && (!isInBlock || isMeant)) yield option;
    if (isInBlock) {
      if (line.startsWith("}")) [isInBlock, names] = [false, ""];
    } else if (line.endsWith("{")) {
      isInBlock = true;
      isMeant = `${names} ${line.slice(0, -1)}`.split(/\s+/).some((name) => fits(name, log));
    } else if (/^["/]/.test(line)) {
      names = `${names.slice(-maxBytes)} ${line}`;
    }
  }
}

/** Whether a name in the configuration, which may be a shell pattern, matches the log. */
function fits(name: string, log: string): boolean {
  const pattern = name.replaceAll('"', "").split("*", 8);
  if (pattern.length === 1) return pattern[0] === log;
  const [first = "", last = ""] = [pattern[0], pattern.at(-1)];
  return log.startsWith(first) && log.endsWith(last) && log.length >= first.length + last.length;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8").slice(0, maxBytes);
  } catch (error) {
    if (isShortage(error)) throw error;
    return "";
  }
}
